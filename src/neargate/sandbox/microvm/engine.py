"""The microVM engine: interfaces.sandbox with a machine for each task.

Owns: which machine a container is in, what is done under its lock, and the agent's restart. Each part is a file of its
own: creation.py (on the host, before), machine.py (boot, connection, end), contained.py (a container's run),
executions.py (commands). Images are pulled and unpacked by containerd as in the container engine. Invariant: an engine
that does not answer raises EngineUnavailable and changes nothing that a repeat would not repair.
"""

import asyncio
import signal as signals
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from ...interfaces.sandbox import (
    ContainerConfig,
    ContainerState,
    EngineUnavailable,
    ExecResult,
    Exit,
    Image,
    PauseConfig,
    PullRequest,
    SandboxError,
    SandboxFacts,
    Terminal,
)
from ...model.capacity import WaitingMachines
from ...model.lifecycle import REASON_MAX_CHARS
from ..containerd_client import EngineError
from ..sentences import cannot_start
from . import runtime
from .contained import Contained
from .errors import GuestGone, GuestRefused
from .executions import Executions
from .guest import Guest
from .machine import TaskMachine
from .parts import LANE, Parts
from .plan import overhead
from .record import KILLED, Blueprint, Machine, Phase, Run, Rung
from .starts import Starts
from .vmm import MachineEnd, VmmError, VmmFacts

_NOTED_PID = 1  # of a pause container that is noted as started while there is no machine
_END_S = 10.0
T = TypeVar("T")


