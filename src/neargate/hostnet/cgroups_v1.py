"""cgroup version 1: one hierarchy per controller. Limits go to memory, cpu and pids; the runtime makes its path in all.

Owns file names and units of version 1. Controllers mounted together (cpu,cpuacct) are one directory.
"""

import os
from pathlib import Path

from ..interfaces.hostnet import BlockIo, CgroupStats, TaskLimits
from .cgroup_files import PERIOD_US, make, quota_us, read_devices, read_int, read_table, write

_LIMITED = ("memory", "cpu", "cpuacct", "pids")


class HierarchiesV1:
    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, parent: str, path: str, limits: TaskLimits) -> None:
        for controller in _LIMITED:
            if (self._root / controller).is_dir():
                make(self._root / controller, parent, path)
        memory = self._root / "memory" / path
        memory_bytes = limits.memory_mib << 20
        with_swap = memory / "memory.memsw.limit_in_bytes"
        if with_swap.exists() and 0 < read_int(with_swap) < memory_bytes:
            # Raising: memory may never be above memory and swap together.
            write(with_swap, str(memory_bytes))
        write(memory / "memory.limit_in_bytes", str(memory_bytes))
        if with_swap.exists():
            write(with_swap, str(memory_bytes))
        pids = self._root / "pids" / path / "pids.max"
        if pids.exists():
            write(pids, str(limits.pids))

    def limit_cpu(self, path: str, cpu_units: int) -> None:
        cpu = self._root / "cpu" / path
        write(cpu / "cpu.shares", str(max(2, cpu_units)))
        write(cpu / "cpu.cfs_period_us", str(PERIOD_US))
        write(cpu / "cpu.cfs_quota_us", str(quota_us(cpu_units)))

    def stats(self, path: str) -> CgroupStats | None:
        memory, cpu = self._root / "memory" / path, self._root / "cpu" / path
        account = self._root / "cpuacct" / path
        try:
            usage = read_int(memory / "memory.usage_in_bytes")
        except FileNotFoundError:
            return None
        detail, throttled = read_table(memory / "memory.stat"), read_table(cpu / "cpu.stat")
        return CgroupStats(
            cpu_total_ns=read_int(account / "cpuacct.usage", 0),
            cpu_user_ns=read_int(account / "cpuacct.usage_user", 0),
            cpu_system_ns=read_int(account / "cpuacct.usage_sys", 0),
            cpu_periods=throttled.get("nr_periods", 0),
            cpu_throttled_periods=throttled.get("nr_throttled", 0),
            cpu_throttled_ns=throttled.get("throttled_time", 0),
            memory_usage=usage,
            memory_max_usage=read_int(memory / "memory.max_usage_in_bytes", usage),
            memory_limit=read_int(memory / "memory.limit_in_bytes", 0),
            memory_cache=detail.get("total_cache", 0),
            memory_rss=detail.get("total_rss", 0),
            oom_kills=read_table(memory / "memory.oom_control").get("oom_kill", 0),
            pids=read_int(self._root / "pids" / path / "pids.current", 0),
            block_io=_block_io(self._root / "blkio" / path),
        )

    def directories(self, path: str) -> list[Path]:
        """Every hierarchy, also those we set nothing in: nobody else removes a task's path there."""
        roots = [Path(entry.path) for entry in os.scandir(self._root) if entry.is_dir() and not entry.is_symlink()]
        return [root / path for root in sorted(roots)]


def _block_io(directory: Path) -> tuple[BlockIo, ...]:
    """Whose queue is scheduled by BFQ is counted there; else the throttling layer counts, since Linux 6.10 only on
    devices that have a limit. Writes that the kernel made later, from its cache, belong to nobody in version 1.
    """
    for counter in ("throttle", "bfq"):
        served = _by_device(directory / f"blkio.{counter}.io_service_bytes_recursive")
        if served:
            operations = _by_device(directory / f"blkio.{counter}.io_serviced_recursive")
            return tuple(
                BlockIo(major=key[0], minor=key[1], kind=key[2], served_bytes=value, operations=operations.get(key, 0))
                for key, value in served.items()
            )
    return ()


def _by_device(path: Path) -> dict[tuple[int, int, str], int]:
    rows = [(major, minor, words) for major, minor, words in read_devices(path) if len(words) == 2]
    return {(major, minor, words[0]): int(words[1]) for major, minor, words in rows if words[1].isdigit()}
