"""Commands about hosts: what they are, what they take, and which one fits."""

from __future__ import annotations

from typing import Annotated

import typer

from podferry.cli.common import (
    FAILED,
    Output,
    OutputOption,
    RedisOption,
    SelectorOption,
    clock,
    open_client,
    print_records,
    print_table,
    size,
)
from podferry.cli.drain import HostArgument, bring_back
from runtime import Canary
from tasks.errors import InvalidRequestError
from tasks.hosts import HostStatus, parse_label, parse_labels
from tasks.models import now


def hosts(
    output: OutputOption = Output.TABLE,
    wide: Annotated[bool, typer.Option("--wide", help="Versions, CPUs and link too.")] = False,
    redis: RedisOption = None,
) -> None:
    """List the hosts."""
    with open_client(redis) as client:
        found = client.hosts()
    if output is not Output.TABLE:
        print_records(found, output)
        return
    columns: tuple[str, ...] = ("host", "state", "engine", "criu", "containers", "free memory")
    columns += ("free disk", "load", "labels", "last seen")
    rows = [_row(host) + (_more(host) if wide else ()) for host in found]
    print_table("", columns + (("kernel", "runtime", "cpus", "sends") if wide else ()), rows)
    for host in found:
        if host.cordon is not None and host.cordon.reason:
            typer.echo(f"{host.host}: {host.state} since {host.cordon.since:%H:%M} UTC: ", nl=False)
            typer.echo(host.cordon.reason)
        if host.old_copies:
            names = ", ".join(host.old_copies)
            typer.echo(f"{host.host}: brought up elsewhere, old copies kept stopped: {names}")


def cordon(
    host: HostArgument,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads `hosts`.")] = "",
    redis: RedisOption = None,
) -> None:
    """Keep new workloads away from a host; what is there runs on."""
    with open_client(redis) as client:
        client.cordon(host, reason)
    typer.echo(f"{host} is cordoned")


def uncordon(
    host: HostArgument,
    back: Annotated[
        bool, typer.Option("--bring-back", help="And bring home what its drain moved away.")
    ] = False,
    redis: RedisOption = None,
) -> None:
    """Let a host take workloads again."""
    with open_client(redis) as client:
        if back:
            bring_back(client, host)
            return
        was = client.uncordon(host)
    typer.echo(f"{host} takes workloads{'' if was else ', as it did before'}")


def label(
    host: HostArgument,
    words: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE|KEY-…", help="Set labels; KEY- removes one.")
    ],
    redis: RedisOption = None,
) -> None:
    """Set or remove labels of a host, beside those of its worker's PODFERRY_LABELS."""
    put = dict(parse_label(word) for word in words if not word.endswith("-"))
    remove = [word.removesuffix("-") for word in words if word.endswith("-")]
    if both := put.keys() & set(remove):
        raise InvalidRequestError(f"label {min(both)!r} is both set and removed")
    with open_client(redis) as client:
        client.label(host, put, remove)
        [status] = [status for status in client.hosts() if status.host == host]
    typer.echo(f"{host}: {_labels(status)}")


def place(
    name: Annotated[
        str, typer.Argument(help="Container, compose project or pod.", show_default=False)
    ],
    selector: SelectorOption = "",
    explain: Annotated[bool, typer.Option("--explain", help="Each host: why, or why not.")] = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Show which host a move without a target would choose. Exit code 1: no host fits."""
    labels = parse_labels(selector)
    with open_client(redis) as client:
        found = client.place(name, selector=labels)
    if output is not Output.TABLE:
        print_records(found, output)
    elif explain:
        rows = [(v.host, "yes" if v.fits else "no", v.reason) for v in found.verdicts]
        print_table("", ("host", "fits", "why"), rows)
    elif found.host is not None:
        typer.echo(found.host)
    else:
        typer.echo(found.why_not, err=True)
    raise typer.Exit(0 if found.host is not None else FAILED)


def _row(host: HostStatus) -> tuple[str, ...]:
    return (
        host.host,
        host.state,
        host.engine or host.error or "-",
        _criu(host.canary),
        str(host.containers),
        size(host.memory_free_bytes),
        size(host.disk_free_bytes),
        "-" if host.room.load is None else f"{host.room.load:.1f}",
        _labels(host),
        clock(host.seen, now()),
    )


def _more(host: HostStatus) -> tuple[str, ...]:
    rate = "-" if host.rate is None else f"{size(host.rate)}/s"
    if host.facts is None:
        return ("-", "-", "-", rate)
    return (host.facts.kernel, host.facts.oci_runtime, str(host.facts.cpus or "-"), rate)


def _labels(host: HostStatus) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(host.labels.items())) or "-"


def _criu(canary: Canary) -> str:
    return f"{canary.state} {canary.criu_version or canary.reason}".strip()


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (hosts, cordon, uncordon, label, place):
        app.command()(command)
