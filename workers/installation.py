"""The files of an installation: what its services and its people prove with who they are.

Each role has a directory of settings, which ``PODFERRY_SECRETS_DIR`` names: a file
``podferry_redis_url`` in it is the setting ``redis_url``. Nothing is ever overwritten.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import bcrypt
from pydantic import SecretStr

from storage import KeyFile
from tasks.acl import RedisUser, Role, acl_file
from tasks.errors import InvalidRequestError
from tasks.signing import new_key_pair
from workers.authority import Authority

SERVICE_ID = 10001  # user and group of the processes in our images (ops/images)
REDIS_PORT = 6379
STORE_PORT = 9000
BUCKET = "podferry"
OPERATOR = "operator"  # the name that people log in with
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

SERVICES = (
    *(Role.CONTROL, Role.FLOWER),
    *("archive", "authority", "grafana", "minio", "proxy", "redis"),
)
"""Directories whose files processes in containers read; the others are their maker's alone."""


def make_installation(directory: Path, *, hub: str) -> None:
    """Make ``secrets`` and ``.env`` in a directory, for servers that are reached as ``hub``.

    Only their owner may read them. Raises InvalidRequestError where there is one of them already,
    or no writing.
    """
    made = directory.absolute() / "secrets"
    environment = directory.absolute() / ".env"
    for path in (made, environment):
        if path.exists():
            raise InvalidRequestError(
                f"{path} exists, and nothing of it is overwritten; name another directory, "
                "or move it away"
            )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".secrets-", dir=directory) as name:
            new = Path(name) / "secrets"
            new.mkdir(mode=0o700)
            for file, content in secret_files(made, hub).items():
                _write(new / file, content)
            KeyFile(new / "archive" / "keys.json").create()
            _give_away(new)
            _write(environment, compose_variables(made, hub))
            new.rename(made)  # all of them or none
    except OSError as error:
        raise _unwritable(error) from error


def add_host(directory: Path, host: str, *, notices: bool) -> Path:
    """Make the settings of one more host's worker, and its user of Redis; return where they are.

    With ``notices`` it may drain itself. Raises InvalidRequestError where the host has some
    already, or the directory holds no installation.
    """
    made = directory.absolute() / "secrets"
    require_installation(made)
    user = RedisUser(role=Role.HOST, host=host, password=_password(), notices=notices)
    if (made / user.name).exists():
        raise InvalidRequestError(f"{made / user.name} exists: the host is known already")
    try:
        settings = {p.name: p.read_text().strip() for p in (made / Role.CLIENT).iterdir()}
        hub = urlsplit(settings["podferry_redis_url"]).hostname or ""
        settings |= {"podferry_redis_url": _redis_url(user, hub), "podferry_host": host}
        settings["podferry_verify_key_file"] = str(made / "authority" / "verify.pem")
        for name, value in settings.items():
            _write(made / user.name / name, value)
        with (made / "redis" / "users.acl").open("a") as users:
            users.write(acl_file([user]).partition("\n")[2])
    except OSError as error:
        raise _unwritable(error) from error
    return made / user.name


def require_installation(made: Path) -> None:
    """Return where a directory holds an installation's secrets, else raise InvalidRequestError."""
    if not (made / Role.CLIENT).is_dir():
        raise InvalidRequestError(
            f"{made} holds no installation; make one with podferry init, or say where: --dir DIR"
        )


def secret_files(made: Path, hub: str) -> Mapping[str, str]:
    """What is made in the directory ``made``, by path below it, but for the archives' keys."""
    users = [RedisUser(role=role, password=_password()) for role in Role if role is not Role.HOST]
    store, login = _password().get_secret_value(), _password().get_secret_value()
    authority = Authority.new(f"Podferry at {hub}")
    redis_certificate, redis_key = authority.issue([hub, "redis", *LOCAL_NAMES])
    signing, verify = (content.decode() for content in new_key_pair())
    store_certificate, store_key = authority.issue([hub, "minio", *LOCAL_NAMES])
    files = {
        "authority/ca.pem": authority.certificate,
        "authority/verify.pem": verify,
        "control/signing.pem": signing,
        "control/podferry_signing_key_file": str(made / "control" / "signing.pem"),
        f"{OPERATOR}/ca.key": authority.key,
        "redis/users.acl": acl_file(users),
        "redis/tls.crt": redis_certificate,
        "redis/tls.key": redis_key,
        "minio/root_user": "root",
        "minio/root_password": _password().get_secret_value(),
        "minio/podferry_password": store,
        "minio/certs/public.crt": store_certificate,
        "minio/certs/private.key": store_key,
        "proxy/htpasswd": f"{OPERATOR}:{_login_hash(login)}",
        f"{OPERATOR}/flower_password": login,
        "grafana/admin_password": _password().get_secret_value(),
    }
    for user in users:
        files |= {f"{user.name}/{name}": v for name, v in _redis_settings(made, user, hub).items()}
    for role in (Role.CONTROL, Role.CLIENT):
        files |= {
            f"{role}/podferry_store_url": f"s3+https://{hub}:{STORE_PORT}/{BUCKET}",
            f"{role}/podferry_store_access_key": BUCKET,
            f"{role}/podferry_store_secret_key": store,
            f"{role}/podferry_store_ca_file": str(made / "authority" / "ca.pem"),
            f"{role}/podferry_key_file": str(made / "archive" / "keys.json"),
        }
    return files


def compose_variables(made: Path, hub: str) -> str:
    """The variables of docker-compose.yml, none of them secret."""
    return f"""
# Of docker-compose.yml; docs/install.md has all of them. So that hosts reach Redis and MinIO:
# PODFERRY_ADDRESS=THE ADDRESS OF THIS MACHINE
PODFERRY_HUB={hub}
PODFERRY_SECRETS={made}
"""


def _redis_settings(made: Path, user: RedisUser, hub: str) -> dict[str, str]:
    return {
        "podferry_redis_url": _redis_url(user, hub),
        "podferry_redis_ca_file": str(made / "authority" / "ca.pem"),
    }


def _redis_url(user: RedisUser, hub: str) -> str:
    return f"rediss://{user.name}:{user.password.get_secret_value()}@{hub}:{REDIS_PORT}/0"


def _password() -> SecretStr:
    return SecretStr(secrets.token_urlsafe(24))  # 192 bits: no hash of it is worth an attack


def _login_hash(password: str) -> str:
    # The proxy computes it at every request; a password of 192 bits needs no slower one.
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{content.strip()}\n")


def _give_away(new: Path) -> None:
    """Made by root, what services read is theirs; else it stays their maker's, as the services."""
    if os.geteuid() != 0:
        return
    for name in SERVICES:
        for path in (new / name, *(new / name).rglob("*")):
            shutil.chown(path, SERVICE_ID, SERVICE_ID)


def _unwritable(error: OSError) -> InvalidRequestError:
    return InvalidRequestError(f"{error.filename}: {(error.strerror or str(error)).lower()}")
