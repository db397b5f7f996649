from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.workers.notices.imitation import Metadata, serve


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with serve(Metadata()) as served:
        yield served
