"""A hub with the services and some Podman hosts, each a network namespace on a private switch."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cgroups
import kernel
import services
from kernel import LabError
from layout import HUB, NETWORK, Layout, State, cache, rootfs


class Lab(Layout):
    """A lab that can be brought up, changed and taken down."""

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lab against other commands that change it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self.state = self._load()
            yield
        finally:
            os.close(handle)

    def publish(self) -> None:
        """Write lab.json: how to reach everything, with the ids of the processes that run now."""
        state = self.state
        address = state.addresses[HUB]
        redis = {
            "url": f"redis://:{state.redis_password}@{address}:6379/0",
            "socket": str(self.hub / "redis.sock"),
            "pid": self.service_pid("redis"),
        }
        minio = {
            "endpoint": f"http://{address}:9000",
            "access_key": state.minio_access_key,
            "secret_key": state.minio_secret_key,
            "bucket": "podferry",
            "pid": self.service_pid("minio"),
        }
        hosts = {
            host: {
                "netns": self.netns(host),
                "address": state.addresses[host],
                "pid": services.host_init(self.netns(host)),
                "service_pid": self.service_pid(host),
                "socket": str(self.host_directory(host) / "podman.sock"),
            }
            for host in self.hosts
        }
        hub = {
            "netns": self.netns(HUB),
            "address": address,
            "redis": redis,
            "minio": minio if state.with_minio else None,
        }
        new = self._file.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(
            json.dumps(
                {"id": self.id, "hub": hub, "hosts": hosts, "state": asdict(state)}, indent=2
            )
        )
        new.replace(self._file)

    # Up

    def up(self, hosts: list[str] | None, minio: str) -> None:
        """Bring up what is missing and leave what is well alone."""
        self.check(hosts or [])
        binary = cache() / "bin/minio"
        if minio == "yes" and not binary.exists():
            raise LabError("no MinIO; ops/setup/minio.sh builds it (needs the Go toolchain)")
        root = rootfs()
        with self.changing():
            self.state.with_minio = minio != "no" and binary.exists()
            self._assign_addresses(hosts if hosts is not None else self.hosts or ["a", "b"])
            for directory in self.logs, self.hub, *map(self.host_directory, self.hosts):
                directory.mkdir(parents=True, exist_ok=True)
            self.publish()  # before anything runs, so that the next `up` uses the same secrets
            self._connect()
            self._start_hub()
            for host in self.hosts:
                self._boot(host, root)
            for host in self.hosts:
                self._start_podman(host)
            for service in "redis", *(["minio"] if self.state.with_minio else []), *self.hosts:
                self._await_service(service)
            self.publish()

    def _assign_addresses(self, hosts: list[str]) -> None:
        addresses = self.state.addresses
        pool = [str(address) for address in NETWORK.hosts()]
        addresses.setdefault(HUB, pool[0])
        for host in hosts:
            if host not in addresses:
                addresses[host] = next(a for a in pool[10:] if a not in addresses.values())

    def _connect(self) -> None:
        switch = self.netns("switch")
        kernel.add_netns(switch)
        if not kernel.has_link(switch, "switch"):
            kernel.run("ip", "-n", switch, "link", "add", "switch", "type", "bridge")
        kernel.run("ip", "-n", switch, "link", "set", "switch", "up")
        for node, address in self.state.addresses.items():
            netns, port = self.netns(node), f"veth-{node}"
            kernel.add_netns(netns)
            if not kernel.has_link(switch, port):
                peer = ["peer", "name", "eth0", "netns", netns]
                kernel.run("ip", "-n", switch, "link", "add", port, "type", "veth", *peer)
            kernel.run("ip", "-n", switch, "link", "set", port, "master", "switch", "up")
            network = f"{address}/{NETWORK.prefixlen}"
            kernel.run("ip", "-n", netns, "address", "replace", network, "dev", "eth0")
            kernel.run("ip", "-n", netns, "link", "set", "eth0", "up")

    def _start_hub(self) -> None:
        if not self.service_pid("redis"):
            self._start_service("redis")
        if not self.state.with_minio:
            self._stop_service("minio")
        elif not self.service_pid("minio"):
            self._start_service("minio")

    def _boot(self, host: str, root: Path) -> None:
        if services.host_init(self.netns(host)):
            return
        kernel.kill_all(self.netns(host))  # what is left of a host that died or was booted halfway
        directory = self.host_directory(host)
        for part in "upper", "work", "root", "run", "containers":
            (directory / part).mkdir(exist_ok=True)
        socket = directory / "podman.sock"
        socket.unlink(missing_ok=True)
        socket.symlink_to("run/podman.sock")
        log = self.log(host, "init")
        services.start_host(self.netns(host), self.cgroup(host), host, root, directory, log)

    def _start_podman(self, host: str) -> None:
        netns = self.netns(host)
        with services.explained_by(self.log(host, "init")):
            kernel.wait_until(lambda: services.host_init(netns), 10, f"host {host} did not boot")
        cgroups.settle(self.cgroup(host))
        if not self.service_pid(host):
            self._start_service(host)

    # Services: redis, minio, or a host's name for its Podman API

    def service_pid(self, service: str) -> int | None:
        """Return the id of the service's process if it runs."""
        if service in self.hosts:
            return services.podman_pid(self.netns(service), self.host_directory(service))
        pid = services.noted_pid(self.hub / f"{service}.pid")
        return pid if pid and kernel.is_in(pid, kernel.netns_path(self.netns(HUB))) else None

    def service_version(self, service: str) -> str | None:
        """Ask the service for its version; None when it does not answer."""
        if service == "redis":
            return services.redis_version(self.hub, self.state.redis_password)
        if service == "minio":
            well = services.minio_is_well(self.netns(HUB), self.state.addresses[HUB])
            return "unknown" if well else None  # it tells its version to nobody
        answer = services.ask_podman(self.host_directory(service) / "podman.sock", "/version")
        return str(answer["Version"]) if answer else None

    def service_log(self, service: str) -> Path:
        """Where the service's output goes."""
        return self.log(service, "podman") if service in self.hosts else self.log(HUB, service)

    def _start_service(self, service: str) -> None:
        log, hub_netns = self.service_log(service), self.netns(HUB)
        address = self.state.addresses[HUB]
        if service == "redis":
            services.start_redis(hub_netns, self.hub, address, self.state.redis_password, log)
        elif service == "minio":
            credentials = self.state.minio_access_key, self.state.minio_secret_key
            services.start_minio(
                hub_netns, cache() / "bin/minio", self.hub, address, credentials, log
            )
        else:
            init = services.host_init(self.netns(service))
            if not init:
                raise LabError(f"host {service} is down; `up` boots it")
            services.start_podman(init, self.cgroup(service), log)

    def _await_service(self, service: str) -> None:
        with services.explained_by(self.service_log(service)):
            kernel.wait_until(
                lambda: self.service_version(service), 30, f"{service} does not answer"
            )

    def _stop_service(self, service: str) -> None:
        namespace = kernel.netns_path(self.netns(HUB))
        if service in self.hosts:
            namespace = kernel.pid_namespace(services.host_init(self.netns(service)) or 0)
        number, deadline = signal.SIGTERM, time.monotonic() + 5
        while pid := self.service_pid(service):
            kernel.send(pid, namespace, number)
            time.sleep(0.1)
            if time.monotonic() > deadline:
                number = signal.SIGKILL

    def start(self, service: str) -> None:
        """Start a service that was stopped."""
        self.require(service, self.service_names())
        with self.changing():
            if not self.service_pid(service):
                self._start_service(service)
            self._await_service(service)
            self.publish()

    def stop(self, service: str) -> None:
        """Stop a service; a host's containers go on without their Podman API."""
        self.require(service, self.service_names())
        with self.changing():
            self._stop_service(service)
            self.publish()

    def service_names(self) -> list[str]:
        """What start and stop understand."""
        return ["redis", *(["minio"] if self.state.with_minio else []), *self.hosts]

    # Partitions

    def set_link(self, node: str, state: str) -> None:
        """Set a node's port on the switch "up" or "down"."""
        self.require(node, [HUB, *self.hosts])
        kernel.run("ip", "-n", self.netns("switch"), "link", "set", f"veth-{node}", state)

    # Status

    def status(self) -> list[dict[str, Any]]:
        """Return one row per service."""
        self.require(HUB, [HUB])
        return [self._row(service) for service in self.service_names()]

    def _row(self, service: str) -> dict[str, Any]:
        is_host = service in self.hosts
        node = service if is_host else HUB
        version = self.service_version(service)
        running = None
        if is_host and version:
            url = "/v5.0.0/libpod/containers/json"
            containers = services.ask_podman(self.host_directory(service) / "podman.sock", url)
            running = None if containers is None else len(containers)
        pid = self.service_pid(service)
        cut = not kernel.link_is_up(self.netns("switch"), f"veth-{node}")
        return {
            "node": node,
            "role": "host" if is_host else service,
            "address": self.state.addresses[node],
            "pid": pid,
            "state": "down" if not (pid and version) else "cut" if cut else "up",
            "version": version,
            "containers": running,
        }

    # Down

    def down(self) -> None:
        """Remove every trace, found by the lab's id and not by what was written down."""
        if not self.directory.exists() and not self._remains():
            return
        with self.changing():
            netns_names = kernel.netns_names(self.netns(""))
            for netns in netns_names:
                kernel.kill_all(netns)
            for cgroup in cgroups.names(self.cgroup("")):
                cgroups.remove(cgroup)
            for netns in netns_names:
                # At once, even if somebody who was spared still holds the namespace.
                with suppress(LabError):
                    kernel.run("ip", "-n", netns, "link", "delete", "eth0")
                kernel.remove_netns(netns)
            for part in "hosts", "hub", "workers", "store", "context":
                if (self.directory / part).exists():
                    shutil.rmtree(self.directory / part)
            for leftover in self._file, self._file.with_suffix(".new"):
                leftover.unlink(missing_ok=True)
            with suppress(OSError):  # logs and other people's files stay
                self.directory.rmdir()
        self.state = State()

    def _remains(self) -> bool:
        return bool(kernel.netns_names(self.netns("")) or cgroups.names(self.cgroup("")))
