from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from storage import (
    Archive,
    CheckpointManifest,
    new_archive_prefix,
    new_checkpoint_id,
    workload_of,
)
from tests.unit.storage.samples import NOON, SECRET, manifest_of

ARCHIVE = Archive(prefix="checkpoints/web", header_sha256="0" * 64, size=20, segments=1, raw_size=3)
MANIFEST = manifest_of(ARCHIVE, "web/20261123T120000Z-1f9a0c")


def test_manifest_survives_json() -> None:
    assert CheckpointManifest.model_validate_json(MANIFEST.model_dump_json()) == MANIFEST


def test_an_old_manifest_has_memory() -> None:
    old = MANIFEST.model_dump(mode="json", exclude={"memory"})
    assert CheckpointManifest.model_validate(old).memory


def test_manifest_does_not_show_the_spec() -> None:
    assert SECRET in MANIFEST.model_dump_json()
    assert SECRET not in repr(MANIFEST) + str(MANIFEST)


def test_validation_error_does_not_show_the_spec() -> None:
    fields = MANIFEST.model_dump() | {"spec": SECRET}

    with pytest.raises(ValidationError) as invalid:
        CheckpointManifest.model_validate(fields)

    assert SECRET not in str(invalid.value)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": 3},
        {"version": 2, "memory": "perhaps"},
        {"id": "web"},
        {"id": "other/20261123T120000Z-1f9a0c"},
        {"workload": "../web"},
        {"parent": "db/20261123T120000Z-1f9a0c"},
        {"created": datetime(2026, 11, 23)},  # noqa: DTZ001 # the point
    ],
    ids=str,
)
def test_wrong_manifest_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CheckpointManifest.model_validate(MANIFEST.model_dump() | change)


@pytest.mark.parametrize(
    "change",
    [{"prefix": "../elsewhere"}, {"size": -1}, {"header_sha256": "0"}, {"raw_size": -1}],
    ids=str,
)
def test_wrong_archive_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Archive.model_validate(ARCHIVE.model_dump() | change)


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        MANIFEST.host = "beta"


def test_times_become_utc() -> None:
    abroad = NOON.astimezone(timezone(timedelta(hours=5)))

    created = manifest_of(ARCHIVE, MANIFEST.id, created=abroad).created

    assert created == NOON
    assert created.tzinfo is UTC


def test_checkpoint_ids_tell_their_workload_and_sort_by_time() -> None:
    earlier = new_checkpoint_id("web.front-1_a", NOON)
    later = new_checkpoint_id("web.front-1_a", NOON + timedelta(seconds=1))

    assert workload_of(earlier) == "web.front-1_a"
    assert earlier.startswith("web.front-1_a/20261123T120000Z-")
    assert earlier < later
    assert new_checkpoint_id("web.front-1_a", NOON) != earlier


@pytest.mark.parametrize("workload", ["", "-web", ".web", "a/b", "web\n", "wéb", "../web"])
def test_workload_must_be_a_container_name(workload: str) -> None:
    with pytest.raises(ValueError, match="not a checkpoint id"):
        new_checkpoint_id(workload, NOON)


def test_each_try_has_a_prefix_of_its_own() -> None:
    first, second = (new_archive_prefix("checkpoints/web/1") for _ in range(2))

    assert first != second
    assert first.startswith("checkpoints/web/1/")
    with pytest.raises(ValueError, match="not an object key"):
        new_archive_prefix("../web")


def test_checkpoint_id_needs_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        new_checkpoint_id("web", NOON.replace(tzinfo=None))
