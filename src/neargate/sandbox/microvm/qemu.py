"""Vmm with QEMU's microvm machine, emulated or with KVM: how one is created, restored, saved and ended.

Owns the order of things. The command is `qemu_command.py`'s, confinement `confinement.py`'s, directories and ends
`machines.py`'s. An emulated machine runs any guest, but is no security boundary by QEMU's own policy: for development,
refused unless it was allowed. A guest that ends itself leaves its machine standing, so that its last words are read.
"""

import asyncio
import base64
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...world import World
from . import confinement, qemu_command, qemu_disks, qemu_program
from .confinement import Plan
from .machines import DETAIL_MAX, LANE, MachineRecord, Machines, remove_saved
from .memory_image import digest_of, sealed, stored
from .qemu_program import QemuProgram
from .qmp import NONSENSE, Qmp, connected, listening, printable
from .tsc import tsc_khz
from .vmm import (
    Accelerator,
    MachineEnd,
    MachineGone,
    MachineRefused,
    MachineSpec,
    MachineState,
    MachineStuck,
    VmmError,
    VmmFacts,
    VmmMissing,
)

_NO_EMULATION = "emulated machines are for development and no security boundary; they are not allowed here"
_WAIT_S = 20.0  # for the monitor's process, of a machine that swaps
_ASK_S = 5.0
_SAVE_S = 60.0
_TURN_S = 0.005
_AGAIN_S = 1.0
_MEMORY, _STATE, _SAVED = "memory", "state", "saved.json"
_AGENT, _MONITOR = "agent.sock", "monitor.sock"
_ENDED = frozenset({"shutdown", "guest-panicked", "internal-error"})


class _Status(Struct, frozen=True):
    status: str = ""


class _Host(Struct, frozen=True, kw_only=True):
    program: QemuProgram
    facts: VmmFacts
    processor: str


class _Saved(Struct, frozen=True, kw_only=True):
    """Beside a snapshot's files: of what machine it is, and the digests of what was saved."""

    key: str
    memory: str
    state: str


class _Image(Struct, frozen=True, kw_only=True):
    """A snapshot as machines are given it: sealed copies in memory, checked when they were made."""

    key: str
    memory: int
    state: int

    def close(self) -> None:
        os.close(self.memory)
        os.close(self.state)


