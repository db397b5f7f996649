"""The commands of ``podferry schedule``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from pydantic import TypeAdapter

from podferry.cli.common import (
    Output,
    OutputOption,
    RedisOption,
    moment,
    open_client,
    print_records,
    print_table,
)
from podferry.cli.parse import parse_age
from tasks.actions import Action, Cron, DrainAction
from tasks.errors import InvalidRequestError
from tasks.models import OnDeadline, now
from tasks.schedule import Missed, Run, RunState, Schedule

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The schedule's name.", show_default=False)
]
SHOWN = 5

group = typer.Typer(
    help="Do things at certain times: checkpoints, retention, drains.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.command()
def add(
    name: NameArgument,
    action: Annotated[
        list[str],
        typer.Argument(
            metavar="ACTION",
            help="checkpoint WORKLOAD, retention, or drain HOST.",
            show_default=False,
        ),
    ],
    cron: Annotated[
        str,
        typer.Option("--cron", help='Minute, hour, day, month, weekday, such as "0 3 * * sun".'),
    ] = "",
    tz: Annotated[
        str, typer.Option("--tz", help="Time zone of --cron, such as Europe/Berlin.")
    ] = "UTC",
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="A fixed time apart: 10m, 1h, 1d.")
    ] = "",
    missed: Annotated[
        Missed, typer.Option("--missed", help="What was missed while no control worker ran.")
    ] = Missed.SKIP,
    jitter: Annotated[
        str, typer.Option("--jitter", metavar="TIME", help="Begin up to so much later, as 30s.")
    ] = "",
    host: Annotated[
        str | None, typer.Option("--host", help="checkpoint: only while it is there.")
    ] = None,
    deadline: Annotated[
        str, typer.Option("--deadline", metavar="TIME", help="drain: time that it has, as 90s.")
    ] = "",
    on_deadline: Annotated[
        OnDeadline | None,
        typer.Option("--on-deadline", help="drain: what becomes of what is too late."),
    ] = None,
    bring_back_after: Annotated[
        str,
        typer.Option(
            "--bring-back-after",
            metavar="TIME",
            help="drain: bring it all home so long after the end.",
        ),
    ] = "",
    max_parallel: Annotated[
        int | None, typer.Option("--max-parallel", help="drain: moves at once.", min=1)
    ] = None,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Begin a schedule: its name, when, and what is done."""
    if bool(cron) == bool(every):
        raise InvalidRequestError('say when: either --cron "0 3 * * sun" or --every 10m')
    options = {
        "host": host,
        "deadline": parse_age("--deadline", deadline),
        "on_deadline": on_deadline,
        "bring_back_after": parse_age("--bring-back-after", bring_back_after),
        "max_parallel": max_parallel,
    }
    done = parse_action(action, {k: value for k, value in options.items() if value is not None})
    interval = parse_age("--every", every) or timedelta()
    with open_client(redis) as client:
        made = client.schedules.add(
            name,
            done,
            Cron(expression=cron, zone=tz) if cron else interval,
            missed=missed,
            jitter=parse_age("--jitter", jitter) or timedelta(),
        )
    _print(made, output)


def parse_action(words: Sequence[str], options: Mapping[str, object]) -> Action:
    """An action from its words, and the options that were given. Raises InvalidRequestError."""
    match words:
        case ["checkpoint", workload]:
            fields, known = {"action": "checkpoint", "workload": workload}, {"host"}
        case ["retention"]:
            fields, known = {"action": "retention"}, set()
        case ["drain", host]:
            fields = {"action": "drain", "host": host}
            known = DrainAction.model_fields.keys() - fields.keys()
        case _:
            raise InvalidRequestError(
                f"{' '.join(words)!r} cannot be scheduled; "
                "use: checkpoint WORKLOAD, retention, or drain HOST"
            )
    for option in options.keys() - known:
        raise InvalidRequestError(f"--{option.replace('_', '-')} does not go with {words[0]}")
    made: Action = TypeAdapter(Action).validate_python({**fields, **options})
    return made


