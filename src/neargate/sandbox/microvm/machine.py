"""One task's machine: its boot, the connection to its guest, its end, and the containers in it.

Owns the phases (`record.Phase`) and who may change what: what changes the machine is done under its lock. Must not know
the sandbox's interface. Invariants: from the moment the disk is handed over nothing of it is read here again; a machine
that ended, or whose guest broke the rules, ends all its containers, once, with a reason. A record that cannot be
written costs at most this task: what a new agent would find out again needs none.
"""

import asyncio
from typing import Any

from msgspec.structs import replace

from ...interfaces.hostnet import GuestInterface, HostError
from ...interfaces.sandbox import EngineUnavailable, SandboxError
from ...world import within
from ..sentences import cannot_start
from . import places, runtime
from .boot import size_of, spec_of
from .contained import Contained
from .errors import GuestBroke, GuestGone, GuestRefused
from .executions import PLACES_MAX
from .guest import Guest
from .hello import Ending, NoHello
from .images_coming import ImagesComing, with_images
from .parts import LANE, Parts
from .plan import images_of, machine_steps
from .record import KILLED, Blueprint, Machine, Phase, Rung
from .starts import Order, Starts
from .vmm import Accelerator, MachineRefused, MachineSpec, VmmError, VmmMissing

_HOST_ATTEMPTS = 20
_PAUSE_S = 0.1
_RECONNECT_S = 0.5
_TOLD_S = 1.0
_UNREACHED_S = 300.0  # a machine that cannot be asked cannot be stopped either
_ENTROPY_BYTES = 64


