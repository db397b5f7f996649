"""What a workflow waits for, in words."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from podferry.cli.common import clock
from tasks.models import State, StepState, Workflow

Online = Callable[[], Collection[str]]


def waits_for(workflow: Workflow, moment: datetime, online: Online) -> str:
    """Why nothing happens; empty when a worker is at it, or it is over.

    ``online`` says which hosts live; it is asked only where that matters.
    """
    if workflow.state is State.ENDED:
        return ""
    if not workflow.steps:
        return workflow.reason or "waits for a control worker"
    current = [step for step in workflow.steps if step.epoch == workflow.epoch]
    held = [step for step in current if step.state is StepState.RUNNING]
    if held:
        silent = all(step.lapsed for step in held)
        return f"the worker on host {held[0].host} is silent" if silent else ""
    if workflow.not_before is not None and workflow.not_before > moment:
        return f"again at {clock(workflow.not_before, moment)}"
    pending = next((step for step in current if step.state is StepState.PENDING), None)
    if pending is None or any(step.state is StepState.FAILED for step in current):
        return ""
    if pending.host not in online():
        return f"waits for host {pending.host}, offline"
    return f"waits for its turn on host {pending.host}"
