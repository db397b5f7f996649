"""A compose project as `docker compose` would make it, on whichever host it is."""

from __future__ import annotations

import secrets

from runtime import Mount, NetworkAttachment, NetworkSpec, RestartPolicy, RunSpec, VolumeSpec
from tests.fleet import IMAGE, Fleet, State, Workload, eventually

# Says back what it hears, and keeps it in the project's volume.
DATABASE = "exec nc -ll -p 7000 -e tee -a /data/heard"
# Counts to the database over one connection, and writes down what came back. A connection that
# breaks is never made again.
CLIENT = """
i=0
while :; do i=$((i + 1)); echo $i; usleep 20000; done |
nc db 7000 |
while read -r heard; do echo $heard >/state/heard.new; mv /state/heard.new /state/heard; done
echo broken >/state/broken
sleep 1000000
"""


class Project:
    """Three services: a database with a volume, a client of it, and two copies of a counter."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.name = f"shop{secrets.token_hex(3)}"
        self.network, self.volume = f"{self.name}_default", f"{self.name}_data"
        self.db, self.client = f"{self.name}-db-1", f"{self.name}-client-1"
        self.counters = [Workload(fleet, f"{self.name}-web") for _ in range(2)]

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of all of them."""
        return (self.db, self.client, *(counter.name for counter in self.counters))

    def start(self) -> None:
        """Make it on host a."""
        runtime = self.fleet.runtime("a")
        labels = {"com.docker.compose.project": self.name}
        runtime.create_network(
            NetworkSpec(
                name=self.network,
                labels={**labels, "com.docker.compose.network": "default"},
                options={"mtu": "1400"},
            )
        )
        runtime.create_volume(VolumeSpec(name=self.volume))
        data = Mount(type="volume", source=self.volume, target="/data")
        for spec in (
            self._spec("db", self.db, DATABASE, mounts=(data,)),
            self._spec("client", self.client, CLIENT, needs="db", mounts=(data,)),
            *(self._counter(counter) for counter in self.counters),
        ):
            runtime.start(runtime.run(spec))
        eventually(lambda: self.heard("a") > 5, "the client does not hear the database")

    def heard(self, host: str) -> int:
        """How far the client has counted and been heard."""
        done = self.fleet.runtime(host).exec(self.client, ["cat", "/state/heard"])
        return int(done.output) if done.exit_code == 0 and done.output.strip() else 0

    def connected(self, host: str) -> bool:
        """Whether the one connection that the client ever made is still good."""
        heard = self.heard(host)
        eventually(lambda: self.heard(host) > heard, "the client hears no more")
        done = self.fleet.runtime(host).exec(self.client, ["test", "-e", "/state/broken"])
        return done.exit_code != 0

    def finds_by_name(self, host: str, service: str) -> bool:
        """Whether a service is found from another one's container."""
        done = self.fleet.runtime(host).exec(self.counters[0].name, ["nslookup", service])
        return done.exit_code == 0

    def kept(self, host: str) -> list[int]:
        """What the volume has of all that the database heard."""
        done = self.fleet.runtime(host).exec(self.db, ["cat", "/data/heard"])
        return [int(line) for line in done.output.split()]

    def counting(self, host: str) -> list[State]:
        """The counters' states."""
        return [counter.counting(host) for counter in self.counters]

    def on(self, host: str) -> set[str]:
        """Which of its containers a host has."""
        here = {container.name for container in self.fleet.runtime(host).containers()}
        return here & set(self.containers)

    def forget(self) -> None:
        """Remove whatever any host has of it."""
        for host in self.fleet.hosts:
            runtime = self.fleet.runtime(host)
            for name in self.containers:
                runtime.remove(name, force=True, volumes=True)
            runtime.remove_volume(self.volume)
            runtime.remove_network(self.network)

    def _counter(self, counter: Workload) -> RunSpec:
        return counter.spec(
            memory_mib=8,
            labels=self._labels("web", "client"),
            networks=(NetworkAttachment(name=self.network, aliases=("web",)),),
            restart=RestartPolicy(name="always"),
        )

    def _spec(
        self, service: str, name: str, script: str, *, needs: str = "", mounts: tuple[Mount, ...]
    ) -> RunSpec:
        return RunSpec(
            name=name,
            image=IMAGE,
            command=("sh", "-c", script),
            labels=self._labels(service, needs),
            mounts=mounts,
            networks=(NetworkAttachment(name=self.network, aliases=(service,)),),
            stop_timeout_seconds=0,
        )

    def _labels(self, service: str, needs: str) -> dict[str, str]:
        return {
            "com.docker.compose.project": self.name,
            "com.docker.compose.service": service,
            "com.docker.compose.depends_on": f"{needs}:service_started:false" if needs else "",
        }
