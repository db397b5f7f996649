"""Everything a container has, before and after a move, as it tells itself; and what Podman loses.

Not kept, as the docs say: parts of seconds in volumes and in memory's file systems, the time of a
directory that a file of the image was deleted from, and where a file's holes were.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from requests_unixsocket import Session  # type: ignore[import-untyped]  # it ships no types

from runtime import (
    CheckpointSpec,
    CheckpointUnsupportedError,
    ContainerInfo,
    ContainerState,
    Mount,
    PodmanRuntime,
    RestoreSpec,
    RunSpec,
    VolumeSpec,
)
from tests.contract.conftest import CONTAINERFILE, Subject, busybox_of, wait_for, write_context
from tests.integration.changes import CHANGES, PLACES, carry_out, prepare
from tests.lab import lab

pytestmark = pytest.mark.integration

IMAGE = "localhost/integration/fidelity:1"
LIST = Path(__file__).parent / "listing" / "list.c"
# Its memory holds a token, a connection and (in children) a lock and a socket file.
HOLDS = """
token=$(cat /proc/sys/kernel/random/uuid); echo "log of $token"
nc -ll -p 7000 -e cat & sleep 0.3; mkfifo /beat/in
nc 127.0.0.1 7000 </beat/in >/beat/out & exec 3>/beat/in
/list --lock /lock &
/list --listen /socket &
n=0; while :; do n=$((n+1)); echo $n >&3; echo $token $n >/beat/token; sleep 0.1; done
"""
# The engine makes these at every start, or the kernel does.
NOT_OURS = re.compile(r"/(dev|proc|sys|beat|etc/(hosts|hostname|resolv\.conf)|run/\.containerenv)$")

LARGE_BYTES = 2252 << 20
NO_TIME = ("/", "/c/deleted", "/socket")  # two that lost a file of the image; CRIU makes sockets

Listing = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a container told at one moment."""

    files: Listing
    token: str
    log: bytes
    info: ContainerInfo


@dataclass(frozen=True, kw_only=True)
class Journey:
    """The same container before the move, on b, on a again, and what Podman alone made of it."""

    before: Seen
    on_b: Seen
    back: Seen
    plain: tuple[Listing, Listing]
    statistics: dict[str, int]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Subject, Subject]]:
    with lab(["a", "b"]) as made:
        context = write_context(tmp_path_factory.mktemp("context"), busybox_of(made, "a"))
        compiler = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror"]
        subprocess.run([*compiler, "-o", context / "list", LIST], check=True)
        (context / "prepare").write_text(prepare())
        (context / "Containerfile").write_text(
            f'{CONTAINERFILE}COPY list prepare /\nRUN ["sh", "/prepare"]\n'
            "RUN mkdir -m 2750 /over && touch /large /lines\n"
        )
        a, b = (
            Subject(runtime=PodmanRuntime(made.socket(host)), context=context, image=IMAGE)
            for host in ("a", "b")
        )
        a.build(IMAGE)
        with a.runtime.save_image(IMAGE) as chunks:
            b.runtime.load_image(chunks)
        yield a, b
        for subject in (a, b):
            engine(subject).close()


@pytest.fixture(autouse=True)
def clean(hosts: tuple[Subject, Subject]) -> Iterator[None]:
    yield
    for runtime in map(engine, hosts):
        for summary in runtime.containers():
            discard(runtime, summary.id)


def engine(subject: Subject) -> PodmanRuntime:
    assert isinstance(subject.runtime, PodmanRuntime)
    return subject.runtime


def test_the_process_lives_on(journey: Journey) -> None:
    assert journey.before.token == journey.on_b.token == journey.back.token
    assert journey.before.log
    assert journey.on_b.log.startswith(journey.before.log)
    assert journey.back.log.startswith(journey.before.log)
    assert journey.before.info.spec == journey.on_b.info.spec == journey.back.info.spec


@pytest.mark.parametrize("category", CHANGES)
def test_a_change_to_the_image_is_kept(journey: Journey, category: str) -> None:
    place = f"/c/{category}"
    before = below(place, journey.before.files)

    assert before
    assert below(place, journey.on_b.files) == before
    assert below(place, journey.back.files) == before


@pytest.mark.parametrize("place", PLACES)
def test_a_mounted_file_system_is_kept_with_its_root(journey: Journey, place: str) -> None:
    before = below(place, journey.before.files)

    assert len(before) == 6
    assert below(place, journey.on_b.files) == before
    assert below(place, journey.back.files) == before


def test_nothing_else_differs(journey: Journey) -> None:
    before = below("", journey.before.files)

    assert len(before) > 100
    assert below("", journey.on_b.files) == before
    assert below("", journey.back.files) == before