class MicroVmSandbox:
    """Implements interfaces.sandbox.Sandbox. `parts`: the doors to monitor, disks, network and records."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._world = parts.world
        self._starts = Starts(parts)
        self._machines: dict[str, TaskMachine] = {}
        self._executions = Executions(parts.world, parts.knobs.microvm_executions_max)
        self._is_loaded = False
        self._vmm: VmmFacts | None = None
        self._listener: asyncio.Task[Any] | None = None

    @property
    def is_machine(self) -> bool:
        return True

    @property
    def facts(self) -> SandboxFacts:
        """Machines that may be emulated are no boundary, those of an earlier agent among them."""
        is_boundary = self._parts.accelerators.settled == "kvm"
        is_boundary = is_boundary and not any(machine.is_emulated for machine in self._machines.values())
        return SandboxFacts(
            kind="microvm" if is_boundary else "emulated",
            overhead=overhead(self._vmm.overhead_mib if self._vmm else 0),
            machines=sum(machine.record.phase is Phase.READY for machine in self._machines.values()),
            guest_image=self._parts.files.release,
            vmm=self._vmm.version if self._vmm else "",
            waiting=self._waiting_by_size(),
            starts=(self.starts[Rung.WARM], self.starts[Rung.SNAPSHOT], self.starts[Rung.COLD]),
            old_machines=tuple(sorted(self._old_machines())) if self._is_loaded else (),
        )

    def _waiting_by_size(self) -> tuple[WaitingMachines, ...]:
        sizes = Counter[tuple[int, int]]()
        for shape, count in self._starts.waiting.items():
            sizes[shape.vcpus, shape.memory_mib] += count
        return tuple(
            WaitingMachines(vcpus=vcpus, memory_mib=memory_mib, count=count)
            for (vcpus, memory_mib), count in sorted(sizes.items())
        )

    def _old_machines(self) -> list[str]:
        """Made of something else than those are that are made now."""
        running = [machine.record for machine in self._machines.values() if machine.record.phase is Phase.READY]
        return [record.task_id for record in running if record.made_of != self._starts.made_of]

    @property
    def starts(self) -> Mapping[Rung, int]:
        """Machines by the rung of the ladder they came by, in this agent's life."""
        return self._starts.counts

    @property
    def saved(self) -> int:
        """Sizes of which a machine is saved."""
        return len(self._starts.saved)

    @property
    def waiting(self) -> int:
        """Machines that wait for a task."""
        return sum(self._starts.waiting.values())

    def rung_of(self, task_id: str) -> Rung | None:
        """By which its machine came; None while there is none."""
        machine = self._machines.get(task_id)
        return None if machine is None else machine.record.rung

    # -- start and end

    async def start(self) -> None:
        await self._parts.images.start()
        if self._is_loaded:
            return
        try:
            self._vmm = await self._parts.vmm.probe()
            self._starts.made_of = f"{self._parts.files.release}, {self._vmm.version}"
            await self._parts.vmm.start()
            accelerators, guest = self._parts.accelerators, self._parts.files.release
            await self._world.offload(LANE, accelerators.recall, self._vmm.version, guest)
        except VmmError as error:
            raise EngineUnavailable(str(error)) from None
        for record, containers in await self._world.offload(LANE, self._parts.records.load):
            self._adopt(record, containers)
        await self._end_strangers()
        await self._starts.start()
        self._listener = self._world.spawn(self._listen(), "microvm-ends")
        self._is_loaded = True
        await self._connect_all()

    def _adopt(self, record: Machine, containers: list[tuple[Blueprint, Run]]) -> None:
        machine = TaskMachine(self._parts, self._starts, record)
        for blueprint, run in containers:
            machine.containers[blueprint.runtime_id] = Contained(self._parts, blueprint, run)
        self._machines[record.task_id] = machine

    async def _end_strangers(self) -> None:
        """Machines of which no container is known, as after an older release's records: nobody would ever end them."""
        for machine in [machine for machine in self._machines.values() if not machine.containers]:
            try:
                await machine.remove()
                del self._machines[machine.task_id]
            except EngineUnavailable as error:
                self._parts.note(str(error))

    async def _connect_all(self) -> None:
        """Those that answer within a bound; the others are `unknown` until they do, or are gone."""
        running = [machine for machine in self._machines.values() if machine.record.phase is Phase.READY]
        tasks = [self._world.spawn(machine.reconnect(), f"adopt-{machine.task_id}") for machine in running]
        if tasks:
            await asyncio.wait(tasks, timeout=self._parts.knobs.microvm_adopt_s)

    async def _listen(self) -> None:
        async for end in self._parts.vmm.ended():
            machine = self._machines.get(end.machine_id)
            if machine is not None:
                self._parts.note(f"the machine of task {end.machine_id} ended ({end.kind}): {end.detail}")
                await machine.gone(_reason(end))
            else:
                await self._starts.ended(end.machine_id)

    async def end_spares(self) -> None:
        """The agent goes: machines that are no task's end, the others run on."""
        await self._starts.close()

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
        await self.end_spares()
        for machine in list(self._machines.values()):
            await machine.close()
        if self._is_loaded:
            await self._parts.vmm.close()
        self._parts.images.close()

    # -- images

    async def pull_image(self, request: PullRequest, progress: Callable[[int, int], None]) -> Image:
        image = await self._parts.images.pull(request, progress)
        self._world.spawn(self._make_disk(image), f"image-disk-{image.digest[-12:]}")
        return image

    async def _make_disk(self, image: Image) -> None:
        """Beside the task's other steps. The machine's start asks for it again, and tells what was wrong."""
        try:
            await self._parts.images.disk(image)
        except (SandboxError, EngineError, EngineUnavailable, OSError):
            pass

    async def collect_images(self, spared: frozenset[str]) -> tuple[str, ...]:
        return await self._parts.images.collect(spared)

    async def seed_volume(self, image: Image, container_path: str, target_dir: str) -> bool:
        return await self._parts.images.seed(image, container_path, target_dir)

    # -- a container's life

    async def create_container(self, config: ContainerConfig) -> None:
        async with self._preparing(config.task_id) as machine:
            if config.runtime_id in machine.containers:
                return
            self._check_preparing(machine)
            await self._blocking(self._parts.records.save_machine, machine.record)
            try:
                blueprint = await self._world.offload(LANE, self._parts.creation.container, config)
            except EngineError as error:
                self._parts.images.forget(config.image)
                raise SandboxError(f"CannotCreateContainerError: {error.detail}"[:REASON_MAX_CHARS]) from None
            await self._add(machine, blueprint)

    async def create_pause(self, config: PauseConfig) -> None:
        async with self._preparing(config.task_id) as machine:
            if config.runtime_id in machine.containers:
                return
            self._check_preparing(machine)
            await self._blocking(self._parts.records.save_machine, machine.record)
            await self._add(machine, await self._blocking(self._parts.creation.pause, config))

    @asynccontextmanager
    async def _preparing(self, task_id: str) -> AsyncIterator[TaskMachine]:
        """The task's machine under its lock. One that is without containers then is forgotten."""
        machine = self._machine(task_id)
        await machine.lock.acquire()
        while self._machines.get(task_id) is not machine:  # who had the lock before has forgotten it
            machine.lock.release()
            machine = self._machine(task_id)
            await machine.lock.acquire()
        try:
            yield machine
        finally:
            try:
                if not machine.containers:
                    await self._world.offload(LANE, self._parts.records.forget_machine, task_id)
            finally:
                if not machine.containers:
                    del self._machines[task_id]
                machine.lock.release()

    def _check_preparing(self, machine: TaskMachine) -> None:
        if not machine.is_preparing:
            raise cannot_start("the task's virtual machine has its disk already")

    async def _add(self, machine: TaskMachine, blueprint: Blueprint) -> None:
        await self._blocking(self._parts.records.save_blueprint, blueprint)
        machine.containers[blueprint.runtime_id] = Contained(self._parts, blueprint, Run())

    async def start_container(self, runtime_id: str) -> int:
        machine, container = self._known(runtime_id)
        async with machine.lock:
            if container.run.status != "created":
                return container.run.pid or 0
            if container.blueprint.is_pause and machine.is_preparing:
                # All containers of the task are made before its machine is.
                await container.save(replace(container.run, status="running", pid=_NOTED_PID))
                return _NOTED_PID
            return await machine.begin(container)

    async def restart_container(self, runtime_id: str) -> int:
        machine, container = self._known(runtime_id)
        if not container.blueprint.may_restart:
            raise cannot_start("the container is gone")
        async with machine.lock:
            if container.run.status == "running":
                return container.run.pid or 0
            if container.run.status == "stopped":
                guest = await machine.ready()
                await container.drained_within(self._parts.knobs.microvm_output_wait_s)
                await _told(container.forget_run(guest))
                await container.begin_again()
                self._parts.board.forget(runtime_id)
            return await machine.begin(container)

    async def kill_container(self, runtime_id: str, signal: int) -> None:
        machine, container = self._find(runtime_id)
        if machine is None or container is None or container.run.status != "running":
            return
        if not container.is_in_guest:  # a pause container that is only noted as started
            await container.end(128 + signal)
            return
        if signal == signals.SIGKILL and container.outlives_kill():
            # Who owns the guest's kernel decides what dies in it; the machine itself is the host's.
            await machine.end("a container of the task did not end when it was killed")
            return
        guest = machine.connected()
        if signal == signals.SIGKILL:
            await _told(runtime.kill_all(guest, container.group))
        else:
            await _told(container.signal(guest, signal))

    async def delete_container(self, runtime_id: str) -> None:
        machine, container = self._find(runtime_id)
        if machine is None or container is None:
            return
        async with machine.lock:
            if machine.containers.get(runtime_id) is not container:
                return
            if container.is_in_guest and machine.record.phase is Phase.READY:
                await self._end_in_guest(machine, container)
            if machine.is_preparing and not container.blueprint.is_pause:
                await self._blocking(self._parts.creation.clear, container.blueprint)
            if len(machine.containers) == 1:
                await machine.remove()
                del self._machines[machine.task_id]
            await self._blocking(self._parts.records.forget, container.blueprint)
            container.let_go()
            del machine.containers[runtime_id]
            self._executions.forget(runtime_id)
            self._parts.board.forget(runtime_id)

    async def _end_in_guest(self, machine: TaskMachine, container: Contained) -> None:
        """What it said is in its log then, as far as the guest gives it away in time."""
        is_last = len(machine.containers) == 1
        if is_last and machine.guest is None:
            return  # the machine goes, and with it what cannot be asked for
        guest = machine.connected()
        await _told(runtime.kill_all(guest, container.group))
        if container.run.status == "running":
            await container.stopped_within(_END_S)
        await container.drained_within(self._parts.knobs.microvm_output_wait_s)
        if not is_last:
            await _told(container.forget_run(guest))

    # -- looking

    async def get_container(self, runtime_id: str) -> ContainerState | None:
        machine, container = self._find(runtime_id)
        if machine is None or container is None:
            return None
        if machine.is_unknown and container.run.status != "stopped":
            machine.connected()
        return container.state

    async def list_containers(self) -> list[ContainerState]:
        self._check_loaded()
        found = []
        for machine in self._machines.values():
            for container in machine.containers.values():
                is_unknown = machine.is_unknown and container.run.status != "stopped"
                found.append(replace(container.state, status="unknown") if is_unknown else container.state)
        return found

    def exits(self) -> AsyncIterator[Exit]:
        return self._parts.board.exits()

    async def oom_kills(self, runtime_id: str) -> int:
        machine, container = self._find(runtime_id)
        if machine is None or container is None or machine.guest is None or not container.is_in_guest:
            return 0
        try:
            return await runtime.oom_kills(machine.guest, container.group)
        except GuestGone:
            return 0

    # -- beside it

    async def exec(
        self, runtime_id: str, exec_id: str, args: tuple[str, ...], *, timeout_s: float, max_output: int = 4096
    ) -> ExecResult:
        found = self._running(runtime_id)
        if found is None:
            return ExecResult(exit_code=KILLED, output=b"")
        guest, container = found
        return await self._executions.run(guest, container, exec_id, args, timeout_s=timeout_s, max_output=max_output)

    async def open_terminal(self, runtime_id: str, exec_id: str, args: tuple[str, ...]) -> Terminal:
        found = self._running(runtime_id)
        if found is None:
            raise SandboxError(f"container {runtime_id} does not run")
        return await self._executions.open(*found, exec_id, args)

    async def pause_container(self, runtime_id: str) -> None:
        await self._freeze(runtime_id, frozen=True)

    async def resume_container(self, runtime_id: str) -> None:
        await self._freeze(runtime_id, frozen=False)

    def guest_of(self, task_id: str) -> Guest | None:
        """None where the task has no machine yet, or no more. Raises EngineUnavailable."""
        self._check_loaded()
        machine = self._machines.get(task_id)
        if machine is None or machine.record.phase is not Phase.READY:
            return None
        return machine.connected()

    async def _freeze(self, runtime_id: str, *, frozen: bool) -> None:
        found = self._running(runtime_id)
        if found is not None:
            guest, container = found
            await _told(runtime.freeze(guest, container.group, frozen=frozen))

    # -- plumbing

    def _machine(self, task_id: str) -> TaskMachine:
        self._check_loaded()
        return self._machines.setdefault(task_id, TaskMachine(self._parts, self._starts, Machine(task_id=task_id)))

    def _find(self, runtime_id: str) -> tuple[TaskMachine | None, Contained | None]:
        self._check_loaded()
        for machine in self._machines.values():
            if runtime_id in machine.containers:
                return machine, machine.containers[runtime_id]
        return None, None

    def _known(self, runtime_id: str) -> tuple[TaskMachine, Contained]:
        machine, container = self._find(runtime_id)
        if machine is None or container is None:
            raise cannot_start("the container is gone")
        return machine, container

    def _running(self, runtime_id: str) -> tuple[Guest, Contained] | None:
        """None when nothing of it runs in a guest. Raises EngineUnavailable."""
        machine, container = self._find(runtime_id)
        if machine is None or container is None or container.run.status != "running" or not container.is_in_guest:
            return None
        return machine.connected(), container

    def _check_loaded(self) -> None:
        if not self._is_loaded:
            raise EngineUnavailable("the engine was not started")

    async def _blocking(self, function: Callable[..., T], *arguments: object) -> T:
        try:
            return await self._world.offload(LANE, function, *arguments)
        except EngineError as error:
            raise EngineUnavailable(error.detail) from None


async def _told(work: Any) -> None:
    """To a guest that may go away meanwhile. Raises EngineUnavailable."""
    try:
        await work
    except GuestGone as gone:
        raise EngineUnavailable(gone.reason) from None
    except GuestRefused as refused:
        raise EngineUnavailable(str(refused)) from None


def _reason(end: MachineEnd) -> str:
    """Without the guest's own words: those are for the operator."""
    how = {"killed": "was killed", "panicked": "stopped by itself", "refused": "could not go on"}[end.kind]
    return f"the virtual machine of the task {how}"
