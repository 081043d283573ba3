"""What the hooks of one task share: its record, the resources made so far, and how a long step is interrupted.

Owned by the task's single runner; nothing else changes a task's record. Invariant: a report is sent only after the
record it shows was saved.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from ..interfaces.hostnet import HostCgroups, HostDisks, HostNetwork, TaskDisk, TaskLimits, TaskNetwork
from ..interfaces.sandbox import BindMount, EngineUnavailable, Image, Sandbox, TaskSize
from ..model.concealed import Concealed
from ..model.knobs import Knobs
from ..model.launch import ContainerLaunch, TaskLaunch, TaskReport
from ..model.network import VpcPlan
from ..world import World, within
from .given_files import secret_files_mib
from .local_state import LocalState
from .points import Point, Reached
from .task_record import ContainerRecord, TaskRecord, bounded_reasons, report_of

T = TypeVar("T")


class LaunchFailed(Exception):
    """A hook cannot bring the task up; `reason` is AWS's sentence."""

    def __init__(self, reason: str, container: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.container = container


class Interrupted(Exception):
    """The task is to stop (or another hook failed): the step gives up without having left anything behind."""


class Logs(Protocol):
    """What the hooks need of the log drivers."""

    async def file(self, launch: TaskLaunch, container: str, runtime_id: str) -> str:
        """Path of the file that receives the container's output; it exists and is followed. Raises OSError."""

    async def open(self, launch: TaskLaunch, container: str, runtime_id: str) -> str:
        """The same, its receiver being ready: a stream, a collector. Waits for it; raises LaunchFailed, OSError.

        The task's interface must be up for a driver that sends from inside its network.
        """

    def stopping(self, task_id: str) -> Awaitable[None]:
        """No writer is held back any more: a frozen process would not see its SIGTERM."""

    async def finish(self, task_id: str) -> None:
        """No more output comes; waits a bounded time for the last lines, ships the rest in the background."""

    def dropped(self, task_id: str, container: str) -> int:
        """Bytes that the non-blocking mode gave up so far."""

    def forget(self, task_id: str) -> None:
        """The task's end was recorded with its counts."""


class Plans(Protocol):
    """The VPC plans in force on this host."""

    async def ready(self, vpc_id: str) -> None:
        """Returns once the plan the server pushed for this VPC is applied and its listeners are open."""

    def plan(self, vpc_id: str) -> VpcPlan | None:
        """The newest that was pushed."""


class Credentials(Protocol):
    """What the hooks need of the tasks' roles."""

    async def ready(self, task_id: str) -> None:
        """Returns once the task has credentials of its role. Raises LaunchFailed."""

    async def forget(self, task_id: str) -> None: ...


class Execution(Protocol):
    """What the execution role of a task is used for, from inside the task's network."""

    async def environment(self, task: TaskLaunch) -> "Secrets":
        """The values of its secrets. Its interface must be up. Raises LaunchFailed in AWS's words."""

    async def log_options(self, task: TaskLaunch, container: ContainerLaunch) -> dict[str, str]:
        """All options of the container's log driver, the values of secretOptions among them. As `environment`."""

    async def login(
        self, task: TaskLaunch, container: ContainerLaunch, reachable: Callable[[], Awaitable[None]]
    ) -> "Login | None":
        """What opens the registry of this image; None: nothing of the task's own. Raises LaunchFailed.

        `reachable` is awaited before the network is needed, if it is.
        """

    def refused(self, task: TaskLaunch) -> None:
        """The region's registry did not let in who showed what `login` had kept: the next one is new."""

    def forget(self, task_id: str) -> None:
        """The task is over. Repeatable."""


class Secrets(Concealed, frozen=True, kw_only=True):
    """`by_container`: variables and their values."""

    by_container: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


class Login(Concealed, frozen=True, kw_only=True):
    """`is_regional`: the registry is this region's own, to be asked at its endpoint. `is_kept`: it is not new."""

    username: str
    password: str
    is_regional: bool = False
    is_kept: bool = False


class HostParts(Struct, frozen=True, kw_only=True):
    """What every runner of a host shares."""

    world: World
    knobs: Knobs
    sandbox: Sandbox
    network: HostNetwork
    disks: HostDisks
    cgroups: HostCgroups
    state: LocalState
    logs: Logs
    plans: Plans
    credentials: Credentials
    execution: Execution
    start_gate: asyncio.Semaphore
    endpoint_url: str  # as a task sees the region
    pulls_by_task: Callable[[str], bool]  # whether this image's registry is asked in the task's network
    publish: Callable[[TaskReport], None]
    reached: Reached
    note: Callable[[str], None]  # one line for the agent's own log


class Resources(Struct):
    """Made or found by the hooks of this process; made again (idempotently) by the next one."""

    network: TaskNetwork | None = None
    disk: TaskDisk | None = None
    images: dict[str, Image] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    etc: tuple[BindMount, ...] = ()
    files: dict[str, tuple[BindMount, ...]] = field(default_factory=dict)  # by container
    secrets: Secrets = field(default_factory=Secrets)
    created: set[str] = field(default_factory=set)  # containers, by name


class TaskContext:
    """One task, as its hooks see it."""

    def __init__(self, parts: HostParts, record: TaskRecord) -> None:
        self.parts = parts
        self.record = record
        self.resources = Resources()
        self._interrupted = asyncio.Event()
        self._changed = asyncio.Event()
        self._changes = 0

    @property
    def launch(self) -> TaskLaunch:
        return self.record.launch

    @property
    def size(self) -> TaskSize:
        """What its containers have together. What the agent holds in memory for the task is counted to the task."""
        held_mib = secret_files_mib(self.launch, self.parts.knobs.secret_file_max_bytes)
        return TaskSize(cpu_units=self.launch.cpu_units, memory_mib=max(0, self.launch.memory_mib - held_mib))

    @property
    def limits(self) -> TaskLimits:
        """Of the task's cgroup on this host: its size, and what the engine needs beside it."""
        memory_mib = self.size.memory_mib
        overhead_mib = self.parts.sandbox.facts.overhead.of(memory_mib)
        return TaskLimits(cpu_units=self.launch.cpu_units, memory_mib=memory_mib + overhead_mib)

    @property
    def is_interrupted(self) -> bool:
        """Also while a stop is still being saved: what is decided meanwhile must not overwrite it."""
        return self._interrupted.is_set() or self.record.stop_code is not None

    def reached(self, point: Point) -> None:
        self.parts.reached(point, self.record.task_id)

    def now(self) -> float:
        return self.parts.world.now()

    def change(self, **fields: Any) -> None:
        self.record = replace(self.record, **bounded_reasons(fields))
        self._note()

    def change_container(self, name: str, **fields: Any) -> None:
        self.record = self.record.with_container(name, **bounded_reasons(fields))
        self._note()

    def container(self, name: str) -> ContainerRecord:
        return self.record.container(name)

    async def save(self) -> None:
        await self.parts.state.save(self.record)

    async def report(self) -> None:
        """Save, then tell. Concurrent calls keep their order: the state's lane has one thread."""
        self.record = replace(self.record, report_seq=self.record.next_seq(self.now()))
        report = report_of(self.record)
        await self.save()
        self.parts.publish(report)

    async def bury(self) -> None:
        """The task ended: its last report is its tombstone, told after it is durable."""
        self.record = replace(self.record, report_seq=self.record.next_seq(self.now()))
        report = report_of(self.record)
        await self.parts.state.bury(report)
        self.parts.publish(report)

    def interrupt(self) -> None:
        self._interrupted.set()
        self._note()

    def check_interrupted(self) -> None:
        if self.is_interrupted:
            raise Interrupted

    async def changed(self, seen: int, within_s: float | None = None) -> None:
        """Wait for a change after the one numbered `seen` (see `version`), at most `within_s` seconds."""
        while self._changes == seen:
            self._changed.clear()
            try:
                await within(within_s, self._changed.wait())
            except TimeoutError:
                return

    @property
    def version(self) -> int:
        return self._changes

    def forget_secrets(self) -> None:
        """The containers have theirs, or never will. Repeatable."""
        self.resources.secrets = Secrets()
        self.parts.execution.forget(self.record.task_id)

    async def interface_up(self) -> None:
        """Returns once the task has its network, also to the region's endpoint. Raises Interrupted."""
        while not self.record.eni_attached:
            self.check_interrupted()
            await self.changed(self.version)
        await self.parts.plans.ready(self.launch.eni.vpc_id)

    def _note(self) -> None:
        self._changes += 1
        self._changed.set()

    async def or_interrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work`, cancelling it when the task is interrupted. Only for steps that leave nothing half made."""
        if self.is_interrupted:
            work.close()
            raise Interrupted
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        worker = self.parts.world.spawn(_into(outcome, work), f"{self.record.task_id}-step")
        waiter = self.parts.world.spawn(self._interrupted.wait(), f"{self.record.task_id}-interrupt")
        try:
            await asyncio.wait({worker, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Cancelling what is done is harmless; what is not done must not outlive this step.
            waiter.cancel()
            worker.cancel()
        if outcome.done() and not outcome.cancelled():
            return outcome.result()
        await asyncio.wait({worker})
        raise Interrupted

    async def engine(self, call: Callable[[], Awaitable[T]], *, interruptible: bool = True) -> T:
        """Repeat while the engine does not answer: the task is not to blame for a restart of containerd."""
        while True:
            if interruptible:
                self.check_interrupted()
            try:
                return await call()
            except EngineUnavailable:
                await self.parts.world.sleep(self.parts.knobs.engine_retry_s)

    @asynccontextmanager
    async def gate(self) -> AsyncIterator[None]:
        """One of the host's few places for work that saturates its processors."""
        await self.or_interrupted(self.parts.start_gate.acquire())
        try:
            yield
        finally:
            self.parts.start_gate.release()

    @asynccontextmanager
    async def stage(self, name: str) -> AsyncIterator[None]:
        """Adds the wall time of the block to the breakdown. Names with a dot are details of another stage."""
        begun = self.parts.world.monotonic()
        try:
            yield
        finally:
            spent = (self.parts.world.monotonic() - begun) * 1000
            stages = self.record.stages_ms
            self.record = replace(self.record, stages_ms={**stages, name: round(stages.get(name, 0.0) + spent, 3)})


def start_gate(knobs: Knobs) -> asyncio.Semaphore:
    return asyncio.Semaphore(knobs.starts_at_once)


async def _into(outcome: "asyncio.Future[T]", work: Coroutine[Any, Any, T]) -> None:
    """The result or the error goes to the future: a spawned task must not end the process for a failed launch."""
    try:
        result = await work
    except asyncio.CancelledError:
        outcome.cancel()
        raise
    except Exception as error:
        if not outcome.done():
            outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(result)
