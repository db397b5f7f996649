"""Commands that empty a host and fill it again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from podferry.cli.common import (
    FAILED,
    FELL_BACK,
    DetachOption,
    Output,
    OutputOption,
    RedisOption,
    SelectorOption,
    moment,
    open_client,
    print_records,
    print_table,
    size,
)
from podferry.cli.parse import parse_age
from tasks.drains.models import (
    Drain,
    DrainOptions,
    DrainResult,
    Item,
    ItemState,
    Order,
)
from tasks.hosts import parse_labels
from tasks.models import AT_ONCE, OnDeadline, Outcome

if TYPE_CHECKING:
    from podferry.client import Client

HostArgument = Annotated[str, typer.Argument(help="The host.", show_default=False)]
WhichArgument = Annotated[str, typer.Argument(help="A drain's id, or a host: its newest.")]
DeadlineOption = Annotated[
    str,
    typer.Option(
        "--deadline", metavar="TIME", help="Be done in time: 90s, 10m, 2h.", show_default=False
    ),
]
NoDeadlineOption = Annotated[
    bool, typer.Option("--no-deadline", help="Take the time that it takes: the default.")
]
ParallelOption = Annotated[
    int, typer.Option("--max-parallel", help="Workloads under way at once.", min=1, max=100)
]
PerTargetOption = Annotated[
    int, typer.Option("--per-target", help="Of these, to one host.", min=1, max=100)
]


def drain(
    host: HostArgument,
    deadline: DeadlineOption = "",
    no_deadline: NoDeadlineOption = False,
    on_deadline: Annotated[
        OnDeadline,
        typer.Option(help="What has no time for its memory: goes cold, stays, or goes on late."),
    ] = OnDeadline.COLD,
    max_parallel: ParallelOption = AT_ONCE,
    per_target: PerTargetOption = AT_ONCE,
    order: Annotated[Order, typer.Option(help="Which are first, of equal priority.")] = Order.VALUE,
    selector: SelectorOption = "",
    ignore_system: Annotated[
        bool, typer.Option("--ignore-system", help="Leave what belongs to the host itself.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Empty a host: cordon it, and move what runs there to others. Also called evacuate.

    Exit code: 0 all left with its memory; 3 some went cold; 1 some is there still.
    """
    options = DrainOptions(
        max_parallel=max_parallel,
        per_target=per_target,
        order=order,
        on_deadline=on_deadline,
        ignore_system=ignore_system,
        selector=parse_labels(selector),
    )
    seconds = _seconds(deadline, no_deadline)
    asks = sys.stdin.isatty() and not yes
    with open_client(redis) as client:
        if dry_run or asks:
            plan = client.drains.plan(
                host, options, deadline_seconds=seconds, ask=client.ask_preflight
            )
            if dry_run:
                _print(plan, output)
                return
            _show(plan)
            typer.confirm(f"Drain {host}?", abort=True, err=True)
        begun = client.drains.begin(host, options, deadline_seconds=seconds)
        _follow(client, begun, detach=detach, output=output)


def restore_host(
    host: HostArgument,
    deadline: DeadlineOption = "",
    no_deadline: NoDeadlineOption = False,
    max_parallel: ParallelOption = AT_ONCE,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Uncordon a host and bring home what its last drain moved away, with memory.

    Exit code: as of drain.
    """
    seconds = _seconds(deadline, no_deadline)
    with open_client(redis) as client:
        bring_back(client, host, max_parallel, seconds, detach=detach, output=output)


def bring_back(
    client: Client,
    host: str,
    max_parallel: int = AT_ONCE,
    seconds: float | None = None,
    *,
    detach: bool = False,
    output: Output = Output.TABLE,
) -> None:
    """Begin a homecoming and follow it; ends with its exit code."""
    options = DrainOptions(
        max_parallel=max_parallel, per_target=max_parallel, on_deadline=OnDeadline.ABORT
    )
    begun = client.drains.bring_back(host, options, deadline_seconds=seconds)
    _follow(client, begun, detach=detach, output=output)


def drain_cancel(which: WhichArgument, redis: RedisOption = None) -> None:
    """Call a drain off: begin nothing more, call back what can be. The host stays cordoned."""
    with open_client(redis) as client:
        found = client.drains.cancel(which)
    typer.echo(f"{found.id} is called off; let {found.host} take workloads again with: ", nl=False)
    typer.echo(f"podferry uncordon {found.host}")


def drains(
    which: Annotated[
        str | None, typer.Argument(help="A drain's id, or a host: its newest.", show_default=False)
    ] = None,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """List the drains, or show one."""
    with open_client(redis) as client:
        found = client.drains.recent() if which is None else [client.drains.get(which)]
    if which is not None:
        _print(found[0], output)
    elif output is not Output.TABLE:
        print_records(found, output)
    else:
        rows = [
            (
                d.id,
                d.host,
                "home" if d.back else "away",
                str(d.result or d.state),
                f"{sum(i.state is ItemState.DONE for i in d.items)}/{len(d.items)}",
                moment(d.created),
            )
            for d in found
        ]
        print_table("", ("drain", "host", "way", "state", "done", "begun"), rows)


def exit_code(found: Drain) -> int:
    """0 all as asked with its memory, 3 some went cold, 1 some did not go."""
    if found.result is not DrainResult.DRAINED:
        return FAILED
    return FELL_BACK if any(item.outcome is Outcome.COLD for item in found.items) else 0


def _seconds(deadline: str, no_deadline: bool) -> float | None:
    age = parse_age("--deadline", deadline)
    return None if age is None or no_deadline else age.total_seconds()


def _follow(client: Client, begun: Drain, *, detach: bool, output: Output) -> None:
    if detach:
        typer.echo(begun.id)
        return
    typer.echo(begun.id, err=True)
    told: dict[str, str] = {}
    last = begun
    for last in client.drains.watch(begun.id):
        for item in last.items:
            line = _line(item)
            if told.get(item.workload) != line:
                told[item.workload] = line
                typer.echo(line, err=True)
    _print(last, output)
    raise typer.Exit(exit_code(last))


def _line(item: Item) -> str:
    where = f" to {item.target}" if item.target else ""
    why = f" ({_why(item)})" if _why(item) else ""
    return f"{item.workload}: {item.state} {item.outcome or item.method}{where}{why}"


def _why(item: Item) -> str:
    return "; ".join(dict.fromkeys(text for text in (item.because, item.reason) if text))


def _print(found: Drain, output: Output) -> None:
    if output is Output.TABLE:
        _show(found)
    else:
        print_records(found, output)


def _show(found: Drain) -> None:
    if not found.items:
        typer.echo(f"nothing runs on {found.host}" if not found.ended else "nothing was there")
        return
    rows = [
        (
            item.workload,
            item.group or "container",
            size(item.memory_bytes),
            item.method,
            item.target or "-",
            f"{item.seconds:.1f} s" if item.seconds else "-",
            _took(item),
            str(item.outcome or item.state),
            _why(item),
        )
        for item in found.items
    ]
    columns = ("workload", "kind", "memory", "method", "to", "expected", "took", "state", "why")
    print_table("", columns, rows)
    took = f", took {(found.ended - found.created).total_seconds():.1f} s" if found.ended else ""
    typer.echo(
        f"{found.host}: {found.result or found.state}, expected {found.estimate:.1f} s{took}"
    )


def _took(item: Item) -> str:
    if item.began is None or item.ended is None:
        return "-"
    return f"{(item.ended - item.began).total_seconds():.1f} s"


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(drain)
    app.command("evacuate", hidden=True)(drain)
    for command in (restore_host, drain_cancel, drains):
        app.command()(command)
