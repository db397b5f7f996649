"""Health checks on real Podman: who runs them, when, as whom, and what depends on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import pytest
from fakeredis import FakeRedis

from podferry import Outcome
from runtime import (
    CheckpointSpec,
    HealthCheck,
    Mount,
    RestoreSpec,
)
from storage import UNENCRYPTED, ArchiveStore, MemoryObjectStore
from tasks.context import Context
from tasks.errors import UnhealthyError
from tasks.models import Kind, Unit, new_workflow
from tasks.models import Step as StepRecord
from tasks.records import Records
from tasks.step import Step
from tasks.units.engine import wait_healthy
from tests.contract.conftest import CONTAINERFILE, Subject, busybox_of, write_context
from tests.fleet import IMAGE, Fleet, Workload

pytestmark = pytest.mark.integration

CHECKED = "localhost/health/checked:1"
# As the owner of /tmp/runs, which the container's user makes: it shows who asked, and how often.
COUNTED = "id -u >>/tmp/runs; test -e /tmp/ready"
OF_THE_IMAGE = "HEALTHCHECK --interval=300ms --start-period=1m --retries=2 CMD " + COUNTED
BUILT_IN = HealthCheck(
    command=("/bin/sh", "-c", COUNTED),
    interval_seconds=0.3,
    timeout_seconds=30,
    start_period_seconds=60,
    retries=2,
)
BECOMES_READY = "sleep 2; touch /tmp/ready; while :; do sleep 0.1; done"
RUNS = "while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def host(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    context = write_context(tmp_path_factory.mktemp("context"), busybox_of(fleet.lab, "a"))
    lines = [CONTAINERFILE, 'RUN ["/bin/busybox", "mkdir", "-m", "1777", "/tmp"]', OF_THE_IMAGE]
    (context / "Containerfile").write_text("\n".join([*lines, ""]))
    subject = Subject(runtime=fleet.runtime("a"), context=context, image=CHECKED)
    subject.build(CHECKED)
    return subject


@pytest.fixture
def subject(host: Subject) -> Iterator[Subject]:
    yield host
    host.clean()


@pytest.fixture
def wait(fleet: Fleet) -> Iterator[Callable[..., None]]:
    """What a unit does on host a to see that a container is healthy."""
    redis = FakeRedis(protocol=2)
    context = Context(
        records=Records(redis),
        archives=ArchiveStore(MemoryObjectStore(), keys=UNENCRYPTED),
        runtime=fleet.runtime("a"),
    )
    workflow = new_workflow(Kind.UP, "web", target="a")
    record = StepRecord(unit=Unit.UP, host="a", epoch=0)
    step = Step(context, workflow.model_copy(update={"steps": (record,)}), 0, "test")
    yield lambda container, *, restored=False: wait_healthy(step, container, restored=restored)
    redis.close()


def run(subject: Subject, script: str, **changes: object) -> str:
    """Start a container of the image with a check, as a user of its own."""
    container = subject.create(command=("sh", "-c", script), user="1000", **changes)
    subject.runtime.start(container)
    return container


def runs(subject: Subject, container: str) -> list[str]:
    """Who ran the check, once for each time."""
    return subject.runtime.exec(container, ("cat", "/tmp/runs")).output.decode().split()


def inspected(fleet: Fleet, container: str) -> dict[str, object]:
    """The check that Podman knows of a container."""
    words = ("podman", "inspect", "--format", "{{json .Config.Healthcheck}}", container)
    done = fleet.lab.enter("a", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "health", [None, HealthCheck(command=("true",), start_period_seconds=3)], ids=["image", "own"]
)
def test_podman_has_nothing_to_run(
    subject: Subject, fleet: Fleet, health: HealthCheck | None
) -> None:
    container = run(subject, RUNS, health=health)

    assert inspected(fleet, container)["Test"] == ["NONE"]
    assert fleet.lab.enter("a", "podman", "healthcheck", "run", container).returncode == 125
    info = subject.runtime.inspect(container)
    assert info.health == info.spec.health == (health or BUILT_IN)
    assert info.spec.labels.keys() == {"io.buildah.version"}


def test_a_start_period_is_for_failing_in(subject: Subject, wait: Callable[..., None]) -> None:
    container = run(subject, BECOMES_READY)

    wait(container)

    seen = runs(subject, container)
    assert len(seen) > 2  # more than its retries
    assert set(seen) == {"1000"}
    assert subject.runtime.exec(container, ("test", "-e", "/tmp/ready")).exit_code == 0


def test_a_restored_one_has_its_retries_and_no_more(
    subject: Subject, wait: Callable[..., None]
) -> None:
    container = run(subject, RUNS)

    with pytest.raises(UnhealthyError, match="failed 2 times in a row"):
        wait(container, restored=True)

    assert runs(subject, container) == ["1000", "1000"]


def test_a_check_that_takes_too_long_fails(subject: Subject, wait: Callable[..., None]) -> None:
    health = HealthCheck(command=("sleep", "1000"), timeout_seconds=0.3, retries=1)
    container = run(subject, RUNS, health=health)

    with pytest.raises(UnhealthyError, match=r"it did not end within 0\.3 s"):
        wait(container, restored=True)


def test_a_check_that_is_no_command_fails(subject: Subject, wait: Callable[..., None]) -> None:
    container = run(subject, RUNS, health=HealthCheck(command=("/no/such",), retries=1))

    with pytest.raises(UnhealthyError, match="/no/such"):
        wait(container, restored=True)


def test_a_native_check_of_someone_else_stays_through_a_move_and_goes_in_a_cold_start(
    subject: Subject, fleet: Fleet
) -> None:
    words = ("--health-cmd", '["test", "-e", "/a b"]', "--health-retries", "7")
    done = fleet.lab.enter("a", "podman", "run", "-d", "--name", "theirs", *words, CHECKED, *_sh())
    assert done.returncode == 0, done.stderr
    subject.made.append("theirs")
    runtime, native = subject.runtime, inspected(fleet, "theirs")
    before = runtime.inspect("theirs").spec
    assert before.health is not None
    assert (before.health.command, before.health.retries) == (("test", "-e", "/a b"), 7)

    with runtime.checkpoint("theirs", CheckpointSpec()) as chunks:
        archive = b"".join(chunks)
    runtime.remove("theirs")
    runtime.restore([archive], RestoreSpec(), archive="theirs")

    assert inspected(fleet, "theirs") == native
    assert runtime.inspect("theirs").spec == before
    runtime.remove("theirs", force=True)
    runtime.start(runtime.run(before))
    assert inspected(fleet, "theirs")["Test"] == ["NONE"]
    assert runtime.inspect("theirs").spec == before


def _sh() -> Sequence[str]:
    return "sh", "-c", RUNS


def test_a_copy_that_is_not_healthy_is_no_move(fleet: Fleet, workload: Workload) -> None:
    for host, made in (("a", "mkdir -p /srv/ok && touch /srv/ok/yes"), ("b", "mkdir -p /srv/ok")):
        assert fleet.lab.enter(host, "sh", "-c", made).returncode == 0
    label = json.dumps({"test": ["CMD", "test", "-e", "/ok/yes"], "interval": "100ms"})
    mounts = (Mount(type="bind", source="/srv/ok", target="/ok"),)
    spec = workload.spec(labels={"podferry.health": label})
    before = workload.start(spec.model_copy(update={"mounts": mounts}))

    words = ("migrate", workload.name, "--to", "b", "--fallback", "resume")
    resumed = fleet.workflow(*words, code=3)

    assert resumed.outcome is Outcome.RESUMED
    assert "its check failed 3 times in a row, the last because it exited with code 1" in (
        resumed.reason
    )
    assert before.lives_on_in(workload.counting("a"))
    assert workload.absent("b")


@pytest.mark.parametrize(
    ("test", "outcome"), [("test -s /state/now", Outcome.STARTED), ("false", Outcome.FAILED)]
)
def test_up_ends_with_a_healthy_container_or_none(
    fleet: Fleet, workload: Workload, test: str, outcome: Outcome
) -> None:
    label = json.dumps({"test": test, "interval": "100ms", "retries": 2})
    words = ("up", IMAGE, "--name", workload.name, "--host", "a", "-e", "MEMORY_MIB=8")
    code = 0 if outcome is Outcome.STARTED else 1

    ended = fleet.workflow(*words, "-l", f"podferry.health={label}", code=code)

    assert ended.outcome is outcome
    assert (workload.on("a") is not None) == (outcome is Outcome.STARTED)
