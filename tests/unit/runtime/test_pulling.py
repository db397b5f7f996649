from __future__ import annotations

from typing import Any

import pytest

from runtime import ImageNotFoundError, PullFailedError, PullProgress
from runtime.pulling import read_pull, reference_parts


def test_progress_is_handed_on() -> None:
    told: list[PullProgress] = []
    events: list[dict[str, Any]] = [
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "0011"},
        {"status": "Downloading", "progressDetail": {"current": 5, "total": 9}, "id": "0011"},
        {"status": "Download complete", "id": "0011"},
        {"status": "Status: Image is up to date"},
    ]

    read_pull("i", events, told.append)

    assert told[1] == PullProgress(
        layer="0011", status="Downloading", current_bytes=5, total_bytes=9
    )
    assert told[2].total_bytes == 0
    assert told[3] == PullProgress(status="Status: Image is up to date")


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (
            "initializing source docker://127.0.0.1:5555/test/hello:2: reading manifest 2 in "
            "127.0.0.1:5555/test/hello: manifest unknown",
            ImageNotFoundError,
        ),
        ('short-name "web:1" did not resolve to an alias', ImageNotFoundError),
        (
            "initializing source docker://127.0.0.1:1/a:1: pinging container registry "
            "127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused",
            PullFailedError,
        ),
    ],
)
def test_whether_there_is_such_an_image(reason: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_pull("i", [{"error": reason}], lambda progress: None)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("web", ("web", "latest")),
        ("web:1", ("web", "1")),
        ("registry.example:5000/web", ("registry.example:5000/web", "latest")),
        ("registry.example:5000/web:1", ("registry.example:5000/web", "1")),
        ("web@sha256:00", ("web", "sha256:00")),
    ],
)
def test_one_tag_is_pulled_never_all(name: str, parts: tuple[str, str]) -> None:
    assert reference_parts(name) == parts
