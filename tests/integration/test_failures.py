"""What is lost on the way to another host: a tool, a service, a worker. Never the workload."""

from __future__ import annotations

import pytest

from podferry import Outcome, RunSpec, StepState, Unit
from runtime import RestartPolicy, VolumeSpec
from tests.fleet import Fleet, State, Workload, ended, eventually

pytestmark = pytest.mark.integration

OFFLINE_SECONDS = 30.0  # three times what it should take
PATIENCE_SECONDS = 180.0  # a lease, a look, and another try


def test_failed_restore_is_followed_by_a_cold_start(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(_durable(workload))
    workload.sh("a", "umask 0277; echo kept >/data/key; chown 1234:5678 /data/key")
    workload.sh("a", "chown 33:44 /data; chmod 1771 /data")
    log = _log(workload, "a")

    with fleet.without_criu("b"):
        moved = fleet.workflow("migrate", workload.name, "--to", "b", code=3)

    assert moved.outcome is Outcome.COLD
    assert "restore on b" in moved.reason
    assert workload.counting("b").boot_id != before.boot_id
    assert _log(workload, "b").startswith(log)
    assert workload.sh("b", "stat -c '%a %u:%g' /data/key; cat /data/key") == (
        "400 1234:5678\nkept\n"
    )
    assert workload.sh("b", "stat -c '%a %u:%g' /data") == "1771 33:44\n"
    assert workload.absent("a")
    found = workload.on("b")
    assert found is not None
    assert found.spec.restart == RestartPolicy(name="always")


def test_failed_restore_goes_back_to_the_source_when_asked_to(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(_durable(workload))
    log = _log(workload, "a")

    with fleet.without_criu("b"):
        done = fleet.run(
            "migrate", workload.name, "--to", "b", "--fallback", "resume", "-o", "json"
        )

    resumed = ended(done, 3)
    assert resumed.outcome is Outcome.RESUMED
    assert "restore on b" in resumed.reason
    _runs_on_a(workload, before)
    assert _log(workload, "a").startswith(log)
    found = workload.on("a")
    assert found is not None
    assert found.spec.restart == RestartPolicy(name="always")


def test_target_without_podman_leaves_the_source_alone(fleet: Fleet, workload: Workload) -> None:
    before = workload.start()

    with fleet.without("b"):
        done = fleet.run("migrate", workload.name, "--to", "b", "-o", "json")

    untouched = ended(done, 1)
    assert untouched.outcome is Outcome.UNTOUCHED
    assert untouched.failed_step is not None
    assert untouched.failed_step.unit is Unit.PREFLIGHT
    assert not untouched.source_stopped
    lines = [line for line in done.stderr.splitlines() if "✗" in line]
    assert len(lines) == 1 + untouched.options.retries
    assert all("preflight on b" in line and "does not answer" in line for line in lines)
    _runs_on_a(workload, before)


def test_target_with_a_volume_of_that_name_is_refused(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(_durable(workload))
    fleet.runtime("b").create_volume(VolumeSpec(name=workload.volume))
    path = f"/var/lib/containers/storage/volumes/{workload.volume}/_data/theirs"
    assert fleet.lab.enter("b", "sh", "-c", f"echo content >{path}").returncode == 0

    untouched = fleet.workflow("migrate", workload.name, "--to", "b", code=1)

    assert untouched.outcome is Outcome.UNTOUCHED
    assert f"already has a volume {workload.volume!r}" in untouched.reason
    assert fleet.lab.enter("b", "cat", path).stdout == "content\n"
    assert workload.on("b") is None
    assert before.lives_on_in(workload.counting("a"))


def test_store_that_is_down_stops_no_container_and_no_worker_starts(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start()
    endpoint = fleet.lab.state["hub"]["minio"]["endpoint"]

    with fleet.without("minio"), fleet.started("worker", "--control") as worker:
        untouched = fleet.workflow("migrate", workload.name, "--to", "b", code=1)
        line = worker().stderr.splitlines()[-1]

    assert untouched.outcome is Outcome.UNTOUCHED
    assert f"{endpoint}/podferry is unavailable" in untouched.reason
    assert not untouched.source_stopped
    _runs_on_a(workload, before)
    assert f"{endpoint}/podferry is unavailable" in line


def test_store_that_dies_during_the_upload_costs_no_memory(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(memory_mib=384))
    submitted = fleet.workflow("migrate", workload.name, "--to", "b", "--detach")

    with fleet.minio_may_die() as die:
        fleet.await_progress(submitted.id, Unit.CHECKPOINT)
        die()
        resumed = fleet.client.wait(submitted.id, timeout_seconds=180)

    assert resumed.outcome is Outcome.RESUMED
    assert "is unavailable" in resumed.reason
    _runs_on_a(workload, before)
    assert fleet.checkpoints(workload.name) == []


def test_worker_killed_during_the_upload_costs_no_memory(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(memory_mib=384))
    submitted = fleet.workflow("migrate", workload.name, "--to", "b", "--detach")
    fleet.await_progress(submitted.id, Unit.CHECKPOINT)

    fleet.kill_worker("a")
    fleet.lab.call("workers", "start")
    resumed = fleet.client.wait(submitted.id, timeout_seconds=PATIENCE_SECONDS)

    assert resumed.outcome is Outcome.RESUMED, resumed.reason
    assert "no sign of life" in resumed.reason
    _runs_on_a(workload, before)
    assert fleet.checkpoints(workload.name) == []


def test_worker_killed_during_the_download_costs_no_memory(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start(workload.spec(memory_mib=384))
    submitted = fleet.workflow("migrate", workload.name, "--to", "b", "--detach")
    fleet.await_progress(submitted.id, Unit.RESTORE)

    fleet.kill_worker("b")
    fleet.lab.call("workers", "start")
    moved = fleet.client.wait(submitted.id, timeout_seconds=PATIENCE_SECONDS)

    assert moved.outcome is Outcome.MOVED, moved.reason
    assert "no sign of life" in moved.reason
    assert before.lives_on_in(workload.counting("b"))
    assert workload.absent("a")


def test_cancel_during_the_upload_returns_to_the_source(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(memory_mib=512))
    submitted = fleet.workflow("migrate", workload.name, "--to", "b", "--detach")
    fleet.await_progress(submitted.id, Unit.CHECKPOINT)

    fleet.client.cancel(submitted.id)  # the command line might come too late
    cancelled = fleet.client.wait(submitted.id, timeout_seconds=PATIENCE_SECONDS)

    assert cancelled.outcome is Outcome.CANCELLED
    assert cancelled.done(Unit.RESUME) is not None
    _runs_on_a(workload, before)


def test_killed_worker_takes_its_host_offline_until_it_is_back(
    fleet: Fleet, workload: Workload
) -> None:
    before = workload.start()
    fleet.kill_worker("b")
    try:
        eventually(lambda: not fleet.online("b"), "host b goes offline", seconds=OFFLINE_SECONDS)

        line = fleet.refused("migrate", workload.name, "--to", "b")

        assert "host 'b' is offline" in line
        assert before.lives_on_in(workload.counting("a"))
    finally:
        fleet.lab.call("workers", "start")

    moved = fleet.workflow("migrate", workload.name, "--to", "b")

    assert moved.outcome is Outcome.MOVED
    assert all(step.state is StepState.DONE for step in moved.steps)
    assert before.lives_on_in(workload.counting("b"))


def _durable(workload: Workload) -> RunSpec:
    return workload.spec(volume=True, restart=RestartPolicy(name="always"))


def _log(workload: Workload, host: str) -> str:
    """What it wrote into its volume, at least a line."""
    return workload.sh(host, "until test -s /data/log; do usleep 50000; done; cat /data/log")


def _runs_on_a(workload: Workload, before: State) -> None:
    """The same process goes on on host a, and host b has nothing of it."""
    assert before.lives_on_in(workload.counting("a"))
    assert workload.absent("b")
