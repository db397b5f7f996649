"""How long a move kept its workload from running: a pure function of its record."""

from __future__ import annotations

from datetime import datetime

from tasks.models import Kind, StepState, Unit, Workflow

BRINGS_BACK = frozenset({Unit.RESTORE, Unit.UP, Unit.RESUME})


def downtime(workflow: Workflow) -> tuple[datetime, datetime | None] | None:
    """From when a move's workload was stopped until it was healthy again; None: it never was.

    The second moment is None as long as it is stopped. A record does not say when within its first
    checkpoint step a workload was stopped, so the beginning of that step counts: this is never
    shorter than what the workload itself has seen.
    """
    taken = [s for s in workflow.steps if s.unit is Unit.CHECKPOINT and s.started]
    if workflow.kind is not Kind.MIGRATE or not taken or taken[0].started is None:
        return None
    back = [
        step.ended
        for step in workflow.steps
        if step.unit in BRINGS_BACK and step.state is StepState.DONE and step.ended
    ]
    if not back and not workflow.source_stopped:
        return None
    return taken[0].started, max(back, default=None)
