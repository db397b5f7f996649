"""docs/upkeep.md, typed as it stands, in an installation in production."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError

from storage import KeyFile
from tasks.signing import read_public_keys
from tests.fleet import eventually
from tests.services import free_port
from tests.upkeep import HEADING, PAGE, Kept, certificate, consoles, kept_installation, server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    """Hosts a and b, a control worker, and the container ``web`` on a."""
    with kept_installation() as found:
        yield found


def test_a_backup_brings_everything_back(kept: Kept) -> None:
    kept.works()
    with kept.client() as client:
        known = {workflow.id for workflow in client.recent()}
    assert known
    kept.type("Backing up")
    saved = kept.directory / "backups"
    listed = subprocess.run(
        ["tar", "-tzf", str(saved / "podferry-secrets.tar.gz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "secrets/archive/keys.json" in listed.stdout.splitlines()
    assert [path.stat().st_mode & 0o077 for path in saved.iterdir()] == [0, 0]

    data, port = kept.directory / "new", free_port()
    data.mkdir()
    shutil.copy(saved / "podferry-redis.rdb", data / "dump.rdb")
    url = kept.url("admin").replace(f":{kept.port}/", f":{port}/")
    for options in (("--appendonly", "no"), ("--appendonly", "yes")):
        restored = server(kept.directory, port, data, *options)
        restored.start()
        try:
            with kept.connected(url) as redis:
                found = {
                    key.decode().rpartition(":")[2] for key in redis.keys("podferry:workflow:*")
                }
                assert known <= found
                keep_appending(redis)
        finally:
            restored.stop()


def keep_appending(redis: Redis) -> None:
    """Have a Redis write its append-only file; return when it has."""

    def written() -> bool:
        found = redis.info("persistence")
        return not (found["aof_rewrite_in_progress"] or found["aof_rewrite_scheduled"])

    redis.config_set("appendonly", "yes")
    eventually(written, "the append-only file is not written")


def test_the_archives_keys_are_rotated(kept: Kept) -> None:
    file = KeyFile(kept.secrets / "archive" / "keys.json")
    before = file.keys()
    printed = kept.type("The archives' keys")
    assert file.keys()[:-1] == before
    assert file.current().id in printed
    kept.works()


def test_the_keys_of_messages_are_rotated(kept: Kept) -> None:
    file = kept.secrets / "authority" / "verify.pem"
    before = file.read_text()
    kept.type("The keys of messages")
    assert file.read_text() != before
    assert len(read_public_keys(file)) == 1
    kept.works()


def test_a_password_of_redis_is_rotated(kept: Kept) -> None:
    old = kept.url("host.a")
    kept.type("A password of Redis")
    assert kept.url("host.a") != old
    with kept.connected(kept.url("host.a")) as redis:
        assert redis.ping()
    with kept.connected(old) as redis, pytest.raises(AuthenticationError):
        redis.ping()
    kept.works()


def test_certificates_are_renewed(kept: Kept) -> None:
    old = certificate(kept.port)
    kept.type("Certificates")
    assert certificate(kept.port) not in {old, None}
    kept.works()
    kept.redis.stop()
    kept.redis.start()
    kept.works()


def test_every_section_is_typed() -> None:
    typed = {*re.findall(r'kept\.type\("(.*)"\)', Path(__file__).read_text()), "Flower's login"}
    sections = HEADING.split(PAGE.read_text())[1:]
    assert {s.partition("\n")[0] for s in sections if consoles(s)} == typed
