"""Images of a Docker-compatible engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from docker.errors import NotFound
from requests import Response

from runtime.building import read_build
from runtime.connection import EngineConnection
from runtime.errors import (
    EngineError,
    ImageNotFoundError,
    RuntimeEngineError,
    UnsupportedOptionError,
)
from runtime.inspecting import image_info, image_reference, label_filter
from runtime.protocols import OnLog, OnProgress, OnStep, ignore_progress, ignore_step
from runtime.pulling import pull_error, read_pull, reference_parts
from runtime.specs import BuildSpec, ImageInfo
from runtime.streams import Stream, hang_up
from runtime.upload import Upload


class DockerImages(EngineConnection):
    """The images of the standard surface."""

    def build(
        self,
        spec: BuildSpec,
        context: Iterable[bytes],
        *,
        on_log: OnLog,
        on_step: OnStep = ignore_step,
    ) -> ImageInfo:
        """Build with the engine's classic builder; see Runtime.

        It looks for ``Dockerfile`` unless told, and knows no secrets.
        """
        if spec.secrets:
            raise UnsupportedOptionError("secrets", "Docker's classic builder takes none")
        response = self._open(
            "POST",
            f"build of {spec.tag!r}",
            "/build",
            params=_build_params(spec),
            headers={"Content-Type": "application/x-tar"},
            upload=Upload(context),
        )
        with Stream(self._documents(response, "build"), lambda: hang_up(response)) as events:
            image_id = read_build(spec.tag, events, on_log, on_step)
        return self.image(image_id)

    def pull(
        self, name: str, *, platform: str = "", on_progress: OnProgress = ignore_progress
    ) -> ImageInfo:
        """Pull an image; see Runtime."""
        repository, tag = reference_parts(name)
        params = {"fromImage": repository, "tag": tag, "platform": platform}
        try:
            response = self._open("POST", "pull", "/images/create", params=params)
            with Stream(self._documents(response, "pull"), lambda: hang_up(response)) as events:
                read_pull(name, events, on_progress)
        except EngineError as error:
            raise pull_error(name, error.reason) from error
        return self.image(name)

    def _documents(self, response: Response, operation: str) -> Iterator[dict[str, Any]]:
        lines = self._translated(response.iter_lines(), operation)
        return (json.loads(line) for line in lines if line)

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


def _build_params(spec: BuildSpec) -> dict[str, Any]:
    return {
        "t": spec.tag,
        "dockerfile": spec.containerfile,
        "buildargs": json.dumps(spec.build_args),
        "labels": json.dumps(spec.labels),
        "target": spec.target,
        "platform": spec.platform,
        "nocache": int(spec.no_cache),
        "rm": 1,
        "forcerm": 1,
    }


def _missing(image: str) -> dict[str, RuntimeEngineError]:
    return {"no such image": ImageNotFoundError(image), "not known": ImageNotFoundError(image)}
