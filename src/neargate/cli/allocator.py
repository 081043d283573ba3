"""How this process's C library hands out memory; for the two halves of a region, which run for months.

Owns one setting, made before the first thread. Must not know who allocates. What works is the same with it.
"""

import ctypes

_M_ARENA_MAX = -8  # <malloc.h>


def share_one_heap() -> None:
    """All threads allocate from one heap.

    glibc gives each thread a heap of its own, and what was freed in there stays with it: megabytes of an idle agent.
    Python holds its lock while it allocates, so there is hardly anybody to wait for. Under other libraries: nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
