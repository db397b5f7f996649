"""Cold moves between real hosts: the files arrive, the process is another, one copy runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from podferry import Outcome, Unit
from runtime import ContainerState, Mount, RestartPolicy, RunSpec
from tests.fleet import HOSTS, IMAGE, Fleet, State, Workload, eventually
from tests.integration.test_migrate import FINGERPRINT, ODD_FILES

pytestmark = pytest.mark.integration

ALWAYS = RestartPolicy(name="always")
# The image has /bin and /etc; what is changed in them, and what is new beside them.
CHANGES = """
chown 12:34 /bin && chmod 4711 /bin/busybox && rm /bin/yes /bin/true && ln -s nowhere /bin/true
mkdir -m 2750 -p /made/inner && echo new >/made/inner/f && ln /made/inner/f /made/twin
mkfifo -m 620 /made/pipe && ln -s f /made/dangling && chown -h 7:8 /made/dangling
touch -d '2001-02-03 04:05:06' /made/inner/f && chmod 751 /
"""
LOOK = (
    "stat -c '%n|%F|%a|%u:%g|%N' / /bin /made /made/inner; cat /made/inner/f;"
    " stat -c '%n|%F|%a|%u:%g|%s|%h|%Y|%N' /bin/* $(find /made ! -type d) | sort"
)


def restarted(before: State, after: State) -> bool:
    return before.boot_id != after.boot_id and after.intact


def runs_on(workload: Workload) -> list[str]:
    found = ((host, workload.on(host)) for host in HOSTS)
    return [host for host, info in found if info and info.state is ContainerState.RUNNING]


def test_files_and_volume_arrive_and_the_process_is_new(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(volume=True, restart=ALWAYS))
    workload.sh("a", CHANGES)
    workload.sh("a", ODD_FILES)
    files, volume = workload.sh("a", LOOK), workload.sh("a", FINGERPRINT)
    old = workload.on("a")
    assert old is not None

    moved = fleet.workflow("migrate", workload.name, "--to", "b", "--cold")

    assert moved.outcome is Outcome.COLD
    assert restarted(before, workload.counting("b"))
    assert workload.sh("b", LOOK) == files
    assert "/bin/yes" not in files
    assert workload.sh("b", FINGERPRINT) == volume
    new = workload.on("b")
    assert new is not None
    assert new.id != old.id
    assert new.spec.restart == ALWAYS
    assert workload.absent("a")
    (checkpoint,) = fleet.checkpoints(workload.name)
    assert checkpoint["memory"] is False

    # what the engine mounts over the image's files is there in spite of them
    assert new.id[:12] in workload.sh("b", "cat /etc/hostname /etc/hosts")
    assert "nameserver" in workload.sh("b", "cat /etc/resolv.conf")

    back = fleet.workflow("migrate", workload.name, "--to", "a", "--cold")

    assert back.outcome is Outcome.COLD
    assert workload.sh("a", LOOK) == files
    assert workload.sh("a", FINGERPRINT) == volume
    assert runs_on(workload) == ["a"]


def test_fresh_begins_with_the_images_own_files(fleet: Fleet, workload: Workload) -> None:
    workload.start(workload.spec(volume=True))
    workload.sh("a", "rm /bin/yes && echo x >/new && echo kept >/data/kept")
    fleet.workflow("migrate", workload.name, "--to", "b", "--cold", "--fresh")
    assert workload.sh("b", "ls -d /bin/yes; ls /new || true").startswith("/bin/yes\n")
    assert workload.sh("b", "test ! -e /new; cat /data/kept") == "kept\n"


def test_the_ladders_cold_start_has_the_changed_files_too(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(volume=True))
    workload.sh("a", CHANGES)
    workload.sh("a", ODD_FILES)
    files, volume = workload.sh("a", LOOK), workload.sh("a", FINGERPRINT)
    found = workload.on("a")
    assert found is not None

    with fleet.criu_failing_for("b", found.id):
        ended = fleet.workflow("migrate", workload.name, "--to", "b", code=3)

    assert ended.outcome is Outcome.COLD
    assert restarted(before, workload.counting("b"))
    assert workload.sh("b", LOOK) == files
    assert workload.sh("b", FINGERPRINT) == volume
    assert runs_on(workload) == ["b"]


@pytest.fixture
def marked(fleet: Fleet, workload: Workload) -> Iterator[RunSpec]:
    """A container that is healthy on host a only, by a file of the host."""
    place = f"/var/tmp/{workload.name}"
    for host in HOSTS:
        fleet.lab.call("enter", host, "--", "mkdir", place)
    fleet.lab.call("enter", "a", "--", "touch", f"{place}/ok")
    spec = workload.spec(volume=True, restart=ALWAYS)
    bind = Mount(type="bind", source=place, target="/host")
    check = '{"test": "test -e /host/ok", "interval": "1s", "retries": 1}'
    yield spec.model_copy(
        update={"mounts": (*spec.mounts, bind), "labels": {"podferry.health": check}}
    )
    for host in HOSTS:
        fleet.lab.call("enter", host, "--", "rm", "-r", place)


def test_a_target_that_fails_leaves_it_running_on_the_source(
    fleet: Fleet, workload: Workload, marked: RunSpec
) -> None:
    before = workload.start(marked)
    workload.sh("a", CHANGES)
    files = workload.sh("a", LOOK)

    ended = fleet.workflow("migrate", workload.name, "--to", "b", "--cold", code=3)

    assert ended.outcome is Outcome.COLD
    assert ended.done(Unit.UP) is None
    assert "check failed" in ended.reason
    assert restarted(before, workload.counting("a"))
    assert workload.sh("a", LOOK) == files
    assert workload.absent("b")
    found = workload.on("a")
    assert found is not None
    assert found.spec.restart == ALWAYS


def test_a_label_decides_and_a_label_forbids(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(labels={"podferry.policy": "cold"}))
    moved = fleet.workflow("migrate", workload.name, "--to", "b")
    assert moved.outcome is Outcome.COLD
    assert restarted(before, workload.counting("b"))
    workload.forget()

    alive = workload.start(workload.spec(labels={"podferry.policy": "live"}))
    refused = fleet.workflow("migrate", workload.name, "--to", "b", "--cold", code=1)
    assert refused.outcome is Outcome.UNTOUCHED
    assert "podferry.policy=live" in refused.reason
    assert alive.lives_on_in(workload.counting("a"))


def test_what_was_stopped_stays_so_until_it_is_started_again(
    fleet: Fleet, workload: Workload
) -> None:
    workload.start(workload.spec(restart=ALWAYS))
    eventually(fleet.client.inventories, "no inventory")
    asked = fleet.client.stop(workload.name)
    stopped = fleet.client.wait(asked.id, timeout_seconds=60)
    assert stopped.outcome is Outcome.STOPPED
    found = workload.on("a")
    assert found is not None
    assert (found.state, found.spec.restart) == (ContainerState.EXITED, RestartPolicy())

    again = fleet.workflow("resume", asked.id)

    assert again.outcome is Outcome.STARTED
    workload.counting("a")
    found = workload.on("a")
    assert found is not None
    assert found.spec.restart == ALWAYS


def test_directories_of_the_image_that_became_something_else(
    fleet: Fleet, workload: Workload, tmp_path: Path
) -> None:
    image = f"localhost/{workload.name}:1"
    made = (
        "RUN mkdir -p /c/link /c/file /c/anew /c/empty && for d in /c/*; do echo old >$d/old; done"
    )
    (tmp_path / "Containerfile").write_text(f"FROM {IMAGE}\n{made}\n")
    fleet.workflow("build", str(tmp_path), "--tag", image, "--host", "a")
    workload.start(workload.spec(image=image))
    workload.sh(
        "a",
        "cd /c && rm -r link file anew empty && ln -s nowhere link && echo x >file"
        " && mkdir -m 700 anew empty && echo new >anew/new",
    )
    look = "cd /c && stat -c '%n|%F|%a|%N' * */*"
    before = workload.sh("a", look)
    try:
        fleet.workflow("migrate", workload.name, "--to", "b", "--cold")
        assert workload.sh("b", look) == before
        assert "anew/old" not in before
    finally:
        workload.forget()
        for host in HOSTS:
            fleet.runtime(host).remove_image(image)
