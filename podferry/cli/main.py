"""Entry point: run the command; turn every error of ours into one clear line."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from pydantic import ValidationError

from podferry.cli import (
    checkpoints,
    commands,
    drain,
    heal,
    hosts,
    init,
    keys,
    logs,
    operate,
    preflight,
    reports,
    schedules,
    workflows,
)
from podferry.cli.common import FAILED
from runtime import RuntimeEngineError
from storage import StorageError
from tasks.errors import TasksError
from workers.settings import Settings

app = typer.Typer(
    name="podferry",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
commands.add_to(app)
preflight.add_to(app)
heal.add_to(app)
hosts.add_to(app)
drain.add_to(app)
workflows.add_to(app)
logs.add_to(app)
reports.add_to(app)
operate.add_to(app)
checkpoints.add_to(app)
schedules.add_to(app)
keys.add_to(app)
init.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"podferry {version('podferry')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Move running containers between Podman hosts without losing what they hold."""


def main() -> None:
    """Run the command line; exit code 1 with one line on standard error when it fails."""
    try:
        app()
    except (TasksError, StorageError, RuntimeEngineError) as error:
        _complain(str(error))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        if where and error.title == Settings.__name__:
            where = f"PODFERRY_{where.upper()}"
        _complain(f"{where or error.title}: {first['msg'].removeprefix('Value error, ')}")
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(message: str) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False, soft_wrap=True).print(f"error: {message}", markup=False)
    sys.exit(FAILED)
