"""Commands that start a workflow: migrate, checkpoint, restore, build, up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from podferry.cli.common import (
    DeadlineOption,
    DetachOption,
    FreshOption,
    Output,
    OutputOption,
    RedisOption,
    SelectorOption,
    StoreOption,
    open_client,
)
from podferry.cli.follow import finish
from podferry.cli.parse import parse_age, parse_mount, parse_pairs, parse_port, parse_size
from runtime import BuildSpec, Limits, NetworkAttachment, RestartPolicy, RunSpec
from tasks.errors import InvalidRequestError
from tasks.hosts import parse_labels
from tasks.ladder import parse_ladder
from tasks.models import Increment, OnDeadline, Preseed

NameArgument = Annotated[
    str, typer.Argument(help="Container, compose project or pod.", show_default=False)
]
PRESEED = {None: Preseed.AUTO, True: Preseed.ON, False: Preseed.OFF}
HostOption = Annotated[str, typer.Option("--host", help="The host.", show_default=False)]


def migrate(
    name: NameArgument,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Target host; else the one that fits best.", show_default=False),
    ] = None,
    selector: SelectorOption = "",
    source: Annotated[
        str | None, typer.Option("--from", help="Source host, when several have the name.")
    ] = None,
    fallback: Annotated[
        str,
        typer.Option(
            metavar="RUNGS",
            help="What a failed move tries, in this order, once the source was stopped: "
            "elsewhere,cold,resume or a part of it.",
            show_default=False,
        ),
    ] = "",
    on_deadline: Annotated[
        OnDeadline,
        typer.Option(help="What it does when the deadline passes while it is stopped."),
    ] = OnDeadline.ABORT,
    preseed: Annotated[
        bool | None,
        typer.Option(
            "--preseed/--no-preseed",
            help="Send most of the memory while it still runs; by default on links that are slow "
            "for its size.",
            show_default=False,
        ),
    ] = None,
    cold: Annotated[
        bool,
        typer.Option(
            "--cold",
            help="Stop it and start it anew there with its volumes and changed files; its memory "
            "is lost.",
        ),
    ] = False,
    fresh: FreshOption = False,
    deadline: DeadlineOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Move a running container, compose project or pod to another host with its memory.

    Exit code: 0 moved as asked; 3 it runs, but was started cold on the target or is back on the
    source; 1 it was not moved.
    """
    labels = parse_labels(selector)
    if cold and preseed:
        raise InvalidRequestError("--preseed sends memory ahead; it goes without --cold only")
    with open_client(redis) as client:
        workflow = client.migrate(
            name,
            to=to,
            selector=labels,
            source=source,
            fallback=parse_ladder(fallback) if fallback else (),
            on_deadline=on_deadline,
            preseed=PRESEED[preseed],
            cold=cold,
            fresh=fresh,
            deadline_seconds=deadline,
        )
        finish(client, workflow, detach=detach, output=output)


def checkpoint(
    name: NameArgument,
    host: Annotated[str | None, typer.Option("--host", help="The container's host.")] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Leave the container stopped afterwards.")
    ] = False,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental", "-i", help="Store what changed since its newest checkpoint, if it can."
        ),
    ] = False,
    full: Annotated[
        bool,
        typer.Option("--full", help="Store all of it, for incremental ones to begin with."),
    ] = False,
    every: Annotated[
        str,
        typer.Option(
            "--every", metavar="TIME", help="Again and again, incremental: 10m, 1h, or off to end."
        ),
    ] = "",
    deadline: DeadlineOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Checkpoint a container, compose project or pod into the store; it goes on running."""
    if every and (stop or full):
        raise InvalidRequestError("--every goes with neither --stop nor --full")
    interval = None if every == "off" else parse_age("--every", every)
    kind = Increment.AUTO if incremental or every else Increment.NONE
    with open_client(redis) as client:
        if every == "off":
            client.checkpoint_every(name, None)
            typer.echo(f"{name}: no more checkpoints by schedule", err=True)
            return
        workflow = client.checkpoint(
            name,
            host=host,
            leave_stopped=stop,
            incremental=Increment.FULL if full else kind,
            deadline_seconds=deadline,
        )
        if interval is not None:
            client.checkpoint_every(name, interval, host=host)
        finish(client, workflow, detach=detach, output=output)


def restore(
    reference: Annotated[
        str, typer.Argument(help="Checkpoint id, or a name for its newest.", show_default=False)
    ],
    to: Annotated[
        str | None, typer.Option("--to", help="Target host; default: where it ran.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Discard the container (and volumes) of that name there."),
    ] = False,
    ignore_static_ip: Annotated[
        bool, typer.Option("--ignore-static-ip", help="Let the host give it a new address.")
    ] = False,
    deadline: DeadlineOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Bring a checkpoint back to life."""
    with open_client(redis, store) as client:
        workflow = client.restore(
            reference,
            to=to,
            replace=replace,
            ignore_static_ip=ignore_static_ip,
            deadline_seconds=deadline,
        )
        finish(client, workflow, detach=detach, output=output)


