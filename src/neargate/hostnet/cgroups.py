"""A cgroup per task below `/neargate-INSTANCE`, on whatever cgroup version the machine has.

Owns the task's own cgroup and its limits; the runtime makes the containers' cgroups inside it. Killing what runs in
them is the sandbox's work: here only empty cgroups are removed. Statistics are the same for both versions.
"""

import errno
import os
from pathlib import Path
from typing import Protocol

from ..interfaces.hostnet import CgroupStats, HostError, TaskLimits
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..world import World
from .attachments import safe_id, safe_name
from .cgroups_v1 import HierarchiesV1
from .cgroups_v2 import HierarchyV2

_LANE = "cgroups"


class Hierarchies(Protocol):
    """One cgroup version. Paths are relative to the root of a hierarchy, without leading slash."""

    def create(self, parent: str, path: str, limits: TaskLimits) -> None: ...

    def limit_cpu(self, path: str, cpu_units: int) -> None: ...

    def stats(self, path: str) -> CgroupStats | None: ...

    def directories(self, path: str) -> list[Path]:
        """The directory of the path in every hierarchy where it may exist."""


def detect(root: Path) -> Hierarchies:
    """Version 2 where its root has the memory controller; on hybrid machines that one still belongs to version 1."""
    controllers = root / "cgroup.controllers"
    if controllers.exists() and "memory" in controllers.read_text().split():
        return HierarchyV2(root)
    if (root / "memory").is_dir():
        return HierarchiesV1(root)
    raise HostError(f"no memory controller below {root}: mount cgroup v2 or boot with it")


class LinuxCgroups:
    """HostCgroups. `root` is where cgroups are mounted; tests give a tree of plain files."""

    def __init__(
        self,
        world: World,
        *,
        instance: str,
        root: Path = Path("/sys/fs/cgroup"),
        knobs: Knobs = DEFAULT_KNOBS,
    ) -> None:
        self._world = world
        self._parent = f"neargate-{safe_id(instance)}"
        self._hierarchies = detect(root)
        self._knobs = knobs

    def task_path(self, task_id: str) -> str:
        return f"/{self._relative(task_id)}"

    async def create_task(self, task_id: str, limits: TaskLimits) -> None:
        path = self._relative(task_id)
        try:
            await self._world.offload(_LANE, self._hierarchies.create, self._parent, path, limits)
        except OSError as error:
            raise HostError(f"cannot set the limits of task {task_id}: {error}") from error

    async def limit_cpu(self, task_id: str, limits: TaskLimits) -> None:
        try:
            await self._world.offload(_LANE, self._hierarchies.limit_cpu, self._relative(task_id), limits.cpu_units)
        except OSError as error:
            raise HostError(f"cannot limit the CPU of task {task_id}: {error}") from error

    async def used_memory(self) -> int:
        stats = await self._world.offload(_LANE, self._hierarchies.stats, self._parent)
        return 0 if stats is None else stats.memory_usage

    async def used_cpu_ns(self) -> int:
        stats = await self._world.offload(_LANE, self._hierarchies.stats, self._parent)
        return 0 if stats is None else stats.cpu_total_ns

    async def task_stats(self, task_id: str) -> CgroupStats | None:
        return await self._world.offload(_LANE, self._hierarchies.stats, self._relative(task_id))

    async def container_stats(self, task_id: str, container: str) -> CgroupStats | None:
        path = f"{self._relative(task_id)}/{safe_name(container)}"
        return await self._world.offload(_LANE, self._hierarchies.stats, path)

    async def delete_task(self, task_id: str) -> None:
        """Raises HostError when processes are still in it after a bounded wait."""
        path = self._relative(task_id)
        for attempt in range(self._knobs.unmount_attempts):
            busy = await self._world.offload(_LANE, self._remove, path)
            if busy is None:
                return
            if attempt + 1 < self._knobs.unmount_attempts:
                await self._world.sleep(self._knobs.unmount_retry_s)
        raise HostError(f"processes are still in {busy}")

    async def list_tasks(self) -> list[str]:
        def names() -> list[str]:
            found: set[str] = set()
            for directory in self._hierarchies.directories(self._parent):
                if directory.is_dir():
                    found |= {entry.name for entry in os.scandir(directory) if entry.is_dir()}
            return sorted(found)

        return await self._world.offload(_LANE, names)

    def _relative(self, task_id: str) -> str:
        return f"{self._parent}/{safe_id(task_id)}"

    def _remove(self, path: str) -> Path | None:
        """The first directory that is still in use, or None when all are gone."""
        for directory in self._hierarchies.directories(path):
            for below, _, _ in os.walk(directory, topdown=False):
                if not _rmdir(Path(below)):
                    return Path(below)
        # The instance's own cgroup goes with its last task.
        for directory in self._hierarchies.directories(self._parent):
            _rmdir(directory)
        return None


def _rmdir(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if error.errno != errno.ENOENT:
            raise
    return True
