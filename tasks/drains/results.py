"""What became of a workload whose workflow has ended, and what follows for it: pure functions."""

from __future__ import annotations

from tasks.drains.models import Item, ItemState, Method
from tasks.models import Outcome, Unit, Workflow, now

# Where it is as it was: it may be tried again.
STILL_THERE = frozenset({Outcome.UNTOUCHED, Outcome.RESUMED})
# It cannot be checkpointed there, or not restored anywhere: another target would change nothing.
HOPELESS = frozenset({"CheckpointUnsupportedError", "CheckpointFailedError", "NotMovableError"})
LEFT = {
    Method.STOP: frozenset({Outcome.STOPPED}),
    Method.START: frozenset({Outcome.STARTED, Outcome.RESUMED, Outcome.COLD}),
}


def settled(item: Item, workflow: Workflow, tries: int, home: str | None = None) -> Item:
    """An item whose workflow has ended: done, to be tried again, or failed.

    On the way back it is done at ``home`` only.
    """
    item = item.changed(outcome=workflow.outcome, ended=workflow.ended or now())
    if _left(item, workflow):
        target = workflow.target or item.source
        at_home = home in {None, target}
        return item.changed(
            state=ItemState.DONE if at_home else ItemState.FAILED,
            target=target,
            reason=workflow.reason if at_home else f"it is on {target} now: {workflow.reason}",
        )
    if workflow.outcome not in STILL_THERE or item.tries >= tries:
        return item.changed(state=ItemState.FAILED, reason=workflow.reason or "it was cancelled")
    return _again(item, workflow)


def _left(item: Item, workflow: Workflow) -> bool:
    """Whether it has left its source, and is healthy where it is."""
    if item.method in LEFT:
        return workflow.outcome in LEFT[item.method]
    return (
        workflow.outcome in {Outcome.MOVED, Outcome.COLD} and workflow.done(Unit.FINISH) is not None
    )


def _again(item: Item, workflow: Workflow) -> Item:
    """Once more: cold, where memory is the trouble; else live, to another host if there is one."""
    failed = workflow.failed_step
    error = failed.error.type if failed and failed.error else ""
    hopeless = error in HOPELESS or workflow.outcome is Outcome.RESUMED
    waits = {"state": ItemState.PARKED, "target": None, "reason": workflow.reason}
    if item.method is Method.LIVE and hopeless and item.may_go_cold:
        cold = {"method": Method.COLD, "may_go_live": False, "because": workflow.reason}
        return item.changed(**waits, **cold)
    avoid = (*item.need.avoid, *([item.target] if item.target else []))
    need = item.need.model_copy(update={"avoid": avoid})
    return item.changed(**waits, need=need)
