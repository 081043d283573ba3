"""The ladder of starts: how a task comes by a machine whose guest is ready, by the quickest way that works.

A machine that was saved goes on, or one boots. What fails on a rung falls to the one below, never to a refusal: only
the lowest one's failure is the task's. Owns that order, what is told of it, and what of it has a consequence (a saved
machine that does not go on is removed; a size that had to boot is saved). Must not know containers.
"""

import os
from collections.abc import Awaitable, Callable

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.hostnet import GuestInterface, HostError
from .errors import GuestGone, GuestRefused
from .guest import Guest
from .hello import NoHello, first_hello
from .parts import Parts
from .record import Rung
from .shapes import fits, shape_of, with_places
from .snapshots import Snapshots
from .spares import FAILURES, SpareMachines
from .vmm import MachineSpec, VmmError

_TAP_ATTEMPTS = 20
_PAUSE_S = 0.1
_FALLS = (NoHello, GuestGone, GuestRefused, VmmError, HostError, OSError)


class Order(Struct, frozen=True, kw_only=True):
    """What a task wants. `spec`: its machine, without an address yet. `settle`: makes a guest the task's.

    `begin`: called before each machine that is made; `has_ended`: whether the one that was made is no more.
    """

    spec: MachineSpec
    settle: Callable[[Guest, GuestInterface], Awaitable[None]]
    begin: Callable[[], None]
    has_ended: Callable[[], bool]


class Starts:
    """`counts`: machines by the rung they came by, in this agent's life."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.counts = dict.fromkeys(Rung, 0)
        self._snapshots: Snapshots | None = None
        if parts.spares is not None:
            self._machines = SpareMachines(parts, parts.spares)
            self._snapshots = Snapshots(parts, parts.spares, self._machines)

    async def start(self) -> None:
        """That it cannot be begun costs the quicker ways, no task."""
        if self._snapshots is None:
            return
        try:
            await self._machines.sweep()
            await self._snapshots.start()
        except FAILURES as error:
            self._parts.note(f"machines will not go on from saved ones: {error}")
            self._snapshots = None

    async def close(self) -> None:
        if self._snapshots is not None:
            await self._snapshots.close()

    async def acquire(self, order: Order) -> tuple[Guest, Rung]:
        """A machine whose guest is the task's, by the highest rung that holds.

        Raises NoHello, GuestGone, GuestRefused, VmmError, HostError, OSError: of the lowest.
        """
        for rung, climb in ((Rung.SNAPSHOT, self._go_on), (Rung.COLD, self._boot)):
            await self._parts.vmm.destroy(order.spec.machine_id)  # what the rung above or a killed agent left
            guest = await climb(order)
            if guest is not None:
                self.counts[rung] += 1
                return guest, rung
        raise AssertionError("the lowest rung holds or raises")

    # -- rungs: None where one does not hold

    async def _go_on(self, order: Order) -> Guest | None:
        shape = shape_of(order.spec)
        snapshot = None if self._snapshots is None or not fits(order.spec) else self._snapshots.find(shape)
        if self._snapshots is None or snapshot is None:
            return None
        try:
            return await self._made(order, snapshot)
        except _FALLS as error:
            self._parts.note(f"the machine of task {order.spec.machine_id} does not go on from a saved one: {error}")
            if not isinstance(error, (HostError, OSError)):
                await self._snapshots.drop(shape, snapshot)
            return None

    async def _boot(self, order: Order) -> Guest:
        guest = await self._made(order, None)
        if self._snapshots is not None and fits(order.spec):
            self._snapshots.want(shape_of(order.spec))
        return guest

    async def _made(self, order: Order, snapshot: str | None) -> Guest:
        parts, machine_id = self._parts, order.spec.machine_id
        interface = await self._interface(machine_id)
        order.begin()
        assert interface.descriptor is not None, "it was asked for until it was there"
        try:
            spec = replace(order.spec, mac=interface.mac)
            if snapshot is None:
                await parts.vmm.create(spec, interface.descriptor)
            else:
                await parts.vmm.restore(with_places(spec), interface.descriptor, snapshot)
        finally:
            os.close(interface.descriptor)
        guest = await first_hello(
            parts.world, lambda: parts.connect(machine_id), self._hello_s(order.spec, snapshot), order.has_ended
        )
        try:
            await order.settle(guest, interface)
        except BaseException:
            await guest.close()
            raise
        return guest

    def _hello_s(self, spec: MachineSpec, snapshot: str | None) -> float:
        knobs = self._parts.knobs
        if snapshot is not None:
            return knobs.microvm_restored_hello_s
        return knobs.microvm_hello_kvm_s if spec.accelerator == "kvm" else knobs.microvm_hello_s

    async def _interface(self, task_id: str) -> GuestInterface:
        """With its tap: a machine that just ended may have it for another moment. Raises HostError."""
        for attempt in range(_TAP_ATTEMPTS):
            try:
                interface = await self._parts.network.open_tap(task_id)
                if interface.descriptor is not None:
                    return interface
                failure = HostError("another machine has the task's interface")
            except HostError as error:
                failure = error
            if attempt + 1 < _TAP_ATTEMPTS:
                await self._parts.world.sleep(_PAUSE_S)
        raise failure
