"""What a host may state of a workflow counts; what it may not, and what is past its fence, not."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from fakeredis import FakeRedis

from tasks import tallies
from tasks.errors import ForeignChangeError, UnreadableRecordError, WorkloadBusyError
from tasks.models import (
    Kind,
    Outcome,
    Parts,
    State,
    Step,
    StepError,
    StepState,
    Unit,
    Workflow,
    new_workflow,
    now,
)
from tasks.plans import completed, first_plan, made_cold, planned
from tasks.records import LIVE, Change, Records
from tasks.statements import Statement, composed, speakers

DESCRIBE, PREFLIGHT, CHECKPOINT, RESTORE, FINISH = 0, 1, 4, 5, 6


def move(**fields: Any) -> Workflow:  # noqa: ANN401
    """From a to b, planned."""
    made = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    return planned(made, first_plan(made)).model_copy(update=fields)


def elsewhere() -> Workflow:
    """A move from a whose restore on b had failed: it is removed there, and tried on c."""
    steps = ((Unit.DISCARD, "b"), (Unit.RESTORE, "c"), (Unit.FINISH, "a"))
    return planned(move(touched="b", permit="b"), steps)


def over(step: Step, state: StepState = StepState.DONE, **fields: Any) -> Step:  # noqa: ANN401
    return step.model_copy(update={"state": state, "started": now(), "ended": now(), **fields})


def step_done(index: int) -> Change:
    return lambda w: completed(w.with_step(index, over(w.steps[index])))


def states(workflow: Workflow, **fields: Any) -> Statement:  # noqa: ANN401
    return Statement(version=1, fence=workflow.fence, **fields)


def read(workflow: Workflow, **said: Statement) -> Workflow:
    return composed(workflow, said)[0]


def refusal(workflow: Workflow, **said: Statement) -> Mapping[str, list[str]]:
    """What is refused of it; it then changes nothing."""
    made, refused = composed(workflow, said)
    assert made == workflow
    return refused


@pytest.fixture
def hosts(redis: FakeRedis) -> dict[str, Records]:
    return {host: Records(redis, host=host) for host in "abc"}


@pytest.fixture
def workflow(records: Records) -> Workflow:
    made = move()
    records.create(made)
    return made


def test_each_host_speaks_for_its_steps_and_its_side_of_the_move() -> None:
    workflow = move()
    a = states(
        workflow,
        steps={CHECKPOINT: over(workflow.steps[CHECKPOINT])},
        source_stopped=True,
        archives=("one",),
    )
    restore = workflow.steps[RESTORE].model_copy(update={"state": StepState.RUNNING})
    b = states(
        workflow,
        steps={RESTORE: restore},
        touched="b",
        permit="b",
        parts=Parts(containers=("web",)),
    )
    found, refused = composed(workflow, {"a": a, "b": b})
    assert not refused
    assert [s.state for s in found.steps[CHECKPOINT:]] == [
        *(StepState.DONE, StepState.RUNNING, StepState.PENDING)
    ]
    assert (found.source_stopped, found.archives, found.touched) == (True, ("one",), "b")
    assert found == read(workflow, b=b, a=a), "the order in which they are read counts"


def test_the_last_step_ends_it_and_nobody_states_how() -> None:
    workflow = move()
    for index in range(FINISH):
        workflow = workflow.with_step(index, over(workflow.steps[index]))
    finish = over(workflow.steps[FINISH])
    found = read(workflow, a=states(workflow, steps={FINISH: finish}))
    assert (found.state, found.outcome) == (State.ENDED, Outcome.MOVED)
    assert found.ended == finish.ended


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"source_stopped": True}, "source_stopped"),
        ({"archives": ("another",)}, "archives"),
        ({"parents": ("another",)}, "parents"),
        ({"cancel_requested": True}, "cancel_requested"),
        ({"cold": True}, "cold"),
        ({"touched": "a"}, "touched"),
        ({"permit": "c"}, "permit"),
        ({"target": "c"}, "target"),
        ({"state": "ended", "outcome": "moved"}, "outcome"),
        ({"epoch": 9}, "epoch"),
    ],
    ids=str,
)
def test_a_target_states_nothing_that_is_not_its_own(said: dict[str, Any], name: str) -> None:
    workflow = move()
    statement = Statement.model_validate({"fence": 0, **said})
    assert refusal(workflow, b=statement)["b"][0] == f"it may not state {name}"


def test_a_source_takes_nothing_back() -> None:
    workflow = move(source_stopped=True, cancel_requested=True)
    said = states(workflow, source_stopped=False, cancel_requested=False)
    assert len(refusal(workflow, a=said)["a"]) == 2


@pytest.mark.parametrize(
    "change",
    [
        (FINISH, {}),
        (FINISH, {"host": "b"}),
        (RESTORE, {"host": "c"}),
        (RESTORE, {"epoch": 0}),
        (RESTORE, {"epoch": 2}),
        (RESTORE, {"unit": Unit.DISCARD}),
    ],
    ids=str,
)
def test_a_host_speaks_for_no_other_step(change: tuple[int, dict[str, Any]]) -> None:
    workflow = move()
    index, fields = change
    step = over(workflow.steps[index], **fields)
    assert refusal(workflow, b=states(workflow, steps={index: step}))["b"]


def test_a_step_that_is_over_stays_over() -> None:
    workflow = move()
    failed = over(workflow.steps[RESTORE], StepState.FAILED)
    workflow = workflow.with_step(RESTORE, failed)
    done = over(workflow.steps[RESTORE])
    assert refusal(workflow, b=states(workflow, steps={RESTORE: done}))["b"]


def test_there_is_no_such_step() -> None:
    workflow = move()
    said = states(workflow, steps={99: over(workflow.steps[RESTORE])})
    assert refusal(workflow, b=said)["b"] == ["it may not state step 99"]


def test_what_is_wrong_in_a_statement_does_not_undo_what_is_right() -> None:
    workflow = move()
    done = over(workflow.steps[PREFLIGHT])
    said = states(workflow, steps={PREFLIGHT: done}, source_stopped=True)
    found, refused = composed(workflow, {"b": said})
    assert found == workflow.with_step(PREFLIGHT, done)
    assert refused == {"b": ["it may not state source_stopped"]}


@pytest.mark.parametrize("fence", [0, 2])
def test_what_was_said_of_another_record_is_past_its_fence(fence: int) -> None:
    workflow = move(fence=1)
    said = Statement(fence=fence, steps={RESTORE: over(workflow.steps[RESTORE])})
    assert refusal(workflow, b=said) == {"b": ["it is past its fence"]}


def test_nothing_is_said_of_what_has_ended() -> None:
    workflow = move(state=State.ENDED, outcome=Outcome.RESUMED)
    said = states(workflow, steps={RESTORE: over(workflow.steps[RESTORE])}, permit="b")
    assert refusal(workflow, b=said)


def test_a_host_unsays_its_own_copy_only() -> None:
    workflow = elsewhere()
    made = states(workflow, touched="c", permit="c")
    gone = states(workflow, touched=None, permit=None)
    assert read(workflow, b=gone).permit is None
    assert read(workflow, c=gone).permit == "b"
    for found in (read(workflow, b=gone, c=made), read(workflow, c=made, b=gone)):
        assert (found.touched, found.permit) == ("c", "c")
    assert refusal(workflow, b=states(workflow, permit="b"))["b"] == ["it may not state permit"]


def test_only_the_newest_plan_has_speakers() -> None:
    assert speakers(elsewhere()) == ("a", "b", "c")
    assert speakers(planned(elsewhere(), ((Unit.RESUME, "a"),))) == ("a",)
    assert speakers(new_workflow(Kind.UP, "web", target="b")) == ()


def test_a_source_turns_the_move_cold_and_the_target_goes_on_from_there(
    records: Records, hosts: dict[str, Records], workflow: Workflow
) -> None:
    cold = hosts["a"].update(workflow.id, made_cold)
    assert cold.steps[RESTORE].unit is Unit.UP
    found = hosts["b"].update(workflow.id, step_done(RESTORE))
    assert found.done(Unit.UP) is not None
    assert found.options.cold
    assert records.get(workflow.id) == found


def test_a_host_writes_its_statement_and_rings(
    redis: FakeRedis, hosts: dict[str, Records], workflow: Workflow
) -> None:
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    found = hosts["a"].update(workflow.id, step_done(DESCRIBE), ring=True)
    changed = {key.decode() for key in redis.scan_iter() if redis.dump(key) != before.get(key)}
    assert changed == {f"podferry:stated:a:{workflow.id}", "podferry:bell"}
    assert hosts["b"].get(workflow.id) == found


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.model_copy(update={"target": "c"}),
        lambda w: w.with_step(FINISH, over(w.steps[FINISH])),
        lambda w: planned(w, ((Unit.DISCARD, "a"),)),
        lambda w: w.model_copy(update={"state": State.ENDED, "outcome": Outcome.FAILED}),
    ],
    ids=["target", "step", "plan", "end"],
)
def test_a_host_is_told_what_it_may_not_change(
    redis: FakeRedis, hosts: dict[str, Records], workflow: Workflow, change: Change
) -> None:
    with pytest.raises(ForeignChangeError, match="'b' may not change"):
        hosts["b"].update(workflow.id, change)
    assert not redis.exists(f"podferry:stated:b:{workflow.id}")


def test_a_host_that_has_no_part_in_it_states_nothing(
    hosts: dict[str, Records], workflow: Workflow
) -> None:
    with pytest.raises(ForeignChangeError):
        hosts["c"].update(workflow.id, lambda w: w.model_copy(update={"cancel_requested": True}))


def test_who_writes_the_record_takes_over_what_was_stated(
    redis: FakeRedis, records: Records, hosts: dict[str, Records], workflow: Workflow
) -> None:
    hosts["a"].update(workflow.id, step_done(DESCRIBE))
    said = redis.get(f"podferry:stated:a:{workflow.id}")
    asked = records.update(workflow.id, lambda w: w.model_copy(update={"cancel_requested": True}))
    assert asked.done(Unit.DESCRIBE) is not None
    assert asked.fence == 1
    assert not redis.keys("podferry:stated:*")
    redis.set(f"podferry:stated:a:{workflow.id}", said or b"")  # it comes once more, and late
    assert records.get(workflow.id) == asked


def test_two_hosts_do_not_overtake_each_other(
    hosts: dict[str, Records], workflow: Workflow
) -> None:
    seen: list[bool] = []

    def change(old: Workflow) -> Workflow:
        seen.append(old.done(Unit.DESCRIBE) is not None)
        if len(seen) == 1:
            hosts["a"].update(workflow.id, step_done(DESCRIBE))
        return step_done(PREFLIGHT)(old)

    found = hosts["b"].update(workflow.id, change)
    assert seen == [False, True]
    assert {s.state for s in found.steps[:2]} == {StepState.DONE}


def to_the_end(hosts: dict[str, Records], workflow: Workflow) -> Workflow:
    for index, step in enumerate(workflow.steps):
        found = hosts[step.host].update(workflow.id, step_done(index))
    return found


def test_what_a_host_has_ended_is_over_for_all_before_anybody_has_let_go(
    redis: FakeRedis, records: Records, hosts: dict[str, Records], workflow: Workflow
) -> None:
    ended = to_the_end(hosts, workflow)
    assert records.get(workflow.id) == ended
    assert records.live() == []
    assert records.unsettled() == [ended]
    assert records.holders(["web"]) == {}
    assert redis.exists("podferry:workload:web")
    records.settle(workflow.id)
    assert records.get(workflow.id) == ended, "readers see a difference"
    assert not redis.exists("podferry:workload:web")
    assert not redis.keys("podferry:stated:*")
    assert not redis.scard(LIVE)
    assert redis.ttl(f"podferry:workflow:{workflow.id}") > 0


def test_whoever_asks_for_its_workload_next_lets_go_of_it(
    redis: FakeRedis, records: Records, hosts: dict[str, Records], workflow: Workflow
) -> None:
    to_the_end(hosts, workflow)
    following = new_workflow(Kind.MIGRATE, "web", source="b", target="a")
    records.create(following)
    assert redis.get("podferry:workload:web") == following.id.encode()
    records.settle(workflow.id)
    assert records.holders(["web"]) == {"web": following.id}
    with pytest.raises(WorkloadBusyError):
        records.create(new_workflow(Kind.MIGRATE, "web", source="b", target="a"))


def test_what_hosts_did_is_counted_once(
    redis: FakeRedis, records: Records, hosts: dict[str, Records], workflow: Workflow
) -> None:
    to_the_end(hosts, workflow)
    for _ in range(2):
        records.settle(workflow.id)
    counted = tallies.read(redis)
    assert counted[tallies.WORKFLOWS] == {("migrate", "moved"): 1.0}
    assert counted[tallies.STEPS].keys() >= {("restore", "done", "0.1"), ("finish", "done", "0.1")}
    names = [labels for labels in counted[tallies.STEPS] if len(labels) == 3]
    assert sum(counted[tallies.STEPS][labels] for labels in names) == len(workflow.steps)


def test_nothing_that_a_host_tells_breaks_the_counting(redis: FakeRedis, records: Records) -> None:
    workflow = move()
    records.create(workflow)
    mine = Records(redis, host="a")
    wrong = StepError(type="X 1 2", message="no")

    def change(w: Workflow) -> Workflow:
        failed = over(w.steps[0], StepState.FAILED, error=wrong, result={"bytes": 10**400})
        return w.with_step(0, failed)

    mine.update(workflow.id, change)
    records.update(workflow.id, lambda w: planned(w, ((Unit.RESUME, "a"),)))
    assert tallies.read(redis)[tallies.FAILURES] == {("describe", "a", ""): 1.0}


def test_a_stranger_is_not_heard_and_is_logged_when_it_is_over(
    redis: FakeRedis,
    records: Records,
    hosts: dict[str, Records],
    workflow: Workflow,
    caplog: pytest.LogCaptureFixture,
) -> None:
    redis.hset("podferry:hosts", mapping=dict.fromkeys("abc", "{}"))
    forged = states(workflow, permit="c", steps={RESTORE: over(workflow.steps[RESTORE])})
    redis.set(f"podferry:stated:c:{workflow.id}", forged.to_json())
    assert records.get(workflow.id) == workflow
    to_the_end(hosts, workflow)
    assert not caplog.records
    records.settle(workflow.id)
    assert "host c states: it has no part in it" in caplog.text
    assert not redis.keys("podferry:stated:*")


def test_what_is_refused_is_logged_once_with_its_workflow(
    redis: FakeRedis, records: Records, workflow: Workflow, caplog: pytest.LogCaptureFixture
) -> None:
    forged = states(workflow, source_stopped=True)
    redis.set(f"podferry:stated:b:{workflow.id}", forged.to_json())
    for _ in range(3):
        assert records.get(workflow.id) == workflow
    [line] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert vars(line)["workflow"] == workflow.id
    assert vars(line)["reason"] == "b: it may not state source_stopped"


def test_a_statement_of_a_later_version_makes_the_workflow_unreadable(
    redis: FakeRedis, records: Records, workflow: Workflow
) -> None:
    redis.set(f"podferry:stated:b:{workflow.id}", json.dumps({"version": 2, "fence": 0}))
    with pytest.raises(UnreadableRecordError, match=f"statement b of {workflow.id}"):
        records.get(workflow.id)
    assert records.recent() == []


def test_a_record_without_a_fence_is_read(redis: FakeRedis, records: Records) -> None:
    workflow = move()
    records.create(workflow)
    old = json.loads(workflow.model_dump_json())
    del old["fence"]
    redis.set(f"podferry:workflow:{workflow.id}", json.dumps(old))
    found = Records(redis, host="a").update(workflow.id, step_done(DESCRIBE))
    assert records.get(workflow.id) == found


def test_a_lease_is_renewed_in_the_statement(
    records: Records, hosts: dict[str, Records], workflow: Workflow
) -> None:
    until = now() + timedelta(seconds=30)

    def change(w: Workflow) -> Workflow:
        held = {"state": StepState.RUNNING, "owner": "x", "lease_until": until}
        return w.with_step(DESCRIBE, w.steps[DESCRIBE].model_copy(update=held))

    hosts["a"].update(workflow.id, change)
    assert records.get(workflow.id).steps[DESCRIBE].lease_until == until
