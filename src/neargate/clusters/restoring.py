"""When a cell is opened: the zones get back the reservations of live tasks that a crash of the machine cost them.

A zone's commits are not synced one by one (docs/decisions/0006): its last ones may be gone while the cell's record of
the task, which is synced, is there. Invariant: before the first launch every live task's room and address are taken.
"""

from collections.abc import Mapping, Sequence

from ..interfaces.roles import CapacityManager
from ..interfaces.store import Overloaded, Row, Store
from ..link.messages import RunOrder, decode_to_agent
from ..log import get_logger
from ..model.arn import Arn
from ..model.capacity import RecordedReservation
from ..world import World
from .sweepers import Sweepers

_log = get_logger(__name__)
_PAGE = 1000
# Tasks without an order have no interface and never run; what they hold is only given back.
_LIVE = "SELECT n, id, zone FROM tasks WHERE last_status <> 'STOPPED' AND ordered <> 0 AND n > ? ORDER BY n LIMIT ?"
_ORDER = (
    "SELECT t.host, t.capacity_id, t.created_at, l.message, EXISTS (SELECT 1 FROM spot WHERE task = t.id) "
    "FROM tasks t JOIN launches l ON l.task = t.n WHERE t.id = ? AND t.zone = ? AND t.last_status <> 'STOPPED'"
)


class Restoring:
    def __init__(
        self, world: World, store: Store, capacities: Mapping[str, CapacityManager], sweepers: Sweepers
    ) -> None:
        self._world = world
        self._store = store
        self._capacities = capacities
        self._sweepers = sweepers

    async def run(self) -> int:
        """How many reservations were restored; zero unless the machine crashed."""
        lost = await self._lost()
        if lost:
            # First what was given back and is taken again in the older state of the zone: its address may be reused.
            await self._sweepers.settle_reservations(self._world.now())
        for task_id, zone in lost:
            await self._restore(task_id, zone)
        if lost:
            _log.warning("reservations that a crash of the machine had cost were restored", count=len(lost))
        return len(lost)

    async def _lost(self) -> list[tuple[str, str]]:
        lost: list[tuple[str, str]] = []
        after = 0
        while rows := await self._store.read(_LIVE, (after, _PAGE)):
            after = rows[-1][0]
            for zone in dict.fromkeys(str(zone) for _, _, zone in rows):
                lost += await self._missing(zone, rows)
        return lost

    async def _missing(self, zone: str, rows: Sequence[Row]) -> list[tuple[str, str]]:
        manager = self._capacities.get(zone)
        if manager is None:
            return []  # the zone was taken out of the configuration
        return await manager.missing([(task_id, zone) for _, task_id, named in rows if named == zone])

    async def _restore(self, task_id: str, zone: str) -> None:
        for host, capacity_id, created_at, message, is_spot in await self._store.read(_ORDER, (task_id, zone)):
            order = decode_to_agent(message)
            assert isinstance(order, RunOrder), "a launch is stored as a RunOrder"
            launch = order.launch
            owner = Arn("ecs", launch.region, launch.account, f"attachment/{launch.eni.attachment_id}")
            recorded = RecordedReservation(
                capacity_id=capacity_id,
                task_id=task_id,
                zone=zone,
                account=launch.account,
                host_id=host,
                cpu_units=launch.cpu_units,
                memory_mib=launch.memory_mib,
                disk_gib=launch.ephemeral_gib,
                eni=launch.eni,
                owner=str(owner),
                created_at=created_at,
                is_spot=bool(is_spot),
            )
            try:
                await self._capacities[zone].restore([recorded])
            except Overloaded as busy:
                # The zone's memory has it, so it is safe while this process lives; the next start writes it.
                _log.error("a restored reservation is not written yet", task=task_id, zone=zone, why=str(busy))
