"""What can go wrong with a workflow. Callers decide by type."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime import Finding, blockers


class TasksError(Exception):
    """Root of every error this package raises on purpose."""


class BrokerUnavailableError(TasksError):
    """Redis does not answer. ``url`` has no password in it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"Redis at {self.url} does not answer: {self.reason}"


class InvalidRequestError(TasksError):
    """A request that can never work, however often it is made."""


class UnreadableRecordError(TasksError):
    """A record that this version cannot read: most likely a later one wrote it."""

    def __init__(self, record: str, reason: str) -> None:
        super().__init__(record, reason)
        self.record = record
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.record} cannot be read: {self.reason}; if `podferry workers` shows a later "
            "version than `podferry --version`, upgrade this one"
        )


class InsecureSettingError(InvalidRequestError):
    """A setting would let somebody in. ``setting`` is its name."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(setting, reason)
        self.setting = setting
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"PODFERRY_{self.setting.upper()} is not secure: {self.reason}; "
            "only to try things out, set PODFERRY_ENVIRONMENT=dev"
        )


class SigningKeyError(TasksError):
    """A key file for links is missing, or not what it has to be."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"signing key file {self.path}: {self.reason} (podferry keys signing makes a pair)"


class RefusedLinkError(TasksError):
    """A message that nobody who may has signed: it is not run."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task, reason)
        self.task = task
        self.reason = reason

    def __str__(self) -> str:
        return f"a message for {self.task} was refused: {self.reason}"


class ReplayedStepError(TasksError):
    """A step that this host has begun before, and whose record says otherwise."""

    def __str__(self) -> str:
        return "this host has begun the step before: its record was put back to what it was"


class UnknownHostError(TasksError):
    """No worker of this host was ever seen."""

    def __init__(self, host: str, known: Sequence[str]) -> None:
        super().__init__(host, tuple(known))
        self.host = host
        self.known = tuple(known)

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none; start one with: podferry worker --host NAME"
        return f"unknown host {self.host!r} (known hosts: {known})"


class HostOfflineError(TasksError):
    """The host is known, but its worker's heartbeat has stopped."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"host {self.host!r} is offline: its worker sends no heartbeat; "
            f"start it there with: podferry worker --host {self.host}"
        )


class HostAliveError(TasksError):
    """The host's worker sends heartbeats: what runs there cannot be brought up elsewhere."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"host {self.host!r} is alive: its worker sends heartbeats; "
            f"move what runs there with: podferry migrate NAME --to HOST"
        )


class NotFencedError(TasksError):
    """Nothing but a missing heartbeat says that the host is off."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return (
            f"host {self.host!r} sends no heartbeat, but its containers may run on: set "
            "PODFERRY_FENCE_COMMAND to a command that switches a machine off, or make sure that "
            f"it is off and type: podferry heal {self.host} --fenced"
        )


class FenceFailedError(TasksError):
    """The fence command did not say that the host is off."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"the fence command did not switch {self.host!r} off: {self.reason}; nothing was healed"
        )


class NoControlWorkerError(TasksError):
    """Nothing would take a workflow from the control queue."""

    def __str__(self) -> str:
        return "no control worker is running; start one with: podferry worker --control"


class UnknownContainerError(TasksError):
    """No live host has a container of this name."""

    def __init__(self, container: str, asked: Sequence[str]) -> None:
        super().__init__(container, tuple(asked))
        self.container = container
        self.asked = tuple(asked)

    def __str__(self) -> str:
        asked = ", ".join(self.asked) or "no host is online"
        return f"unknown container {self.container!r} (asked: {asked}); see: podferry ps"


class AmbiguousContainerError(TasksError):
    """Several hosts have a container of this name and none of them is the obvious one."""

    def __init__(self, container: str, hosts: Sequence[str]) -> None:
        super().__init__(container, tuple(hosts))
        self.container = container
        self.hosts = tuple(hosts)

    def __str__(self) -> str:
        return (
            f"container {self.container!r} is on several hosts ({', '.join(self.hosts)}); "
            "name one with --from"
        )


class WorkloadBusyError(TasksError):
    """Another workflow concerns this workload and has not ended."""

    def __init__(self, workload: str, workflow_id: str) -> None:
        super().__init__(workload, workflow_id)
        self.workload = workload
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return (
            f"{self.workload!r} is busy with workflow {self.workflow_id}; "
            f"see: podferry status {self.workflow_id}"
        )


class CheckpointNeededError(TasksError):
    """A checkpoint that is not removed by hand, for something needs it. ``command`` helps on."""

    def __init__(self, checkpoint_id: str, reason: str, command: str) -> None:
        super().__init__(checkpoint_id, reason, command)
        self.checkpoint_id = checkpoint_id
        self.reason = reason
        self.command = command

    def __str__(self) -> str:
        return f"{self.checkpoint_id} is not removed: {self.reason}; see: {self.command}"


class HostBusyError(TasksError):
    """The host is being drained, or what left it is being brought home, already."""

    def __init__(self, host: str, drain_id: str) -> None:
        super().__init__(host, drain_id)
        self.host = host
        self.drain_id = drain_id

    def __str__(self) -> str:
        return (
            f"{self.drain_id} is under way for host {self.host!r}; see: podferry drains "
            f"{self.drain_id}, or call it off with: podferry drain-cancel {self.host}"
        )


class DrainNotFoundError(TasksError):
    """There is no such drain, or it ended so long ago that its record has expired."""

    def __init__(self, drain_id: str) -> None:
        super().__init__(drain_id)
        self.drain_id = drain_id

    def __str__(self) -> str:
        return f"there is no drain {self.drain_id!r}; list them with: podferry drains"


class SystemContainersError(TasksError):
    """Containers that belong to the host run there; a drain would leave them."""

    def __init__(self, host: str, names: Sequence[str]) -> None:
        super().__init__(host, tuple(names))
        self.host = host
        self.names = tuple(names)

    def __str__(self) -> str:
        return (
            f"on host {self.host!r} these belong to the host itself and cannot leave it: "
            f"{', '.join(self.names)}; add --ignore-system to leave them"
        )


class WorkflowNotFoundError(TasksError):
    """No record of a workflow with this id."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return f"no workflow {self.workflow_id!r}; see: podferry status"


