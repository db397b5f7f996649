from storage import Archive, ArchiveStore, MemoryObjectStore, ObjectExistsError
from storage.objects import Blob
from tests.unit.storage.samples import KEYS, store_checkpoint

IMAGE = "sha256:" + "a" * 64


class LostAnswerObjectStore(MemoryObjectStore):
    """A conditional write succeeds, its answer is lost, and the request that follows is refused."""

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        super().put(key, data, if_absent=if_absent)
        if if_absent:
            raise ObjectExistsError(key)


class CountedObjectStore(MemoryObjectStore):
    """Counts how often it was checked."""

    checks = 0

    def check(self) -> None:
        super().check()
        self.checks += 1


def test_lost_answer_does_not_unpublish_a_checkpoint() -> None:
    archives = ArchiveStore(LostAnswerObjectStore(), keys=KEYS)

    manifest = store_checkpoint(archives)

    assert archives.latest("web") == manifest


def test_lost_answer_does_not_delete_an_image() -> None:
    archives = ArchiveStore(LostAnswerObjectStore(), keys=KEYS)

    image = archives.write_image(IMAGE, ["localhost/web:1"], [b"layers"])

    assert archives.image(IMAGE) == image
    assert b"".join(archives.read(image.archive)) == b"layers"


def test_what_a_later_version_tells_of_an_archive_does_not_matter() -> None:
    archives = ArchiveStore(MemoryObjectStore(), keys=KEYS)
    manifest = store_checkpoint(archives, data=b"state")

    told = Archive.model_validate({**manifest.archive.model_dump(), "added": "later"})

    assert told.model_dump()["added"] == "later"
    assert b"".join(archives.read(told)) == b"state"


def test_a_store_that_was_well_a_moment_ago_is_not_asked_again() -> None:
    objects = CountedObjectStore()
    archives = ArchiveStore(objects, keys=KEYS)

    archives.check(within_seconds=60)
    archives.check(within_seconds=60)
    assert objects.checks == 1

    archives.check()
    archives.check(within_seconds=0.0)
    assert objects.checks == 3
