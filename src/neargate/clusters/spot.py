"""Spot tasks give their room back: interrupts those whose room was promised, and lets go who waited for it.

Owns the tables `spot` and `waits`. An on-demand task that was placed on room of Spot tasks is recorded at once and held
back from its host until all of them have stopped. Must not choose whom to interrupt (placement/spot.py). Invariants:
whom to interrupt and who may go is read from the tables each time, so a kill loses nothing; no order goes out while
what runs there uses its room, or may yet be recorded to use it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..interfaces.roles import CapacityManager
from ..interfaces.store import Overloaded, Refused, Row, Statement, Store
from ..log import get_logger
from ..model.errors import AwsError
from ..model.knobs import Knobs
from ..model.lifecycle import LastStatus
from ..world import World
from .orders import RunTaskOrder
from .services.target_rows import hold_no_more

_log = get_logger(__name__)
_BATCH_MAX = 64
_VICTIMS = (
    "SELECT DISTINCT w.victim FROM tasks h JOIN waits w ON w.task = h.id JOIN tasks v ON v.id = w.victim "
    "WHERE h.ordered = 2 AND h.last_status <> 'STOPPED' AND h.desired_status = 'RUNNING' "
    "AND v.last_status <> 'STOPPED' AND v.desired_status = 'RUNNING' ORDER BY w.victim LIMIT ?"
)
_READY = (
    "SELECT t.n, t.id, t.host, t.vpc, l.message FROM tasks t JOIN launches l ON l.task = t.n "
    "WHERE t.ordered = 2 AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING' AND NOT EXISTS "
    "(SELECT 1 FROM waits w LEFT JOIN tasks v ON v.id = w.victim WHERE w.task = t.id "
    "AND v.last_status IS NOT 'STOPPED') ORDER BY t.n LIMIT ?"
)
# They were asked to stop before, and their stop waits for load balancers: nobody waits for that whose room they have.
_DRAINING = (
    "SELECT DISTINCT v.id, v.host, v.last_status FROM tasks h CROSS JOIN waits w ON w.task = h.id "
    "CROSS JOIN tasks v ON v.id = w.victim CROSS JOIN task_targets x ON x.task = v.id WHERE h.ordered = 2 "
    "AND h.last_status <> 'STOPPED' AND v.desired_status = 'STOPPED' AND x.holds = 1 ORDER BY v.id LIMIT ?"
)
# Their room was promised between their own reservation and their record.
_UNRECORDED = (
    "SELECT DISTINCT w.victim, h.zone FROM tasks h JOIN waits w ON w.task = h.id "
    "WHERE h.ordered = 2 AND h.last_status <> 'STOPPED' "
    "AND NOT EXISTS (SELECT 1 FROM tasks v WHERE v.id = w.victim) LIMIT ?"
)
_HELD = "SELECT 1 FROM tasks WHERE ordered = 2 AND last_status <> 'STOPPED' LIMIT 1"
_LET_GO = "UPDATE tasks SET ordered = 1, rev = rev + 1 WHERE n = ? AND ordered = 2 AND desired_status = 'RUNNING'"
_NEWEST = (
    "SELECT t.id FROM spot s JOIN tasks t ON t.id = s.task "
    "WHERE t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING' ORDER BY t.n DESC LIMIT ?"
)


class Spot:
    """`interrupt` makes a task's interruption durable; `go` carries an order to its host; `ring` is told hosts with
    tasks to stop."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        capacities: Mapping[str, CapacityManager],
        interrupt: Callable[[str], Awaitable[None]],
        go: Callable[[str, RunTaskOrder], None],
        ring: Callable[[str], None],
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._capacities = capacities
        self._interrupt = interrupt
        self._go = go
        self._ring = ring
        self._due = asyncio.Event()
        self._due.set()  # a new process begins by asking the tables
        self._holds = False

    def wake(self) -> None:
        """A task was recorded that waits."""
        self._holds = True
        self._due.set()

    def task_stopped(self) -> None:
        """Some task has; where nobody waits this costs nothing."""
        if self._holds:
            self._due.set()

    async def run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                done = await self.settle()
            except (AwsError, Overloaded) as busy:
                _log.warning("Spot tasks are not interrupted yet", why=str(busy))
                done = False
            if not done:
                await self._world.sleep(self._knobs.release_retry_s)
                self._due.set()

    async def settle(self) -> bool:
        """One pass; False: there is more to do than one pass does. Raises AwsError, Overloaded."""
        self._holds = True  # until the table says otherwise: a task that stops during the pass asks for another one
        victims = await self._store.read(_VICTIMS, (_BATCH_MAX,))
        for (task_id,) in victims:
            _log.info("a Spot task is interrupted, an on-demand task needs its room", task=task_id)
            await self._interrupt(str(task_id))
        is_drained = await self._drain_no_more()
        known = await self._forget_unrecorded()
        ready = await self._store.read(_READY, (_BATCH_MAX,))
        gone = [await self._let_go(row) for row in ready]
        self._holds = bool(await self._store.read(_HELD)) or self._due.is_set()
        return is_drained and known and all(gone) and len(victims) < _BATCH_MAX and len(ready) < _BATCH_MAX

    async def _drain_no_more(self) -> bool:
        """False: some are targets yet; they are looked at again when they are none."""
        rows = await self._store.read(_DRAINING, (_BATCH_MAX,))
        draining = {str(task_id): str(host) for task_id, host, status in rows if status == LastStatus.DEACTIVATING}
        if draining:
            await self._store.write(hold_no_more(list(draining)))
        for host in dict.fromkeys(draining.values()):
            self._ring(host)
        return len(draining) == len(rows)

    async def _forget_unrecorded(self) -> bool:
        """Nobody waits for a task that has given its reservation back without a record: it never will have one.

        False: some hold theirs yet. They are looked at again, and interrupted when they have been recorded.
        """
        rows = await self._store.read(_UNRECORDED, (_BATCH_MAX,))
        gone = [victim for victim, zone in rows if not await self._is_reserved(victim, zone)]
        if gone:
            await self._store.write([Statement("DELETE FROM waits WHERE victim = ?", (victim,)) for victim in gone])
        return len(gone) == len(rows)

    async def _is_reserved(self, task_id: str, zone: str) -> bool:
        manager = self._capacities.get(zone)  # None: the zone was taken out of the configuration
        return manager is not None and not await manager.missing([(task_id, zone)])

    async def _let_go(self, row: Row) -> bool:
        n, task_id, host_id, vpc_id, message = row
        forget = Statement("DELETE FROM waits WHERE task = ?", (task_id,))
        try:
            await self._store.write([Statement(_LET_GO, (n,), 1, "rev"), forget])
        except Refused:
            return False  # StopTask came in between
        self._go(host_id, RunTaskOrder(n=0, task_id=task_id, vpc_id=vpc_id, message=message))
        return True

    # -- the operator's word

    async def newest(self, count: int) -> list[str]:
        """Ids of running Spot tasks, the newest first."""
        return [str(task_id) for (task_id,) in await self._store.read(_NEWEST, (count,))]

    async def count(self) -> int:
        """Of Spot tasks that have not stopped."""
        sql = "SELECT count(*) FROM spot s JOIN tasks t ON t.id = s.task WHERE t.last_status <> 'STOPPED'"
        return int((await self._store.read(sql))[0][0])

    async def is_on_spot(self, task_id: str) -> bool:
        return bool(await self._store.read("SELECT 1 FROM spot WHERE task = ?", (task_id,)))

    async def reclaim(self, task_ids: Sequence[str]) -> None:
        """Interrupt these; durable when it returns. Raises AwsError."""
        for task_id in task_ids:
            await self._interrupt(task_id)
