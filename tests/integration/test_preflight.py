"""What cannot work is said before the source is touched: obstacles put in the way for real.

Most of them Podman itself would tell only after the container was stopped.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podferry import Outcome, RunSpec, Severity
from runtime import (
    CANARY_LABEL,
    BuildSpec,
    CanaryState,
    Mount,
    NetworkAttachment,
    NetworkSpec,
    Port,
    Security,
    Subnet,
    VolumeSpec,
    build_context,
)
from runtime.canary_image import STEM
from tests.fleet import IMAGE, Fleet, Workload, eventually

pytestmark = pytest.mark.integration

Answer = dict[str, Any]


def asked(fleet: Fleet, workload: Workload, *words: str, code: int) -> Answer:
    """What ``podferry preflight`` answers."""
    done = fleet.run("preflight", workload.name, "--to", "b", "-o", "json", *words)
    assert done.returncode == code, done.stdout + done.stderr
    answer: Answer = json.loads(done.stdout)
    return answer


def codes(answer: Answer, severity: Severity) -> list[str]:
    return [f["code"] for f in answer["findings"] if f["severity"] == severity]


def refused(fleet: Fleet, workload: Workload, code: str) -> None:
    """Both the question and the move end with this blocker alone, and nothing was stopped."""
    answer = asked(fleet, workload, code=1)
    assert codes(answer, Severity.BLOCKER) == [code]
    assert not answer["movable"]

    untouched = fleet.workflow("migrate", workload.name, "--to", "b", code=1)

    assert untouched.outcome is Outcome.UNTOUCHED
    assert not untouched.source_stopped
    assert untouched.touched is None
    [found] = [f for f in fleet.client.findings(untouched.id) if f.code == code]
    assert found.message in untouched.reason
    assert found.cure in fleet.run("status", untouched.id, "-o", "json").stdout


def refused_alive(fleet: Fleet, workload: Workload, code: str, spec: RunSpec | None = None) -> None:
    """The same of a workload that counts on host a, all the time."""
    before = workload.start(spec)
    refused(fleet, workload, code)
    assert before.lives_on_in(workload.counting("a"))


def test_nothing_is_in_the_way_of_a_plain_move(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(volume=True))

    answer = asked(fleet, workload, "--canary", code=0)

    assert answer == {**answer, "movable": True, "reason": "", "findings": []}
    assert before.lives_on_in(workload.counting("a"))
    assert workload.absent("b")
    assert fleet.run("preflight", workload.name, "--to", "b").stdout.strip() == (
        f"{workload.name} can move from a to b"
    )


@pytest.fixture
def other(fleet: Fleet, workload: Workload) -> Iterator[Workload]:
    """Another workload, gone before the first one is."""
    made = Workload(fleet, "other")
    yield made
    made.forget()


def test_volume_exists(fleet: Fleet, workload: Workload) -> None:
    fleet.runtime("b").create_volume(VolumeSpec(name=workload.volume))
    refused_alive(fleet, workload, "volume-exists", workload.spec(volume=True))


def test_volume_is_shared(fleet: Fleet, workload: Workload, other: Workload) -> None:
    mounts = workload.spec(volume=True).mounts
    fleet.runtime("a").run(other.spec().model_copy(update={"mounts": mounts}))
    refused_alive(fleet, workload, "volume-shared", workload.spec(volume=True))


def test_name_is_in_use(fleet: Fleet, workload: Workload) -> None:
    fleet.runtime("b").run(workload.spec())
    before = workload.start()
    answer = asked(fleet, workload, "--from", "a", code=1)
    assert codes(answer, Severity.BLOCKER) == ["name-in-use"]
    assert before.lives_on_in(workload.counting("a"))


def test_port_is_published_by_another_container(
    fleet: Fleet, workload: Workload, other: Workload
) -> None:
    ports = (Port(container_port=80, host_port=8099),)
    other.start(other.spec(ports=ports), host="b")
    before = workload.start(workload.spec(ports=ports))
    refused(fleet, workload, "port-taken")
    assert before.lives_on_in(workload.counting("a"))


def test_port_is_taken_by_a_process(fleet: Fleet, workload: Workload) -> None:
    words = fleet.lab.command("enter", "b", "--", "busybox", "nc", "-l", "-p", "8098")
    with subprocess.Popen(words) as process:
        try:
            before = workload.start(workload.spec(ports=(Port(container_port=80, host_port=8098),)))
            eventually(
                lambda: asked_codes(fleet, workload) == ["port-taken"], "the listener is not seen"
            )
            assert before.lives_on_in(workload.counting("a"))
        finally:
            fleet.lab.enter("b", "busybox", "nc", "-w", "1", "127.0.0.1", "8098")
            process.kill()


def asked_codes(fleet: Fleet, workload: Workload) -> list[str]:
    done = fleet.run("preflight", workload.name, "--to", "b", "-o", "json")
    return codes(json.loads(done.stdout), Severity.BLOCKER)


def test_bind_mount_has_no_source_on_the_target(fleet: Fleet, workload: Workload) -> None:
    path = f"/srv/{workload.name}"
    assert fleet.lab.enter("a", "mkdir", path).returncode == 0
    mount = Mount(type="bind", source=path, target="/srv")
    before = workload.start(workload.spec().model_copy(update={"mounts": (mount,)}))

    refused(fleet, workload, "bind-missing")
    assert before.lives_on_in(workload.counting("a"))

    assert fleet.lab.enter("b", "mkdir", path).returncode == 0
    answer = asked(fleet, workload, code=0)
    assert codes(answer, Severity.WARNING) == ["bind-content"]
    fleet.workflow("migrate", workload.name, "--to", "b")
    assert before.lives_on_in(workload.counting("b"))


def test_bind_mount_of_a_link(fleet: Fleet, workload: Workload) -> None:
    path = f"/srv/{workload.name}"
    script = f"mkdir {path}.real && ln -s {path}.real {path}"
    for host in ("a", "b"):
        assert fleet.lab.enter(host, "sh", "-c", script).returncode == 0
    mount = Mount(type="bind", source=path, target="/srv")
    spec = workload.spec().model_copy(update={"mounts": (mount,)})
    refused_alive(fleet, workload, "bind-link", spec)


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("--init", "bind-link"),  # Debian's is a link
        (f"--mount=type=image,source={IMAGE},destination=/im", "overlay-mount"),
        ("-v=/etc:/o:O", "overlay-mount"),
    ],
)
def test_option_that_criu_does_not_restore(
    fleet: Fleet, workload: Workload, option: str, code: str
) -> None:
    words = ("podman", "run", "-d", "--name", workload.name, option, IMAGE)
    assert fleet.lab.enter("a", *words).returncode == 0
    before = workload.counting("a")
    refused(fleet, workload, code)
    assert before.lives_on_in(workload.counting("a"))


def test_socket_of_the_host_is_mounted(fleet: Fleet, workload: Workload) -> None:
    # /var/run is a symbolic link there, which the look has to follow on the host, not elsewhere
    mount = Mount(type="bind", source="/var/run/podman/podman.sock", target="/engine.sock")
    before = workload.start(workload.spec().model_copy(update={"mounts": (mount,)}))
    answer = asked(fleet, workload, code=0)
    assert codes(answer, Severity.WARNING) == ["host-socket"]
    fleet.workflow("migrate", workload.name, "--to", "b")  # nothing is connected
    assert before.lives_on_in(workload.counting("b"))


@pytest.fixture
def networks(fleet: Fleet, workload: Workload) -> Iterator[str]:
    """Another network's name, gone from both hosts afterwards."""
    other = f"{workload.name}-other"
    yield other
    workload.forget()
    for host in ("a", "b"):
        fleet.runtime(host).remove_network(other)


