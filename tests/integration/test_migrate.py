"""Migrations between real Podman hosts: what arrives is the same process, with all it had."""

from __future__ import annotations

from pathlib import Path

import pytest

from podferry import Outcome, Unit
from runtime import NetworkAttachment, NetworkSpec, Port, RestartPolicy
from tests.fleet import IMAGE, Fleet, Workload, complaint, ended, stored_bytes

pytestmark = pytest.mark.integration

# What a naive copy of a volume loses: owners, modes, times, links, holes, odd names.
ODD_FILES = """
cd /data
mkdir -m 2750 closed && chown 1234:5678 closed
echo secret >closed/key && chmod 0400 closed/key && chown 99:98 closed/key
mkdir -m 0000 empty
touch -d '2001-02-03 04:05:06' old
echo '#!/bin/sh' >root && chmod 4755 root
ln -s nowhere dangling && chown -h 7:8 dangling
echo twice >first && ln first second
mkfifo -m 0620 pipe
echo odd >'a name with spaces, ü and a "quote"'
dd if=/dev/urandom of=random bs=64k count=40 2>/dev/null
chown 33:44 .
chmod 1771 .
"""
FINGERPRINT = """
cd /data
stat -c '%a %u:%g' .
find . ! -name log ! -path . -exec stat -c '%n|%F|%a|%u:%g|%s|%h|%N' {} + | sort
find . ! -name log -type f -exec stat -c '%n|%Y' {} + | sort
find . ! -name log -type f -exec md5sum {} + | sort
"""


def test_memory_crosses_to_the_other_host_and_comes_back(fleet: Fleet, workload: Workload) -> None:
    fleet.workflow(
        *("up", IMAGE, "--name", workload.name, "--host", "a", "--restart", "on-failure:3"),
        *("-e", "MEMORY_MIB=32", "-e", "COLOUR=dark blue", "-l", "team=ferry"),
    )
    start = workload.counting("a")

    there = fleet.workflow("migrate", workload.name, "--to", "b")

    assert there.outcome is Outcome.MOVED
    on_b = workload.counting("b")
    assert start.lives_on_in(on_b)
    assert workload.absent("a")
    found = workload.on("b")
    assert found is not None
    assert found.spec.labels["team"] == "ferry"
    assert found.spec.env["COLOUR"] == "dark blue"
    assert found.spec.restart == RestartPolicy(name="on-failure", max_retries=3)

    back = fleet.workflow("migrate", workload.name, "--to", "a")

    assert back.outcome is Outcome.MOVED
    assert on_b.lives_on_in(workload.counting("a"))
    assert workload.absent("b")
    found = workload.on("a")
    assert found is not None
    assert found.spec.restart == RestartPolicy(name="on-failure", max_retries=3)


def test_volume_moves_with_owners_modes_times_and_links(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(volume=True))
    workload.sh("a", ODD_FILES)
    content = workload.sh("a", FINGERPRINT)

    fleet.workflow("migrate", workload.name, "--to", "b")

    assert before.lives_on_in(workload.counting("b"))
    assert workload.sh("b", FINGERPRINT) == content
    assert not fleet.runtime("a").volume_exists(workload.volume)
    assert workload.absent("a")


def test_writable_layer_moves_with_what_podman_alone_would_lose(
    fleet: Fleet, workload: Workload
) -> None:
    workload.start()
    script = "chown 12:34 /bin && chmod 4711 /bin/busybox && rm /bin/yes && echo x >/new"
    workload.sh("a", script)
    look = "stat -c '%n|%F|%a|%u:%g|%s|%h' /bin /bin/* /new | sort"
    before = workload.sh("a", look)

    fleet.workflow("migrate", workload.name, "--to", "b")

    assert "/bin|directory|755|12:34" in before
    assert workload.sh("b", look) == before


def test_open_file_in_the_volume_is_written_on(fleet: Fleet, workload: Workload) -> None:
    workload.start(workload.spec(volume=True))
    before = workload.sh("a", "until test -s /data/log; do usleep 50000; done; cat /data/log")

    fleet.workflow("migrate", workload.name, "--to", "b")

    lines = len(before.splitlines())
    script = f"until test $(wc -l </data/log) -gt {lines}; do usleep 50000; done; cat /data/log"
    assert workload.sh("b", script).startswith(before)


def test_image_that_the_target_lacks_is_carried(
    fleet: Fleet, workload: Workload, tmp_path: Path
) -> None:
    image = f"localhost/{workload.name}:1"
    (tmp_path / "Containerfile").write_text(f"FROM {IMAGE}\nLABEL for={workload.name}\n")
    fleet.workflow("build", str(tmp_path), "--tag", image, "--host", "a")
    workload.start(workload.spec(image=image))

    try:
        there = fleet.workflow("migrate", workload.name, "--to", "b")
        back = fleet.workflow("migrate", workload.name, "--to", "a")
        assert fleet.runtime("a").image(image).id == fleet.runtime("b").image(image).id
    finally:
        workload.forget()
        for host in ("a", "b"):
            fleet.runtime(host).remove_image(image)

    assert stored_bytes(there, Unit.PUSH_IMAGE) > 0
    assert stored_bytes(there, Unit.PULL_IMAGE) > 0
    assert stored_bytes(back, Unit.PUSH_IMAGE) == 0
    assert stored_bytes(back, Unit.PULL_IMAGE) == 0


def test_network_and_published_port_move_along(fleet: Fleet, workload: Workload) -> None:
    fleet.runtime("a").create_network(NetworkSpec(name=workload.network))
    serve = "counter & exec httpd -f -p 80 -h /state"
    spec = workload.spec(
        command=("sh", "-c", serve),
        networks=(NetworkAttachment(name=workload.network, aliases=("store",)),),
        ports=(Port(container_port=80, host_port=8080),),
    )
    before = workload.start(spec)
    assert before.boot_id in _published(fleet, "a")

    fleet.workflow("migrate", workload.name, "--to", "b")

    assert before.boot_id in _published(fleet, "b")
    assert before.lives_on_in(workload.counting("b"))
    found = workload.on("b")
    assert found is not None
    assert found.spec.networks == spec.networks
    assert found.spec.ports == spec.ports


def test_one_of_two_migrations_at_once_is_refused(fleet: Fleet, workload: Workload) -> None:
    before = workload.start(workload.spec(memory_mib=64))
    words = ("migrate", workload.name, "--to", "b", "-o", "json")

    with fleet.started(*words) as first, fleet.started(*words) as second:
        results = [first(), second()]

    accepted, refused = sorted(results, key=lambda done: done.returncode)
    moved = ended(accepted, 0)
    assert moved.outcome is Outcome.MOVED
    assert f"busy with workflow {moved.id}" in complaint(refused)
    assert before.lives_on_in(workload.counting("b"))
    assert workload.absent("a")


def _published(fleet: Fleet, host: str) -> str:
    """What the published port answers to another machine."""
    address = fleet.lab.state["hosts"][host]["address"]
    fetch = f"import urllib.request as u; print(u.urlopen('http://{address}:8080/now').read())"
    return fleet.python(fetch)
