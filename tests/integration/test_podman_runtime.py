"""PodmanRuntime between two real hosts: what the contract with its fake cannot show."""

from __future__ import annotations

import io
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime import (
    AddressTakenError,
    CheckpointFailedError,
    CheckpointSpec,
    CheckpointUnsupportedError,
    ContainerState,
    EngineUnavailableError,
    ExecFailedError,
    HealthCheck,
    Limits,
    Mount,
    Namespaces,
    NetworkAttachment,
    NetworkSpec,
    PodmanRuntime,
    Port,
    RestoreSpec,
    Security,
    Subnet,
    VolumeSpec,
)
from tests.contract.conftest import CONTAINERFILE, Subject, busybox_of, wait_for, write_context
from tests.lab import Lab, lab

pytestmark = pytest.mark.integration

IMAGE = "localhost/integration/shell:1"
HEALTHCHECK = "HEALTHCHECK --interval=2s --retries=5 CMD test -e /bin/sh\n"
# About 64 MiB that cannot be shared or compressed, in the memory of one shell.
HOLDS_64_MIB = (
    "data=$(head -c 50331648 /dev/urandom | base64 -w 0); token=$(echo $data | md5sum);"
    " while :; do echo $token > /token; sleep 0.05; done"
)
HAS_A_CONNECTION = (
    "nc -ll -p 7000 -e cat & sleep 0.2; mkfifo /in; nc 127.0.0.1 7000 < /in > /out & exec 3> /in;"
    " n=0; while :; do n=$((n+1)); echo $n >&3; tail -n 1 /out > /token; sleep 0.05; done"
)


@dataclass(frozen=True, kw_only=True)
class Hosts:
    lab: Lab
    a: Subject
    b: Subject


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with lab(["a", "b"]) as made:
        context = write_context(tmp_path_factory.mktemp("context"), busybox_of(made, "a"))
        (context / "Containerfile").write_text(CONTAINERFILE + HEALTHCHECK)
        a, b = (
            Subject(runtime=PodmanRuntime(made.socket(host)), context=context, image=IMAGE)
            for host in ("a", "b")
        )
        a.build(IMAGE)
        with a.runtime.save_image(IMAGE) as chunks:
            b.runtime.load_image(chunks)
        yield Hosts(lab=made, a=a, b=b)
        for subject in (a, b):
            assert isinstance(subject.runtime, PodmanRuntime)
            subject.runtime.close()


@pytest.fixture
def hosts(two: Hosts) -> Iterator[Hosts]:
    yield two
    two.a.clean()
    two.b.made.extend(two.a.made)
    two.b.clean()


def test_memory_moves_through_a_pipe_of_streams(hosts: Hosts) -> None:
    container = hosts.a.start(name="big", command=("sh", "-c", HOLDS_64_MIB))
    token = hosts.a.token(container)
    size = 0

    with hosts.a.runtime.checkpoint(container, CheckpointSpec()) as chunks:

        def counted() -> Iterator[bytes]:
            nonlocal size
            for chunk in chunks:
                size += len(chunk)
                yield chunk

        hosts.b.runtime.restore(counted(), RestoreSpec(), archive="c1")

    assert size > 64 << 20
    assert hosts.b.token(container) == token
    assert hosts.b.runtime.inspect("big").spec == hosts.a.runtime.inspect("big").spec


def test_hanging_up_in_the_middle_of_an_export(hosts: Hosts) -> None:
    container = hosts.a.start(command=("sh", "-c", HOLDS_64_MIB))
    token = hosts.a.token(container)

    with hosts.a.runtime.checkpoint(container, CheckpointSpec()) as chunks:
        got = 0
        while got < 20 << 20:
            got += len(next(chunks))
    hosts.a.runtime.restore_in_place(container, RestoreSpec())

    assert hosts.a.token(container) == token