@group.command()
def ls(output: OutputOption = Output.TABLE, redis: RedisOption = None) -> None:
    """List the schedules."""
    with open_client(redis) as client:
        found = client.schedules.ls()
    if output is not Output.TABLE:
        print_records(found, output)
        return
    rows = [(s.name, str(s.action), str(s.times), _next(s), *_newest(s)) for s in found]
    print_table("", ("schedule", "does", "when", "next", "last", "outcome"), rows)


@group.command()
def show(
    name: NameArgument, output: OutputOption = Output.TABLE, redis: RedisOption = None
) -> None:
    """Show a schedule, its next five times in its zone, and its newest runs."""
    with open_client(redis) as client:
        _print(client.schedules.show(name), output)


@group.command()
def pause(
    name: NameArgument, output: OutputOption = Output.TABLE, redis: RedisOption = None
) -> None:
    """Let no more runs begin."""
    with open_client(redis) as client:
        _print(client.schedules.pause(name), output)


@group.command()
def resume(
    name: NameArgument, output: OutputOption = Output.TABLE, redis: RedisOption = None
) -> None:
    """Let runs begin again, from the next time on."""
    with open_client(redis) as client:
        _print(client.schedules.resume(name), output)


@group.command()
def rm(name: NameArgument, redis: RedisOption = None) -> None:
    """End a schedule; what it began goes on."""
    with open_client(redis) as client:
        client.schedules.rm(name)
    typer.echo(f"{name}: no more runs", err=True)


@group.command()
def run_now(
    name: NameArgument, output: OutputOption = Output.TABLE, redis: RedisOption = None
) -> None:
    """Have a run begin at once, besides those at their times; print its id."""
    with open_client(redis) as client:
        run = client.schedules.run_now(name)
    if output is not Output.TABLE:
        print_records(run, output)
    else:
        typer.echo(run.id)


def _print(schedule: Schedule, output: Output) -> None:
    coming = schedule.upcoming(SHOWN, now())
    if output is not Output.TABLE:
        upcoming = [at.isoformat() for at in coming]
        print_records({**schedule.model_dump(mode="json"), "upcoming": upcoming}, output)
        return
    print_table(schedule.name, ("", ""), list(_details(schedule)))
    if coming:
        rows = [(in_zone(at, schedule), moment(at)) for at in coming]
        print_table("next", (schedule.times.zone, "here"), rows)
    if schedule.runs:
        runs = [
            (run.id, in_zone(run.planned, schedule), outcome(run), run.note)
            for run in reversed(schedule.runs)
        ]
        print_table("runs", ("id", schedule.times.zone, "outcome", "note"), runs, wraps=("note",))


def _details(schedule: Schedule) -> Iterator[tuple[str, str]]:
    yield "does", str(schedule.action)
    yield "when", str(schedule.times)
    if schedule.paused:
        yield "paused", f"until: podferry schedule resume {schedule.name}"
    yield "missed runs", schedule.missed
    if schedule.jitter:
        yield "jitter", f"up to {schedule.jitter} later"


def in_zone(at: datetime, schedule: Schedule) -> str:
    """A moment in the schedule's own zone, with its distance from UTC."""
    return at.astimezone(ZoneInfo(schedule.times.zone)).strftime("%a %Y-%m-%d %H:%M:%S %z")


def outcome(run: Run) -> str:
    """How a run ended, or how far it is."""
    return run.outcome if run.state is RunState.ENDED and run.outcome else run.state


def _next(schedule: Schedule) -> str:
    coming = schedule.upcoming(1, now())
    return in_zone(coming[0], schedule) if coming else "paused"


def _newest(schedule: Schedule) -> tuple[str, str]:
    if not schedule.runs:
        return "", ""
    newest = schedule.runs[-1]
    return newest.id, f"{outcome(newest)} {newest.note}".strip()


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="schedule")
