"""Starts the containers in dependency order, creating those that were not; takes them down in the reverse one.

Invariant: a container is deleted only after its exit facts are saved, since the engine forgets them then.
"""

from collections.abc import Awaitable, Callable

from ...interfaces.hostnet import HostError
from ...interfaces.sandbox import EngineUnavailable, SandboxError
from ..container_config import signal_number
from ..container_creation import create, give_up
from ..container_facts import refresh
from ..order import next_starts, next_stops
from ..points import Point
from ..task_context import TaskContext

SIGKILL = 9

_WAIT_MIN_S = 0.001


class ContainersHook:
    name = "containers"
    up_point = Point.CONTAINERS_STARTED
    down_point = Point.CONTAINERS_DELETED
    gated = False

    async def up(self, task: TaskContext) -> None:
        """Returns when every container was started or given up."""
        while True:
            task.check_interrupted()
            seen = task.version
            plan = next_starts(task.record, task.now(), task.parts.knobs.start_timeout_default_s)
            for name, reason in plan.give_up:
                await give_up(task, name, reason)
            for name in plan.start:
                async with task.gate():
                    await self._start(task, name)
            if plan.done:
                return
            if not plan.start and not plan.give_up:
                await task.changed(seen, None if plan.wake_at is None else max(0.0, plan.wake_at - task.now()))

    async def down(self, task: TaskContext) -> None:
        await refresh(task, interruptible=False)
        await task.parts.logs.stopping(task.record.task_id)
        deadlines: dict[str, float] = {}  # monotonic: a clock that is set back must not put SIGKILL off by hours
        killed: set[str] = set()
        while any(container.known_status == "RUNNING" for container in task.record.containers):
            seen = task.version
            await self._advance_stop(task, deadlines, killed)
            waits = [at for name, at in deadlines.items() if name not in killed and not task.container(name).is_stopped]
            # SIGKILL has no deadline of its own: what does not die of it is looked at again, and killed again.
            now = task.parts.world.monotonic()
            # A wait too short to move the clock would be asked for again without end.
            await task.changed(seen, max(_WAIT_MIN_S, min([*waits, now + task.parts.knobs.relist_period_s]) - now))
        await self._stopped(task)
        for container in task.record.containers:
            await task.engine(_deleter(task, container.runtime_id), interruptible=False)

    async def _start(self, task: TaskContext, name: str) -> None:
        runtime_id = task.container(name).runtime_id
        try:
            await create(task, name)
            async with task.stage("containers.start"):
                # The boot of a machine is the host's work, too, and is over when its first container runs.
                boots = task.parts.sandbox.is_machine
                if not boots:
                    await task.parts.cgroups.limit_cpu(task.record.task_id, task.limits)
                await _set_controls(task, name)
                await self._start_once(task, runtime_id)
                if boots:
                    await task.parts.cgroups.limit_cpu(task.record.task_id, task.limits)
                task.change_container(name, known_status="RUNNING", started_at=task.now())
                task.reached(Point.CONTAINER_STARTED)
        except SandboxError as error:
            await give_up(task, name, error.reason)

    async def _start_once(self, task: TaskContext, runtime_id: str) -> None:
        """An engine that died in the middle may have started it, and it may have ended since: look before repeating."""
        while True:
            task.check_interrupted()
            try:
                await task.parts.sandbox.start_container(runtime_id)
                return
            except EngineUnavailable:
                await task.parts.world.sleep(task.parts.knobs.engine_retry_s)
            state = await task.engine(lambda: task.parts.sandbox.get_container(runtime_id))
            if state is not None and state.status != "created":
                return

    async def _advance_stop(self, task: TaskContext, deadlines: dict[str, float], killed: set[str]) -> None:
        launches = {container.name: container for container in task.launch.containers}
        for name in next_stops(task.record):
            record = task.container(name)
            if task.record.kill_at_once:
                deadlines[name] = task.parts.world.monotonic()
            if name not in deadlines:
                signal = signal_number(record.stop_signal)
                await task.engine(_killer(task, record.runtime_id, signal), interruptible=False)
                deadlines[name] = task.parts.world.monotonic() + launches[name].stop_timeout_s
                task.reached(Point.TERM_SENT)
            elif deadlines[name] <= task.parts.world.monotonic():
                await task.engine(_killer(task, record.runtime_id, SIGKILL), interruptible=False)
                killed.add(name)
                task.reached(Point.KILL_SENT)

    async def _stopped(self, task: TaskContext) -> None:
        """What was never started is STOPPED too, without an exit code, as AWS shows it."""
        for container in task.record.containers:
            if not container.is_stopped:
                task.change_container(container.name, known_status="STOPPED")
        if task.record.execution_stopped_at is None:
            task.change(execution_stopped_at=task.now())
        await task.report()
        task.reached(Point.CONTAINERS_STOPPED)


async def _set_controls(task: TaskContext, name: str) -> None:
    """In the namespace that all of the task share: the last to be started wins, as on AWS. Raises SandboxError."""
    controls = task.launch.container(name).network_controls
    if not controls or task.parts.sandbox.is_machine:
        return
    try:
        await task.parts.network.set_controls(task.record.task_id, controls)
    except HostError as error:
        raise SandboxError(f"CannotStartContainerError: Error response from daemon: {error.reason}") from error


def _killer(task: TaskContext, runtime_id: str, signal: int) -> Callable[[], Awaitable[None]]:
    return lambda: task.parts.sandbox.kill_container(runtime_id, signal)


def _deleter(task: TaskContext, runtime_id: str) -> Callable[[], Awaitable[None]]:
    return lambda: task.parts.sandbox.delete_container(runtime_id)
