"""Real servers for tests: on loopback, at free ports, in temporary directories."""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import boto3
import pytest

from storage import ObjectStore, open_objects

START_SECONDS = 30
STOP_SECONDS = 10
_POLL_SECONDS = 0.02


@dataclass(kw_only=True)
class Server:
    """One process. Can be killed and started again: same port, same data."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    is_ready: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the process and wait until it serves."""
        log = self.directory / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                cwd=self.directory,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"{self.command[0]} does not start: {log.read_text()[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the process as its administrator would."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A server that speaks S3: `endpoint` is its http(s) URL, the keys are its root user's."""

    endpoint: str
    access_key: str
    secret_key: str
    server: Server

    def url(self, bucket: str) -> str:
        """The object store URL of a bucket here."""
        return f"s3+{self.endpoint}/{bucket}"

    def objects(self, path: str, **options: Any) -> ObjectStore:  # noqa: ANN401 - open_objects'
        """A store at BUCKET[/PREFIX] here, with the root user's keys."""
        keys = {"access_key": self.access_key, "secret_key": self.secret_key}
        return open_objects(self.url(path), **{**keys, **options})

    def temporary_keys(self, policy: str) -> dict[str, str]:
        """Options of `objects` for somebody who may do what a policy says (MinIO has it)."""
        sts = boto3.client(
            "sts",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
        )
        with contextlib.closing(sts):
            given = sts.assume_role(
                RoleArn="arn:aws:iam::123456789012:role/podferry",
                RoleSessionName="podferry",
                Policy=policy,
            )["Credentials"]
        return {
            "access_key": given["AccessKeyId"],
            "secret_key": given["SecretAccessKey"],
            "session_token": given["SessionToken"],
        }


@dataclass(frozen=True, kw_only=True)
class RedisServer:
    """A Redis with its append-only file on: `url` is its database 0."""

    url: str
    server: Server


@contextlib.contextmanager
def minio_server(
    *,
    certificates: Path | None = None,
    environment: Mapping[str, str] | None = None,
    data: Path | None = None,
) -> Iterator[S3Server]:
    """A MinIO of its own, empty, with random keys. Skips the test when there is no MinIO here.

    With `certificates` (a directory with public.crt and private.key) it speaks TLS; `data` is
    where it keeps objects.
    """
    binary = cached_program("minio")
    address = f"127.0.0.1:{free_port()}"
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    scheme = "https" if certificates else "http"
    tls = ["--certs-dir", str(certificates)] if certificates else []
    with _directory() as directory:
        server = Server(
            command=[
                *(binary, "server", "--quiet", "--address", address, *tls),
                str(data or directory / "data"),
            ],
            environment={
                "MINIO_ROOT_USER": access_key,
                "MINIO_ROOT_PASSWORD": secret_key,
                "MINIO_BROWSER": "off",
                "MINIO_UPDATE": "off",
                "HOME": str(directory),
                **(environment or {}),
            },
            directory=directory,
            is_ready=lambda: _answers(f"{scheme}://{address}/minio/health/ready"),
        )
        with _running(server):
            yield S3Server(
                endpoint=f"{scheme}://{address}",
                access_key=access_key,
                secret_key=secret_key,
                server=server,
            )


@contextlib.contextmanager
def versitygw_server() -> Iterator[S3Server]:
    """A Versity S3 gateway on a directory, empty, with random keys. Skips where there is none."""
    binary = cached_program("versitygw")
    address = f"127.0.0.1:{free_port()}"
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    with _directory() as directory:
        for name in ("data", "meta"):
            (directory / name).mkdir()
        server = Server(
            command=[
                *(binary, "--port", address, "--health", "/health", "--quiet"),
                # metadata beside the data: not every file system has extended attributes
                *("posix", "--sidecar", f"{directory}/meta", f"{directory}/data"),
            ],
            environment={"ROOT_ACCESS_KEY_ID": access_key, "ROOT_SECRET_ACCESS_KEY": secret_key},
            directory=directory,
            is_ready=lambda: _answers(f"http://{address}/health"),
        )
        with _running(server):
            yield S3Server(
                endpoint=f"http://{address}",
                access_key=access_key,
                secret_key=secret_key,
                server=server,
            )


@contextlib.contextmanager
def redis_server(*, password: str = "", users: str = "") -> Iterator[RedisServer]:
    """A Redis of its own, empty. Skips the test when there is no redis-server here.

    It asks for the `password`, if there is one. With `users`, the text of an ACL file, `url` names
    none of them.
    """
    binary = shutil.which("redis-server")
    if binary is None:
        _missing("no redis-server in PATH")
    port = free_port()
    secured = ["--requirepass", password] if password else []
    with _directory() as directory:
        if users:
            (directory / "users.acl").write_text(users)
            secured = ["--aclfile", str(directory / "users.acl")]
        server = Server(
            command=[
                binary,
                *secured,
                *("--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)),
                *("--appendonly", "yes", "--save", ""),
            ],
            environment={},
            directory=directory,
            is_ready=lambda: _pongs(port, password),
        )
        user = f":{password}@" if password else ""
        with _running(server):
            yield RedisServer(url=f"redis://{user}127.0.0.1:{port}/0", server=server)


def free_port() -> int:
    """A TCP port on loopback that nothing listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    # a killed server may leave files that are still being written
    with tempfile.TemporaryDirectory(prefix="podferry-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PODFERRY_CACHE") or Path(base, "podferry"))


def cached_program(name: str) -> str:
    """The path of a program that a script in ops/setup has built. Skips where there is none."""
    binary = _cache_directory() / "bin" / name
    if not os.access(binary, os.X_OK):
        _missing(f"no {name} at {binary}; ops/setup/{name}.sh builds it")
    return str(binary)


def _missing(reason: str) -> NoReturn:
    """A laptop may lack a server; in CI that would be a test suite that tests nothing."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _answers(url: str) -> bool:
    # only whether it answers: a test says itself which certificates are to be trusted
    context = ssl._create_unverified_context()  # noqa: S323
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=START_SECONDS) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _pongs(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS) as connection:
            login = f"AUTH {password}\r\n" if password else ""
            connection.sendall(f"{login}PING\r\nQUIT\r\n".encode())
            # while it loads its file it answers -LOADING
            answer = connection.makefile("rb").read()
            return b"+PONG" in answer or b"-NOAUTH" in answer
    except OSError:
        return False
