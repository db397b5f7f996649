"""The command logs: what all workers wrote while they worked on a workflow."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from podferry.cli.common import Output, OutputOption, RedisOption, open_client, print_records
from tasks.lines import LogLine

CONTROL = "control"


def logs(
    workflow_id: Annotated[str, typer.Argument(help="Workflow id.", show_default=False)],
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
        found = client.logs(workflow_id, follow=follow)
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
    fields = [f"{k}={_word(v)}" for k, v in line.fields.items() if v is not None]
    return _printable(" ".join([moment, place, line.message, *fields]))


def _word(value: object) -> str:
    """As it is where that is one word, else quoted."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if text and " " not in text else json.dumps(text, ensure_ascii=False)


def _printable(text: str) -> str:
    """One line, and nothing that a terminal would obey: a container may have chosen the words."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(logs)
