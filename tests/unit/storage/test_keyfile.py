import json
import os
import stat
import threading
from pathlib import Path

import pytest

from storage import KeyFile, KeyFileError, KeyMissingError


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    made = KeyFile(tmp_path / "state" / "keys.json")
    assert made.create()
    return made


def test_the_file_is_its_owner_s_alone(file: KeyFile) -> None:
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    file.add()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in file.path.parent.iterdir()] == ["keys.json"]


def test_it_is_made_once(file: KeyFile) -> None:
    before = file.keys()

    assert not file.create()

    assert file.keys() == before


def test_a_new_key_is_the_current_one_and_the_old_ones_stay(file: KeyFile) -> None:
    old = file.current()

    new = file.add()

    assert file.keys() == (old, new)
    assert file.current() == new
    assert file.find(old.id) == old
    assert old.secret != new.secret
    assert len(new.secret) == 32


def test_another_s_change_counts_at_once(file: KeyFile) -> None:
    new = KeyFile(file.path).add()

    assert file.current() == new


def test_keys_added_at_once_are_all_kept(file: KeyFile) -> None:
    threads = [threading.Thread(target=file.add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(file.keys()) == 9


def test_a_link_stays_a_link(file: KeyFile, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(file.path)

    KeyFile(tmp_path / "link").add()

    assert (tmp_path / "link").is_symlink()
    assert len(file.keys()) == 2


def test_adding_makes_a_missing_file(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")

    assert file.add() == file.current()


def test_no_secret_is_shown(file: KeyFile) -> None:
    key = file.current()

    assert str(key.secret) not in f"{key!r} {key}"
    assert key.model_dump(mode="json")["secret"] in file.path.read_text()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_read_is_refused(file: KeyFile, mode: int) -> None:
    file.path.chmod(mode)

    with pytest.raises(KeyFileError, match=f"chmod 600 {file.path}"):
        file.current()
    with pytest.raises(KeyFileError, match="chmod 600"):
        file.add()


def test_a_missing_file_is_refused_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="podferry keys new"):
        KeyFile(tmp_path / "keys.json").current()


def test_a_missing_key_names_the_file(file: KeyFile) -> None:
    with pytest.raises(KeyMissingError, match=f"key other is not in key file {file.path}"):
        file.find("other")


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 2},
        {"keys": []},
        {"keys": [{"id": "a", "created": "2026-11-23T12:00:00Z", "secret": "c2hvcnQ="}]},
        {"keys": [{"id": "none", "created": "2026-11-23T12:00:00Z", "secret": "A" * 43 + "="}]},
        {"keys": [{"id": "a", "created": "2026-11-23T12:00:00Z", "secret": "A" * 43 + "="}] * 2},
        {"keys": [{"id": "../a", "created": "2026-11-23T12:00:00Z", "secret": "A" * 43 + "="}]},
        {"more": "s3cret"},
    ],
    ids=str,
)
def test_a_damaged_file_is_refused_without_showing_it(
    file: KeyFile, damage: dict[str, object]
) -> None:
    content = json.loads(file.path.read_text())
    file.path.write_text(json.dumps(content | damage))

    with pytest.raises(KeyFileError) as refused:
        file.current()

    assert content["keys"][0]["secret"] not in f"{refused.value} {refused.value.__cause__}"
    assert "s3cret" not in str(refused.value)


def test_a_directory_is_no_key_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="directory"):
        KeyFile(tmp_path).current()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_rotated_by_root_it_stays_its_owners(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.create()
    os.chown(file.path, 1234, 1235)
    file.add()
    assert (file.path.stat().st_uid, file.path.stat().st_gid) == (1234, 1235)
    assert len(file.keys()) == 2
