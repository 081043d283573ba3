"""Tasks of services as targets of load balancers: registered when containers run, gone before these are signalled.

A lane beside the scheduler's loop: it carries out what scheduling/services/targets.py says of each task, and tells the
scheduler how they stand. Must not decide who stops. Invariants: a task is RUNNING only after its targets are
registered; its host is told to stop it, and its address is given to another, only when it is a target no more; what is
to be done follows from the tables and the region, so a kill between any two steps leaves a state to go on from; a step
that fails for one task keeps no other from its own.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from ...interfaces.balancing import TargetRef, Targets
from ...interfaces.store import Overloaded, Refused, Statement, Store
from ...log import get_logger
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ...model.lifecycle import LastStatus, StopCode
from ...scheduling.services import messages
from ...scheduling.services.targets import Step, TaskVerdict, health_of, next_step, worst
from ...scheduling.task_document import Change, advanced, ask_to_stop
from ...world import World
from ..task_table import TaskRow, changed_task, rows_by_id, write_updates
from .due import Due
from .tables import Key, insert_events, was_said_since
from .target_faults import Fault, TargetFaults
from .target_rows import (
    TargetTask,
    forget_targets,
    hold_no_more,
    hold_nobody,
    hold_service_no_more,
    hosts_held_back,
    hosts_of_service,
    services_with_targets,
    tasks_with_targets,
    told_of,
)

_log = get_logger(__name__)
_WRITTEN_MAX = 64  # tasks of one write
_TOLD_FROM = 3  # failures in a row; what a moment mends is not told
T = TypeVar("T")
Tasks = Sequence[TargetTask]


class TargetLane:
    """`served` is told of services whose scheduler has something to look at, `ring` of hosts with tasks to stop;
    `freed`: tasks that stopped may give their addresses back."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        targets: Targets,
        served: Callable[[Key], None],
        ring: Callable[[str], None],
        freed: Callable[[], None],
    ) -> None:
        self.due = Due(world)
        self._world = world
        self._store = store
        self._knobs = knobs
        self._targets = targets
        self._served = served
        self._ring = ring
        self._freed = freed
        self._drains_since: dict[str, float] = {}  # task -> monotonic; a new process begins to count again
        self._faults = TargetFaults(world, knobs)
        self._fails_since: dict[Key, float] = {}  # of services that cannot be looked at at all
        self._groups: dict[str, set[str]] = defaultdict(set)  # account -> groups that have changed
        self._changed = asyncio.Event()
        targets.on_change(self._groups_changed)

    def tasks_changed(self, rows: Iterable[TaskRow]) -> None:
        """Their statuses have, durably."""
        for row in rows:
            if row.service is not None and row.hidden_facts().has_targets:
                self.due.wake((row.account, row.cluster, row.service), self._knobs.service_gather_s)

    def _groups_changed(self, account: str, groups: Sequence[str]) -> None:
        self._groups[account].update(groups)
        self._changed.set()

    def faults(self, key: Key) -> list[dict[str, Any]]:
        """For `neargate why`: steps of its tasks that fail."""
        return self._faults.shown(key)

    async def load(self) -> None:
        """A new process looks at every service with targets once."""
        for key in await services_with_targets(self._store):
            self.due.wake(key)

    async def run(self) -> None:
        """Never returns."""
        self._world.spawn(self._follow(), "target-changes")
        places = asyncio.Semaphore(self._knobs.service_turns_at_once)
        while True:
            await places.acquire()
            key = await self.due.next()
            self._world.spawn(self._look(key, places), "targets-turn")

    async def _follow(self) -> None:
        """Which services' targets are in the groups that have changed."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            changed, self._groups = self._groups, defaultdict(set)
            for account, groups in changed.items():
                try:
                    keys = await services_with_targets(self._store, account, sorted(groups))
                except Exception as fault:
                    if not isinstance(fault, Overloaded):
                        _log.exception("services of target groups could not be found, by a fault", account=account)
                    self._groups_changed(account, sorted(groups))  # what has changed is asked for again
                    await self._world.sleep(self._knobs.service_retry_s)
                    continue
                for key in keys:
                    self.due.wake(key)

    async def _look(self, key: Key, places: asyncio.Semaphore) -> None:
        try:
            wake_in_s = await self.turn(key)
            self._fails_since.pop(key, None)
        except Overloaded as busy:
            _log.warning("targets of a service are looked at later", service=key[2], cluster=key[1], why=str(busy))
            wake_in_s = await self._hold_in_vain(key, self._knobs.service_retry_s)
        except Exception:
            # As of the scheduler's loop: one service's state must not stop the others.
            _log.exception("targets of a service could not be looked at, by a fault", service=key[2], cluster=key[1])
            wake_in_s = await self._hold_in_vain(key, self._knobs.service_targets_retry_max_s)
        finally:
            places.release()
        self.due.done(key)
        if wake_in_s is not None:
            self.due.wake(key, wake_in_s)

    async def turn(self, key: Key) -> float | None:
        """Once; in how many seconds again, unless something happens before. What fails for one task is remembered, and
        tried again in its time. Raises Overloaded."""
        by_step: dict[Step, list[TargetTask]] = defaultdict(list)
        tasks = await tasks_with_targets(self._store, key)
        for task in self._faults.ready(key, tasks):
            step = await self._found_out(key, Step.SIGNAL, task, self._step_of)
            if step is not None:
                by_step[step].append(task)
        await self._each(key, Step.LEAVE, by_step[Step.LEAVE], self._leave)
        await self._each(key, Step.SIGNAL, by_step[Step.SIGNAL], self._signal)
        await self._each(key, Step.REGISTER, by_step[Step.REGISTER][:_WRITTEN_MAX], self._register)
        await self._each(key, Step.DRAIN, by_step[Step.DRAIN][:_WRITTEN_MAX], self._drain)
        running = [task for task in by_step[Step.NONE] if task.last_status == LastStatus.RUNNING]
        on_the_way = [task for task in by_step[Step.NONE] if task.last_status != LastStatus.RUNNING]
        self._faults.went_well(key, on_the_way + by_step[Step.WAIT])  # there is nothing to do that could fail
        is_more = await self._tell(key, running)
        await self._hold_no_longer(self._faults.overdue(key, tasks))
        if is_more or by_step[Step.REGISTER] or by_step[Step.DRAIN]:
            return 0.0  # what they are now is looked at at once
        times = [self._knobs.service_drain_check_s] if by_step[Step.WAIT] else []
        if (retry_in_s := self._faults.wake_in_s(key)) is not None:
            times.append(retry_in_s)
        return min(times, default=None)

    def _step_of(self, account: str, task: TargetTask) -> Step:
        is_over = self._is_over(account, task)
        return next_step(task.last_status, task.desired_status, task.stop_code, is_over=is_over)

    async def _found_out(
        self, key: Key, step: Step, task: TargetTask, ask: "Callable[[str, TargetTask], T]"
    ) -> T | None:
        """What the region says of one task; None: it cannot now. Raises Overloaded."""
        try:
            return ask(key[0], task)
        except Exception as error:
            await self._failed(key, self._faults.failed(key, task, step, error), error)
            return None

    async def _each(self, key: Key, step: Step, tasks: Tasks, do: "Callable[[Key, Tasks], Awaitable[None]]") -> None:
        """All of them together; where that fails, one by one. Raises Overloaded."""
        if not tasks or await self._has_done(key, step, tasks, do) or len(tasks) == 1:
            return
        for task in tasks:
            await self._has_done(key, step, [task], do)

    async def _has_done(
        self, key: Key, step: Step, tasks: Tasks, do: "Callable[[Key, Tasks], Awaitable[None]]"
    ) -> bool:
        try:
            await do(key, tasks)
        except Overloaded:
            raise
        except Exception as error:
            if len(tasks) == 1:
                await self._failed(key, self._faults.failed(key, tasks[0], step, error), error)
            return False
        self._faults.went_well(key, tasks)
        return True

    async def _failed(self, key: Key, fault: Fault, error: Exception) -> None:
        """It is said, if it can be; the operator sees what a fault of ours was. Raises Overloaded."""
        facts = {"service": key[2], "cluster": key[1], "task": fault.task.task_id, "step": fault.step.value}
        if fault.count == 1 and not isinstance(error, AwsError | Refused):
            _log.exception("a target's step is tried again, after a fault", **facts)
        elif not isinstance(error, Refused):
            _log.warning("a target's step is tried again", **facts, why=fault.fault, times=fault.count)
        if fault.count < _TOLD_FROM or isinstance(error, Refused):
            return
        try:
            await self._say(key, fault)
        except Overloaded:
            raise
        except Exception:
            _log.exception("what fails could not be said", **facts)

    async def _say(self, key: Key, fault: Fault) -> None:
        """Unless it was said lately. Raises Overloaded."""
        now, bits = self._world.now(), self._world.random.getrandbits
        since = now - self._knobs.service_event_repeat_s
        for group in dict.fromkeys(target.group for target in fault.task.targets):
            message = messages.step_failed(key[2], group, fault.error, is_registering=fault.step is Step.REGISTER)
            if not await was_said_since(self._store, fault.task.service, message, since):
                await self._store.write(insert_events(fault.task.service, [message], now, bits))

    # -- the way up

    async def _register(self, key: Key, tasks: Tasks) -> None:
        lost = set(await self._targets.register(key[0], _refs(tasks)))
        unplaced = {task.task_id: _first_lost(task, lost) for task in tasks if lost.intersection(task.targets)}
        await self._advance([task for task in tasks if task.task_id not in unplaced], LastStatus.RUNNING, _registered)
        rows = await rows_by_id(self._store, list(unplaced))
        changes = [
            (row, ask_to_stop(row.document(), StopCode.TASK_FAILED_TO_START, messages.not_registered(group)))
            for task_id, group in unplaced.items()
            if (row := rows.get(task_id)) is not None and row.desired_status == "RUNNING"
        ]
        if changes:
            await self._store.write(self._updates(changes))
        self._served(key)

    # -- how they stand

    async def _tell(self, key: Key, tasks: Tasks) -> bool:
        """Whether there is more to be told."""
        news: list[TargetTask] = []
        same: list[TargetTask] = []
        verdicts: dict[str, TaskVerdict] = {}
        for task in tasks:
            verdict = await self._found_out(key, Step.NONE, task, self._stands)
            if verdict == task.verdict:
                same.append(task)
            elif verdict is not None:
                verdicts[task.task_id] = verdict
                news.append(task)
        self._faults.went_well(key, same)

        async def write(_: Key, some: Tasks) -> None:
            await self._store.write([told_of(task.task_id, verdicts[task.task_id]) for task in some])
            self._served(key)

        await self._each(key, Step.NONE, news[:_WRITTEN_MAX], write)
        return len(news) > _WRITTEN_MAX

    def _stands(self, account: str, task: TargetTask) -> TaskVerdict:
        return worst([self._verdict(account, target) for target in task.targets], task.verdict)

    def _verdict(self, account: str, target: TargetRef) -> TaskVerdict:
        state = self._targets.state(account, target)
        health = health_of(state.state, state.description)
        return TaskVerdict(
            health=health, group=target.group, port=target.port, reason=state.description or state.reason
        )

    # -- the way down

    async def _drain(self, key: Key, tasks: Tasks) -> None:
        await self._targets.deregister(key[0], _refs(tasks))
        await self._advance(tasks, LastStatus.DEACTIVATING, _deregistered)
        for task in tasks:
            self._drains_since[task.task_id] = self._world.monotonic()

    def _is_over(self, account: str, task: TargetTask) -> bool:
        if task.last_status != LastStatus.DEACTIVATING:
            return False
        now = self._world.monotonic()
        since = self._drains_since.setdefault(task.task_id, now)
        is_overdue = now >= since + self._knobs.service_drain_max_s
        return is_overdue or all(self._targets.state(account, target).is_gone for target in task.targets)

    async def _signal(self, _: Key, tasks: Tasks) -> None:
        await self._store.write(forget_targets([task.task_id for task in tasks]))
        self._gone(tasks)

    async def _leave(self, key: Key, tasks: Tasks) -> None:
        await self._targets.deregister(key[0], _refs(tasks))
        events = self._events([task for task in tasks if _was_running(task)], _left)
        await self._store.write([*forget_targets([task.task_id for task in tasks]), *events])
        self._gone(tasks)

    def _gone(self, tasks: Tasks) -> None:
        for task in tasks:
            self._drains_since.pop(task.task_id, None)
        for host in dict.fromkeys(task.host for task in tasks if task.last_status != LastStatus.STOPPED):
            self._ring(host)
        if any(task.last_status == LastStatus.STOPPED for task in tasks):
            self._freed()

    async def _hold_no_longer(self, tasks: Tasks) -> None:
        """The region does not take them back: a stop that was asked for does not wait for it for ever. Their rows stay,
        and with them their deregistration."""
        if tasks:
            await self._let_go(hold_no_more([task.task_id for task in tasks]), [task.host for task in tasks])

    async def _hold_in_vain(self, key: Key, retry_s: float) -> float:
        """The service cannot be looked at, for whatever reason: its stops do not wait for that for ever either."""
        now = self._world.monotonic()
        left_s = self._fails_since.setdefault(key, now) + self._knobs.service_deregister_wait_s - now
        if left_s > 0:
            return min(retry_s, left_s)
        try:
            await self._let_go([hold_service_no_more(key)], await hosts_of_service(self._store, key))
        except Exception:
            _log.exception("stops of a service wait for its targets", service=key[2], cluster=key[1])
        return retry_s

    async def hold_nobody(self) -> None:
        """All tasks of the region are to stop, at once. Those that are registered are deregistered all the same."""
        await self._let_go([hold_nobody()], await hosts_held_back(self._store))

    async def _let_go(self, statements: Sequence[Statement], hosts: Sequence[str]) -> None:
        try:
            await self._store.write(statements)
        except Overloaded:
            return  # the next attempt does it
        for host in dict.fromkeys(hosts):
            self._ring(host)

    # -- both

    async def _advance(self, tasks: Tasks, status: LastStatus, said: "Callable[[str, Tasks], list[str]]") -> None:
        """Raises Refused: one of them changed meanwhile."""
        names = {task.task_id: task for task in tasks}
        before = {task.task_id: task.last_status for task in tasks}
        rows = await rows_by_id(self._store, list(names))
        now = self._world.now()
        moved = [row for row in rows.values() if row.last_status == before[row.id]]
        changes = [(row, advanced(row.document(), row.hidden_facts(), status, now)) for row in moved]
        events = self._events([names[row.id] for row in moved], said)
        if changes:
            await self._store.write([*self._updates(changes), *events])

    def _updates(self, changes: Sequence[tuple[TaskRow, Change]]) -> list[Statement]:
        now = self._world.now()
        return write_updates(
            [
                changed_task(row, change, report_seq=row.report_seq, stages=row.stages, now=now)
                for row, change in changes
            ]
        )

    def _events(self, tasks: Tasks, said: "Callable[[str, Tasks], list[str]]") -> list[Statement]:
        by_service: dict[int, list[TargetTask]] = defaultdict(list)
        for task in tasks:
            by_service[task.service].append(task)
        now, bits = self._world.now(), self._world.random.getrandbits
        return [
            statement
            for service, some in by_service.items()
            for statement in insert_events(service, said(some[0].name, some), now, bits)
        ]


def _refs(tasks: Tasks) -> list[TargetRef]:
    return [target for task in tasks for target in task.targets]


def _first_lost(task: TargetTask, lost: set[TargetRef]) -> str:
    return next(target.group for target in task.targets if target in lost)


def _was_running(task: TargetTask) -> bool:
    return task.started_at is not None


def _by_group(tasks: Tasks) -> "Counter[str]":
    return Counter(target.group for task in tasks for target in task.targets)


def _registered(name: str, tasks: Tasks) -> list[str]:
    return [messages.registered(name, group, count) for group, count in _by_group(tasks).items()]


def _left(name: str, tasks: Tasks) -> list[str]:
    return [messages.deregistered(name, group, count) for group, count in _by_group(tasks).items()]


def _deregistered(name: str, tasks: Tasks) -> list[str]:
    """One that never was RUNNING never was a target that anybody was told of."""
    told = [task for task in tasks if _was_running(task)]
    by_deployment = Counter(task.deployment_id for task in told)
    return _left(name, told) + [messages.draining(name, ident, count) for ident, count in by_deployment.items()]


def waiting(tasks: Tasks) -> list[dict[str, Any]]:
    """For `neargate why`: targets that the scheduler waits for, and what keeps tasks from their end."""
    shown = []
    for task in tasks:
        is_wanted = task.desired_status == "RUNNING"
        state = task.verdict.health.value if is_wanted else "DRAINING"
        if not is_wanted and task.last_status != LastStatus.DEACTIVATING:
            continue
        if is_wanted and (task.last_status != LastStatus.RUNNING or state == "HEALTHY"):
            continue
        group = task.verdict.group or task.targets[0].group
        target = next((one for one in task.targets if one.group == group), task.targets[0])
        shown.append(
            {
                "task": task.task_id,
                "group": group,
                "target": f"{target.ip}:{target.port}",
                "state": state,
                "reason": task.verdict.reason if is_wanted else "",
            }
        )
    return shown
