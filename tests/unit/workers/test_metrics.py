"""What a worker serves to Prometheus."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import pytest
from fakeredis import FakeRedis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError

from runtime import Canary, CanaryState
from storage import UNENCRYPTED, ArchiveStore, MemoryObjectStore, StoreUnavailableError
from tasks import tallies
from tasks.drains.models import Item, ItemState, new_drain
from tasks.drains.records import Drains
from tasks.models import Inventory, Kind, Need, Unit, WorkerInfo, new_workflow, now
from tasks.plans import planned
from tasks.records import Records
from tasks.registry import Registry
from tests.fleet import eventually
from tests.services import free_port
from workers.metrics import stored
from workers.metrics.address import Address, parse_address
from workers.metrics.gauges import GAUGES, PREFIX, Fleet
from workers.metrics.serving import Endpoint, FleetCollector

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    client = FakeRedis(protocol=2)
    yield client
    client.close()


@pytest.fixture
def fleet(redis: FakeRedis) -> Fleet:
    return Fleet(
        redis=redis, records=Records(redis), drains=Drains(redis), registry=Registry(redis)
    )


def told(fleet: Fleet) -> dict[str, Samples]:
    """Every sample as Prometheus would read it: by name, then by the values of its labels."""
    registry = CollectorRegistry()
    registry.register(FleetCollector(fleet))
    text = generate_latest(registry).decode()
    found: dict[str, Samples] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(PREFIX)
            found.setdefault(name, {})[tuple(sample.labels.values())] = sample.value
    return found


def start(fleet: Fleet, host: str, **fields: object) -> None:
    info = WorkerInfo(id=f"host.{host}", host=host, version="1", pid=1)
    fleet.registry.beat(info.model_copy(update=fields))
    fleet.registry.report(Inventory(host=host))


def test_hosts_and_workers_are_told_by_their_state(fleet: Fleet, redis: FakeRedis) -> None:
    fleet.registry.beat(WorkerInfo(id="control.1", control=True, version="2", pid=1))
    start(fleet, "a")
    start(fleet, "b")
    fleet.registry.cordon("b")
    fleet.registry.report_canary("b", Canary(state=CanaryState.FAILED))
    start(fleet, "c")
    redis.delete("podferry:alive:host.c")
    redis.rpush("host.a", "message")
    found = told(fleet)
    assert found["redis_up"] == {(): 1}
    assert found["workers_online"] == {("control",): 1, ("host",): 2}
    assert found["workers_version"] == {("1",): 2, ("2",): 1}
    states = found["host_state"]
    assert {key for key, value in states.items() if value} == {
        ("a", "active"),
        ("b", "cordoned"),
        ("c", "offline"),
    }
    assert len(states) == 12
    assert found["host_criu_works"] == {("b",): 0}  # nobody has tried on a
    assert found["host_engine_up"] == {("a",): 1, ("b",): 1}
    assert found["host_left"] == {("a",): 0, ("b",): 0, ("c",): 0}
    queues = {("control",): 0, ("host.a",): 1, ("host.b",): 0, ("host.c",): 0}
    assert found["queue_messages"] == queues


def test_live_workflows_and_parked_ones(fleet: Fleet) -> None:
    later = now() + timedelta(seconds=10)
    parked = new_workflow(Kind.MIGRATE, "one").model_copy(update={"not_before": later})
    running = planned(new_workflow(Kind.UP, "two", target="a"), ((Unit.UP, "a"),))
    for workflow in (parked, running):
        fleet.records.create(workflow)
    assert told(fleet)["workflows_live"] == {("migrate", "parked"): 1, ("up", "running"): 1}


def test_a_drain_tells_when_it_is_expected_to_end(fleet: Fleet) -> None:
    start(fleet, "a")
    drain = new_drain("a", deadline_seconds=60)
    began = now()
    common = Item(workload="x", containers=("x",), source="a", need=Need(source="a"))
    drain = drain.with_items(
        [
            common.changed(workload="one", ends_after=5.0),
            common.changed(workload="two", state=ItemState.BEGUN, began=began, seconds=90.0),
            common.changed(workload="three", state=ItemState.DONE, ends_after=500.0),
        ]
    )
    fleet.drains.create(drain)
    found = told(fleet)
    assert found["drain_workloads"] == {("a", "planned"): 1, ("a", "begun"): 1, ("a", "done"): 1}
    assert drain.deadline is not None
    deadline = {("a",): pytest.approx(drain.deadline.timestamp())}
    assert found["drain_deadline_timestamp_seconds"] == deadline
    end = {("a",): pytest.approx(began.timestamp() + 90)}
    assert found["drain_expected_end_timestamp_seconds"] == end


def test_a_histogram_is_cumulative(fleet: Fleet, redis: FakeRedis) -> None:
    for seconds in (0.2, 0.2, 4.0):
        with redis.pipeline() as pipe:
            count = tallies.Count(tally=tallies.DOWNTIME, labels=("moved",), amount=seconds)
            tallies.add(pipe, iter((count,)))
            pipe.execute()
    found = told(fleet)
    buckets = found["downtime_seconds_bucket"]
    assert buckets["0.1", "moved"] == 0
    assert buckets["0.25", "moved"] == buckets["2.5", "moved"] == 2
    assert buckets["5", "moved"] == buckets["+Inf", "moved"] == 3
    assert found["downtime_seconds_count"]["moved",] == 3
    assert found["downtime_seconds_sum"]["moved",] == pytest.approx(4.4)


class Broken(MemoryObjectStore):
    def check(self) -> None:
        raise StoreUnavailableError("memory", "it is away")


def test_the_store_is_looked_at_and_what_was_known_stays(fleet: Fleet, redis: FakeRedis) -> None:
    assert "store_up" not in told(fleet)  # nobody has looked
    objects = MemoryObjectStore()
    objects.put("checkpoints/web/1/part", b"12345")
    report = stored._look(redis, ArchiveStore(objects, keys=UNENCRYPTED), {})
    redis.set(stored.KEY, report.model_dump_json())
    assert told(fleet)["store_up"] == {(): 1}
    assert told(fleet)["store_bytes"]["checkpoints",] == 5
    report = stored._look(redis, ArchiveStore(Broken(), keys=UNENCRYPTED), report.bytes)
    redis.set(stored.KEY, report.model_dump_json())
    assert told(fleet)["store_up"] == {(): 0}
    assert told(fleet)["store_bytes"]["checkpoints",] == 5


def test_without_redis_only_that_is_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(fleet.registry, "hosts", away)
    assert told(fleet) == {"redis_up": {(): 0}}


def test_no_label_grows_with_the_work(fleet: Fleet) -> None:
    labels = {label for metric in (*GAUGES, *tallies.TALLIES) for label in metric.labels}
    names = {"host", "kind", "outcome", "state", "unit", "error", "result", "direction", "queue"}
    assert labels == names | {"role", "version"}


def test_names_follow_the_conventions() -> None:
    for tally in tallies.TALLIES:
        assert tally.name.endswith("_seconds" if tally.buckets else "_total"), tally.name
    for gauge in GAUGES:
        assert not gauge.name.endswith("_total"), gauge.name
    for metric in (*tallies.TALLIES, *GAUGES):
        assert metric.help.endswith("."), metric.name
        Metric(metric.name, metric.help, "unknown")


def test_it_is_served_as_soon_as_the_address_is_to_be_had(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.metrics.serving.AGAIN_SECONDS", 0.05)
    start(fleet, "a")
    address = Address("127.0.0.1", free_port())
    with socket.create_server(address):
        endpoint = Endpoint(address, fleet)
        endpoint.start()
    try:
        text = eventually(lambda: read(f"http://{address}/metrics"), "nothing is served")
    finally:
        endpoint.stop()
    for name in ("podferry_host_state", "podferry_build_info", "process_resident_memory_bytes"):
        assert f"\n{name}{{" in text or f"\n{name} " in text
    with socket.create_server(address):
        pass  # it is free again


def read(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 -- its own server
            return str(answer.read().decode())
    except OSError:
        return None


def test_what_a_rate_is_asked_of_begins_at_zero(fleet: Fleet) -> None:
    start(fleet, "a")
    found = told(fleet)
    assert found["workflows_total"]["migrate", "failed"] == 0
    assert found["drains_total"]["away", "incomplete"] == 0
    assert found["lease_expiries_total"] == {("a",): 0}
    assert found["downtime_seconds_bucket"]["+Inf", "moved"] == 0


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),  # noqa: S104 -- what people may write
        ("[::1]:9464", ("::1", 9464)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address
    assert parse_address(str(parse_address(text))) == address


@pytest.mark.parametrize("text", ["", "host", "0", "65536", "example.org:1", "1.2.3.4:", "::1:x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="IP:PORT"):
        parse_address(text)
