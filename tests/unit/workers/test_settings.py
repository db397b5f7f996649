from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from storage import Keep, RetentionPolicy, StoreConfigError
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
