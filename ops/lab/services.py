"""The processes of a lab: how each is started, found again, and asked whether it is well."""

import http.client
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cgroups
import kernel
from kernel import LabError

HOST_SH = Path(__file__).with_name("host.sh")
HOST_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The process notes its own id before it becomes the service, so no crash can lose track of it.
NOTE_PID = 'echo $$ >"$0"; exec "$@"'


def in_netns(netns: str, command: Iterable[str]) -> list[str]:
    """Return the command line of a command in a network namespace with the outer file system.

    Not `ip netns exec`, which mounts /sys anew and loses the cgroup mounts below it.
    """
    return ["nsenter", f"--net={kernel.netns_path(netns)}", "--", *command]


def in_host(init: int, command: Iterable[str], environment: Iterable[str] = ()) -> list[str]:
    """Return the command line that runs a command in all of a host's namespaces and its root."""
    enter = ["nsenter", f"--target={init}", "-m", "-u", "-i", "-n", "-p", "-C", "--"]
    settings = [
        f"PATH={HOST_PATH}",
        "HOME=/root",
        "PODMAN_IGNORE_CGROUPSV1_WARNING=1",
        *environment,
    ]
    return [*enter, "env", "-i", *settings, *command]


def spawn(
    command: list[str],
    log: Path,
    *,
    before: Callable[[], None] | None = None,
    environment: dict[str, str] | None = None,
) -> None:
    """Start a process that outlives this one, its output in the log; `before` runs in it first."""
    with log.open("ab") as output:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509 -- there are no threads here
            env={**os.environ, **(environment or {})},
        )


def noted_pid(file: Path) -> int | None:
    """Return the process id that a service noted."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def start_redis(netns: str, directory: Path, address: str, password: str, log: Path) -> None:
    """Start Redis with an append-only file; no command line shows its password."""
    (directory / "redis").mkdir(exist_ok=True)
    conf = directory / "redis.conf"
    conf.touch(mode=0o600)
    conf.write_text(
        f"bind {address} 127.0.0.1\n"
        f'unixsocket "{directory}/redis.sock"\nunixsocketperm 600\n'
        f"requirepass {password}\n"
        f'dir "{directory}/redis"\nappendonly yes\n'
    )
    command = ["sh", "-c", NOTE_PID, f"{directory}/redis.pid", "redis-server", str(conf)]
    spawn(in_netns(netns, command), log)


def redis_version(directory: Path, password: str) -> str | None:
    """Ask Redis for its version over its unix socket; None when it does not answer."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(f"{directory}/redis.sock")
        connection.sendall(f"AUTH {password}\r\nINFO server\r\n".encode())
        answer = b""
        while b"redis_version:" not in answer or not answer.endswith(b"\r\n"):
            received = connection.recv(65536)
            if not received or b"LOADING" in received:
                return None
            answer += received
        return answer.split(b"redis_version:")[1].split()[0].decode()
    return None


def start_minio(
    netns: str, binary: Path, directory: Path, address: str, credentials: tuple[str, str], log: Path
) -> None:
    """Start MinIO; no command line shows its credentials."""
    environment = {
        "MINIO_ROOT_USER": credentials[0],
        "MINIO_ROOT_PASSWORD": credentials[1],
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    places = ["--certs-dir", f"{directory}/minio-certs", f"{directory}/minio"]
    service = [str(binary), "server", "--quiet", "--address", f"{address}:9000", *places]
    command = ["sh", "-c", NOTE_PID, f"{directory}/minio.pid", *service]
    spawn(in_netns(netns, command), log, environment=environment)


def minio_is_well(netns: str, address: str) -> bool:
    """Ask MinIO whether it serves."""
    try:
        with kernel.inside(netns):
            connection = http.client.HTTPConnection(address, 9000, timeout=2)
            connection.request("GET", "/minio/health/ready")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def start_host(
    netns: str, cgroup: str, name: str, rootfs: Path, directory: Path, log: Path
) -> None:
    """Boot a host: its init in namespaces and cgroups of its own, on the shared root."""
    cgroups.make(cgroup)
    flags = ["--cgroup", "--mount", "--uts", "--ipc", "--pid", "--fork"]
    script = ["sh", str(HOST_SH), name, str(rootfs), str(directory), *cgroups.host_sh_arguments()]
    spawn(
        in_netns(netns, ["unshare", *flags, "--", *script]),
        log,
        before=lambda: cgroups.join(cgroup),
    )


def host_init(netns: str) -> int | None:
    """Find the init of a host that has finished booting."""
    init = kernel.find_nested(kernel.netns_path(netns), 1)
    with suppress(OSError):
        if init and Path(f"/proc/{init}/comm").read_text() == "catatonit\n":
            return init
    return None


def start_podman(init: int, cgroup: str, log: Path) -> None:
    """Start a host's Podman API service."""
    service = "echo $$ >/run/podman/service.pid && exec podman system service --time=0"
    spawn(in_host(init, ["sh", "-c", service]), log, before=lambda: cgroups.join(cgroup))


def podman_pid(netns: str, directory: Path) -> int | None:
    """Find a host's Podman API service.

    By the host's pid namespace: Podman's main thread can be stuck in a container's network.
    """
    init, inner = host_init(netns), noted_pid(directory / "run/service.pid")
    return kernel.find_nested(kernel.pid_namespace(init), inner) if init and inner else None


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("d", timeout=2)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask_podman(path: Path, url: str) -> Any:  # noqa: ANN401 -- JSON
    """Return Podman's answer; None when it has none in two seconds, as during a checkpoint."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", url)
        return json.load(connection.getresponse())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


@contextmanager
def explained_by(log: Path) -> Iterator[None]:
    """Add what the log says last to an error."""
    try:
        yield
    except LabError as error:
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        raise LabError(f"{error}; {log} ends with: {lines[-1]}" if lines else str(error)) from None
