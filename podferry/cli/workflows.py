"""Commands about workflows that exist: status, watch, retry, cancel, resume."""

from __future__ import annotations

from datetime import datetime
from functools import cache, partial
from typing import Annotated

import typer

from podferry.cli.common import (
    DetachOption,
    Output,
    OutputOption,
    RedisOption,
    StoreOption,
    clock,
    moment,
    open_client,
    open_console,
    print_records,
    print_table,
    seconds,
    size,
)
from podferry.cli.follow import finish, online, summary
from podferry.cli.preflight import show_findings
from podferry.cli.timeline import timeline
from podferry.cli.waiting import Online, waits_for
from podferry.client import Client
from tasks.facts import findings_of
from tasks.models import Event, Outcome, State, Step, StepState, Workflow, now

IdArgument = Annotated[str, typer.Argument(help="Workflow id.", show_default=False)]


def status(
    workflow_id: Annotated[str | None, typer.Argument(help="Default: the newest ones.")] = None,
    workload: Annotated[
        str | None, typer.Option("--workload", help="Those of a container, project or pod.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Those that name this host.")] = None,
    state: Annotated[State | None, typer.Option("--state", help="Those in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many.", min=1)] = 20,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Show a workflow's history, or the newest workflows.

    As json or yaml: its record with its events, or the records.
    """
    with open_client(redis) as client:
        if workflow_id is None:
            found = client.recent(limit, workload=workload, host=host, state=state)
            _show_list(client, found, output)
        else:
            _show_one(client, client.status(workflow_id), output)


def watch(
    workflow_id: IdArgument,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Follow a workflow to its end; Ctrl-C stops the watching only.

    Exit code: that of the command which began it.
    """
    with open_client(redis) as client:
        finish(client, client.status(workflow_id), detach=False, output=output)


def retry(
    workflow_id: IdArgument,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Submit the request of a workflow that failed, fell back or was cancelled once more."""
    with open_client(redis, store) as client:
        finish(client, client.retry(workflow_id), detach=detach, output=output)


def cancel(
    workflow_id: IdArgument,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Stop a workflow and leave the workload where it was."""
    with open_client(redis) as client:
        workflow = client.cancel(workflow_id)
        finish(client, workflow, detach=detach, output=output, wanted=Outcome.CANCELLED)


def resume(
    workflow_id: IdArgument,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Bring the workload of a failed migration back on its source, with its memory."""
    with open_client(redis) as client:
        workflow = client.resume(workflow_id)
        finish(client, workflow, detach=detach, output=output, wanted=Outcome.RESUMED)


def _show_list(client: Client, found: list[Workflow], output: Output) -> None:
    if output is not Output.TABLE:
        print_records(found, output)
        return
    hosts = cache(partial(online, client))
    rows = [
        (
            w.id,
            w.workload,
            w.source or "-",
            w.target or "-",
            w.outcome or w.state,
            clock(w.created, now()),
            seconds((w.ended - w.created).total_seconds()) if w.ended else _doing(w, hosts),
        )
        for w in found
    ]
    columns = ("workflow", "workload", "from", "to", "state", "asked", "took")
    print_table("", columns, rows, wraps=("workload", "took"))


def _doing(workflow: Workflow, hosts: Online) -> str:
    """What is under way, or what is waited for."""
    current = (step for step in workflow.steps if step.epoch == workflow.epoch)
    running = [f"{step.unit} on {step.host}" for step in current if step.live]
    return ", ".join(running) or waits_for(workflow, now(), hosts)


def _show_one(client: Client, workflow: Workflow, output: Output) -> None:
    events = client.history(workflow.id)
    if output is not Output.TABLE:
        record = workflow.model_dump(mode="json")
        print_records({**record, "events": [e.model_dump(mode="json") for e in events]}, output)
        return
    rows = [_row(workflow, step) for step in workflow.steps]
    columns = ("step", "host", "plan", "state", "started", "took", "note")
    state = workflow.outcome or workflow.state
    print_table(
        f"{workflow.id}: {state}, asked {moment(workflow.created)}", columns, rows, wraps=("note",)
    )
    _draw(workflow, events, now())
    show_findings(findings_of(workflow))
    typer.echo(summary(workflow))
    if workflow.state is not State.ENDED:
        doing = _doing(workflow, partial(online, client))
        typer.echo(f"now: {doing or 'on its way'}\nnext: podferry watch {workflow.id}")


def _row(workflow: Workflow, step: Step) -> tuple[str, ...]:
    return (
        step.unit,
        step.host,
        str(step.epoch),
        _state(workflow, step),
        clock(step.started, workflow.created) if step.started else "-",
        seconds(step.seconds),
        step.error.message if step.error else _bytes(step),
    )


def _state(workflow: Workflow, step: Step) -> str:
    over = workflow.state is State.ENDED or step.epoch != workflow.epoch
    if step.state in {StepState.PENDING, StepState.RUNNING} and over:
        return "given up" if step.started else "not begun"
    return f"{step.state}, but its worker is silent" if step.lapsed else step.state


def _bytes(step: Step) -> str:
    """What it moved through the store."""
    moved = step.result.get("bytes")
    return size(moved) if isinstance(moved, int | float) and moved else ""


def _draw(workflow: Workflow, events: list[Event], until: datetime) -> None:
    """Print the timeline, as wide as the terminal."""
    from rich.text import Text

    console = open_console(width=100)
    for line in timeline(workflow, events, until, width=console.width):
        parts = (f"{line.label} ", (line.bar, line.style), f" {line.note:>9}".rstrip())
        console.print(Text.assemble(*parts), no_wrap=True, overflow="crop")
    console.print()


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (status, watch, retry, cancel, resume):
        app.command()(command)
