"""Which keys a process uses, and when it makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from storage import KeyFile, KeyFileError, KeyMissingError
from tests.unit.storage.samples import store_checkpoint
from workers.settings import Settings, dev_state_dir
from workers.worker import make_keys


@pytest.fixture
def store_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store; the state directory is the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return (tmp_path / "store").as_uri()


def test_the_first_start_makes_keys_and_says_where_once(store_url: str) -> None:
    settings = Settings(store_url=store_url)
    path = dev_state_dir() / "keys.json"

    with capture_logs() as logs:
        make_keys(settings)
        make_keys(settings)

    [line] = logs
    assert line["path"] == str(path)
    assert KeyFile(path).current().model_dump(mode="json")["secret"] not in str(line)
    settings.archives().check()


def test_a_configured_file_is_not_made(store_url: str, tmp_path: Path) -> None:
    settings = Settings(store_url=store_url, key_file=tmp_path / "keys.json")

    make_keys(settings)

    with pytest.raises(KeyFileError, match=f"{tmp_path}/keys.json.* podferry keys new"):
        settings.archives().check()


def test_without_encryption_no_key_is_needed(store_url: str) -> None:
    plain, sealing = Settings(store_url=store_url, encryption="off"), Settings(store_url=store_url)

    make_keys(plain)
    plain.archives().check()
    manifest = store_checkpoint(plain.archives())

    assert not dev_state_dir().exists()
    make_keys(sealing)
    with pytest.raises(KeyMissingError, match="PODFERRY_ENCRYPTION=off"):
        sealing.archives().manifest(manifest.id)


def test_compression_is_a_setting(store_url: str) -> None:
    sizes = []
    for compression in ("none", "normal"):
        settings = Settings.model_validate(
            {"store_url": store_url, "encryption": "off", "compression": compression}
        )
        sizes.append(store_checkpoint(settings.archives(), data=bytes(100_000)).archive.size)

    assert sizes[0] > 100_000 > 10 * sizes[1]
