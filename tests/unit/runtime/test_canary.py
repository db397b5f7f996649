from __future__ import annotations

from runtime import CanaryState, PodmanRuntime
from runtime.canary import explained

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