def joined(workload: Workload) -> RunSpec:
    return workload.spec(networks=(NetworkAttachment(name=workload.network),))


def moves_with_a_warning(fleet: Fleet, workload: Workload, code: str) -> None:
    """The old address cannot be had on host b: a new one is given, and nothing else is lost."""
    before = workload.start(joined(workload))
    assert [finding["code"] for finding in asked(fleet, workload, code=0)["findings"]] == [code]
    moved = fleet.workflow("migrate", workload.name, "--to", "b")
    assert moved.outcome is Outcome.MOVED
    assert before.lives_on_in(workload.counting("b"))


def test_subnet_of_the_missing_network_is_taken(
    fleet: Fleet, workload: Workload, networks: str
) -> None:
    subnet = Subnet(subnet="10.231.7.0/24")
    fleet.runtime("a").create_network(NetworkSpec(name=workload.network, subnets=(subnet,)))
    fleet.runtime("b").create_network(NetworkSpec(name=networks, subnets=(subnet,)))
    moves_with_a_warning(fleet, workload, "subnet-conflict")


def test_network_has_another_subnet_on_the_target(fleet: Fleet, workload: Workload) -> None:
    for host, subnet in (("a", "10.231.8.0/24"), ("b", "10.231.9.0/24")):
        spec = NetworkSpec(name=workload.network, subnets=(Subnet(subnet=subnet),))
        fleet.runtime(host).create_network(spec)
    before = workload.start(joined(workload))
    found = asked(fleet, workload, code=0)["findings"]
    assert {finding["code"] for finding in found} == {"address-outside", "network-differs"}
    assert fleet.workflow("migrate", workload.name, "--to", "b").outcome is Outcome.MOVED
    assert before.lives_on_in(workload.counting("b"))