def test_podmans_own_export_loses_what_we_keep(journey: Journey) -> None:
    """If this fails, Podman has become better, and this package may become smaller.

    A category's own directory is left out: its time is lost wherever a name in it is new.
    """
    places = {f"/c/{name}/": change for name, change in CHANGES.items()} | PLACES
    had, has = journey.plain
    lost = {place for place in places if seconds(place, has) != seconds(place, had)}

    assert lost == {p for p, change in places.items() if change.harmless and not change.plain}


def test_podmans_own_export_fails_over_a_file_that_became_a_directory(
    hosts: tuple[Subject, Subject],
) -> None:
    a = engine(hosts[0])
    container = started(a)

    with (
        pytest.raises(AssertionError, match="not a directory"),
        plain_export(a.socket, container),
    ):
        pass


def test_without_sight_of_the_hosts_files_the_engine_must_be_asked(
    hosts: tuple[Subject, Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a worker in a container that has Podman's socket and nothing else."""
    monkeypatch.setattr("runtime.fidelity.collecting.seen_by_engine", lambda *words: None)
    a, b = map(engine, hosts)
    container = started(a, harmless=True)
    before = listing(a, container)

    move(a, b, container)

    after = listing(b, container)
    places = {f"/c/{name}": change for name, change in CHANGES.items()}
    lost = {place for place in places if seconds(place, after) != seconds(place, before)}
    assert lost == {place for place, change in places.items() if not change.rest}


def test_what_the_engine_cannot_tell_is_refused_before_the_process_is_touched(
    hosts: tuple[Subject, Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.fidelity.collecting.seen_by_engine", lambda *words: None)
    a = engine(hosts[0])
    container = started(a)

    with (
        pytest.raises(CheckpointUnsupportedError, match="not a directory"),
        a.checkpoint(container, CheckpointSpec()),
    ):
        pass

    assert a.inspect(container).state is ContainerState.RUNNING


def test_criu_told_what_it_did(journey: Journey) -> None:
    assert journey.statistics["frozen_microseconds"] > 0
    assert journey.statistics["pages_written"] > 0


def test_a_large_file_is_kept_and_its_holes_are_named(hosts: tuple[Subject, Subject]) -> None:
    a, b = map(engine, hosts)
    container = started(a, script=f"truncate -s {LARGE_BYTES} /large; echo end >>/large")
    before = listing(a, container)["/large"]
    assert f"size={LARGE_BYTES + 4}" in before
    assert a.unkept(container) == ("/large has holes of 2251 MiB, which will be filled",)

    move(a, b, container)

    assert below("/large", listing(b, container)) == {"/large": rounded("/large", before)}


def test_what_volumes_lose_is_named(hosts: tuple[Subject, Subject]) -> None:
    a, b = map(engine, hosts)
    a.create_volume(VolumeSpec(name="named", labels={"of": "test"}))
    container = started(a, script=":")
    assert a.unkept(container) == ("volume 'named' loses its labels of",)

    move(a, b, container)

    assert b.unkept(container) == ()


def test_files_and_memory_are_of_one_moment_though_the_container_goes_on(
    hosts: tuple[Subject, Subject],
) -> None:
    a, b = map(engine, hosts)
    counting = "n=0; while :; do n=$((n+1)); echo $n >>/lines; sleep 0.02; done"
    container = started(a, script=":", command=counting)
    wait_for(lambda: count(a, container) > 20, "some lines")

    with a.checkpoint(container, CheckpointSpec()) as chunks:
        a.restore_in_place(container, RestoreSpec())
        stood_at = count(a, container)
        wait_for(lambda: count(a, container) > stood_at + 20, "more lines")
        archive = b"".join(chunks)
    discard(a, container)
    b.restore([archive], RestoreSpec(), archive="c1")

    restored_at = count(b, container)
    wait_for(lambda: count(b, container) > restored_at + 20, "more lines")
    lines = b.exec(container, ("cat", "/lines")).output.decode().split()
    assert lines == [str(number) for number in range(1, len(lines) + 1)]


def count(runtime: PodmanRuntime, container: str) -> int:
    return int(runtime.exec(container, ("wc", "-l", "/lines")).output.split()[0])


@pytest.fixture(scope="module")
def journey(hosts: tuple[Subject, Subject]) -> Journey:
    a, b = map(engine, hosts)
    container = started(a)
    before = look(a, container)
    statistics = move(a, b, container)
    on_b = look(b, container)
    move(b, a, container)
    back = look(a, container)
    discard(a, container)
    return Journey(
        before=before, on_b=on_b, back=back, plain=moved_plainly(a, b), statistics=statistics
    )


def started(
    runtime: PodmanRuntime, *, harmless: bool = False, script: str = "", command: str = HOLDS
) -> str:
    """Start a container that has run ``script``, or changed something in each category."""
    mounts = (
        Mount(type="volume", source="named", target="/named"),
        Mount(type="volume", target="/anonymous"),
        Mount(type="volume", target="/over"),
        Mount(type="tmpfs", target="/scratch"),
        Mount(type="tmpfs", target="/beat"),
    )
    spec = RunSpec(
        name="faithful",
        image=IMAGE,
        command=("sh", "-c", command),
        mounts=mounts,
        env={"A": "b c"},
        labels={"of": "test"},
        stop_timeout_seconds=1,
    )
    container = runtime.run(spec)
    runtime.start(container)
    result = runtime.exec(container, ("sh", "-c", script or carry_out(harmless=harmless)))
    assert result.exit_code == 0, result.output
    return container


def look(runtime: PodmanRuntime, container: str) -> Seen:
    token, count = beat(runtime, container)
    wait_for(lambda: beat(runtime, container)[1] > count, "a beat of the process")
    echoed = echo(runtime, container)
    wait_for(lambda: echo(runtime, container) > echoed, "an answer over the connection")
    locked = runtime.exec(container, ("/list", "--lock", "/lock"))
    assert locked.exit_code == 1, "the lock is gone"
    return Seen(
        files=listing(runtime, container),
        token=token,
        log=b"".join(runtime.logs(container)),
        info=runtime.inspect(container),
    )


def beat(runtime: PodmanRuntime, container: str) -> tuple[str, int]:
    def written() -> list[str]:
        words = runtime.exec(container, ("cat", "/beat/token")).output.decode().split()
        return words if len(words) == 2 else []

    token, count = wait_for(written, "a token")
    return token, int(count)


def echo(runtime: PodmanRuntime, container: str) -> int:
    return int(runtime.exec(container, ("wc", "-l", "/beat/out")).output.split()[0])


def listing(runtime: PodmanRuntime, container: str) -> Listing:
    result = runtime.exec(container, ("/list", "/", *PLACES))
    assert result.exit_code == 0, result.output
    lines = (line.split(" ", 1) for line in result.output.decode().splitlines())
    return with_links({path: line for path, line in lines if not NOT_OURS.match(path)})


def with_links(files: Listing) -> Listing:
    """Call a group of hard links by its least name: the order of a directory's names may change."""
    first = re.compile(r" first=(\S+)")
    least: dict[str, str] = {}
    for path in sorted(files, reverse=True):
        least.update(dict.fromkeys(first.findall(files[path]), path))
    return {
        path: first.sub(lambda found: f" first={least[found[1]]}", line)
        for path, line in files.items()
    }


def below(place: str, files: Listing) -> Listing:
    inside = re.compile(place if place.endswith("/") else f"{place}(/|$)")
    return {path: rounded(path, line) for path, line in files.items() if inside.match(path)}


def seconds(place: str, files: Listing) -> Listing:
    """Leave out parts of seconds too."""
    lines = below(place, files).items()
    return {path: re.sub(r"( mtime=\d+)\.\d+", r"\1", line) for path, line in lines}


def rounded(path: str, line: str) -> str:
    """Leave out what is known not to be kept: see this module's first words."""
    line = re.sub(r" blocks=\d+", "", line)
    if path in NO_TIME:
        return re.sub(r" mtime=\S+", "", line)
    mounted = path.startswith(tuple(PLACES))
    return re.sub(r"( mtime=\d+)\.\d+", r"\1", line) if mounted else line


def move(source: PodmanRuntime, target: PodmanRuntime, container: str) -> dict[str, int]:
    with source.checkpoint(container, CheckpointSpec()) as chunks:
        target.restore(chunks, RestoreSpec(), archive="c1")
        statistics = dict(chunks.statistics)
    discard(source, container)
    return statistics


def discard(runtime: PodmanRuntime, container: str) -> None:
    volumes = runtime.inspect(container).volumes
    runtime.remove(container, force=True, volumes=True)
    for volume in volumes:
        runtime.remove_volume(volume)


def moved_plainly(source: PodmanRuntime, target: PodmanRuntime) -> tuple[Listing, Listing]:
    """What a container lists before and after a move by Podman's export and import alone."""
    container = started(source, harmless=True)
    before = listing(source, container)
    with plain_export(source.socket, container) as chunks:
        target.restore(chunks, RestoreSpec(), archive="plain")
    discard(source, container)
    after = listing(target, container)
    discard(target, container)
    return before, after


@contextmanager
def plain_export(socket: str, container: str) -> Iterator[Iterator[bytes]]:
    url = f"http+unix://{quote_plus(socket)}/v5.0.0/libpod/containers/{container}/checkpoint"
    query = {"export": "true", "tcpEstablished": "true", "fileLocks": "true"}
    with Session() as session, session.post(url, params=query, stream=True) as answer:
        assert answer.status_code == 200, answer.text
        yield answer.iter_content(1 << 20)
