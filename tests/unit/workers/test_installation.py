from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from stat import S_IMODE
from urllib.parse import urlsplit

import bcrypt
import pytest
from cryptography.x509 import (
    DNSName,
    IPAddress,
    SubjectAlternativeName,
    load_pem_x509_certificate,
)
from cryptography.x509.verification import PolicyBuilder, Store
from pydantic import ValidationError

from storage import KeyFile
from tasks.acl import Role
from tasks.errors import InvalidRequestError
from tasks.models import now
from tasks.signing import HEADER, Link, Signer, Verifier, read_public_keys
from workers.installation import SERVICE_ID, SERVICES, add_host, make_installation
from workers.renewal import renew_certificates
from workers.secure import require_secure, require_signing
from workers.settings import Settings, load_settings

LINK = Link(task="podferry.up", arguments={}, queue="host.a")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PODFERRY_{name.upper()}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file())


USERS = [role for role in Role if role is not Role.HOST]


def make(directory: Path) -> Path:
    make_installation(directory, hub="hub.example")
    return directory / "secrets"


def test_only_their_owner_may_read_what_is_made(tmp_path: Path) -> None:
    secrets = make(tmp_path / "new")
    for path in (secrets, *secrets.rglob("*"), tmp_path / "new" / ".env"):
        assert S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [".env", "secrets"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_services_read_is_theirs_and_the_rest_is_roots(tmp_path: Path) -> None:
    secrets = make(tmp_path)
    for path in secrets.iterdir():
        owner = SERVICE_ID if path.name in SERVICES else 0
        assert {found.stat().st_uid for found in (path, *path.rglob("*"))} == {owner}, path


def test_no_two_secrets_and_no_two_installations_are_alike(tmp_path: Path) -> None:
    passwords: list[str] = []
    for name in ("one", "other"):
        secrets = make(tmp_path / name)
        urls = [urlsplit(read(secrets / role / "podferry_redis_url")) for role in USERS]
        passwords += [str(url.password) for url in urls]
        passwords += [read(secrets / "minio" / "root_password")]
        passwords += [read(secrets / "minio" / "podferry_password")]
        passwords += [read(secrets / "operator" / "flower_password")]
        passwords += [read(secrets / "grafana" / "admin_password")]
    assert len(set(passwords)) == len(passwords) == 16
    assert min(len(password) for password in passwords) == 32


@pytest.mark.parametrize("role", ["control", "client", "host.a"])
def test_each_role_has_settings_that_production_takes(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = make(tmp_path)
    add_host(tmp_path, "a", notices=False)
    monkeypatch.setenv("PODFERRY_SECRETS_DIR", str(secrets / role))
    settings = load_settings()
    require_secure(settings)
    url = urlsplit(settings.redis_url)
    assert (url.scheme, url.username, url.hostname) == ("rediss", role, "hub.example")
    assert settings.store_url == "s3+https://hub.example:9000/podferry"
    assert settings.redis_ca_file == settings.store_ca_file == secrets / "authority" / "ca.pem"
    assert settings.store_secret_key is not None
    password = read(secrets / "minio" / "podferry_password")
    assert settings.store_secret_key.get_secret_value() == password
    assert settings.key_ring().keys() == KeyFile(secrets / "archive" / "keys.json").keys()
    assert settings.host == ("a" if role == "host.a" else None)
    if role != "client":
        require_signing(settings, control=role == "control")


def test_the_hosts_check_messages_with_the_control_worker_s_key(tmp_path: Path) -> None:
    secrets = make(tmp_path)
    signer = Signer(secrets / "control" / "signing.pem")
    header = signer.headers([LINK], now() + timedelta(minutes=1))[HEADER]
    keys = read_public_keys(secrets / "authority" / "verify.pem")
    Verifier(keys, [LINK.queue]).check(LINK.task, LINK.arguments, header)


def test_hosts_are_added_each_with_a_user_of_its_own(tmp_path: Path) -> None:
    secrets = make(tmp_path)
    before = read(secrets / "redis" / "users.acl")
    made = [add_host(tmp_path, host, notices=host == "b") for host in "ab"]
    assert made == [secrets / "host.a", secrets / "host.b"]
    users = read(secrets / "redis" / "users.acl")
    assert users.startswith(before)
    added = users.removeprefix(before).strip().splitlines()
    assert [line.split()[1] for line in added] == ["host.a", "host.b"]
    assert ["podferry:drains*" in line.partition("(+@read")[2] for line in added] == [False, True]
    with pytest.raises(InvalidRequestError, match="known already"):
        add_host(tmp_path, "a", notices=False)
    assert read(secrets / "redis" / "users.acl") == users
    assert all(S_IMODE(path.stat().st_mode) == 0o600 for path in files(secrets))


@pytest.mark.parametrize(("host", "reason"), [("Bad!", "no host's name"), ("a", "known already")])
def test_a_host_that_cannot_be_added_is_none(host: str, reason: str, tmp_path: Path) -> None:
    make(tmp_path)
    add_host(tmp_path, "a", notices=False)
    with pytest.raises((InvalidRequestError, ValidationError), match=reason):
        add_host(tmp_path, host, notices=False)


@pytest.mark.parametrize("server", ["redis/tls", "minio/certs/public"])
def test_servers_have_certificates_of_the_installations_authority(
    server: str, tmp_path: Path
) -> None:
    secrets = make(tmp_path)
    authority = load_pem_x509_certificate((secrets / "authority" / "ca.pem").read_bytes())
    found = load_pem_x509_certificate((secrets / f"{server}.crt").read_bytes())
    found.verify_directly_issued_by(authority)
    strictly = PolicyBuilder().store(Store([authority]))
    strictly.build_server_verifier(DNSName("hub.example")).verify(found, [])
    names = found.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert "hub.example" in names.get_values_for_type(DNSName)


@pytest.mark.parametrize("hub", [None, "other.example"])
def test_certificates_are_renewed_by_the_same_authority(hub: str | None, tmp_path: Path) -> None:
    secrets = make(tmp_path)
    before = {path: path.read_text() for path in files(secrets)}
    owners = {path: (path.stat().st_uid, path.stat().st_mode) for path in before}
    made = renew_certificates(tmp_path, hub=hub)
    assert made == [secrets / "redis/tls.crt", secrets / "minio/certs/public.crt"]
    changed = {path for path, text in before.items() if path.read_text() != text}
    assert changed == {*made, secrets / "redis/tls.key", secrets / "minio/certs/private.key"}
    assert owners == {path: (path.stat().st_uid, path.stat().st_mode) for path in before}
    for path in made:
        names = load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(
            SubjectAlternativeName
        )
        known = names.value.get_values_for_type(DNSName)
        assert known[0] == (hub or "hub.example")
        assert "127.0.0.1" in map(str, names.value.get_values_for_type(IPAddress))


def test_where_no_installation_is_the_next_step_is_named(tmp_path: Path) -> None:
    for act in (renew_certificates, partial(add_host, host="a", notices=False)):
        with pytest.raises(InvalidRequestError, match=r"secrets holds no installation.*init"):
            act(tmp_path)


def test_the_strictest_client_trusts_the_servers(tmp_path: Path) -> None:
    """As Python 3.13 looks at certificates (https://docs.python.org/3/library/ssl.html)."""
    secrets = make(tmp_path)
    renew_certificates(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(secrets / "redis/tls.crt", secrets / "redis/tls.key")
    client = ssl.create_default_context(cafile=str(secrets / "authority/ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="hub.example"),
    ]
    for _ in range(3):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert sides[1].getpeercert()


def test_what_checks_a_password_has_only_its_hash(tmp_path: Path) -> None:
    secrets = make(tmp_path)
    login = read(secrets / "operator" / "flower_password")
    name, hashed = read(secrets / "proxy" / "htpasswd").split(":")
    assert name == "operator"
    assert bcrypt.checkpw(login.encode(), hashed.encode())
    users = read(secrets / "redis" / "users.acl")
    assert users.startswith("user default off ")
    for role in USERS:
        password = str(urlsplit(read(secrets / role / "podferry_redis_url")).password)
        assert f"user {role} on #{sha256(password.encode()).hexdigest()} " in users
        assert password not in users


def test_the_variables_for_compose_hold_no_secret(tmp_path: Path) -> None:
    secrets = make(tmp_path)
    lines = [line for line in read(tmp_path / ".env").splitlines() if not line.startswith("#")]
    variables = dict(line.split("=") for line in lines)
    assert variables == {"PODFERRY_HUB": "hub.example", "PODFERRY_SECRETS": str(secrets)}


@pytest.mark.parametrize("there", ["secrets", ".env"])
def test_nothing_is_overwritten(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(InvalidRequestError, match=f"{there} exists"):
        make(tmp_path)
    assert {path.name: read(path) for path in files(tmp_path)} == {there: "mine"}


def test_where_nothing_can_be_made_the_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidRequestError, match=f"{tmp_path}/file"):
        make(tmp_path / "file" / "below")


def read(path: Path) -> str:
    return path.read_text().strip()
