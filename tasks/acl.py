"""Users of the installation's Redis: who may do what, as the text of its ACL file.

Redis 7 is needed: permissions to only read or only write a key, and selectors
(https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum

from pydantic import Field, SecretStr, model_validator

from tasks.errors import InvalidRequestError
from tasks.models import HostName, Model

# Whoever may not is stopped by the last words, whichever category a command is in.
_WORK = "+@read +@write +@connection +@transaction +@scripting +publish"
_NOT = "-@dangerous -@admin -scan -randomkey -dbsize -function"
_EVENTS = "&/*.celeryev/*"
_RESULTS = "~celery-task-meta-* &celery-task-meta-*"
_LOGS = "~podferry:events:* ~podferry:lines:*"
_TOLD = (
    "~podferry:workers ~podferry:inventories ~podferry:ran ~podferry:canaries ~podferry:rates "
    "~podferry:hosts"
)
_ONLY_READ = (
    "%R~podferry:workflow:* %R~podferry:stated:* %R~podferry:workload:* %R~podferry:live "
    "%R~podferry:plan:* %R~podferry:payload:* %R~podferry:alive:* %R~podferry:evictions:* "
    "%R~podferry:cordons %R~podferry:labels %R~podferry:drains*"
)


class Role(StrEnum):
    """What a user of Redis is for."""

    ADMIN = "admin"  # a person who looks after Redis; no program of ours
    CONTROL = "control"  # control workers, and one that is a host's besides
    CLIENT = "client"  # the command line and control planes: records, no queues
    HOST = "host"  # one host's worker
    FLOWER = "flower"  # looks at queues, tasks and their results


class RedisUser(Model):
    """A user of Redis. The password is not kept: the file holds its SHA-256."""

    role: Role
    password: SecretStr = Field(repr=False)
    host: HostName | None = None  # a host user's host
    notices: bool = False  # a host user may begin drains: its worker looks for reclaim notices

    @property
    def name(self) -> str:
        """What it logs in as."""
        return f"host.{self.host}" if self.host else self.role

    @model_validator(mode="after")
    def _complete(self) -> RedisUser:
        if (self.role is Role.HOST) != (self.host is not None):
            raise InvalidRequestError("a host user needs a host, and no other user has one")
        return self


def acl_file(users: Iterable[RedisUser]) -> str:
    """The text for Redis' ``aclfile``: these users and nobody else.

    Nobody can log in as the user ``default``, which is off. It has its rights all the same: as it
    Redis 7.0 reads its own append-only file, and without them it leaves out every transaction.
    """
    return "".join(f"{line}\n" for line in ("user default off ~* &* +@all", *map(_line, users)))


def _line(user: RedisUser) -> str:
    digest = hashlib.sha256(user.password.get_secret_value().encode()).hexdigest()
    return f"user {user.name} on #{digest} {_rules(user)}"


def _rules(user: RedisUser) -> str:
    match user.role:
        case Role.ADMIN:
            return "~* &* +@all"
        case Role.CONTROL:
            queues = "~podferry:* ~control ~control:* ~host.* ~_kombu.binding*"
            return f"{queues} {_RESULTS} {_EVENTS} {_WORK} {_NOT}"
        case Role.CLIENT:
            return f"~podferry:* +@read +@write +@connection +@transaction {_NOT}"
        case Role.FLOWER:
            return _flower_rules()
        case Role.HOST:
            return _host_rules(user.host or "", notices=user.notices)


def _flower_rules() -> str:
    """It looks, and listens; what it writes are queues of its own, which nothing is put into.

    Celery looks after these, and calls for signs of life, which nobody hears: remote control is
    off. A pattern to listen to must stand here as it is asked for, with the database's number.
    """
    looks = (
        "%R~celery* %R~_kombu.binding* %R~host.* %R~control* "
        f"{_EVENTS} &/0.celeryev/* &*.reply.celery.pidbox "
        "+get +mget +smembers +llen +time +@connection +@transaction "
        f"+subscribe +psubscribe +unsubscribe +punsubscribe {_NOT}"
    )
    own = (
        "(+@read +@write +@scripting -@dangerous ~celeryev.* ~*.reply.celery.pidbox* ~unacked* "
        "~_kombu.binding*celeryev ~_kombu.binding_deadlines)"
    )
    return f"{looks} {own} (+publish &/*.celery.pidbox)"


def _host_rules(host: str, *, notices: bool) -> str:
    """A queue of its own; others' to send to. What says what is to be done it can only read.

    Of workflows it writes what it states itself (tasks.statements), and lines of their logs.

    A selector, in brackets, is a right of its own: these commands on these keys.
    """
    own = (
        f"~host.{host} ~host.{host}:* ~podferry:alive:host.{host} ~podferry:evictions:{host} "
        f"~podferry:stated:{host}:* "
        f"~podferry:notice:{host}:* ~_kombu.binding*"
    )
    selectors = [
        "(+lpush +llen %W~host.* %W~control)",
        "(+rpush %W~podferry:bell)",
    ]
    if notices:
        selectors.append(
            "(+@read +@write -@dangerous ~podferry:drain:* ~podferry:drains* ~podferry:cordons)"
        )
    keys = f"{own} {_LOGS} {_TOLD} {_RESULTS} {_ONLY_READ}"
    return f"{keys} {_EVENTS} {_WORK} {_NOT} {' '.join(selectors)}"
