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
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import bcrypt

from storage import KeyFile
from tasks.errors import InvalidRequestError

SERVICE_ID = 10001  # user and group of the processes in our images (ops/images/Containerfile)
REDIS_PORT = 6379
STORE_PORT = 9000
BUCKET = "podferry"
OPERATOR = "operator"  # the name that people log in with


class Role(StrEnum):
    """Who talks to Redis, each with a password of its own."""

    CONTROL = "control"
    HOST = "host"
    CLIENT = "client"  # the command line, and control planes
    FLOWER = "flower"


SERVICES = (Role.CONTROL, Role.FLOWER, "archive", "grafana", "minio", "proxy", "redis")
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
        raise InvalidRequestError(f"{error.filename}: {error.strerror}") from error


def secret_files(made: Path, hub: str) -> Mapping[str, str]:
    """What is made in the directory ``made``, by path below it, but for the archives' keys."""
    redis = {role: _password() for role in Role}
    store, login = _password(), _password()
    files = {
        "redis/users.acl": redis_users(redis),
        "minio/root_user": "root",
        "minio/root_password": _password(),
        "minio/podferry_password": store,
        "proxy/htpasswd": f"{OPERATOR}:{_login_hash(login)}",
        f"{OPERATOR}/flower_password": login,
        "grafana/admin_password": _password(),
    }
    for role, password in redis.items():
        # its servers do not speak TLS yet: a network that others are in needs a tunnel
        files[f"{role}/podferry_environment"] = "dev"
        files[f"{role}/podferry_redis_url"] = f"redis://{role}:{password}@{hub}:{REDIS_PORT}/0"
    for role in (Role.CONTROL, Role.HOST, Role.CLIENT):
        files[f"{role}/podferry_store_url"] = f"s3+http://{hub}:{STORE_PORT}/{BUCKET}"
        files[f"{role}/podferry_store_access_key"] = BUCKET
        files[f"{role}/podferry_store_secret_key"] = store
        files[f"{role}/podferry_key_file"] = str(made / "archive" / "keys.json")
    return files


def redis_users(passwords: Mapping[Role, str]) -> str:
    """Redis' ACL file, which holds hashes: nobody comes in without a name and a password."""
    users = [
        f"user {role} on #{sha256(password.encode()).hexdigest()} ~* &* +@all -@admin -@dangerous"
        for role, password in passwords.items()
    ]
    return "\n".join(["user default off", *users])


def compose_variables(made: Path, hub: str) -> str:
    """The variables of docker-compose.yml, none of them secret."""
    return f"PODFERRY_HUB={hub}\nPODFERRY_SECRETS={made}"


def _password() -> str:
    return secrets.token_urlsafe(24)  # 192 bits: no hash of it is worth an attack


def _login_hash(password: str) -> str:
    # The proxy computes it at every request; a password of 192 bits needs no slower one.
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{content}\n")


def _give_away(new: Path) -> None:
    """Made by root, what services read is theirs; else it stays their maker's, as the services."""
    if os.geteuid() != 0:
        return
    for name in SERVICES:
        for path in (new / name, *(new / name).iterdir()):
            shutil.chown(path, SERVICE_ID, SERVICE_ID)