class ScheduleNotFoundError(TasksError):
    """No schedule of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"no schedule {self.name!r}; see: podferry schedule ls"


class ForeignChangeError(TasksError):
    """A host was to change of a workflow what is not for it to change."""

    def __init__(self, host: str, workflow_id: str, names: tuple[str, ...]) -> None:
        super().__init__(host, workflow_id, names)
        self.host = host
        self.workflow_id = workflow_id
        self.names = names

    def __str__(self) -> str:
        return (
            f"host {self.host!r} may not change {', '.join(self.names)} of workflow "
            f"{self.workflow_id}: a control worker has to"
        )


class SupersededError(TasksError):
    """The record has moved on: this message or this worker is late and must do nothing more."""

    def __init__(self, workflow_id: str, step: int, reason: str) -> None:
        super().__init__(workflow_id, step, reason)
        self.workflow_id = workflow_id
        self.step = step
        self.reason = reason

    def __str__(self) -> str:
        return f"step {self.step} of workflow {self.workflow_id} is not ours: {self.reason}"


class StepFailedError(TasksError):
    """A step failed; the reason is in the record and in this message."""


class CancelledError(TasksError):
    """Someone asked for the workflow to be cancelled."""

    def __str__(self) -> str:
        return "cancelled on request"


class DeadlineError(TasksError):
    """The workflow's deadline passed."""

    def __str__(self) -> str:
        return "the deadline passed"


class NotMovableError(TasksError):
    """Something found before the source was touched makes the move impossible."""

    def __init__(self, container: str, reason: str, findings: Sequence[Finding] = ()) -> None:
        super().__init__(container, reason, tuple(findings))
        self.container = container
        self.reason = reason
        self.findings = tuple(findings)  # all of them, where a preflight refused it

    @classmethod
    def of(cls, container: str, findings: Sequence[Finding]) -> NotMovableError:
        """Made from findings: it names the first blocker and counts the others."""
        first, *others = blockers(findings)
        more = f" (and {len(others)} more)" if others else ""
        return cls(container, f"{first.message}{more}", findings)

    def __str__(self) -> str:
        return f"{self.container!r} cannot be moved: {self.reason}"


class LeaseLostError(TasksError):
    """The worker that held a step gave no sign of life for longer than its lease."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return f"the worker on {self.host!r} gives no sign of life; look at its log"


class SourceGoneError(TasksError):
    """The source stopped sending a checkpoint that its target reads along."""

    def __init__(self, host: str, reason: str) -> None:
        super().__init__(host, reason)
        self.host = host
        self.reason = reason

    def __str__(self) -> str:
        return f"host {self.host!r} stopped sending: {self.reason}"


class UnhealthyError(TasksError):
    """A container did not pass its health check in time."""

    def __init__(self, container: str, reason: str) -> None:
        super().__init__(container, reason)
        self.container = container
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.container!r} is not healthy: {self.reason}"


class WaitTimeoutError(TasksError):
    """The caller stopped waiting; the workflow goes on."""

    def __init__(self, workflow_id: str) -> None:
        super().__init__(workflow_id)
        self.workflow_id = workflow_id

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id} has not ended yet; "
            f"it goes on, see: podferry status {self.workflow_id}"
        )
