"""Images of a Docker-compatible engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from docker.errors import NotFound

from runtime.building import read_build
from runtime.connection import ANSWER_SECONDS, EngineConnection
from runtime.errors import EngineError, ImageNotFoundError, RuntimeEngineError
from runtime.inspecting import image_info, image_reference, label_filter
from runtime.protocols import OnLog
from runtime.specs import BuildSpec, ImageInfo
from runtime.upload import Upload


class DockerImages(EngineConnection):
    """The images of the standard surface."""

    def build(self, spec: BuildSpec, context: Iterable[bytes], *, on_log: OnLog) -> ImageInfo:
        """Build with the engine's classic builder, which looks for ``Dockerfile`` unless told.

        Raises BuildFailedError with the last lines of the log.
        """
        upload = Upload(context)
        with self._translating(f"build of {spec.tag!r}", upload=upload):
            events = self._api.build(
                fileobj=upload,  # type: ignore[arg-type]  # it is only handed on to requests
                custom_context=True,
                tag=spec.tag,
                dockerfile=spec.containerfile or None,
                buildargs=spec.build_args,
                labels=spec.labels,
                target=spec.target or None,
                nocache=spec.no_cache,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=ANSWER_SECONDS,
            )
        return self.image(read_build(spec.tag, self._translated(events, "build"), on_log))

    def image(self, name: str) -> ImageInfo:
        """Describe a local image by name or id. Raises ImageNotFoundError."""
        with self._translating(f"inspect of {name!r}", _missing(name)):
            return image_info(self._api.inspect_image(image_reference(name)))  # type: ignore[no-untyped-call]  # bare in its stubs

    def save_image(self, name: str) -> AbstractContextManager[Iterator[bytes]]:
        """Stream an image as a docker-archive tar, which keeps its id."""
        return self._download(
            f"save of {name!r}",
            f"/images/{image_reference(name)}/get",
            on=_missing(name),
        )

    def load_image(self, chunks: Iterable[bytes]) -> None:
        """Load a docker-archive tar stream. Raises EngineError if it is none."""
        upload = Upload(chunks)
        with self._translating("load of an image", upload=upload):
            events = self._api.load_image(upload, quiet=True)  # type: ignore[no-untyped-call]  # bare in its stubs
            for event in events:
                if "error" in event:
                    raise EngineError("load of an image", str(event["error"]))

    def remove_image(self, name: str, *, force: bool = False) -> None:
        """Remove an image; one that is absent is no error."""
        with self._translating(f"removal of {name!r}"), suppress(NotFound):
            self._api.remove_image(image_reference(name), force=force)

    def find_images(self, labels: Mapping[str, str]) -> list[ImageInfo]:
        """List images that carry all ``labels``. An empty filter raises ValueError."""
        filters: dict[str, Any] = {"label": label_filter(labels)}
        with self._translating("list of images"):
            return [image_info(entry) for entry in self._api.images(filters=filters)]


def _missing(image: str) -> dict[str, RuntimeEngineError]:
    return {"no such image": ImageNotFoundError(image), "not known": ImageNotFoundError(image)}
