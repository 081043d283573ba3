"""Vmm with Firecracker, in its jailer: how a machine is created, restored, saved and ended.

Owns the order of things. The calls and the command line are `firecracker_command.py`'s, directories and ends
`machines.py`'s. **Not run with a real Firecracker yet, and not offered by `neargate up`** (docs/microvms.md says what
is missing): what is known of it is that the API and the jailer are used as they are documented.
"""

import asyncio
import os
import re
import shutil
import socket
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ...world import World, within
from . import confinement, firecracker_command, firecracker_program, qemu_program
from .confinement import Plan
from .connection import dial
from .digests import Digests
from .firecracker_api import Api, Call
from .firecracker_command import FirecrackerProgram, JailedInterface
from .machines import DETAIL_MAX, LANE, MachineRecord, Machines, remove_saved
from .qemu_command import all_disks
from .qmp import printable
from .vmm import (
    MachineEnd,
    MachineGone,
    MachineRefused,
    MachineSpec,
    MachineState,
    MachineStuck,
    VmmFacts,
    VmmMissing,
)

_NO_EMULATION = "Firecracker emulates no machines"
_CLOSED = "Firecracker takes no disk into a jail that is closed; have its machine restored"
_OVERHEAD_MIB = 32  # its own few, and its program's copy in the jail, which may lie in memory
_WAIT_S = 20.0  # for the jailer and the socket; for a guest that does not listen yet
_ASK_S = 5.0
_SAVE_S = 60.0
_TURN_S = 0.005
_PLACEHOLDER_BYTES = 4096  # of a disk without a file, in a machine that is to be saved
_FILE_MIN = 16 << 20  # the jailer copies the program into the jail under the same limit
_LINE_MAX = 32
_OK = re.compile(rb"OK \d{1,10}\n")


class _Host(Struct, frozen=True, kw_only=True):
    program: FirecrackerProgram
    facts: VmmFacts


