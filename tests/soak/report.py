"""What was measured as a document: a table, and what follows for how large one Redis can be."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

from tasks.records import KEEP_RECORDS
from tests.soak.records import Report, Soak

KIB, GIB = 1 << 10, 1 << 30

WIDTH = 100
ALONE = 4  # processes that a soak keeps busy at most
USED = 0.5  # of Redis' one core: what is left is for bursts, and for writing its file anew
COLUMNS = (
    *("hosts", "workloads", "drained at once", "moves", "seconds"),
    *("control workers, CPU ms a move", "Redis, CPU ms a move", "host workers, CPU ms a move"),
    *("Redis commands a move", "Redis memory kept, KiB a move"),
)
MACHINE = """\
By `make soak`, which writes this file and its picture: {taken}, {cores} cores, {memory_gib:.0f}
GiB, Python {python}, load at the end of a size {load:.1f} at most: other work ran beside it where
that is above {alone}, and CPU times are longer for it."""
ABOUT = """\
Fake hosts, on which one workload in each drain leaves at a time; every tenth host is drained, all
of these at once. The engines are fakes that hold a few bytes and take no time: what is left is what
orchestration costs. Redis (with its append-only file), Celery, the records, the control worker and
the archives (in a directory) are real. A worker for each host does not fit on one machine: two
processes are the workers of all hosts. Each step is stated by its host, and they tell for each host
what its worker would tell, as often; of more than {unstretched} hosts, what they hold is told more
seldom. Every workload ran once at the end, on a host that was not drained.

What hosts tell while nothing moves is measured first, and subtracted. A move is seven units of work
on two hosts."""
LINEAR = """\
From {few:,} to {many:,} hosts the moves are {times:.0f} times as many, and the CPU of control
workers, Redis and host workers together is {grown:.1f} times as much: {cost:.2f} times as much for
a move; of the control workers' alone, {control:.1f} times. What a plan reads of hosts and of what
is on its way to them is read once for a plan, and of hosts at most once a second."""
IDLE = """\
An idle host costs {commands:.1f} Redis commands, {kib:.1f} KiB written to Redis and {redis:.2f} ms
of Redis' CPU a second ({hosts} hosts with {each} workloads each): its heartbeat, what it holds, and
what it is to remove. A worker's own wait for its queue, and Celery's heartbeat, come on top.

Redis runs commands on one core. With {used:.0%} of it, {idle_hosts:,.0f} hosts may be idle, or
{moves:.0f} moves may begin each second where no host costs anything. Half of each is
{half_hosts:,.0f} hosts and {half_moves:.0f} moves a second. A move's record is kept for {days}
days: a GiB of memory holds {kept:,.0f} of them. A control worker with a core to itself
begins and ends {control:.0f} moves a second; several share the work."""
CELLS = """\
What comes after is not a larger Redis: Celery knows no Redis Cluster, and placement has to see all
hosts that it may choose. It is cells: several installations, each with its own Redis, control
workers and hosts, as large as an outage may be. A host belongs to one cell, a drain stays inside
it, and one store serves all of them under a prefix each. From cell to cell a workload goes as an
archive: `podferry checkpoints export` here, `podferry checkpoints import` there."""


def document(report: Report) -> str:
    """The whole document."""
    return "\n".join(_lines(report)) + "\n"


def table(report: Report) -> Iterator[str]:
    """A line for each size."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{' ---: |' * len(COLUMNS)}"
    for soak in report.soaks:
        yield f"| {' | '.join(_cells(soak))} |"


def _lines(report: Report) -> Iterator[str]:
    first, last = report.soaks[0], report.soaks[-1]
    unstretched = [soak for soak in report.soaks if soak.stretch == 1]
    yield "# A thousand hosts, and one Redis"
    yield ""
    machine = last.machine
    yield _filled(
        MACHINE,
        taken=f"{machine.taken:%Y-%m-%d}",
        cores=machine.cores,
        memory_gib=machine.memory_gib,
        python=machine.versions["Python"],
        load=max(soak.machine.load for soak in report.soaks),
        alone=ALONE,
    )
    yield ""
    yield _filled(ABOUT, unstretched=unstretched[-1].hosts)
    yield ""
    yield "![What a move costs, by the number of hosts](soak.svg)"
    yield ""
    yield from table(report)
    yield ""
    yield "## Growth"
    yield ""
    yield _linear(first, last)
    yield ""
    yield "## Where one Redis ends"
    yield ""
    yield _end(unstretched[-1], last)
    yield ""
    yield CELLS


def _cells(soak: Soak) -> tuple[str, ...]:
    counts = (soak.hosts, soak.workloads, soak.drained, soak.moves, round(soak.busy.seconds))
    cpu = (f"{soak.milliseconds(who):.1f}" for who in ("control", "redis", "hosts"))
    rest = (f"{soak.commands_per_move:.0f}", f"{soak.memory_per_move / KIB:.0f}")
    return (*(f"{count:,}" for count in counts), *cpu, *rest)


def _linear(first: Soak, last: Soak) -> str:
    times = last.moves / first.moves
    cost = last.all_milliseconds / first.all_milliseconds
    return _filled(
        LINEAR,
        few=first.hosts,
        many=last.hosts,
        times=times,
        grown=cost * times,
        cost=cost,
        control=last.milliseconds("control") / first.milliseconds("control"),
    )


def _end(idle: Soak, busy: Soak) -> str:
    redis = idle.idle.cpu["redis"] / idle.idle.seconds / idle.hosts
    hosts, moves = USED / redis, USED / (busy.milliseconds("redis") / 1000)
    return _filled(
        IDLE,
        commands=idle.idle.calls / idle.idle.seconds / idle.hosts,
        kib=idle.idle.written_bytes / idle.idle.seconds / idle.hosts / KIB,
        redis=redis * 1000,
        hosts=idle.hosts,
        each=idle.workloads // idle.hosts,
        used=USED,
        idle_hosts=hosts,
        moves=moves,
        half_hosts=hosts / 2,
        half_moves=moves / 2,
        days=KEEP_RECORDS.days,
        kept=GIB / busy.memory_per_move,
        control=1000 / busy.milliseconds("control"),
    )


def _filled(text: str, **values: float | str) -> str:
    """Paragraphs with these values in their places."""
    paragraphs = text.format(**values).split("\n\n")
    return "\n\n".join(fill(paragraph, WIDTH) for paragraph in paragraphs)
