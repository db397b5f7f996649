from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from storage import Keep, ObjectStore, RetentionPolicy, StoreConfigError
from tasks.errors import InvalidRequestError
from workers.settings import (
    Settings,
    dev_state_dir,
    forget_dev_connection,
    load_settings,
    save_dev_connection,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but the test's own, no running ``podferry dev`` but the test's own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PODFERRY_{name.upper()}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def test_a_flag_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODFERRY_HOST", "a")
    monkeypatch.setenv("PODFERRY_CONCURRENCY", "4")
    settings = load_settings(host="b", concurrency=None)
    assert (settings.host, settings.concurrency) == ("b", 4)


def test_a_running_dev_is_found_until_it_stops() -> None:
    dev_state_dir().mkdir(parents=True)
    save_dev_connection("unix:///dev.sock", "file:///dev")
    found = load_settings()
    assert (found.redis_url, found.store_url) == ("unix:///dev.sock", "file:///dev")
    assert load_settings(store_url="memory://").store_url == "memory://"
    forget_dev_connection()
    assert load_settings().redis_url == ""


def test_a_damaged_dev_file_is_as_good_as_none() -> None:
    dev_state_dir().mkdir(parents=True)
    (dev_state_dir() / "dev.json").write_text("{")
    assert load_settings().redis_url == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("host", "Upper"), ("concurrency", 0), ("lease_seconds", 1)),
        *(("retention_keep_last", "0"), ("retention_keep_within", "7"), ("retention_every", "0s")),
        *(("retention_max_bytes", "much"), ("retention_grace", "")),
        *(("keep_records", "59m"), ("keep_records", "soon")),
        *(("notices", "oracle"), ("notices", "file:run"), ("notices_url", "https://hub")),
    ],
)
def test_a_bad_value_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        load_settings(**{field: value})


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODFERRY_STORE_SECRET_KEY", "s3cret")
    monkeypatch.setenv("PODFERRY_REDIS_URL", "redis://:s3cret@hub/0")
    assert "s3cret" not in repr(load_settings())


def test_a_store_that_is_not_configured_is_named() -> None:
    with pytest.raises(StoreConfigError, match="store"):
        load_settings().archives()


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1", 1),
        ("512k", 512 << 10),
        ("50M", 50 << 20),
        (" 1.5m ", 3 << 19),
        ("1G", 1 << 30),
        ("off", None),
        ("OFF", None),
    ],
)
def test_a_bandwidth_limit_is_bytes_a_second(
    monkeypatch: pytest.MonkeyPatch, text: str, rate: int | None
) -> None:
    monkeypatch.setenv("PODFERRY_BWLIMIT", text)
    assert load_settings().bwlimit == rate
    monkeypatch.setenv("PODFERRY_BWLIMIT", "1")
    assert load_settings(bwlimit=text).bwlimit == rate


@pytest.mark.parametrize("text", ["0", "0.1", "-1", "M", "1.M", "1 M", "1MB", "1T", "1e9", "0x1"])
def test_another_bandwidth_limit_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("PODFERRY_BWLIMIT", text)
    with pytest.raises(ValidationError, match="bwlimit") as refused:
        load_settings()
    assert "as 50M, or off" in str(refused.value)


def test_an_empty_variable_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"PODFERRY_{name.upper()}", "")
    assert load_settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("variable", "value", "setting"),
    [
        ("SESSION_TOKEN", "s3cret", "session token"),
        ("REGION", "a b", "region"),
        ("ADDRESSING", "virtual", "addressing"),
        ("CA_FILE", "/nowhere/ca.pem", "CA file"),
        ("KMS_KEY", "key", "KMS key"),
        ("STORAGE_CLASS", "GLACIER", "storage class"),
    ],
)
def test_settings_of_the_store_reach_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, setting: str
) -> None:
    monkeypatch.setenv("PODFERRY_STORE_URL", "s3+http://127.0.0.1:9000/podferry")
    load_settings().archives()
    monkeypatch.setenv(f"PODFERRY_STORE_{variable}", value)
    with pytest.raises(StoreConfigError, match=f"the object store {setting} setting") as refused:
        load_settings().archives()
    assert "s3cret" not in str(refused.value)


def test_the_server_s_encryption_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODFERRY_STORE_URL", "memory://")
    monkeypatch.setenv("PODFERRY_STORE_SSE", "aws:kms")
    with pytest.raises(StoreConfigError, match="SSE"):
        load_settings().archives()


@pytest.mark.parametrize("variable", ["ADDRESSING", "SSE"])
def test_a_word_that_is_none_of_the_choices_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(f"PODFERRY_STORE_{variable}", "sometimes")
    with pytest.raises(ValidationError, match=f"store_{variable.lower()}"):
        load_settings()


def test_a_bandwidth_limit_reaches_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limits = []

    def note(objects: ObjectStore, rate: int) -> ObjectStore:
        limits.append((objects.url, rate))
        return objects

    monkeypatch.setattr("workers.settings.limit_bandwidth", note)
    settings = load_settings(store_url=tmp_path.as_uri())
    settings.archives()
    assert limits == []
    settings.model_copy(update={"bwlimit": 1 << 20}).archives()
    assert limits == [(tmp_path.as_uri(), 1 << 20)]


def test_retention_is_read_as_people_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().retention() == RetentionPolicy()
    assert load_settings().retention_every is None
    monkeypatch.setenv("PODFERRY_RETENTION_KEEP_LAST", "3")
    monkeypatch.setenv("PODFERRY_RETENTION_KEEP_WITHIN", "7d")
    monkeypatch.setenv("PODFERRY_RETENTION_MAX_BYTES", "50g")
    monkeypatch.setenv("PODFERRY_RETENTION_EVERY", "")
    settings = load_settings()
    assert settings.retention() == RetentionPolicy(
        keep=Keep(last=3, within=timedelta(days=7)), max_total_bytes=50 << 30
    )
    assert settings.retention_every is None
    assert load_settings(retention_keep_last=5).retention().keep.last == 5


def test_sources_of_reclaim_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().notices == ()
    monkeypatch.setenv("PODFERRY_NOTICES", "aws, file:/run/reclaim")
    assert load_settings().notices == ("aws", "file:/run/reclaim")


def test_files_hold_settings_too_and_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "podferry_redis_url").write_text("redis://hub/0\n")
    (tmp_path / "podferry_concurrency").write_text("4\n")
    monkeypatch.setenv("PODFERRY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("PODFERRY_CONCURRENCY", "3")
    settings = load_settings()
    assert (settings.redis_url, settings.concurrency) == ("redis://hub/0", 3)


def test_a_missing_directory_of_settings_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PODFERRY_SECRETS_DIR", str(tmp_path / "gone"))
    with pytest.raises(InvalidRequestError, match="there is no directory /"):
        load_settings()


def test_metrics_are_served_where_somebody_asks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().metrics is None
    monkeypatch.setenv("PODFERRY_METRICS", "")
    assert load_settings().metrics is None
    monkeypatch.setenv("PODFERRY_METRICS", "9464")
    assert load_settings().metrics == ("127.0.0.1", 9464)
    monkeypatch.setenv("PODFERRY_METRICS", "hub:9464")
    with pytest.raises(ValidationError, match="IP:PORT"):
        load_settings()