def test_restored_in_place_while_the_export_is_still_read(hosts: Hosts) -> None:
    container = hosts.a.start(command=("sh", "-c", HOLDS_64_MIB))
    token = hosts.a.token(container)

    with hosts.a.runtime.checkpoint(container, CheckpointSpec()) as chunks:
        first = next(chunks)
        hosts.a.runtime.restore_in_place(container, RestoreSpec())
        assert hosts.a.runtime.inspect(container).state is ContainerState.RUNNING
        archive = first + b"".join(chunks)

    assert hosts.a.token(container) == token
    hosts.a.runtime.remove(container, force=True)
    hosts.b.runtime.restore([archive], RestoreSpec(), archive="c1")
    assert hosts.b.token(container) == token


def test_a_live_connection_survives(hosts: Hosts) -> None:
    container = hosts.a.start(command=("sh", "-c", HAS_A_CONNECTION))
    before = int(hosts.a.token(container))

    archive = hosts.a.archive(container)
    hosts.b.runtime.restore([archive], RestoreSpec(), archive="c1")

    assert int(wait_for(lambda: hosts.b.token(container), "an echo")) >= before
    moved = int(hosts.b.token(container))
    wait_for(lambda: int(hosts.b.token(container)) > moved, "another echo")


def test_everything_around_a_container_is_the_same_after_a_move(hosts: Hosts) -> None:
    for subject in (hosts.a, hosts.b):
        for name in ("front", "back"):
            subject.runtime.create_network(NetworkSpec(name=name, labels={"of": "test"}))
    hosts.a.runtime.create_volume(VolumeSpec(name="state", labels={"of": "test"}))
    container = hosts.a.start(
        name="full",
        env={"A": "b"},
        labels={"l": "v"},
        hostname="mail",
        tty=True,
        mounts=(
            Mount(type="volume", source="state", target="/state"),
            Mount(type="volume", target="/anonymous"),
            Mount(type="tmpfs", target="/scratch", options="size=1m"),
        ),
        ports=(Port(container_port=80, host_port=18080, host_ip="127.0.0.1"),),
        networks=(
            NetworkAttachment(name="back", aliases=("db",)),
            NetworkAttachment(name="front", aliases=("web", "www")),
        ),
        security=Security(cap_add=("CAP_NET_ADMIN",)),
        limits=Limits(memory_bytes=1 << 27),
    )
    before = hosts.a.runtime.inspect(container)

    archive = hosts.a.archive(container)
    hosts.b.runtime.restore([archive], RestoreSpec(), archive="c1")

    after = hosts.b.runtime.inspect(container)
    assert after.spec == before.spec
    assert after.health == before.health
    assert before.spec.hostname == "mail"
    assert [network.aliases for network in before.spec.networks] == [("db",), ("web", "www")]
    hosts.b.runtime.remove(container, force=True, volumes=True)
    hosts.b.runtime.run(before.spec)
    assert hosts.b.runtime.inspect("full").spec.model_dump() == before.spec.model_dump()


def test_a_health_check_survives_the_build(hosts: Hosts) -> None:
    health = hosts.a.runtime.inspect(hosts.a.create()).health

    assert health == HealthCheck(
        command=("/bin/sh", "-c", "test -e /bin/sh"),
        interval_seconds=2,
        timeout_seconds=30,
        retries=5,
    )


def test_a_command_that_does_not_end_in_time(hosts: Hosts) -> None:
    container = hosts.a.start()
    token, begin = hosts.a.token(container), time.monotonic()

    with pytest.raises(ExecFailedError, match=r"within 0\.5 s"):
        hosts.a.runtime.exec(container, ("sleep", "30"), timeout_seconds=0.5)
    with pytest.raises(ExecFailedError, match=r"within 0\.5 s"):
        hosts.a.runtime.exec(container, ("yes",), timeout_seconds=0.5)

    assert time.monotonic() - begin < 5
    hosts.a.archive(container)
    hosts.a.runtime.restore_in_place(container, RestoreSpec())
    assert hosts.a.token(container) == token


