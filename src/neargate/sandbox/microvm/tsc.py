"""The rate of this machine's time stamp counter, which an emulated guest cannot measure and must be told.

The counter is read by its own instruction, which stands with three others in a page that can be executed and not
written. What /proc/cpuinfo says is the clock's frequency of the moment, and the kernel's log is not everybody's to
read. x86-64 only.
"""

import ctypes
import mmap
import os
from collections.abc import Callable

from ...world import World

_CODE = bytes.fromhex("0f31 48c1e220 4809d0 c3")  # rdtsc; shl rdx, 32; or rax, rdx; ret
_MEASURE_S = 0.1
_TRIES = 5


async def tsc_khz(world: World) -> int:
    """Good to about 0.01 %. Takes a tenth of a second. Raises OSError where no page may be executed."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    descriptor = os.memfd_create("tsc", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, _CODE.ljust(mmap.PAGESIZE, b"\xcc"))
        protection = mmap.PROT_READ | mmap.PROT_EXEC
        page = libc.mmap(None, ctypes.c_size_t(mmap.PAGESIZE), protection, mmap.MAP_PRIVATE, descriptor, None)
    finally:
        os.close(descriptor)
    if page is None or page == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "no page may be executed")
    try:
        read = ctypes.CFUNCTYPE(ctypes.c_uint64)(page)
        began, began_s = _both(world, read)
        await world.sleep(_MEASURE_S)
        ended, ended_s = _both(world, read)
    finally:
        libc.munmap(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE))
    return round((ended - began) / (ended_s - began_s) / 1000)


def _both(world: World, read: Callable[[], int]) -> tuple[int, float]:
    """The counter at a moment: of some tries the one that was disturbed the least."""
    tries = []
    for _ in range(_TRIES):
        before = read()
        moment = world.monotonic()
        after = read()
        tries.append((after - before, (before + after) // 2, moment))
    _, counter, moment = min(tries)
    return counter, moment
