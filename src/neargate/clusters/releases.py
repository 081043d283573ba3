"""Gives a stopped task's room, address and interface back to its zone, exactly because the task is durably STOPPED.

One loop and one function for both ways in: tasks that just stopped, and rows that a crash left unreleased. Invariants:
`released` is set only after the zone's capacity manager answered; releasing twice is harmless; an address that may yet
be a target of a load balancer is given to nobody else.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..interfaces.roles import CapacityManager
from ..interfaces.store import Overloaded, Statement, Store
from ..log import get_logger
from ..model.errors import AwsError
from ..model.knobs import Knobs
from ..world import World

_log = get_logger(__name__)
_BATCH_MAX = 64
_UNRELEASED = (
    "SELECT n, id, zone FROM tasks WHERE released = 0 AND last_status = 'STOPPED' AND n > ? "
    "AND NOT EXISTS (SELECT 1 FROM task_targets WHERE task = tasks.id) ORDER BY n LIMIT ?"
)


class StoppedTask(NamedTuple):
    n: int
    id: str
    zone: str


class Releases:
    def __init__(self, world: World, store: Store, capacities: Mapping[str, CapacityManager], knobs: Knobs) -> None:
        self._world = world
        self._store = store
        self._capacities = capacities
        self._knobs = knobs
        self._due = asyncio.Event()
        self._due.set()  # a new process begins by asking the table

    def wake(self) -> None:
        """A task stopped; the table knows which."""
        self._due.set()

    async def run(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                complete = await self.release_stopped()
            except Overloaded as busy:
                _log.warning("stopped tasks still hold their capacity", why=str(busy))
                complete = False
            if not complete:
                await self._world.sleep(self._knobs.release_retry_s)
                self._due.set()

    async def release_stopped(self) -> bool:
        """All that the table names. False when something could not be given back and must be tried again.

        Raises Overloaded.
        """
        complete = True
        after = 0
        while batch := [StoppedTask(*row) for row in await self._store.read(_UNRELEASED, (after, _BATCH_MAX))]:
            after = batch[-1].n
            complete = await self._release(batch) and complete
        return complete

    async def _release(self, batch: Sequence[StoppedTask]) -> bool:
        outcomes = await asyncio.gather(*(self._release_one(task) for task in batch))
        done = [task for task, released in zip(batch, outcomes, strict=True) if released]
        try:
            if done:
                await self._store.write(
                    [Statement("UPDATE tasks SET released = 1 WHERE n = ?", (task.n,)) for task in done]
                )
        except Overloaded:
            return False
        return len(done) == len(batch)

    async def _release_one(self, task: StoppedTask) -> bool:
        try:
            await self._capacities[task.zone].release(task.id, task.zone)
        except (AwsError, Overloaded) as error:
            _log.warning("a stopped task still holds its capacity", task=task.id, zone=task.zone, why=str(error))
            return False
        except KeyError:
            # The zone was taken out of the configuration; its database went with it, so nothing is held there.
            _log.warning("a stopped task's zone is gone", task=task.id, zone=task.zone)
        return True