def test_exec_options(hosts: Hosts) -> None:
    container = hosts.a.start(env={"A": "of the container"})
    command = ("sh", "-c", "echo $(id -u) $PWD $A $B; echo wrong >&2; kill -9 $$")

    result = hosts.a.runtime.exec(container, command, user="1234", workdir="/bin", env={"B": "own"})

    assert result.exit_code == 137
    assert sorted(result.output.splitlines()) == [b"1234 /bin of the container own", b"wrong"]


@pytest.mark.parametrize("tty", [False, True])
def test_logs(hosts: Hosts, tty: bool) -> None:
    script = "for n in 1 2 3; do echo line $n; done; echo error >&2"
    container = hosts.a.create(command=("sh", "-c", script), tty=tty)
    runtime = hosts.a.runtime
    runtime.start(container)
    wait_for(lambda: runtime.inspect(container).state is ContainerState.EXITED, "its end")

    everything = b"".join(runtime.logs(container)).split()
    last = b"".join(runtime.logs(container, tail=1)).split()

    assert everything == b"line 1 line 2 line 3 error".split()
    assert last == [b"error"]


def test_a_container_of_a_pod_may_depend_on_its_infra_container(hosts: Hosts) -> None:
    def podman(*command: str) -> str:
        done = hosts.lab.enter("a", "podman", *command)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    podman("pod", "create", "--infra-image", IMAGE, "--infra-command", "sleep 1000", "group")
    member = podman("create", "--pod", "group", IMAGE, "sh", "-c", "while :; do sleep 1; done")
    podman("start", member)
    info = hosts.a.runtime.inspect(member)
    assert len(info.dependencies) == 1
    assert info.pod

    assert hosts.a.archive(member)
    podman("pod", "rm", "--force", "--time", "0", "group")


def test_another_dependency_is_refused_before_the_process_is_touched(hosts: Hosts) -> None:
    other = hosts.a.start(name="other")
    container = hosts.a.start(namespaces=Namespaces(pid=f"container:{other}"))

    with (
        pytest.raises(CheckpointUnsupportedError, match=other),
        hosts.a.runtime.checkpoint(container, CheckpointSpec()),
    ):
        pass

    assert hosts.a.runtime.inspect(container).state is ContainerState.RUNNING
    hosts.a.runtime.remove(container, force=True)


def test_a_dump_that_fails_leaves_the_container_running(hosts: Hosts) -> None:
    container = hosts.a.start()
    token = hosts.a.token(container)
    assert hosts.lab.enter("a", "mv", "/usr/sbin/criu", "/usr/sbin/criu.away").returncode == 0

    try:
        with (
            pytest.raises(CheckpointFailedError) as caught,
            hosts.a.runtime.checkpoint(container, CheckpointSpec()),
        ):
            pass
    finally:
        hosts.lab.call("enter", "a", "--", "mv", "/usr/sbin/criu.away", "/usr/sbin/criu")

    assert caught.value.container == container
    assert caught.value.reason
    assert hosts.a.runtime.inspect(container).state is ContainerState.RUNNING
    assert hosts.a.token(container) == token


def test_the_options_of_a_checkpoint_and_a_restore(hosts: Hosts) -> None:
    container = hosts.a.start(name="options", ports=(Port(container_port=80, host_port=18087),))
    hosts.a.runtime.exec(container, ("touch", "/layer"))
    token = hosts.a.token(container)
    spec = CheckpointSpec(ignore_rootfs=True, keep=True)

    with hosts.a.runtime.checkpoint(container, spec) as chunks:
        archive = b"".join(chunks)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert "rootfs-diff.tar" not in members.getnames()
    published = (Port(container_port=80, host_port=18088),)
    restore = RestoreSpec(
        name="other",
        publish=published,
        ignore_rootfs=True,
        ignore_static_ip=True,
        ignore_static_mac=True,
        keep=True,
    )
    hosts.b.made.append("other")
    restored = hosts.b.runtime.restore([archive], restore, archive="c1")

    info = hosts.b.runtime.inspect("other")
    assert info.id == restored != container
    assert info.spec.ports == published
    assert hosts.b.token("other") == token
    assert hosts.b.runtime.exec("other", ("test", "-e", "/layer")).exit_code == 1


