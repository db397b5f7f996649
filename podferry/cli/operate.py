"""Commands that run or show the installation: worker, dev, flower, store-audit, workers, ps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from podferry.cli.common import (
    Output,
    OutputOption,
    RedisOption,
    StoreOption,
    moment,
    open_client,
    print_records,
    print_table,
)
from tasks.errors import InvalidRequestError
from workers.settings import dev_state_dir, load_settings

SocketOption = Annotated[
    str | None, typer.Option("--socket", help="Podman's socket. [env: PODFERRY_SOCKET]")
]
LogOption = Annotated[
    str | None, typer.Option("--log-level", help="DEBUG, INFO, WARNING or ERROR.")
]
BwlimitOption = Annotated[
    str | None,
    typer.Option(
        "--bwlimit",
        metavar="RATE",
        help="Bytes a second to and from the store, as 50M (K, M, G: powers of 1024), or off. "
        "[env: PODFERRY_BWLIMIT]",
    ),
]


def worker(
    host: Annotated[str | None, typer.Option("--host", help="Name of this host.")] = None,
    control: Annotated[
        bool, typer.Option("--control", help="Also (or only) plan workflows.")
    ] = False,
    socket: SocketOption = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="Units of work at once.", min=1)
    ] = None,
    bwlimit: BwlimitOption = None,
    redis: RedisOption = None,
    store: StoreOption = None,
    log_level: LogOption = None,
) -> None:
    """Run a worker on a Podman host, or on the control side."""
    from workers.worker import run_worker

    settings = load_settings(
        host=host,
        socket=socket,
        concurrency=concurrency,
        bwlimit=bwlimit,
        redis_url=redis,
        store_url=store,
        log_level=log_level,
    )
    raise typer.Exit(run_worker(settings, control=control))


def dev(
    host: Annotated[str | None, typer.Option("--host", help="Name of this host.")] = None,
    socket: SocketOption = None,
    bwlimit: BwlimitOption = None,
    store: StoreOption = None,
    log_level: LogOption = "WARNING",
) -> None:
    """Run everything on this machine: broker, store, worker for the local socket."""
    from workers.dev import run_dev

    settings = load_settings(
        host=host, socket=socket, bwlimit=bwlimit, store_url=store, log_level=log_level
    )
    run_dev(settings)


def workers(output: OutputOption = Output.TABLE, redis: RedisOption = None) -> None:
    """List the workers, of hosts and of the control side."""
    with open_client(redis) as client:
        found = client.workers()
    if output is not Output.TABLE:
        lines = [{**w.model_dump(mode="json"), "online": online} for w, online in found]
        print_records(lines, output)
        return
    rows = [
        (
            w.id,
            " ".join(name for name, has in (("host", w.host), ("control", w.control)) if has),
            "online" if online else "offline",
            w.version,
            str(w.pid),
            moment(w.seen),
        )
        for w, online in found
    ]
    print_table("", ("worker", "roles", "state", "version", "pid", "last seen"), rows)


def ps(output: OutputOption = Output.TABLE, redis: RedisOption = None) -> None:
    """List the containers of every live host."""
    with open_client(redis) as client:
        found = client.inventories()
    if output is not Output.TABLE:
        print_records(found, output)
        return
    rows = [
        (line.name, inventory.host, line.state, line.image, line.id[:12])
        for inventory in found
        for line in inventory.containers
    ]
    print_table("", ("name", "host", "state", "image", "id"), rows)
    for inventory in found:
        if inventory.error:
            typer.echo(f"{inventory.host}: {inventory.error}", err=True)


def flower(
    port: Annotated[int, typer.Option("--port", help="On loopback.", min=1, max=65535)] = 5555,
    unix_socket: Annotated[
        Path | None,
        typer.Option(
            "--unix-socket",
            help="Listen here instead, for a proxy that asks who it is: nobody else may reach it.",
            show_default=False,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="File that it remembers tasks in; else in the state directory.",
            show_default=False,
        ),
    ] = None,
    redis: RedisOption = None,
) -> None:
    """Serve Flower, which shows every step of every workflow and changes nothing."""
    from workers.flower import run_flower

    run_flower(
        load_settings(redis_url=redis),
        port=port,
        unix_socket=unix_socket,
        state=state or dev_state_dir() / "flower",
    )


def store_audit(
    listen: Annotated[
        str,
        typer.Option(
            "--listen", metavar="[IP:]PORT", help="Where MinIO alone reaches it; else on loopback."
        ),
    ] = "9465",
) -> None:
    """Log what MinIO refuses: take its audit log, and write a line for each refused request."""
    from workers.metrics.address import parse_address
    from workers.store_audit import run_store_audit

    try:
        address = parse_address(listen)
    except ValueError as error:
        raise InvalidRequestError(f"--listen: {error}") from error
    run_store_audit(address)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (worker, dev, flower, store_audit, workers, ps):
        app.command()(command)
