"""Images on real Podman: pulled from a registry, built with secrets, builds that are given up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import (
    BuildSpec,
    BuildStep,
    ImageNotFoundError,
    PodmanRuntime,
    PullFailedError,
    PullProgress,
    RunSpec,
    build_context,
    containerfile_name,
)
from tests import registry
from tests.contract.conftest import CONTAINERFILE, busybox_of, wait_for, write_context
from tests.lab import Lab, lab

pytestmark = pytest.mark.integration

PORT = 5555
HELLO = f"127.0.0.1:{PORT}/{registry.NAME}:{registry.TAG}"
PLAIN_HTTP = f'[[registry]]\nlocation = "127.0.0.1:{PORT}"\ninsecure = true\n'
USES_A_SECRET = """\
RUN --mount=type=secret,id=token cat /run/secrets/token | md5sum > /sum
COPY . /context
"""
SLOW = 'RUN ["sh", "-c", "sleep 3; touch /slow"]\nRUN ["touch", "/never"]\n'


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab(["a"]) as made:
        write = f"mkdir -p /etc/containers/registries.conf.d && printf '{PLAIN_HTTP}' > "
        write += "/etc/containers/registries.conf.d/plain.conf"
        assert made.enter("a", "sh", "-c", write).returncode == 0
        made.call("stop", "a")  # Podman reads it once
        made.call("start", "a")
        yield made


@pytest.fixture(scope="module")
def runtime(host: Lab) -> Iterator[PodmanRuntime]:
    runtime = PodmanRuntime(host.socket("a"))
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def served(host: Lab) -> Iterator[None]:
    """A registry in the host's network."""
    words = host.command("exec", "a", "--", sys.executable, registry.__file__, str(PORT))
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        process.stdin.close()


@pytest.fixture
def context(host: Lab, tmp_path: Path) -> Path:
    return write_context(tmp_path, busybox_of(host, "a"))


@pytest.mark.usefixtures("served")
def test_an_image_is_pulled_with_progress(runtime: PodmanRuntime) -> None:
    told: list[PullProgress] = []

    image = runtime.pull(HELLO, on_progress=told.append)

    assert image.from_registry
    assert image.labels == {"of": "the registry"}
    assert image.id == runtime.image(HELLO).id
    layers = [progress for progress in told if progress.layer]
    assert any(progress.status for progress in layers)
    assert [i.id for i in runtime.find_images({"of": "the registry"})] == [image.id]
    runtime.remove_image(image.id)


@pytest.mark.usefixtures("served")
def test_a_pull_that_fails_says_whether_there_is_such_an_image(runtime: PodmanRuntime) -> None:
    with pytest.raises(ImageNotFoundError):
        runtime.pull(HELLO.replace(":1", ":2"))
    with pytest.raises(PullFailedError, match="connection refused"):
        runtime.pull("127.0.0.1:1/nobody/listens:1")


@pytest.mark.usefixtures("served")
def test_an_exception_of_a_listener_ends_a_pull(runtime: PodmanRuntime) -> None:
    def tired(progress: PullProgress) -> None:
        raise KeyError(progress.status)

    with pytest.raises(KeyError):
        runtime.pull(HELLO, on_progress=tired)
    runtime.ping()
    wait_for(lambda: _gone(runtime, HELLO), "the end of the pull")


def _gone(runtime: PodmanRuntime, name: str) -> bool:
    """Whether the image is not there, or can be removed: the pull may have been done already."""
    runtime.remove_image(name)
    return not runtime.find_images({"of": "the registry"})


def test_a_secret_is_used_and_stays_out_of_the_image(runtime: PodmanRuntime, context: Path) -> None:
    (context / "Containerfile").write_text(CONTAINERFILE + USES_A_SECRET)
    spec = BuildSpec(tag="localhost/images/secret:1", secrets={"token": "hunter2"})

    runtime.build(spec, build_context(context), on_log=lambda line: None)
    with runtime.save_image(spec.tag) as chunks:
        saved = b"".join(chunks)
    container = runtime.run(RunSpec(name="secret", image=spec.tag))

    with runtime.get_archive(container, "/sum") as chunks:
        assert b"2ab96390c7dbe3439de74d0c9b0b1767" in b"".join(chunks)
    assert b"hunter2" not in saved
    assert b"podman-build-secret" not in saved
    runtime.remove(container)


def test_a_build_that_is_given_up_ends_on_the_host(
    runtime: PodmanRuntime, context: Path, host: Lab
) -> None:
    (context / "Containerfile").write_text(CONTAINERFILE + SLOW)
    spec = BuildSpec(tag="localhost/images/abandoned:1", no_cache=True)

    class GivenUpError(Exception):
        pass

    def give_up(step: BuildStep) -> None:
        if "slow" in step.instruction:
            raise GivenUpError

    with pytest.raises(GivenUpError):
        runtime.build(spec, build_context(context), on_log=lambda line: None, on_step=give_up)

    def at_rest() -> bool:
        return host.enter("a", "ls", "/var/tmp").stdout == ""  # where a build keeps its context

    wait_for(at_rest, "the end of the build")
    with pytest.raises(ImageNotFoundError):
        runtime.image(spec.tag)
    left = host.enter("a", "podman", "ps", "-a", "--external", "--format", "{{.Names}}").stdout
    assert "working" not in left


def test_a_containerfile_outside_the_context(
    runtime: PodmanRuntime, context: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("deploy") / "Containerfile"
    outside.write_text(CONTAINERFILE + 'LABEL of="outside"\nARG WHO\nENV WHO=$WHO\n')
    name = containerfile_name(context, str(outside))
    spec = BuildSpec(
        tag="localhost/images/outside:1",
        containerfile=name,
        build_args={"WHO": "me"},
        labels={"x": "y"},
        platform="linux/amd64",
    )

    image = runtime.build(
        spec, build_context(context, containerfile=str(outside)), on_log=lambda line: None
    )

    assert image.labels.items() >= {"of": "outside", "x": "y"}.items()
    assert image.architecture == "amd64"
    container = runtime.run(RunSpec(name="outside", image=spec.tag))
    assert runtime.inspect(container).spec.env["WHO"] == "me"
    runtime.remove(container)


def test_a_target_of_several_stages(runtime: PodmanRuntime, context: Path) -> None:
    text = CONTAINERFILE.replace("scratch", "scratch AS first") + "FROM first AS second\n"
    (context / "Containerfile").write_text(text + "RUN ['false']\n")
    spec = BuildSpec(tag="localhost/images/first:1", target="first")

    assert runtime.build(spec, build_context(context), on_log=lambda line: None).names == (
        spec.tag,
    )
