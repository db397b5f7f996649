"""Follow a workflow on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from podferry.cli.common import Output, exit_code, print_records, seconds, size
from podferry.cli.waiting import Online, waits_for
from podferry.client import Client
from runtime import blockers
from tasks.facts import findings_of
from tasks.models import Event, EventType, Kind, Outcome, Workflow, now

if TYPE_CHECKING:
    from rich.console import Console


def finish(
    client: Client,
    workflow: Workflow,
    *,
    detach: bool,
    output: Output,
    wanted: Outcome | None = None,
) -> None:
    """Wait for the end unless detached, print it, and exit with the code that tells it.

    ``wanted`` is the outcome that the command asked for, where it is not the usual one.
    """
    if detach:
        print_records(workflow, output) if output is not Output.TABLE else typer.echo(workflow.id)
        return
    ended = follow(client, workflow.id)
    if output is not Output.TABLE:
        print_records(ended, output)
    else:
        typer.echo(summary(ended))
    raise typer.Exit(0 if ended.outcome is wanted else exit_code(ended))


def summary(workflow: Workflow) -> str:
    """How a workflow ended, in a few lines."""
    lines = [_headline(workflow)]
    if workflow.reason:
        lines.append(f"reason: {workflow.reason}")
    lines += [f"cure: {finding.cure}" for finding in blockers(findings_of(workflow))]
    if workflow.next_command:
        lines.append(f"next: {workflow.next_command}")
    return "\n".join(lines)


def _headline(workflow: Workflow) -> str:
    name, source, target = workflow.workload, workflow.source, workflow.target
    took = ""
    if workflow.ended is not None:
        took = f" in {seconds((workflow.ended - workflow.created).total_seconds())}"
    match workflow.outcome:
        case Outcome.MOVED:
            return f"{name} moved from {source} to {target} with its memory{took}"
        case Outcome.COLD if workflow.cold_as_asked and workflow.kind is Kind.MIGRATE:
            return f"{name} moved cold from {source} to {target}{took}: started anew from its files"
        case Outcome.COLD:
            return f"{name} was started cold on {_host(workflow)}{took}; its memory is lost"
        case Outcome.RESUMED:
            return f"{name} was not moved; it runs on {source} again with its memory"
        case Outcome.UNTOUCHED:
            return f"{name} was not moved; it is on {source} as it was"
        case Outcome.CHECKPOINTED:
            return f"{workflow.checkpoint_id}"
        case Outcome.RESTORED:
            return f"{name} was restored on {target} from {workflow.checkpoint_id}{took}"
        case Outcome.BUILT:
            return f"{name} was built{took}"
        case Outcome.STARTED:
            return f"{name} runs on {target or source}{took}"
        case Outcome.STOPPED:
            return f"{name} is stopped on {source}; podferry resume {workflow.id} starts it again"
        case Outcome.CHECKED:
            return f"{name} was checked against {target}{took}"
        case Outcome.CANCELLED:
            return f"{name}: cancelled; it is where it was"
        case _:
            return f"{name}: {workflow.outcome or workflow.state}"


def _host(workflow: Workflow) -> str:
    return workflow.steps[-1].host if workflow.steps[-1].unit == "resume" else workflow.target or ""


def online(client: Client) -> set[str]:
    """The hosts whose workers live."""
    return {info.host for info, lives in client.workers() if lives and info.host}


def follow(client: Client, workflow_id: str) -> Workflow:
    """Show a workflow's events until its end; Ctrl-C stops the watching only."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    try:
        with _printer(console, lambda: online(client)) as show:
            return client.wait(workflow_id, on_event=show.event, on_look=show.record)
    except KeyboardInterrupt:
        console.print(
            f"stopped watching; workflow {workflow_id} goes on. "
            f"Cancel it with: podferry cancel {workflow_id}"
        )
        raise typer.Exit(130) from None


def progress(event: Event, began: Event | None) -> str:
    """How far a transfer is, and how fast since its step `began`; when it will end, if known."""
    if began is None or event.bytes is None:
        return ""
    rate = event.bytes / max(0.001, (event.time - began.time).total_seconds())
    if event.total is None:
        return f"{size(event.bytes)}, {size(rate)}/s"
    done = f"{size(event.bytes)} of {size(event.total)}, {size(rate)}/s"
    left = max(0, event.total - event.bytes)
    return f"{done}, {_about(left / rate)} left" if rate else done


def _about(number: float) -> str:
    return f"{number:.0f} s" if number < 120 else f"{number / 60:.0f} min"


class _Printer:
    """Prints events; the step under way has a line that is written over on a terminal."""

    def __init__(self, console: Console, online: Online) -> None:
        self._console = console
        self._online = online
        self._began: dict[tuple[str | None, str], Event] = {}  # steps under way
        self._waits = ""
        self._told = ""
        self._status = console.status("") if console.is_terminal else None

    def event(self, event: Event) -> None:
        place = f"{event.unit} on {event.host}" if event.unit else ""
        step = (event.unit, event.host)
        match event.type:
            case EventType.STARTED:
                self._began[step] = event
                self._live(place)
            case EventType.PROGRESS:
                self._live(f"{place}  {progress(event, self._began.get(step))}")
            case EventType.DONE:
                self._line(f"  ✓ {place}  {_took(event, self._began.pop(step, None))}")
            case EventType.FAILED:
                self._began.pop(step, None)
                self._line(f"  ✗ {place}  {event.message}")
            case EventType.FALLBACK:
                self._began.clear()  # a worker that died says no farewell
                self._line(f"  ↺ {event.message}")
            case EventType.LOG:
                self._line(f"    {event.message}")
            case EventType.ENDED:
                pass

    def record(self, workflow: Workflow) -> None:
        """Say what the workflow waits for, once it was seen to wait twice in a row."""
        waits = "" if self._began else waits_for(workflow, now(), self._online)
        if waits and waits == self._waits:
            self._live(waits)
            if self._status is None and waits != self._told:
                self._line(f"    {waits}")
                self._told = waits
        self._waits = waits

    def _live(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)
            self._status.start()

    def _line(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def stop(self) -> None:
        if self._status is not None:
            self._status.stop()


def _took(event: Event, began: Event | None) -> str:
    return seconds((event.time - began.time).total_seconds()) if began else ""


@contextmanager
def _printer(console: Console, online: Online) -> Iterator[_Printer]:
    printer = _Printer(console, online)
    try:
        yield printer
    finally:
        printer.stop()
        sys.stderr.flush()
