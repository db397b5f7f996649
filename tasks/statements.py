"""What each host states about a workflow, beside the record, and the two put together.

The record is what control workers and clients write; a host only reads it. What a host has to tell
of a workflow is its statement, which only that host writes: how far its own steps have come, and
what it does to the workload. A statement counts for the record as it was when it was made (its
``fence``): whoever writes the record takes over what was stated until then, and what somebody
still says about the one before is past it. All of this is pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from tasks.models import HostName, Model, Parts, State, Step, StepState, Unit, Workflow
from tasks.plans import completed, made_cold

# What the host may state where the workload is.
OF_SOURCE = ("source_stopped", "archives", "parents", "cancel_requested")
# What a host may state on which a plan has a copy made, and of which one is removed.
OF_COPY = ("touched", "parts", "permit")
MAKING = frozenset({Unit.RESTORE, Unit.UP})
PAST = "it is past its fence"


class Statement(Model):
    """What one host states about one workflow; what is not set, it does not speak of."""

    version: Literal[1] = 1
    fence: int  # of the record that it is about
    steps: dict[int, Step] = Field(default_factory=dict)  # its own that have changed, by index
    cold: bool = False  # the move is to be a cold one
    source_stopped: bool = False
    archives: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    cancel_requested: bool = False
    touched: HostName | None = None
    parts: Parts | None = None
    permit: HostName | None = None

    def amended(self, host: str, old: Workflow, new: Workflow) -> Statement:
        """This one, and what its host changes besides."""
        said: dict[str, object] = {
            name: getattr(new, name)
            for name in (*OF_SOURCE, *OF_COPY)
            if getattr(new, name) != getattr(old, name)
        }
        if new.options.cold and not old.options.cold:
            said["cold"] = True
        pairs = enumerate(zip(old.steps, new.steps, strict=False))
        own = {i: step for i, (was, step) in pairs if step.host == host and step != was}
        return self.model_copy(update={**said, "steps": {**self.steps, **own}})

    def to_json(self) -> str:
        """As it is kept: what it does not speak of is left out."""
        return self.model_dump_json(exclude_unset=True)


def speakers(record: Workflow) -> tuple[str, ...]:
    """The hosts whose statements count: the workload's, and those that its newest plan names."""
    planned = (step.host for step in record.steps if step.epoch == record.epoch)
    return tuple(dict.fromkeys(host for host in (record.source, *planned) if host))


def composed(
    record: Workflow, said: Mapping[str, Statement]
) -> tuple[Workflow, dict[str, list[str]]]:
    """The workflow as it stands, and what was refused of which host's statement.

    Each fact has one host that may state it, so it does not matter in which order they are read.
    """
    counted = {host: s for host, s in said.items() if _counts(record, s)}
    refused = {host: [PAST] for host in said if host not in counted}
    if any(s.cold and host == record.source for host, s in counted.items()):
        record = made_cold(record)
    workflow = record
    for host, statement in counted.items():
        wrong = list(_not_its_own(record, host, statement))
        if wrong:
            refused[host] = [f"it may not state {name}" for name in wrong]
        for index, step in statement.steps.items():
            if _its_step(record, host, index, step):
                workflow = workflow.with_step(index, step)
        facts = {
            name: getattr(statement, name)
            for name in (*OF_SOURCE, *OF_COPY)
            if name in statement.model_fields_set - set(wrong)
        }
        workflow = workflow.model_copy(update=_without_others(workflow, host, facts))
    return (completed(workflow) if counted else workflow), refused


def differing(one: Workflow, other: Workflow) -> tuple[str, ...]:
    """The names of the fields in which two records differ."""
    names = type(one).model_fields
    return tuple(name for name in names if getattr(one, name) != getattr(other, name))


def _counts(record: Workflow, statement: Statement) -> bool:
    return statement.fence == record.fence and record.state is not State.ENDED


def _not_its_own(record: Workflow, host: str, statement: Statement) -> Iterator[str]:
    """The names of what a host states that is not for it to state."""
    for index, step in statement.steps.items():
        if not _its_step(record, host, index, step):
            yield f"step {index}"
    said = statement.model_fields_set
    source = host == record.source
    yield from (name for name in OF_SOURCE if name in said and not source)
    if "cold" in said and not source:
        yield "cold"
    if source:  # none of these is taken back
        lasting = ("source_stopped", "cancel_requested", "cold")
        yield from (name for name in lasting if name in said and not getattr(statement, name))
    makes = any(s.unit in MAKING for s in _planned_on(record, host))
    for name in ("touched", "permit"):
        if name in said and getattr(statement, name) not in ({host, None} if makes else {None}):
            yield name
    if "parts" in said and not makes:
        yield "parts"
    yield from sorted(statement.model_extra or {})


def _its_step(record: Workflow, host: str, index: int, step: Step) -> bool:
    """Whether this can be what has become of a step of this host, in the newest plan."""
    if not 0 <= index < len(record.steps):
        return False
    planned = record.steps[index]
    same = (step.host, step.epoch) == (planned.host, planned.epoch) == (host, record.epoch)
    over = planned.state in {StepState.DONE, StepState.FAILED}
    return same and step.unit is planned.unit and not over


def _planned_on(record: Workflow, host: str) -> list[Step]:
    return [s for s in record.steps if s.host == host and s.epoch == record.epoch]


def _without_others(workflow: Workflow, host: str, facts: dict[str, object]) -> dict[str, object]:
    """What a host states, but that another one has a copy, or may run it, it does not unsay."""
    return {
        name: value
        for name, value in facts.items()
        if name not in {"touched", "permit"}
        or value is not None
        or getattr(workflow, name) in {host, None}
    }
