"""The machines of one driver on this host: directories, records, processes and their ends, whatever monitor they have.

Owns what survives an agent: of each machine a directory with its record (where its cgroup is, who its user is, which
process). Knows no monitor's protocol. Invariants: the record is older than the process, so that every process is
found; an end is told once; what is destroyed is told of no more.
"""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...world import World
from ..process_handle import collected, held, start_ticks
from . import cgroup
from .confinement import Plan, launch, machine_user
from .qmp import printable
from .vmm import MachineEnd, MachineGone, MachineRefused, MachineSpec, MachineState, VmmError

LANE = "microvm"  # worth some threads of its own: a launch takes one for a few hundredths of a second
DETAIL_MAX = 4096
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_RECORD = "machine.json"
_ERRORS = "errors"
_END_TURNS, _END_TURN_S = 1000, 0.01


class MachineRecord(Struct, frozen=True, kw_only=True):
    """`is_ready`: its creation came to its end; else nobody may use it. `is_saved`: it is only to be destroyed."""

    machine_id: str
    cgroup_path: str
    uid: int
    pid: int = 0
    start_ticks: int = 0
    is_ready: bool = False
    is_saved: bool = False
    monitor: str = ""  # the driver's own: what it must know to find its way in again
    former_cgroup_path: str = ""  # of one that was moved, or was about to be


