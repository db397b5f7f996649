import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from storage import StoreBusyError, StoreUnavailableError
from storage.throttle import Throttle


class Store:
    """Is busy the first `busy` times, and knows how many requests it had at once."""

    def __init__(self, busy: int = 0) -> None:
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self._busy = busy
        self._lock = threading.Lock()

    def request(self) -> str:
        with self._lock:
            self.asked += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            busy = self.asked <= self._busy
        with self._lock:
            self.at_once -= 1
        if busy:
            raise StoreBusyError("s3://bucket", "SlowDown")
        return "answer"


def test_a_busy_store_gets_half_as_many_requests_at_once() -> None:
    throttle, store = Throttle(8), Store(busy=2)

    assert throttle(store.request) == "answer"

    assert (store.asked, throttle.limit) == (3, 2)


def test_one_alone_is_not_tried_again() -> None:
    throttle, store = Throttle(4), Store(busy=100)

    with pytest.raises(StoreBusyError):
        throttle(store.request)

    assert (store.asked, throttle.limit) == (3, 1)
    with pytest.raises(StoreBusyError):
        throttle(store.request)
    assert store.asked == 4


def test_a_store_that_is_calm_again_gets_more() -> None:
    throttle, store = Throttle(4), Store(busy=2)
    limits = []
    for _ in range(70):
        throttle(store.request)
        limits.append(throttle.limit)

    assert limits == [1] * 15 + [2] * 16 + [3] * 16 + [4] * 23


def test_other_failures_are_raised_at_once() -> None:
    def request() -> None:
        raise StoreUnavailableError("s3://bucket", "connection refused")

    throttle = Throttle(4)
    with pytest.raises(StoreUnavailableError):
        throttle(request)
    assert throttle.limit == 4


def test_no_more_run_at_once_than_may() -> None:
    inside, full = threading.Semaphore(0), threading.Event()
    throttle, store = Throttle(2), Store()

    def request() -> None:
        with store._lock:
            store.at_once += 1
            store.most_at_once = max(store.most_at_once, store.at_once)
        inside.release()
        assert full.wait(30)
        with store._lock:
            store.at_once -= 1

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(throttle, request) for _ in range(6)]
        for _ in range(2):
            assert inside.acquire(timeout=30)
        full.set()
        for future in asked:
            future.result(30)

    assert store.most_at_once == 2
