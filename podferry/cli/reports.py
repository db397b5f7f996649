"""The command report: what became of a workflow or a drain, as an HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from podferry.cli.common import RedisOption, open_client
from podferry.client import Client
from tasks.errors import InvalidRequestError
from tasks.models import now


def report(
    which: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A workflow's id, or a workload: its newest.", show_default=False
        ),
    ] = "",
    drain: Annotated[
        str,
        typer.Option("--drain", help="A drain's id, or a host: its newest.", show_default=False),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where to write it. [default: ID.html]", show_default=False),
    ] = None,
    redis: RedisOption = None,
) -> None:
    """Write one HTML file that shows who did what when, and why what failed.

    It needs nothing else, holds no secret, and may be sent to anybody.
    """
    if bool(which) == bool(drain):
        raise typer.BadParameter("give a workflow's id, or --drain with a drain's id or a host")
    with open_client(redis) as client:
        name, text = _drain(client, drain) if drain else _workflow(client, which)
    path = out or Path(f"{name}.html")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidRequestError(f"--out: cannot write {str(path)!r}: {error.strerror}") from error
    typer.echo(str(path))


def _workflow(client: Client, which: str) -> tuple[str, str]:
    from podferry.report import workflow_report

    workflow = client.newest(which)
    events, lines = client.history(workflow.id), list(client.logs(workflow.id))
    return workflow.id, workflow_report(workflow, events, lines, now())


def _drain(client: Client, which: str) -> tuple[str, str]:
    from podferry.report import drain_report

    drain = client.drains.get(which)
    return drain.id, drain_report(drain, client.drains.workflows(drain), now())


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(report)
