"""One installation on this machine: Redis, a directory as store, workers over fake hosts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr
from redis import Redis

from podferry import Client, Settings
from tasks.acl import RedisUser, Role, acl_file
from tasks.signing import new_key_pair, write_new
from tests.leaks import PLANTED, archive_keys, logs, nothing_leaked, redis_content
from tests.many.hosts import FakeHosts
from tests.services import redis_server
from workers.settings import load_settings

START_SECONDS = 120.0
STOP_SECONDS = 20.0
LOOK_SECONDS = 0.1
LEASE_SECONDS = 3


@dataclass(kw_only=True)
class Worker:
    """A worker that is started again after its end, as systemd would."""

    name: str
    environment: Mapping[str, str]
    log: Path
    module: str = "tests.many.worker"
    restart_at: float | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Of its first process; 0 while it does not run."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it, in a process group of its own."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                env={**os.environ, **self.environment},
                stderr=output,
                stdout=output,
                start_new_session=True,
            )
        self.restart_at = None

    def kill(self, restart_after: float | None = None) -> None:
        """Kill all its processes at once; ``restart_due`` starts it again, if it is to."""
        self._end(signal.SIGKILL)
        self.restart_at = None if restart_after is None else time.monotonic() + restart_after

    def restart_due(self) -> None:
        """Start it again if its time has come."""
        if self.restart_at is not None and time.monotonic() >= self.restart_at:
            self.start()

    def stop(self) -> None:
        """End it as its administrator would."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        group = process.pid
        if number is signal.SIGTERM:
            process.send_signal(number)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(group, signal.SIGKILL)
        else:
            os.killpg(group, number)
        process.wait()


@dataclass(kw_only=True)
class Installation:
    """What runs, and a client of it."""

    hosts: FakeHosts
    client: Client
    redis_url: str
    directory: Path
    environment: Mapping[str, str]
    admin_url: str
    passwords: Mapping[str, str]
    workers: list[Worker] = field(default_factory=list)

    def await_workers(self) -> None:
        """Return when all of them have told what their hosts hold."""
        limit = time.monotonic() + START_SECONDS
        while sum(alive for _, alive in self.client.workers()) < len(self.workers):
            assert time.monotonic() < limit, self.logs()
            time.sleep(LOOK_SECONDS)
        self.client.inventories()

    def logs(self) -> str:
        """The last lines of every worker."""
        tails = ((w.name, w.log.read_text().splitlines()[-15:]) for w in self.workers)
        return "\n".join(f"{name}: {line}" for name, lines in tails for line in lines)

    @property
    def secrets(self) -> dict[str, str]:
        """What nobody may read anywhere, by name."""
        found = {"environment of a container": PLANTED, **self.passwords}
        signing = self.directory / "signing.pem"
        if signing.exists():
            found["signing key"] = signing.read_text().splitlines()[1]
        return found | archive_keys(self.directory / "keys.json")

    def search(self) -> None:
        """Search all logs and all of Redis for its secrets. Raises AssertionError."""
        nothing_leaked(self.secrets, logs(self.directory))
        with closing(Redis.from_url(self.admin_url)) as redis:
            nothing_leaked(self.secrets, redis_content(redis))


@contextmanager
def installation(
    directory: Path,
    hosts: Sequence[str],
    *,
    controls: int = 1,
    password: str = "",
    secured: bool = False,
) -> Iterator[Installation]:
    """Bring it up; its workers may still be starting.

    One that is ``secured`` is in production: each of its parts is a user of Redis by itself.
    """
    fake = FakeHosts(directory=directory, names=hosts)
    users = redis_users(hosts) if secured else []
    acl_text = acl_file(users) if secured else ""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(password=password, users=acl_text))
        stack.enter_context(fake.serving())
        environment = _environment(directory, redis.url)
        own = {user.name: _own(directory, redis.url, user) for user in users}
        if secured:
            for name, content in zip(("signing.pem", "verify.pem"), new_key_pair(), strict=True):
                write_new(directory / name, content)
        settings = _settings(environment | own.get(Role.CLIENT, {}))
        settings.key_ring().create()
        passwords = {user.name: user.password.get_secret_value() for user in users}
        workers: list[tuple[str, str, Path | None]] = [
            (host, f"host.{host}", fake.socket(host)) for host in hosts
        ]
        workers += [(f"control-{n}", str(Role.CONTROL), None) for n in range(controls)]
        made = Installation(
            hosts=fake,
            client=stack.enter_context(Client(settings)),
            redis_url=redis.url,
            directory=directory,
            environment=environment,
            admin_url=own.get(Role.ADMIN, environment)["PODFERRY_REDIS_URL"],
            passwords=passwords | ({"Redis' password": password} if password else {}),
            workers=[
                _worker(directory, environment | own.get(user, {}), name, socket)
                for name, user, socket in workers
            ],
        )
        stack.push(lambda kind, *_: None if kind else made.search())  # once the workers have ended
        for worker in made.workers:
            stack.callback(worker.stop)
            worker.start()
        yield made


def redis_users(hosts: Sequence[str]) -> list[RedisUser]:
    """Everybody in a secured installation; the password is the name."""
    roles = [role for role in Role if role is not Role.HOST]
    users = [RedisUser(role=role, password=SecretStr(f"{role}-password")) for role in roles]
    return users + [
        RedisUser(role=Role.HOST, host=host, password=SecretStr(f"host.{host}-password"))
        for host in hosts
    ]


def login(redis_url: str, user: RedisUser) -> str:
    """The URL at which a user is let in."""
    password = user.password.get_secret_value()
    return redis_url.replace("redis://", f"redis://{user.name}:{password}@")


def _own(directory: Path, redis_url: str, user: RedisUser) -> dict[str, str]:
    """What a part of a secured installation has for itself."""
    name = "SIGNING" if user.role is Role.CONTROL else "VERIFY"
    return {
        "PODFERRY_ENVIRONMENT": "production",
        "PODFERRY_REDIS_URL": login(redis_url, user),
        f"PODFERRY_{name}_KEY_FILE": str(directory / f"{name.lower()}.pem"),
        "XDG_STATE_HOME": str(directory / user.name),
    }


def _environment(directory: Path, redis_url: str) -> dict[str, str]:
    return {
        "PODFERRY_ENVIRONMENT": "dev",
        "PODFERRY_REDIS_URL": redis_url,
        "PODFERRY_STORE_URL": f"file://{directory / 'store'}",
        "PODFERRY_KEY_FILE": str(directory / "keys.json"),
        "PODFERRY_SPOOL": str(directory / "spool"),
        "PODFERRY_LEASE_SECONDS": str(LEASE_SECONDS),
        "PODFERRY_HOST": "",
        "PODFERRY_FALLBACK": "",
    }


def _settings(environment: Mapping[str, str]) -> Settings:
    names = ("environment", "redis_url", "store_url", "key_file", "spool", "lease_seconds")
    return load_settings(**{name: environment[f"PODFERRY_{name.upper()}"] for name in names})


def _worker(
    directory: Path, environment: Mapping[str, str], name: str, socket: Path | None
) -> Worker:
    own = {"PODFERRY_HOST": name, "PODFERRY_SOCKET": str(socket)} if socket else {}
    return Worker(
        name=name, environment={**environment, **own}, log=directory / f"worker-{name}.log"
    )
