from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore
from structlog.testing import capture_logs

from tasks.app import make_app
from tasks.context import Context
from tasks.errors import RefusedLinkError, SigningKeyError, StepFailedError
from tasks.models import Kind, StepState, Unit, Workflow, new_workflow, now
from tasks.plans import first_plan, planned
from tasks.queues import CONTROL_QUEUE, FALL_BACK, host_queue, unit_task
from tasks.signing import (
    HEADER,
    Ledger,
    Link,
    Signer,
    Verifier,
    new_key_pair,
    read_public_keys,
    write_new,
)
from tasks.step import run_step
from tasks.workflows import publish
from tests.unit.tasks.test_app import BROKER, received

LINK = Link(task="podferry.up", arguments={"workflow_id": "up-1", "step": 0}, queue="host.a")
SOON = timedelta(minutes=1)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    for name, content in zip(("signing.pem", "verify.pem"), new_key_pair(), strict=True):
        write_new(tmp_path / name, content)
    return Signer(tmp_path / "signing.pem")


def checked(signer: Signer, header: object, link: Link = LINK) -> None:
    Verifier([signer.public], [link.queue]).check(link.task, link.arguments, header)


def header_of(signer: Signer, *links: Link) -> Any:  # noqa: ANN401 - what travels is JSON
    return signer.headers(links, now() + SOON)[HEADER]


def test_what_was_signed_is_let_through_with_any_of_the_known_keys(
    signer: Signer, tmp_path: Path
) -> None:
    header = header_of(signer, Link(task="other", arguments={}, queue="q"), LINK)
    checked(signer, header)
    older = new_key_pair()[1]
    both = tmp_path / "both.pem"
    both.write_bytes(older + (tmp_path / "verify.pem").read_bytes())
    Verifier(read_public_keys(both), ["control", "host.a"]).check(LINK.task, LINK.arguments, header)


@pytest.mark.parametrize(
    "link",
    [
        Link(task="podferry.discard", arguments=LINK.arguments, queue=LINK.queue),
        Link(task=LINK.task, arguments={**LINK.arguments, "step": 1}, queue=LINK.queue),
        Link(task=LINK.task, arguments={**LINK.arguments, "more": 1}, queue=LINK.queue),
        Link(task=LINK.task, arguments=LINK.arguments, queue="host.b"),
    ],
)
def test_another_task_argument_or_queue_is_refused(signer: Signer, link: Link) -> None:
    with pytest.raises(RefusedLinkError, match=r"podferry\.\w+ was refused: no control worker"):
        checked(signer, header_of(signer, LINK), link)


@pytest.mark.parametrize("header", [1, {}, {"expires": 1, "signatures": ["?"]}, "x"])
def test_a_header_that_is_none_is_refused(signer: Signer, header: object) -> None:
    with pytest.raises(RefusedLinkError, match="cannot be read"):
        checked(signer, header)
    with pytest.raises(RefusedLinkError, match="not signed"):
        checked(signer, None)


def test_a_pass_ends_and_cannot_be_made_longer(signer: Signer) -> None:
    late = signer.headers([LINK], now() - SOON)[HEADER]
    with pytest.raises(RefusedLinkError, match="too late"):
        checked(signer, late)
    assert isinstance(late, dict)
    with pytest.raises(RefusedLinkError, match="no control worker"):
        checked(signer, {**late, "expires": int((now() + SOON).timestamp())})


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0o600, "no such file"),
        (b"nonsense", 0o600, "no private key"),
        (new_key_pair()[0], 0o644, "chmod 600"),
    ],
)
def test_a_key_file_that_is_none_is_refused_by_name(
    tmp_path: Path, content: bytes | None, mode: int, reason: str
) -> None:
    path = tmp_path / "signing.pem"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(SigningKeyError, match=reason) as refused:
        Signer(path)
    assert str(path) in str(refused.value)
    with pytest.raises(SigningKeyError):
        read_public_keys(path)


