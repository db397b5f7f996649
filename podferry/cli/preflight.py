"""The command that says what stands in the way of a move, before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from podferry.cli.common import (
    DeadlineOption,
    Output,
    OutputOption,
    RedisOption,
    exit_code,
    open_client,
    print_records,
    print_table,
)
from podferry.cli.follow import follow, summary
from runtime import Finding
from tasks.facts import findings_of


def preflight(
    name: Annotated[str, typer.Argument(help="Container name or id.", show_default=False)],
    to: Annotated[str, typer.Option("--to", help="Target host.", show_default=False)],
    source: Annotated[
        str | None, typer.Option("--from", help="Source host, when several have the name.")
    ] = None,
    canary: Annotated[
        bool, typer.Option("--canary", help="Checkpoint and restore a tiny container on both, now.")
    ] = False,
    cold: Annotated[
        bool, typer.Option("--cold", help="Of a move without its memory, which needs less.")
    ] = False,
    deadline: DeadlineOption = None,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Say whether a move would work; change nothing.

    Exit code: 0 nothing is in its way; 1 it would fail, or the question could not be answered.
    """
    with open_client(redis) as client:
        asked = client.preflight(
            name, to=to, source=source, canary=canary, cold=cold, deadline_seconds=deadline
        )
        ended = follow(client, asked.id)
    found = findings_of(ended)
    movable = exit_code(ended) == 0
    if output is not Output.TABLE:
        answer: dict[str, object] = {
            "workflow": ended.id,
            "movable": movable,
            "reason": ended.reason,
        }
        answer["findings"] = [finding.model_dump(mode="json") for finding in found]
        print_records(answer, output)
    else:
        show_findings(found)
        can = "can" if movable else "cannot"
        verdict = f"{ended.workload} {can} move from {ended.source} to {ended.target}"
        typer.echo(summary(ended) if ended.reason else verdict)
    raise typer.Exit(exit_code(ended))


def show_findings(found: Sequence[Finding]) -> None:
    """Print findings as a table; nothing when there are none."""
    if found:
        rows = [(f.severity, f.code, f.message, f.cure) for f in found]
        print_table("", ("severity", "code", "message", "cure"), rows)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(preflight)
