"""What the commands share: options, output, exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from podferry.cli.parse import parse_seconds
from podferry.cli.yaml import to_yaml
from podferry.client import Client
from runtime import blockers
from tasks.broker import broker_errors
from tasks.facts import findings_of
from tasks.lines import LogLine
from tasks.models import Outcome, Workflow
from workers.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1
FELL_BACK = 3  # the workload runs, but not as asked: cold on the target, or back on the source

SUCCESS = {
    Outcome.MOVED,
    Outcome.CHECKPOINTED,
    Outcome.RESTORED,
    Outcome.BUILT,
    Outcome.STARTED,
    Outcome.STOPPED,
}


class Output(StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


RedisOption = Annotated[
    str | None,
    typer.Option("--redis", help="Broker URL. [env: PODFERRY_REDIS_URL]", show_default=False),
]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Archive store URL. [env: PODFERRY_STORE_URL]"),
]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="table, json or yaml.")]
DetachOption = Annotated[
    bool, typer.Option("--detach", "-d", help="Print the workflow's id and do not wait.")
]
SelectorOption = Annotated[
    str,
    typer.Option(
        metavar="KEY=VALUE,…", help="Labels that a target host must have.", show_default=False
    ),
]
FreshOption = Annotated[
    bool,
    typer.Option("--fresh", help="A cold start leaves out the image's files that were changed."),
]
DeadlineOption = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        metavar="TIME",
        parser=parse_seconds,
        help="Give up and fall back after this time: 600, 90s, 10m, 2h.",
    ),
]


@contextmanager
def open_client(redis: str | None = None, store: str | None = None) -> Iterator[Client]:
    """A client from flags and environment, closed at the end; its broker's errors are ours."""
    settings: Settings = load_settings(redis_url=redis, store_url=store)
    with broker_errors(settings.redis_url), Client(settings) as client:
        yield client


def exit_code(workflow: Workflow) -> int:
    """0 as asked, 3 running but fallen back, 1 otherwise; of a preflight, 1 if it found a bar."""
    if workflow.outcome is Outcome.CHECKED:
        return FAILED if blockers(findings_of(workflow)) else 0
    if workflow.outcome in SUCCESS or workflow.cold_as_asked:
        return 0
    return FELL_BACK if workflow.outcome in {Outcome.COLD, Outcome.RESUMED} else FAILED


def print_records(value: object, output: Output) -> None:
    """Write records on standard output, as YAML if that is asked for, else as JSON."""
    plain = _plain(value)
    typer.echo(to_yaml(plain) if output is Output.YAML else json.dumps(plain, indent=2))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    wraps: Collection[str] = (),
) -> None:
    """Write a table on standard output; without a terminal it is as wide as it must be.

    Where it is too wide, the columns ``wraps`` get more lines, else all but the first.
    """
    from rich import box  # what prints no table need not import it
    from rich.table import Table

    table = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, column in enumerate(columns):
        may = column in wraps if wraps else number > 0
        table.add_column(column, no_wrap=not may, overflow="fold" if may else "ellipsis")
    for row in rows:
        table.add_row(*row)
    open_console(width=160).print(table)


def open_console(*, width: int) -> Console:
    """Standard output; so many columns ``width`` where no terminal says how wide it is."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        return Console(highlight=False, markup=False, width=width)
    return console


def size(number: float | None) -> str:
    """Bytes as people read them."""
    if number is None:
        return "-"
    for unit in ("B", "KiB", "MiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def seconds(number: float | None) -> str:
    """Seconds as people read them."""
    return "-" if number is None else f"{number:.2f} s"


def moment(value: datetime) -> str:
    """A moment in local time."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(value: datetime, day: datetime) -> str:
    """A moment in local time, without the date where that is a given day's."""
    local = value.astimezone()
    return local.strftime("%H:%M:%S") if local.date() == day.astimezone().date() else moment(value)


def line_text(line: LogLine) -> str:
    """What a log line says, with its fields behind it."""
    fields = [f"{k}={_word(v)}" for k, v in line.fields.items() if v is not None]
    return " ".join([line.message, *fields])


def _word(value: object) -> str:
    """As it is where that is one word, else quoted."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if text and " " not in text else json.dumps(text, ensure_ascii=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any record, or lists and dicts of them
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
