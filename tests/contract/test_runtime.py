"""What every CheckpointRuntime does, the real one and its fake."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest

from runtime import (
    BuildFailedError,
    BuildSpec,
    BuildStep,
    CheckpointSpec,
    CheckpointUnsupportedError,
    ColdSpec,
    ContainerExistsError,
    ContainerNotFoundError,
    ContainerState,
    EngineError,
    ExecFailedError,
    HealthCheck,
    ImageNotFoundError,
    Limits,
    Logging,
    Mount,
    NetworkAttachment,
    Port,
    PullFailedError,
    RestartPolicy,
    RestoreFailedError,
    RestoreSpec,
    RunSpec,
    Security,
    UnsupportedOptionError,
    build_context,
    containerfile_name,
)
from tests.contract.conftest import EXITS_WITH_3, MISSING, Subject, wait_for

pytestmark = pytest.mark.contract


def tar_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def content_of(chunks: Iterator[bytes]) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile(archive.next() or "")
        assert member is not None
        return member.read()


def test_it_answers(subject: Subject) -> None:
    subject.runtime.ping()
    capabilities = subject.runtime.capabilities()

    assert capabilities.checkpoint
    assert capabilities.engine == "podman"
    assert capabilities.prefer_self_probed_health


# Images


def test_an_image_keeps_its_id_when_it_travels(subject: Subject) -> None:
    runtime = subject.runtime
    built = subject.build("localhost/contract/travels:1", labels={"contract": "travels"})

    with runtime.save_image(built.id) as chunks:
        saved = b"".join(chunks)
    with runtime.save_image("localhost/contract/travels:1") as chunks:
        named = b"".join(chunks)
    runtime.remove_image(built.id, force=True)
    with pytest.raises(ImageNotFoundError):
        runtime.image(built.id)
    runtime.load_image([named])

    assert saved
    assert runtime.image("localhost/contract/travels:1").id == built.id
    assert [i.id for i in runtime.find_images({"contract": "travels"})] == [built.id]
    assert not built.from_registry
    runtime.remove_image(built.id)
    runtime.remove_image(built.id)


def test_a_missing_image(subject: Subject) -> None:
    name = "localhost/contract/never:1"

    with pytest.raises(ImageNotFoundError), subject.runtime.save_image(name):
        pass
    with pytest.raises(ImageNotFoundError) as caught:
        subject.create(image=name)
    assert caught.value.image == name
    with pytest.raises(ImageNotFoundError):
        subject.create(image="0" * 64)


def test_what_is_no_image_is_not_loaded(subject: Subject) -> None:
    with pytest.raises(EngineError):
        subject.runtime.load_image([b"no tar" * 1000])


def test_a_failed_build_says_why(subject: Subject) -> None:
    (subject.context / "Broken").write_text("COPY busybox /bin/\n")
    spec = BuildSpec(tag="localhost/contract/broken:1", containerfile="Broken")
    context = build_context(subject.context, containerfile="Broken")

    with pytest.raises(BuildFailedError, match="no FROM statement"):
        subject.runtime.build(spec, context, on_log=lambda line: None)


def test_a_build_tells_its_steps(subject: Subject) -> None:
    steps: list[BuildStep] = []
    spec = BuildSpec(tag=subject.image, containerfile=containerfile_name(subject.context, ""))

    subject.runtime.build(
        spec, build_context(subject.context), on_log=lambda line: None, on_step=steps.append
    )

    assert [(step.number, step.total) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert steps[0].instruction == "FROM scratch"


def test_a_failed_build_names_the_step(subject: Subject) -> None:
    (subject.context / "Failing").write_text('FROM scratch\nRUN ["/bin/false"]\nRUN ["/never"]\n')
    spec = BuildSpec(tag="localhost/contract/failing:1", containerfile="Failing")
    context = build_context(subject.context, containerfile="Failing")

    with pytest.raises(BuildFailedError) as caught:
        subject.runtime.build(spec, context, on_log=lambda line: None)

    assert caught.value.step == '2/3: RUN ["/bin/false"]'
    assert caught.value.tail


def test_an_exception_of_a_listener_ends_the_build(subject: Subject) -> None:
    class TiredError(Exception):
        pass

    def tired(line: str) -> None:
        raise TiredError

    spec = BuildSpec(tag="localhost/contract/abandoned:1", no_cache=True)
    with pytest.raises(TiredError):
        subject.runtime.build(spec, build_context(subject.context), on_log=tired)

    with pytest.raises(ImageNotFoundError):
        subject.runtime.image(spec.tag)


def test_an_image_that_no_registry_has(subject: Subject) -> None:
    with pytest.raises((ImageNotFoundError, PullFailedError)):
        subject.runtime.pull("localhost:1/nobody/has:1")


# Containers


def test_the_life_of_a_container(subject: Subject) -> None:
    runtime = subject.runtime
    container = subject.create(name="life", labels={"contract": "life"}, env={"A": "b"})
    made = runtime.inspect("life")
    assert (made.id, made.state, made.pid) == (container, ContainerState.CREATED, 0)
    assert made.image == made.spec.image == subject.image
    assert made.image_id == runtime.image(subject.image).id
    assert made.spec.env["A"] == "b"
    assert made.spec.labels["contract"] == "life"

    runtime.start(container)
    runtime.start(container)
    running = runtime.inspect(container)
    assert running.state is ContainerState.RUNNING
    assert running.pid > 0
    assert not running.checkpointed

    with pytest.raises(EngineError):
        runtime.remove(container)
    runtime.stop(container, timeout_seconds=0)
    runtime.stop(container)
    assert runtime.inspect(container).state is ContainerState.EXITED
    runtime.remove(container)
    runtime.remove(container)
    with pytest.raises(ContainerNotFoundError):
        runtime.inspect(container)


def test_one_that_removes_itself_is_gone_once_it_stops(subject: Subject) -> None:
    container = subject.start(auto_remove=True)
    subject.runtime.stop(container, timeout_seconds=0)

    def gone() -> bool:
        try:
            subject.runtime.inspect(container)
        except ContainerNotFoundError:
            return True
        return False

    wait_for(gone, "its removal")


def test_a_path_that_is_not_in_a_container(subject: Subject) -> None:
    container = subject.create()

    with (
        pytest.raises(EngineError),
        subject.runtime.get_archive(container, "/nowhere") as chunks,
    ):
        b"".join(chunks)


def test_a_name_is_used_once(subject: Subject) -> None:
    subject.create(name="twice")

    with pytest.raises(ContainerExistsError) as caught:
        subject.create(name="twice")
    assert caught.value.container == "twice"


@pytest.mark.parametrize(
    "changes",
    [
        {"mounts": (Mount(type="volume", target="/v", options="noexec"),)},
        {"mounts": (Mount(type="bind", source="/a:b", target="/v", options="noexec"),)},
        {"mounts": (Mount(type="volume", source="v", target="/v", propagation="shared"),)},
        {"mounts": (Mount(type="bind", source="/tmp", target="/v", no_copy=True),)},
        {
            "mounts": (
                Mount(type="bind", source="/tmp", target="/v", recursive=False, options="noexec"),
            )
        },
        {"mounts": (Mount(type="tmpfs", target="/t", read_only=True),)},
        {"networks": (NetworkAttachment(name="host", aliases=("web",)),)},
        {"networks": (NetworkAttachment(name="podman"), NetworkAttachment(name="none"))},
        {"domainname": "example.org"},
        {"logging": Logging(driver="k8s-file", options={"max-file": "3"})},
    ],
)
def test_what_cannot_be_honoured_is_refused(subject: Subject, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOptionError):
        subject.create(**changes)


def test_an_unknown_container(subject: Subject) -> None:
    runtime = subject.runtime

    for call in (runtime.start, runtime.stop, runtime.inspect):
        with pytest.raises(ContainerNotFoundError):
            call("nobody")
    with pytest.raises(ContainerNotFoundError):
        runtime.exec("nobody", ("true",))
    with pytest.raises(ContainerNotFoundError):
        runtime.put_archive("nobody", "/", [tar_of("f", b"")])
    with (
        pytest.raises(ContainerNotFoundError),
        runtime.checkpoint("nobody", CheckpointSpec()),
    ):
        pass


def test_exec_gives_the_exit_code_and_the_output(subject: Subject) -> None:
    container = subject.start()

    result = subject.runtime.exec(container, EXITS_WITH_3)

    assert (result.exit_code, result.output) == (3, b"out\n")


def test_a_command_that_cannot_start_is_an_error(subject: Subject) -> None:
    container = subject.start()
    with pytest.raises(ExecFailedError, match="nosuch"):
        subject.runtime.exec(container, MISSING)

    subject.runtime.stop(container, timeout_seconds=0)
    with pytest.raises(ExecFailedError):
        subject.runtime.exec(container, ("true",))


def test_containers_are_found_by_all_labels(subject: Subject) -> None:
    both = subject.create(labels={"set": "1", "part": "a"})
    subject.create(labels={"set": "1", "part": "b"})

    found = subject.runtime.find_containers({"set": "1", "part": "a"})

    assert [summary.id for summary in found] == [both]
    assert found[0].labels["part"] == "a"
    assert found[0].state is ContainerState.CREATED
    assert {both} < {summary.id for summary in subject.runtime.containers()}


def test_an_empty_filter_is_refused(subject: Subject) -> None:
    with pytest.raises(ValueError, match="everything"):
        subject.runtime.find_containers({})
    with pytest.raises(ValueError, match="everything"):
        subject.runtime.find_images({})


def test_the_restart_policy_can_be_changed(subject: Subject) -> None:
    container = subject.start(restart=RestartPolicy(name="always"))
    policies = (
        RestartPolicy(name="no"),
        RestartPolicy(name="on-failure", max_retries=3),
        RestartPolicy(name="unless-stopped"),
    )

    for policy in policies:
        subject.runtime.update_restart_policy(container, policy)
        assert subject.runtime.inspect(container).spec.restart == policy


def test_an_archive_is_put_into_a_volume_of_a_created_container(subject: Subject) -> None:
    mount = Mount(type="volume", target="/data")
    container = subject.create(mounts=(mount,))

    subject.runtime.put_archive(container, "/data", iter([tar_of("greeting", b"hello")]))
    subject.runtime.start(container)

    with subject.runtime.get_archive(container, "/data/greeting") as chunks:
        assert content_of(chunks) == b"hello"
    with pytest.raises(EngineError), subject.runtime.get_archive(container, "/data/other"):
        pass


def test_a_damaged_archive_is_not_put(subject: Subject) -> None:
    container = subject.create()

    with pytest.raises(EngineError):
        subject.runtime.put_archive(container, "/", [tar_of("file", b"x" * 5000)[:2000]])


def test_a_health_check_is_carried_without_a_trace_in_the_labels(subject: Subject) -> None:
    check = HealthCheck(
        command=("test", "-e", '/it\'s "here"'),
        interval_seconds=0.5,
        timeout_seconds=2,
        retries=4,
        start_period_seconds=90,
        start_interval_seconds=1,
    )
    container = subject.create(labels={"contract": "health"}, health=check)
    off = subject.create(health=HealthCheck())

    info = subject.runtime.inspect(container)

    assert info.health == info.spec.health == check
    assert {k for k in info.spec.labels if not k.startswith("io.buildah")} == {"contract"}
    assert subject.runtime.inspect(off).health is None


# Checkpoints


def test_a_checkpoint_is_restored_in_place_with_its_memory(subject: Subject) -> None:
    container = subject.start()
    token = subject.token(container)

    subject.archive(container)
    stopped = subject.runtime.inspect(container)
    assert stopped.state is ContainerState.EXITED
    assert stopped.checkpointed
    subject.runtime.restore_in_place(container, RestoreSpec())

    assert not subject.runtime.inspect(container).checkpointed
    assert subject.token(container) == token


@pytest.mark.parametrize("pieces", [0, 1])
def test_hanging_up_early_leaves_the_checkpoint_in_place(subject: Subject, pieces: int) -> None:
    container = subject.start()
    token = subject.token(container)

    with subject.runtime.checkpoint(container, CheckpointSpec()) as chunks:
        for _ in range(pieces):
            next(chunks)
    subject.runtime.restore_in_place(container, RestoreSpec())

    assert subject.token(container) == token


def test_a_checkpoint_may_leave_it_running(subject: Subject) -> None:
    container = subject.start()
    token = subject.token(container)

    with subject.runtime.checkpoint(container, CheckpointSpec(leave_running=True)) as chunks:
        assert b"".join(chunks)

    assert subject.runtime.inspect(container).state is ContainerState.RUNNING
    assert subject.token(container) == token


def test_an_archive_brings_a_removed_container_back(subject: Subject) -> None:
    mount = Mount(type="volume", source="carried", target="/data")
    container = subject.start(
        name="carried", mounts=(mount,), labels={"a": "b"}, restart=RestartPolicy(name="always")
    )
    subject.runtime.update_restart_policy(container, RestartPolicy(name="no"))
    subject.runtime.put_archive(container, "/data", [tar_of("greeting", b"hello")])
    token, before = subject.token(container), subject.runtime.inspect(container)

    archive = subject.archive(container)
    subject.runtime.remove(container)
    subject.runtime.remove_volume("carried")
    restored = subject.runtime.restore(iter([archive]), RestoreSpec(), archive="c1")

    after = subject.runtime.inspect("carried")
    assert restored == after.id == container
    assert after.spec == before.spec
    assert subject.token(container) == token
    with subject.runtime.get_archive(container, "/data/greeting") as chunks:
        assert content_of(chunks) == b"hello"
    subject.runtime.remove(container, force=True)
    subject.runtime.remove_volume("carried")


def test_a_restore_onto_a_volume_that_is_there_and_on_another_port(subject: Subject) -> None:
    mount = Mount(type="volume", source="stays", target="/data")
    container = subject.start(
        name="stays", mounts=(mount,), ports=(Port(container_port=80, host_port=18085),)
    )
    token, archive = subject.token(container), subject.archive(container)
    subject.runtime.remove(container)

    with pytest.raises(RestoreFailedError, match="already exists"):
        subject.runtime.restore([archive], RestoreSpec(), archive="c1")
    published = (Port(container_port=80, host_port=18086, host_ip="127.0.0.1"),)
    spec = RestoreSpec(ignore_volumes=True, publish=published)
    restored = subject.runtime.restore([archive], spec, archive="c1")

    assert subject.token(restored) == token
    assert subject.runtime.inspect(restored).spec.ports == published
    subject.runtime.remove(restored, force=True)
    subject.runtime.remove_volume("stays")


def test_a_container_that_is_there_is_not_restored_again(subject: Subject) -> None:
    container = subject.start(name="there")
    token = subject.token(container)
    archive = subject.archive(container)

    with pytest.raises(ContainerExistsError):
        subject.runtime.restore([archive], RestoreSpec(), archive="c1")
    subject.runtime.restore_in_place(container, RestoreSpec())
    with pytest.raises(ContainerExistsError) as caught:
        subject.runtime.restore([archive], RestoreSpec(name="there"), archive="c1")

    assert caught.value.container == "there"
    assert subject.token(container) == token


def test_a_restore_needs_the_image(subject: Subject) -> None:
    name = "localhost/contract/short-lived:1"
    subject.build(name, labels={"of": "its own"})
    container = subject.start(image=name)
    archive = subject.archive(container)
    subject.runtime.remove(container)
    subject.runtime.remove_image(name)

    with pytest.raises(ImageNotFoundError) as caught:
        subject.runtime.restore([archive], RestoreSpec(), archive="c1")

    assert caught.value.image == name


def test_a_truncated_archive_is_refused(subject: Subject) -> None:
    container = subject.start()
    archive = subject.archive(container)
    subject.runtime.remove(container)

    with pytest.raises(RestoreFailedError) as caught:
        subject.runtime.restore([archive[: len(archive) // 2]], RestoreSpec(), archive="c1")

    assert caught.value.archive == "c1"
    assert container not in {summary.id for summary in subject.runtime.containers()}


@pytest.mark.parametrize(
    "error", [ValueError("not authentic"), ConnectionResetError("store"), EngineError("o", "r")]
)
def test_a_source_that_fails_is_the_error_and_nothing_runs(
    subject: Subject, error: Exception
) -> None:
    container = subject.start()
    archive = subject.archive(container)
    subject.runtime.remove(container)

    def source() -> Iterator[bytes]:
        yield archive[:-1]
        raise error

    with pytest.raises(type(error)) as caught:
        subject.runtime.restore(source(), RestoreSpec(), archive="c1")

    assert caught.value is error
    running = (s.id for s in subject.runtime.containers() if s.state is ContainerState.RUNNING)
    assert container not in running


def test_a_dump_s_statistics_have_come_by_when_all_is_read(subject: Subject) -> None:
    container = subject.start()

    with subject.runtime.checkpoint(container, CheckpointSpec()) as chunks:
        for _ in chunks:
            pass

    assert chunks.statistics["pages_written"] > 0


def test_nothing_of_a_plain_container_is_lost(subject: Subject) -> None:
    mount = Mount(type="volume", target="/data")

    container = subject.start(mounts=(mount,))

    # An engine can be out of sight for a moment; its layer is then fetched in another way.
    wait_for(lambda: subject.runtime.unkept(container) == (), "a sight of the layer")
    with pytest.raises(ContainerNotFoundError):
        subject.runtime.unkept("nobody")


def test_only_a_running_container_is_checkpointed(subject: Subject) -> None:
    created = subject.create()

    with (
        pytest.raises(CheckpointUnsupportedError, match="created, not running"),
        subject.runtime.checkpoint(created, CheckpointSpec()),
    ):
        pass


def test_a_container_that_removes_itself_is_not_checkpointed(subject: Subject) -> None:
    container = subject.start(auto_remove=True)
    assert subject.runtime.inspect(container).auto_remove

    with (
        pytest.raises(CheckpointUnsupportedError, match="--rm"),
        subject.runtime.checkpoint(container, CheckpointSpec()),
    ):
        pass

    assert subject.runtime.inspect(container).state is ContainerState.RUNNING


def test_what_has_no_checkpoint_is_not_restored_in_place(subject: Subject) -> None:
    container = subject.create()

    with pytest.raises(RestoreFailedError):
        subject.runtime.restore_in_place(container, RestoreSpec())
    with pytest.raises(ContainerNotFoundError):
        subject.runtime.restore_in_place("nobody", RestoreSpec())


def test_a_cold_start_from_what_inspect_says(subject: Subject) -> None:
    spec = RunSpec(
        name="cold",
        image=subject.image,
        command=("sh", "-c", "while :; do sleep 1; done"),
        env={"A": "b=c"},
        hostname="mail",
        user="0",
        stop_timeout_seconds=1,
        security=Security(cap_drop=("CAP_CHOWN",), read_only_rootfs=True),
        limits=Limits(memory_bytes=1 << 26),
        mounts=(Mount(type="tmpfs", target="/scratch", options="size=1m"),),
    )
    subject.made.append("cold")
    subject.runtime.run(spec)
    first = subject.runtime.inspect("cold").spec

    subject.runtime.remove("cold")
    subject.runtime.run(first)

    assert subject.runtime.inspect("cold").spec == first
    assert (first.command, first.hostname, first.env["A"]) == (spec.command, "mail", "b=c")
    assert first.security == spec.security
    assert first.limits.memory_bytes == 1 << 26


def test_an_initialized_container_starts(subject: Subject) -> None:
    container = subject.create(mounts=[{"type": "volume", "source": "", "target": "/data"}])

    subject.runtime.initialize(container)

    assert subject.runtime.inspect(container).state is not ContainerState.RUNNING
    subject.runtime.start(container)
    assert subject.token(container)


def test_what_is_not_there_is_not_initialized(subject: Subject) -> None:
    with pytest.raises(ContainerNotFoundError):
        subject.runtime.initialize("nosuch")


def cold_archive(subject: Subject, container: str, spec: ColdSpec | None = None) -> bytes:
    with subject.runtime.cold_copy(container, spec or ColdSpec()) as chunks:
        assert subject.runtime.inspect(container).state is ContainerState.EXITED
        return b"".join(chunks)


def parts_of(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = (member for member in opened if member.isfile())
        members = ((member.name, opened.extractfile(member)) for member in files)
        return {name: content.read() for name, content in members if content}


def test_a_cold_copy_has_the_files_and_no_memory(subject: Subject) -> None:
    container = subject.start(mounts=[{"type": "volume", "source": "", "target": "/data"}])
    subject.runtime.put_archive(container, "/", [tar_of("mine", b"new")])
    subject.runtime.put_archive(container, "/data", [tar_of("log", b"line")])
    (volume,) = subject.runtime.inspect(container).volumes

    assert subject.runtime.cold_blocker(container) == ""
    parts = parts_of(cold_archive(subject, container))

    assert set(parts) <= {"rootfs-diff.tar", "deleted.files", f"volumes/{volume}.tar"}
    assert parts_of(parts["rootfs-diff.tar"])["mine"] == b"new"
    assert parts_of(parts[f"volumes/{volume}.tar"])["log"] == b"line"


def test_a_cold_copy_without_volumes(subject: Subject) -> None:
    container = subject.start(mounts=[{"type": "volume", "source": "", "target": "/data"}])
    parts = parts_of(cold_archive(subject, container, ColdSpec(ignore_volumes=True)))
    assert not any(name.startswith("volumes/") for name in parts)


def test_what_a_cold_copy_stopped_starts_anew(subject: Subject) -> None:
    container = subject.start()
    token = subject.token(container)
    cold_archive(subject, container, ColdSpec(stop_timeout_seconds=0))
    assert not subject.runtime.inspect(container).checkpointed
    subject.runtime.start(container)
    assert subject.token(container) != token


def test_only_a_running_container_is_copied(subject: Subject) -> None:
    created = subject.create()
    assert "created, not running" in subject.runtime.cold_blocker(created)
    with (
        pytest.raises(CheckpointUnsupportedError, match="created, not running"),
        subject.runtime.cold_copy(created, ColdSpec()),
    ):
        pass
    for ask in (subject.runtime.cold_blocker, lambda c: subject.runtime.remove_paths(c, ["/x"])):
        with pytest.raises(ContainerNotFoundError):
            ask("nobody")


def test_a_container_that_removes_itself_is_not_copied(subject: Subject) -> None:
    container = subject.start(auto_remove=True)
    with (
        pytest.raises(CheckpointUnsupportedError, match="--rm"),
        subject.runtime.cold_copy(container, ColdSpec()),
    ):
        pass
    assert subject.runtime.inspect(container).state is ContainerState.RUNNING


def test_files_are_removed_from_a_created_container(subject: Subject) -> None:
    container = subject.create()
    subject.runtime.put_archive(container, "/", [tar_of("mine", b"new")])
    subject.runtime.remove_paths(container, ["/mine", "/no/such"])
    with pytest.raises(EngineError), subject.runtime.get_archive(container, "/mine") as chunks:
        content_of(chunks)
