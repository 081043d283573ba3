"""What a guest's cgroups have counted, in the words of the host's (`interfaces.hostnet.CgroupStats`).

Owns the reading of version 2's files through the guest. Invariant: a number is one, however hostile the guest: at most
18 digits, and what is no number is 0.
"""

import re
from collections.abc import Iterator

from ...interfaces.hostnet import BlockIo, CgroupStats, HostCgroups, TaskLimits
from ...interfaces.sandbox import EngineUnavailable
from . import places
from .engine import MicroVmSandbox
from .errors import GuestGone, GuestRefused
from .guest import Guest

_LINE = re.compile(rb"^([a-z_]{1,64}) (\d{1,18})$", re.MULTILINE | re.ASCII)
_NUMBER = re.compile(rb"\A(\d{1,18})\n?\Z", re.ASCII)
_DEVICE = re.compile(rb"^(\d{1,5}):(\d{1,7}) ([a-z0-9= ]{1,512})$", re.MULTILINE | re.ASCII)
_FIELD = re.compile(rb"([a-z]{1,16})=(\d{1,18})", re.ASCII)
_DEVICES_MAX = 32
_KINDS = (("Read", "r"), ("Write", "w"), ("Discard", "d"))


class MachineCgroups:
    """Implements interfaces.hostnet.HostCgroups: limits are the host's (`cgroups`), counters those of the guests."""

    def __init__(self, cgroups: HostCgroups, sandbox: MicroVmSandbox) -> None:
        self._cgroups = cgroups
        self._sandbox = sandbox

    def task_path(self, task_id: str) -> str:
        return self._cgroups.task_path(task_id)

    async def create_task(self, task_id: str, limits: TaskLimits) -> None:
        await self._cgroups.create_task(task_id, limits)

    async def limit_cpu(self, task_id: str, limits: TaskLimits) -> None:
        await self._cgroups.limit_cpu(task_id, limits)

    async def used_memory(self) -> int:
        return await self._cgroups.used_memory()

    async def used_cpu_ns(self) -> int:
        return await self._cgroups.used_cpu_ns()

    async def task_stats(self, task_id: str) -> CgroupStats | None:
        return await self._read(task_id, places.TASK_CGROUP)

    async def container_stats(self, task_id: str, container: str) -> CgroupStats | None:
        return await self._read(task_id, places.cgroup(container))

    async def delete_task(self, task_id: str) -> None:
        await self._cgroups.delete_task(task_id)

    async def list_tasks(self) -> list[str]:
        return await self._cgroups.list_tasks()

    async def _read(self, task_id: str, group: str) -> CgroupStats | None:
        """None where there is no machine that could be asked."""
        try:
            guest = self._sandbox.guest_of(task_id)
            return None if guest is None else await read_counters(guest, places.CGROUPS + group)
        except (EngineUnavailable, GuestGone):
            return None


async def read_counters(guest: Guest, directory: str) -> CgroupStats | None:
    """None when there is no such cgroup. Raises GuestGone."""
    usage = _number(await _text(guest, f"{directory}/memory.current"))
    if usage is None:
        return None
    cpu = _table(await _text(guest, f"{directory}/cpu.stat"))
    memory = _table(await _text(guest, f"{directory}/memory.stat"))
    return CgroupStats(
        cpu_total_ns=cpu.get("usage_usec", 0) * 1000,
        cpu_user_ns=cpu.get("user_usec", 0) * 1000,
        cpu_system_ns=cpu.get("system_usec", 0) * 1000,
        cpu_periods=cpu.get("nr_periods", 0),
        cpu_throttled_periods=cpu.get("nr_throttled", 0),
        cpu_throttled_ns=cpu.get("throttled_usec", 0) * 1000,
        memory_usage=usage,
        memory_max_usage=_number(await _text(guest, f"{directory}/memory.peak")) or usage,
        memory_limit=_number(await _text(guest, f"{directory}/memory.max")) or 0,
        memory_cache=memory.get("file", 0),
        memory_rss=memory.get("anon", 0),
        oom_kills=_table(await _text(guest, f"{directory}/memory.events")).get("oom_kill", 0),
        pids=_number(await _text(guest, f"{directory}/pids.current")) or 0,
        block_io=tuple(_block_io(await _text(guest, f"{directory}/io.stat"))),
    )


async def _text(guest: Guest, path: str) -> bytes:
    try:
        return await guest.read(path)
    except GuestRefused:
        return b""


def _number(text: bytes) -> int | None:
    """None of `max`, which is no limit."""
    found = _NUMBER.match(text)
    return int(found.group(1)) if found else None


def _table(text: bytes) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in _LINE.findall(text)}


def _block_io(text: bytes) -> Iterator[BlockIo]:
    for major, minor, words in _DEVICE.findall(text)[:_DEVICES_MAX]:
        values = {name.decode(): int(value) for name, value in _FIELD.findall(words)}
        kinds = {kind: (values.get(f"{short}bytes", 0), values.get(f"{short}ios", 0)) for kind, short in _KINDS}
        kinds["Total"] = (sum(served for served, _ in kinds.values()), sum(count for _, count in kinds.values()))
        for kind, (served, count) in kinds.items():
            yield BlockIo(major=int(major), minor=int(minor), kind=kind, served_bytes=served, operations=count)
