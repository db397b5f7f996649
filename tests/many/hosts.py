"""Fake hosts whose engines outlive the workers that talk to them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from runtime import ContainerState, FakeRuntime, Mount, RunSpec
from runtime.fake_state import FakeContainer, FakeImage
from tests.leaks import ENVIRONMENT
from tests.many.remote import Answer, Request

IMAGE = FakeImage(id="1" * 64, names=("localhost/web:1",))
STREAMED = {"checkpoint", "save_image"}
CALL_SECONDS = 0.01  # before a call has its effect, and again before it is answered
TICK_SECONDS = 0.05
BACKLOG = 64


@dataclass(kw_only=True)
class Ledger:
    """What containers were seen to do, and what none of them may do.

    A running container counts in its memory. The count goes back to where the last checkpoint that
    stopped it left it, and no further.
    """

    stopped_at: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    cold: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # starts with no memory
    wrong: list[str] = field(default_factory=list)

    def look(self, hosts: dict[str, FakeRuntime]) -> None:
        """Find whatever is wrong at this moment."""
        seen: dict[str, str] = {}
        for host, runtime in hosts.items():
            for container in runtime.containers_by_id.values():
                if container.state is not ContainerState.RUNNING:
                    continue
                name = container.spec.name
                if name in seen:
                    self.wrong.append(f"{name} runs on {seen[name]} and {host}")
                seen[name] = host
                life, count = counted(container)
                known, least = self.stopped_at.setdefault(name, (life, count))
                if life != known:
                    self.cold[name] += 1
                    self.stopped_at[name] = (life, count)
                elif count < least:
                    self.wrong.append(f"{name} went back from {least} to {count} on {host}")


@dataclass(kw_only=True)
class FakeHosts:
    """Engines in this process, each served at ``DIRECTORY/HOST.sock``.

    A request is carried out or dropped whatever becomes of its caller, as Podman does: one whose
    stream broke off is dropped, any other has its effect, and nobody hears of it.
    """

    directory: Path
    names: Sequence[str]
    pace_seconds: float = 0.01  # between two pieces of a stream
    runtimes: dict[str, FakeRuntime] = field(init=False)
    ledger: Ledger = field(default_factory=Ledger)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.runtimes = {name: FakeRuntime() for name in self.names}
        for runtime in self.runtimes.values():
            runtime.images[IMAGE.id] = IMAGE

    def socket(self, host: str) -> Path:
        """Where a host's engine is served."""
        return self.directory / f"{host}.sock"

    def run(self, host: str, name: str, *, env: dict[str, str] | None = None) -> FakeContainer:
        """Start a container with a volume of its own."""
        runtime = self.runtimes[host]
        mount = Mount(type="volume", source=f"{name}-data", target="/data")
        with self.lock:
            made = runtime.run(
                RunSpec(
                    name=name,
                    image=IMAGE.names[0],
                    mounts=(mount,),
                    env={**ENVIRONMENT, **(env or {})},
                )
            )
            runtime.start(made)
            runtime.volumes[f"{name}-data"].files["log"] = name.encode()
        return runtime.containers_by_id[made]

    def places(self, name: str) -> list[tuple[str, FakeContainer]]:
        """Every copy of a container, running or not."""
        with self.lock:
            return [
                (host, container)
                for host, runtime in self.runtimes.items()
                for container in runtime.containers_by_id.values()
                if container.spec.name == name
            ]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer on all sockets, and let time pass for the containers."""
        with ExitStack() as stack:
            for name, runtime in self.runtimes.items():
                listener = Listener(str(self.socket(name)), "AF_UNIX", backlog=BACKLOG)
                stack.callback(listener.close)
                _begin(self._accept, listener, runtime)
            _begin(self._tick)
            stack.callback(self._over.set)
            yield

    def _accept(self, listener: Listener, runtime: FakeRuntime) -> None:
        while not self._over.is_set():
            try:
                connection = listener.accept()
            except OSError:  # closed, or the caller is gone already
                continue
            _begin(self._serve, connection, runtime)

    def _serve(self, connection: Connection[Any, Any], runtime: FakeRuntime) -> None:
        with connection, suppress(EOFError, OSError):  # its caller is gone
            request: Request = connection.recv()
            if request.sends:
                request.options["chunks"] = list(iter(connection.recv, None))
            time.sleep(CALL_SECONDS)
            if request.method in STREAMED:
                self._stream(connection, runtime, request)
            else:
                answer = self._do(runtime, request)
                time.sleep(CALL_SECONDS)
                connection.send(answer)

    def _do(self, runtime: FakeRuntime, request: Request) -> Answer:
        with self.lock:
            try:
                act = getattr(runtime, request.method)
                return Answer(value=act(*request.arguments, **request.options))
            except Exception as error:
                return Answer(error=error)
            finally:
                self.ledger.look(self.runtimes)

    def _stream(
        self, connection: Connection[Any, Any], runtime: FakeRuntime, request: Request
    ) -> None:
        with ExitStack() as stack:
            try:
                with self.lock:
                    if request.method == "checkpoint":
                        self._stopping(runtime, request.arguments[0])
                    act = getattr(runtime, request.method)
                    chunks = stack.enter_context(act(*request.arguments, **request.options))
            except Exception as error:
                connection.send(Answer(error=error))
                return
            connection.send(Answer(value=getattr(chunks, "statistics", None)))
            for chunk in chunks:
                connection.send(chunk)
                time.sleep(self.pace_seconds)
            connection.send(None)

    def _stopping(self, runtime: FakeRuntime, name: str) -> None:
        for container in runtime.containers_by_id.values():
            running = container.state is ContainerState.RUNNING
            if name in (container.id, container.spec.name) and running:
                count_on(container)
                self.ledger.stopped_at[container.spec.name] = counted(container)

    def _tick(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            with self.lock:
                for runtime in self.runtimes.values():
                    for container in runtime.containers_by_id.values():
                        if container.state is ContainerState.RUNNING:
                            count_on(container)


def counted(container: FakeContainer) -> tuple[bytes, int]:
    """Which start a container's memory is from, and how far it has counted since."""
    life, _, count = container.memory.partition(b" ")
    return life, int(count or 0)


def count_on(container: FakeContainer) -> None:
    """One more."""
    life, count = counted(container)
    container.memory = b"%s %d" % (life, count + 1)


def _begin(act: Any, *arguments: object) -> None:  # noqa: ANN401 - any callable
    threading.Thread(target=act, args=arguments, daemon=True).start()
