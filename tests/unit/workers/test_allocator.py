from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# In a process of its own: what it sets stays set. mallinfo2(3) tells how many bytes are in blocks
# that are mapped by themselves.
PROGRAM = """
import ctypes
from workers.allocator import LARGE_BYTES, give_large_blocks_back

class MallInfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype = MallInfo
{call}
bytearray(2 * LARGE_BYTES)  # freed at once, which lets glibc keep the next ones in its heap
before = libc.mallinfo2().hblkhd
block = bytearray(2 * LARGE_BYTES)
print(libc.mallinfo2().hblkhd - before >= len(block))
"""


def mapped_by_itself(call: str) -> bool:
    """Whether a large block is, once another one was freed."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(call=call)],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout == "True\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the GNU C library")
def test_large_blocks_are_given_back() -> None:
    assert not mapped_by_itself("")
    assert mapped_by_itself("give_large_blocks_back()")


FAULTS = """
import resource
from workers.allocator import give_large_blocks_back

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

give_large_blocks_back()
bytearray(1 << 20)
before = faults()
for _ in range(100):
    bytearray(1 << 20)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about the GNU C library")
def test_the_memory_of_a_segment_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True)

    assert int(done.stdout) < 1000  # of 25,600 pages
