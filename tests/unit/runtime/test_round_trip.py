"""create_body and from_inspect are each other's way back, on made-up specs and answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import (
    Device,
    Dns,
    HealthCheck,
    Limits,
    Logging,
    Mount,
    Namespaces,
    NetworkAttachment,
    Port,
    RestartPolicy,
    RunSpec,
    Security,
    Ulimit,
)
from runtime.creating import create_body, require_supported
from runtime.podman_requests import podman_body

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)
PATHS = st.from_regex(r"(/[a-z]{1,4}){1,3}", fullmatch=True)
SIZES = st.integers(0, 1 << 40)
PROPAGATIONS = st.sampled_from(["", "shared", "rshared", "slave", "rslave"])

BINDS = st.builds(
    Mount, type=st.just("bind"), source=PATHS, read_only=st.booleans(), propagation=PROPAGATIONS
)
VOLUMES = st.builds(
    Mount, type=st.just("volume"), source=NAMES, read_only=st.booleans(), no_copy=st.booleans()
)
TMPFS = st.builds(Mount, type=st.just("tmpfs"), options=st.sampled_from(["", "size=1m"]))
MOUNTS = st.dictionaries(PATHS, st.one_of(BINDS, VOLUMES, TMPFS)).map(
    lambda found: tuple(
        mount.model_copy(update={"target": target}) for target, mount in sorted(found.items())
    )
)
LIMITS = st.builds(
    Limits,
    memory_bytes=SIZES,
    memory_swap_bytes=SIZES,
    memory_reservation_bytes=SIZES,
    cpus=st.integers(0, 64).map(lambda quarters: quarters / 4),
    cpu_shares=SIZES,
    cpuset_cpus=st.sampled_from(["", "0-3"]),
    pids=st.none() | st.integers(0, 2047),
    shm_bytes=st.sampled_from([0, 1 << 20]),
    oom_score_adj=st.integers(-1000, 1000),
    ulimits=st.sampled_from([(), (Ulimit(name="nofile", soft=1, hard=-1),)]),
)
CAPABILITIES = st.lists(st.sampled_from(["ALL", "CAP_CHOWN", "CAP_NET_ADMIN"]), max_size=2)
SECURITY = st.builds(
    Security,
    privileged=st.booleans(),
    read_only_rootfs=st.booleans(),
    cap_add=CAPABILITIES.map(tuple),
    cap_drop=CAPABILITIES.map(tuple),
    options=st.sampled_from([(), ("no-new-privileges",)]),
    groups=st.lists(NAMES).map(tuple),
)
NETWORKS = st.dictionaries(NAMES, st.lists(NAMES, unique=True, max_size=2), max_size=3).map(
    lambda found: tuple(
        NetworkAttachment(name=f"n-{name}", aliases=tuple(aliases), ipv4="10.0.0.9")
        for name, aliases in sorted(found.items())
    )
)
SECONDS = st.integers(1, 100) | st.sampled_from([0.25, 0.5])
CHECKS = st.builds(
    HealthCheck,
    command=st.lists(WORDS, min_size=1).map(tuple),
    interval_seconds=SECONDS,
    timeout_seconds=SECONDS,
    retries=st.integers(1, 9),
    start_period_seconds=st.just(0) | SECONDS,
    start_interval_seconds=SECONDS,
)
SPECS = st.builds(
    RunSpec,
    name=st.just("c"),
    image=NAMES,
    command=st.lists(WORDS).map(tuple),
    entrypoint=st.none() | st.lists(WORDS).map(tuple),
    env=st.dictionaries(st.from_regex(r"X_[A-Z]{1,5}", fullmatch=True), WORDS),
    labels=st.dictionaries(WORDS, WORDS),
    user=st.sampled_from(["", "1000", "me:us"]),
    workdir=st.just("") | PATHS,
    hostname=st.sampled_from(["", "mail"]),
    extra_hosts=st.dictionaries(NAMES, st.sampled_from(["10.0.0.1", "fd00::1", "host-gateway"])),
    mounts=MOUNTS,
    ports=st.lists(
        st.builds(
            Port,
            container_port=st.integers(1, 65535),
            host_port=st.integers(0, 65535),
            host_ip=st.sampled_from(["", "127.0.0.1"]),
            protocol=st.sampled_from(["tcp", "udp", "sctp"]),
        ),
        max_size=2,
        unique_by=lambda port: (port.container_port, port.protocol),
    ).map(tuple),
    networks=NETWORKS,
    dns=st.builds(Dns, servers=st.sampled_from([(), ("1.1.1.1",)])),
    restart=st.builds(
        RestartPolicy,
        name=st.sampled_from(["no", "always", "on-failure", "unless-stopped"]),
        max_retries=st.integers(0, 9),
    ),
    health=st.none() | st.just(HealthCheck()) | CHECKS,
    limits=LIMITS,
    security=SECURITY,
    namespaces=st.builds(
        Namespaces, pid=st.sampled_from(["", "host"]), ipc=st.sampled_from(["", "private"])
    ),
    devices=st.lists(
        st.builds(
            Device,
            source=PATHS,
            target=st.just("") | PATHS.map(lambda path: f"/in{path}"),
            permissions=st.sampled_from(["r", "rwm"]),
        ),
        max_size=2,
        unique_by=lambda device: device.source,
    ).map(tuple),
    sysctls=st.dictionaries(NAMES, WORDS),
    logging=st.sampled_from(
        [Logging(), Logging(driver="none"), Logging(driver="k8s-file", options={"max-size": "1B"})]
    ),
    init=st.booleans(),
    tty=st.booleans(),
    stdin_open=st.booleans(),
    stop_signal=st.sampled_from(["", "SIGUSR1", "SIGRTMIN+3"]),
    stop_timeout_seconds=st.none() | st.integers(0, 99),
    auto_remove=st.booleans(),
)
FRESH: dict[str, Any] = {
    "Ulimits": [],
    "PidsLimit": 2048,
    "ShmSize": 65536000,
    "IpcMode": "shareable",
    "PidMode": "private",
    "UTSMode": "private",
    "UsernsMode": "",
    "LogConfig": {"Type": "journald"},
}


def inspected(spec: RunSpec, body: dict[str, Any], *, podman: bool) -> dict[str, Any]:
    """Answer as an engine would that was sent ``body``: nothing hidden, or what Podman hides."""
    host = {**FRESH, **body["HostConfig"]}
    mounts = [_entry(m) for m in host.pop("Mounts", [])] + [
        _short(b) for b in host.pop("Binds", [])
    ]
    ends = body.get("NetworkingConfig", {}).get("EndpointsConfig", {})
    if podman:
        host["Sysctls"] = None
        host["Devices"] = [{**d, "CgroupPermissions": ""} for d in host.get("Devices", [])]
        ends = {name: {**end, "IPAMConfig": None} for name, end in ends.items()}
    identity = "f" * 64
    config = {**body, "Hostname": body["Hostname"] or identity[:12]}
    return {
        "Id": identity,
        "Name": f"/{spec.name}",
        "Config": config,
        "HostConfig": host,
        "Mounts": mounts,
        "NetworkSettings": {"Networks": ends},
    }


def _entry(mount: dict[str, Any]) -> dict[str, Any]:
    flat = "BindOptions" in mount
    return {
        "Type": mount["Type"],
        "Name": mount["Source"],
        "Source": mount["Source"],
        "Destination": mount["Target"],
        "RW": not mount["ReadOnly"],
        "Options": ["bind"] if flat else ["rbind"],
        "Propagation": "rprivate",
    }


def _short(bind: str) -> dict[str, Any]:
    source, target, words = bind.split(":")
    options = words.split(",")
    kind = "bind" if source.startswith("/") else "volume"
    propagation = next((o for o in options if o.endswith(("shared", "slave"))), "rprivate")
    return {
        "Type": kind,
        "Name": source,
        "Source": source,
        "Destination": target,
        "RW": "ro" not in options,
        "Options": [o for o in options if o not in ("ro", "rw", propagation)] + ["rbind"],
        "Propagation": propagation,
    }


@given(SPECS)
def test_podmans_inspect_gives_the_spec_back(spec: RunSpec) -> None:
    require_supported(spec)
    answer = inspected(spec, podman_body(spec), podman=True)

    assert RunSpec.from_inspect(answer, FRESH).model_dump() == spec.model_dump()


@given(SPECS.filter(lambda spec: len(spec.networks) < 2))
def test_dockers_inspect_gives_the_spec_back(spec: RunSpec) -> None:
    answer = inspected(spec, create_body(spec), podman=False)

    assert RunSpec.from_inspect(answer, FRESH).model_dump() == spec.model_dump()


@given(SPECS)
def test_a_spec_survives_a_manifest(spec: RunSpec) -> None:
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


def test_what_equals_the_engines_default_was_not_asked_for() -> None:
    nofile = {"Name": "RLIMIT_NOFILE", "Soft": 1, "Hard": 2}
    fresh = {**FRESH, "Ulimits": [nofile], "PidsLimit": 99, "IpcMode": "private"}
    body = {**podman_body(RunSpec(name="c", image="i")), "Hostname": ""}
    answer = inspected(RunSpec(name="c", image="i"), body, podman=True)
    answer["HostConfig"] |= {
        "PidsLimit": 99,
        "IpcMode": "private",
        "LogConfig": {"Type": "journald", "Size": "0B"},
        "Ulimits": [nofile, {"Name": "RLIMIT_NPROC", "Soft": 3, "Hard": 4}],
    }

    spec = RunSpec.from_inspect(answer, fresh)

    assert spec.limits == Limits(ulimits=(Ulimit(name="nproc", soft=3, hard=4),))
    assert spec.namespaces == Namespaces()
    assert spec.logging == Logging()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ({"SecurityOpt": ["unmask=all"], "Privileged": True}, Security(privileged=True)),
        ({"SecurityOpt": ["unmask=all"]}, Security(options=("unmask=all",))),
        ({"CapAdd": ["net_raw", "ALL"]}, Security(cap_add=("CAP_NET_RAW", "ALL"))),
    ],
)
def test_rights(host: dict[str, Any], expected: Security) -> None:
    answer = inspected(
        RunSpec(name="c", image="i"), create_body(RunSpec(name="c", image="i")), podman=True
    )
    answer["HostConfig"] |= host

    assert RunSpec.from_inspect(answer).security == expected
    assert RunSpec.from_inspect(answer).limits.ulimits == ()


def test_a_container_in_anothers_network_stays_there() -> None:
    spec = RunSpec(name="c", image="i", networks=(NetworkAttachment(name="container:abc"),))
    body = create_body(spec)

    assert body["HostConfig"]["NetworkMode"] == "container:abc"
    assert "NetworkingConfig" not in body
    assert RunSpec.from_inspect(inspected(spec, body, podman=True)).networks == spec.networks
