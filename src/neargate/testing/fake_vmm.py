"""A machine monitor without machines: each has a fake guest with a runtime behind its socket. It outlives the agent.

Tests let machines fail to come up, end, or be paused, and look at what they were made of.
"""

# ruff: noqa: ARG002  the parameters are the seam's

import asyncio
import hashlib
import os
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ..sandbox.microvm.connecting import AGENT_SOCKET
from ..sandbox.microvm.connection import dial
from ..sandbox.microvm.vmm import (
    Accelerator,
    MachineEnd,
    MachineGone,
    MachineRefused,
    MachineSpec,
    MachineState,
    VmmFacts,
)
from .fake_crun import CrunGuest
from .fake_guest import FakeFile

OVERHEAD_MIB = 40
_FIRST_PID = 4000


def _key_file(snapshot: str) -> Path:
    return Path(snapshot, "key")


class FakeMachine(Struct):
    spec: MachineSpec
    guest: CrunGuest
    pid: int
    had_tap: bool


class FakeVmm:
    """Implements sandbox.microvm.vmm.Vmm. `guest`: makes one on the given socket path.

    A snapshot is a directory with the key of its machine; whoever goes on from one begins with its guest's files.
    """

    def __init__(self, guest: Callable[[str], CrunGuest], *, has_snapshots: bool = False) -> None:
        self.machines: dict[str, FakeMachine] = {}
        self.made: list[MachineSpec] = []
        self.restored: list[str] = []  # ids of those that went on from a snapshot
        self.has_snapshots = has_snapshots
        self.assigned: list[MachineSpec] = []  # of those that waited
        self.added: list[MachineSpec] = []  # disks that came after their machine
        self._saved: dict[str, dict[str, FakeFile]] = {}
        self.saves_nothing = False
        self.assigns_nothing = False
        self.spoils: Callable[[CrunGuest], object] | None = None  # the guest of the next that goes on from a snapshot
        self.silent = 0  # so many machines to come say no hello
        self.refuses: frozenset[Accelerator] = frozenset()  # ways in which no machine can be made
        self.version = "fake"
        self._guest = guest
        self._ends: list[MachineEnd] = []
        self._listener: Callable[[], None] = lambda: None

    # -- what tests do

    def guest(self, machine_id: str) -> CrunGuest:
        return self.machines[machine_id].guest

    async def end(self, machine_id: str, kind: str = "killed") -> None:
        """Its process is killed behind everybody's back."""
        machine = self.machines[machine_id]
        machine.pid = 0
        self.tell(machine_id, kind)
        await machine.guest.stop()

    def tell(self, machine_id: str, kind: str) -> None:
        """That it ended; its process may be there yet."""
        self._ends.append(MachineEnd(machine_id=machine_id, kind=kind, detail="SIGKILL"))  # type: ignore[arg-type]
        self._listener()

    # -- the seam

    async def probe(self) -> VmmFacts:
        return VmmFacts(
            version=self.version,
            kvm_refusal=None,
            emulation_refusal=None,
            tsc_khz=0,
            overhead_mib=OVERHEAD_MIB,
            has_snapshots=self.has_snapshots,
        )

    async def start(self) -> None:
        """There is nothing to find: all machines are this object's."""

    async def create(self, spec: MachineSpec, tap: int | None) -> None:
        if spec.accelerator in self.refuses:
            raise MachineRefused("The fake monitor makes no machines.")
        if spec.machine_id in self.machines:
            return
        self.made.append(spec)
        os.makedirs(spec.directory, mode=0o700, exist_ok=True)
        guest = self._guest(os.path.join(spec.directory, AGENT_SOCKET))
        if self.silent:
            self.silent -= 1
            guest.is_deaf = True
        await guest.start()
        pid = _FIRST_PID + len(self.made)
        self.machines[spec.machine_id] = FakeMachine(spec=spec, guest=guest, pid=pid, had_tap=tap is not None)

    async def restore(self, spec: MachineSpec, tap: int | None, snapshot: str) -> None:
        try:
            saved = _key_file(snapshot).read_text()
        except OSError:
            raise MachineRefused("It is broken.") from None
        if saved != await self.snapshot_key(spec):
            raise MachineRefused("It is of another kind of machine.")
        self.restored.append(spec.machine_id)
        await self.create(spec, tap)
        self.guest(spec.machine_id).files |= self._saved.get(snapshot, {})
        if self.spoils is not None:
            self.spoils(self.guest(spec.machine_id))
            self.spoils = None

    async def assign(self, machine_id: str, spec: MachineSpec) -> None:
        machine = self._known(machine_id)
        if self.assigns_nothing:
            raise MachineRefused("The fake monitor gives nothing away.")
        del self.machines[machine_id]
        os.rename(machine.spec.directory, spec.directory)
        machine.spec = spec
        machine.guest.is_deaf = False
        self.machines[spec.machine_id] = machine
        self.assigned.append(spec)

    async def add_disks(self, machine_id: str, spec: MachineSpec) -> None:
        assert not self._known(machine_id).guest.has_disks, "its guest has taken them"
        self.added.append(spec)

    async def snapshot_key(self, spec: MachineSpec) -> str:
        return hashlib.sha256(repr((self.version, spec.vcpus, spec.memory_mib)).encode()).hexdigest()

    async def snapshot(self, machine_id: str, directory: str) -> None:
        machine = self._known(machine_id)
        os.makedirs(f"{directory}.new")
        if self.saves_nothing:
            raise MachineRefused("The fake monitor saves nothing.")
        _key_file(f"{directory}.new").write_text(await self.snapshot_key(machine.spec))
        os.rename(f"{directory}.new", directory)
        self._saved[directory] = {path: replace(file) for path, file in machine.guest.files.items()}

    async def discard(self, snapshot: str) -> None:
        for place in (snapshot, f"{snapshot}.new"):
            shutil.rmtree(place, ignore_errors=True)

    async def pause(self, machine_id: str) -> None:
        self._known(machine_id).guest.is_deaf = True

    async def resume(self, machine_id: str) -> None:
        self._known(machine_id).guest.is_deaf = False

    async def destroy(self, machine_id: str) -> None:
        machine = self.machines.pop(machine_id, None)
        if machine is None:
            return
        if machine.pid:
            await machine.guest.stop()
        shutil.rmtree(machine.spec.directory, ignore_errors=True)

    async def list_machines(self) -> list[MachineState]:
        return [MachineState(machine_id=name, pid=machine.pid) for name, machine in self.machines.items()]

    async def connect(self, machine_id: str) -> socket.socket:
        return dial(self._known(machine_id).spec.directory, AGENT_SOCKET)

    async def console(self, machine_id: str) -> str:
        return "the fake guest's last words"

    async def ended(self) -> AsyncIterator[MachineEnd]:
        news = asyncio.Event()
        self._listener = news.set
        while True:
            while self._ends:
                yield self._ends.pop(0)
            await news.wait()
            news.clear()

    async def close(self) -> None:
        """Machines run on."""

    def _known(self, machine_id: str) -> FakeMachine:
        machine = self.machines.get(machine_id)
        if machine is None or not machine.pid:
            raise MachineGone(f"There is no machine {machine_id}.")
        return machine
