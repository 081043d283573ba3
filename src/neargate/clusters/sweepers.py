"""Finds what crashes left and what time has made old. Each sweep says in one sentence what it did.

Invariants: a reservation is given back only after its (task, zone) is void in the cell, so that a late record of the
task fails; a stopped task is forgotten only after its capacity was given back and AWS's hour has passed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from ..interfaces.roles import CapacityManager
from ..interfaces.store import Overloaded, Refused, Statement, Store
from ..log import get_logger
from ..model.errors import AwsError
from ..model.knobs import Knobs
from ..store.events import trim_events
from ..world import World
from .image_pins import ImagePins
from .lost_hosts import End, LostHosts
from .services.forgetting import forget_services

_log = get_logger(__name__)

_VOID = (
    "INSERT INTO tombstones (task, zone, created_at) SELECT ?, ?, ? "
    "WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE id = ? AND zone = ?) ON CONFLICT (task, zone) DO NOTHING"
)
_CLAIMED = "SELECT id, zone, last_status, released FROM tasks WHERE id IN ({marks})"
_SERVED = (
    "SELECT DISTINCT json_extract(CAST(r.doc AS TEXT), '$.definition.taskDefinitionArn') AS arn "
    "FROM service_revisions r JOIN services s ON s.n = r.service WHERE s.status <> 'INACTIVE' "
    "AND json_extract(CAST(r.doc AS TEXT), '$.definition.taskDefinitionArn') IN ({marks})"
)
_CHUNK = 200
# Oldest first: those past retention, and of those past AWS's hour as many as there are rows too many.
_EXPIRED = "SELECT n FROM tasks WHERE released = 1 AND stopped_at < ? ORDER BY stopped_at, n LIMIT ?"
_STOPPED_ROWS = "SELECT count(*) FROM tasks WHERE released = 1"


class Sweepers:
    def __init__(
        self,
        world: World,
        store: Store,
        capacities: Mapping[str, CapacityManager],
        knobs: Knobs,
        pins: ImagePins,
        end: End,
    ) -> None:
        """`end`: of a task whose host is gone for good."""
        self._world = world
        self._store = store
        self._capacities = capacities
        self._knobs = knobs
        self._pins = pins
        self._lost = LostHosts(store, capacities, end)

    async def run(self, is_retired: Callable[[str], bool]) -> None:
        """All sweeps, each period. A shard that is down or full is met again in the next cycle."""
        while True:
            await self._world.sleep(self._knobs.reservation_sweep_period_s)
            retired = partial(self.sweep_pins, is_retired)
            for sweep in (self._lost.sweep, self.sweep_reservations, self.sweep_old_rows, retired):
                try:
                    said = await sweep()
                except (AwsError, Overloaded) as error:
                    said = f"not swept, will be tried again: {error}"
                if said is not None:
                    _log.info("swept", what=said)

    async def sweep_reservations(self) -> str | None:
        """Reservations that no recorded task claims: what a crash between reserving and recording leaves."""
        return await self.settle_reservations(self._world.now() - self._knobs.reservation_sweep_age_s)

    async def settle_reservations(self, older_than: float) -> str | None:
        """Those made before then. Also given back: what a zone lost the release of, when the machine crashed."""
        freed = 0
        for manager in _distinct(self._capacities.values()):
            unclaimed = await manager.unclaimed(older_than)
            for place in range(0, len(unclaimed), _CHUNK):
                freed += await self._settle(manager, unclaimed[place : place + _CHUNK])
        return f"gave back {freed} reservations without a task" if freed else None

    async def _settle(self, manager: CapacityManager, reservations: Sequence[tuple[str, str]]) -> int:
        marks = ", ".join("?" * len(reservations))
        rows = await self._store.read(_CLAIMED.format(marks=marks), tuple(task for task, _ in reservations))
        # A reservation is known by (task, zone): the task may be recorded with another zone's reservation.
        recorded = {(str(task), str(zone)): str(status) for task, zone, status, _ in rows}
        released = {(str(task), str(zone)) for task, zone, _, released in rows if released}
        live = [claim for claim in reservations if recorded.get(claim, "STOPPED") != "STOPPED"]
        if live:
            await manager.settled(live)
        freed = 0
        for task_id, zone in reservations:
            claim = (task_id, zone)
            if claim in released or (claim not in recorded and await self._void(task_id, zone)):
                await manager.release(task_id, zone)
                freed += 1
        return freed

    async def _void(self, task_id: str, zone: str) -> bool:
        """False when the task was recorded after all. Voiding twice is voiding once."""
        now = self._world.now()
        statement = Statement(_VOID, (task_id, zone, now, task_id, zone))
        guard = Statement("SELECT 1 FROM tombstones WHERE task = ? AND zone = ?", (task_id, zone), 1, "recorded")
        try:
            await self._store.write([statement, guard])
        except Refused:
            return False
        return True

    async def sweep_old_rows(self) -> str | None:
        """Forget stopped tasks past retention (sooner, but never within the hour, when there are too many rows),
        and client tokens and tombstones that nothing can meet any more."""
        now, knobs = self._world.now(), self._knobs
        keep_s = max(knobs.stopped_task_keep_s, knobs.stopped_task_keep_min_s)
        rows = await self._store.read(_EXPIRED, (now - keep_s, knobs.purge_batch_max))
        excess = (await self._store.read(_STOPPED_ROWS))[0][0] - knobs.stopped_task_rows_max
        if excess > len(rows):
            params = (now - knobs.stopped_task_keep_min_s, min(excess, knobs.purge_batch_max))
            rows = await self._store.read(_EXPIRED, params)
        statements = _forget_beside([n for (n,) in rows])
        for (n,) in rows:
            statements.append(Statement("DELETE FROM launches WHERE task = ?", (n,)))
            statements.append(Statement("DELETE FROM tasks WHERE n = ? AND last_status = 'STOPPED'", (n,)))
        statements.append(
            Statement("DELETE FROM client_tokens WHERE created_at < ?", (now - knobs.client_token_keep_s,))
        )
        statements.append(Statement("DELETE FROM tombstones WHERE created_at < ?", (now - knobs.voided_keep_s,)))
        statements += await forget_services(self._store, knobs, now)
        statements += trim_events(keep=knobs.events_keep, hard_max=knobs.events_hard_max)
        await self._store.write(statements)
        return f"forgot {len(rows)} stopped tasks" if rows else None

    async def sweep_pins(self, is_retired: Callable[[str], bool]) -> str | None:
        """Forget which images revisions keep that can be run no more. Of those that nobody knows nothing is forgotten:
        the region's database may be of an older day."""
        retired = [arn for arn in self._pins.next_definitions(self._knobs.image_pins_looked_at) if is_retired(arn)]
        if not retired:
            return None
        # Services go on with a revision that nobody else may run any more.
        marks = ", ".join("?" * len(retired))
        served = {arn for (arn,) in await self._store.read(_SERVED.format(marks=marks), tuple(retired))}
        retired = [arn for arn in retired if arn not in served]
        if not retired:
            return None
        await self._store.write(self._pins.forgetting(retired))
        self._pins.forget(retired)
        return f"forgot the images of {len(retired)} revisions that can be run no more"


def _forget_beside(tasks: Sequence[int]) -> list[Statement]:
    """What is kept beside the rows of these tasks."""
    ids = f"(SELECT id FROM tasks WHERE n IN ({', '.join('?' * len(tasks))}))"  # noqa: S608 - only question marks
    tables = ("spot", "waits", "service_tasks", "protections") if tasks else ()
    return [Statement(f"DELETE FROM {table} WHERE task IN {ids}", tuple(tasks)) for table in tables]  # noqa: S608


def _distinct(managers: Iterable[CapacityManager]) -> list[CapacityManager]:
    """Several zones may share one manager; each is asked once."""
    distinct: list[CapacityManager] = []
    for manager in managers:
        if not any(manager is known for known in distinct):
            distinct.append(manager)
    return distinct
