"""Each cloud's notice, read by the rules of its metadata service."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.workers.notices.imitation import (
    AWS_ACTION,
    AWS_TOKEN,
    AZURE_EVENTS,
    AZURE_NAME,
    GCP_PREEMPTED,
    Metadata,
    azure_event,
)
from workers.notices import clouds
from workers.notices.clouds import AwsSource, AzureSource, GcpSource
from workers.notices.metadata import MetadataService
from workers.notices.models import Source, SourceError
from workers.notices.sources import open_sources

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACTION = {"action": "terminate", "time": "2017-09-18T08:22:00Z"}


class Clock:
    moment = NOON

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(metadata: Metadata) -> MetadataService:
    return MetadataService(metadata.url)


@pytest.fixture(params=["aws", "gcp", "azure"])
def any_cloud(request: pytest.FixtureRequest, metadata: Metadata) -> Source:
    return open_sources([request.param], metadata.url)[0]


def announce(metadata: Metadata) -> None:
    """Every cloud has a notice."""
    metadata.action, metadata.preempted, metadata.events = ACTION, True, [azure_event()]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        *(("GET", AWS_ACTION, 401), ("PUT", AWS_TOKEN, 400), ("GET", AWS_TOKEN, 405)),
        *(("GET", GCP_PREEMPTED, 403), ("GET", AZURE_EVENTS, 400), ("GET", AZURE_NAME, 400)),
    ],
)
def test_the_imitation_refuses_who_does_not_know_the_rules(
    metadata: Metadata, service: MetadataService, method: str, path: str, status: int
) -> None:
    announce(metadata)
    assert service.ask(method, path, {}).status == status


def test_no_notice(any_cloud: Source) -> None:
    assert any_cloud.look() == []


def test_a_notice_is_the_same_event_whoever_sees_it(metadata: Metadata, any_cloud: Source) -> None:
    announce(metadata)
    [seen] = any_cloud.look()
    assert any_cloud.look() == [seen]
    [other] = open_sources([any_cloud.name], metadata.url)[0].look()
    assert (other.id, other.source) == (seen.id, any_cloud.name)


@pytest.mark.parametrize("answer", [(503, "busy"), (500, ""), (200, "<html>"), (200, "{}")])
def test_a_service_that_fails_for_a_while(
    metadata: Metadata, any_cloud: Source, answer: tuple[int, str]
) -> None:
    announce(metadata)
    metadata.spoilt = answer
    with pytest.raises(SourceError):
        any_cloud.look()
    metadata.spoilt = None
    assert len(any_cloud.look()) == 1


@pytest.mark.parametrize("name", ["aws", "gcp", "azure"])
def test_a_service_that_is_not_there(name: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        [source] = open_sources([name], f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(SourceError, match="no answer"):
            source.look()


def test_no_proxy_is_asked(
    metadata: Metadata, any_cloud: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(metadata)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert len(any_cloud.look()) == 1


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_aws_says_what_and_when(metadata: Metadata, service: MetadataService, action: str) -> None:
    metadata.action = {**ACTION, "action": action}
    [notice] = AwsSource(service).look()
    assert notice.deadline == datetime(2017, 9, 18, 8, 22, tzinfo=UTC)
    assert notice.reason == action


def test_one_token_of_aws_is_used_until_it_is_too_old(
    metadata: Metadata, service: MetadataService
) -> None:
    source = AwsSource(service)
    source.look()
    source.look()
    assert metadata.asked.count(f"PUT {AWS_TOKEN}") == 1
    metadata.expire()
    metadata.action = ACTION
    assert len(source.look()) == 1
    assert metadata.asked.count(f"PUT {AWS_TOKEN}") == 2


def test_another_time_of_aws_is_another_event(metadata: Metadata, service: MetadataService) -> None:
    source = AwsSource(service)
    metadata.action = ACTION
    [first] = source.look()
    metadata.action = {**ACTION, "time": "2017-09-18T09:22:00Z"}
    [second] = source.look()
    assert first.id != second.id


@pytest.mark.parametrize("time", ["soon", "2017-09-18T08:22:00", "", "25:00"])
def test_aws_without_a_time(metadata: Metadata, service: MetadataService, time: str) -> None:
    metadata.action = {**ACTION, "time": time}
    with pytest.raises(SourceError, match="time"):
        AwsSource(service).look()


def test_gcp_gives_thirty_seconds_from_the_first_look(
    metadata: Metadata, service: MetadataService, clock: Clock
) -> None:
    source = GcpSource(service, clock)
    source.look()
    clock.forward(100)
    metadata.preempted = True
    source.look()
    clock.forward(7)
    [notice] = source.look()
    assert notice.deadline == NOON + timedelta(seconds=130)


def test_gcp_after_another_start_is_another_event(
    metadata: Metadata, service: MetadataService, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.preempted = True
    [first] = GcpSource(service).look()
    monkeypatch.setattr(clouds, "boot_id", lambda: "another")
    [second] = GcpSource(service).look()
    assert first.id != second.id


@pytest.mark.parametrize(
    "text", ["Mon, 19 Sep 2016 18:29:47 GMT", "2016-09-19T18:29:47Z", "2016-09-19T20:29:47+02:00"]
)
def test_azure_says_when(metadata: Metadata, service: MetadataService, text: str) -> None:
    metadata.events = [azure_event(NotBefore=text)]
    [notice] = AzureSource(service).look()
    assert notice.deadline == datetime(2016, 9, 19, 18, 29, 47, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", None])
def test_azure_says_no_time_when_it_has_begun(
    metadata: Metadata, service: MetadataService, clock: Clock, text: str | None
) -> None:
    metadata.events = [azure_event(NotBefore=text, EventStatus="Started")]
    [notice] = AzureSource(service, clock).look()
    assert notice.deadline == NOON


@pytest.mark.parametrize(
    ("kind", "concerns"),
    [
        *(("Preempt", True), ("Terminate", True), ("Redeploy", True)),
        *(("Reboot", False), ("Freeze", False)),
    ],
)
def test_azure_events_that_take_the_machine(
    metadata: Metadata, service: MetadataService, kind: str, concerns: bool
) -> None:
    metadata.events = [azure_event(EventType=kind)]
    assert [n.reason for n in AzureSource(service).look()] == ([kind] if concerns else [])


def test_azure_events_of_other_machines_are_not_ours(
    metadata: Metadata, service: MetadataService
) -> None:
    other = azure_event(EventId="other", Resources=["web-10", "web"], NotBefore="garbage")
    metadata.events = [other, azure_event(Resources=["web-2", "WEB-1"])]
    [notice] = AzureSource(service).look()
    assert notice.deadline.year == 2016


def test_azure_is_asked_once_what_this_machine_is_called(
    metadata: Metadata, service: MetadataService
) -> None:
    announce(metadata)
    source = AzureSource(service)
    source.look()
    source.look()
    assert metadata.asked.count(f"GET {AZURE_NAME}") == 1


def test_azure_with_a_time_that_is_none(metadata: Metadata, service: MetadataService) -> None:
    metadata.events = [azure_event(NotBefore="soon")]
    with pytest.raises(SourceError, match="soon"):
        AzureSource(service).look()
