import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import UNENCRYPTED, Key, KeyMissingError, StaticKeyring
from storage.sealed import Kind, open_record, seal_record
from tests.unit.storage.samples import KEYS, NOON, SECRET

OLD = KEYS.current()
NEW = Key(id="newer", created=NOON, secret=bytes([7]) * 32)


def sealed(body: bytes = SECRET.encode()) -> bytes:
    return seal_record("checkpoint", "web/1", body, KEYS)


def changed(data: bytes, **fields: object) -> bytes:
    return json.dumps(json.loads(data) | fields).encode()


@given(st.binary())
def test_any_record_comes_back(body: bytes) -> None:
    assert open_record("checkpoint", "web/1", sealed(body), KEYS) == body


def test_nothing_of_it_can_be_seen() -> None:
    first, second = sealed(), sealed()

    assert SECRET.encode() not in first
    assert json.loads(first)["sealed"] != json.loads(second)["sealed"]
    assert {**json.loads(first), "nonce": 0, "sealed": 0} == {
        "format": "podferry",
        "version": 2,
        "kind": "checkpoint",
        "name": "web/1",
        "key_id": "sample",
        "nonce": 0,
        "sealed": 0,
    }


@pytest.mark.parametrize(("kind", "name"), [("image", "web/1"), ("checkpoint", "web/2")])
def test_it_is_not_read_as_anything_else(kind: Kind, name: str) -> None:
    with pytest.raises(ValueError, match="belongs to checkpoint web/1"):
        open_record(kind, name, sealed(), KEYS)
    with pytest.raises(ValueError, match="was changed"):
        open_record(kind, name, changed(sealed(), kind=kind, name=name), KEYS)


def test_the_key_s_name_is_bound() -> None:
    same = StaticKeyring(OLD, OLD.model_copy(update={"id": "same"}))

    with pytest.raises(ValueError, match="was changed"):
        open_record("checkpoint", "web/1", changed(sealed(), key_id="same"), same)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 1},
        {"version": 3},
        {"kind": "spell"},
        {"nonce": "AAAA"},
        {"more": 1},
        {"sealed": ""},
    ],
    ids=str,
)
def test_another_envelope_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields)).replace("sealed", "was changed")):
        open_record("checkpoint", "web/1", changed(sealed(), **fields), KEYS)


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    stored = bytearray(sealed())
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))

    try:
        assert open_record("checkpoint", "web/1", bytes(stored), KEYS) == SECRET.encode()
    except (ValueError, KeyMissingError):
        return
    # JSON has bytes that mean nothing: what was read is what was written
    assert json.loads(stored).keys() <= json.loads(sealed()).keys()


def test_an_older_key_still_reads() -> None:
    both = StaticKeyring(OLD, NEW)

    assert open_record("checkpoint", "web/1", sealed(), both) == SECRET.encode()
    newer = seal_record("checkpoint", "web/1", b"", both)
    assert json.loads(newer)["key_id"] == "newer"


@pytest.mark.parametrize("keys", [StaticKeyring(NEW), UNENCRYPTED])
def test_a_missing_key_is_named(keys: StaticKeyring) -> None:
    with pytest.raises(KeyMissingError, match="key sample is not in") as missing:
        open_record("checkpoint", "web/1", sealed(), keys)

    assert missing.value.key_id == "sample"


def test_what_is_not_encrypted_is_read_only_by_whom_wants_that() -> None:
    plain = seal_record("checkpoint", "web/1", b"", UNENCRYPTED)

    assert open_record("checkpoint", "web/1", plain, UNENCRYPTED) == b""
    with pytest.raises(KeyMissingError, match="PODFERRY_ENCRYPTION=off"):
        open_record("checkpoint", "web/1", plain, KEYS)