def test_an_address_that_another_has_is_told_apart_and_a_new_one_will_do(hosts: Hosts) -> None:
    tight = NetworkSpec(name="tight", subnets=(Subnet(subnet="10.77.0.0/24"),))
    for subject in (hosts.a, hosts.b):
        subject.runtime.create_network(tight)
    first = (NetworkAttachment(name="tight"),)  # each gets the network's first address
    container = hosts.a.start(name="mine", networks=first)
    token, archive = hosts.a.token(container), hosts.a.archive(container)
    hosts.b.start(name="another", networks=first)

    with pytest.raises(AddressTakenError, match=r"10\.77\.0\.2"):
        hosts.b.runtime.restore([archive], RestoreSpec(), archive="c1")

    hosts.b.runtime.remove("mine", force=True, volumes=True)
    anew = RestoreSpec(ignore_static_ip=True, ignore_static_mac=True)
    assert hosts.b.runtime.restore([archive], anew, archive="c1") == container
    assert hosts.b.token(container) == token


def test_an_engine_that_stops(hosts: Hosts) -> None:
    hosts.lab.call("stop", "b")
    try:
        with pytest.raises(EngineUnavailableError):
            hosts.b.runtime.containers()
        with pytest.raises(EngineUnavailableError):
            hosts.b.runtime.exec_stream("any", ("true",))
    finally:
        hosts.lab.call("start", "b")
    hosts.b.runtime.ping()


def test_exec_streams_as_it_is_said(hosts: Hosts) -> None:
    container = hosts.a.start()
    script = "echo $A; read word; echo got $word; pwd; id -u; echo wrong >&2; exit 7"
    answered = threading.Event()

    def stdin() -> Iterator[bytes]:
        answered.wait()  # the command's first word has been read by then
        yield b"hello\n"

    stream = hosts.a.runtime.exec_stream(
        container,
        ("sh", "-c", script),
        stdin=stdin(),
        user="1234",
        workdir="/bin",
        env={"A": "first"},
    )
    assert next(stream).data == b"first\n"
    answered.set()
    rest = [(chunk.stream, chunk.data) for chunk in stream]

    said = {kind: b"".join(d for k, d in rest if k == kind) for kind in ("stdout", "stderr")}
    assert said == {"stdout": b"got hello\n/bin\n1234\n", "stderr": b"wrong\n"}
    assert stream.exit_code == 7


def test_exec_in_a_terminal(hosts: Hosts) -> None:
    container = hosts.a.start()
    runtime = hosts.a.runtime

    assert runtime.exec(container, ("tty",), tty=True).output.startswith(b"/dev/")
    with runtime.exec_stream(container, ("cat",), stdin=[b"hi\n\x04"], tty=True) as stream:
        assert b"".join(chunk.data for chunk in stream) == b"hi\r\nhi\r\n"
    assert stream.exit_code == 0


def test_leaving_a_streamed_command_is_prompt(hosts: Hosts) -> None:
    container = hosts.a.start()

    def endless() -> Iterator[bytes]:
        while True:
            yield b"y" * 100_000

    with hosts.a.runtime.exec_stream(container, ("cat",), stdin=endless()) as stream:
        next(stream)
    assert list(stream) == []
    hosts.a.token(container)


def test_the_log_since_a_moment(hosts: Hosts) -> None:
    script = "echo old; while [ ! -e /now ]; do sleep 0.05; done; echo new; sleep 1000"
    container = hosts.a.create(command=("sh", "-c", script))
    runtime = hosts.a.runtime
    runtime.start(container)
    with runtime.logs(container, follow=True) as log:
        assert next(log) == b"old\n"
        moment = datetime.now(UTC)
        runtime.exec(container, ("touch", "/now"))
        assert next(log) == b"new\n"

    assert b"".join(runtime.logs(container, since=moment)) == b"new\n"


def test_an_engine_that_is_not_there(tmp_path: Path, two: Hosts) -> None:
    here = PodmanRuntime(f"unix://{two.lab.socket('a')}")
    here.ping()
    here.close()
    here.ping()
    here.close()