def test_address_is_taken(fleet: Fleet, workload: Workload, other: Workload) -> None:
    for host in ("a", "b"):
        fleet.runtime(host).create_network(NetworkSpec(name=workload.network))
    other.start(joined(workload).model_copy(update={"name": other.name}), host="b")
    moves_with_a_warning(fleet, workload, "address-taken")


def test_fixed_address_is_taken(fleet: Fleet, workload: Workload, other: Workload) -> None:
    subnet = Subnet(subnet="10.231.10.0/24")
    network = NetworkSpec(name=workload.network, subnets=(subnet,))
    for host in ("a", "b"):
        fleet.runtime(host).create_network(network)
    place = NetworkAttachment(name=workload.network, ipv4="10.231.10.7")
    spec = workload.spec(networks=(place,))
    other.start(spec.model_copy(update={"name": other.name}), host="b")
    refused_alive(fleet, workload, "address-taken", spec)


def test_image_that_nobody_could_load(fleet: Fleet, workload: Workload, tmp_path: Path) -> None:
    image = f"localhost/{workload.name}:1"

    def build(label: str) -> None:
        (tmp_path / "Containerfile").write_text(f"FROM {IMAGE}\nLABEL build={label}\n")
        context = build_context(tmp_path)
        fleet.runtime("a").build(BuildSpec(tag=image), context, on_log=lambda _: None)

    build("old")
    before = workload.start(workload.spec(image=image))
    build("new")
    try:
        refused(fleet, workload, "image-unavailable")
        assert before.lives_on_in(workload.counting("a"))
    finally:
        old = fleet.runtime("a").inspect(workload.name).image_id
        workload.forget()
        for name in (image, old):
            fleet.runtime("a").remove_image(name)


def test_container_that_vanishes_when_it_stops(fleet: Fleet, workload: Workload) -> None:
    spec = workload.spec(auto_remove=True)
    refused_alive(fleet, workload, "auto-remove", spec)


def test_stopped_container(fleet: Fleet, workload: Workload) -> None:
    workload.start()
    fleet.runtime("a").stop(workload.name)
    refused(fleet, workload, "not-running")


