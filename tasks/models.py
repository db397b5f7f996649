"""The durable record of a workflow, and what hosts tell about themselves.

Records are JSON in Redis. They hold no secrets: a container's environment travels in the
checkpoint's manifest or in a payload of its own, never here.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from runtime import Finding

# What a worker works on, and so how many workloads leave a host, where nobody says another number.
AT_ONCE = 4
HOST_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


def _host_name(text: str) -> str:
    if not re.fullmatch(HOST_PATTERN, text):
        raise ValueError(f"{text!r} is no host's name: lower-case letters, digits and dashes")
    return text


HostName = Annotated[str, AfterValidator(_host_name)]


def now() -> datetime:
    """The current moment, aware."""
    return datetime.now(UTC)


class Model(BaseModel):
    """A record that never changes; a change makes a new one. See tasks.stored for its versions."""

    model_config = ConfigDict(frozen=True, extra="allow")


class Kind(StrEnum):
    """What a workflow is for."""

    MIGRATE = "migrate"
    CHECKPOINT = "checkpoint"
    RESTORE = "restore"
    BUILD = "build"
    UP = "up"
    PREFLIGHT = "preflight"  # would a migration work? Nothing is changed
    STOP = "stop"  # a workload that is not worth a move: it stays, stopped, until it is resumed


class Unit(StrEnum):
    """The units of work; each runs on the queue of the host it concerns."""

    DESCRIBE = "describe"  # source: what has to move; refuses what cannot
    PREFLIGHT = "preflight"  # target: is there room for it; is its image here
    PUSH_IMAGE = "push_image"  # source: image into the store, when the target lacks it
    PULL_IMAGE = "pull_image"  # target: image out of the store
    PRESEED = "preseed"  # source: a copy of it as it runs, for the checkpoint to be told apart from
    PREFETCH = "prefetch"  # target: that copy onto its disk
    CHECKPOINT = "checkpoint"  # source: stop it, memory (unless cold) and files into the store
    RESTORE = "restore"  # target: bring it back from the store, until it is healthy
    FINISH = "finish"  # source: remove the old copy (the move is past its commit point)
    UP = "up"  # target: cold start, its files from the archive when there is one
    DISCARD = "discard"  # target: make sure that no copy of ours is left there
    RESUME = "resume"  # source: bring it back in place, with its memory if that was kept
    BUILD = "build"  # any host: an image from a context in the store
    STOP = "stop"  # source: stop it for good


class StepState(StrEnum):
    """How far a step has come."""

    PENDING = "pending"
    RUNNING = "running"  # held by ``owner`` until ``lease_until``
    DONE = "done"
    FAILED = "failed"


class State(StrEnum):
    """How far a workflow has come."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a workflow ended."""

    MOVED = "moved"  # runs on the target, memory intact
    COLD = "cold"  # started anew on the target, files from the archive; or on the source
    RESUMED = "resumed"  # runs on the source again, memory intact
    UNTOUCHED = "untouched"  # failed before the source was stopped; it runs there
    CHECKPOINTED = "checkpointed"
    RESTORED = "restored"
    BUILT = "built"
    STARTED = "started"
    STOPPED = "stopped"  # on its source, as asked
    CHECKED = "checked"  # a preflight: its findings say whether the move would work
    CANCELLED = "cancelled"  # on request; the workload is where it was
    FAILED = "failed"  # needs a person: ``reason`` and ``next_command`` say how


class GroupKind(StrEnum):
    """What makes several containers one workload."""

    PROJECT = "project"  # a compose project
    POD = "pod"  # a Podman pod


class Fallback(StrEnum):
    """A rung of the ladder: what a failed migration tries, once the source was stopped."""

    ELSEWHERE = "elsewhere"  # restore it on another host that qualifies
    COLD = "cold"  # start it anew on the target, with retry; the memory is lost
    RESUME = "resume"  # bring it back on the source with its memory; always the last rung


LADDER = (Fallback.ELSEWHERE, Fallback.COLD, Fallback.RESUME)


class Policy(StrEnum):
    """How a container wants to leave its host: its label ``podferry.policy``."""

    AUTO = "auto"  # with its memory, if that can be done
    LIVE = "live"  # never without its memory
    COLD = "cold"  # stopped and started anew: its memory is worth nothing
    STOP = "stop"  # in a drain: stopped, and not moved; else as auto


class OnDeadline(StrEnum):
    """What a migration does whose deadline passes, once the source was stopped."""

    ABORT = "abort"  # bring it back on the source with its memory
    COLD = "cold"  # start it anew on the target, if its archive is complete; else abort
    CONTINUE = "continue"  # go on, late


class Increment(StrEnum):
    """What a checkpoint stores."""

    NONE = "none"  # all of it; nothing can be told apart from it
    AUTO = "auto"  # what changed since the newest one, where that is possible
    FULL = "full"  # all of it, as the first of a chain


