"""A lane beside the loop of services: what Cloud Map has of their tasks follows the tasks.

Owns when a service's instances are compared with its tasks, and that a task which is to stop leaves them before its
host is told. Must not decide (`registered_tasks.py`) and keeps nothing durable: tasks are read from the cell, instances
from Cloud Map, so a process that is killed anywhere begins again with what is there. Invariants: the order to stop a
task waits while the task is an instance or is becoming one, but not for ever; a task is registered only if it was
wanted after its order began to wait.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...interfaces.discovery import Owner, Registered, Registration, TaskRegistries
from ...interfaces.store import Overloaded, Store
from ...log import get_logger
from ...model.errors import AwsError, ServiceUnavailable
from ...model.knobs import Knobs
from ...world import World
from ..task_table import TaskRow, rows_by_id
from .due import Due
from .registered_tasks import Difference, SeenTask, difference, is_instance, registration
from .snapshot import Templates
from .tables import Key, insert_events

_log = get_logger(__name__)
_LIVE = "SELECT account, cluster, name FROM services WHERE status <> 'INACTIVE' ORDER BY n"
_NUMBER = "SELECT n FROM services WHERE account = ? AND cluster = ? AND name = ? AND status <> 'INACTIVE'"
_TASKS = (
    "SELECT t.id, d.revision, t.last_status, t.desired_status, t.health, t.host FROM services v "
    "JOIN service_tasks s ON s.service = v.n JOIN tasks t ON t.id = s.task JOIN deployments d ON d.id = s.deployment "
    "WHERE v.account = ? AND v.cluster = ? AND v.name = ? AND v.status <> 'INACTIVE' AND t.last_status <> 'STOPPED' "
    "ORDER BY t.n"
)
_TOLD_MAX = 10_000  # troubles that are remembered as told


class NoRegistries:
    """Of a cell that was opened without a region: there is no Cloud Map."""

    def registered(self, owner: Owner) -> tuple[Registered, ...]:
        del owner
        return ()

    def owners(self) -> tuple[Owner, ...]:
        return ()

    def is_registered(self, task_id: str) -> bool:
        del task_id
        return False

    async def register(self, owner: Owner, new: Registration) -> None:
        del owner, new

    async def deregister(self, owner: Owner, one: Registered) -> None:
        del owner, one

    async def tell_health(self, owner: Owner, one: Registered, *, is_healthy: bool) -> None:
        del owner, one, is_healthy


class RegistryLane:
    """`free` is told the host of a task whose order to stop waits no more."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        *,
        region: str,
        registries: TaskRegistries,
        templates: Templates,
        free: Callable[[str], None],
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._region = region
        self._registries = registries
        self._templates = templates
        self._free = free
        self._due = Due(world)
        self._coming: set[str] = set()  # tasks that are being registered
        self._held: dict[str, float] = {}  # tasks whose order waits, since when (monotonic)
        self._told: dict[tuple[Key, str], float] = {}  # what was said of a service's trouble, and when

    # -- when

    def wake(self, key: Key) -> None:
        """A service was changed, or is to lose tasks."""
        self._due.wake(key)

    def task_changed(self, key: Key) -> None:
        self._due.wake(key, self._knobs.service_gather_s)

    def holds_back(self, task_id: str) -> bool:
        """Whether the order to stop it waits. Level-triggered: whoever asks later asks again."""
        if task_id not in self._coming and not self._registries.is_registered(task_id):
            self._held.pop(task_id, None)
            return False
        now = self._world.monotonic()
        return now - self._held.setdefault(task_id, now) < self._knobs.service_leaving_wait_s

    async def load(self) -> None:
        """A new process looks once at every service, and at what instances say they are of."""
        for account, cluster, name in await self._store.read(_LIVE):
            self._due.wake((str(account), str(cluster), str(name)))
        for owner in self._registries.owners():
            self._due.wake(owner)

    async def run(self) -> None:
        """Never returns."""
        places = asyncio.Semaphore(self._knobs.service_turns_at_once)
        while True:
            await places.acquire()
            key = await self._due.next()
            self._world.spawn(self._look(key, places), "service-registry-turn")

    async def _look(self, key: Key, places: asyncio.Semaphore) -> None:
        retry_in_s: float | None
        try:
            retry_in_s = await self.turn(key)
        except (Overloaded, AwsError) as busy:
            _log.warning("a service's instances are looked at later", service=key[2], cluster=key[1], why=str(busy))
            retry_in_s = self._knobs.service_retry_s
        except Exception:
            # As in the loop: one service's fault must not stop the others.
            _log.exception("a service's instances could not be looked at", service=key[2], cluster=key[1])
            retry_in_s = self._knobs.service_fault_retry_s
        finally:
            places.release()
        self._due.done(key)
        if retry_in_s is not None:
            self._due.wake(key, retry_in_s)

    # -- what

    async def turn(self, key: Key) -> float | None:
        """Once; in how many seconds it is tried again, when something could not be registered. Raises Overloaded,
        ServiceUnavailable."""
        owner = Owner(*key)
        tasks = [SeenTask(*row) for row in await self._store.read(_TASKS, key)]
        entries = await self._entries(tasks)
        change = difference(tasks, entries, self._registries.registered(owner))
        try:
            return await self._carry_out(owner, change)
        finally:
            self._let_go(tasks, change)

    def _let_go(self, tasks: Sequence[SeenTask], change: Difference) -> None:
        """Of tasks whose orders wait no more, or have waited long enough. Of one that has ended meanwhile nobody has to
        be told."""
        hosts = {task.task_id: task.host for task in tasks}
        looked_at = {one.task_id for one in change.to_deregister} | {task.task_id for task, _ in change.to_register}
        looked_at |= {task.task_id for task in tasks if task.is_leaving}
        for task_id in sorted(looked_at & self._held.keys()):
            if not self.holds_back(task_id) and task_id in hosts:
                self._free(hosts[task_id])

    async def _entries(self, tasks: Sequence[SeenTask]) -> dict[str, Mapping[str, Any]]:
        templates = await self._templates.of([task.revision for task in tasks])
        shown = {revision: template.shown.get("serviceRegistries") for revision, template in templates.items()}
        return {revision: registries[0] for revision, registries in shown.items() if registries}

    async def _carry_out(self, owner: Owner, change: Difference) -> float | None:
        for one in change.to_deregister:
            await self._registries.deregister(owner, one)
        for one, is_healthy in change.told:
            await self._registries.tell_health(owner, one, is_healthy=is_healthy)
        if not change.to_register:
            return None
        coming = {task.task_id: entry for task, entry in change.to_register}
        self._coming |= coming.keys()
        try:
            # Read again: of a task that is asked to stop from now on, the order waits.
            rows = await rows_by_id(self._store, list(coming))
            return await self._register(owner, [(rows[i], entry) for i, entry in coming.items() if i in rows])
        finally:
            self._coming -= coming.keys()

    async def _register(self, owner: Owner, tasks: Sequence[tuple[TaskRow, Mapping[str, Any]]]) -> float | None:
        retry_in_s = None
        for row, entry in tasks:
            new = registration(owner, self._region, row, entry)
            if new is None or not is_instance(row.last_status, row.desired_status):
                continue
            try:
                await self._registries.register(owner, new)
            except ServiceUnavailable:
                raise
            except AwsError as refusal:
                await self._tell(owner, new.registry, refusal.message)
                retry_in_s = self._knobs.service_place_retry_max_s
        return retry_in_s

    async def _tell(self, owner: Owner, registry: str, why: str) -> None:
        """An event of the service, once in a while."""
        now = self._world.now()
        self._told = {said: at for said, at in self._told.items() if at > now - self._knobs.service_event_repeat_s}
        message = (
            f"(service {owner.service}) was unable to register tasks in (service-registry {registry}) "
            f"due to (reason {why})"
        )
        if (owner, message) in self._told or len(self._told) >= _TOLD_MAX:
            return
        for (number,) in await self._store.read(_NUMBER, owner):
            await self._store.write(insert_events(int(number), [message], now, self._world.random.getrandbits))
        self._told[owner, message] = now
