"""An installation as ``podferry init`` makes it, and what types docs/upkeep.md in it.

Redis, its users and certificates, the workers and all files are real; the hosts are fakes. What the
page has systemd do is done to the workers here.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from podferry import Client, Outcome
from tests.acceptance.console import blocks
from tests.fleet import WAIT_SECONDS, eventually
from tests.lab import ROOT
from tests.leaks import archive_keys, logs, nothing_leaked
from tests.many.hosts import FakeHosts
from tests.many.installation import Worker
from tests.services import Server, free_port
from workers.installation import add_host, make_installation
from workers.settings import load_settings

PAGE = ROOT / "docs" / "upkeep.md"
HEADING = re.compile(r"(?m)^##+ ")
RESTART = re.compile(r"systemctl restart podferry-(host|control)\b")
ROLES = ("control", "client", "host.a", "host.b")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An installation, and what types the page's commands in it."""

    directory: Path
    port: int
    redis: Server
    hosts: FakeHosts
    workers: dict[str, Worker]

    @property
    def secrets(self) -> Path:
        """Where its files are."""
        return self.directory / "secrets"

    def url(self, role: str) -> str:
        """At which a role logs in to Redis."""
        return (self.secrets / role / "podferry_redis_url").read_text().strip()

    def connected(self, url: str) -> Redis:
        """Redis, as whom a URL names."""
        return Redis.from_url(url, ssl_ca_certs=str(self.secrets / "authority" / "ca.pem"))

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client with the settings that are in its files now."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PODFERRY_SECRETS_DIR", str(self.secrets / "client"))
            settings = load_settings()
        with Client(settings) as client:
            yield client

    def type(self, section: str) -> str:
        """Type a section's commands; return what they print. What it shows must be printed."""
        (text,) = (t for t in HEADING.split(PAGE.read_text()) if t.startswith(section))
        printed = ""
        for block in consoles(text):
            segments = RESTART.split(block)
            for segment, restarted in zip(segments[::2], [*segments[1::2], None], strict=True):
                printed += self._typed(segment)
                if restarted:
                    self.restart(restarted)
            for line in block.splitlines():
                assert line.startswith("$ ") or line in printed.splitlines(), line
        return printed

    def _typed(self, block: str) -> str:
        prelude = consoles(HEADING.split(PAGE.read_text())[0])[0]
        lines = [s.removeprefix("$ ") for s in f"{prelude}{block}".splitlines() if s[:2] == "$ "]
        script = "\n".join(lines).replace("-p 6379", f"-p {self.port}")
        for theirs, ours in {"/etc/podferry": self.directory, "/var": self.directory}.items():
            script = script.replace(theirs, str(ours))
        path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={"PATH": path, "HOME": str(self.directory)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def restart(self, kind: str) -> None:
        """Restart the control worker, or the hosts'; return when they are back."""
        chosen = [w for w in self.workers.values() if (w.name == "control") == (kind == "control")]
        for worker in chosen:
            worker.stop()
            worker.start()
        self.await_workers()

    def await_workers(self) -> None:
        """Return when those that run now have told of themselves."""
        wanted = {worker.pid for worker in self.workers.values()}

        def all_here() -> bool:
            return wanted <= {info.pid for info, alive in client.workers() if alive}

        with self.client() as client:
            eventually(all_here, self.logs(), seconds=2 * WAIT_SECONDS)
            client.inventories()

    def logs(self) -> str:
        """The ends of the workers' logs."""
        return "\n".join(text[-1500:] for _, text in logs(self.directory))

    def works(self) -> None:
        """Move the container to the other host; return when that one tells of it."""
        with self.client() as client:
            (source,) = {host for host, _ in self.hosts.places("web")}
            (target,) = {"a", "b"} - {source}
            moved = client.migrate("web", to=target)
            ended = client.wait(moved.id, timeout_seconds=WAIT_SECONDS)
            assert ended.outcome is Outcome.MOVED, f"{ended.reason}\n{self.logs()}"
            eventually(lambda: self.told(client) == {target}, f"{target} does not tell of web")

    @staticmethod
    def told(client: Client) -> set[str]:
        """The hosts that tell of the container."""
        told = ((i.host, w.name) for i in client.inventories() for w in i.containers)
        return {host for host, name in told if name == "web"}


def consoles(text: str) -> list[str]:
    with tempfile.NamedTemporaryFile("w+", suffix=".md") as file:
        file.write(text)
        file.flush()
        return blocks(Path(file.name), "console")


@contextmanager
def kept_installation() -> Iterator[Kept]:
    """Hosts a and b, a control worker, and the container ``web`` on a."""
    with ExitStack() as stack:
        named = tempfile.TemporaryDirectory(prefix="pf-", dir="/tmp", ignore_cleanup_errors=True)
        directory = Path(stack.enter_context(named))
        (directory / "backups").mkdir()
        port = free_port()
        made(directory, port)
        hosts = FakeHosts(directory=directory, names="ab")
        stack.enter_context(hosts.serving())
        redis = server(directory, port, directory / "redis")
        stack.callback(redis.stop)
        redis.start()
        workers = {name: worker(directory, name, hosts) for name in ("control", "a", "b")}
        found = Kept(directory=directory, port=port, redis=redis, hosts=hosts, workers=workers)
        for each in workers.values():
            stack.callback(each.stop)
            each.start()
        found.await_workers()
        hosts.run("a", "web")
        with found.client() as client:
            eventually(lambda: found.told(client) == {"a"}, "a does not tell of web")
        yield found
        own = {role: str(urlsplit(found.url(role)).password) for role in ROLES}
        nothing_leaked(own | archive_keys(found.secrets / "archive/keys.json"), logs(directory))


def made(directory: Path, port: int) -> None:
    """What ``podferry init`` makes, for a Redis at this port, and a store in a directory."""
    make_installation(directory, hub="127.0.0.1")
    for host in ("a", "b"):
        add_host(directory, host, notices=False)
    for file in (directory / "secrets").glob("*/podferry_redis_url"):
        file.write_text(file.read_text().replace(":6379/", f":{port}/"))
    for role in ROLES:
        for file in (directory / "secrets" / role).glob("podferry_store_*"):
            file.unlink()
        (directory / "secrets" / role / "podferry_store_url").write_text(
            f"file://{directory / 'store'}"
        )
    for path in (directory / "secrets").rglob("*"):  # Redis and all workers are root here
        shutil.chown(path, 0, 0)


def server(directory: Path, port: int, data: Path, *options: str) -> Server:
    """A Redis with the installation's users and certificate."""
    data.mkdir(exist_ok=True)
    secrets = directory / "secrets" / "redis"
    return Server(
        command=[
            *("redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1"),
            *("--tls-cert-file", f"{secrets}/tls.crt", "--tls-key-file", f"{secrets}/tls.key"),
            *("--tls-auth-clients", "no", "--aclfile", f"{secrets}/users.acl"),
            *("--dir", str(data), "--save", "", *(options or ("--appendonly", "yes"))),
        ],
        environment={},
        directory=data,
        is_ready=lambda: certificate(port) is not None,
    )


def certificate(port: int) -> bytes | None:
    """What a server shows at a port, once it serves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain) as wrapped,
        ):
            return wrapped.getpeercert(binary_form=True)
    except OSError:
        return None


def worker(directory: Path, name: str, hosts: FakeHosts) -> Worker:
    role = name if name == "control" else f"host.{name}"
    own = {} if name == "control" else {"PODFERRY_SOCKET": str(hosts.socket(name))}
    environment = {
        "PODFERRY_ENVIRONMENT": "production",
        "PODFERRY_SECRETS_DIR": str(directory / "secrets" / role),
        "PODFERRY_SPOOL": str(directory / "spool" / name),
        "XDG_STATE_HOME": str(directory / "state" / name),
        **own,
    }
    return Worker(name=name, environment=environment, log=directory / f"worker-{name}.log")
