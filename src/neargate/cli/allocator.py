"""How this process's C library hands out memory; for the two halves of a region, which run for months.

Owns three settings, made before the first thread. Must not know who allocates. What works is the same with them.
"""

import ctypes

# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
LARGE_BYTES = 512 * 1024


def keep_little() -> None:
    """What is freed goes back to the system, as long as glibc is the library; under others nothing is done.

    All threads allocate from one heap: glibc gives each its own, and what was freed in there stays with it. Python
    holds its lock while it allocates, so there is hardly anybody to wait for. And the heap's end is given back when
    more than LARGE_BYTES of it are free: glibc keeps twice the largest block that was ever freed, which is megabytes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, LARGE_BYTES)):
            mallopt(setting, value)
