from __future__ import annotations

import pytest

from runtime import (
    CanaryState,
    CheckpointFailedError,
    EngineUnavailableError,
    FakeRuntime,
    PodmanRuntime,
    RestoreFailedError,
    RunSpec,
    RuntimeEngineError,
)
from runtime.canary import explained, there_and_back
from runtime.fake_state import FakeImage

LOG = """\
(00.000019) Version: 4.2.1 (gitid 0)
(00.001541) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Not permitted
(00.108564) Error (criu/sk-inet.c:137): inet: Unsupported proto 262 for socket b300d
(00.163029) Error (criu/cr-dump.c:1975): Dumping FAILED.
"""


def test_the_reason_is_the_first_error_of_crius_log_that_matters() -> None:
    reason = "`/usr/bin/runc checkpoint --image-path /v/l --work-path /v x` failed: exit status 1"

    said = explained(reason, LOG)

    assert said.startswith("runc checkpoint failed: exit status 1; CRIU: ")
    assert said.endswith("inet: Unsupported proto 262 for socket b300d")
    assert explained(reason, "") == "runc checkpoint failed: exit status 1"
    assert explained("", LOG) == ""


def test_an_engine_that_is_away_says_nothing_about_criu() -> None:
    canary = PodmanRuntime("/nowhere/podman.sock").canary()

    assert canary.state is CanaryState.NOT_RUN
    assert "/nowhere/podman.sock does not answer" in canary.reason
    assert canary.taken is not None


def flying(faults: dict[str, list[Exception]]) -> str:
    runtime = FakeRuntime()
    runtime.images["1" * 64] = FakeImage(id="1" * 64, names=("canary",))
    container = runtime.run(RunSpec(name="canary", image="canary"))
    runtime.start(container)
    runtime.faults.update(faults)
    return there_and_back(runtime, container)


def test_a_canary_that_comes_back_has_no_complaint() -> None:
    assert flying({}) == ""


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("checkpoint", CheckpointFailedError("canary", "no CRIU")),
        ("restore", RestoreFailedError("canary", "no CRIU")),
    ],
)
def test_a_canary_that_does_not_says_why(where: str, error: RuntimeEngineError) -> None:
    assert flying({where: [error]}) == "no CRIU"


def test_an_engine_that_goes_away_is_not_taken_for_a_broken_criu() -> None:
    with pytest.raises(EngineUnavailableError):
        flying({"restore": [EngineUnavailableError("/s", "it went away")]})