class TaskMachine:
    def __init__(self, parts: Parts, starts: Starts, record: Machine) -> None:
        self._parts = parts
        self._starts = starts
        self.record = record
        self.containers: dict[str, Contained] = {}
        self.lock = asyncio.Lock()
        self.guest: Guest | None = None
        self._follower: asyncio.Task[Any] | None = None
        self._ending = Ending()  # while it boots
        self._is_let_go = False

    @property
    def task_id(self) -> str:
        return self.record.task_id

    @property
    def is_preparing(self) -> bool:
        return self.record.phase is Phase.PREPARING

    @property
    def is_emulated(self) -> bool:
        """Its monitor may run; of a machine of a release that did not say, it is not known."""
        return self.record.is_emulated and self.record.phase is Phase.READY

    @property
    def is_unknown(self) -> bool:
        """It should run and cannot be asked."""
        return self.record.phase is Phase.READY and self.guest is None

    def connected(self) -> Guest:
        """Raises EngineUnavailable."""
        if self.guest is None:
            raise EngineUnavailable(f"the machine of task {self.task_id} does not answer")
        return self.guest

    async def ready(self) -> Guest:
        """Its guest, the machine booted if need be. Under the lock. Raises SandboxError, EngineUnavailable."""
        if self.record.phase is Phase.GONE:
            raise cannot_start(self.record.reason or "the virtual machine of the task ended")
        if self.record.phase is not Phase.READY:
            await self._boot()
        return self.connected()

    # -- boot

    async def _boot(self) -> None:
        await self._enter(Phase.BOOTING)
        accelerators = self._parts.accelerators
        attempts = accelerators.attempts
        for number in range(1, attempts + 1):
            accelerator = accelerators.attempt(number)
            try:
                guest, rung = await self._acquired(accelerator)
                accelerators.worked(accelerator)
                await self._keep_what_worked()
                break
            except (VmmMissing, MachineRefused) as never:
                self._parts.note(f"no machine of task {self.task_id} can be made ({accelerator}): {never}")
                await self._destroy()
                if accelerator == accelerators.attempt(number + 1):  # the same again would be refused again
                    raise cannot_start(f"no virtual machine can be made: {never}") from None
            except (NoHello, GuestGone, VmmError) as silent:
                why = await self._console()
                self._parts.note(f"the machine of task {self.task_id} did not come up ({silent}): {why}")
                await self._destroy()
                if number == attempts:
                    raise cannot_start("the virtual machine did not come up") from None
            except (GuestRefused, HostError, OSError) as error:
                await self._destroy()
                raise cannot_start(f"no virtual machine can be made: {error}") from None
            except (SandboxError, EngineUnavailable):  # of an image whose disk was made meanwhile
                await self._destroy()
                raise
        made_of = self._starts.made_of
        self.record = replace(self.record, is_emulated=accelerator == "tcg", rung=rung, made_of=made_of)
        try:
            await self._enter(Phase.READY)
        except SandboxError:
            await guest.close()
            await self._destroy()
            raise
        self._hold(guest)

    async def _keep_what_worked(self) -> None:
        try:
            await self._parts.world.offload(LANE, self._parts.accelerators.keep)
        except OSError as error:  # the next agent finds it out anew
            self._parts.note(f"how machines are run here is not kept: {error}")

    async def _acquired(self, accelerator: Accelerator) -> tuple[Guest, Rung]:
        parts, blueprints = self._parts, self._blueprints()
        images = images_of(blueprints)
        coming = ImagesComing(parts, images)
        try:
            paths = await coming.there()
            disk = await self._handed_over()

            async def settle(guest: Guest, interface: GuestInterface, made: MachineSpec) -> None:
                await guest.clock()
                await guest.entropy(parts.world.random.randbytes(_ENTROPY_BYTES))
                if not all(paths):
                    await parts.vmm.add_disks(self.task_id, with_images(made, await coming.all()))
                await guest.disks(len(images) + 1)
                for step in machine_steps(size_of(blueprints), len(images), interface.messages):
                    await runtime.carry_out(guest, step)

            spec = spec_of(parts, self.task_id, blueprints, disk, paths, accelerator)
            return await self._starts.acquire(Order(spec=spec, settle=settle, ending=self._ending))
        finally:
            coming.close()

    async def _handed_over(self) -> str:
        """The task's disk may be busy for a moment: an unmount that still writes."""
        for _ in range(_HOST_ATTEMPTS - 1):
            try:
                return await self._parts.disks.hand_over(self.task_id)
            except HostError:
                await self._parts.world.sleep(_PAUSE_S)
        return await self._parts.disks.hand_over(self.task_id)

    async def _console(self) -> str:
        try:
            return (await self._parts.vmm.console(self.task_id))[-1000:]
        except VmmError as error:
            return str(error)

    # -- containers

    def image_number(self, blueprint: Blueprint) -> int:
        digests = [image.digest for image in images_of(self._blueprints())]
        return digests.index(blueprint.image.digest) if blueprint.image is not None else 0

    async def begin(self, container: Contained) -> int:
        """Run a created container; its pid. Under the lock. Raises SandboxError, EngineUnavailable."""
        guest = await self.ready()
        try:
            shared = container.blueprint.share_pid_with
            shared_pid = None if shared is None else await self._begin_shared(guest, shared)
            return await container.begin(guest, self.image_number(container.blueprint), shared_pid)
        except GuestGone as gone:
            raise EngineUnavailable(gone.reason) from None
        except OSError as error:
            raise cannot_start(": ".join(filter(None, (error.filename, error.strerror)))) from None

    async def _begin_shared(self, guest: Guest, runtime_id: str) -> int:
        """The pause container was only noted as started while there was no machine."""
        pause = self.containers.get(runtime_id)
        if pause is None or pause.run.status != "running":
            raise cannot_start("the container whose process namespace is shared is not running")
        if pause.is_in_guest:
            return pause.run.pid or 0
        return await pause.begin(guest, 0, None)

    def _blueprints(self) -> list[Blueprint]:
        return [container.blueprint for container in self.containers.values()]

    # -- connection

    def _hold(self, guest: Guest) -> None:
        self.guest = guest
        self._follower = self._parts.world.spawn(self._follow(guest), f"machine-{self.task_id}")

    async def _follow(self, guest: Guest) -> None:
        gone = await guest.ended()
        if self.guest is not guest or self._is_let_go:
            return
        self.guest = None
        await guest.close()
        if isinstance(gone, GuestBroke):
            await self.end(f"the virtual machine broke its protocol: {gone.reason}")
        else:
            await self.reconnect()

    async def reconnect(self) -> None:
        """Until its guest answers or the machine is gone. One that stays away is ended."""
        deadline = self._parts.world.monotonic() + _UNREACHED_S
        while not self._is_let_go and self.record.phase is Phase.READY:
            if await self.connect_once():
                return
            if self._parts.world.monotonic() >= deadline:
                await self.end("the virtual machine of the task could not be reached")
                return
            await self._parts.world.sleep(_RECONNECT_S)

    async def connect_once(self) -> bool:
        """True when it is connected, or over."""
        try:
            if not await self._runs():
                # Its connection ends before its monitor's end is told, and only that says how.
                await self._parts.world.sleep(_TOLD_S)
                await self.gone("the virtual machine of the task ended")
                return True
            guest = await self._parts.connect(self.task_id)
        except GuestBroke as broke:
            await self.end(f"the virtual machine broke its protocol: {broke.reason}")
            return True
        except (GuestGone, VmmError):
            return False
        async with self.lock:
            try:
                await within(_UNREACHED_S, self._take_over(guest))
            except (GuestGone, GuestRefused, runtime.RuntimeFailed, TimeoutError):
                await guest.close()
                return False
            self._hold(guest)
        return True

    async def _take_over(self, guest: Guest) -> None:
        """Each answer has a bound; so many have none together."""
        for container in self.containers.values():
            await container.adopt(guest)
            await self._end_executions(guest, container)

    async def _end_executions(self, guest: Guest, container: Contained) -> None:
        """Commands and terminals of an agent that was killed: the guest ended the runtime's end of them only."""
        for number in range(PLACES_MAX):
            if not await runtime.kill_execution(guest, places.execution(container.group, number)):
                return

    async def _runs(self) -> bool:
        states = await self._parts.vmm.list_machines()
        return any(state.machine_id == self.task_id and state.pid for state in states)

    # -- end

    async def end(self, reason: str) -> None:
        """By the host's will."""
        guest = self.guest
        self._let_guest_go()  # who follows it would find the end without the reason
        if guest is not None:
            await guest.close()
        await self._destroy()
        await self.gone(reason)

    async def gone(self, reason: str) -> None:
        """It is no more, by whatever; may be told more than once."""
        if self.record.phase is not Phase.READY:
            self._ending.tell()
            return
        self.record = replace(self.record, phase=Phase.GONE, reason=f"InternalError: {reason}")
        try:
            await self._save()
        except OSError as error:  # an agent that begins anew looks for the machine, and tells this again
            self._parts.note(f"the end of the machine of task {self.task_id} is not recorded: {error}")
        self._parts.note(f"task {self.task_id}: {reason}")
        self._let_guest_go()
        for container in list(self.containers.values()):  # one may be deleted meanwhile
            container.let_go()
            container.give_output_up()
            if container.run.status == "running":
                await container.end(KILLED, self.record.reason)

    async def remove(self) -> None:
        """With its last container. Raises EngineUnavailable."""
        self._let_guest_go()
        try:
            await self._parts.vmm.destroy(self.task_id)
        except VmmError as error:
            raise EngineUnavailable(f"the machine of task {self.task_id}: {error}") from None
        await self._parts.world.offload(LANE, self._parts.records.forget_machine, self.task_id)

    async def close(self) -> None:
        """The agent goes; the machine runs on."""
        self._is_let_go = True
        guest = self.guest
        self._let_guest_go()
        for container in self.containers.values():
            container.let_go()
        if guest is not None:
            await guest.close()

    def _let_guest_go(self) -> None:
        self.guest = None
        if self._follower is not None and self._follower is not asyncio.current_task():
            self._follower.cancel()
        self._follower = None

    async def _destroy(self) -> None:
        try:
            await self._parts.vmm.destroy(self.task_id)
        except (VmmError, OSError) as error:
            self._parts.note(f"the machine of task {self.task_id} does not end: {error}")

    async def _enter(self, phase: Phase) -> None:
        """Recorded first. Raises SandboxError."""
        entered = replace(self.record, phase=phase)
        try:
            await self._parts.world.offload(LANE, self._parts.records.save_machine, entered)
        except OSError as error:
            raise cannot_start(f"the host cannot record the virtual machine: {error.strerror}") from None
        self.record = entered

    async def _save(self) -> None:
        await self._parts.world.offload(LANE, self._parts.records.save_machine, self.record)
