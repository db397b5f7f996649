"""Have the C library give the memory of an archive's parts back, instead of keeping it."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD = -1  # malloc.h
M_MMAP_THRESHOLD = -3
LARGE_BYTES = 4 << 20  # less than a part, more than what is made and dropped all the time
KEPT_BYTES = 32 << 20  # at most, of what is free at a heap's end


def give_large_blocks_back() -> None:
    """Map blocks of LARGE_BYTES and more by themselves; does nothing without the GNU C library.

    Once a program has freed a large block, glibc puts others of that size into its heaps, one a
    thread (mallopt(3), M_MMAP_THRESHOLD), where what is freed between blocks in use stays with the
    process: a worker grew with the archives it read, to three times of what it held. To set that
    turns off what glibc does by itself against giving back the rest all too often (M_TRIM_THRESHOLD
    stays at 128 KiB): a segment's memory would come anew, page by page, for every segment.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
