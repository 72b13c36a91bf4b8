"""The C library's allocator, set so that a long run's memory stays flat.

glibc gives large tensors back to the system when they are freed and asks for them again in the next
iteration, and it splits what it keeps into pieces that no later tensor fits into. With images of
many sizes, resident memory then grows and falls by tens of percent, and page faults take up to a
fifth of the time.
"""

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``, as ``malloc.h`` numbers them."""

_KEPT_AT_MOST = 2**31 - 1
"""Bytes: the largest value that ``mallopt`` takes."""

_LARGEST_TENSOR = 2**30
"""Bytes: up to this size memory comes from the heap, which is kept."""

CHOSEN_BY_USER = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""Beginnings of the environment variables by which a user has chosen an allocator or its limits."""


def keep_freed_memory() -> bool:
    """Let this process, and those it forks, keep what it frees for its next allocations.

    Nothing changes without glibc, or where the environment already says how memory is allocated.

    Returns:
        whether it was done.
    """
    if not _has_glibc() or any(name.startswith(CHOSEN_BY_USER) for name in os.environ):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(
        mallopt(_MMAP_THRESHOLD, _LARGEST_TENSOR) and mallopt(_TRIM_THRESHOLD, _KEPT_AT_MOST)
    )


def _has_glibc() -> bool:
    names = getattr(os, "confstr_names", {})
    return "CS_GNU_LIBC_VERSION" in names and bool(os.confstr("CS_GNU_LIBC_VERSION"))
