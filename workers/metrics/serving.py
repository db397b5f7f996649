"""The HTTP endpoint that Prometheus asks, in a worker's main process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog
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
from workers.metrics.gauges import GAUGES, PREFIX, Fleet, Found
from workers.repeating import Repeating

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from workers.metrics.address import Address

AGAIN_SECONDS = 5.0
log = structlog.get_logger()


class Endpoint(Repeating):
    """Serves metrics until it is stopped: this process's, and if there is one the fleet's.

    An address that is taken is asked for again and again: a worker works without metrics.
    """

    def __init__(self, address: Address, fleet: Fleet | None) -> None:
        super().__init__("metrics", self._serve, every_seconds=AGAIN_SECONDS)
        self._address = address
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(_Build())
        if fleet is not None:
            self._registry.register(FleetCollector(fleet))
        self._server: WSGIServer | None = None

    def stop(self) -> None:
        """End."""
        super().stop()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def _serve(self) -> None:
        if self._server is None:
            host, port = self._address
            self._server, _ = start_http_server(port, host, registry=self._registry)
            log.info("metrics are served", address=str(self._address))


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
        for tally, counts in counted.items():
            begins = _begins(tally, found)
            yield _family(tally, {**dict.fromkeys(begins, 0.0), **counts})
        yield from (gauge.family(found) for gauge in GAUGES)


class _Build(Collector):
    def collect(self) -> Iterator[Metric]:
        made = GaugeMetricFamily(f"{PREFIX}build_info", "1; of this worker.", labels=("version",))
        made.add_metric((version("podferry"),), 1)
        yield made


def _begins(tally: tallies.Tally, found: Found) -> Iterable[tuple[str, ...]]:
    return [(h.host,) for h in found.hosts] if tally.labels == ("host",) else tally.begins


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
