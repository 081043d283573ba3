"""StopTask, and the end of tasks that no host will ever be told of. Both are durable before anyone hears of them.

Invariant: the desired status only moves from RUNNING to STOPPED; the first stop code and reason stay. The order to the
host is derived from the row (orders.py), so a stop is accepted while agent or host is away.
"""

import asyncio
from collections.abc import Callable, Sequence

from ..interfaces.store import Overloaded, Refused, Statement, Store
from ..model.errors import InvalidParameter, ServiceUnavailable
from ..model.knobs import Knobs
from ..model.lifecycle import StopCode
from ..scheduling.services.messages import MAINTENANCE
from ..scheduling.task_document import Change, ask_to_stop, stop_without_host
from ..world import World
from .task_table import TaskRow, changed_task, rows_by_id, with_tags, write_updates
from .writing import write

STOPPED_BY_USER = "Task stopped by user"
INTERRUPTED = "Your Spot Task was interrupted."
_ATTEMPTS_MAX = 8
_BATCH_MAX = 64
# Those that will never be launched, and those that were stopped while they were held back.
_UNLAUNCHED = (
    "SELECT n, id, stop_reason FROM tasks WHERE ordered = 0 AND last_status <> 'STOPPED' AND n > ? "
    "UNION ALL SELECT n, id, stop_reason FROM tasks WHERE ordered = 2 AND last_status <> 'STOPPED' "
    "AND desired_status = 'STOPPED' AND n > ? ORDER BY n LIMIT ?"
)


class Stopping:
    """`asked` is told the host of a task that is to stop; `stopped` the tasks that were stopped here; `served` tasks of
    services that are to stop, or have."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        asked: Callable[[str], None],
        stopped: Callable[[Sequence[TaskRow]], None],
        served: Callable[[Sequence[TaskRow]], None],
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._asked = asked
        self._stopped = stopped
        self._served = served
        self._unlaunched = asyncio.Event()
        self._unlaunched.set()  # a new process begins by asking the table

    async def stop_task(self, account: str, cluster: str, task_id: str, reason: str | None) -> bytes:
        """The task's document. Raises InvalidParameter for a task that is not in that cluster."""
        of = (account, cluster)
        return await self._ask_to_stop(task_id, StopCode.USER_INITIATED, reason or STOPPED_BY_USER, of=of)

    async def interrupt(self, task_id: str) -> None:
        """A Spot task gives its room back: its notice, its SIGTERM and, as long after as it asked for, its SIGKILL."""
        await self._ask_to_stop(task_id, StopCode.SPOT_INTERRUPTION, INTERRUPTED)

    async def retire(self, task_id: str, guard: Statement) -> None:
        """For maintenance, if the guard holds. A task that is gone, or to stop already, is left as it is."""
        try:
            await self._ask_to_stop(task_id, StopCode.SERVICE_SCHEDULER_INITIATED, MAINTENANCE, guard=guard)
        except InvalidParameter:
            return  # it stopped, and was forgotten

    async def _ask_to_stop(
        self,
        task_id: str,
        code: StopCode,
        reason: str,
        *,
        of: tuple[str, str] | None = None,
        guard: Statement | None = None,
    ) -> bytes:
        for _ in range(_ATTEMPTS_MAX):
            row = (await rows_by_id(self._store, [task_id])).get(task_id)
            if row is None or of not in (None, (row.account, row.cluster)):
                raise InvalidParameter("The referenced task was not found.")
            if row.desired_status == "STOPPED" or row.is_stopped:
                return with_tags(row.doc, row.tags)
            change = ask_to_stop(row.document(), code, reason)
            try:
                doc = await self._store_change(row, change, guard)
            except Refused as refused:
                if guard is not None and refused.name == guard.name:
                    return with_tags(row.doc, row.tags)
                continue  # a report changed the row in between: decide again on what is there now
            self._asked(row.host)
            self._unlaunched.set()
            return doc
        raise ServiceUnavailable

    async def end_without_host(self, task_id: str, code: StopCode, reason: str) -> bool:
        """A task whose host is gone for good is STOPPED. False when it was. Raises ServiceUnavailable, Overloaded."""
        for _ in range(_ATTEMPTS_MAX):
            row = (await rows_by_id(self._store, [task_id])).get(task_id)
            if row is None or row.is_stopped:
                return False
            change = stop_without_host(row.document(), row.hidden_facts(), code, reason, self._world.now())
            try:
                await self._store_change(row, change)
            except Refused:
                continue  # a StopTask came in between
            self._stopped([row._replace(stop_code=change.document.get("stopCode"))])
            return True
        raise ServiceUnavailable

    def wake(self) -> None:
        """A task was recorded that has no interface."""
        self._unlaunched.set()

    async def run(self) -> None:
        """Bring tasks that cannot be launched to STOPPED, one after the answer that showed them PROVISIONING."""
        while True:
            await self._unlaunched.wait()
            self._unlaunched.clear()
            try:
                await self.stop_unlaunched()
            except (Overloaded, ServiceUnavailable):  # of a read, of a write
                await self._world.sleep(self._knobs.release_retry_s)
                self._unlaunched.set()

    async def stop_unlaunched(self) -> int:
        """How many tasks were stopped."""
        stopped = after = 0
        while found := await self._store.read(_UNLAUNCHED, (after, after, _BATCH_MAX)):
            after = int(found[-1][0])
            rows = await rows_by_id(self._store, [str(task_id) for _, task_id, _ in found])
            for _, task_id, reason in found:
                stopped += await self._stop_unlaunched(rows[str(task_id)], str(reason))
        return stopped

    async def _stop_unlaunched(self, row: TaskRow, reason: str) -> bool:
        now = self._world.now()
        change = stop_without_host(row.document(), row.hidden_facts(), StopCode.TASK_FAILED_TO_START, reason, now)
        try:
            await self._store_change(row, change)
        except Refused:
            self._unlaunched.set()  # StopTask came in between; the row is looked at again
            return False
        self._stopped([row._replace(stop_code=change.document.get("stopCode"))])
        return True

    async def _store_change(self, row: TaskRow, change: Change, guard: Statement | None = None) -> bytes:
        now = self._world.now()
        update = changed_task(row, change, report_seq=row.report_seq, stages=row.stages, now=now)
        await write(self._store, [*([guard] if guard is not None else []), *write_updates([update])])
        if row.service is not None:
            self._served([row])
        return with_tags(update.doc, row.tags)
