"""One container of a machine: its runs, its output, its end.

Owns how far the container is (`record.Run`), saved before and after each step in the guest, and the two loops that
follow its process. Must not know machines. Invariants: of each run one end is told; its log is what the stream said;
a run's stream is recorded before the guest hears of it, whatever else a full disk leaves unrecorded.
"""

import asyncio
import json
import os
from typing import Any

from msgspec.structs import replace

from ...interfaces.sandbox import ContainerState, Exit
from ...world import within
from ..sentences import cannot_start
from . import logs, places, rights, runtime
from .errors import GuestGone, GuestRefused
from .guest import Guest, Process
from .parts import LANE, Parts
from .plan import File, bundle_steps, control_steps, spec_step
from .record import KILLED, Blueprint, Run, ended, state_of
from .specs import sharing_processes

_FULL_S = 1.0
_TERMINAL_LOOK_S = 0.05
_TERMINAL_LOOKS = 400
_BEGIN_S = 600.0  # all of a run's beginning; each step has a bound of its own
_KILL_S = 120.0


class Contained:
    def __init__(self, parts: Parts, blueprint: Blueprint, run: Run) -> None:
        self._parts = parts
        self.blueprint = blueprint
        self.run = run
        self._process: Process | None = None
        self._has_bundle = False
        self._loops: list[asyncio.Task[Any]] = []
        self._stopped = asyncio.Event()
        self._drained = asyncio.Event()
        self._killed_at: float | None = None  # monotonic

    @property
    def state(self) -> ContainerState:
        return state_of(self.blueprint, self.run)

    @property
    def group(self) -> str:
        """Its cgroup in the guest."""
        return places.cgroup(self.blueprint.name)

    @property
    def is_in_guest(self) -> bool:
        """The guest may know it."""
        return self.run.stream != 0

    async def begin(self, guest: Guest, image_number: int, shared_pid: int | None) -> int:
        """A run, from wherever an earlier attempt was left; its pid. Raises SandboxError, GuestGone."""
        try:
            return await within(_BEGIN_S, self._begin(guest, image_number, shared_pid))
        except TimeoutError:
            raise guest.broke(f"The guest did not begin a container in {_BEGIN_S:g} s.") from None
        except runtime.RuntimeFailed as failed:
            await self._take_back(guest)
            raise cannot_start(runtime.sentence(failed.said, self.blueprint.spec)) from None
        except GuestRefused as refused:
            await self._take_back(guest)
            raise cannot_start(f"the machine refused it: {refused}") from None

    async def _begin(self, guest: Guest, image_number: int, shared_pid: int | None) -> int:
        if self._process is None:
            await self._make(guest, image_number, shared_pid)
        return await self._start(guest)

    async def _make(self, guest: Guest, image_number: int, shared_pid: int | None) -> None:
        if not self._has_bundle:
            for step in bundle_steps(self.blueprint, image_number):
                await runtime.carry_out(guest, step)
            for file in await self._parts.world.offload(LANE, _given, self.blueprint):
                await runtime.carry_out(guest, file)
            if self.blueprint.kernel is not None and self.blueprint.kernel.max_swap_mib:
                await runtime.swap_on(guest, f"{places.DISK}/{places.swap(self.blueprint.name)}")
            self._has_bundle = True
        spec = json.loads(self.blueprint.spec)
        if shared_pid is not None:
            spec = sharing_processes(spec, shared_pid)
        for step in (*rights.steps(self.blueprint.kernel), *control_steps(self.blueprint)):
            await runtime.carry_out(guest, step)
        await runtime.carry_out(guest, spec_step(self.blueprint, spec))
        number = await guest.number()
        base = await self._parts.world.offload(LANE, logs.length, self.blueprint.log_path)
        await self.save(Run(stream=number, log_base=base, number=self.run.number + 1))
        self._process = await runtime.create(guest, self.blueprint, number)

    async def _start(self, guest: Guest) -> int:
        assert self._process is not None, "it was made"
        if self.blueprint.terminal:
            pid = await self._started_by_itself(guest, self._process)
        else:
            await runtime.start(guest, self.blueprint.runtime_id)
            pid = self._process.pid or 0
        await self._note(replace(self.run, status="running", pid=pid))
        self.follow(self._process)
        return pid

    async def _started_by_itself(self, guest: Guest, process: Process) -> int:
        """`crun run` says nothing when it has started the container: it is asked for."""
        for _ in range(_TERMINAL_LOOKS):
            if process.exit_code is not None:
                said = await runtime.runtime_error(guest, self.blueprint.runtime_id)
                if said:
                    raise runtime.RuntimeFailed(said)
                return process.pid or 0
            status, pid = await runtime.state(guest, self.blueprint.runtime_id)
            if status == "running":
                return pid
            await self._parts.world.sleep(_TERMINAL_LOOK_S)
        raise runtime.RuntimeFailed("it does not start")

    async def _take_back(self, guest: Guest) -> None:
        """Nothing of the run stays, so that it may be tried again or deleted."""
        process, self._process = self._process, None
        await runtime.delete(guest, self.blueprint.runtime_id)
        if process is not None:
            try:
                await runtime.soon(guest, process.end())
            except GuestRefused:
                pass  # it was forgotten with its failure
        await self._note(replace(self.run, stream=0))

    # -- following

    def follow(self, process: Process) -> None:
        self._process = process
        self._loops = [task for task in self._loops if not task.done()]
        name = self.blueprint.runtime_id
        self._loops.append(self._parts.world.spawn(self._pump(process), f"output-{name}"))
        if self.run.status == "running":
            self._loops.append(self._parts.world.spawn(self._watch(process), f"watch-{name}"))

    async def _pump(self, process: Process) -> None:
        path = self.blueprint.log_path
        length = await self._parts.world.offload(LANE, logs.length, path)
        start = max(0, length - self.run.log_base) if path is not None else None
        try:
            async for part in process.output(start):
                if path is not None:
                    await self._append(path, part)
        except (GuestGone, GuestRefused):
            return  # who connects again goes on where the log ends
        self._drained.set()

    async def _append(self, path: str, part: bytes) -> None:
        """While the host's disk is full the container waits, when the guest has kept what it keeps."""
        left = part
        while True:
            left = left[await self._parts.world.offload(LANE, logs.append, path, left) :]
            if not left:
                return
            await self._parts.world.sleep(_FULL_S)

    async def _watch(self, process: Process) -> None:
        try:
            code = await process.wait()
        except GuestGone:
            return
        await self.end(code)

    async def end(self, exit_code: int, reason: str | None = None) -> None:
        """It ended, as somebody found out; the first who says so is believed."""
        if self.run.status == "stopped":
            return
        await self._note(ended(self.run, exit_code, self._parts.world.now(), reason))
        self.tell()

    def tell(self) -> None:
        run = self.run
        self._stopped.set()
        self._parts.board.tell(
            Exit(
                runtime_id=self.blueprint.runtime_id,
                exit_code=KILLED if run.exit_code is None else run.exit_code,
                exited_at=run.exited_at or self._parts.world.now(),
                reason=run.reason,
            )
        )

    async def adopt(self, guest: Guest) -> None:
        """After a connection: what the guest still knows of its run. Raises GuestGone."""
        self.let_go()
        self._process = None
        self._has_bundle = self.is_in_guest
        if not self.is_in_guest:
            return
        process = guest.processes.get(self.run.stream)
        if self.run.status == "stopped":
            self._stopped.set()
            if process is not None:
                self.follow(process)
            return
        if process is None:
            await self._adopt_unknown()
        elif self.run.status == "running":
            self.follow(process)
        else:
            await self._adopt_begun(guest, process)

    async def _adopt_unknown(self) -> None:
        """One that ran is gone, as the guest says; one that was to be made was not."""
        if self.run.status == "running":
            await self.end(KILLED, "the virtual machine does not know the container any more")
        else:
            await self._note(replace(self.run, stream=0))

    async def _adopt_begun(self, guest: Guest, process: Process) -> None:
        """An agent was killed between the run's number and its start."""
        await runtime.soon(guest, process.started())
        status, pid = await runtime.state(guest, self.blueprint.runtime_id)
        if status == "created":
            self._process = process
        elif status in ("running", "paused", "stopped"):
            await self._note(replace(self.run, status="running", pid=pid))
            self.follow(process)
        else:
            self._process = process
            await self._take_back(guest)

    # -- the end

    async def signal(self, guest: Guest, number: int) -> None:
        """To its first process. Raises GuestGone."""
        if self.blueprint.terminal or self._process is None:
            await runtime.signal(guest, self.blueprint.runtime_id, number)
        else:
            await self._process.signal(number)

    def outlives_kill(self) -> bool:
        """To be asked before each SIGKILL: whether its guest had long enough to do what it was told before."""
        now = self._parts.world.monotonic()
        if self._killed_at is None:
            self._killed_at = now
        return now - self._killed_at >= _KILL_S

    async def stopped_within(self, seconds: float) -> bool:
        return await _set_within(self._stopped, seconds)

    async def drained_within(self, seconds: float) -> bool:
        """Whether the log holds everything that it said."""
        return await _set_within(self._drained, seconds)

    async def forget_run(self, guest: Guest) -> None:
        """Of one that ended: the runtime's and the guest's memory of it. Raises GuestGone."""
        await runtime.delete(guest, self.blueprint.runtime_id)
        if self._process is not None:
            try:
                await self._process.forget()
            except GuestRefused:
                pass  # the machine's own end takes it
        self.let_go()
        self._process = None

    async def begin_again(self) -> None:
        """It ended and shall run anew: as if it had never been run, but for what it wrote."""
        self._stopped.clear()
        self._drained.clear()
        self._killed_at = None
        await self._note(Run(number=self.run.number))

    def give_output_up(self) -> None:
        """Its machine is gone: what is not in the log by now never will be."""
        self._drained.set()

    def let_go(self) -> None:
        for task in self._loops:
            task.cancel()
        self._loops.clear()

    async def save(self, run: Run) -> None:
        """Durable when it returns. Raises OSError: it is as it was."""
        await self._parts.world.offload(LANE, self._parts.records.save_run, self.blueprint, run)
        self.run = run

    async def _note(self, run: Run) -> None:
        """What an agent that begins anew would find out by asking the guest, or by missing it."""
        self.run = run
        try:
            await self._parts.world.offload(LANE, self._parts.records.save_run, self.blueprint, run)
        except OSError as error:
            self._parts.note(f"container {self.blueprint.runtime_id} is {run.status}, which is not recorded: {error}")


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await within(seconds, event.wait())
    except TimeoutError:
        return False
    return True


def _given(blueprint: Blueprint) -> tuple[File, ...]:
    """What the host holds in memory for the task, read at the last moment. Raises OSError."""
    return tuple(_file(file.source, file.place) for file in blueprint.given)


def _file(source: str, place: str) -> File:
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        facts = os.fstat(opened.fileno())
        return File(path=place, content=opened.read(), mode=facts.st_mode & 0o7777, uid=facts.st_uid, gid=facts.st_gid)
