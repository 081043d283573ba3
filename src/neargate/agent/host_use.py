"""What of this host is in use, as its agent says it: coarse, since each change is a message.

Owns the steps and the window over which processors are counted. Must not know who asks the kernel. Invariant: nothing
here grows, and what is said of now is never older than the window and a look.
"""

from msgspec import Struct

from ..interfaces.sandbox import SandboxFacts
from ..model.capacity import HostCapacity, HostUse

_STEPS = 64  # of what a host has
_MEMORY_STEP_MIB = _DISK_STEP_MIB = 64
_CPU_STEP_UNITS = 16
_WINDOW_S = 30.0
_NS = 10**9
_UNITS = 1024  # of one processor


class _Count(Struct, frozen=True):
    at: float
    cpu_ns: int


class UseWatch:
    """One per agent. `capacity`: the host's, without overcommit."""

    def __init__(self, capacity: HostCapacity) -> None:
        self._capacity = capacity
        self._since: _Count | None = None
        self._cpu_units = 0

    def look(self, now: float, cpu_ns: int, disk_bytes: int, engine: SandboxFacts) -> HostUse:
        """`now`: monotonic. `cpu_ns`: of all tasks, growing; it begins anew when the last task has gone."""
        self._count(_Count(now, cpu_ns))
        warm, saved, cold = engine.starts
        return HostUse(
            cpu_units=self._cpu_units,
            disk_mib=coarse(disk_bytes, 1 << 20, max(_DISK_STEP_MIB, (self._capacity.disk_gib << 10) // _STEPS)),
            waiting=engine.waiting,
            came_warm=warm,
            came_saved=saved,
            came_cold=cold,
        )

    def memory_mib(self, used_bytes: int) -> int:
        return coarse(used_bytes, 1 << 20, max(_MEMORY_STEP_MIB, self._capacity.memory_mib // _STEPS))

    def _count(self, now: _Count) -> None:
        """Over a window: what processors do from one look to the next says little, and would be told each time."""
        if self._since is not None and now.cpu_ns >= self._since.cpu_ns:
            passed_s = now.at - self._since.at
            if passed_s < _WINDOW_S:
                return
            used = -(-(now.cpu_ns - self._since.cpu_ns) * _UNITS // int(_NS * passed_s))
            self._cpu_units = coarse(used, 1, max(_CPU_STEP_UNITS, self._capacity.cpu_units // _STEPS))
        elif self._since is not None:
            self._cpu_units = 0
        self._since = now


def coarse(used: int, unit: int, step: int) -> int:
    """In units, rounded up to a step of so many of them."""
    return -(-used // (step * unit)) * step
