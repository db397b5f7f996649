"""A fake checkpoint archive: a tar with the members of Podman's that others look at."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from runtime.fake_state import FakeContainer, FakeVolume, pack, unpack
from runtime.specs import RunSpec

CONFIG = "config.dump"
SPEC = "spec.dump"
PAGES = "checkpoint/pages-1.img"
ROOTFS = "rootfs-diff.tar"
DELETED = "deleted.files"
LOG = "ctr.log"


@dataclass(frozen=True, kw_only=True)
class FakeArchive:
    """What an archive says; ``container`` is as it was when its memory was taken."""

    container: FakeContainer
    image: str
    volumes: Mapping[str, FakeVolume]


def write_archive(container: FakeContainer, volumes: Mapping[str, FakeVolume]) -> bytes:
    """Write a container's memory, layer, log and the volumes that it mounts."""
    config = {
        "id": container.id,
        "name": container.spec.name,
        "rootfsImageID": container.image_id,
        "rootfsImageName": container.spec.image,
        "pod": container.pod,
    }
    members = {
        CONFIG: json.dumps(config).encode(),
        SPEC: container.spec.model_dump_json().encode(),
        LOG: container.log,
        PAGES: container.memory,
    }
    return pack(members | _files(container, volumes))


def write_cold_archive(container: FakeContainer, volumes: Mapping[str, FakeVolume]) -> bytes:
    """Write a container's layer and the volumes that it mounts."""
    return pack(_files(container, volumes))


def _files(container: FakeContainer, volumes: Mapping[str, FakeVolume]) -> dict[str, bytes]:
    members = {ROOTFS: pack(container.files)}
    if container.deleted:
        members[DELETED] = json.dumps(sorted(container.deleted)).encode()
    for name, volume in volumes.items():
        members[f"volumes/{name}.tar"] = pack(volume.files)
    return members


def read_archive(data: bytes) -> FakeArchive:
    """Read an archive. Raises ValueError for one that is cut or damaged."""
    try:
        members = unpack([data])
        config = json.loads(members[CONFIG])
        volumes = {
            name.removeprefix("volumes/").removesuffix(".tar"): FakeVolume(files=unpack([content]))
            for name, content in members.items()
            if name.startswith("volumes/")
        }
        container = FakeContainer(
            id=config["id"],
            spec=RunSpec.model_validate_json(members[SPEC]),
            image_id=config["rootfsImageID"],
            memory=members[PAGES],
            files=unpack([members[ROOTFS]]),
            deleted=set(json.loads(members.get(DELETED, b"[]"))),
            log=members[LOG],
            pod=config["pod"],
        )
    except (tarfile.TarError, KeyError) as error:
        raise ValueError(f"unexpected EOF: {error}") from error
    return FakeArchive(container=container, image=config["rootfsImageName"], volumes=volumes)
