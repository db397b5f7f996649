from __future__ import annotations

from hashlib import sha256

import pytest
from pydantic import SecretStr

from tasks.acl import RedisUser, Role, acl_file
from tasks.errors import InvalidRequestError


def user(role: Role, host: str | None = None, *, notices: bool = False) -> RedisUser:
    return RedisUser(role=role, host=host, password=SecretStr("s3cret"), notices=notices)


def test_nobody_is_let_in_without_a_name_and_no_password_is_in_the_file() -> None:
    text = acl_file([user(role) for role in Role if role is not Role.HOST] + [user(Role.HOST, "a")])
    default, *lines = text.splitlines()
    assert default.startswith("user default off ")
    assert [line.split()[1] for line in lines] == ["admin", "control", "client", "flower", "host.a"]
    assert all(f"#{sha256(b's3cret').hexdigest()}" in line for line in lines)
    assert "s3cret" not in text


def test_only_a_host_user_has_a_host() -> None:
    for role, host in ((Role.HOST, None), (Role.CLIENT, "a")):
        with pytest.raises(InvalidRequestError, match="host"):
            user(role, host)


def test_a_host_begins_drains_only_if_it_looks_for_notices() -> None:
    drains = "~podferry:drain:*"
    assert drains not in acl_file([user(Role.HOST, "a")]).split()
    assert drains in acl_file([user(Role.HOST, "a", notices=True)]).split()


def test_a_host_reads_records_and_writes_its_own_statements() -> None:
    rules = acl_file([user(Role.HOST, "a")]).split()
    about = {rule for rule in rules if ":workflow" in rule or ":stated:" in rule}
    assert about == {
        "%R~podferry:workflow:*",
        "%R~podferry:stated:*",
        "~podferry:stated:a:*",
    }