class QemuVmm:
    """`directory`: of this driver's machines, best in memory. `program`: QEMU's path, where it is not on the PATH."""

    def __init__(
        self,
        world: World,
        directory: Path,
        *,
        allow_emulated: bool = False,
        program: str | None = None,
        cgroup_root: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        self._world = world
        self._machines = Machines(world, directory, cgroup_root)
        self._allow_emulated = allow_emulated
        self._program = program
        self._host: _Host | None = None
        self._monitors: dict[str, Qmp] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._digests: dict[tuple[str, int, int, int], str] = {}
        self._images: dict[str, _Image] = {}  # by snapshot
        self._sealing = asyncio.Lock()

    async def probe(self) -> VmmFacts:
        return (await self._probed()).facts

    async def start(self) -> None:
        for record in await self._machines.adopt():
            self._machines.attend(record.machine_id, self._attend(record.machine_id))

    async def create(self, spec: MachineSpec, tap: int | None) -> None:
        await self._begin(spec, tap, None)

    async def restore(self, spec: MachineSpec, tap: int | None, snapshot: str) -> None:
        await self._begin(spec, tap, snapshot)

    async def assign(self, machine_id: str, spec: MachineSpec) -> None:
        qemu_command.check(spec, is_restored=True)
        record = await self._machines.found(machine_id)
        with qemu_disks.opened(spec, record.uid, record.pid) as disks:
            await qemu_disks.put(partial(self._ask, machine_id), disks)
        try:
            await self._machines.note(replace(record, is_ready=False))
            record = await self._machines.rename(replace(record, is_ready=False), spec)
        except OSError as error:
            raise MachineRefused(f"machine {machine_id} cannot be moved: {error}") from error
        self._monitors[spec.machine_id] = self._monitors.pop(machine_id)
        await self._ask(spec.machine_id, "cont")
        await self._machines.note(replace(record, is_ready=True))
        self._machines.attend(spec.machine_id, self._attend(spec.machine_id))

    async def add_disks(self, machine_id: str, spec: MachineSpec) -> None:
        record = await self._machines.found(machine_id)
        with qemu_disks.opened(spec, record.uid, record.pid) as disks:
            await qemu_disks.put(partial(self._ask, machine_id), disks)

    async def snapshot_key(self, spec: MachineSpec) -> str:
        host = await self._probed()
        contents = [await self._digest(path) for path in (spec.kernel, spec.initramfs, spec.tools)]
        return qemu_command.key(spec, host.program, host.processor, host.facts.tsc_khz, tuple(contents))

    async def snapshot(self, machine_id: str, directory: str) -> None:
        record = await self._machines.found(machine_id)
        if not record.monitor:
            raise MachineRefused(f"machine {machine_id} was not made to be saved")
        if record.is_saved:
            raise MachineRefused(f"machine {machine_id} was saved already")
        fresh = Path(f"{directory}.new")
        state = await self._world.offload(LANE, _opened_state, fresh)
        try:
            await self._machines.note(replace(record, is_saved=True))
            await self._ask(machine_id, "stop")
            await self._migrate(machine_id, state)
        finally:
            os.close(state)
        memory = self._machines.directory(machine_id) / _MEMORY
        await self._world.offload(LANE, _publish, memory, fresh, Path(directory), record.monitor)

    async def discard(self, snapshot: str) -> None:
        async with self._sealing:
            image = self._images.pop(snapshot, None)
            if image is not None:
                image.close()
        await self._world.offload(LANE, remove_saved, Path(snapshot))

    async def pause(self, machine_id: str) -> None:
        await self._ask(machine_id, "stop")

    async def resume(self, machine_id: str) -> None:
        if (await self._machines.found(machine_id)).is_saved:
            raise MachineRefused(f"machine {machine_id} was saved: its memory is the snapshot's")
        await self._ask(machine_id, "cont")

    async def destroy(self, machine_id: str) -> None:
        monitor = self._monitors.pop(machine_id, None)
        if monitor is not None:
            monitor.close()
        self._turns.pop(machine_id, None)
        await self._machines.destroy(machine_id)

    async def list_machines(self) -> list[MachineState]:
        return await self._machines.list_machines()

    async def connect(self, machine_id: str) -> socket.socket:
        await self._machines.found(machine_id)
        return _connected(self._machines.directory(machine_id) / _AGENT)

    async def console(self, machine_id: str) -> str:
        try:
            said = await self._ask(machine_id, "ringbuf-read", device=qemu_command.CONSOLE, size=65536, format="base64")
            text = base64.b64decode(msgspec.json.decode(said, type=str)).decode(errors="replace")
        except (VmmError, *NONSENSE):
            return ""
        return printable(text.replace("\r\n", "\n"), DETAIL_MAX)

    def ended(self) -> AsyncIterator[MachineEnd]:
        return self._machines.ended()

    async def close(self) -> None:
        await self._machines.close()
        for monitor in self._monitors.values():
            monitor.close()
        self._monitors.clear()
        for image in self._images.values():
            image.close()
        self._images.clear()

    # ---------------------------------------------------------------- the host

    async def _probed(self) -> _Host:
        if self._host is None:
            program = await self._world.offload(LANE, qemu_program.find_program, self._program)
            emulation = None if self._allow_emulated else _NO_EMULATION
            facts = VmmFacts(
                version=program.version,
                kvm_refusal=await self._world.offload(LANE, qemu_program.kvm_refusal),
                emulation_refusal=emulation,
                tsc_khz=await tsc_khz(self._world) if self._allow_emulated else 0,
                overhead_mib=qemu_command.OVERHEAD_MIB + (qemu_command.TB_MIB if self._allow_emulated else 0),
                has_snapshots=True,
            )
            processor = await self._world.offload(LANE, qemu_program.processor)
            self._host = _Host(program=program, facts=facts, processor=processor)
        return self._host

    async def _ready(self, accelerator: Accelerator) -> _Host:
        host = await self._probed()
        refusal = host.facts.kvm_refusal if accelerator == "kvm" else host.facts.emulation_refusal
        if refusal is not None:
            raise VmmMissing(refusal)
        return host

    async def _digest(self, path: str) -> str:
        found = await self._world.offload(LANE, os.stat, path)
        known = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        if known not in self._digests:
            self._digests[known] = await self._world.offload(LANE, _sha256, path)
        return self._digests[known]

    # ---------------------------------------------------------------- beginning

    async def _begin(self, spec: MachineSpec, tap: int | None, snapshot: str | None) -> None:
        qemu_command.check(spec, is_restored=snapshot is not None)
        host = await self._ready(spec.accelerator)
        if (spec.mac is None) != (tap is None) and not spec.for_snapshot:
            raise MachineRefused("a machine with an address has a tap, and one without has none")
        if await self._machines.kept(spec):
            return
        try:
            await self._launched(spec, tap, host, snapshot)
        except BaseException:
            await self.destroy(spec.machine_id)
            raise
        self._machines.attend(spec.machine_id, self._attend(spec.machine_id))

    async def _launched(self, spec: MachineSpec, tap: int | None, host: _Host, snapshot: str | None) -> None:
        key = await self.snapshot_key(spec) if spec.for_snapshot or snapshot is not None else ""
        image = None if snapshot is None else await self._image(snapshot, key)
        try:
            record = await self._started(spec, tap, host, key, None if image is None else image.memory)
            await self._monitor(spec.machine_id)
            if image is not None:
                await self._load(spec.machine_id, image.state)
        finally:
            if image is not None:
                image.close()
        await self._machines.note(replace(record, is_ready=True))

    async def _started(
        self, spec: MachineSpec, tap: int | None, host: _Host, key: str, image: int | None
    ) -> MachineRecord:
        record = await self._machines.prepare(spec, key if spec.for_snapshot else "")
        place = self._machines.directory(spec.machine_id)
        given = [listening(str(place / _AGENT)), listening(str(place / _MONITOR))]
        try:
            plan = await self._world.offload(
                LANE, _prepared, spec, host, record, place, [one.fileno() for one in given], tap, image,
                self._machines.errors(spec.machine_id),
            )  # fmt: skip
            return await self._machines.launch(record, lambda cgroups: replace(plan, cgroups=cgroups))
        finally:
            for one in given:
                one.close()

    async def _image(self, snapshot: str, key: str) -> _Image:
        """The caller's to close: a snapshot may be discarded meanwhile. Raises MachineRefused."""
        async with self._sealing:
            if snapshot not in self._images:
                self._images[snapshot] = await self._world.offload(LANE, _sealed_image, Path(snapshot))
            found = self._images[snapshot]
            if found.key != key:
                raise MachineRefused(f"{snapshot} was saved of another kind of machine, or on another host")
            # Read from its beginning: a descriptor of its own, with a position of its own.
            state = os.open(f"/proc/self/fd/{found.state}", os.O_RDONLY | os.O_CLOEXEC)
            return _Image(key=key, memory=os.dup(found.memory), state=state)

    async def _load(self, machine_id: str, state: int) -> None:
        await self._may_ignore_memory(machine_id)
        await self._ask(machine_id, "getfd", descriptor=state, fdname="state")
        await self._ask(machine_id, "migrate-incoming", uri="fd:state")
        await self._until(machine_id, "query-status", lambda status: status != "inmigrate")
        await self._ask(machine_id, "cont")

    async def _migrate(self, machine_id: str, state: int) -> None:
        await self._may_ignore_memory(machine_id)
        await self._ask(machine_id, "getfd", descriptor=state, fdname="state")
        await self._ask(machine_id, "migrate", uri="fd:state")
        status = await self._until(machine_id, "query-migrate", lambda one: one in ("completed", "failed", "cancelled"))
        if status != "completed":
            raise MachineRefused(f"machine {machine_id} could not be saved: {status}")

    async def _may_ignore_memory(self, machine_id: str) -> None:
        """The memory is a file that is shared anyhow: only the devices' state is written."""
        capability = {"capability": "x-ignore-shared", "state": True}
        await self._ask(machine_id, "migrate-set-capabilities", capabilities=[capability])

    async def _until(self, machine_id: str, command: str, is_so: Callable[[str], bool]) -> str:
        deadline = self._world.monotonic() + _SAVE_S
        while self._world.monotonic() < deadline:
            status = await self._status(machine_id, command)
            if is_so(status):
                return status
            await self._world.sleep(_TURN_S)
        raise MachineStuck(f"{command} of machine {machine_id} does not come to an end")

    # ---------------------------------------------------------------- the monitor

    async def _status(self, machine_id: str, command: str = "query-status") -> str:
        try:
            return msgspec.json.decode(await self._ask(machine_id, command), type=_Status).status
        except NONSENSE:
            raise MachineStuck(f"{command} of machine {machine_id} answers nonsense") from None

    async def _ask(self, machine_id: str, command: str, **arguments: object) -> msgspec.Raw:
        monitor = await self._monitor(machine_id)
        descriptor = arguments.pop("descriptor", None)
        assert descriptor is None or isinstance(descriptor, int)
        return await monitor.ask(command, timeout_s=_ASK_S, descriptor=descriptor, **arguments)

    async def _monitor(self, machine_id: str) -> Qmp:
        """Raises MachineGone, MachineStuck; MachineRefused with its words for one that ended before it was asked."""
        async with self._turns.setdefault(machine_id, asyncio.Lock()):
            known = self._monitors.get(machine_id)
            if known is not None and not known.is_over:
                return known
            await self._machines.found(machine_id)
            monitor = Qmp(self._world, _connected(self._machines.directory(machine_id) / _MONITOR))
            try:
                await monitor.open(_WAIT_S)
            except MachineStuck:
                with suppress(MachineGone):
                    await self._machines.found(machine_id)
                    raise
                words = self._machines.last_words(machine_id)
                raise MachineRefused(f"QEMU ended: {printable(words, DETAIL_MAX) or 'without a word'}") from None
            self._monitors[machine_id] = monitor
            return monitor

    async def _attend(self, machine_id: str) -> None:
        """Until it ends: its guest's end is told of. A monitor that hangs up is called again."""
        while True:
            try:
                monitor = await self._monitor(machine_id)
                if await self._status(machine_id) in _ENDED:
                    self._machines.tell(machine_id, "panicked", await self.console(machine_id))
                    return
                while (event := await monitor.event()) is not None:
                    if event.name in ("SHUTDOWN", "GUEST_PANICKED"):
                        break
            except MachineGone:
                return
            except (VmmError, OSError):
                await self._world.sleep(_AGAIN_S)


def _prepared(
    spec: MachineSpec,
    host: _Host,
    record: MachineRecord,
    place: Path,
    listeners: list[int],
    tap: int | None,
    image: int | None,
    errors: int,
) -> Plan:
    """The plan, without its cgroups; files are there and belong to whom they must."""
    descriptors = [*listeners, *([tap] if tap is not None else []), *([image] if image is not None else [])]
    memory: str | None = None
    inside: str | None = None
    if image is not None:
        inside = f"/proc/self/fd/{qemu_command.AGENT + len(descriptors) - 1}"
    elif spec.for_snapshot:
        memory, inside = str(place / _MEMORY), "/memory"
        with open(memory, "xb") as file:
            file.truncate(spec.memory_mib << 20)
        confinement.give(memory, record.uid)
    written = [disk.path for disk in spec.disks if disk.path and not disk.read_only]
    for path in written:
        confinement.give(path, record.uid)
    words = qemu_command.arguments(
        spec, tsc_khz=host.facts.tsc_khz, memory=inside, is_restored=image is not None, has_tap=tap is not None
    )
    return qemu_command.plan(
        spec,
        host.program,
        words,
        uid=record.uid,
        base=str(place / "base"),
        memory=memory,
        descriptors=tuple(descriptors),
        errors=errors,
        written_bytes=max(
            *(os.stat(path).st_size for path in [*written, *([memory] if memory else [])]),
            *(disk.size_bytes for disk in spec.disks),
            0,
        ),
        kvm=qemu_program.kvm_device() if spec.accelerator == "kvm" else None,
        has_proc=image is not None,
        cgroups=(),
    )


def _connected(path: Path) -> socket.socket:
    try:
        return connected(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        raise MachineGone(f"nobody listens at {path}") from None


def _opened_state(directory: Path) -> int:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in directory.iterdir():
        left.unlink()
    return os.open(directory / _STATE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _publish(memory: Path, fresh: Path, directory: Path, key: str) -> None:
    try:
        saved = _Saved(key=key, memory=stored(str(memory), str(fresh / _MEMORY)), state=digest_of(str(fresh / _STATE)))
        (fresh / _SAVED).write_bytes(msgspec.json.encode(saved))
        for path in (fresh / _STATE, fresh / _SAVED, fresh):
            _flush(path)
        fresh.rename(directory)
    except OSError as error:
        raise MachineRefused(f"{directory} cannot be made: {error.strerror}") from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sealed_image(snapshot: Path) -> _Image:
    """Raises MachineRefused."""
    try:
        saved = msgspec.json.decode((snapshot / _SAVED).read_bytes(), type=_Saved)
    except (OSError, msgspec.MsgspecError) as error:
        raise MachineRefused(f"{snapshot} is no snapshot: {error}") from error
    memory = sealed(str(snapshot / _MEMORY), saved.memory)
    try:
        return _Image(key=saved.key, memory=memory, state=sealed(str(snapshot / _STATE), saved.state))
    except BaseException:
        os.close(memory)
        raise


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
