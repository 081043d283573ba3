"""Tasks whose host is emptied or whose machine is old: notices, the service's word, and at last the stop.

Owns the table `retirements`. Must not decide (scheduling/retiring.py), nor replace a service's task (its own scheduler
reads the table). Invariants: everything is derived from tables, the operator's word and what hosts say, so a kill loses
nothing; the write that stops a task holds only while its notice stands and its time has come.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..interfaces.retiring import RetirementRules, Software
from ..interfaces.store import Overloaded, Row, Statement, Store
from ..log import get_logger
from ..model.capacity import HostFacts, HostPlatform
from ..model.errors import AwsError
from ..model.knobs import Knobs
from ..scheduling.retiring import Cause, Hosts, Notice, PlacedTask, Retirement, retire
from ..world import World

_log = get_logger(__name__)
_BATCH_MAX = 200
_PLACED = "SELECT t.id, t.account, t.host, t.service, t.desired_status, t.cluster FROM tasks t "
_ON_HOSTS = _PLACED + "WHERE t.host IN ({marks}) AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING'"
_NAMED = _PLACED + "WHERE t.id IN ({marks}) AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING'"
_NOTICED = _PLACED + "JOIN retirements r ON r.task = t.id WHERE t.last_status <> 'STOPPED'"
_NOTICES = "SELECT task, noticed_at, due_at, cause FROM retirements ORDER BY task"
_GIVE = (
    "INSERT INTO retirements (task, noticed_at, due_at, cause) VALUES (?, ?, ?, ?) ON CONFLICT (task) "
    "DO UPDATE SET noticed_at = excluded.noticed_at, due_at = excluded.due_at, cause = excluded.cause"
)
_IS_DUE = "SELECT 1 FROM retirements WHERE task = ? AND due_at <= ?"
_BY_HOST = (
    "SELECT t.host, t.service IS NULL, count(*), min(r.due_at) FROM retirements r JOIN tasks t ON t.id = r.task "
    "WHERE t.last_status <> 'STOPPED' GROUP BY t.host, t.service IS NULL ORDER BY t.host"
)
_OF_TASK = "SELECT noticed_at, due_at, cause FROM retirements WHERE task = ?"


class NoRules:
    """Of a cell that was opened without a region: nothing retires."""

    def emptied(self) -> frozenset[str]:
        return frozenset()

    def given_up(self) -> frozenset[str]:
        return frozenset()

    def rolled_out(self) -> frozenset[Software]:
        return frozenset()

    def wait_s(self, account: str) -> float:
        del account
        return 0.0


class Retiring:
    """`stop` asks a task to stop in one write with the guard that it is given; `served` is told services of tasks that
    retire, or may stay after all."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        rules: RetirementRules,
        stop: Callable[[str, Statement], Awaitable[None]],
        served: Callable[[tuple[str, str, str]], None],
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._rules = rules
        self._stop = stop
        self._served = served
        self._old: dict[str, frozenset[str]] = {}  # host -> tasks in machines with older software, as hosts said last
        self._software: dict[str, Software] = {}
        self._due = asyncio.Event()
        self._due.set()  # a new process begins by asking the tables

    def wake(self) -> None:
        """The operator said something else."""
        self._due.set()

    def heard(self, facts: HostFacts) -> None:
        """What a host says of itself, at its hello and whenever it changes."""
        below = facts.platform or HostPlatform()
        said = (frozenset(facts.old_machines), (below.guest_image, below.vmm))
        if said != (self._old.get(facts.host_id), self._software.get(facts.host_id)):
            self._old[facts.host_id], self._software[facts.host_id] = said
            self._due.set()

    async def run(self) -> None:
        """Never returns. Where nothing retires it costs nothing."""
        while True:
            try:
                looks_again = await self.settle()
            except (AwsError, Overloaded) as busy:
                _log.warning("tasks that retire are looked at later", why=str(busy))
                looks_again = True
            try:
                async with asyncio.timeout(self._knobs.retirement_look_s if looks_again else None):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def settle(self) -> bool:
        """One pass; whether there is anything that time or a launch may change. Raises AwsError, Overloaded."""
        self._due.clear()
        hosts = self._hosts()
        notices = {row[0]: _notice(row) for row in await self._store.read(_NOTICES)}
        found = await self._placed(hosts, bool(notices))
        tasks = [task for task, _ in found.values()]
        plan = retire(tasks, notices, hosts, self._rules.wait_s, self._world.now())
        await self._write(plan)
        given = {notice.task_id: notice for notice in plan.give}
        changed = {*plan.take_back, *given}
        for task, cluster in found.values():
            if task.task_id in given:
                _tell(task, given[task.task_id])
            if task.service is not None and task.task_id in changed:
                self._served((task.account, cluster, task.service))
        for task_id in plan.stop:
            _log.info("a task is stopped for maintenance, its notice is over", task=task_id)
            await self._stop(task_id, due(task_id, self._world.now()))
        if any(notice.due_at <= notice.noticed_at for notice in plan.give):
            self._due.set()  # their accounts wait for nothing
        return bool(notices or plan.give or hosts.emptied)

    def _hosts(self) -> Hosts:
        rules, rolled_out = self._rules, self._rules.rolled_out()
        return Hosts(
            emptied=rules.emptied(),
            given_up=rules.given_up(),
            old=self._old,
            rolled_out=frozenset(host for host, software in self._software.items() if software in rolled_out),
            is_called_off=not rolled_out,
        )

    async def _placed(self, hosts: Hosts, has_notices: bool) -> dict[str, tuple[PlacedTask, str]]:
        """By id: each with its cluster."""
        rows = list(await self._store.read(_NOTICED)) if has_notices else []
        rows += await self._marked(_ON_HOSTS, sorted(hosts.emptied))
        old = sorted({task_id for host in hosts.rolled_out for task_id in hosts.old.get(host, ())})
        rows += await self._marked(_NAMED, old)
        return {row[0]: (_placed_task(row), str(row[5])) for row in rows}

    async def _marked(self, sql: str, values: Sequence[str]) -> list[Row]:
        rows: list[Row] = []
        for begin in range(0, len(values), _BATCH_MAX):
            some = tuple(values[begin : begin + _BATCH_MAX])
            rows += await self._store.read(sql.format(marks=", ".join("?" * len(some))), some)
        return rows

    async def _write(self, plan: Retirement) -> None:
        statements = [Statement("DELETE FROM retirements WHERE task = ?", (task_id,)) for task_id in plan.take_back]
        for notice in plan.give:
            values = (notice.task_id, notice.noticed_at, notice.due_at, notice.cause.value)
            statements.append(Statement(_GIVE, values, 1, "retirement"))
        for begin in range(0, len(statements), _BATCH_MAX):
            await self._store.write(statements[begin : begin + _BATCH_MAX])

    # -- what the operator sees

    def old_machines(self) -> dict[str, int]:
        """Host -> tasks in machines with older software than it has."""
        return {host: len(tasks) for host, tasks in self._old.items() if tasks}

    async def by_host(self) -> dict[str, dict[str, Any]]:
        """Host -> `served` and `alone`: how many tasks of services and of none retire; `next_at`: when the first of the
        latter is stopped."""
        found: dict[str, dict[str, Any]] = {}
        for host, is_alone, count, due_at in await self._store.read(_BY_HOST):
            told = found.setdefault(str(host), {"served": 0, "alone": 0, "next_at": None})
            told["alone" if is_alone else "served"] = int(count)
            if is_alone:
                told["next_at"] = due_at
        return found

    async def explain(self, task_id: str) -> dict[str, Any] | None:
        rows = await self._store.read(_OF_TASK, (task_id,))
        return {"noticed_at": rows[0][0], "due_at": rows[0][1], "cause": rows[0][2]} if rows else None


def due(task_id: str, now: float) -> Statement:
    """A guard: its notice stands, and its time has come."""
    return Statement(_IS_DUE, (task_id, now), 1, "retirement")


def _tell(task: PlacedTask, notice: Notice) -> None:
    if task.service is not None:
        _log.info("a task is to retire, its service replaces it", task=task.task_id, cause=notice.cause.value)
        return
    stopped_in_s = round(notice.due_at - notice.noticed_at)
    _log.info("a task is to retire", task=task.task_id, cause=notice.cause.value, stopped_in_s=stopped_in_s)


def _notice(row: Row) -> Notice:
    task_id, noticed_at, due_at, cause = row
    return Notice(task_id=task_id, noticed_at=noticed_at, due_at=due_at, cause=Cause(cause))


def _placed_task(row: Row) -> PlacedTask:
    task_id, account, host, service, desired, _ = row
    return PlacedTask(task_id=task_id, account=account, host=host, service=service, is_to_stop=desired != "RUNNING")
