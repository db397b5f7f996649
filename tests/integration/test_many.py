"""Two hundred migrations on fake hosts, while the real workers are killed at random."""

from __future__ import annotations

import pytest

from tests.many.__main__ import storm
from tests.many.storm import Plan

pytestmark = pytest.mark.integration


def test_many_migrations_end_well_though_workers_are_killed() -> None:
    plan = Plan()
    assert (plan.migrations, plan.kills) == (200, 20)
    print(storm(plan))
