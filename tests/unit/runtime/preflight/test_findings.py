"""Every code, provoked by the one fact that brings it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import runtime.preflight
from runtime import (
    Canary,
    CanaryState,
    ContainerState,
    Finding,
    PodInfo,
    PodSpec,
    Severity,
    blockers,
    needs_new_address,
    pod_findings,
    pod_target_findings,
)
from runtime.preflight.facts import (
    Attachment,
    BindFacts,
    NetworkFacts,
    PathKind,
    ProcessFacts,
    PublishedPort,
    SharedVolume,
)
from tests.unit.runtime.preflight.samples import GIB, NETWORK, TARGET, WEB, Changes, judged

ROOT = Path(__file__).parents[4]
OLD_CRIU = Canary(state=CanaryState.OK, criu_version="4.1")
BIND = BindFacts(source="/srv/web", target="/www", kind=PathKind.DIRECTORY)
SOCKET = BindFacts(source="/run/d.sock", target="/d.sock", kind=PathKind.SOCKET)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Facts that bring exactly these findings: ``code``, and ``beside`` it others."""

    code: str
    says: str
    warning: bool = False
    container: Changes = field(default_factory=dict)
    source: Changes = field(default_factory=dict)
    host: Changes = field(default_factory=dict)
    target: Changes = field(default_factory=dict)
    beside: tuple[str, ...] = ()


def process(**facts: object) -> Changes:
    return {"processes": ProcessFacts().model_copy(update=facts)}


def published(**facts: object) -> Changes:
    return {"ports": (PublishedPort(port=8080, owner="shop").model_copy(update=facts),)}


def there(**facts: object) -> Changes:
    return {"networks": (NETWORK.model_copy(update=facts),)}


def fixed() -> Changes:
    joined = Attachment(network=NETWORK, addresses=("10.89.0.7",), fixed=True)
    return {"networks": (joined,)}