class Machines:
    """`directory`: best in memory, made if need be. Blocking work is done on LANE, by the methods without `_`."""

    def __init__(
        self, world: World, directory: Path, cgroup_root: Path, *, guest_end_status: int | None = None
    ) -> None:
        """`guest_end_status`: with which the monitor ends when its guest has ended itself, where it does."""
        self._world = world
        self._guest_end_status = guest_end_status
        self._directory = directory
        self._cgroup_root = cgroup_root
        self._watched: dict[str, int] = {}  # pidfd
        self._tasks: dict[str, asyncio.Task[object]] = {}
        self._errors: dict[str, int] = {}  # the reading end of what it says
        self._said: dict[str, str] = {}  # by machine, the end of what was read there
        self._told: set[str] = set()
        self._ends: dict[str, MachineEnd] = {}
        self._some = asyncio.Event()

    def directory(self, machine_id: str) -> Path:
        if not _ID.fullmatch(machine_id):
            raise MachineRefused(f"{machine_id!r} is no machine's id")
        return self._directory / machine_id

    async def kept(self, spec: MachineSpec) -> bool:
        """Whether it runs already. What was left of an unfinished one is removed."""
        if Path(spec.directory) != self.directory(spec.machine_id):
            raise MachineRefused(f"{spec.directory} is not the place of machine {spec.machine_id}")
        with suppress(MachineGone):
            if (await self.found(spec.machine_id)).is_ready:
                return True
        await self.destroy(spec.machine_id)
        return False

    async def prepare(self, spec: MachineSpec, monitor: str = "") -> MachineRecord:
        """Directory, record, user. The driver puts its sockets into the directory afterwards."""

        def make() -> MachineRecord:
            place = self.directory(spec.machine_id)
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            taken = {record.uid for record in self._records()}
            uid = machine_user(str(place), taken, Path("/proc/self/uid_map").read_text())
            place.mkdir(mode=0o700)
            (place / "base").mkdir(mode=0o700)
            record = MachineRecord(machine_id=spec.machine_id, cgroup_path=spec.cgroup_path, uid=uid, monitor=monitor)
            self._write(record)
            os.mkfifo(place / _ERRORS, 0o600)
            self._errors[spec.machine_id] = _opened_errors(place)
            return record

        return await self._world.offload(LANE, make)

    def errors(self, machine_id: str) -> int:
        """What becomes the process's standard error: a pipe that holds 64 KiB, and never makes the writer wait."""
        return self._errors[machine_id]

    async def launch(self, record: MachineRecord, plan: Callable[[tuple[str, ...]], Plan]) -> MachineRecord:
        """`plan` is given the cgroups' directories."""

        def start() -> MachineRecord:
            cgroups = tuple(str(path) for path in cgroup.join_paths(self._cgroup_root, record.cgroup_path))
            started: list[MachineRecord] = []

            def remember(pid: int) -> None:
                started.append(replace(record, pid=pid, start_ticks=start_ticks(pid, or_ended=True)))
                self._write(started[0])

            launch(plan(cgroups), remember)
            return started[0]

        started = await self._world.offload(LANE, start)
        self._watch(started)
        return started

    async def rename(self, record: MachineRecord, spec: MachineSpec) -> MachineRecord:
        """It is another one from now on: in that one's directory and cgroup. At any moment it is found by its record.

        Raises MachineRefused, OSError.
        """
        target = self.directory(spec.machine_id)
        if Path(spec.directory) != target:
            raise MachineRefused(f"{spec.directory} is not the place of machine {spec.machine_id}")
        moved = replace(record, cgroup_path=spec.cgroup_path, former_cgroup_path=record.cgroup_path)

        def move() -> MachineRecord:
            self._write(moved)
            cgroup.move(self._cgroup_root, spec.cgroup_path, record.pid)
            self.directory(record.machine_id).rename(target)
            renamed = replace(moved, machine_id=spec.machine_id)
            self._write(renamed)
            return renamed

        self._forget(record.machine_id)
        renamed = await self._world.offload(LANE, move)
        self._errors[spec.machine_id] = self._errors.pop(record.machine_id)
        self._watch(renamed)
        return renamed

    async def note(self, record: MachineRecord) -> None:
        await self._world.offload(LANE, self._write, record)

    async def found(self, machine_id: str) -> MachineRecord:
        """Of a machine whose process lives. Raises MachineGone."""
        record = await self._world.offload(LANE, self._record, machine_id)
        if record is None or not self._lives(record):
            raise MachineGone(f"there is no machine {machine_id}")
        return record

    async def list_machines(self) -> list[MachineState]:
        records = await self._world.offload(LANE, self._records)
        return [
            MachineState(machine_id=record.machine_id, pid=record.pid if self._lives(record) else 0)
            for record in records
        ]

    async def adopt(self) -> list[MachineRecord]:
        """Those that live and are not watched yet: they are from now on. Those that ended meanwhile are told of."""
        living = []
        for record in await self._world.offload(LANE, self._records):
            if record.machine_id in self._watched or record.machine_id in self._told:
                continue
            with suppress(OSError):
                self._errors[record.machine_id] = _opened_errors(self.directory(record.machine_id))
            if self._lives(record):
                self._watch(record)
                living.append(record)
            else:
                self.tell(record.machine_id, "killed", "it ended while nobody looked")
        return living

    async def destroy(self, machine_id: str) -> None:
        place = self.directory(machine_id)
        self._forget(machine_id)
        record = await self._world.offload(LANE, self._record, machine_id)
        if record is not None:
            await self._end(record)
        errors = self._errors.pop(machine_id, None)
        if errors is not None:
            os.close(errors)
        await self._world.offload(LANE, _remove, place)
        self._told.discard(machine_id)
        self._said.pop(machine_id, None)
        self._ends.pop(machine_id, None)

    async def _end(self, record: MachineRecord) -> None:
        for _ in range(_END_TURNS):
            left = await self._world.offload(LANE, self._kill, record)
            left = _is_uncollected(record) or left
            if not left and await self._world.offload(LANE, self._removed_cgroups, record):
                return
            await self._world.sleep(_END_TURN_S)
        raise VmmError(f"processes of machine {record.machine_id} do not end")

    def _kill(self, record: MachineRecord) -> bool:
        """Whether there was anything left to kill."""
        return bool([pid for path in _cgroups(record) for pid in cgroup.kill(self._cgroup_root, path)])

    def _removed_cgroups(self, record: MachineRecord) -> bool:
        try:
            for path in _cgroups(record):
                cgroup.remove(self._cgroup_root, path)
        except OSError:
            return False
        return True

    # ---------------------------------------------------------------- ends

    def attend(self, machine_id: str, work: Coroutine[object, object, object]) -> None:
        """Beside a machine that lives; ended with it. Must not fail."""
        self._tasks[machine_id] = self._world.spawn(work, f"machine-{machine_id}")

    def tell(self, machine_id: str, kind: Literal["killed", "panicked", "refused"], detail: str) -> None:
        if machine_id not in self._told:
            self._told.add(machine_id)
            said = printable(detail, DETAIL_MAX)
            self._ends[machine_id] = MachineEnd(machine_id=machine_id, kind=kind, detail=said)
            self._some.set()

    async def ended(self) -> AsyncIterator[MachineEnd]:
        while True:
            while not self._ends:
                self._some.clear()
                await self._some.wait()
            yield self._ends.pop(next(iter(self._ends)))

    def last_words(self, machine_id: str) -> str:
        """The end of what the process has said on its standard error until now."""
        with suppress(KeyError, OSError):
            more = os.read(self._errors[machine_id], 65536).decode(errors="replace")
            self._said[machine_id] = (self._said.get(machine_id, "") + more)[-DETAIL_MAX:]
        return self._said.get(machine_id, "").strip()

    async def close(self) -> None:
        for machine_id in [*self._watched]:
            self._forget(machine_id)
        for descriptor in self._errors.values():
            os.close(descriptor)
        self._errors.clear()

    def _watch(self, record: MachineRecord) -> None:
        descriptor = held(record.pid, record.start_ticks)
        if descriptor is None:
            self._gone(record)
            return
        self._watched[record.machine_id] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._gone, record)

    def _gone(self, record: MachineRecord) -> None:
        self._forget(record.machine_id)
        status = _collect(record)
        words = self.last_words(record.machine_id)
        if status is None:
            self.tell(record.machine_id, "killed", words or "its process is gone")
        elif os.WIFSIGNALED(status):
            self.tell(record.machine_id, "killed", f"{_signal_name(os.WTERMSIG(status))} {words}".strip())
        elif os.WEXITSTATUS(status) == self._guest_end_status:
            self.tell(record.machine_id, "panicked", words)
        else:
            self.tell(record.machine_id, "refused", words or f"it ended with {os.WEXITSTATUS(status)}")

    def _forget(self, machine_id: str) -> None:
        descriptor = self._watched.pop(machine_id, None)
        if descriptor is not None:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        task = self._tasks.pop(machine_id, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    # ---------------------------------------------------------------- records

    def _lives(self, record: MachineRecord) -> bool:
        return bool(record.pid) and start_ticks(record.pid) == record.start_ticks != 0

    def _write(self, record: MachineRecord) -> None:
        path = self.directory(record.machine_id) / _RECORD
        fresh = path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(record))
        fresh.replace(path)

    def _record(self, machine_id: str) -> MachineRecord | None:
        try:
            content = (self.directory(machine_id) / _RECORD).read_bytes()
        except OSError:
            return None  # not there, or killed before anything else was
        # The directory's name is right also where an agent was killed between that and the record.
        return replace(msgspec.json.decode(content, type=MachineRecord), machine_id=machine_id)

    def _records(self) -> list[MachineRecord]:
        with suppress(FileNotFoundError):
            names = sorted(name for name in os.listdir(self._directory) if _ID.fullmatch(name))
            return [record for name in names if (record := self._record(name)) is not None]
        return []