def test_container_that_mounts_a_secret(fleet: Fleet, workload: Workload) -> None:
    for host in ("a", "b"):
        made = fleet.lab.enter(
            host, "sh", "-c", f"echo hush | podman secret create {workload.name} -"
        )
        assert made.returncode == 0, made.stderr
    words = ("podman", "run", "-d", "--name", workload.name, "--secret", workload.name, IMAGE)
    try:
        assert fleet.lab.enter("a", *words).returncode == 0
        before = workload.counting("a")
        refused(fleet, workload, "secret")
        assert before.lives_on_in(workload.counting("a"))
    finally:
        for host in ("a", "b"):
            fleet.lab.enter(host, "podman", "secret", "rm", workload.name)


def test_container_that_shares_a_network_namespace(
    fleet: Fleet, workload: Workload, other: Workload
) -> None:
    other.start()
    spec = workload.spec(networks=(NetworkAttachment(name=f"container:{other.name}"),))
    refused_alive(fleet, workload, "dependencies", spec)
    workload.forget()  # before the one whose network it shares


@pytest.fixture(scope="module")
def undumpable(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image whose program holds what CRIU cannot dump."""
    context = tmp_path_factory.mktemp("undumpable")
    source = Path(__file__).with_name("undumpable.c")
    program = context / "undumpable"
    subprocess.run(["gcc", "-static", "-O2", "-o", str(program), str(source)], check=True)
    (context / "Containerfile").write_text(f"FROM {IMAGE}\nCOPY undumpable /bin/undumpable\n")
    image = "localhost/undumpable:latest"
    fleet.runtime("a").build(BuildSpec(tag=image), build_context(context), on_log=lambda _: None)
    yield image
    fleet.runtime("a").remove_image(image)


@pytest.mark.parametrize(("holds", "code"), [("mptcp", "mptcp"), ("io_uring", "io-uring")])
def test_what_criu_cannot_dump(
    fleet: Fleet, workload: Workload, undumpable: str, holds: str, code: str
) -> None:
    spec = workload.spec(
        image=undumpable,
        command=("undumpable", holds),
        security=Security(options=("seccomp=unconfined",)),  # the default forbids io_uring
    )
    runtime = fleet.runtime("a")
    runtime.start(runtime.run(spec))
    eventually(lambda: code in asked_codes(fleet, workload), f"{holds} is not seen")
    refused(fleet, workload, code)
    assert runtime.inspect(workload.name).pid


def test_target_without_criu_is_found_by_a_canary(fleet: Fleet, workload: Workload) -> None:
    before = workload.start()
    with fleet.without_criu("b"):
        assert codes(asked(fleet, workload, code=0), Severity.BLOCKER) == []
        answer = asked(fleet, workload, "--canary", code=1)
        assert codes(answer, Severity.BLOCKER) == ["criu-failed"]
        # Its worker's word is from now on that it failed, so the move does not begin.
        refused(fleet, workload, "criu-failed")
        [host] = [h for h in fleet.client.hosts() if h.host == "b"]
        assert host.canary.state is CanaryState.FAILED
        assert "criu" in host.canary.reason
    # It is tried again before it refuses a move.
    fleet.workflow("migrate", workload.name, "--to", "b")
    assert before.lives_on_in(workload.counting("b"))
    [host] = [h for h in fleet.client.hosts() if h.host == "b"]
    assert host.canary.state is CanaryState.OK


def test_canary_is_never_listed_and_removes_what_a_killed_one_left(
    fleet: Fleet, workload: Workload
) -> None:
    runtime = fleet.runtime("b")
    left = f"{STEM}-1000-dead"
    runtime.start(runtime.run(RunSpec(name=left, image=IMAGE, labels={CANARY_LABEL: "1"})))
    workload.start(host="b")

    shown = fleet.run("ps").stdout  # waits for fresh inventories
    assert workload.name in shown
    assert left not in shown

    canary = runtime.canary()

    assert canary.state is CanaryState.OK, canary.reason
    assert canary.criu_version
    assert canary.seconds > 0
    assert runtime.find_containers({CANARY_LABEL: "1"}) == []
    assert runtime.find_images({CANARY_LABEL: "1"}) == []
