"""The command that brings what ran on a dead host up elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from podferry.cli.common import (
    FAILED,
    FELL_BACK,
    DeadlineOption,
    FreshOption,
    Output,
    OutputOption,
    RedisOption,
    StoreOption,
    moment,
    open_client,
    print_records,
    print_table,
)
from tasks.healing import Healing, HealState
from tasks.models import Outcome, now


def heal(
    host: Annotated[str, typer.Argument(help="The dead host.", show_default=False)],
    fenced: Annotated[
        bool,
        typer.Option("--fenced", help="You know that the machine is off; no command is asked."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and from how old a state.")
    ] = False,
    release: Annotated[
        str,
        typer.Option(
            metavar="WORKLOAD", help="Only let the old copy of this one run on the host again."
        ),
    ] = "",
    fresh: FreshOption = False,
    deadline: DeadlineOption = None,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Bring what ran on a dead host up elsewhere, from its newest checkpoints, else cold.

    Exit code: 0 all of it runs with its memory; 3 some was started cold; 1 some was not healed.
    """
    with open_client(redis, store) as client:
        if release:
            client.release(host, release)
            typer.echo(f"{release} may run on {host} again: podman start {release}", err=True)
            return
        begun = client.heal(
            host, fenced=fenced, dry_run=dry_run, fresh=fresh, deadline_seconds=deadline
        )
        for item in begun:
            if item.state is HealState.BEGUN:
                typer.echo(f"{item.workload} to {item.target}: {item.workflow_id}", err=True)
        found = client.healed(begun)
    if output is not Output.TABLE:
        print_records(found, output)
    else:
        _show(host, found)
    raise typer.Exit(0 if dry_run else exit_code(found))


def exit_code(found: tuple[Healing, ...]) -> int:
    """0 all run with their memory, 3 some were started cold, 1 some do not run."""
    if not all(item.healed for item in found):
        return FAILED
    return FELL_BACK if any(item.outcome is Outcome.COLD for item in found) else 0


def age(item: Healing) -> str:
    """How old a checkpoint is, in the largest unit that tells."""
    if item.taken is None:
        return "-"
    seconds = max(0.0, (now() - item.taken).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _show(host: str, found: tuple[Healing, ...]) -> None:
    if not found:
        typer.echo(f"nothing ran on {host}")
        return
    rows = [
        (
            item.workload,
            item.group or "container",
            item.target or "-",
            item.outcome or item.state,
            moment(item.taken) if item.taken else "-",
            age(item),
            item.reason,
        )
        for item in found
    ]
    columns = ("workload", "kind", "to", "outcome", "checkpoint", "age", "reason")
    print_table("", columns, rows)


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(heal)
