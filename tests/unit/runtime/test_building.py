from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import BuildFailedError, BuildSpec, BuildStep, PodmanRuntime
from runtime.building import build_step, read_build
from tests.unit.runtime.server import Answer, document, engine

IMAGE_ID = "e3b6739738f68c0cb2eb40b358365f97b275926fe595d48eb13d78fb4e3952c5"


def test_podmans_id_is_the_last_bare_line() -> None:
    lines: list[str] = []
    events = [
        {"stream": "STEP 1/2: FROM scratch\n"},
        {"stream": f"{'0' * 64}\n"},
        {"stream": f"Copying config sha256:{IMAGE_ID}\n"},
        {"stream": f"{IMAGE_ID}\n"},
    ]

    assert read_build("i", events, lines.append) == IMAGE_ID
    assert lines[0] == "STEP 1/2: FROM scratch"


def test_dockers_id_is_beside_the_log() -> None:
    events: list[dict[str, Any]] = [
        {"stream": "Step 1/1 : FROM scratch"},
        {"aux": {"ID": f"sha256:{IMAGE_ID}"}},
        {"stream": "\n"},
    ]

    assert read_build("i", events, lambda line: None) == IMAGE_ID


def test_a_failed_build_has_the_reason_and_the_last_lines() -> None:
    events: list[dict[str, Any]] = [
        *({"stream": f"line {number}\n"} for number in range(100)),
        {"errorDetail": {"message": "exit status 1\n"}, "error": "exit status 1\n"},
    ]

    with pytest.raises(BuildFailedError) as caught:
        read_build("i", events, lambda line: None)

    assert caught.value.reason == "exit status 1"
    assert caught.value.tail[-1] == "line 99"
    assert len(caught.value.tail) == 30


def test_a_log_that_just_ends_is_a_failed_build() -> None:
    with pytest.raises(BuildFailedError, match="without an image id"):
        read_build("i", [{"stream": "STEP 1/2: FROM scratch\n"}], lambda line: None)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("STEP 3/7: RUN make", BuildStep(number=3, total=7, instruction="RUN make")),
        ("Step 1/2 : FROM x", BuildStep(number=1, total=2, instruction="FROM x")),
        (
            "[2/3] STEP 1/4: FROM x AS y",
            BuildStep(number=1, total=4, instruction="FROM x AS y", stage=2, stages=3),
        ),
        ("the third STEP 3/7: of mine", None),
    ],
)
def test_steps_are_read_from_the_log(line: str, step: BuildStep | None) -> None:
    assert build_step(line) == step


def test_a_failed_build_names_the_step_it_was_at() -> None:
    steps: list[BuildStep] = []
    events = [
        {"stream": "STEP 1/2: FROM scratch\nSTEP 2/2: RUN make\n"},
        {"error": "exit status 2"},
    ]

    with pytest.raises(BuildFailedError, match="at step 2/2: RUN make: exit status 2"):
        read_build("i", events, lambda line: None, steps.append)
    assert [step.number for step in steps] == [1, 2]


def test_podmans_200_for_a_failed_build(tmp_path: Path) -> None:
    seen: list[tuple[str, bytes]] = []

    def failing(method: str, path: str, body: bytes) -> Answer:
        if path.endswith("/version"):
            return document({"ApiVersion": "1.41"})
        seen.append((path, body))
        events = [{"stream": "STEP 1/1: FROM nothing\n"}, {"error": "no such image\n"}]
        return 200, b"\n".join(json.dumps(event).encode() for event in events)

    def context() -> Iterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    spec = BuildSpec(tag="t:1", build_args={"A": "b"}, no_cache=True)
    with engine(tmp_path / "s", failing) as path, pytest.raises(BuildFailedError) as caught:
        PodmanRuntime(path).build(spec, context(), on_log=lambda line: None)

    assert caught.value.tail == ("STEP 1/1: FROM nothing",)
    (asked, body), *_ = seen
    assert body == b"onetwo"
    assert "nocache=true" in asked
    assert "buildargs=%7B%22A%22%3A+%22b%22%7D" in asked
    assert "dockerfile" not in asked
