"""What the demo's containers say of themselves, asked at the hosts' own sockets."""

from __future__ import annotations

import time
from dataclasses import dataclass

from shell import DemoError, Lab

from runtime import ContainerNotFoundError, ExecFailedError, PodmanRuntime, VolumeInUseError

READ_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class State:
    """One line of the counting program."""

    counter: int
    largest_gap_seconds: float
    intact: bool
    boot_id: str


@dataclass(frozen=True)
class Container:
    """A container of the demo, on whichever host it is."""

    lab: Lab
    name: str
    volume: str

    def state(self, host: str) -> State:
        """Ask it on a host."""
        counter, _, gap, intact, boot_id = self._read(host, "/state/now").split()
        return State(
            counter=int(counter),
            largest_gap_seconds=float(gap),
            intact=intact == "1",
            boot_id=boot_id,
        )

    def ledger(self, host: str) -> list[str]:
        """The lines that it wrote into its volume."""
        return self._read(host, "/data/log").splitlines()

    def on(self, host: str) -> bool:
        """Whether a host has it, running or not."""
        try:
            self._runtime(host).inspect(self.name)
        except ContainerNotFoundError:
            return False
        return True

    def forget(self) -> None:
        """Remove what an earlier demo left, on both hosts."""
        for host in ("a", "b"):
            runtime = self._runtime(host)
            runtime.remove(self.name, force=True, volumes=True)
            if self.volume:
                try:
                    runtime.remove_volume(self.volume)
                except VolumeInUseError as error:
                    raise DemoError(f"host {host}: {error}") from error

    def _runtime(self, host: str) -> PodmanRuntime:
        return PodmanRuntime(self.lab.socket(host))

    def _read(self, host: str, path: str) -> str:
        limit = time.monotonic() + READ_SECONDS
        while True:
            try:
                done = self._runtime(host).exec(self.name, ["cat", path])
            except (ContainerNotFoundError, ExecFailedError) as error:
                raise DemoError(f"host {host}: {error}") from error
            if done.exit_code == 0 and done.output:
                return done.output.decode()
            if time.monotonic() > limit:
                raise DemoError(f"{self.name} on {host} has no {path}")
            time.sleep(0.1)
