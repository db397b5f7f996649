"""The commands of ``podferry checkpoints``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Annotated

import typer

from podferry.cli.common import (
    FAILED,
    Output,
    OutputOption,
    RedisOption,
    StoreOption,
    moment,
    open_client,
    print_records,
    print_table,
    size,
)
from podferry.cli.parse import parse_age, parse_size
from storage import (
    ArchiveDamagedError,
    CheckpointManifest,
    GroupManifest,
    Keep,
    Pin,
    PruneEntry,
    PruneReport,
    RetentionPolicy,
)
from storage.transfer import Progress
from tasks.actions import CheckpointAction
from tasks.errors import InvalidRequestError
from tasks.schedule import RunState, Schedule
from workers.settings import Settings, load_settings

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Checkpoint id.", show_default=False)]
# What a container is made from may hold secrets.
PRIVATE = {"spec", "volume_specs"}

group = typer.Typer(
    help="List, verify, export, import, pin and remove checkpoints.", rich_markup_mode=None
)


@group.callback(invoke_without_command=True)
def checkpoints(
    context: typer.Context,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """List, verify, export, import, pin and remove checkpoints; alone it lists them all."""
    if context.invoked_subcommand is None:
        ls(None, output, redis, store)
    elif output is not Output.TABLE or redis or store:  # which no command would see
        raise InvalidRequestError(
            f"options go behind the command: podferry checkpoints {context.invoked_subcommand} …"
        )


@group.command()
def ls(
    workload: Annotated[str | None, typer.Argument(help="Only this workload's.")] = None,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """List the checkpoints in the store, newest first."""
    with open_client(redis, store) as client:
        found = client.checkpoints.ls(workload)
        groups = client.checkpoints.groups(workload)
        pins = client.checkpoints.pins([manifest.id for manifest in found])
        group_pins = client.checkpoints.pins([group.id for group in groups], groups=True)
    if output is not Output.TABLE:
        records = [_group_record(g, group_pins.get(g.id)) for g in groups]
        print_records([*records, *(_record(m, pins.get(m.id)) for m in found)], output)
        return
    rows = [
        (
            *(g.id, g.host, moment(g.created), f"{len(g.members)} containers", "", ""),
            "pinned" if g.id in group_pins else "",
        )
        for g in groups
    ] + [
        (
            *(m.id, m.host or "imported", moment(m.created)),
            *(size(m.tar_bytes), size(m.stored_bytes)),
            m.parent or "",
            ", ".join([*(() if m.memory else ("cold",)), *(("pinned",) if m.id in pins else ())]),
        )
        for m in found
    ]
    print_table("", ("checkpoint", "host", "taken", "size", "stored", "parent", ""), rows)


@group.command()
def schedules(output: OutputOption = Output.TABLE, redis: RedisOption = None) -> None:
    """List what is checkpointed again and again; "podferry schedule" does more with it."""
    with open_client(redis) as client:
        found = [_scheduled(s) for s in client.schedules.ls()]
    kept = [record for record in found if record]
    if output is not Output.TABLE:
        print_records(kept, output)
        return
    columns = ("workload", "host", "when", "next", "last", "note")
    print_table("", columns, [tuple(str(r[c] or "-") for c in columns) for r in kept])


def _scheduled(schedule: Schedule) -> dict[str, object]:
    """A schedule of checkpoints, in short; nothing of any other."""
    if not isinstance(schedule.action, CheckpointAction):
        return {}
    begun = [run for run in schedule.runs if run.state in {RunState.BEGUN, RunState.ENDED}]
    return {
        "schedule": schedule.name,
        "workload": schedule.action.workload,
        "host": schedule.action.host,
        "when": str(schedule.times),
        "next": None if schedule.paused else schedule.next.isoformat(),
        "last": begun[-1].id if begun else "",
        "note": schedule.runs[-1].note if schedule.runs else "",
    }


@group.command()
def show(
    checkpoint: IdArgument,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Show what is known of a checkpoint."""
    with open_client(redis, store) as client:
        if made := client.checkpoints.group(checkpoint):
            pin = client.checkpoints.pins([checkpoint], groups=True).get(checkpoint)
            _show_group(made, pin, output)
            return
        manifest = client.checkpoints.show(checkpoint)
        pin = client.checkpoints.pins([checkpoint]).get(checkpoint)
    if output is not Output.TABLE:
        print_records(_record(manifest, pin), output)
        return
    print_table(manifest.id, ("", ""), list(_details(manifest, pin)))