def remove_saved(snapshot: Path) -> None:
    """Of a saved machine's directory its name goes first: what is left of a removal is no snapshot. Raises OSError."""
    unfinished = snapshot.with_name(f"{snapshot.name}.new")
    with suppress(FileNotFoundError):
        shutil.rmtree(unfinished)
    with suppress(FileNotFoundError):
        snapshot.rename(unfinished)
        shutil.rmtree(unfinished)


def _cgroups(record: MachineRecord) -> list[str]:
    return [path for path in (record.cgroup_path, record.former_cgroup_path) if path]


def _opened_errors(place: Path) -> int:
    """Both ends in one: it is there when no process has it, and what was said stays for the next driver."""
    return os.open(place / _ERRORS, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def _signal_name(number: int) -> str:
    """Those of the real-time ones that are neither the first nor the last have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _collect(record: MachineRecord) -> int | None:
    """How its process ended. Its number may be another child's by now, of which this must not take the end."""
    handle = held(record.pid, record.start_ticks)
    if handle is None:
        return None
    try:
        return collected(handle)
    finally:
        os.close(handle)


def _is_uncollected(record: MachineRecord) -> bool:
    """Collects it; whether it is a child of ours that cannot be yet: killed, and its last threads still end."""
    handle = held(record.pid, record.start_ticks)
    if handle is None:
        return False
    try:
        return os.waitid(os.P_PIDFD, handle, os.WEXITED | os.WNOHANG) is None
    except ChildProcessError:
        return False
    finally:
        os.close(handle)


def _remove(place: Path) -> None:
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        pass  # a repeat
