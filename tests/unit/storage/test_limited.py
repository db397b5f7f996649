import fcntl
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import MemoryObjectStore, ObjectTooLargeError, limit_bandwidth
from storage.limited import Bandwidth

RATE = 1_000_000


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.longest_sleep = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.longest_sleep = max(self.longest_sleep, seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("storage.limited.time", clock)
    return clock


def test_puts_and_gets_take_their_time_together(clock: Clock) -> None:
    objects = limit_bandwidth(MemoryObjectStore(), RATE)

    objects.put("a", bytes(3 * RATE))
    objects.put("b", bytearray(RATE), if_absent=True)
    objects.put("c", memoryview(bytes(RATE)))
    assert len(objects.get("b")) == RATE

    assert clock.now == pytest.approx(1006)


def test_sleeps_are_short(clock: Clock) -> None:
    limit_bandwidth(MemoryObjectStore(), RATE).put("a", bytes(10 * RATE))

    assert clock.longest_sleep == pytest.approx(0.1)


def test_time_that_nobody_used_is_not_saved_up(clock: Clock) -> None:
    objects = limit_bandwidth(MemoryObjectStore(), RATE)
    objects.put("a", b"data")
    clock.now = 2000.0

    objects.put("a", bytes(RATE))

    assert clock.now == pytest.approx(2001)


def test_what_carries_no_data_is_free(clock: Clock) -> None:
    objects = limit_bandwidth(MemoryObjectStore(), 1)

    objects.put("empty", b"")
    assert objects.exists("empty")
    assert [info.key for info in objects.list("")] == ["empty"]
    objects.delete("empty")
    objects.close()

    assert objects.url == "memory://"
    assert clock.now == 1000


def test_limit_on_the_size_is_passed_on(clock: Clock) -> None:
    objects = limit_bandwidth(MemoryObjectStore(), RATE)
    objects.put("key", b"data")

    with pytest.raises(ObjectTooLargeError):
        objects.get("key", max_bytes=3)


def reserve_a_minute_in_a_child(bandwidth: Bandwidth) -> int:
    child = os.fork()
    if child == 0:
        bandwidth._reserve(60)
        os._exit(0)
    return child


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # workers do fork
def test_threads_and_forked_processes_share_the_link() -> None:
    bandwidth = Bandwidth(RATE)
    assert bandwidth._reserve(0) < 60

    children = [reserve_a_minute_in_a_child(bandwidth) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bandwidth._reserve, [60.0] * 4))
    for child in children:
        assert os.waitpid(child, 0)[1] == 0

    assert 7 * 60 < bandwidth._reserve(0) <= 8 * 60


def test_child_that_is_killed_does_not_keep_the_link() -> None:
    bandwidth = Bandwidth(RATE)
    child = os.fork()
    if child == 0:
        fcntl.lockf(bandwidth._file, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL

    assert bandwidth._reserve(0) < 60


@pytest.mark.parametrize("rate", [0, -1])
def test_limit_that_lets_nothing_pass_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="nothing pass"):
        limit_bandwidth(MemoryObjectStore(), rate)
