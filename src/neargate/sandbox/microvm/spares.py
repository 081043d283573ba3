"""Machines that are no task's: one that is saved, or goes on from a saved one, and waits.

Owns their names, cgroups and taps, and that nothing of them outlives the agent that made them: the next one ends what a
killed one left before it makes any. Must not know tasks.
"""

import os

from msgspec import Struct

from ...interfaces.hostnet import HostError, TaskLimits
from ...interfaces.sandbox import EngineUnavailable
from .errors import GuestGone
from .guest import Guest
from .hello import first_hello
from .parts import Parts, Spares
from .shapes import SPARE, Shape, spare_spec
from .vmm import VmmError

# Stream numbers, each once in a guest's life: that of the one that is saved goes on in all the others.
FIRST_WAITING, FIRST_SAVED = 2 << 29, 3 << 29
_ID_BITS = 64
FAILURES = (VmmError, GuestGone, HostError, EngineUnavailable, OSError)


class Spare(Struct, frozen=True, kw_only=True):
    """`tap`: a descriptor of its tap, the caller's to close."""

    machine_id: str
    tap: int


class SpareMachines:
    def __init__(self, parts: Parts, spares: Spares) -> None:
        self._parts = parts
        self._spares = spares

    async def sweep(self) -> None:
        """What a killed agent left. Raises one of FAILURES."""
        for machine in await self._parts.vmm.list_machines():
            if machine.machine_id.startswith(SPARE):
                await self._parts.vmm.destroy(machine.machine_id)
        for name in await self._spares.cgroups.list_tasks():
            await self._spares.cgroups.delete_task(name)

    async def boot(self, shape: Shape) -> str:
        """One that can be saved; its id. Raises one of FAILURES."""
        made = await self._make(shape, None)
        os.close(made.tap)
        return made.machine_id

    async def restore(self, shape: Shape, snapshot: str) -> Spare:
        """Raises one of FAILURES."""
        return await self._make(shape, snapshot)

    async def hello(self, machine_id: str, wait_s: float, first: int) -> Guest:
        """`first`: FIRST_SAVED or FIRST_WAITING. Raises NoHello."""
        return await first_hello(self._parts.world, lambda: self._spares.connect(machine_id, first), wait_s)

    async def end(self, machine_id: str) -> None:
        """With all that is left of it. Raises one of FAILURES."""
        await self._parts.vmm.destroy(machine_id)
        await self._spares.cgroups.delete_task(machine_id)

    async def _make(self, shape: Shape, snapshot: str | None) -> Spare:
        parts, cgroups = self._parts, self._spares.cgroups
        machine_id = f"{SPARE}{parts.world.random.getrandbits(_ID_BITS):016x}"
        overhead_mib = (await parts.vmm.probe()).overhead_mib
        limits = TaskLimits(cpu_units=1024 * shape.vcpus, memory_mib=shape.memory_mib + overhead_mib)
        await cgroups.create_task(machine_id, limits)
        path, is_new = cgroups.task_path(machine_id), snapshot is None
        spec = spare_spec(
            *(shape, parts.files, parts.machines, machine_id, path),
            for_snapshot=is_new,
            disk_bytes=self._spares.disk_bytes,
        )
        try:
            tap = await parts.network.open_spare_tap()
            try:
                if snapshot is None:
                    await parts.vmm.create(spec, tap)
                else:
                    await parts.vmm.restore(spec, tap, snapshot)
            except BaseException:
                os.close(tap)
                raise
        except BaseException:
            await cgroups.delete_task(machine_id)
            raise
        return Spare(machine_id=machine_id, tap=tap)
