"""Images, networks and volumes of the fake engine."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from runtime.building import build_step
from runtime.context import CONTAINERFILES
from runtime.errors import (
    BuildFailedError,
    EngineError,
    ImageNotFoundError,
    NetworkExistsError,
    NetworkInUseError,
    NetworkNotFoundError,
    VolumeExistsError,
    VolumeInUseError,
    VolumeNotFoundError,
)
from runtime.fake_state import FakeImage, FakeState, FakeVolume, faulty, pack, pieces, unpack
from runtime.inspecting import label_filter
from runtime.protocols import OnLog, OnProgress, OnStep, ignore_progress, ignore_step
from runtime.specs import BuildSpec, ImageInfo, NetworkSpec, PullProgress, VolumeSpec

FAILING = 'RUN ["/bin/false"'


class FakeImages(FakeState):
    """Images that know their id, names and labels only."""

    @faulty
    def build(
        self,
        spec: BuildSpec,
        context: Iterable[bytes],
        *,
        on_log: OnLog,
        on_step: OnStep = ignore_step,
    ) -> ImageInfo:
        """Make an image whose id depends on the context; its Containerfile needs a FROM."""
        files = unpack(context)
        names = (spec.containerfile,) if spec.containerfile else CONTAINERFILES
        text = next((files[name] for name in names if name in files), b"").decode()
        lines = [line for line in text.splitlines() if line.strip()]
        for number, line in enumerate(lines, 1):
            announced = f"STEP {number}/{len(lines)}: {line}"
            on_log(announced)
            if step := build_step(announced):
                on_step(step)
            if line.startswith(FAILING):
                reason = "while running runtime: exit status 1"
                at = f"{number}/{len(lines)}: {line}"
                raise BuildFailedError(spec.tag, reason, (announced,), at)
        if "FROM " not in text:
            raise BuildFailedError(spec.tag, "no FROM statement found", tuple(lines))
        content = pack(files) + spec.model_dump_json().encode() + repr(spec.build_args).encode()
        image = FakeImage(
            id=hashlib.sha256(content).hexdigest(), names=(spec.tag,), labels=spec.labels
        )
        self._add_image(image)
        return _info(image)

    @faulty
    def pull(
        self, name: str, *, platform: str = "", on_progress: OnProgress = ignore_progress
    ) -> ImageInfo:
        """Take an image out of ``registry``."""
        if name not in self.registry:
            raise ImageNotFoundError(name)
        on_progress(PullProgress(status="Download complete", layer=self.registry[name].id[:12]))
        self._add_image(self.registry[name])
        return _info(self.registry[name])

    def _add_image(self, image: FakeImage) -> None:
        for other in self.images.values():
            other.names = tuple(name for name in other.names if name not in image.names)
        self.images[image.id] = image

    def _image(self, name: str) -> FakeImage:
        for image in self.images.values():
            if name in (image.id, f"sha256:{image.id}", *image.names):
                return image
        raise ImageNotFoundError(name)

    @faulty
    def image(self, name: str) -> ImageInfo:
        """Describe an image by name or full id."""
        return _info(self._image(name))

    @contextmanager
    def save_image(self, name: str) -> Iterator[Iterator[bytes]]:
        """Stream an image as something like a docker-archive tar."""
        if planned := self.faults["save_image"]:
            raise planned.pop(0)
        image = self._image(name)
        manifest = [{"Config": f"{image.id}.json", "RepoTags": image.names}]
        config = {"config": {"Labels": image.labels}}
        files = {"manifest.json": manifest, f"{image.id}.json": config}
        yield pieces(pack({name: json.dumps(content).encode() for name, content in files.items()}))

    @faulty
    def load_image(self, chunks: Iterable[bytes]) -> None:
        """Load what save_image made."""
        data = b"".join(chunks)
        try:
            files = unpack([data])
            entry = json.loads(files["manifest.json"])[0]
            labels = json.loads(files[entry["Config"]])["config"]["Labels"]
        except (tarfile.TarError, KeyError) as error:
            raise EngineError("load of an image", str(error)) from error
        image_id = entry["Config"].removesuffix(".json")
        self._add_image(FakeImage(id=image_id, names=tuple(entry["RepoTags"]), labels=labels))

    @faulty
    def remove_image(self, name: str, *, force: bool = False) -> None:
        """Remove an image; ``force`` removes one that containers use."""
        try:
            image = self._image(name)
        except ImageNotFoundError:
            return
        users = [c.id for c in self.containers_by_id.values() if c.image_id == image.id]
        if users and not force:
            raise EngineError(f"removal of {name!r}", "image is in use by a container")
        del self.images[image.id]

    @faulty
    def find_images(self, labels: Mapping[str, str]) -> list[ImageInfo]:
        """List images that carry all ``labels``."""
        label_filter(labels)
        return [_info(i) for i in self.images.values() if labels.items() <= i.labels.items()]


def _info(image: FakeImage) -> ImageInfo:
    return ImageInfo(id=image.id, names=image.names, labels=image.labels)


class FakeObjects(FakeState):
    """Networks and volumes."""

    @faulty
    def create_network(self, spec: NetworkSpec) -> None:
        """Create a network; one that has what is asked for is no error."""
        if not spec.satisfied_by(self.networks.setdefault(spec.name, spec)):
            raise NetworkExistsError(spec.name)

    @faulty
    def network(self, name: str) -> NetworkSpec:
        """Describe a network."""
        if name not in self.networks:
            raise NetworkNotFoundError(name)
        return self.networks[name]

    @faulty
    def network_exists(self, name: str) -> bool:
        """Tell whether a network of this name is there."""
        return name in self.networks

    @faulty
    def remove_network(self, name: str) -> None:
        """Remove a network; an absent one is no error."""
        for container in self.containers_by_id.values():
            if any(network.name == name for network in container.spec.networks):
                raise NetworkInUseError(name)
        self.networks.pop(name, None)

    @faulty
    def create_volume(self, spec: VolumeSpec) -> None:
        """Create a volume; the same one again is no error."""
        made = FakeVolume(labels=spec.labels, driver=spec.driver, options=spec.options)
        self.volumes.setdefault(spec.name, made)
        if self.volume(spec.name) != spec:
            raise VolumeExistsError(spec.name)

    @faulty
    def volume(self, name: str) -> VolumeSpec:
        """Describe a volume."""
        if name not in self.volumes:
            raise VolumeNotFoundError(name)
        found = self.volumes[name]
        return VolumeSpec(
            name=name, labels=found.labels, driver=found.driver, options=found.options
        )

    @faulty
    def volume_exists(self, name: str) -> bool:
        """Tell whether a volume of this name is there."""
        return name in self.volumes

    @faulty
    def volume_users(self, name: str) -> tuple[str, ...]:
        """Ids of the containers that mount the volume."""
        return tuple(
            container.id
            for container in self.containers_by_id.values()
            if any(m.type == "volume" and m.source == name for m in container.spec.mounts)
        )

    @faulty
    def remove_volume(self, name: str) -> None:
        """Remove a volume; an absent one is no error."""
        if self.volume_users(name):
            raise VolumeInUseError(name)
        self.volumes.pop(name, None)
