from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from fakeredis import FakeRedis

from tasks.queues import CONTROL_QUEUE, RETENTION
from tests.unit.workers.test_heartbeat import eventually
from workers.retention import retention_timer

HOUR = timedelta(hours=1)


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


class SendingApp(Celery):
    """Remembers what it was to send, and fails as often as it is told."""

    def __init__(self) -> None:
        super().__init__("test", broker="memory://", set_as_current=False)
        self.sent: list[tuple[str, str]] = []

    def send_task(self, name: str, *_: Any, **options: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        self.sent.append((name, options["queue"]))


def test_one_of_several_workers_asks_once_per_interval(redis: FakeRedis) -> None:
    app = SendingApp()
    timers = [retention_timer(app, redis, every=HOUR) for _ in range(3)]
    for timer in timers:
        timer.start()
    eventually(lambda: bool(app.sent))
    for timer in timers:
        timer.stop()
    assert app.sent == [(RETENTION, CONTROL_QUEUE)]


def test_the_next_interval_has_a_turn_of_its_own(redis: FakeRedis) -> None:
    app = SendingApp()
    timer = retention_timer(app, redis, every=timedelta(milliseconds=20))
    timer.start()
    try:
        eventually(lambda: len(app.sent) >= 3)
    finally:
        timer.stop()


def test_a_redis_that_is_away_stops_nothing() -> None:
    class AwayAtFirst(FakeRedis):
        asked = 0

        def set(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
            self.asked += 1
            if self.asked == 1:
                raise ConnectionError("refused")
            return super().set(*args, **options)

    app, redis = SendingApp(), AwayAtFirst(protocol=2)
    timer = retention_timer(app, redis, every=timedelta(milliseconds=20))
    timer.start()
    try:
        eventually(lambda: bool(app.sent))
    finally:
        timer.stop()
        redis.close()
