"""Checkpoint tars as an engine writes them, small, and what the package makes of them."""

import io
import struct
import tarfile
from collections.abc import Iterable, Mapping, Sequence

from storage.pages import DeltaSizes, PageIndex, ParentIndex, encode_delta, rebuild, record_pages
from tests.unit.storage.samples import chunked, noise

KEY = bytes(range(32))
PAGE = 4096
HEAP = 0x5555_0000_0000
STACK = 0x7FFF_0000_0000
PRESENT, LAZY = 4, 2

Memory = Mapping[int, bytes]  # address to the content of one page


def page(seed: int) -> bytes:
    """A page that no other seed gives."""
    return noise(PAGE, seed)


def pages(address: int, seeds: Iterable[int]) -> dict[int, bytes]:
    """Pages at ascending addresses; 0 is a page of zeros."""
    return {
        address + number * PAGE: page(seed) if seed else bytes(PAGE)
        for number, seed in enumerate(seeds)
    }


def varint(number: int) -> bytes:
    low = number & 0x7F
    return bytes([low | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([low])


def message(*fields: tuple[int, int]) -> bytes:
    """A protobuf message of numbers, after its length."""
    body = b"".join(varint(number << 3) + varint(value) for number, value in fields)
    return struct.pack("<I", len(body)) + body


def run(address: int, count: int, flags: int = PRESENT | LAZY) -> bytes:
    """A run of pages as CRIU 4.1 writes it."""
    return message((1, address), (2, 0), (4, flags), (5, count))


def pagemap(pages_id: int, *runs: bytes) -> bytes:
    """A pagemap image."""
    head = struct.pack("<II", 0x54564319, 0x56084025)
    return head + message((1, pages_id)) + b"".join(runs)


def tar(members: Iterable[tuple[str, bytes]], *, time: int = 0) -> bytes:
    """A tar of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), time
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def checkpoint(
    processes: Mapping[int, Memory],
    *,
    files: Mapping[str, bytes] | None = None,
    order: Sequence[int] | None = None,
    time: int = 0,
) -> bytes:
    """A checkpoint of these processes, ids to memory; `order` numbers their pages images."""
    members = dict[str, bytes]()
    for number, process in enumerate(order or processes, start=1):
        memory = processes[process]
        runs = (run(address, 1) for address in memory)
        members[f"checkpoint/pagemap-{process}.img"] = pagemap(number, *runs)
        members[f"checkpoint/pages-{number}.img"] = b"".join(memory.values())
        members[f"checkpoint/core-{process}.img"] = b"registers"
    first = [("config.dump", b"{}" * 3000)]
    return tar([*first, *sorted(members.items()), *(files or {}).items()], time=time)


def index_of(data: bytes, key: bytes = KEY, *, chunk: int = 100_000) -> bytes:
    """The index of a full checkpoint."""
    with PageIndex(key) as index:
        assert b"".join(record_pages(chunked(data, chunk), index)) == data
        return b"".join(index.chunks())


def delta_of(
    data: bytes, parent_index: bytes, *, chunk: int = 100_000
) -> tuple[bytes, bytes, DeltaSizes]:
    """The delta of a checkpoint, its own index, and where its bytes come from."""
    sizes = DeltaSizes()
    with PageIndex(KEY) as index:
        parent = ParentIndex(chunked(parent_index, chunk), key=KEY, name="parent")
        delta = b"".join(encode_delta(chunked(data, chunk), parent, index, sizes=sizes))
        return delta, b"".join(index.chunks()), sizes


def sizes_of(parent: bytes, child: bytes) -> DeltaSizes:
    """Where a child's bytes come from; it is rebuilt, and its index is that of a full one."""
    delta, index, sizes = delta_of(child, index_of(parent))
    assert rebuilt(parent, delta) == child
    assert index == index_of(child)
    assert sizes.copied + sizes.zeros + sizes.data == len(child)
    return sizes


def rebuilt(full: bytes, *deltas: bytes, chunk: int = 100_000) -> bytes:
    """What a chain gives."""
    chain = [chunked(delta, chunk) for delta in deltas]
    return b"".join(rebuild(chunked(full, chunk), chain, archive="sample"))
