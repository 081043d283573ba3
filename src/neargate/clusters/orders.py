"""What a host must be told, derived from the tasks table each time it is asked: level-triggered, rebuilt by itself.

Owns the queries (to run, to stop, in which VPCs) and the bell that wakes a host's session. Must not know sockets.
Invariant: an order exists exactly while the row asks for it, so nothing in memory can be lost. The order of a task that
was just recorded is handed over with the bell, so that a launch needs no read.
"""

from collections.abc import Callable

from msgspec import Struct

from ..interfaces.store import Row, Store
from ..link.messages import StopOrder

# What is a target of a load balancer is told to stop when it is none any more (clusters/services/targets.py).
# A host that was told needs no second query: it reports, and a report that is stored takes the row out of this list.
_TO_RUN = (
    "SELECT t.n, t.id, t.vpc, l.message FROM tasks t JOIN launches l ON l.task = t.n "
    "WHERE t.host = ? AND t.report_seq = 0 AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING' "
    "AND t.ordered = 1 AND t.n > ? ORDER BY t.n LIMIT ?"
)
_TO_STOP = (
    "SELECT n, id, incarnation, stop_code, stop_reason FROM tasks WHERE host = ? AND desired_status = 'STOPPED' "
    "AND last_status <> 'STOPPED' AND (? OR last_status IN "
    "('PROVISIONING', 'PENDING', 'ACTIVATING', 'RUNNING', 'DEACTIVATING')) AND ordered = 1 AND n > ? "
    "AND NOT EXISTS (SELECT 1 FROM task_targets WHERE task = tasks.id AND holds = 1) ORDER BY n LIMIT ?"
)
_VPCS = "SELECT DISTINCT vpc FROM tasks WHERE host = ? AND last_status <> 'STOPPED' ORDER BY vpc"


class RunTaskOrder(Struct, frozen=True, kw_only=True):
    n: int  # the task's row; 0 of one that is handed over and was not read
    task_id: str
    vpc_id: str
    message: bytes  # an encoded RunOrder


class StopTaskOrder(Struct, frozen=True, kw_only=True):
    n: int
    order: StopOrder


Bell = Callable[[RunTaskOrder | None], None]  # the order of a fresh task; None: there are stops to be read


class Orders:
    """`holds_back`: whether the order to stop a task waits; who says so rings when it does no more."""

    def __init__(self, store: Store, holds_back: Callable[[str], bool]) -> None:
        self._store = store
        self._holds_back = holds_back
        self._bells: dict[str, Bell] = {}

    def listen(self, host_id: str, bell: Bell) -> None:
        """Ring `bell` when something changed for the host. One listener per host; a newer one takes over."""
        self._bells[host_id] = bell

    def unlisten(self, host_id: str, bell: Bell) -> None:
        if self._bells.get(host_id) == bell:
            del self._bells[host_id]

    def ring_run(self, host_id: str, order: RunTaskOrder) -> None:
        """After the task is recorded. A host that does not listen reads the table when it comes back."""
        self._ring(host_id, order)

    def ring_stop(self, host_id: str) -> None:
        self._ring(host_id, None)

    def _ring(self, host_id: str, order: RunTaskOrder | None) -> None:
        bell = self._bells.get(host_id)
        if bell is not None:
            bell(order)

    async def vpcs(self, host_id: str) -> list[str]:
        """Those in which the host has tasks that are not over."""
        return [vpc for (vpc,) in await self._store.read(_VPCS, (host_id,))]

    async def to_run(self, host_id: str, after: int, limit: int) -> list[RunTaskOrder]:
        """Tasks this host has not reported yet, in the order of their recording, after row `after`."""
        rows = await self._store.read(_TO_RUN, (host_id, after, limit))
        return [RunTaskOrder(n=n, task_id=task_id, vpc_id=vpc, message=message) for n, task_id, vpc, message in rows]

    async def to_stop(self, host_id: str, after: int, limit: int, *, begun: bool = False) -> list[StopTaskOrder]:
        """Tasks that are to stop and of which the host has not reported a stop yet.

        `begun`: also those it has; a host that lost their records with a crash answers with their end.
        """
        while rows := await self._store.read(_TO_STOP, (host_id, begun, after, limit)):
            after = int(rows[-1][0])
            found = [_stop_order(row) for row in rows if not self._holds_back(str(row[1]))]
            if found or len(rows) < limit:
                return found
        return []


def _stop_order(row: Row) -> StopTaskOrder:
    n, task_id, incarnation, code, reason = row
    order = StopOrder(task_id=task_id, incarnation=incarnation, stop_code=code or "UserInitiated", reason=reason or "")
    return StopTaskOrder(n=n, order=order)