@group.command()
def verify(
    checkpoint: IdArgument,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Read all of a checkpoint and say whether it is as it was written.

    Exit code: 0 it is; 1 it is damaged, or could not be read.
    """
    with open_client(redis, store) as client, _progress("verified") as progress:
        made = client.checkpoints.group(checkpoint)
        try:
            read = sum(
                client.checkpoints.verify(one, progress=progress).tar_bytes
                for one in (made.members if made else (checkpoint,))
            )
        except ArchiveDamagedError as error:
            if output is Output.TABLE:
                raise
            print_records({"id": checkpoint, "ok": False, "damage": error.reason}, output)
            raise typer.Exit(FAILED) from error
    if output is not Output.TABLE:
        print_records({"id": checkpoint, "ok": True, "bytes": read}, output)
    else:
        typer.echo(f"{checkpoint}: OK, {size(read)}")


@group.command()
def export(
    checkpoint: IdArgument,
    file: Annotated[str, typer.Argument(help="New file, or - for standard output.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Write a checkpoint as the plain tar that "podman container restore --import" takes.

    It holds the container's memory: keep it private.
    """
    if file == "-" and sys.stdout.isatty():
        raise InvalidRequestError("a tar is nothing for a terminal; name a file, or redirect it")
    with open_client(redis, store) as client, _progress("exported") as progress:
        if file != "-":
            client.checkpoints.export(
                checkpoint, Path(file), overwrite=overwrite, progress=progress
            )
            return
        for piece in client.checkpoints.read(checkpoint, progress=progress):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def import_(
    file: Annotated[str, typer.Argument(help="File, or - for standard input.")],
    workload: Annotated[
        str, typer.Option("--workload", help="Name that the container gets.", show_default=False)
    ],
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Store a checkpoint that "podman container checkpoint --export" wrote.

    What such a file does not hold, Podferry cannot bring back: see docs/operating.md.
    """
    with open_client(redis, store) as client, _opened(file) as tar, _progress("read") as progress:
        manifest = client.checkpoints.import_(tar, workload=workload, name=file, progress=progress)
    if output is not Output.TABLE:
        print_records(_record(manifest, None), output)
    else:
        typer.echo(manifest.id)


@group.command()
def pin(
    checkpoint: IdArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; for people to read.")] = "",
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Keep a checkpoint, whatever the retention policy says."""
    with open_client(redis, store) as client:
        made = client.checkpoints.pin(checkpoint, reason=reason)
    _done({"id": checkpoint, "pin": made.model_dump(mode="json")}, f"{checkpoint} pinned", output)


@group.command()
def unpin(
    checkpoint: IdArgument,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Leave a checkpoint to the retention policy again."""
    with open_client(redis, store) as client:
        client.checkpoints.unpin(checkpoint)
    _done({"id": checkpoint, "pin": None}, f"{checkpoint} unpinned", output)


@group.command()
def rm(
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Checkpoint ids.", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Remove checkpoints for good: all of them, or none when something needs one."""
    if not yes and not sys.stdin.isatty():
        raise InvalidRequestError("rm asks first, and nobody is there to answer; add --yes")
    with open_client(redis, store) as client:
        if not yes:
            typer.confirm(f"Remove {', '.join(checkpoints)} for good?", abort=True, err=True)
        client.checkpoints.rm(checkpoints)
    _done({"removed": checkpoints}, "\n".join(f"{i} removed" for i in checkpoints), output)


@group.command()
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    keep_last: Annotated[
        int | None,
        typer.Option(
            "--keep-last",
            help="Newest ones to keep of each workload. [env: PODFERRY_RETENTION_KEEP_LAST]",
            min=1,
        ),
    ] = None,
    keep_within: Annotated[
        str | None,
        typer.Option(
            "--keep-within",
            help="Age up to which all are kept, such as 7d. [env: PODFERRY_RETENTION_KEEP_WITHIN]",
        ),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            help="What all together may take, such as 50G. [env: PODFERRY_RETENTION_MAX_BYTES]",
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
    redis: RedisOption = None,
    store: StoreOption = None,
) -> None:
    """Remove the checkpoints that no limit keeps, and what belongs to nothing."""
    policy = RetentionPolicy(
        keep=Keep(last=keep_last, within=parse_age("--keep-within", keep_within or "")),
        max_total_bytes=None if max_bytes is None else parse_size("--max-bytes", max_bytes),
    )
    with open_client(redis, store) as client:
        report = client.checkpoints.prune(_given(policy, load_settings()), dry_run=dry_run)
    if output is not Output.TABLE:
        print_records(report, output)
    else:
        _show_report(report)


def _given(flags: RetentionPolicy, settings: Settings) -> RetentionPolicy:
    """The flags, and the settings' limits where there is no flag."""
    default = settings.retention()
    limit = flags.max_total_bytes
    return RetentionPolicy(
        keep=Keep(
            last=flags.keep.last or default.keep.last,
            within=flags.keep.within or default.keep.within,
        ),
        max_total_bytes=default.max_total_bytes if limit is None else limit,
    )


def _show_report(report: PruneReport) -> None:
    rows = [
        *(_row("would go" if report.dry_run else "removed", entry) for entry in report.removed),
        *(_row("left: in use by now", entry) for entry in report.left),
        *(_row("kept", entry) for entry in report.kept),
    ]
    print_table("", ("", "kind", "id", "stored", "reason"), rows)
    verb = "would free" if report.dry_run else "freed"
    typer.echo(f"{verb} {size(report.freed_bytes)}")
    if report.over_bytes:
        typer.echo(
            f"the checkpoints that must stay take {size(report.over_bytes)} more than allowed; "
            "unpin some, or raise the limit",
            err=True,
        )


def _row(what: str, entry: PruneEntry) -> tuple[str, ...]:
    return what, entry.kind, entry.id, size(entry.bytes), entry.reason


def _record(manifest: CheckpointManifest, pin: Pin | None) -> dict[str, object]:
    record = manifest.model_dump(mode="json", exclude=PRIVATE)
    return {**record, "pin": pin.model_dump(mode="json") if pin else None}


def _group_record(group: GroupManifest, pin: Pin | None) -> dict[str, object]:
    record = group.model_dump(mode="json", exclude={"pod", "networks"})
    return {**record, "pin": pin.model_dump(mode="json") if pin else None}


def _show_group(group: GroupManifest, pin: Pin | None, output: Output) -> None:
    if output is not Output.TABLE:
        print_records(_group_record(group, pin), output)
        return
    rows = [
        (group.kind, group.workload),
        ("taken", moment(group.created)),
        ("host", group.host),
        *(("checkpoint", member) for member in group.members),
    ]
    if pin:
        rows.append(("pinned", pin.reason or "yes"))
    print_table(group.id, ("", ""), rows)


def _details(manifest: CheckpointManifest, pin: Pin | None) -> Iterator[tuple[str, str]]:
    image = manifest.image
    yield "workload", manifest.workload
    yield "taken", moment(manifest.created)
    yield "host", manifest.host or "imported"
    yield "container", manifest.container_id
    if not manifest.memory:
        yield "memory", "none, it is cold: a restore starts it anew from its files"
    yield "image", f"{image.name} ({'in the store' if image.archived else 'not in the store'})"
    yield "image id", image.id
    yield "volumes", ", ".join(manifest.volumes) or "-"
    yield "size", f"{size(manifest.tar_bytes)}, stored as {size(manifest.stored_bytes)}"
    if manifest.chain:
        needed = sum(needed.size for needed in manifest.chain)
        what = f"what changed since {manifest.parent}" if manifest.parent else "what changed"
        yield "stored is", f"{what}; {len(manifest.chain)} archives before it have {size(needed)}"
    if manifest.base:
        yield "incremental", "the next one can be told apart from this one"
    if pin:
        since = f" since {moment(pin.created)}" if pin.created else ""
        yield "pinned", f"{pin.reason or 'yes'}{since}"
    if manifest.imported:
        yield "imported as", manifest.imported.container
        yield "not known", ", ".join(manifest.imported.unknown)


def _done(record: dict[str, object], line: str, output: Output) -> None:
    print_records(record, output) if output is not Output.TABLE else typer.echo(line)


@contextmanager
def _opened(file: str) -> Iterator[BufferedReader]:
    """Standard input is a file like any other."""
    try:
        with open(sys.stdin.fileno() if file == "-" else file, "rb", closefd=file != "-") as tar:
            yield tar
    except OSError as error:
        raise InvalidRequestError(f"cannot read {file}: {error.strerror}") from error


@contextmanager
def _progress(verb: str) -> Iterator[Progress]:
    """On a terminal, a line on standard error that tells how many bytes have passed."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status("") as status:
        yield lambda done: status.update(f"{verb} {size(done)}")


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group.command("import")(import_)
    app.add_typer(group, name="checkpoints")
