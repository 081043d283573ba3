"""The log drivers of a host as the hooks see them: one shipper each, and each container's output goes to its own.

Owns which driver is whose. Must not know what drivers do. Invariant: a call that is about a task reaches all of them,
so that no file is left to nobody, whatever a launch that was rebuilt from labels says.
"""

import asyncio
from collections.abc import Sequence

from ...model.launch import TaskLaunch
from ...world import World
from .shipper import LogShipper


class LogDrivers:
    """Implements `task_context.Logs`."""

    def __init__(self, *, awslogs: LogShipper, splunk: LogShipper) -> None:
        self._awslogs = awslogs
        self._splunk = splunk

    async def file(self, launch: TaskLaunch, container: str, runtime_id: str) -> str:
        return await self._of(launch, container).file(launch, container, runtime_id)

    async def open(self, launch: TaskLaunch, container: str, runtime_id: str) -> str:
        return await self._of(launch, container).open(launch, container, runtime_id)

    async def adopt(self, launch: TaskLaunch, container: str, runtime_id: str) -> None:
        for shipper in self._all():
            await shipper.adopt(launch, container, runtime_id)

    async def restore(self, alive: frozenset[str]) -> None:
        for shipper in self._all():
            await shipper.restore(alive)

    async def stopping(self, task_id: str) -> None:
        for shipper in self._all():
            await shipper.stopping(task_id)

    async def finish(self, task_id: str) -> None:
        await asyncio.gather(*(shipper.finish(task_id) for shipper in self._all()))

    def dropped(self, task_id: str, container: str) -> int:
        return sum(shipper.dropped(task_id, container) for shipper in self._all())

    def forget(self, task_id: str) -> None:
        for shipper in self._all():
            shipper.forget(task_id)

    def begin(self, world: World) -> None:
        for shipper in self._all():
            world.spawn(shipper.run(), "agent-logs")

    def _all(self) -> Sequence[LogShipper]:
        return self._awslogs, self._splunk

    def _of(self, launch: TaskLaunch, name: str) -> LogShipper:
        return self._awslogs if launch.container(name).splunk is None else self._splunk
