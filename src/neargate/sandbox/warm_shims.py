"""Keeps a shim at hand that waits for the next task, so that a launch need not start one.

Two of a create's executions are the shim's: one that starts it and the shim itself. Owns: how many wait, which task got
which. Must not know containers. Invariant: a shim is given away once, so that two tasks never share one; none is
started on the way of a launch, and a task for which none waits gets its own from containerd, as without this file.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from ..log import get_logger
from ..model.knobs import Knobs
from ..world import World
from . import shim_process
from .containerd_client import RUNTIME
from .containerd_process import ContainerdInstance
from .shim_process import NoShim, WaitingShim

_LANE = "warm-shims"
_log = get_logger(__name__)


class ShimChoice(Struct, frozen=True, kw_only=True):
    """Which shim a container goes into: that of its group, which `waiting` is when it is there already."""

    group: str
    waiting: WaitingShim | None = None

    def runtime(self, runtime_id: str) -> str:
        """The runtime's name for containerd's record of the container. Blocking."""
        return RUNTIME if self.waiting is None else self.waiting.runtime(runtime_id)


class WarmShims:
    """`own` is our containerd: beside one that is not ours no shim is kept. `directory` holds those that wait."""

    def __init__(
        self, world: World, *, own: ContainerdInstance | None, namespace: str, directory: str, knobs: Knobs
    ) -> None:
        self._world = world
        self._own = own
        self._namespace = namespace
        self._directory = directory
        self._knobs = knobs
        self._waiting: list[WaitingShim] = []
        self._given: list[tuple[WaitingShim, str]] = []  # with the container's runtime id; still to be let go
        self._groups: dict[str, str] = {}  # by task
        self._tasks: dict[str, str] = {}  # by the runtime id of its first container
        self._making = 0
        self._is_keeping = False
        self._is_over = False
        self._is_refused = False

    @property
    def ready(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def start(self) -> None:
        """Ends what an earlier agent left; keeps shims from then on."""
        told = None if self._own is None else self._own.told_dir
        try:
            await self._world.offload(_LANE, shim_process.end_all, self._directory, told)
        except OSError as error:
            _log.warning("a shim of an earlier agent is left", reason=str(error))
        self._keep_soon()

    @asynccontextmanager
    async def for_task(self, task_id: str, runtime_id: str) -> AsyncIterator[ShimChoice]:
        """For the block, which makes the container. All containers of a task go into one shim."""
        self._making += 1
        waiting = None
        if task_id not in self._groups:
            self._tasks[runtime_id] = task_id
            self._groups[task_id] = task_id
            if self._waiting:
                waiting = self._waiting.pop()
                self._groups[task_id] = waiting.group
                self._given.append((waiting, runtime_id))
        try:
            yield ShimChoice(group=self._groups[task_id], waiting=waiting)
        except BaseException:
            # The shim may have no container and will be let go, so a repeat must not count on it.
            self.deleted(runtime_id)
            raise
        finally:
            self._making -= 1
            self._keep_soon()

    def deleted(self, runtime_id: str) -> None:
        """A task's containers are deleted together. A later one of that task would get a shim of its own."""
        task_id = self._tasks.pop(runtime_id, None)
        if task_id is not None:
            self._groups.pop(task_id, None)

    async def close(self) -> None:
        """None waits any more. One that is being started is waited for: the lane does one thing at a time."""
        self._is_over = True
        await self._world.offload(_LANE, shim_process.end_all, self._directory)
        self._waiting.clear()

    def _keep_soon(self) -> None:
        if self._own is not None and not self._is_keeping and not self._is_over:
            self._is_keeping = True
            self._world.spawn(self._keep(self._own), "warm-shims")

    async def _keep(self, own: ContainerdInstance) -> None:
        try:
            await self._until_quiet()
            while self._given:
                shim, runtime_id = self._given.pop()
                await self._world.offload(_LANE, _let_go, shim, runtime_id)
                await self._while_making()  # of those that wait one may have been given away meanwhile
            while self._wants_more():
                await self._one_more(own)
        except NoShim as why:
            self._is_refused = True
            _log.info("no shim is kept for the next task", reason=str(why))
        except OSError as error:
            # containerd is away for a moment, or the machine is full: the next launch looks again.
            _log.info("no shim could be kept for the next task", reason=str(error))
        finally:
            self._is_keeping = False

    def _wants_more(self) -> bool:
        idle = not (self._making or self._is_over or self._is_refused)
        return idle and len(self._waiting) < self._knobs.warm_shims

    async def _until_quiet(self) -> None:
        await self._world.sleep(self._knobs.warm_shim_pause_s)
        await self._while_making()

    async def _while_making(self) -> None:
        while self._making and not self._is_over:
            await self._world.sleep(self._knobs.warm_shim_pause_s)

    async def _one_more(self, own: ContainerdInstance) -> None:
        group = f"{self._world.random.getrandbits(64):016x}"
        shim = await self._world.offload(
            _LANE, shim_process.start, own, self._namespace, group, os.path.join(self._directory, group)
        )
        self._waiting.append(shim)


def _let_go(shim: WaitingShim, runtime_id: str) -> None:
    """From now on it is containerd's, which ends it with its last container. Without a container it ends here."""
    shim_process.forget(shim.own, runtime_id)
    shim_process.end(shim.directory)
