"""A Podman pod of containers that talk to each other, on whichever host it is."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from runtime import NetworkAttachment, NetworkSpec, PodSpec, Port
from runtime.libpod import LibpodClient
from tests.fleet import IMAGE, Fleet, State, Workload, eventually
from tests.projects import CLIENT, DATABASE

PUBLISHED = 18099


class Pod:
    """A database with a volume, a client of it over 127.0.0.1 that shares it, two counters."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.name = f"pod{secrets.token_hex(3)}"
        self.project = f"{self.name}-project"
        self.network, self.volume = f"{self.name}-net", f"{self.name}-data"
        self.db, self.client = f"{self.name}-db", f"{self.name}-client"
        self.counters = [Workload(fleet, f"{self.name}-web") for _ in range(2)]

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of all of them."""
        return (self.db, self.client, *(counter.name for counter in self.counters))

    def start(self) -> None:
        """Make it on host a."""
        runtime = self.fleet.runtime("a")
        runtime.create_network(NetworkSpec(name=self.network, options={"mtu": "1400"}))
        runtime.create_pod(
            PodSpec(
                name=self.name,
                labels={"tier": "shop"},
                hostname="shop",
                ports=(Port(container_port=80, host_port=PUBLISHED),),
                networks=(NetworkAttachment(name=self.network, aliases=("shop-alias",)),),
            )
        )
        data = {"volumes": [{"Name": self.volume, "Dest": "/data"}]}
        self.add(self.db, ("sh", "-c", DATABASE), **data)
        self.add(self.client, ("sh", "-c", CLIENT.replace("nc db", "nc 127.0.0.1")), **data)
        for counter in self.counters:
            self.add(counter.name, (), env={"MEMORY_MIB": "8"}, restart_policy="always")
        eventually(lambda: self.heard("a") > 5, "the client does not hear the database")

    def start_without_infra(self) -> None:
        """Make a pod as podman-compose does, with the counters only, a project's by label."""
        runtime = self.fleet.runtime("a")
        runtime.create_network(NetworkSpec(name=self.network))
        LibpodClient(runtime.socket).json(
            "/pods/create",
            method="POST",
            operation="creation",
            body={"name": self.name, "no_infra": True},
        )
        for counter in self.counters:
            self.add(
                counter.name,
                (),
                env={"MEMORY_MIB": "8"},
                labels={"com.docker.compose.project": self.project},
                netns={"nsmode": "bridge"},
                Networks={self.network: {}},
            )
            counter.counting("a")

    def add(self, name: str, command: Sequence[str], **fields: Any) -> None:  # noqa: ANN401
        """Put a container into it, and start that one; ``fields`` are libpod's."""
        body = {"name": name, "image": IMAGE, "pod": self.name, "stop_timeout": 0, **fields}
        libpod = LibpodClient(self.fleet.runtime("a").socket)
        libpod.json(
            "/containers/create",
            method="POST",
            operation="creation",
            body={**body, "command": list(command)} if command else body,
        )
        self.fleet.runtime("a").start(name)

    def spec(self, host: str) -> PodSpec:
        """How a host describes it."""
        return self.fleet.runtime(host).pod(self.name).spec

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

    def kept(self, host: str) -> list[int]:
        """What the volume has of all that the database heard."""
        done = self.fleet.runtime(host).exec(self.client, ["cat", "/data/heard"])
        return [int(line) for line in done.output.split()]

    def counting(self, host: str) -> list[State]:
        """The counters' states."""
        return [counter.counting(host) for counter in self.counters]

    def left_on(self, host: str) -> set[str]:
        """What a host has of it: containers, an infra container, what holds it, itself."""
        runtime = self.fleet.runtime(host)
        here = {c.name for c in runtime.containers() if c.pod == self.name}
        here |= {self.name} if runtime.pod_exists(self.name) else set()
        return here | ({self.volume} if runtime.volume_exists(self.volume) else set())

    def forget(self) -> None:
        """Remove whatever any host has of it."""
        for host in self.fleet.hosts:
            runtime = self.fleet.runtime(host)
            for container in runtime.containers():
                if container.pod == self.name and not container.infra:
                    runtime.remove(container.id, force=True, volumes=True)
            runtime.remove_pod(self.name)
            runtime.remove_volume(self.volume)
            runtime.remove_network(self.network)
