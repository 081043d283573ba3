"""Which boot of each host this cell has met: a machine that was restarted runs nothing of what began before.

The agent ends its tasks by itself after a restart, but its last records may be lost with the machine; of those tasks it
can say nothing. So the cell orders them to stop, and a host that never heard of a task answers that with its end. Must
not know sessions. Invariant: a boot is remembered only after the stops of what began before it are durable, and the
caller lets the host in only then.
"""

from collections.abc import Callable, Sequence

from ..interfaces.store import Refused, Statement, Store
from ..model.lifecycle import StopCode
from ..scheduling.task_document import ask_to_stop
from ..world import World
from .task_table import TaskRow, changed_task, rows_by_id, write_updates

RESTARTED = "The machine that ran this task was restarted"
_BATCH_MAX = 64
_ALL = 2**62
_MET = "INSERT INTO hosts (id, boot_id) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET boot_id = excluded.boot_id"
# A task that was never reported may have been begun all the same, if any session could have sent it.
_BEGUN = (
    "SELECT n, id FROM tasks WHERE host = ? AND last_status <> 'STOPPED' AND desired_status = 'RUNNING' "
    "AND ordered = 1 AND (report_seq > 0 OR n <= ?) AND n > ? ORDER BY n LIMIT ?"
)


class HostBoots:
    def __init__(
        self,
        world: World,
        store: Store,
        asked: Callable[[str], None],
        served: Callable[[Sequence[TaskRow]], None],
    ) -> None:
        """`asked` is told the host of tasks that are to stop; `served` those of them that are of services."""
        self._world = world
        self._store = store
        self._asked = asked
        self._served = served
        self._boots: dict[str, str] = {}
        self._met: set[str] = set()  # by this process: it may have sent them anything that is recorded
        self._recorded = 0  # the last task that an earlier process may have sent

    async def load(self) -> None:
        self._boots = {str(host): str(boot) for host, boot in await self._store.read("SELECT id, boot_id FROM hosts")}
        self._recorded = (await self._store.read("SELECT coalesce(max(n), 0) FROM tasks"))[0][0]

    async def meet(self, host_id: str, boot_id: str) -> None:
        """Before the host's session stands. Repeatable. Raises Overloaded."""
        known = self._boots.get(host_id)
        if known != boot_id:
            if known is not None:
                await self._end_all(host_id, _ALL if host_id in self._met else self._recorded)
            await self._store.write([Statement(_MET, (host_id, boot_id))])
            self._boots[host_id] = boot_id
        self._met.add(host_id)

    async def _end_all(self, host_id: str, sent: int) -> None:
        after = 0
        while rows := await self._store.read(_BEGUN, (host_id, sent, after, _BATCH_MAX)):
            for _, task_id in rows:
                await self._end(str(task_id))
            after = rows[-1][0]
        self._asked(host_id)

    async def _end(self, task_id: str) -> None:
        while True:
            row = (await rows_by_id(self._store, [task_id])).get(task_id)
            if row is None or row.is_stopped or row.desired_status == "STOPPED":
                return
            change = ask_to_stop(row.document(), StopCode.INFRASTRUCTURE_HEALTH, RESTARTED)
            update = changed_task(row, change, report_seq=row.report_seq, stages=row.stages, now=self._world.now())
            try:
                await self._store.write(write_updates([update]))
            except Refused:
                continue  # a report or a StopTask came in between: decide again on what is there now
            if row.service is not None:
                self._served([row])
            return
