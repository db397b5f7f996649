"""What every object store promises: memory and directory here, S3 on a real MinIO."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from storage import ObjectExistsError, ObjectNotFoundError, ObjectStore, ObjectTooLargeError

pytestmark = pytest.mark.contract
WRITERS = 8


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@pytest.mark.parametrize("content", [b"", b"data", bytes(range(256)) * 8192])
def test_what_is_put_comes_back(
    objects: ObjectStore, kind: type[bytes | bytearray | memoryview], content: bytes
) -> None:
    objects.put("a/b/c", kind(content))

    assert objects.get("a/b/c") == content


def test_stored_object_is_a_copy(objects: ObjectStore) -> None:
    buffer = bytearray(b"data")
    objects.put("key", buffer)

    buffer[:] = b"else"

    assert objects.get("key") == b"data"


def test_put_replaces(objects: ObjectStore) -> None:
    objects.put("key", b"old and longer")
    objects.put("key", b"new")

    assert objects.get("key") == b"new"


def test_conditional_put_does_not_replace(objects: ObjectStore) -> None:
    objects.put("a/key", b"first", if_absent=True)

    with pytest.raises(ObjectExistsError) as refusal:
        objects.put("a/key", b"second", if_absent=True)

    assert refusal.value.key == "a/key"
    assert objects.get("a/key") == b"first"


def test_one_of_many_conditional_writers_wins(objects: ObjectStore) -> None:
    def write(number: int) -> bool:
        try:
            objects.put("key", str(number).encode(), if_absent=True)
        except ObjectExistsError:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(write, range(WRITERS)))

    assert won.count(True) == 1
    assert objects.get("key") == str(won.index(True)).encode()


def test_missing_object_is_not_found(objects: ObjectStore) -> None:
    objects.put("a/b", b"data")

    for key in ("missing", "a", "a/b/c"):
        assert not objects.exists(key)
        with pytest.raises(ObjectNotFoundError) as missing:
            objects.get(key)
        assert missing.value.key == key


@pytest.mark.parametrize("content", [b"", b"data", bytes(1 << 20)])
def test_limit_is_on_the_size_of_the_content(objects: ObjectStore, content: bytes) -> None:
    objects.put("a/b", content)

    assert objects.get("a/b", max_bytes=len(content)) == content
    if content:
        with pytest.raises(ObjectTooLargeError) as refusal:
            objects.get("a/b", max_bytes=len(content) - 1)
        assert (refusal.value.key, refusal.value.max_bytes) == ("a/b", len(content) - 1)
    assert objects.get("a/b") == content


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 250])
def test_object_comes_in_blocks(objects: ObjectStore, size: int) -> None:
    content = bytes(number % 251 for number in range(size))
    objects.put("a/b", content)

    blocks = objects.stream("a/b", list, block_bytes=100, max_bytes=size)

    assert blocks == [content[start : start + 100] for start in range(0, size, 100)]


def test_blocks_are_limited_as_the_whole_is(objects: ObjectStore) -> None:
    objects.put("a/b", bytes(250))

    with pytest.raises(ObjectTooLargeError) as refusal:
        objects.stream("a/b", list, block_bytes=100, max_bytes=249)

    assert (refusal.value.key, refusal.value.max_bytes) == ("a/b", 249)
    with pytest.raises(ObjectNotFoundError):
        objects.stream("a/c", list, block_bytes=100, max_bytes=249)


def test_what_takes_the_blocks_may_fail_or_stop(objects: ObjectStore) -> None:
    objects.put("a/b", bytes(250))

    def fail(blocks: Iterator[bytes]) -> None:
        next(blocks)
        raise LookupError

    with pytest.raises(LookupError):
        objects.stream("a/b", fail, block_bytes=100, max_bytes=250)
    assert objects.stream("a/b", next, block_bytes=100, max_bytes=250) == bytes(100)
    assert objects.get("a/b") == bytes(250)


def test_sweep_spares_objects(objects: ObjectStore) -> None:
    objects.put("a/b", b"data")

    assert not objects.sweep(before=datetime.now(UTC) + timedelta(days=1))

    assert objects.get("a/b") == b"data"


def test_deleted_object_is_gone_and_stays_gone(objects: ObjectStore) -> None:
    objects.put("a/b", b"data")
    assert objects.exists("a/b")

    for _ in range(2):
        objects.delete("a/b")
        assert not objects.exists("a/b")

    objects.put("a/b", b"again", if_absent=True)
    assert objects.get("a/b") == b"again"


def test_listing_filters_by_prefix(objects: ObjectStore) -> None:
    for key in ("web/1", "web/2/parts", "webserver/1", "db/1"):
        objects.put(key, b"data")

    def listed(prefix: str) -> set[str]:
        return {info.key for info in objects.list(prefix)}

    assert listed("") == {"web/1", "web/2/parts", "webserver/1", "db/1"}
    assert listed("web") == {"web/1", "web/2/parts", "webserver/1"}
    assert listed("web/") == {"web/1", "web/2/parts"}
    assert listed("web/2/pa") == {"web/2/parts"}
    assert listed("nothing/here/") == set()


def test_listing_gives_size_and_time(objects: ObjectStore) -> None:
    objects.put("key", b"12345")

    (info,) = objects.list("key")

    assert info.size == 5
    assert info.modified.utcoffset() == timedelta(0)
    assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=5)


def test_objects_can_be_deleted_while_they_are_listed(objects: ObjectStore) -> None:
    for number in range(5):
        objects.put(f"a/{number}", b"data")

    for info in objects.list("a/"):
        objects.delete(info.key)

    assert list(objects.list("")) == []


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "a//b", "a/", ".", "..", "../a", "a/../b", "a/.hidden", "a\0b"]
)
def test_keys_that_are_no_plain_paths_are_refused(objects: ObjectStore, key: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        objects.put(key, b"data")
    with pytest.raises(ValueError, match="not an object key"):
        objects.get(key)
    with pytest.raises(ValueError, match="not an object key"):
        objects.exists(key)
    with pytest.raises(ValueError, match="not an object key"):
        objects.delete(key)


def test_check_leaves_nothing_behind(objects: ObjectStore) -> None:
    objects.check()

    assert list(objects.list("")) == []


def test_closed_store_connects_again(objects: ObjectStore) -> None:
    objects.put("key", b"data")

    objects.close()
    objects.close()

    assert objects.get("key") == b"data"
