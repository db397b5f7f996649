"""The command logs: what all workers wrote while they worked on a workflow."""

from __future__ import annotations

from typing import Annotated

import typer

from podferry.cli.common import (
    Output,
    OutputOption,
    RedisOption,
    line_text,
    open_client,
    print_records,
)
from tasks.lines import LogLine

CONTROL = "control"
NewestArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A workflow's id, or a workload: its newest.", show_default=False
    ),
]


def logs(
    which: NewestArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the workflow ends.")
    ] = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Show what the workers of all hosts logged for a workflow, by time.

    With --follow lines come as they are written; as json, one object on each line.
    """
    with open_client(redis) as client:
        found = client.logs(client.newest(which).id, follow=follow)
        if output is Output.TABLE:
            for line in found:
                typer.echo(_text(line))
        elif follow and output is Output.JSON:
            for line in found:
                typer.echo(line.model_dump_json())
        else:
            print_records(list(found), output)


def _text(line: LogLine) -> str:
    moment = line.time.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    place = f"{line.host or CONTROL:8} {line.unit or '-':10} {line.level:7}"
    return _printable(f"{moment} {place} {line_text(line)}")


def _printable(text: str) -> str:
    """One line, and nothing that a terminal would obey: a container may have chosen the words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(logs)
