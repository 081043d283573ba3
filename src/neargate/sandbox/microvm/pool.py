"""Machines that wait for a task: each went on from a saved one, has shown that it lives, and stands still.

Owns which there are, and their replenishment in the background by `pool_plan.py`. They have nothing of any task, and
each is given away once. Invariant: they end with the agent; those of a killed one are ended by the next
(`spares.py`). None is made while tasks come by their machines, nor just after, within a bound: those that start are
worth more than those to come.
"""

import asyncio
import os
from collections import Counter
from typing import Any

from msgspec import Struct

from .hello import NoHello
from .parts import Parts
from .pool_plan import Targets, Want, plan_pool
from .rehearsal import rehearse
from .shapes import Shape
from .snapshots import Snapshots
from .spares import FAILURES, FIRST_WAITING, SpareMachines

_WANTS_MAX = 4096
_FAILURES_MAX = 3  # of a size, one after the other
_REST_MAX_S = 10.0
_BUSY_LOOK_S = 0.25


class Waiting(Struct, frozen=True, kw_only=True):
    """`tap`: a descriptor of its tap, which leads nowhere; whoever takes the machine closes it."""

    machine_id: str
    shape: Shape
    tap: int


class Pool:
    """`budget_mib`: of memory, for all that wait; 0: none does."""

    def __init__(self, parts: Parts, budget_mib: int, snapshots: Snapshots, machines: SpareMachines) -> None:
        self._parts = parts
        self._budget_mib = budget_mib
        self._snapshots = snapshots
        self._machines = machines
        self._waiting: list[Waiting] = []
        self._wants: list[Want] = []
        self._failed: Counter[Shape] = Counter()
        self._starting = 0
        self._quiet_at = 0.0
        self._news = asyncio.Event()
        self._keeper: asyncio.Task[Any] | None = None

    def start(self) -> None:
        if self._budget_mib and self._keeper is None:
            self._keeper = self._parts.world.spawn(self._keep(), "microvm-pool")

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        while self._waiting:
            await self.end(self._waiting.pop())

    @property
    def waiting(self) -> Counter[Shape]:
        return Counter(one.shape for one in self._waiting)

    def begin_start(self) -> None:
        """A task comes by its machine from here on."""
        self._starting += 1

    def end_start(self, shape: Shape) -> None:
        """It has one, or has failed."""
        self._starting -= 1
        self._quiet_at = self._parts.world.monotonic() + self._parts.knobs.microvm_snapshot_rest_s
        if self._budget_mib:
            self._wants = [*self._wants[-_WANTS_MAX + 1 :], Want(shape=shape, at=self._parts.world.monotonic())]
            self._news.set()

    def look(self) -> None:
        """Something has changed that may let more of them wait."""
        self._news.set()

    def take(self, shape: Shape) -> Waiting | None:
        """It is the caller's."""
        for one in self._waiting:
            if one.shape == shape:
                self._waiting.remove(one)
                return one
        return None

    async def ended(self, machine_id: str) -> None:
        """Its process is gone."""
        for one in self._waiting:
            if one.machine_id == machine_id:
                self._waiting.remove(one)
                await self.end(one)
                self._news.set()
                return

    # -- replenishment

    async def _keep(self) -> None:
        while True:
            while await self._step():
                pass
            self._news.clear()
            try:
                async with asyncio.timeout(self._parts.knobs.microvm_pool_look_s):
                    await self._news.wait()
            except TimeoutError:
                pass  # wants are forgotten with time

    async def _step(self) -> bool:
        """One machine ended or made. False: all is as it should be."""
        await self._rest()
        now = self._parts.world.monotonic()
        savable = [shape for shape in self._snapshots.shapes if self._failed[shape] < _FAILURES_MAX]
        plan = plan_pool(self._wants, self.waiting, savable, await self._targets(), now)
        if plan.end:
            surplus = self.take(plan.end[0])
            if surplus is not None:
                await self.end(surplus)
            return True
        return bool(plan.make) and await self._make(plan.make[0])

    async def _rest(self) -> None:
        """Until no task starts; a stream of starts that does not end is not waited for."""
        clock, deadline = self._parts.world.monotonic, self._parts.world.monotonic() + _REST_MAX_S
        while (self._starting or clock() < self._quiet_at) and clock() < deadline:
            await self._parts.world.sleep(_BUSY_LOOK_S)

    async def _targets(self) -> Targets:
        knobs = self._parts.knobs
        return Targets(
            budget_mib=self._budget_mib,
            overhead_mib=(await self._parts.vmm.probe()).overhead_mib,
            kept_s=knobs.microvm_pool_kept_s,
            burst_s=knobs.microvm_pool_burst_s,
        )

    async def _make(self, shape: Shape) -> bool:
        snapshot = self._snapshots.find(shape)
        if snapshot is None:
            return False
        try:
            self._waiting.append(await self._made(shape, snapshot))
            self._failed[shape] = 0
        except (*FAILURES, NoHello) as error:
            self._failed[shape] += 1
            self._parts.note(f"no machine of {shape} can wait for a task: {error}")
        return True

    async def _made(self, shape: Shape, snapshot: str) -> Waiting:
        parts = self._parts
        made = await self._machines.restore(shape, snapshot)
        one = Waiting(machine_id=made.machine_id, shape=shape, tap=made.tap)
        try:
            guest = await self._machines.hello(one.machine_id, parts.knobs.microvm_restored_hello_s, FIRST_WAITING)
            try:
                await rehearse(guest)
            finally:
                await guest.close()
            await parts.vmm.pause(one.machine_id)
        except BaseException:
            await self.end(one)
            raise
        return one

    async def end(self, one: Waiting) -> None:
        """With all that has its name."""
        os.close(one.tap)
        try:
            await self._machines.end(one.machine_id)
        except FAILURES as error:
            self._parts.note(f"a machine that waited does not end: {error}")
