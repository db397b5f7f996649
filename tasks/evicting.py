"""A host's worker does what is recorded of its host: removes what must not stay, stops old copies.

It acts only on what no workflow under way works with on this host, asks for that and for the record
again right before it acts, and never removes by force: what runs is never removed, whoever is late.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

import structlog

from runtime import (
    ContainerNotFoundError,
    ContainerSummary,
    EngineUnavailableError,
    RestartPolicy,
    RuntimeEngineError,
    VolumeInUseError,
)
from tasks.control import call_off
from tasks.errors import WorkflowNotFoundError
from tasks.evictions import Eviction, Meaning
from tasks.groups import LIVE
from tasks.models import Outcome, State, Workflow, now

if TYPE_CHECKING:
    from runtime import CheckpointRuntime
    from tasks.records import Records

# Until then a worker that slept on the host may still add to what it began there.
SETTLED = timedelta(minutes=2)
# A heal whose workflow is not there by then was never begun.
NEVER_BEGUN = timedelta(hours=1)
HEALED = frozenset({Outcome.RESTORED, Outcome.COLD})
log = structlog.get_logger()


class Verdict(Enum):
    """What a heal means for the old copy."""

    STOP = auto()  # the new one runs, or may
    WAIT = auto()  # it is not decided
    VOID = auto()  # there is no new one


class Evictor:
    """Acts on the evictions of one host, with this engine."""

    def __init__(self, records: Records, host: str, runtime: CheckpointRuntime) -> None:
        self._records = records
        self._host = host
        self._runtime = runtime

    def look(self) -> None:
        """Do what is due now; what fails is logged, and tried at the next look.

        Raises EngineUnavailableError.
        """
        due = self._records.evictions.of(self._host)
        here = self._runtime.containers() if due else []
        for eviction in due:
            try:
                self._act(eviction, here)
            except EngineUnavailableError:
                raise
            except RuntimeEngineError as error:
                log.warning("not evicted yet", workload=eviction.workload, reason=str(error))

    def _act(self, eviction: Eviction, here: Sequence[ContainerSummary]) -> None:
        if eviction.meaning is Meaning.STOP:
            self._stop(eviction, [c for c in here if c.id in eviction.parts.ids])
        else:
            self._remove(eviction, [c for c in here if c.name in eviction.parts.containers])

    def _stop(self, eviction: Eviction, found: Sequence[ContainerSummary]) -> None:
        running = [container for container in found if container.state in LIVE]
        verdict = self._verdict(eviction, running=bool(running)) if found else Verdict.VOID
        if verdict is Verdict.VOID:
            self._records.evictions.change(self._host, eviction, None)
        done_before = eviction.stopped is not None and not running
        if done_before or verdict is not Verdict.STOP or not self._still_due(eviction):
            return
        for container in found:
            with suppress(ContainerNotFoundError):
                self._runtime.update_restart_policy(container.id, RestartPolicy())
        for container in running:
            log.warning("stopped: it runs elsewhere", container=container.name, id=container.id)
            self._runtime.stop(container.id)
        done = eviction.model_copy(update={"stopped": now()})
        self._records.evictions.change(self._host, eviction, done)

    def _verdict(self, eviction: Eviction, *, running: bool) -> Verdict:
        """An old copy that runs again calls off a heal that has not come to running a new one."""
        try:
            workflow = self._records.get(eviction.workflow)
        except WorkflowNotFoundError:
            old = now() - eviction.recorded > NEVER_BEGUN
            return Verdict.VOID if old else Verdict.WAIT
        if workflow.state is State.ENDED:
            new_copy = workflow.outcome in HEALED or workflow.permit is not None
            return Verdict.STOP if new_copy else Verdict.VOID
        if not running or call_off(self._records, workflow.id):
            return Verdict.WAIT
        return Verdict.STOP

    def _remove(self, eviction: Eviction, found: Sequence[ContainerSummary]) -> None:
        parts = eviction.parts
        strange = any(c.state in LIVE or (parts.ids and c.id not in parts.ids) for c in found)
        if strange:  # no part of a copy that never ran: what has the name now belongs here
            log.warning("left alone: it is not what was left behind", workload=eviction.workload)
            self._records.evictions.change(self._host, eviction, None)
            return
        pod = parts.pod if parts.pod and self._runtime.pod_exists(parts.pod) else ""
        volumes = [name for name in parts.volumes if self._runtime.volume_exists(name)]
        if not found and not pod and not volumes:
            if now() - eviction.recorded > SETTLED and not self._busy(eviction):
                self._records.evictions.change(self._host, eviction, None)
            return
        if not self._still_due(eviction):
            return
        for container in found:
            self._runtime.remove(container.id, volumes=True)
        if pod:
            self._runtime.remove_pod(pod)
        for volume in volumes:
            with suppress(VolumeInUseError):
                self._runtime.remove_volume(volume)
        log.info("removed what was left behind", workload=eviction.workload, host=self._host)

    def _still_due(self, eviction: Eviction) -> bool:
        """Ask right before an effect: the record stands, and nobody works with these here."""
        return not self._busy(eviction) and eviction in self._records.evictions.of(self._host)

    def _busy(self, eviction: Eviction) -> bool:
        holders = set(self._records.holders(eviction.parts.containers).values())
        return any(
            workflow.id in holders and self._host in _places(workflow)
            for workflow in self._records.live()
        )


def _places(workflow: Workflow) -> Collection[str | None]:
    """The hosts that it works on now: before it has a plan, those that it was asked for."""
    planned = {step.host for step in workflow.steps if step.epoch == workflow.epoch}
    return planned or {workflow.source, workflow.target}
