"""The saved machines of this host: which there are, from which one a task's machine may go on, and when one is made.

Owns their directory, how many are kept, and for how long a size is tried that does not come out. One is made in the
background, one at a time, after a machine of its size had to boot. Invariant: what is in the directory is whole and of
this host's monitor, processor and guest, or it goes.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from .errors import GuestRefused
from .guest import Guest
from .hello import NoHello
from .parts import LANE, Parts, Spares
from .rehearsal import prepare, rehearse
from .shapes import Shape, is_of_key, shape_named, snapshot_name, spare_spec
from .spares import FAILURES, FIRST_SAVED, SpareMachines
from .vmm import MachineRefused, VmmError

_FAILURES_MAX = 3  # of a size, in an agent's life


class Snapshots:
    """`on_saved`: called when there is one of another size."""

    def __init__(self, parts: Parts, spares: Spares, machines: SpareMachines) -> None:
        self._parts = parts
        self._directory = spares.snapshots
        self._machines = machines
        self._found: dict[Shape, str] = {}  # the one that was used last comes last
        self._failed: dict[Shape, int] = {}
        self._wanted: dict[Shape, None] = {}
        self._maker: asyncio.Task[Any] | None = None
        self._is_closed = False
        self.on_saved: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Look at what there is. Raises VmmError, OSError."""
        self._found.clear()
        for name in await self._parts.world.offload(LANE, _names, self._directory):
            path = os.path.join(self._directory, name)
            named = shape_named(name)
            if named is None or named[0] in self._found or not await self._is_of_this_host(*named):
                self._parts.note(f"the saved machine {name} is of no use on this host as it is: removed")
                await self._parts.vmm.discard(path)
            else:
                self._found[named[0]] = path

    @property
    def shapes(self) -> tuple[Shape, ...]:
        return tuple(self._found)

    def find(self, shape: Shape) -> str | None:
        """The directory of one; it counts as used."""
        path = self._found.pop(shape, None)
        if path is not None:
            self._found[shape] = path
        return path

    async def drop(self, shape: Shape, path: str) -> None:
        """It is broken. Machines that went on from it are not touched."""
        if self._found.get(shape) != path:
            return  # another has done it already
        del self._found[shape]
        self._failed[shape] = self._failed.get(shape, 0) + 1
        try:
            await self._parts.vmm.discard(path)
        except OSError as error:
            self._parts.note(f"{path} cannot be removed: {error}")

    def want(self, shape: Shape) -> None:
        """A machine of that size had to boot."""
        if self._is_closed or shape in self._found or self._failed.get(shape, 0) >= _FAILURES_MAX:
            return
        self._wanted[shape] = None
        if self._maker is None or self._maker.done():
            self._maker = self._parts.world.spawn(self._make_wanted(), "microvm-snapshots")

    async def close(self) -> None:
        self._is_closed = True
        if self._maker is not None:
            self._maker.cancel()
            await asyncio.wait({self._maker})

    # -- making

    async def _make_wanted(self) -> None:
        while self._wanted:
            await self._parts.world.sleep(self._parts.knobs.microvm_snapshot_rest_s)
            shape = next(iter(self._wanted))
            try:
                self._found[shape] = await self._make(shape)
                self._parts.tell(f"a machine of {shape} is saved: the next ones go on from it")
                await self._keep_few()
                self.on_saved()
            except (*FAILURES, NoHello) as error:
                self._failed[shape] = self._failed.get(shape, 0) + 1
                self._parts.note(f"a machine of {shape} cannot be saved: {error}")
            del self._wanted[shape]

    async def _make(self, shape: Shape) -> str:
        parts, knobs = self._parts, self._parts.knobs
        name = snapshot_name(shape, await self._key(shape), parts.world.random.getrandbits(32))
        path = os.path.join(self._directory, name)
        machine_id = await self._machines.boot(shape)
        try:
            wait_s = knobs.microvm_hello_kvm_s if shape.accelerator == "kvm" else knobs.microvm_hello_s
            guest = await self._machines.hello(machine_id, wait_s, FIRST_SAVED)
            try:
                await self._rehearse(guest)
            finally:
                await guest.close()
            await parts.vmm.snapshot(machine_id, path)
        except BaseException:
            await parts.vmm.discard(path)
            raise
        finally:
            await self._machines.end(machine_id)
        return path

    async def _rehearse(self, guest: Guest) -> None:
        try:
            await prepare(guest)
            failure = await rehearse(guest)
        except GuestRefused as refused:
            failure = str(refused)
        if failure is not None:
            self._parts.note(f"a guest that is to be saved could not rehearse a container: {failure}")

    async def _keep_few(self) -> None:
        while len(self._found) > self._parts.knobs.microvm_snapshots_max:
            shape = next(iter(self._found))
            await self._parts.vmm.discard(self._found.pop(shape))

    async def _is_of_this_host(self, shape: Shape, beginning: str) -> bool:
        try:
            return is_of_key(beginning, await self._key(shape))
        except MachineRefused:
            return False

    async def _key(self, shape: Shape) -> str:
        """Raises VmmError."""
        parts = self._parts
        try:
            return await parts.vmm.snapshot_key(
                spare_spec(shape, parts.files, parts.machines, "any", "/any", for_snapshot=True)
            )
        except OSError as error:
            raise VmmError(f"the guest cannot be read: {error}") from error


def _names(directory: str) -> list[str]:
    """Those that were used last come last."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.name) for entry in os.scandir(directory)]
    return [name for _, name in sorted(found)]
