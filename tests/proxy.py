"""Flower as an operator gets it: ``podferry flower`` on a socket, nginx with a login before it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.fleet import PODFERRY, WAIT_SECONDS
from tests.lab import ROOT, missing
from tests.leaks import logs, nothing_leaked
from tests.services import Server, free_port
from workers.installation import OPERATOR, make_installation

CONFIG = ROOT / "ops" / "flower" / "nginx.conf"


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """The proxy before a Flower, and who may log in."""

    port: int
    password: str
    flower: Server
    directory: Path  # of its installation

    @property
    def log(self) -> str:
        """What it has noted so far."""
        return (self.directory / "nginx" / "log").read_text()

    @property
    def address(self) -> str:
        """Its URL, for one who has not logged in."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def logged_in(self) -> str:
        """Its URL as a browser takes a login."""
        return f"http://{OPERATOR}:{quote(self.password)}@127.0.0.1:{self.port}"

    def ask(
        self, path: str, *, method: str = "GET", password: str | None = None
    ) -> tuple[int, str]:
        """Its status and answer, with a login unless the password is empty."""
        asked = urllib.request.Request(f"{self.address}{path}", method=method)  # noqa: S310 - http
        login = self.password if password is None else password
        if login:
            token = base64.b64encode(f"{OPERATOR}:{login}".encode()).decode()
            asked.add_header("Authorization", f"Basic {token}")
        try:
            with urllib.request.urlopen(asked, timeout=WAIT_SECONDS) as answer:  # noqa: S310 - http
                return answer.status, str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def read(self, path: str) -> str:
        """What it answers one who is logged in, be it an error."""
        return self.ask(path)[1]


@contextmanager
def flower_behind_proxy(
    directory: Path, redis_url: str, *, hidden: Mapping[str, str]
) -> Iterator[Proxy]:
    """Serve Flower for an installation's Redis, with the login that ``podferry init`` made.

    In the end its pages and logs are searched for what is ``hidden``, and its own secrets.
    """
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        missing("no nginx; ops/setup/system.sh installs it")
    base = directory / "flower"
    make_installation(base, hub="127.0.0.1")
    (base / "secrets" / "flower" / "podferry_redis_url").write_text(redis_url)
    for name in ("run", "nginx"):
        (base / name).mkdir(mode=0o700)
    port = free_port()
    (base / "nginx.conf").write_text(_adapted(base, port))
    flower = Server(
        command=[
            *(PODFERRY, "flower", "--unix-socket", f"{base}/run/flower.sock"),
            *("--state", f"{base}/state"),
        ],
        environment={"PODFERRY_SECRETS_DIR": str(base / "secrets" / "flower")},
        directory=base / "run",
        is_ready=(base / "run" / "flower.sock").exists,
    )
    made = Proxy(
        port=port,
        password=(base / "secrets" / OPERATOR / "flower_password").read_text().strip(),
        flower=flower,
        directory=base,
    )
    server = Server(
        command=[str(nginx), "-c", f"{base}/nginx.conf", "-e", "stderr"],
        environment={},
        directory=base / "nginx",
        is_ready=lambda: _serves(made),
    )
    flower.start()
    try:
        server.start()
        yield made
        own = {"Flower's login": made.password, "hash": _hash(base), **hidden}
        nothing_leaked(own, pages(made))
        nothing_leaked(own, logs(base / "run"))
        nothing_leaked(own, logs(base / "nginx"))
    finally:
        server.stop()
        flower.stop()


def pages(proxy: Proxy) -> Iterator[tuple[str, str]]:
    """Everything that a Flower shows, by path."""
    workers = json.loads(proxy.read("/workers?json=1"))["data"]
    places = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/workers", "/api/tasks"]
    places += ["/api/task/types", "/api/queues/length"]
    places += [f"/worker/{worker['hostname']}" for worker in workers]
    for task_id in json.loads(proxy.read("/api/tasks")):
        places += [f"/api/task/info/{task_id}", f"/api/task/result/{task_id}", f"/task/{task_id}"]
    for place in places:
        yield place, proxy.read(place)


def _hash(base: Path) -> str:
    """What the proxy compares a password with."""
    return (base / "secrets" / "proxy" / "htpasswd").read_text().strip().partition(":")[2]


def _adapted(base: Path, port: int) -> str:
    """The configuration as it is delivered, in this test's places."""
    text = "user root;\n" if os.geteuid() == 0 else ""  # its workers are to read root's files
    text += CONFIG.read_text()
    for theirs, ours in {
        "127.0.0.1:5556": f"127.0.0.1:{port}",
        "/run/podferry-flower": str(base / "run"),
        "/run/podferry-proxy": str(base / "nginx"),
        "/etc/podferry": str(base),
    }.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


def _serves(proxy: Proxy) -> bool:
    try:
        return proxy.ask("/healthcheck") == (200, "OK")
    except OSError:
        return False