def test_a_key_pair_is_never_overwritten(tmp_path: Path) -> None:
    write_new(tmp_path / "signing.pem", b"old")
    assert (tmp_path / "signing.pem").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SigningKeyError, match="exists"):
        write_new(tmp_path / "signing.pem", b"new")


def test_the_links_of_a_plan_and_what_follows_them_are_signed(
    context: Context, signer: Signer
) -> None:
    app = make_app(BROKER, context)
    app.conf.update(result_backend="disabled://")  # results have no such memory
    workflow = new_workflow(Kind.MIGRATE, "web", source="a", target="b")
    workflow = planned(workflow, first_plan(workflow))
    publish(app, workflow, signer)
    first = received(app, host_queue("a"))
    header = first.headers[HEADER]
    embed = first.payload[2]
    for link in embed["chain"]:
        assert link["options"]["headers"] == {HEADER: header}
        checked(
            signer, header, Link(task=link["task"], arguments=link["kwargs"], queue=_queue(link))
        )
    (failed,) = embed["errbacks"]
    assert (failed["task"], _queue(failed)) == (FALL_BACK, CONTROL_QUEUE)
    checked(signer, header, Link(task=FALL_BACK, arguments=failed["kwargs"], queue=CONTROL_QUEUE))
    # what the source sends on by itself, and what a move that turned cold does instead
    for index, step in enumerate(workflow.steps):
        for unit in {step.unit, Unit.UP if step.unit is Unit.RESTORE else step.unit}:
            about = {"workflow_id": workflow.id, "step": index, "epoch": 1}
            link = Link(task=unit_task(unit), arguments=about, queue=host_queue(step.host))
            checked(signer, header, link)
    app.close()


def _queue(link: Mapping[str, Any]) -> str:
    return str(link["options"]["queue"])


def test_a_message_that_is_not_signed_changes_nothing_and_is_logged(
    context: Context, signer: Signer
) -> None:
    workflow = new_workflow(Kind.UP, "web", target="a")
    workflow = planned(workflow, first_plan(workflow))
    context.records.create(workflow)
    guarded = Context(
        records=context.records,
        archives=context.archives,
        verifier=Verifier([signer.public], ["host.a"]),
    )
    app: Celery = make_app(BROKER, guarded)
    with capture_logs() as logs, pytest.raises(Ignore, match="not signed"):
        app.tasks[unit_task(Unit.UP)](workflow_id=workflow.id, step=0, epoch=1)
    assert (logs[0]["event"], logs[0]["workflow"]) == ("message refused", workflow.id)
    assert context.records.get(workflow.id) == workflow
    app.close()


def test_a_step_is_begun_once_whatever_its_record_says(context: Context, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "begun")
    once = Context(records=context.records, archives=context.archives, ledger=ledger)
    workflow = new_workflow(Kind.UP, "web", target="a")
    workflow = planned(workflow, first_plan(workflow))
    context.records.create(workflow)
    run_step(once, workflow.id, 0, 1, lambda _: {})
    context.records.update(workflow.id, lambda _: _reopened(workflow))
    with capture_logs() as logs, pytest.raises(StepFailedError, match="begun the step before"):
        run_step(once, workflow.id, 0, 1, lambda _: pytest.fail("it ran again"))
    assert context.records.get(workflow.id).steps[0].state is StepState.FAILED
    assert logs[0]["workflow"] == workflow.id


def test_the_ledger_forgets_what_nobody_can_ask_for_any_more(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    old, new = (_reopened(new_workflow(Kind.UP, name, target="a")) for name in ("old", "new"))
    ledger.enter(old, 0)
    (file,) = tmp_path.iterdir()
    os.utime(file, (0, 0))
    ledger.enter(new, 0)
    assert (ledger.has(old, 0), ledger.has(new, 0)) == (False, True)


def _reopened(workflow: Workflow) -> Workflow:
    return workflow if workflow.steps else planned(workflow, first_plan(workflow))