class FirecrackerVmm:
    """`directory`: of this driver's machines. `program`, `jailer`: of one release, installed by the operator.

    `interface`: where the tap of a machine is, which no descriptor holds open; None: it has none. `create`'s own `tap`
    is not used: Firecracker opens a tap by its name.
    """

    def __init__(
        self,
        world: World,
        directory: Path,
        *,
        program: str,
        jailer: str,
        interface: Callable[[str, int], JailedInterface | None] = lambda _machine_id, _uid: None,
        cgroup_root: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        self._world = world
        self._machines = Machines(world, directory, cgroup_root, guest_end_status=0)
        self._programs = (program, jailer)
        self._interface = interface
        self._host: _Host | None = None
        self._digests = Digests(world, LANE)

    async def probe(self) -> VmmFacts:
        return (await self._probed()).facts

    async def start(self) -> None:
        await self._machines.adopt()

    async def create(self, spec: MachineSpec, tap: int | None) -> None:  # noqa: ARG002  the seam's
        await self._begin(spec, None)

    async def restore(self, spec: MachineSpec, tap: int | None, snapshot: str) -> None:  # noqa: ARG002
        await self._begin(spec, snapshot)

    async def assign(self, machine_id: str, spec: MachineSpec) -> None:  # noqa: ARG002  the seam's
        """Refused: a drive is given by its path in the jail, and what is bound into a jail is so before its process is.

        Whoever wants a machine at once has one restored, whose jail is made for its own disks.
        """
        await self._machines.found(machine_id)
        raise MachineRefused(_CLOSED)

    async def add_disks(self, machine_id: str, spec: MachineSpec) -> None:  # noqa: ARG002  the seam's
        """Refused, as `assign` is: a machine is made when its disks are there."""
        await self._machines.found(machine_id)
        raise MachineRefused(_CLOSED)

    async def discard(self, snapshot: str) -> None:
        """Jails that go on from it have its files by mounts of their own."""
        await self._world.offload(LANE, remove_saved, Path(snapshot))

    async def snapshot_key(self, spec: MachineSpec) -> str:
        host = await self._probed()
        paths = (spec.kernel, spec.initramfs, spec.tools)
        contents = [await self._digests.of(path) for path in paths]
        return firecracker_command.key(spec, host.program, tuple(contents))

    async def snapshot(self, machine_id: str, directory: str) -> None:
        record = await self._machines.found(machine_id)
        if not record.monitor:
            raise MachineRefused(f"machine {machine_id} was not made to be saved")
        if record.is_saved:
            raise MachineRefused(f"machine {machine_id} was saved already")
        await self._machines.note(replace(record, is_saved=True))
        await self._ask(machine_id, firecracker_command.state_call("Paused"))
        await self._ask(machine_id, firecracker_command.save_call(), timeout_s=_SAVE_S)
        root = await self._root(machine_id)
        await self._world.offload(LANE, _publish, root, Path(directory), record.monitor)

    async def pause(self, machine_id: str) -> None:
        await self._ask(machine_id, firecracker_command.state_call("Paused"))

    async def resume(self, machine_id: str) -> None:
        if (await self._machines.found(machine_id)).is_saved:
            raise MachineRefused(f"machine {machine_id} was saved: its memory is the snapshot's")
        await self._ask(machine_id, firecracker_command.state_call("Resumed"))

    async def destroy(self, machine_id: str) -> None:
        await self._machines.destroy(machine_id)

    async def list_machines(self) -> list[MachineState]:
        return await self._machines.list_machines()

    async def connect(self, machine_id: str) -> socket.socket:
        """Waits until the guest listens: what is sent before would be lost, unlike on a port of QEMU's."""
        deadline = self._world.monotonic() + _WAIT_S
        while self._world.monotonic() < deadline:
            await self._machines.found(machine_id)
            connection = await self._connected(machine_id)
            if connection is not None:
                return connection
            await self._world.sleep(_TURN_S)
        raise MachineStuck(f"the guest of machine {machine_id} does not listen")

    async def console(self, machine_id: str) -> str:
        """Of what it wrote since it was asked last 64 KiB are kept, the first ones."""
        return printable(self._machines.last_words(machine_id).replace("\r\n", "\n"), DETAIL_MAX)

    def ended(self) -> AsyncIterator[MachineEnd]:
        return self._machines.ended()

    async def close(self) -> None:
        await self._machines.close()

    # ---------------------------------------------------------------- the host

    async def _probed(self) -> _Host:
        if self._host is None:
            program = await self._world.offload(LANE, firecracker_program.find_programs, *self._programs)
            facts = VmmFacts(
                version=program.version,
                kvm_refusal=await self._world.offload(LANE, qemu_program.kvm_refusal),
                emulation_refusal=_NO_EMULATION,
                tsc_khz=0,
                overhead_mib=_OVERHEAD_MIB,
                has_snapshots=True,
            )
            self._host = _Host(program=program, facts=facts)
        return self._host

    # ---------------------------------------------------------------- beginning

    async def _begin(self, spec: MachineSpec, snapshot: str | None) -> None:
        host = await self._probed()
        if spec.accelerator == "kvm" and host.facts.kvm_refusal is not None:
            raise VmmMissing(host.facts.kvm_refusal)
        firecracker_command.check(replace(spec, mac=None), None)
        if await self._machines.kept(spec):
            return
        try:
            await self._launched(spec, host, snapshot)
        except BaseException:
            await self.destroy(spec.machine_id)
            raise

    async def _launched(self, spec: MachineSpec, host: _Host, snapshot: str | None) -> None:
        key = await self.snapshot_key(spec) if spec.for_snapshot or snapshot is not None else ""
        if snapshot is not None:
            await self._world.offload(LANE, _check_snapshot, Path(snapshot), key)
        record = await self._machines.prepare(spec, key if spec.for_snapshot else "")
        interface = None if spec.mac is None else self._interface(spec.machine_id, record.uid)
        firecracker_command.check(spec, interface)
        errors = self._machines.errors(spec.machine_id)
        place = self._machines.directory(spec.machine_id)
        plan = await self._world.offload(
            LANE, _prepared, spec, host.program, record, place, interface, snapshot, errors
        )
        record = await self._machines.launch(record, lambda cgroups: replace(plan, cgroups=cgroups))
        await self._listens(spec.machine_id)
        for call in self._calls(spec, interface, snapshot):
            await self._ask(spec.machine_id, call)
        await self._machines.note(replace(record, is_ready=True))

    def _calls(self, spec: MachineSpec, interface: JailedInterface | None, snapshot: str | None) -> tuple[Call, ...]:
        if snapshot is None:
            return firecracker_command.boot_calls(spec, interface)
        return firecracker_command.restore_calls(spec, interface)

    async def _listens(self, machine_id: str) -> None:
        deadline = self._world.monotonic() + _WAIT_S
        while self._world.monotonic() < deadline:
            await self._lives(machine_id)
            with suppress(OSError):
                dial(str(await self._root(machine_id)), firecracker_command.API_SOCKET).close()
                return
            await self._world.sleep(_TURN_S)
        raise MachineStuck(f"the jailer of machine {machine_id} does not come to an end")

    async def _lives(self, machine_id: str) -> None:
        try:
            await self._machines.found(machine_id)
        except MachineGone:
            words = await self.console(machine_id)
            raise MachineRefused(f"Firecracker ended: {words.strip() or 'without a word'}") from None

    # ---------------------------------------------------------------- one that runs

    async def _root(self, machine_id: str) -> Path:
        host = await self._probed()
        return firecracker_command.jail_root(self._machines.directory(machine_id), host.program, machine_id)

    async def _ask(self, machine_id: str, call: Call, timeout_s: float = _ASK_S) -> bytes:
        await self._machines.found(machine_id)
        root = str(await self._root(machine_id))
        api = Api(self._world, lambda: dial(root, firecracker_command.API_SOCKET))
        try:
            return await api.ask(call, timeout_s=timeout_s)
        except OSError as error:
            raise MachineGone(f"nobody answers for machine {machine_id}: {error.strerror}") from None
        except MachineStuck:
            await self._lives(machine_id)  # one that ended in the middle is not stuck
            raise

    async def _connected(self, machine_id: str) -> socket.socket | None:
        """By vsock: `CONNECT port`, answered with a line. None: nobody listens yet."""
        try:
            connection = dial(str(await self._root(machine_id)), firecracker_command.CHANNEL_SOCKET)
        except OSError:
            return None
        try:
            await within(_ASK_S, _shaken_hands(connection))
        except (OSError, TimeoutError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return connection


async def _shaken_hands(connection: socket.socket) -> None:
    """Reads not one byte more than the line: what follows is the guest's. Raises OSError."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, b"CONNECT %d\n" % firecracker_command.GUEST_PORT)
    line = b""
    while not line.endswith(b"\n") and len(line) < _LINE_MAX:
        more = await loop.sock_recv(connection, 1)
        if not more:
            raise ConnectionResetError("the guest does not listen")
        line += more
    if not _OK.fullmatch(line):
        raise ConnectionResetError("the handshake was not answered")


def _prepared(
    spec: MachineSpec,
    program: FirecrackerProgram,
    record: MachineRecord,
    place: Path,
    interface: JailedInterface | None,
    snapshot: str | None,
    errors: int,
) -> Plan:
    """The plan, without its cgroups; files are there and belong to whom they must."""
    disks = []
    for number, disk in enumerate(all_disks(spec)):
        path = disk.path
        if not path:
            path = str(place / f"placeholder-{number}")
            with open(path, "xb") as file:
                file.truncate(_PLACEHOLDER_BYTES)
            os.chmod(path, 0o644)
        if not disk.read_only:
            confinement.give(path, record.uid)
        disks.append(path)
    sizes = [os.stat(path).st_size for path, disk in zip(disks, all_disks(spec), strict=True) if not disk.read_only]
    written_bytes = max(_FILE_MIN, *sizes, spec.memory_mib << 20 if spec.for_snapshot else 0)
    return Plan(
        command=firecracker_command.jailer(
            program, spec, uid=record.uid, place=place, interface=interface, written_bytes=written_bytes
        ),
        uid=record.uid,
        base=str(firecracker_command.jail_root(place, program, spec.machine_id)),
        files=firecracker_command.files(spec, disks, snapshot),
        cgroups=(),
        descriptors=(),
        errors=errors,
        limits={"RLIMIT_CORE": 0, "RLIMIT_MEMLOCK": 0, "RLIMIT_MSGQUEUE": 0},
        is_jailed=True,
    )


def _check_snapshot(snapshot: Path, key: str) -> None:
    try:
        saved = (snapshot / "key").read_text()
    except OSError as error:
        raise MachineRefused(f"{snapshot} is no snapshot: {error.strerror}") from error
    if saved != key:
        raise MachineRefused(f"{snapshot} was saved of another kind of machine, or on another host")


def _publish(root: Path, directory: Path, key: str) -> None:
    """What Firecracker wrote is a regular file of its own or nothing: who got into it may have put anything there."""
    fresh = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(mode=0o700, parents=True)
        for name, target in ((firecracker_command.SAVED_STATE, "state"), (firecracker_command.SAVED_MEMORY, "memory")):
            _take(root / name, fresh / target)
        (fresh / "key").write_text(key)
        fresh.rename(directory)
    except (OSError, MachineRefused) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise MachineRefused(f"{directory} cannot be made: {error}") from error


def _take(source: Path, target: Path) -> None:
    source.rename(target)  # first: what is looked at can no more be exchanged
    found = target.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise MachineRefused(f"{source.name} is no file of its own")
    os.chown(target, 0, 0)
    os.chmod(target, 0o444)  # in a directory that only root enters, bound into jails