class Preseed(StrEnum):
    """Whether a migration sends most of the memory while the container still runs."""

    OFF = "off"
    AUTO = "auto"  # where the source's link would keep the container stopped for long
    ON = "on"


class StepError(Model):
    """Why a step failed: the error's type name and its one-line message."""

    type: str
    message: str
    findings: tuple[Finding, ...] = ()  # of a preflight that refused the move


class Step(Model):
    """One unit of a workflow's plan. ``epoch`` is the plan it belongs to."""

    unit: Unit
    host: HostName
    epoch: int
    state: StepState = StepState.PENDING
    owner: str = ""  # fencing token of the worker that holds it
    lease_until: AwareDatetime | None = None
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    result: dict[str, JsonValue] = Field(default_factory=dict)
    error: StepError | None = None

    def failed(self, error: StepError) -> Step:
        """The step, over and failed; nobody holds it any more."""
        return self.model_copy(
            update={
                "state": StepState.FAILED,
                "ended": now(),
                "error": error,
                "lease_until": None,
            }
        )

    @property
    def lapsed(self) -> bool:
        """Whether its worker has given no sign of life for longer than the lease."""
        return (
            self.state is StepState.RUNNING
            and self.lease_until is not None
            and self.lease_until < now()
        )

    @property
    def live(self) -> bool:
        """Whether a worker holds it and gives signs of life."""
        return self.state is StepState.RUNNING and not self.lapsed

    @property
    def seconds(self) -> float | None:
        """How long it ran, when it has ended."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


class Options(Model):
    """What the request asked for beyond names."""

    fallback: tuple[Fallback, ...] = ()  # empty: as the container's label or the settings say
    on_deadline: OnDeadline = OnDeadline.ABORT
    retries: int = Field(default=2, ge=0, le=20)  # of a step that failed for a passing reason
    preseed: Preseed = Preseed.OFF
    incremental: Increment = Increment.NONE  # checkpoint
    leave_stopped: bool = False  # checkpoint: keep the container stopped afterwards
    replace: bool = False  # restore: discard a container of the same name on the target
    ignore_static_ip: bool = False  # restore: let the target give new addresses
    canary: bool = False  # preflight: prove CRIU on both hosts now, whatever is known of it
    up_attempts: int = Field(default=5, ge=1, le=20)  # cold start: tries before it gives up
    anywhere: bool = False  # migrate: no target was named, a control worker chooses it
    selector: dict[str, str] = Field(default_factory=dict)  # labels that such a target must have
    cold: bool = False  # migrate: without its memory; restore: of a checkpoint that has none
    fresh: bool = False  # a cold start: the image's files as they are in the image
    heal: bool = False  # restore: of what ran on a dead host; elsewhere, then cold, if it fails


class Parts(Model):
    """What a copy of a workload consists of on a host."""

    containers: tuple[str, ...] = ()  # their names
    ids: tuple[str, ...] = ()  # their ids; none, where the engine is to choose them
    volumes: tuple[str, ...] = ()
    pod: str = ""


class Need(Model):
    """What a workload asks of the host that it goes to; sizes in bytes, 0 where not known.

    While its workflow lives and names a target, this much is reserved there.
    """

    source: HostName | None = None  # whose CPU, engine and CRIU the target has to match
    names: tuple[str, ...] = ()  # of its containers: the target must not have any of these
    memory_bytes: int = Field(default=0, ge=0)
    disk_bytes: int = Field(default=0, ge=0)
    labels: dict[str, str] = Field(default_factory=dict)  # that the host must have
    spread: tuple[str, ...] = ()  # groups whose containers are kept apart, if that can be
    avoid: tuple[HostName, ...] = ()


class Workflow(Model):
    """One workflow: its request, its plan so far, and how it ended."""

    version: Literal[1] = 1
    id: str
    kind: Kind
    workload: str  # a container, or a group's name
    group: GroupKind | None = None  # None: the workload is one container
    members: tuple[str, ...] = ()  # the containers of a group
    source: HostName | None = None
    target: HostName | None = None
    options: Options = Options()
    need: Need | None = None  # None: nobody knows what it takes up on its target
    drain: str = ""  # the drain that it is part of, which is told of its end
    created: AwareDatetime = Field(default_factory=now)
    deadline: AwareDatetime
    checkpoint_id: str = ""  # chosen with the plan, so that a repeated step cannot write twice
    archives: tuple[str, ...] = ()  # where the checkpoint's archives are written, in their order
    parents: tuple[str, ...] = ()  # checkpoints that the new ones cannot be read without
    epoch: int = 0
    fence: int = 0  # how often the record was written anew: what hosts state counts for one of them
    steps: tuple[Step, ...] = ()
    state: State = State.QUEUED
    cancel_requested: bool = False
    source_stopped: bool = False  # set before the source is stopped, so true errs on the safe side
    touched: HostName | None = None  # where parts of a copy may be; set before, reset after
    parts: Parts | None = None  # what these are
    permit: HostName | None = None  # where a copy may run besides the source; likewise
    planned: AwareDatetime | None = None  # when the newest plan was made, or its pause ended
    not_before: AwareDatetime | None = None  # when the newest plan begins, if it waits for that
    outcome: Outcome | None = None
    ended: AwareDatetime | None = None
    reason: str = ""
    next_command: str = ""

    @property
    def containers(self) -> tuple[str, ...]:
        """The names of the containers that it is about."""
        return self.members if self.group else (self.workload,)

    def with_step(self, index: int, step: Step) -> Workflow:
        """The workflow with one of its steps replaced."""
        steps = (*self.steps[:index], step, *self.steps[index + 1 :])
        return self.model_copy(update={"steps": steps})

    def done(self, unit: Unit) -> Step | None:
        """The newest finished step of a unit."""
        return next(
            (s for s in reversed(self.steps) if s.unit is unit and s.state is StepState.DONE), None
        )

    @property
    def cold_as_asked(self) -> bool:
        """Whether it was to be started cold, and was, where it was to be."""
        return self.options.cold and self.outcome is Outcome.COLD and self.done(Unit.UP) is not None

    def overdue(self, unit: Unit, moment: datetime) -> bool:
        """Whether it is too late for a unit. What brings the workload back is never too late."""
        if moment <= self.deadline or unit in {Unit.FINISH, Unit.DISCARD, Unit.RESUME}:
            return False
        stopped = self.source_stopped and self.kind is Kind.MIGRATE
        match self.options.on_deadline:
            case OnDeadline.CONTINUE:
                return not stopped
            case OnDeadline.COLD:
                return not (stopped and unit is Unit.UP)
            case OnDeadline.ABORT:
                return True

    @property
    def failed_step(self) -> Step | None:
        """The failed step of the newest plan that has one; of several, the first: it is the cause.

        A restore that reads along fails when the checkpoint that it reads does.
        """
        failed = [step for step in self.steps if step.state is StepState.FAILED]
        return next((step for step in failed if step.epoch == failed[-1].epoch), None)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that its plan names."""
        return tuple(dict.fromkeys(s.host for s in self.steps))


