from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.preflight import machine
from runtime.preflight.facts import ProcessFacts, PublishedPort

WEB, SHOP = "c" * 64, "d" * 64
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid inode\n"
ROW = "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1\n"
PROTOCOLS = "protocol  size sockets\nTCP 2432 7 1\nMPTCPv6 2064 0 266\nMPTCP 1936 {mptcp} 266\n"


class Proc:
    """A /proc of our own making."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process("self", "/user.slice")

    def process(
        self,
        pid: str,
        cgroup: str,
        *,
        network: str = "net:[1]",
        files: tuple[str, ...] = (),
        mptcp: int = 0,
        tcp: str = "",
        anonymous_kib: int = 0,
        parent: int = 1,
    ) -> None:
        place = self.root / pid
        for part in ("fd", "net", "ns"):
            (place / part).mkdir(parents=True)
        (place / "cgroup").write_text(f"4:memory:{cgroup}\n")
        (place / "ns" / "net").symlink_to(network)
        for number, target in enumerate(files):
            (place / "fd" / str(number)).symlink_to(target)
        (place / "net" / "protocols").write_text(PROTOCOLS.format(mptcp=mptcp))
        (place / "net" / "tcp").write_text(HEADER + tcp)
        status = f"Name:\tweb\nPPid:\t{parent}\nRssAnon:\t{anonymous_kib} kB\nRssShmem:\t1 kB\n"
        (place / "status").write_text(status)


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def scope(container: str) -> str:
    return f"/machine.slice/libpod-{container}.scope"


def test_the_processes_of_a_container_are_told_from_others_and_from_its_monitor(
    proc: Proc,
) -> None:
    proc.process("7", scope(WEB), network="net:[2]", files=("/dev/null",), anonymous_kib=3)
    proc.process("8", scope(WEB), network="net:[2]", anonymous_kib=4)
    proc.process("9", scope(SHOP), files=("anon_inode:[io_uring]",))
    proc.process("10", f"/machine.slice/libpod-conmon-{WEB}.scope", files=("/dev/fuse",))

    assert machine.processes(WEB, "/config.json", proc.root) == ProcessFacts(memory_bytes=9 * 1024)


def test_processes_that_cannot_be_seen_are_not_taken_for_harmless(proc: Proc) -> None:
    assert machine.processes(WEB, "/config.json", proc.root) is None


def test_what_processes_hold_open_is_seen(proc: Proc) -> None:
    files = (
        *("/dev/null", "/dev/pts/0", "/dev/fuse", "/data/log"),
        *("socket:[77]", "anon_inode:[io_uring]"),
    )
    tcp = ROW.format(local="0100007F:1F90", state="0A", inode=77)
    proc.process("7", scope(WEB), network="net:[2]", files=files, mptcp=1, tcp=tcp)

    found = machine.processes(WEB, "/config.json", proc.root)

    assert found is not None
    assert found.model_copy(update={"memory_bytes": 0}) == ProcessFacts(
        io_uring=True, mptcp=True, inet_sockets=True, devices=("/dev/fuse",)
    )


def test_mounts_of_links_are_seen_where_the_monitor_looks_them_up(proc: Proc) -> None:
    monitor = f"/machine.slice/libpod-conmon-{WEB}.scope"
    proc.process("5", monitor)
    proc.process("7", scope(WEB), parent=5)
    proc.process("8", scope(WEB), parent=7)
    root = proc.root / "5" / "root"
    (root / "srv").mkdir(parents=True)
    (root / "srv" / "link").symlink_to("web")
    (root / "srv" / "web").mkdir()
    mounts = [
        {"type": "bind", "source": "/srv/web"},
        {"type": "bind", "source": "/srv/link"},
        {"type": "tmpfs", "source": "/srv/link"},
        {"type": "bind", "source": "/srv/none"},
    ]
    (root / "config.json").write_text(json.dumps({"mounts": mounts}))

    found = machine.processes(WEB, "/config.json", proc.root)

    assert found is not None
    assert found.linked == ("/srv/link",)


def test_sockets_of_the_hosts_network_are_not_laid_at_its_door(proc: Proc) -> None:
    tcp = ROW.format(local="0100007F:1F90", state="0A", inode=77)
    proc.process("7", scope(WEB), files=("socket:[78]",), mptcp=1, tcp=tcp)

    found = machine.processes(WEB, "/config.json", proc.root)

    assert found is not None
    assert not found.mptcp
    assert not found.inet_sockets


def test_listeners_are_read_with_their_addresses(proc: Proc) -> None:
    net = proc.root / "self" / "net"
    rows = [
        ROW.format(local="0100007F:1F90", state="0A", inode=1),
        ROW.format(local="00000000:0050", state="0A", inode=2),
        ROW.format(local="0100007F:0051", state="01", inode=3),  # a connection
    ]
    (net / "tcp").write_text(HEADER + "".join(rows))
    v6 = "00000000000000000000000001000000"
    (net / "tcp6").write_text(HEADER + ROW.format(local=f"{v6}:0052", state="0A", inode=4))
    (net / "udp").write_text(HEADER + ROW.format(local="00000000:0035", state="07", inode=5))

    assert list(machine.listening(proc.root)) == [
        PublishedPort(port=8080, address="127.0.0.1"),
        PublishedPort(port=80),
        PublishedPort(port=82, address="::1"),
        PublishedPort(port=53, protocol="udp"),
    ]


@pytest.mark.parametrize("name", ["flags\t\t", "Features\t"])
def test_cpu_features_are_sorted(proc: Proc, name: str) -> None:
    (proc.root / "cpuinfo").write_text(f"processor\t: 0\n{name}: sse2 avx\nprocessor : 1\n")
    assert machine.cpu_flags(proc.root) == ("avx", "sse2")


def test_a_machine_that_says_little_is_no_error(tmp_path: Path) -> None:
    assert machine.cpu_flags(tmp_path) == ()
    assert machine.memory_available(tmp_path) is None
    assert list(machine.listening(tmp_path)) == []
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   3 kB\n")
    assert machine.memory_available(tmp_path) == 3 * 1024


def test_this_machine_can_be_read() -> None:
    assert (machine.memory_available() or 0) > 0
    assert isinstance(list(machine.listening()), list)


def test_the_memory_of_all_containers_is_seen_at_once(proc: Proc) -> None:
    proc.process("7", scope(WEB), anonymous_kib=3)
    proc.process("8", scope(WEB), anonymous_kib=4)
    proc.process("9", scope(SHOP), anonymous_kib=1)
    proc.process("10", f"/machine.slice/libpod-conmon-{WEB}.scope", anonymous_kib=50)
    proc.process("11", "/user.slice", anonymous_kib=50)

    assert machine.memory_of_containers(proc.root) == {WEB: 9 * 1024, SHOP: 2 * 1024}


def test_load_is_that_of_the_last_minute(tmp_path: Path) -> None:
    assert machine.load(tmp_path) is None
    (tmp_path / "loadavg").write_text("0.52 0.58 0.59 2/812 4242\n")
    assert machine.load(tmp_path) == 0.52
