"""Counters of the machine that no seam owns: its processors' time and the state of its clock. Reads only."""

import ctypes
import os
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from .documents import ClockDrift

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_NS_PER_S = 1_000_000_000


class HostCpu(Struct, frozen=True, kw_only=True):
    total_ns: int
    online: int


class Machine(Protocol):
    def cpu(self) -> HostCpu: ...

    def clock_drift(self, now: float) -> ClockDrift | None: ...


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); the tail is padding that the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("tail", ctypes.c_byte * 256),
    )


class LinuxMachine:
    def cpu(self) -> HostCpu:
        lines = Path("/proc/stat").read_text().splitlines()
        ticks = sum(int(field) for field in lines[0].split()[1:9])
        online = sum(1 for line in lines if line.startswith("cpu") and line[3:4].isdigit())
        return HostCpu(total_ns=ticks * (_NS_PER_S // os.sysconf("SC_CLK_TCK")), online=online)

    def clock_drift(self, now: float) -> ClockDrift | None:
        """The kernel's own bound; a machine without time synchronisation says so."""
        timex = _Timex()
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
        if state < 0:
            return None
        synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
        return ClockDrift(error_bound_ms=timex.maxerror / 1000, reference_at=now, synchronised=synchronised)
