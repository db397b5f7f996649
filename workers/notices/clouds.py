"""Notices of AWS, Google Cloud and Azure, each by the rules of its metadata service."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from tasks.models import now
from workers.notices.clock import parse_moment
from workers.notices.metadata import Answer, MetadataService, refused
from workers.notices.models import Notice, SourceError, event_id

GCP_SECONDS = 30.0  # between Google's notice and its power switch
AZURE_EVENTS = frozenset({"Preempt", "Terminate", "Redeploy"})  # the VM's memory is lost
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
Read = TypeVar("Read", bound=BaseModel)


class _Action(BaseModel):
    action: str
    time: AwareDatetime


class AwsSource:
    """Interruption of a spot instance, by IMDSv2.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    """

    TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
    TOKEN_SECONDS = 21600
    PATH = "/latest/meta-data/spot/instance-action"

    def __init__(self, service: MetadataService) -> None:
        self.name = "aws"
        self._service = service
        self._token = ""

    def look(self) -> Sequence[Notice]:
        """The notice of this instance, if there is one. Raises SourceError."""
        answer = self._ask()
        if answer.status == 401:  # the token is too old, or there was none
            self._token = self._new_token()
            answer = self._ask()
        if answer.status == 404:
            return []
        if answer.status != 200:
            raise refused(self.PATH, answer)
        found = _read(_Action, answer.text)
        event = event_id(self.name, found.action, found.time.isoformat())
        return [Notice(source=self.name, deadline=found.time, reason=found.action, id=event)]

    def _ask(self) -> Answer:
        if not self._token:
            self._token = self._new_token()
        return self._service.ask("GET", self.PATH, {"X-aws-ec2-metadata-token": self._token})

    def _new_token(self) -> str:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(self.TOKEN_SECONDS)}
        answer = self._service.ask("PUT", self.TOKEN_PATH, headers)
        if answer.status != 200:
            raise refused(self.TOKEN_PATH, answer)
        return answer.text.strip()


class GcpSource:
    """Preemption of a spot VM: 30 s from the moment when it was first seen.

    https://cloud.google.com/compute/docs/instances/create-use-preemptible
    """

    PATH = "/computeMetadata/v1/instance/preempted"

    def __init__(self, service: MetadataService, clock: Callable[[], datetime] = now) -> None:
        self.name = "gcp"
        self._service = service
        self._clock = clock
        self._seen: datetime | None = None

    def look(self) -> Sequence[Notice]:
        """The notice of this VM, if there is one. Raises SourceError."""
        text = self._service.get(self.PATH, {"Metadata-Flavor": "Google"}).strip().upper()
        if text not in {"TRUE", "FALSE"}:
            raise SourceError("the answer is neither TRUE nor FALSE")
        self._seen = (self._seen or self._clock()) if text == "TRUE" else None
        if self._seen is None:
            return []
        deadline = self._seen + timedelta(seconds=GCP_SECONDS)
        # the VM may be started again, and be preempted again
        event = event_id(self.name, boot_id())
        return [Notice(source=self.name, deadline=deadline, reason="preempted", id=event)]


class _Event(BaseModel):
    id: str = Field(alias="EventId")
    type: str = Field(alias="EventType")
    resources: tuple[str, ...] = Field(default=(), alias="Resources")
    not_before: str | None = Field(default=None, alias="NotBefore")


class _Events(BaseModel):
    events: tuple[_Event, ...] = Field(alias="Events")


class AzureSource:
    """Scheduled events that take this VM's memory.

    https://learn.microsoft.com/azure/virtual-machines/linux/scheduled-events
    """

    PATH = "/metadata/scheduledevents?api-version=2020-07-01"
    NAME_PATH = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
    HEADERS = {"Metadata": "true"}  # noqa: RUF012 - only read

    def __init__(self, service: MetadataService, clock: Callable[[], datetime] = now) -> None:
        self.name = "azure"
        self._service = service
        self._clock = clock
        self._vm = ""

    def look(self) -> Sequence[Notice]:
        """The notices of this VM. Raises SourceError."""
        found = _read(_Events, self._service.get(self.PATH, self.HEADERS)).events
        takes = [event for event in found if event.type in AZURE_EVENTS]
        return [self._notice(event) for event in takes if self._concerns(event)]

    def _concerns(self, event: _Event) -> bool:
        """Events of other VMs are told too. Azure does not tell names apart by case."""
        if not self._vm:
            self._vm = self._service.get(self.NAME_PATH, self.HEADERS).strip().lower()
        return self._vm in {resource.lower() for resource in event.resources}

    def _notice(self, event: _Event) -> Notice:
        # no time: it has begun
        deadline = parse_moment(event.not_before) if event.not_before else self._clock()
        event_name = event_id(self.name, event.id)
        return Notice(source=self.name, deadline=deadline, reason=event.type, id=event_name)


def boot_id() -> str:
    """What differs from one start of this machine to the next; raises SourceError."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError as error:
        raise SourceError(str(error)) from error


def _read(model: type[Read], text: str) -> Read:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        what = "; ".join(f"{e['loc']}: {e['msg']}" for e in error.errors()[:2])
        raise SourceError(f"the answer is not understood: {what}") from error
