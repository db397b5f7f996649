import pytest

from storage import MemoryObjectStore, StoreConfigError, StoreUnavailableError
from storage.objects import Blob


class CarelessObjectStore(MemoryObjectStore):
    """Ignores the condition of a put, as some S3 servers do."""

    def put(self, key: str, data: Blob, *, if_absent: bool = False) -> None:
        super().put(key, data)


class ForgetfulObjectStore(MemoryObjectStore):
    def get(self, key: str, *, max_bytes: int | None = None) -> bytes:
        return super().get(key, max_bytes=max_bytes)[:-1]


def test_store_that_ignores_conditions_is_refused() -> None:
    objects = CarelessObjectStore()

    with pytest.raises(StoreConfigError, match="memory:// ignores conditional writes"):
        objects.check()

    assert list(objects.list("")) == []


def test_store_that_returns_something_else_is_refused() -> None:
    objects = ForgetfulObjectStore()

    with pytest.raises(StoreUnavailableError, match="what was written"):
        objects.check()

    assert list(objects.list("")) == []