def new_workflow(
    kind: Kind,
    workload: str,
    *,
    group: GroupKind | None = None,
    members: tuple[str, ...] = (),
    source: str | None = None,
    target: str | None = None,
    options: Options | None = None,
    need: Need | None = None,
    deadline_seconds: float = 3600.0,
    checkpoint_id: str = "",
) -> Workflow:
    """A record for a new request, with an id that sorts by time; only a group has members."""
    moment = now()
    return Workflow(
        id=f"{kind}-{moment:%Y%m%d%H%M%S}-{secrets.token_hex(3)}",
        kind=kind,
        workload=workload,
        group=group,
        members=members if group else (),
        source=source,
        target=target,
        options=options or Options(),
        need=need,
        created=moment,
        deadline=moment + timedelta(seconds=deadline_seconds),
        checkpoint_id=checkpoint_id,
    )


class EventType(StrEnum):
    """What an event in a workflow's log tells."""

    STARTED = "started"
    PROGRESS = "progress"  # ``bytes`` so far, of ``total`` where that is known
    LOG = "log"
    DONE = "done"
    FAILED = "failed"
    FALLBACK = "fallback"
    ENDED = "ended"


class Event(Model):
    """One line of a workflow's log."""

    time: AwareDatetime = Field(default_factory=now)
    type: EventType
    unit: Unit | None = None
    host: str = ""
    message: str = ""
    bytes: int | None = None
    total: int | None = None  # the bytes that a transfer will have had at its end


class WorkloadLine(Model):
    """A container in a host's inventory."""

    name: str
    id: str
    image: str
    state: str
    project: str = ""  # the compose project that it belongs to
    pod: str = ""  # the name of its Podman pod
    labels: dict[str, str] = Field(default_factory=dict)  # those that begin with "podferry."
    memory_bytes: int = 0  # resident, some seconds ago; 0: not known


class Inventory(Model):
    """The containers of a host at a moment. ``error`` says why they are not known."""

    host: HostName
    taken: AwareDatetime = Field(default_factory=now)
    containers: tuple[WorkloadLine, ...] = ()
    error: str = ""


class WorkerInfo(Model):
    """What a worker says of itself with each heartbeat."""

    id: str
    host: HostName | None = None  # a host worker's host
    control: bool = False
    version: str
    pid: int
    engine: str = ""  # "podman 5.4.2"; empty while the socket does not answer
    seen: AwareDatetime = Field(default_factory=now)
    left: bool = False  # it was told to stop, and said farewell
