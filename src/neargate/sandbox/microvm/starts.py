"""The ladder of starts: how a task comes by a machine whose guest is ready, by the quickest way that works.

One waits, or one that was saved goes on, or one boots. What fails on a rung falls to the one below, never to a
refusal: only the lowest one's failure is the task's. Owns that order, what is told of it, and what follows from it (a
saved machine that does not go on is removed; a size that had to boot is saved). Must not know containers.
"""

import os
from collections.abc import Awaitable, Callable, Collection, Mapping

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.hostnet import GuestInterface, HostError
from .errors import GuestGone, GuestRefused
from .guest import Guest
from .hello import Ending, NoHello, first_hello
from .parts import Parts, Spares
from .pool import Pool
from .record import Rung
from .shapes import Shape, fits, shape_of, with_places
from .snapshots import Snapshots
from .spares import FAILURES, SpareMachines
from .vmm import MachineSpec, VmmError

_TAP_ATTEMPTS = 20
_PAUSE_S = 0.1
_FALLS = (NoHello, GuestGone, GuestRefused, VmmError, HostError, OSError)


class Order(Struct, frozen=True, kw_only=True):
    """What a task wants. `spec`: its machine, without an address yet. `settle`: makes a guest the task's, whose machine
    was made as that.

    `ending`: is told when the one that was made is no more.
    """

    spec: MachineSpec
    settle: Callable[[Guest, GuestInterface, MachineSpec], Awaitable[None]]
    ending: Ending


class _Upper:
    """What the rungs above the lowest need."""

    def __init__(self, parts: Parts, spares: Spares) -> None:
        self.machines = SpareMachines(parts, spares)
        self.snapshots = Snapshots(parts, spares, self.machines)
        self.pool = Pool(parts, spares.waiting_mib, self.snapshots, self.machines)
        self.snapshots.on_saved = self.pool.look


class Starts:
    """`counts`: machines by the rung they came by, in this agent's life. `made_of`: releases of the guest and the
    monitor that machines have from now on."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.counts = dict.fromkeys(Rung, 0)
        self.made_of = ""
        self._is_started = False
        self._upper = None if parts.spares is None else _Upper(parts, parts.spares)

    async def start(self) -> None:
        """Once. That it cannot be begun costs the quicker ways, no task."""
        if self._upper is None or self._is_started:
            return
        self._is_started = True
        try:
            await self._upper.machines.sweep()
            await self._upper.snapshots.start()
            self._upper.pool.start()
        except FAILURES as error:
            self._parts.note(f"machines will not go on from saved ones: {error}")
            self._upper = None

    async def close(self) -> None:
        """Machines that are no task's end."""
        if self._upper is not None:
            await self._upper.snapshots.close()
            await self._upper.pool.close()

    async def ended(self, machine_id: str) -> None:
        """A machine that is no task's."""
        if self._upper is not None:
            await self._upper.pool.ended(machine_id)

    @property
    def saved(self) -> Collection[Shape]:
        return () if self._upper is None else self._upper.snapshots.shapes

    @property
    def waiting(self) -> Mapping[Shape, int]:
        return {} if self._upper is None else self._upper.pool.waiting

    async def acquire(self, order: Order) -> tuple[Guest, Rung]:
        """A machine whose guest is the task's, by the highest rung that holds.

        Raises NoHello, GuestGone, GuestRefused, VmmError, HostError, OSError: of the lowest.
        """
        upper, shape = self._upper, shape_of(order.spec)
        if upper is None or not fits(order.spec):
            return await self._lowest(order)
        upper.pool.begin_start()
        try:
            for rung, climb in ((Rung.WARM, self._take), (Rung.SNAPSHOT, self._go_on)):
                guest = await climb(upper, order, shape)
                if guest is not None:
                    return self._came(order, guest, rung)
            found = await self._lowest(order)
            upper.snapshots.want(shape)
            return found
        finally:
            upper.pool.end_start(shape)

    # -- rungs: None where one does not hold

    async def _take(self, upper: _Upper, order: Order, shape: Shape) -> Guest | None:
        one = upper.pool.take(shape)
        if one is None:
            return None
        task_id = order.spec.machine_id
        try:
            await self._parts.vmm.destroy(task_id)  # what a killed agent left
            interface = await self._parts.network.open_tap(task_id, one.tap)
            order.ending.begin()
            spec = with_places(replace(order.spec, mac=interface.mac))
            await self._parts.vmm.assign(one.machine_id, spec)
            return await self._settled(order, interface, spec, self._parts.knobs.microvm_restored_hello_s)
        except _FALLS as error:
            self._parts.note(f"the machine that waited for task {task_id} is of no use: {error}")
            return None
        finally:
            # What is left of it under its former name: its cgroup, or all of it.
            self._parts.world.spawn(upper.pool.end(one), f"end-{one.machine_id}")

    async def _go_on(self, upper: _Upper, order: Order, shape: Shape) -> Guest | None:
        snapshot = upper.snapshots.find(shape)
        if snapshot is None:
            return None
        try:
            return await self._made(order, snapshot)
        except _FALLS as error:
            self._parts.note(f"the machine of task {order.spec.machine_id} does not go on from a saved one: {error}")
            if not isinstance(error, (HostError, OSError)):
                await upper.snapshots.drop(shape, snapshot)
            return None

    async def _lowest(self, order: Order) -> tuple[Guest, Rung]:
        return self._came(order, await self._made(order, None), Rung.COLD)

    def _came(self, order: Order, guest: Guest, rung: Rung) -> tuple[Guest, Rung]:
        self.counts[rung] += 1
        counts = ", ".join(f"{one.value} {count}" for one, count in self.counts.items())
        self._parts.tell(f"the machine of task {order.spec.machine_id} came by {rung.value}; so far {counts}")
        return guest, rung

    async def _made(self, order: Order, snapshot: str | None) -> Guest:
        parts, machine_id, knobs = self._parts, order.spec.machine_id, self._parts.knobs
        await parts.vmm.destroy(machine_id)  # what the rung above or a killed agent left
        interface = await self._interface(machine_id)
        order.ending.begin()
        assert interface.descriptor is not None, "it was asked for until it was there"
        try:
            spec = replace(order.spec, mac=interface.mac)
            if snapshot is None:
                await parts.vmm.create(spec, interface.descriptor)
            else:
                spec = with_places(spec)
                await parts.vmm.restore(spec, interface.descriptor, snapshot)
        finally:
            os.close(interface.descriptor)
        cold_s = knobs.microvm_hello_kvm_s if order.spec.accelerator == "kvm" else knobs.microvm_hello_s
        wait_s = cold_s if snapshot is None else knobs.microvm_restored_hello_s
        return await self._settled(order, interface, spec, wait_s)

    async def _settled(self, order: Order, interface: GuestInterface, spec: MachineSpec, wait_s: float) -> Guest:
        parts, machine_id = self._parts, order.spec.machine_id
        guest = await first_hello(parts.world, lambda: parts.connect(machine_id), wait_s, order.ending)
        try:
            await order.settle(guest, interface, spec)
        except BaseException:
            await guest.close()
            raise
        return guest

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
