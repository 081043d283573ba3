"""One task on this host, from its order to its tombstone: the only writer of that task's state here.

The program is straight: bring up by the list of hooks, watch, take down by the same list reversed. What happens
meanwhile (a stop order, an exit, a health result) comes through the mailbox and is applied by one coroutine.
Invariants: the phase only moves forward and is saved before anything is done because of it; once a stop is saved no
container is started; STOPPED is reported only when nothing of the task is left.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from msgspec import Struct

from ..interfaces.hostnet import HostError
from ..interfaces.sandbox import EngineUnavailable, SandboxError
from ..log import get_logger
from ..model.lifecycle import LastStatus, StopCode
from .container_facts import note_exit, refresh
from .disk.stand_still import cut_off, freeze
from .health import HealthMonitor
from .hooks import STEPS, Hook, Step
from .launch_times import WHOLE_LAUNCH, Span, longest_way
from .points import Point
from .task_context import HostParts, Interrupted, LaunchFailed, TaskContext
from .task_record import Phase, TaskRecord

ESSENTIAL_EXITED = "Essential container in task exited"
_UNDO_RETRY_MAX_S = 30.0
_log = get_logger(__name__)


class _Stop(Struct, frozen=True, kw_only=True):
    stop_code: str
    reason: str


class _Freeze(Struct, frozen=True, kw_only=True):
    reason: str


class _Exited(Struct, frozen=True, kw_only=True):
    container: str
    exit_code: int | None
    exited_at: float | None
    reason: str | None


class _Health(Struct, frozen=True, kw_only=True):
    container: str
    status: str


class _Look(Struct, frozen=True, kw_only=True):
    """Ask the engine again: an event may have been lost."""


_Mail = _Stop | _Freeze | _Exited | _Health | _Look


class TaskRunner:
    """`ended` is called once the tombstone is durable. `resumed`: another process of the agent began this task."""

    def __init__(
        self, parts: HostParts, record: TaskRecord, ended: Callable[["TaskRunner"], None], *, resumed: bool
    ) -> None:
        self._resumed = resumed
        self._parts = parts
        self._task = TaskContext(parts, record)
        self._ended = ended
        self._mail: deque[_Mail] = deque()
        self._mail_came = asyncio.Event()
        self._health = HealthMonitor(self._task, self._health_changed)
        self._stop_saved = asyncio.Event()
        if record.phase is Phase.STOPPING:
            self._stop_saved.set()
            self._task.interrupt()

    @property
    def record(self) -> TaskRecord:
        return self._task.record

    def begin(self) -> None:
        self._parts.world.spawn(self._run(), f"task-{self.record.task_id}")

    def stop(self, stop_code: str, reason: str) -> None:
        if self.record.stop_code is None:
            self._post(_Stop(stop_code=stop_code, reason=reason))

    async def stop_saved(self) -> None:
        """Returns once a stop of this task is durable, whoever asked for it."""
        await self._stop_saved.wait()

    def freeze(self, reason: str) -> None:
        """The task harms the others of this host."""
        if not self.record.kill_at_once:
            self._post(_Freeze(reason=reason))

    def exited(self, runtime_id: str, exit_code: int | None, exited_at: float | None, reason: str | None) -> None:
        name = next((item.name for item in self.record.containers if item.runtime_id == runtime_id), None)
        if name is not None:
            self._post(_Exited(container=name, exit_code=exit_code, exited_at=exited_at, reason=reason))

    def look_again(self) -> None:
        if not any(isinstance(mail, _Look) for mail in self._mail):
            self._post(_Look())

    def _health_changed(self, container: str, status: str) -> None:
        self._post(_Health(container=container, status=status))

    def _post(self, mail: _Mail) -> None:
        self._mail.append(mail)
        self._mail_came.set()

    async def _run(self) -> None:
        reader = self._parts.world.spawn(self._read_mail(), f"mail-{self.record.task_id}")
        if self.record.phase in (Phase.STARTING, Phase.RUNNING):
            self._health.follow()
        if self.record.phase is Phase.STARTING:
            await self._bring_up()
        if self.record.phase is Phase.RUNNING:
            await self._watch()
        self._health.end()
        if self.record.phase is Phase.STOPPING:
            await self._take_down()
        reader.cancel()
        await self._bury()

    # -- the mailbox

    async def _read_mail(self) -> None:
        while True:
            await self._mail_came.wait()
            self._mail_came.clear()
            while self._mail:
                await self._apply(self._mail.popleft())

    async def _apply(self, mail: _Mail) -> None:
        match mail:
            case _Stop():
                await self._begin_stop(mail.stop_code, mail.reason)
            case _Freeze():
                await self._freeze(mail.reason)
            case _Exited():
                await note_exit(self._task, mail.container, mail.exit_code, mail.exited_at, mail.reason)
                self._health.follow()
                await self._judge_exits()
            case _Health():
                await self._note_health(mail)
            case _Look():
                await refresh(self._task, interruptible=False)
                await self._judge_exits()

    async def _note_health(self, mail: _Health) -> None:
        container = self._task.container(mail.container)
        if container.is_stopped or container.health_status == mail.status:
            return
        self._task.change_container(mail.container, health_status=mail.status)
        await self._task.report()

    async def _judge_exits(self) -> None:
        """An essential container that ended stops the task; one that never started was judged by its hook."""
        essential = {container.name for container in self.record.launch.containers if container.essential}
        ended = [item for item in self.record.containers if item.is_stopped and item.started_at is not None]
        # A task rebuilt from labels may not name an essential container; it is over when nothing of it runs.
        over = self.record.adopted_from_labels and all(item.is_stopped for item in self.record.containers)
        if over or any(item.name in essential for item in ended):
            await self._begin_stop(StopCode.ESSENTIAL_CONTAINER_EXITED.value, ESSENTIAL_EXITED)

    async def _begin_stop(self, stop_code: str, reason: str) -> None:
        """The first reason stays. Durable before anything is done because of it."""
        if self.record.stop_code is None:
            await self._save_stop(stop_code, reason)
            self._go_down()

    async def _freeze(self, reason: str) -> None:
        """Cut off and frozen before the way down begins, which may have to wait for steps of the way up."""
        if self.record.kill_at_once:
            return
        if self.record.stop_code is not None:
            # On its way down for another reason: the kills of that way are hastened, and nothing is frozen after them.
            self._task.change(kill_at_once=True)
            await self._task.save()
            await cut_off(self._task)
            return
        await self._save_stop(StopCode.INFRASTRUCTURE_HEALTH.value, reason, kill_at_once=True)
        self._task.interrupt()
        await cut_off(self._task)
        await freeze(self._task)
        self._go_down()

    async def _save_stop(self, stop_code: str, reason: str, *, kill_at_once: bool = False) -> None:
        attached = self.record.known_status != LastStatus.PROVISIONING
        self._task.change(
            phase=Phase.STOPPING,
            started_at=_start_of(self.record),
            stop_code=stop_code,
            stopped_reason=reason,
            kill_at_once=kill_at_once,
            stopping_at=self._task.now(),
            known_status=(LastStatus.STOPPING if attached else LastStatus.DEPROVISIONING).value,
        )
        await self._task.report()

    def _go_down(self) -> None:
        self._stop_saved.set()
        self._task.reached(Point.STOP_SAVED)
        self._task.interrupt()

    # -- up

    async def _bring_up(self) -> None:
        try:
            if self._resumed:
                await refresh(self._task)
                await self._judge_exits()
            await self._run_steps()
            self._task.check_interrupted()
            started_at = self.record.started_at or self._task.now()
            whole_ms = round((started_at - self.record.accepted_at) * 1000, 3)
            self._task.change(
                phase=Phase.RUNNING,
                known_status=LastStatus.RUNNING.value,
                started_at=started_at,
                stages_ms={**self.record.stages_ms, WHOLE_LAUNCH: whole_ms},
            )
            await self._task.report()
            self._task.forget_secrets()
            self._task.reached(Point.RUNNING_SAVED)
        except LaunchFailed as failure:
            await self._fail(failure)
        except Interrupted:
            await self._stop_saved.wait()

    async def _run_steps(self) -> None:
        """Each is waited for, since a step that was cut off could leave something behind."""
        over = {step.hook.name: asyncio.Event() for step in STEPS}
        spans: dict[str, Span] = {}
        outcomes = await asyncio.gather(*(self._run_step(step, over, spans) for step in STEPS))
        for kind in (LaunchFailed, Interrupted):
            for outcome in outcomes:
                if isinstance(outcome, kind):
                    raise outcome
        way = longest_way(spans, {step.hook.name: step.after for step in STEPS})
        self._task.change(stages_ms={**way, **self.record.stages_ms})

    async def _run_step(
        self, step: Step, over: dict[str, asyncio.Event], spans: dict[str, Span]
    ) -> LaunchFailed | Interrupted | None:
        """What failed or was interrupted before it has interrupted the task, so it does not begin."""
        for name in step.after:
            await over[name].wait()
        begun = self._parts.world.monotonic()
        outcome = Interrupted() if self._task.is_interrupted else await self._up(step.hook)
        spans[step.hook.name] = Span(begun=begun, ended=self._parts.world.monotonic())
        over[step.hook.name].set()
        return outcome

    async def _up(self, hook: Hook) -> LaunchFailed | Interrupted | None:
        try:
            if hook.gated:
                async with self._task.gate(), self._task.stage(f"stage.{hook.name}"):
                    await hook.up(self._task)
            else:
                async with self._task.stage(f"stage.{hook.name}"):
                    await hook.up(self._task)
        except LaunchFailed as failure:
            self._task.interrupt()
            return failure
        except SandboxError as error:
            self._task.interrupt()
            return LaunchFailed(error.reason)
        except HostError as error:
            self._task.interrupt()
            return LaunchFailed(f"ResourceInitializationError: {error.reason}")
        except OSError as error:
            self._task.interrupt()
            return LaunchFailed(f"ResourceInitializationError: {hook.name}: {error.strerror or error}")
        except Interrupted as interrupted:
            return interrupted
        except Exception:
            # A fault of ours that this task's image, registry or order brought out. It ends this task: if it ended the
            # agent, the next one would resume the same task and end as well, and with it every other task's care.
            _log.exception("a launch failed by a fault", task=self.record.task_id, step=hook.name)
            self._task.interrupt()
            return LaunchFailed(f"ResourceInitializationError: {hook.name}: internal error")
        self._task.reached(hook.up_point)
        return None

    async def _fail(self, failure: LaunchFailed) -> None:
        if failure.container is not None and self._task.container(failure.container).reason is None:
            self._task.change_container(failure.container, reason=failure.reason)
        await self._begin_stop(StopCode.TASK_FAILED_TO_START.value, failure.reason)
        await self._stop_saved.wait()

    # -- watch

    async def _watch(self) -> None:
        await refresh(self._task, interruptible=False)
        await self._judge_exits()
        self._health.follow()
        await self._stop_saved.wait()

    # -- down

    async def _take_down(self) -> None:
        for step in reversed(STEPS):
            await self._until_done(lambda: step.hook.down(self._task))  # noqa: B023
            self._task.reached(step.hook.down_point)
            if step.hook.down_point is Point.CONTAINERS_DELETED:
                self._task.change(known_status=LastStatus.DEPROVISIONING.value)
                await self._task.report()

    async def _until_done(self, undo: Callable[[], Awaitable[None]]) -> None:
        """An undo is never given up: what it holds is somebody's memory, address or disk."""
        pause_s = self._parts.knobs.engine_retry_s
        while True:
            try:
                await undo()
                return
            except (EngineUnavailable, HostError, SandboxError, OSError) as error:
                self._parts.note(f"task {self.record.task_id}: undoing is repeated in {pause_s:g} s: {error}")
            except Exception:
                # As in `_up`: one task's fault must not be every task's.
                _log.exception("undoing failed by a fault and is repeated", task=self.record.task_id)
            await self._parts.world.sleep(pause_s)
            pause_s = min(pause_s * 2, _UNDO_RETRY_MAX_S)

    async def _bury(self) -> None:
        now = self._task.now()
        self._task.change(phase=Phase.STOPPED, known_status=LastStatus.STOPPED.value, stopped_at=now)
        await self._task.bury()
        self._task.reached(Point.STOPPED_SAVED)
        self._ended(self)


def _start_of(record: TaskRecord) -> float | None:
    """A task has started when all of its containers have, also if the first of them ended before that was written."""
    starts = [container.started_at for container in record.containers if container.started_at is not None]
    if record.started_at is not None or record.adopted_from_labels or len(starts) < len(record.containers):
        return record.started_at
    return max(starts, default=None)
