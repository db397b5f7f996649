"""Every option of a RunSpec on real Podman: asked for, shown by inspect, and made again from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from runtime import (
    CheckpointSpec,
    Device,
    Dns,
    EngineError,
    HealthCheck,
    Limits,
    Logging,
    Mount,
    Namespaces,
    NetworkAttachment,
    NetworkSpec,
    PodmanRuntime,
    Port,
    RestartPolicy,
    RestoreSpec,
    RunSpec,
    Security,
    Subnet,
    Ulimit,
)
from tests.contract.conftest import KEEPS_A_TOKEN, Subject, busybox_of, wait_for, write_context
from tests.lab import Lab, lab

pytestmark = pytest.mark.integration

IMAGE = "localhost/options/shell:1"
# Podman names a device by looking through /dev, where the lab's own nodes are bind mounts.
DEVICE = "/dev/podferry-test"
# The image's own settings show which of a spec's override them.
OF_THE_IMAGE = """\
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["exit 1"]
ENV FROM_IMAGE=yes
HEALTHCHECK CMD false
"""

EVERYTHING = RunSpec(
    name="everything",
    image=IMAGE,
    entrypoint=("/bin/sh", "-c"),
    command=("while :; do sleep 0.1; done",),
    env={"A": "b=c", "FROM_IMAGE": "no"},
    labels={"l": "v"},
    user="0:0",
    workdir="/srv/work",
    hostname="mail.example.org",
    extra_hosts={"db": "10.1.1.1", "six": "fd00::1"},
    mounts=(
        Mount(type="bind", source="/srv", target="/bind", read_only=True),
        Mount(type="bind", source="/srv", target="/flat", recursive=False),
        Mount(type="bind", source="/srv", target="/slave", propagation="rslave", options="noexec"),
        Mount(type="tmpfs", target="/tmpfs", options="size=1m,mode=700"),
        Mount(type="volume", source="options-a", target="/volume", read_only=True),
        Mount(type="volume", source="options-b", target="/volume-b", no_copy=True),
    ),
    ports=(
        Port(container_port=53, host_port=10053, protocol="udp"),
        Port(container_port=80, host_port=10080, host_ip="127.0.0.1"),
    ),
    networks=(
        NetworkAttachment(name="options-a", aliases=("web",), ipv4="10.71.0.10"),
        NetworkAttachment(
            name="options-b", aliases=("db",), ipv6="fd00:71::10", mac="02:42:ac:11:00:08"
        ),
    ),
    dns=Dns(servers=("10.9.9.9",), search=("example.com",), options=("ndots:2",)),
    restart=RestartPolicy(name="on-failure", max_retries=4),
    health=HealthCheck(
        command=("test", "-e", "/bin/sh  with 'odd' \"words\""),
        interval_seconds=5,
        timeout_seconds=4,
        retries=7,
        start_period_seconds=2,
    ),
    limits=Limits(
        memory_bytes=1 << 27,
        memory_swap_bytes=1 << 28,
        memory_reservation_bytes=1 << 26,
        cpus=0.5,
        cpu_shares=512,
        cpuset_cpus="0",
        cpuset_mems="0",
        pids=100,
        shm_bytes=1 << 20,
        oom_score_adj=100,
        ulimits=(Ulimit(name="nofile", soft=512, hard=1000),),
    ),
    security=Security(
        read_only_rootfs=True,
        cap_add=("CAP_NET_ADMIN",),
        cap_drop=("CAP_CHOWN",),
        options=("no-new-privileges", "seccomp=unconfined"),
        groups=("44",),
    ),
    namespaces=Namespaces(ipc="private"),
    devices=(Device(source=DEVICE, target="/dev/inside", permissions="r"),),
    sysctls={"net.ipv4.ip_forward": "1"},
    logging=Logging(driver="k8s-file", options={"max-size": "10MB"}),
    init=True,
    tty=True,
    stdin_open=True,
    stop_signal="SIGUSR1",
    stop_timeout_seconds=3,
)
MADE_UP = {"PATH", "TERM", "HOME"}  # variables that every container gets


@pytest.fixture(scope="module")
def host() -> Iterator[Lab]:
    with lab(["a"]) as made:
        entered = made.enter("a", "sh", "-c", f"mknod {DEVICE} c 10 229 && mkdir -p /srv")
        assert entered.returncode == 0, entered.stderr
        yield made


@pytest.fixture(scope="module")
def everywhere(host: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    context = write_context(tmp_path_factory.mktemp("context"), busybox_of(host, "a"))
    with (context / "Containerfile").open("a") as file:
        file.write(OF_THE_IMAGE)
    runtime = PodmanRuntime(host.socket("a"))
    subject = Subject(runtime=runtime, context=context, image=IMAGE)
    subject.build(IMAGE)
    for name, subnet in (("options-a", "10.71.0.0/24"), ("options-b", "fd00:71::/64")):
        runtime.create_network(
            NetworkSpec(name=name, subnets=(Subnet(subnet=subnet),), ipv6=":" in subnet)
        )
    yield subject
    runtime.close()


@pytest.fixture
def subject(everywhere: Subject) -> Iterator[Subject]:
    yield everywhere
    everywhere.clean()


def made(subject: Subject, spec: RunSpec) -> RunSpec:
    """Make and start a container, and return what inspect says that it was made from."""
    subject.made.append(spec.name)
    subject.runtime.remove(spec.name, force=True)
    container = subject.runtime.run(spec)

    def started() -> bool:
        try:
            subject.runtime.start(container)
        except EngineError as error:  # the removed one's monitor gives its ports up a bit later
            if "address already in use" not in error.reason:
                raise
            return False
        return True

    wait_for(started, "the ports of the one before")
    return subject.runtime.inspect(spec.name).spec


def essence(spec: RunSpec) -> dict[str, Any]:
    """A spec without what its image and the engine add."""
    told = spec.model_dump()
    told["env"] = {name: value for name, value in spec.env.items() if name not in MADE_UP}
    told["labels"] = {k: v for k, v in spec.labels.items() if not k.startswith("io.buildah")}
    for mount in told["mounts"]:
        if mount["type"] == "tmpfs":
            mount["options"] = mount["options"].removesuffix(",rw,rprivate,nosuid,nodev,tmpcopyup")
    return told


def test_everything_that_was_asked_for_is_what_inspect_shows(subject: Subject) -> None:
    assert essence(made(subject, EVERYTHING)) == essence(EVERYTHING)


def test_a_container_made_from_inspect_inspects_the_same(subject: Subject) -> None:
    first = made(subject, EVERYTHING)

    assert made(subject, first) == first


def test_what_inspect_hides_arrived_in_the_container(subject: Subject, host: Lab) -> None:
    made(subject, EVERYTHING)
    runtime = subject.runtime
    script = (
        "cat /proc/sys/net/ipv4/ip_forward; ulimit -n; stat -c %a /tmpfs; ip addr; id -G;"
        " cat /etc/resolv.conf; hostname; echo x > /dev/inside; touch /file /volume/file"
    )

    said = runtime.exec("everything", ("sh", "-c", script)).output.decode()

    for piece in ("1\n512\n700\n", "10.71.0.10/24", "fd00:71::10/64", "02:42:ac:11:00:08"):
        assert piece in said
    for piece in ("0 44", "search example.com", "ndots:2", "mail.example.org"):
        assert piece in said
    for refused in ("/dev/inside: Operation not permitted", "/file: Read-only", "/volume/file: R"):
        assert refused in said


def test_no_option_is_carried_of_a_container_without_any(subject: Subject) -> None:
    bare = RunSpec(name="bare", image=IMAGE, command=("while :; do sleep 1; done",))

    spec = made(subject, bare)

    image = {"entrypoint", "health", "env", "labels", "workdir"}
    image |= {"stop_signal", "stop_timeout_seconds"}
    told = spec.model_dump(exclude=image)
    assert told == bare.model_dump(exclude=image)


def test_an_empty_entrypoint_and_a_switched_off_check_stay_so(subject: Subject) -> None:
    command = ("sh", "-c", "while :; do sleep 0.1; done")
    asked = RunSpec(name="clear", image=IMAGE, entrypoint=(), command=command, health=HealthCheck())

    spec = made(subject, asked)

    assert (spec.entrypoint, spec.command, spec.health) == ((), command, HealthCheck())
    assert subject.runtime.inspect("clear").health is None
    assert made(subject, spec) == spec


@pytest.mark.parametrize(
    "options",
    [
        {"security": Security(privileged=True)},
        {"networks": (NetworkAttachment(name="host"),), "namespaces": Namespaces(uts="host")},
        {"networks": (NetworkAttachment(name="none"),)},
        {"namespaces": Namespaces(pid="host", ipc="host")},
        {"limits": Limits(pids=0, memory_bytes=1 << 27, memory_swap_bytes=1 << 27)},
        {"limits": Limits(memory_bytes=1 << 27, memory_swap_bytes=-1)},
        {"limits": Limits(cpu_period_microseconds=50_000, cpu_quota_microseconds=20_000)},
        {"auto_remove": True},
        {"health": HealthCheck(command=("/bin/sh", "-c", "true && test -e '/a b'"))},
        {"logging": Logging(driver="none")},
        {"mounts": (Mount(type="volume", target="/anonymous"),)},
        {"ports": (Port(container_port=80, host_port=0),)},
        {"security": Security(cap_drop=("ALL",), cap_add=("CAP_CHOWN",))},
        {"stop_signal": "SIGRTMIN+3"},
    ],
    ids=" ".join,
)
def test_modes_and_extremes_are_made_again_as_they_were(
    subject: Subject, options: dict[str, Any]
) -> None:
    asked = RunSpec(
        name="extreme",
        image=IMAGE,
        command=("while :; do sleep 0.1; done",),
        stop_timeout_seconds=0,
    ).model_copy(update=options)

    first = made(subject, asked)

    for name in set(options) - {"mounts", "ports", "security"}:
        assert getattr(first, name) == getattr(asked, name)
    assert made(subject, first) == first


def test_what_a_person_typed_is_carried_as_far_as_podman_tells(subject: Subject, host: Lab) -> None:
    words = (
        "--name typed --ulimit nofile=100:200 --log-opt max-size=5m --pids-limit 7 --init"
        f" --device {DEVICE} -v typed-vol:/v:nocopy,U -v /srv:/b:rshared --shm-size 3m"
        " --security-opt label=disable --health-cmd true --stop-signal 12 --read-only"
    ).split()
    subject.made.append("typed")
    command = ("podman", "run", "-d", *words, IMAGE, "while :; do sleep 1; done")
    done = host.enter("a", *command)
    assert done.returncode == 0, done.stderr

    spec = subject.runtime.inspect("typed").spec

    assert spec.limits == Limits(
        pids=7, shm_bytes=3 << 20, ulimits=(Ulimit(name="nofile", soft=100, hard=200),)
    )
    assert spec.logging == Logging(driver="k8s-file", options={"max-size": "5MB"})
    assert spec.devices == (Device(source=DEVICE),)
    assert Mount(type="volume", source="typed-vol", target="/v", no_copy=True, options="U") in (
        spec.mounts
    )
    assert Mount(type="bind", source="/srv", target="/b", propagation="rshared") in spec.mounts
    assert spec.stop_signal == "SIGUSR2"
    assert made(subject, spec) == spec


def test_fixed_addresses_and_sysctls_outlive_a_restore(subject: Subject) -> None:
    container = subject.start(
        entrypoint=(),
        command=("sh", "-c", KEEPS_A_TOKEN),
        networks=(NetworkAttachment(name="options-a", ipv4="10.71.0.20"),),
        sysctls={"net.ipv4.ip_forward": "1"},
    )
    before, token = subject.runtime.inspect(container).spec, subject.token(container)

    with subject.runtime.checkpoint(container, CheckpointSpec()) as chunks:
        archive = b"".join(chunks)
    subject.runtime.remove(container)
    subject.runtime.restore([archive], RestoreSpec(), archive="c1")

    assert subject.token(container) == token
    assert before.networks[0].ipv4 == "10.71.0.20"
    assert subject.runtime.inspect(container).spec == before


def test_the_look_at_the_engines_defaults_leaves_nothing_behind(subject: Subject) -> None:
    made(subject, RunSpec(name="only", image=IMAGE, command=("while :; do sleep 1; done",)))

    assert not subject.runtime.find_containers({"podferry.probe": "defaults"})
