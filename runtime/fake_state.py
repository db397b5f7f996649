"""What a fake host holds, and the faults that a test puts in the way."""

from __future__ import annotations

import io
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from runtime.errors import ContainerNotFoundError
from runtime.pod_specs import PodSpec
from runtime.specs import ContainerState, EngineEvent, NetworkSpec, RunSpec

CHUNK_BYTES = 4096

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(kw_only=True)
class FakeImage:
    """An image: an id, names and labels."""

    id: str
    names: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class FakeVolume:
    """A volume; ``files`` maps paths in it to content."""

    labels: dict[str, str] = field(default_factory=dict)
    driver: str = "local"
    options: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(kw_only=True)
class FakeContainer:
    """A container. ``memory`` is new at every cold start and survives a checkpoint."""

    id: str
    spec: RunSpec
    image_id: str
    state: ContainerState = ContainerState.CREATED
    memory: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)  # the writable layer
    deleted: set[str] = field(default_factory=set)  # what of its image ("/a/b") is gone
    log: bytes = b""
    stdin: bytes = b""  # what the last command of exec_stream was sent
    exit_code: int = 0
    checkpoint: bytes | None = None  # the memory that lies in its in-place checkpoint
    dependencies: tuple[str, ...] = ()
    pod: str = ""  # its name
    facts: dict[str, object] = field(default_factory=dict)  # of its ContainerFacts, said instead


@dataclass(kw_only=True)
class FakePod:
    """A pod."""

    id: str
    spec: PodSpec
    held: bool = False
    said: dict[str, object] = field(default_factory=dict)  # of its PodInfo, said instead


class FakeState:
    """Everything on a fake host, open to tests.

    ``faults`` maps a method's name to exceptions; each call of it raises the next one.
    """

    def __init__(self) -> None:
        self.images: dict[str, FakeImage] = {}
        self.containers_by_id: dict[str, FakeContainer] = {}
        self.pods: dict[str, FakePod] = {}
        self.networks: dict[str, NetworkSpec] = {}
        self.volumes: dict[str, FakeVolume] = {}
        self.registry: dict[str, FakeImage] = {}
        self.history: list[EngineEvent] = []
        self.faults: dict[str, list[Exception]] = defaultdict(list)

    def _find(self, name: str) -> FakeContainer:
        for container in self.containers_by_id.values():
            if name in (container.id, container.spec.name):
                return container
        raise ContainerNotFoundError(name)

    def _tell(self, action: str, container: FakeContainer) -> None:
        self.history.append(
            EngineEvent(
                kind="container",
                action=action,
                id=container.id,
                name=container.spec.name,
                attributes=container.spec.labels,
                at=datetime.now(UTC),
            )
        )


S = TypeVar("S", bound=FakeState)


def faulty(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Make a method raise what ``faults`` holds for it."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if planned := self.faults[method.__name__]:
            raise planned.pop(0)
        return method(self, *args, **kwargs)

    return call


def pack(files: Mapping[str, bytes]) -> bytes:
    """Write files as a tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(chunks: Iterable[bytes]) -> dict[str, bytes]:
    """Read the regular files of a tar. Raises tarfile.ReadError for a damaged one."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks)), mode="r:") as archive:
        return {
            member.name: content.read()
            for member in archive
            if (content := archive.extractfile(member)) is not None
        }


def pieces(data: bytes) -> Iterator[bytes]:
    """Cut ``data`` into what a stream would bring."""
    for start in range(0, len(data), CHUNK_BYTES):
        yield data[start : start + CHUNK_BYTES]
