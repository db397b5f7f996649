"""The HTTP endpoint that Prometheus asks, in a worker's main process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from tasks import tallies
from tasks.errors import InvalidRequestError
from workers.metrics.gauges import GAUGES, PREFIX, Fleet, Found

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from workers.metrics.address import Address


class Endpoint:
    """Serves metrics from ``start`` to ``stop``: this process's, and if there is one the fleet's.

    Raises InvalidRequestError when the address is not to be had.
    """

    def __init__(self, address: Address, fleet: Fleet | None) -> None:
        self._address = address
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(_Build())
        if fleet is not None:
            self._registry.register(FleetCollector(fleet))
        self._served: tuple[WSGIServer, Thread] | None = None
        _require_free(address)

    def start(self) -> None:
        """Begin. It is not begun before the worker's processes are forked: they must not serve."""
        self._served = start_http_server(
            self._address.port, self._address.host, registry=self._registry
        )

    def stop(self) -> None:
        """End."""
        if self._served is not None:
            server, thread = self._served
            server.shutdown()
            server.server_close()
            thread.join()


class FleetCollector(Collector):
    """What all control workers tell alike: the counts, and how the fleet is now."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def describe(self) -> list[Metric]:
        """Nothing beforehand: Redis need not answer when a worker starts."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything; without Redis only that."""
        up = GaugeMetricFamily(f"{PREFIX}redis_up", "Whether Redis answers this control worker.")
        try:
            counted, found = tallies.read(self._fleet.redis), Found.look(self._fleet)
        except RedisError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from (_family(tally, counts) for tally, counts in counted.items())
        yield from (gauge.family(found) for gauge in GAUGES)


class _Build(Collector):
    def collect(self) -> Iterator[Metric]:
        made = GaugeMetricFamily(f"{PREFIX}build_info", "1; of this worker.", labels=("version",))
        made.add_metric((version("podferry"),), 1)
        yield made


def _family(tally: tallies.Tally, counts: dict[tuple[str, ...], float]) -> Metric:
    if not tally.buckets:
        counter = CounterMetricFamily(tally.name, tally.help, labels=tally.labels)
        for labels, value in counts.items():
            counter.add_metric(labels, value)
        return counter
    histogram = HistogramMetricFamily(tally.name, tally.help, labels=tally.labels)
    for labels, total in counts.items():
        if len(labels) == len(tally.labels):
            histogram.add_metric(labels, _cumulated(tally, labels, counts), total)
    return histogram


def _cumulated(
    tally: tallies.Tally, labels: tuple[str, ...], counts: dict[tuple[str, ...], float]
) -> list[tuple[str, float]]:
    """How many values are at most each bucket's bound."""
    buckets, total = [], 0.0
    for bound in tally.buckets:
        total += counts.get((*labels, f"{bound:g}"), 0)
        buckets.append(("+Inf" if bound == tally.buckets[-1] else f"{bound:g}", total))
    return buckets


def _require_free(address: Address) -> None:
    try:
        with socket.create_server((address.host, address.port), family=address.family):
            pass
    except OSError as error:
        raise InvalidRequestError(
            f"PODFERRY_METRICS: nothing can be served at {address}: {error.strerror}"
        ) from error
