from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakeredis import FakeRedis

from storage import UNENCRYPTED, ArchiveStore, MemoryObjectStore
from tasks.context import Context
from tasks.records import Records


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


@pytest.fixture
def records(redis: FakeRedis) -> Records:
    return Records(redis)


@pytest.fixture
def context(records: Records) -> Context:
    archives = ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED)
    return Context(records=records, archives=archives)
