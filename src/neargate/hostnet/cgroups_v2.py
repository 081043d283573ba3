"""cgroup version 2: one hierarchy, controllers switched on level by level.

Owns file names and units of version 2. Processes live only in the runtime's cgroups below the task's, as the rule of no
inner processes wants it.
"""

from pathlib import Path

from ..interfaces.hostnet import BlockIo, CgroupStats, TaskLimits
from .cgroup_files import PERIOD_US, make, quota_us, read_devices, read_int, read_table, write

_CONTROLLERS = ("cpu", "memory", "pids")
# Switched on where the kernel has it, for its counters only.
_COUNTED = ("io",)
_KINDS = (("Read", "r"), ("Write", "w"), ("Discard", "d"))


class HierarchyV2:
    def __init__(self, root: Path) -> None:
        self._root = root
        available = (root / "cgroup.controllers").read_text().split()
        self._counted = tuple(name for name in _COUNTED if name in available)

    def create(self, parent: str, path: str, limits: TaskLimits) -> None:
        self._delegate(self._root)
        make(self._root, parent)
        self._delegate(self._root / parent)
        make(self._root, parent, path)
        task = self._root / path
        write(task / "memory.max", str(limits.memory_mib << 20))
        swap = task / "memory.swap.max"
        if swap.exists():  # absent where the kernel accounts no swap
            write(swap, "0")
        # One task's OOM kills one process at a time, as on Fargate, not the whole group.
        write(task / "pids.max", str(limits.pids))
        self._delegate(task)

    def limit_cpu(self, path: str, cpu_units: int) -> None:
        task = self._root / path
        write(task / "cpu.weight", str(_weight(cpu_units)))
        write(task / "cpu.max", f"{quota_us(cpu_units)} {PERIOD_US}")

    def stats(self, path: str) -> CgroupStats | None:
        directory = self._root / path
        try:
            usage = read_int(directory / "memory.current")
        except FileNotFoundError:
            return None
        cpu, memory = read_table(directory / "cpu.stat"), read_table(directory / "memory.stat")
        return CgroupStats(
            cpu_total_ns=cpu.get("usage_usec", 0) * 1000,
            cpu_user_ns=cpu.get("user_usec", 0) * 1000,
            cpu_system_ns=cpu.get("system_usec", 0) * 1000,
            cpu_periods=cpu.get("nr_periods", 0),
            cpu_throttled_periods=cpu.get("nr_throttled", 0),
            cpu_throttled_ns=cpu.get("throttled_usec", 0) * 1000,
            memory_usage=usage,
            memory_max_usage=read_int(directory / "memory.peak", usage),
            memory_limit=read_int(directory / "memory.max", 0),
            memory_cache=memory.get("file", 0),
            memory_rss=memory.get("anon", 0),
            oom_kills=read_table(directory / "memory.events").get("oom_kill", 0),
            pids=read_int(directory / "pids.current", 0),
            block_io=_block_io(directory / "io.stat"),
        )

    def directories(self, path: str) -> list[Path]:
        return [self._root / path]

    def _delegate(self, directory: Path) -> None:
        wanted = [name for name in (*_CONTROLLERS, *self._counted) if name not in _enabled(directory)]
        if wanted:
            write(directory / "cgroup.subtree_control", " ".join(f"+{name}" for name in wanted))


def _enabled(directory: Path) -> list[str]:
    try:
        return (directory / "cgroup.subtree_control").read_text().split()
    except FileNotFoundError:
        return []


def _weight(cpu_units: int) -> int:
    """Version 1 shares (2..262144) to version 2 weight (1..10000), the mapping that runc and crun use."""
    shares = min(max(cpu_units, 2), 262144)
    return 1 + ((shares - 2) * 9999) // 262142


def _block_io(path: Path) -> tuple[BlockIo, ...]:
    """The words of version 1 for the numbers of version 2. What goes through a loop device is counted there and, where
    it reaches a disk, on that disk again, as for every stacked device.
    """
    found = []
    for major, minor, words in read_devices(path):
        values = {name: int(value) for name, _, value in (word.partition("=") for word in words) if value.isdigit()}
        kinds = {kind: (values.get(f"{short}bytes", 0), values.get(f"{short}ios", 0)) for kind, short in _KINDS}
        kinds["Total"] = (sum(served for served, _ in kinds.values()), sum(count for _, count in kinds.values()))
        found += [
            BlockIo(major=major, minor=minor, kind=kind, served_bytes=served, operations=count)
            for kind, (served, count) in kinds.items()
        ]
    return tuple(found)
