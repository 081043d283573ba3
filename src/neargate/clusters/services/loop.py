"""Keeps services as they are wanted: reads one, asks the decision, makes the plan durable, launches what it starts.

Owns the order of these steps and when a service is looked at again. Must not decide. Invariants: what is decided on a
state that somebody else has changed changes nothing (a paused process, two of them); a kill between any two steps
leaves a state on which the next turn decides anew; an idle service costs nothing.
"""

import asyncio
from collections.abc import Callable, Sequence

from ...interfaces.store import Overloaded, Refused, Store
from ...log import get_logger
from ...model.errors import AwsError
from ...model.knobs import Knobs
from ...scheduling.services.blocking import Blocking, blocking
from ...scheduling.services.reconcile import reconcile
from ...scheduling.services.state import ServiceStatus
from ...world import World
from ..launching import Superseded
from ..task_table import TaskRow
from .applying import apply_plan, changes_something, remembered_after
from .due import Due
from .snapshot import Snapshots
from .starting import Starting
from .tables import Key

_log = get_logger(__name__)
_STREAK_MAX = 64  # turns in a row that each changed something; a fault that never settles must not take a core
_LIVE = "SELECT account, cluster, name FROM services WHERE status <> 'INACTIVE' ORDER BY n"


class ServiceLoop:
    """`asked` is told tasks that are to stop."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        snapshots: Snapshots,
        starting: Starting,
        asked: Callable[[Sequence[TaskRow]], None],
    ) -> None:
        self.due = Due(world)
        self._world = world
        self._store = store
        self._knobs = knobs
        self._snapshots = snapshots
        self._starting = starting
        self._asked = asked
        self._rests_until = 0.0  # monotonic
        self._streaks: dict[Key, int] = {}  # of services whose last turn changed something

    def tasks_changed(self, rows: Sequence[TaskRow]) -> None:
        """Something that is decided on has become durable."""
        for row in rows:
            if row.service is not None:
                self.task_changed((row.account, row.cluster, row.service))

    def task_changed(self, key: Key) -> None:
        """Of this service."""
        self.due.wake(key, self._knobs.service_gather_s)

    def rest(self) -> None:
        """For a while nothing is decided: who stops every task of the region wants none in their place."""
        self._rests_until = self._world.monotonic() + self._knobs.service_rest_s

    def _rest_s(self) -> float:
        return max(self._rests_until - self._world.monotonic(), 0.0)

    async def load(self) -> None:
        """A new process looks at every service once."""
        for account, cluster, name in await self._store.read(_LIVE):
            self.due.wake((str(account), str(cluster), str(name)))

    async def run(self) -> None:
        """Never returns."""
        places = asyncio.Semaphore(self._knobs.service_turns_at_once)
        while True:
            await places.acquire()
            key = await self.due.next()
            self._world.spawn(self._look(key, places), "service-turn")

    async def _look(self, key: Key, places: asyncio.Semaphore) -> None:
        try:
            wake_in_s = self._rest_s() or await self.turn(key)
        except (Refused, Superseded):
            wake_in_s = 0.0  # somebody else was faster: decide again on what is there now
        except (Overloaded, AwsError) as busy:
            _log.warning("a service is looked at later", service=key[2], cluster=key[1], why=str(busy))
            wake_in_s = self._knobs.service_retry_s
        except Exception:
            # A fault that one service's state brings out must not stop the others, nor end the cell again and again.
            _log.exception("a service could not be looked at, by a fault", service=key[2], cluster=key[1])
            wake_in_s = self._knobs.service_fault_retry_s
        finally:
            places.release()
        wake_in_s = self._paced(key, wake_in_s)
        self.due.done(key)
        if wake_in_s is not None:
            self.due.wake(key, wake_in_s)

    def _paced(self, key: Key, wake_in_s: float | None) -> float | None:
        if wake_in_s != 0.0:
            self._streaks.pop(key, None)
            return wake_in_s
        self._streaks[key] = self._streaks.get(key, 0) + 1
        return 0.0 if self._streaks[key] < _STREAK_MAX else self._knobs.service_gather_s

    async def blocking(self, key: Key) -> Blocking:
        """What keeps the service from being steady now, as the decision sees it."""
        snapshot = await self._snapshots.of(key)
        return Blocking() if snapshot is None else blocking(snapshot.service, self._knobs)

    async def turn(self, key: Key) -> float | None:
        """Once; in how many seconds the service is to be looked at again, unless something happens before.

        Raises Refused, Superseded, Overloaded, AwsError.
        """
        snapshot = await self._snapshots.of(key)
        if snapshot is None:
            return None
        plan = reconcile(snapshot.service, self._knobs)
        rev, state = snapshot.row.rev, snapshot.remembered
        is_changed = changes_something(snapshot, plan)
        if is_changed:
            applied = await apply_plan(self._world, self._store, snapshot, plan)
            rev, state = applied.rev, remembered_after(snapshot, plan)
            self._asked(applied.stopped)
        if plan.status is ServiceStatus.INACTIVE:
            self._starting.forget(snapshot.row.n)
            return None
        if rest_s := self._rest_s():
            return rest_s
        started = await self._starting.carry_out(snapshot, rev, state, plan)
        if is_changed or started.count:
            return 0.0  # nobody has decided yet on what was just written
        times = [] if started.wake_in_s is None else [started.wake_in_s]
        if plan.wake_at is not None:
            times.append(max(plan.wake_at - self._world.now(), 0.0))
        return min(times, default=None)