CASES = [
    Case(
        code="not-running",
        says="exited, and only a running container has memory",
        container={"state": ContainerState.EXITED},
    ),
    Case(code="auto-remove", says="made with --rm", container={"auto_remove": True}),
    Case(code="pod", says="pod 'shop', whose", container={"pod": "shop"}),
    Case(
        code="dependencies",
        says="depends on eeeeeeeeeeee",
        container={"dependencies": ("e" * 64,)},
    ),
    Case(
        code="volume-shared",
        says="volume 'data' is shared with another container, job",
        container={"shared_volumes": (SharedVolume(name="data", other="job"),)},
    ),
    Case(code="secret", says="secret tok", container={"secrets": ("tok",)}),
    Case(code="user-namespace", says="user namespace", container={"user_namespace": "private"}),
    Case(
        code="network-namespace",
        says="/run/netns/x",
        container={"network_mode": "ns:/run/netns/x", "networks": ()},
    ),
    Case(
        code="host-network",
        says="its host's network",
        warning=True,
        container={"network_mode": "host", "networks": ()},
    ),
    Case(code="systemd", says="systemd is its first process", container={"systemd": True}),
    Case(code="io-uring", says="io_uring", container=process(io_uring=True)),
    Case(code="mptcp", says="MPTCP", container=process(mptcp=True)),
    Case(
        code="bind-link",
        says="mounts /srv/link, a symbolic link",
        container=process(linked=("/srv/link",)),
    ),
    Case(code="overlay-mount", says="at /site", container={"overlays": ("/site",)}),
    Case(code="device-open", says="/dev/fuse open", container=process(devices=("/dev/fuse",))),
    Case(
        code="devices",
        says="/dev/fuse",
        warning=True,
        container={"devices": ("/dev/fuse",)},
        target={"paths": {"/dev/fuse": PathKind.DEVICE}},
    ),
    Case(
        code="device-missing",
        says="b has no device /dev/fuse",
        container={"devices": ("/dev/fuse",)},
        target={"paths": {"/dev/fuse": PathKind.MISSING}},
    ),
    Case(
        code="host-socket",
        says="/run/d.sock",
        warning=True,
        container={"binds": (SOCKET,)},
        target={"paths": {"/run/d.sock": PathKind.SOCKET}},
    ),
    Case(
        code="bind-content",
        says="/srv/web does not travel",
        warning=True,
        container={"binds": (BIND,)},
        target={"paths": {"/srv/web": PathKind.DIRECTORY}},
    ),
    Case(
        code="bind-missing",
        says="b has no /srv/web, which is mounted at /www",
        container={"binds": (BIND,)},
        target={"paths": {"/srv/web": PathKind.MISSING}},
        beside=("bind-content",),
    ),
    Case(
        code="runtime-unsupported",
        says="runs under kata",
        container={"oci_runtime": "kata"},
        host={"oci_runtime": "kata"},
    ),
    Case(
        code="runtime-differs",
        says="runs under runc, but b restores with crun",
        host={"oci_runtime": "crun"},
    ),
    Case(
        code="criu-kernel",
        says="CRIU 4.1 cannot checkpoint internet sockets on Linux 6.18",
        source={"canary": OLD_CRIU},
    ),
    Case(
        code="criu-kernel",
        says="not known",
        warning=True,
        container={"processes": None},
        source={"canary": OLD_CRIU},
    ),
    Case(code="criu-older", says="CRIU 4.1, older than the 4.2.1", host={"canary": OLD_CRIU}),
    Case(
        code="criu-failed",
        says="CRIU does not work on b: criu not found",
        host={"canary": Canary(state=CanaryState.FAILED, reason="criu not found")},
    ),
    Case(
        code="criu-unproven",
        says="tried on b yet (it is down)",
        warning=True,
        host={"canary": Canary(reason="it is down")},
    ),
    Case(code="rootless", says="rootless on b", host={"rootless": True}),
    Case(
        code="checkpoint-unsupported",
        says="b cannot checkpoint or restore: no CRIU",
        host={"checkpoint_reason": "no CRIU"},
    ),
    Case(code="architecture", says="b is arm64, a is amd64", host={"architecture": "arm64"}),
    Case(
        code="cgroup-differs",
        says="b has cgroups v1 cgroupfs, a v2 systemd",
        source={"cgroups": "v2 systemd"},
        host={"cgroups": "v1 cgroupfs"},
    ),
    Case(code="cpu-features", says="CPU of b lacks avx2", host={"cpu_flags": ("avx", "sse2")}),
    Case(code="kernel-older", says="6.1.0-9", warning=True, host={"kernel": "6.1.0-9"}),
    Case(
        code="apparmor-differs",
        says="containers-default-0.62.2",
        warning=True,
        container={"apparmor_profile": "containers-default-0.62.2"},
    ),
    Case(
        code="name-in-use",
        says="b already has a container of that name, 'web'",
        target={"name_in_use": True, "id_in_use": True},
    ),
    Case(code="id-in-use", says="of that id, cccccccccccc", target={"id_in_use": True}),
    Case(
        code="volume-exists",
        says="b already has a volume 'data'",
        target={"volumes": ("data",)},
    ),
    Case(
        code="port-taken",
        says="port 8080/tcp is taken on b by container 'shop'",
        target=published(),
    ),
    Case(code="port-taken", says="by a process", target=published(owner="")),
    Case(
        code="image-unavailable",
        says="localhost/web:1 does not mean it any more",
        container={"image_named": False},
        target={"image_id": ""},
    ),
    Case(
        code="image-differs",
        says="is another image on b (222222222222)",
        warning=True,
        target={"image_id": "2" * 64},
    ),
    Case(
        code="network-missing",
        says="b has no network 'net'; the move makes the same there",
        warning=True,
        target={"networks": ()},
    ),
    Case(
        code="network-missing",
        says="none of driver macvlan",
        container={"networks": (Attachment(network=NetworkFacts(name="lan", driver="macvlan")),)},
    ),
    Case(
        code="subnet-conflict",
        says="subnet 10.89.0.0/24 is taken there by network 'other'; the container gets a new",
        warning=True,
        target={"networks": (NetworkFacts(name="other", subnets=("10.88.0.0/15",)),)},
    ),
    Case(
        code="subnet-conflict",
        says="is taken there by network 'other'; its address is a fixed one",
        container=fixed(),
        target={"networks": (NetworkFacts(name="other", subnets=("10.88.0.0/15",)),)},
    ),
    Case(
        code="address-outside",
        says="10.89.0.7 lies in no subnet of network 'net' on b (10.90.0.0/24); the container",
        warning=True,
        target=there(subnets=("10.90.0.0/24",)),
        beside=("network-differs",),
    ),
    Case(
        code="address-outside",
        says="on b (10.90.0.0/24); its address is a fixed one",
        container=fixed(),
        target=there(subnets=("10.90.0.0/24",)),
        beside=("network-differs",),
    ),
    Case(
        code="network-differs",
        says="internal True instead of False",
        warning=True,
        target=there(internal=True),
    ),
    Case(
        code="address-taken",
        says="10.89.0.7 in network 'net' belongs to shop on b; the container gets a new address",
        warning=True,
        target=there(taken={"10.89.0.7": "shop"}),
    ),
    Case(
        code="address-taken",
        says="belongs to shop on b; its address is a fixed one",
        container=fixed(),
        target=there(taken={"10.89.0.7": "shop"}),
    ),
    Case(code="disk-short", says="about 2048 MiB", host={"disk_free_bytes": GIB}),
    Case(code="memory-short", says="512 MiB of memory free", host={"memory_free_bytes": GIB // 2}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.says}")
def test_each_fact_brings_its_finding(case: Case) -> None:
    found = judged(container=case.container, source=case.source, host=case.host, target=case.target)

    assert sorted(f.code for f in found) == sorted([case.code, *case.beside])
    [finding] = [f for f in found if f.code == case.code]
    assert finding.severity is (Severity.WARNING if case.warning else Severity.BLOCKER)
    assert case.says in finding.message
    assert finding.cure


def test_nothing_stands_in_the_way_of_a_plain_move() -> None:
    assert judged() == ()


@pytest.mark.parametrize(
    "target",
    [
        published(port=8081),
        published(protocol="udp"),
        {"image_id": ""},  # it will be carried
        {"networks": (*TARGET.networks, NetworkFacts(name="o", subnets=("fd00::/64",)))},
        there(taken={"10.89.0.8": "shop"}),
    ],
)
def test_what_only_looks_like_a_conflict_is_none(target: Changes) -> None:
    assert judged(target=target) == ()


def test_ports_on_different_addresses_do_not_clash() -> None:
    ours: Changes = {"ports": (PublishedPort(port=80, address="10.0.0.1"),)}

    def taken_at(address: str) -> Changes:
        return {"ports": (PublishedPort(port=80, address=address),)}

    assert judged(container=ours, target=taken_at("10.0.0.2")) == ()
    assert judged(container=ours, target=taken_at("10.0.0.1")) != ()
    assert judged(container=ours, target=taken_at("")) != ()


@pytest.mark.parametrize(
    ("container", "source", "host"),
    [
        ({}, {}, {"canary": Canary(state=CanaryState.OK, criu_version="4.10")}),
        (process(inet_sockets=False), {"canary": OLD_CRIU}, {}),
        ({}, {"canary": OLD_CRIU, "kernel": "6.12.0"}, {}),
        ({}, {"cpu_flags": ()}, {"cpu_flags": ("sse2",)}),
        ({}, {"cpu_flags": ("sse2", "vmx", "arch_perfmon")}, {"cpu_flags": ("sse2",)}),
        ({"apparmor_profile": "containers-default-1"}, {}, {"apparmor": True}),
        ({"apparmor_profile": "unconfined"}, {}, {}),
    ],
)
def test_hosts_that_differ_without_harm(container: Changes, source: Changes, host: Changes) -> None:
    assert judged(container=container, source=source, host=host) == ()


@pytest.mark.parametrize("taken", [{}, {"10.89.0.7": "shop"}])
def test_only_a_lost_address_needs_a_new_one(taken: dict[str, str]) -> None:
    assert needs_new_address(judged(target=there(taken=taken))) is bool(taken)


@dataclass(frozen=True, kw_only=True)
class PodCase:
    """Facts about a pod that bring exactly this finding."""

    code: str
    says: str
    warning: bool = False
    pod: Changes = field(default_factory=dict)
    web: Changes = field(default_factory=dict)
    target: Changes = field(default_factory=dict)
    name_in_use: bool = False


LOCAL = PodSpec(name="shop", share=("net",))
SHARING: Changes = {"spec": PodSpec(name="shop")}
POD = PodInfo(id="f" * 64, spec=LOCAL, infra="e" * 64, members=("web", "db"))
POD_CASES: list[PodCase] = [
    PodCase(code="pod-option", says="with memory_limit", pod={"unsupported": ("memory_limit",)}),
    PodCase(
        code="pod-exit-policy",
        says="stops with the last",
        pod={"spec": PodSpec(name="shop", share=("net",), exit_policy="stop")},
    ),
    PodCase(code="pod-members", says="move: old", pod={"members": ("web", "db", "old")}),
    PodCase(code="pod-infra", says="no infra container", warning=True, pod={"infra": ""}),
    PodCase(code="pod-ipc", says="System V", pod={"system_v": True}),
    PodCase(code="pod-shm", says="its own copy", warning=True, pod=SHARING),
    PodCase(
        code="pod-shm",
        says="use /dev/shm/q",
        pod=SHARING,
        web=process(shared_memory=("/dev/shm/q",)),
    ),
    PodCase(code="name-in-use", says="a pod 'shop'", name_in_use=True),
    PodCase(code="port-taken", says="by container 'shop'", target=published()),
    PodCase(
        code="address-taken",
        says="belongs to shop",
        warning=True,
        target=there(taken={"10.89.0.7": "shop"}),
    ),
]


def judged_pod(case: PodCase) -> list[Finding]:
    web, pod = WEB.model_copy(update=case.web), POD.model_copy(update=case.pod)
    target = TARGET.model_copy(update=case.target)
    return [
        *pod_findings(pod, [web, web.model_copy(update={"name": "db"})]),
        *pod_target_findings(pod, WEB, target, name_in_use=case.name_in_use),
    ]


@pytest.mark.parametrize("case", POD_CASES, ids=lambda case: f"{case.code}: {case.says}")
def test_each_fact_about_a_pod_brings_its_finding(case: PodCase) -> None:
    (found,) = judged_pod(case)
    assert found.code == case.code
    assert case.says in found.message
    assert found.cure
    assert found.severity is (Severity.WARNING if case.warning else Severity.BLOCKER)


def test_nothing_is_in_the_way_of_a_plain_pod() -> None:
    assert judged_pod(PodCase(code="", says="")) == []


def test_a_pod_without_a_network_has_neither_ports_nor_addresses() -> None:
    spec = PodSpec(name="shop", share=("uts",))
    assert judged_pod(PodCase(code="", says="", pod={"spec": spec}, target=published())) == []


def codes_in_the_source() -> set[str]:
    found = set()
    for file in Path(runtime.preflight.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in {"blocker", "warning", "make", "_new_address"}
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return found


def test_every_code_is_provoked_here() -> None:
    provoked = {case.code for case in CASES} | {case.code for case in POD_CASES}
    assert provoked == codes_in_the_source()


def test_every_code_is_documented() -> None:
    rows = (ROOT / "docs" / "operating.md").read_text().splitlines()
    documented = {row.split("`")[1] for row in rows if row.startswith("| `")}
    assert codes_in_the_source() <= documented


# What is in the way of memory only; a dump of it needs room, too.
COLD_MAY = {
    *("bind-link", "cgroup-differs", "checkpoint-unsupported", "cpu-features", "criu-failed"),
    *("criu-kernel", "criu-older", "device-open", "disk-short", "id-in-use", "io-uring", "mptcp"),
    *("runtime-differs", "runtime-unsupported", "systemd"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}: {case.says}")
def test_a_cold_move_is_stopped_by_what_matters_to_it_only(case: Case) -> None:
    found = judged(
        container=case.container,
        source=case.source,
        host=case.host,
        target=case.target,
        cold=True,
    )
    stopped = case.code in {finding.code for finding in blockers(found)}
    assert stopped == (not case.warning and case.code not in COLD_MAY)


def test_a_layer_needs_room_for_a_cold_move_too() -> None:
    found = judged(container={"layer_bytes": GIB}, host={"disk_free_bytes": GIB}, cold=True)
    assert [finding.code for finding in found] == ["disk-short"]
    assert "layer and image need about 2048 MiB" in found[0].message
