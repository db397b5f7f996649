"""Of which moment an archive is: its memory and its files, of a container that goes on running."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest

from runtime import CheckpointSpec, Mount, PodmanRuntime, RestoreSpec
from tests.contract.conftest import Subject, busybox_of, wait_for, write_context
from tests.lab import lab

pytestmark = pytest.mark.integration

IMAGE = "localhost/moments/shell:1"
NAME, VOLUME = "counting", "moments"
FILES = ("/lines", "/volume/lines")  # in the writable layer, in a volume
# One number, from memory, at the end of two files, some thousand times a second. The 32 MiB around
# it give an export something to do.
COUNTS = (
    "data=$(head -c 25165824 /dev/urandom | base64 -w 0); n=0;"
    " while :; do n=$((n+1)); echo $n >>/lines; echo $n >>/volume/lines;"
    " [ $((n % 20)) = 0 ] && usleep 2000; done"
)
ROUNDS = 3


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with lab(["a"]) as made:
        context = write_context(tmp_path_factory.mktemp("context"), busybox_of(made, "a"))
        runtime = PodmanRuntime(made.socket("a"))
        subject = Subject(runtime=runtime, context=context, image=IMAGE)
        subject.build(IMAGE)
        yield subject
        runtime.close()


@pytest.fixture
def subject(host: Subject) -> Iterator[Subject]:
    yield host
    forget(host)


def forget(subject: Subject) -> None:
    subject.clean()
    subject.runtime.remove_volume(VOLUME)


def number(subject: Subject, file: str) -> int:
    """How far it has counted, as a file has it; 0 while there is none."""
    said = subject.runtime.exec(NAME, ("tail", "-n", "1", file)).output.strip()
    return int(said) if said.isdigit() else 0


def grown(subject: Subject, lines: int) -> None:
    goals = {file: number(subject, file) + lines for file in FILES}

    def reached() -> bool:
        return all(number(subject, file) > goal for file, goal in goals.items())

    wait_for(reached, f"{lines} more lines")


def restored(subject: Subject, spec: CheckpointSpec) -> tuple[list[int], ...]:
    """Both files of a container that was checkpointed, went on, was removed, and came back."""
    forget(subject)
    mount = Mount(type="volume", source=VOLUME, target="/volume")
    container = subject.create(name=NAME, command=("sh", "-c", COUNTS), mounts=(mount,))
    runtime = subject.runtime
    runtime.start(container)
    grown(subject, 200)

    with runtime.checkpoint(container, spec) as chunks:
        if not spec.leave_running:
            runtime.restore_in_place(container, RestoreSpec())
        archive = b"".join(chunks)
        grown(subject, 200)  # what is written from now on must be in no archive
    forget(subject)
    runtime.restore([archive], RestoreSpec(), archive="c1")

    grown(subject, 200)
    said = (runtime.exec(container, ("cat", file)).output for file in FILES)
    return tuple([int(line) for line in lines.split()[:-1]] for lines in said)


def steps_back(lines: list[int]) -> list[tuple[int, int]]:
    """Where a file was of another moment than the memory: the process wrote a number again."""
    return [(before, after) for before, after in pairwise(lines) if after != before + 1]


def test_an_exact_backup_is_of_one_moment(subject: Subject) -> None:
    for _ in range(ROUNDS):
        for lines in restored(subject, CheckpointSpec()):
            assert lines[0] == 1
            assert steps_back(lines) == []


def test_one_that_was_left_running_is_not(subject: Subject) -> None:
    """The reason why no command makes such a backup; see docs/fidelity.md."""
    jumps = [
        jump
        for _ in range(ROUNDS)
        for lines in restored(subject, CheckpointSpec(leave_running=True))
        for jump in steps_back(lines)
    ]

    assert jumps
    assert all(after <= before for before, after in jumps)  # the files are ahead of the memory
