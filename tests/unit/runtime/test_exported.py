"""Podman's own exports: what is read out of them, and what is no export."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from runtime import (
    ExportReader,
    Limits,
    Mount,
    NetworkAttachment,
    NetworkSpec,
    NotACheckpointError,
    Port,
    RestartPolicy,
    Subnet,
)

RECORDED = json.loads((Path(__file__).parent / "recorded" / "export.json").read_text())
CONFIG, NETWORKS = RECORDED["config.dump"], RECORDED["network.status"]
PAGES = random.Random(1).randbytes(3 << 20)  # noqa: S311
MEMBERS: dict[str, bytes] = {
    "artifacts/": b"",
    "config.dump": json.dumps(CONFIG).encode(),
    "spec.dump": b"{}",
    "network.status": json.dumps(NETWORKS).encode(),
    "checkpoint/": b"",
    "checkpoint/inventory.img": b"criu",
    "checkpoint/pages-1.img": PAGES,
}


def tar(members: dict[str, bytes] = MEMBERS) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, content in members.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.size = len(content)
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def reader(data: bytes) -> ExportReader:
    return ExportReader(io.BufferedReader(io.BytesIO(data)), "web.tar")


def with_config(**changes: Any) -> bytes:  # noqa: ANN401 - JSON
    config = json.dumps({**CONFIG, **changes}).encode()
    return tar({**MEMBERS, "config.dump": config})


def two_frames(data: bytes) -> bytes:
    compress = zstandard.ZstdCompressor().compress
    return compress(data[:1000]) + compress(data[1000:])


@pytest.mark.parametrize(
    "packed", [bytes, zstandard.ZstdCompressor().compress, two_frames, gzip.compress]
)
def test_the_plain_tar_passes_as_it_is(packed: Callable[[bytes], bytes]) -> None:
    export = reader(packed(tar()))
    pieces = list(export)
    assert b"".join(pieces) == tar()
    assert max(map(len, pieces)) <= 1 << 20
    assert export.container.spec.name == "web"


def test_what_a_container_was_made_from_is_found() -> None:
    export = reader(tar())
    list(export)
    found, spec = export.container, export.container.spec
    assert (found.id, found.image_id) == (CONFIG["id"], CONFIG["rootfsImageID"])
    assert spec.image == "localhost/counter:latest"
    assert spec.command == ("/bin/counter",)
    assert spec.env["TOKEN"] == "abc"
    assert "HOSTNAME" not in spec.env
    assert spec.labels["a"] == "b"
    assert (spec.user, spec.workdir, spec.hostname) == ("0:0", "/data", "webh")
    assert spec.mounts == (
        Mount(type="volume", source="data", target="/data", options="noexec"),
        Mount(type="tmpfs", target="/scratch", options="size=1m"),
        Mount(type="bind", source="/srv", target="/srv", read_only=True),
    )
    assert spec.ports == (
        Port(container_port=80, host_port=8080, host_ip="127.0.0.1"),
        *(Port(container_port=n, host_port=n, protocol="udp") for n in (9000, 9001, 9002)),
    )
    assert spec.networks == (NetworkAttachment(name="mynet", ipv4="10.77.0.9"),)
    assert spec.dns.servers == ("1.1.1.1",)
    assert spec.extra_hosts == {"foo": "1.2.3.4"}
    assert spec.restart == RestartPolicy(name="on-failure", max_retries=3)
    assert spec.limits == Limits(memory_bytes=64 << 20, memory_swap_bytes=128 << 20, pids=99)
    assert spec.stop_timeout_seconds == 3
    subnet = Subnet(subnet="10.77.0.0/24", gateway="10.77.0.1")
    assert found.networks == (NetworkSpec(name="mynet", subnets=(subnet,)),)
    assert "capabilities" in found.unknown


def test_the_default_network_is_nothing_of_its_own() -> None:
    export = reader(with_config(newNetworks={"podman": {"interface_name": "eth0"}}))
    list(export)
    assert export.container.spec.networks == ()
    assert export.container.networks == ()


def test_what_we_were_asked_for_is_known() -> None:
    asked = json.dumps({"sysctls": {"net.core.somaxconn": "99"}})
    spec = {**CONFIG["spec"], "annotations": {"podferry.asked": asked}}
    export = reader(with_config(spec=spec))
    list(export)
    assert export.container.spec.sysctls == {"net.core.somaxconn": "99"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ended early"),
        (b"no tar at all" * 100, "header"),
        (tar()[: len(tar()) // 2], "ended early"),
        (zstandard.ZstdCompressor().compress(tar())[:-100], "ended early"),
        (gzip.compress(tar())[:-100], "end-of-stream"),
        (tar({"etc/passwd": b"x", **MEMBERS}), "'etc/passwd'"),
        (tar({"spec.dump": b"{}"}), "no config.dump"),
        (tar({**MEMBERS, "config.dump": b"{"}), "no JSON"),
        (tar({**MEMBERS, "config.dump": b"[]"}), "makes no sense"),
        (tar({**MEMBERS, "config.dump": b'{"id": "x"}'}), "makes no sense"),
        (with_config(name="not a name"), "makes no sense"),
        (tar({"config.dump": MEMBERS["config.dump"]}), "no memory"),
        (tar({**MEMBERS, "checkpoint/parent": b""}), "pre-checkpoint"),
    ],
)
def test_what_podman_could_not_restore_is_refused(data: bytes, reason: str) -> None:
    export = reader(data)
    with pytest.raises(NotACheckpointError, match=reason) as refused:
        list(export)
    assert refused.value.file == "web.tar"
    with pytest.raises(NotACheckpointError, match="not read to its end"):
        _ = export.container


def test_secrets_are_not_in_the_error() -> None:
    broken = with_config(newPortMappings="abc", labels={"TOKEN": "s3cret"})
    with pytest.raises(NotACheckpointError) as refused:
        list(reader(broken))
    assert "s3cret" not in str(refused.value)