def build(
    context: Annotated[Path, typer.Argument(help="Context directory.", show_default=False)],
    tag: Annotated[str, typer.Option("--tag", "-t", help="Image name.", show_default=False)],
    host: HostOption,
    file: Annotated[
        str, typer.Option("--file", "-f", help="Containerfile, relative to the context.")
    ] = "",
    build_arg: Annotated[list[str] | None, typer.Option(help="KEY=VALUE, repeatable.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="KEY=VALUE.")] = None,
    target: Annotated[str, typer.Option("--target", help="Stage to build.")] = "",
    platform: Annotated[str, typer.Option("--platform", help="OS/ARCH.")] = "",
    no_cache: Annotated[bool, typer.Option("--no-cache")] = False,
    deadline: DeadlineOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Build an image on a host from a local directory."""
    spec = BuildSpec(
        tag=tag,
        containerfile=file,
        build_args=parse_pairs("--build-arg", build_arg or []),
        labels=parse_pairs("--label", label or []),
        target=target,
        platform=platform,
        no_cache=no_cache,
    )
    with open_client(redis, store) as client:
        workflow = client.build(context, spec, host=host, deadline_seconds=deadline)
        finish(client, workflow, detach=detach, output=output)


def up(
    image: Annotated[str, typer.Argument(help="Image name.", show_default=False)],
    name: Annotated[str, typer.Option("--name", help="Container name.", show_default=False)],
    host: HostOption,
    command: Annotated[
        list[str] | None, typer.Argument(help="Command, after --.", show_default=False)
    ] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", help="KEY=VALUE.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="KEY=VALUE.")] = None,
    volume: Annotated[
        list[str] | None, typer.Option("--volume", "-v", help="SOURCE:TARGET[:ro].")
    ] = None,
    publish: Annotated[
        list[str] | None, typer.Option("--publish", "-p", help="[IP:]HOST:CONTAINER[/PROTOCOL].")
    ] = None,
    network: Annotated[list[str] | None, typer.Option("--network", help="Repeatable.")] = None,
    restart: Annotated[str, typer.Option("--restart", help="As Podman spells it.")] = "no",
    user: Annotated[str, typer.Option("--user", "-u", help="USER[:GROUP].")] = "",
    hostname: Annotated[str, typer.Option("--hostname")] = "",
    memory: Annotated[str, typer.Option("--memory", "-m", help="NUMBER[b|k|m|g].")] = "",
    cpus: Annotated[float, typer.Option("--cpus", min=0, help="0.5 is half of one.")] = 0,
    deadline: DeadlineOption = None,
    detach: DetachOption = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
) -> None:
    """Start a new container on a host, until it is healthy."""
    policy, _, retries = restart.partition(":")
    spec = RunSpec(
        name=name,
        image=image,
        command=tuple(command or ()),
        env=parse_pairs("--env", env or []),
        labels=parse_pairs("--label", label or []),
        mounts=tuple(parse_mount(text) for text in volume or []),
        ports=tuple(parse_port(text) for text in publish or []),
        networks=tuple(NetworkAttachment(name=n) for n in network or []),
        restart=RestartPolicy.model_validate({"name": policy, "max_retries": retries or 0}),
        user=user,
        hostname=hostname,
        limits=Limits(memory_bytes=parse_size("--memory", memory), cpus=cpus),
    )
    with open_client(redis) as client:
        workflow = client.up(spec, host=host, deadline_seconds=deadline)
        finish(client, workflow, detach=detach, output=output)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    for command in (migrate, checkpoint, restore, build, up):
        app.command()(command)
