"""GetTaskProtection and UpdateTaskProtection: until when the scheduler must not stop a task.

Invariant: a protection is written only while the task runs and its deployment is as it was read, and a plan is written
only while those whom it stops have none that it did not know of (`applying`). It leaves the `rev` of its service as it
is: tasks that protect themselves all the time would keep the scheduler from starting any.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...interfaces.roles import Documents, Failure
from ...interfaces.store import Refused, Statement, Store
from ...model.arn import task_arn
from ...model.errors import ServiceUnavailable
from ...world import World
from ..cluster_book import ClusterBook
from ..task_table import encode_json
from ..writing import write
from .tables import Key, decode_deployment

MISSING = "MISSING"
NOT_VALID = "TASK_NOT_VALID"  # stopped, or of no service
BLOCKED = "DEPLOYMENT_BLOCKED"
_ATTEMPTS_MAX = 8
_MINUTE_S = 60.0
_ALL_MAX = 10_000
_SELECT = (
    "SELECT t.id, p.until, d.state, v.name FROM service_tasks s JOIN tasks t ON t.id = s.task "
    "JOIN deployments d ON d.id = s.deployment JOIN services v ON v.n = s.service "
    "LEFT JOIN protections p ON p.task = s.task "
    "WHERE t.account = ? AND t.cluster = ? AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING' "
)
_UNCHANGED = (
    "SELECT 1 FROM service_tasks s JOIN tasks t ON t.id = s.task JOIN deployments d ON d.id = s.deployment "
    "WHERE s.task = ? AND d.state = ? AND t.last_status <> 'STOPPED' AND t.desired_status = 'RUNNING'"
)
_SET = "INSERT INTO protections (task, until) VALUES (?, ?) ON CONFLICT (task) DO UPDATE SET until = excluded.until"


class _Task(NamedTuple):
    id: str
    until: float | None
    deployment: bytes
    name: str

    @property
    def is_primary(self) -> bool:
        return decode_deployment(self.deployment).is_primary


class Protection:
    """`changed` is told the services of tasks whose protection has become durable."""

    def __init__(
        self,
        world: World,
        store: Store,
        *,
        region: str,
        clusters: ClusterBook,
        changed: Callable[[Key], None],
    ) -> None:
        self._world = world
        self._store = store
        self._region = region
        self._clusters = clusters
        self._changed = changed

    async def of(self, account: str, cluster: str, task_ids: Sequence[str]) -> Documents:
        """Of all tasks of services in the cluster when none are named. Raises ClusterNotFound."""
        self._clusters.named(account, cluster)
        tasks = await self._tasks(account, cluster, task_ids)
        named = task_ids or sorted(tasks)
        return Documents(
            documents=tuple(self._shown(account, cluster, tasks[i].id, tasks[i].until) for i in named if i in tasks),
            failures=tuple(
                self._failure(account, cluster, i, why)
                for i, why in (await self._unprotected(account, cluster, [i for i in named if i not in tasks])).items()
            ),
        )

    async def protect(
        self, account: str, cluster: str, task_ids: Sequence[str], *, enabled: bool, expires_in_minutes: int
    ) -> Documents:
        """Raises ClusterNotFound, ServiceUnavailable."""
        self._clusters.named(account, cluster)
        for _ in range(_ATTEMPTS_MAX):
            tasks = await self._tasks(account, cluster, task_ids)
            until = self._world.now() + expires_in_minutes * _MINUTE_S if enabled else None
            changed = [task for task in tasks.values() if task.is_primary or not enabled]
            try:
                await self._write(changed, until)
            except Refused:
                continue  # a task was asked to stop meanwhile, or its deployment is another: look again
            for name in dict.fromkeys(task.name for task in changed):
                self._changed((account, cluster, name))
            failures = await self._unprotected(account, cluster, [i for i in task_ids if i not in tasks])
            failures |= {task.id: BLOCKED for task in tasks.values() if task not in changed}
            return Documents(
                documents=tuple(self._shown(account, cluster, task.id, until) for task in changed),
                failures=tuple(self._failure(account, cluster, i, why) for i, why in failures.items()),
            )
        raise ServiceUnavailable

    async def _tasks(self, account: str, cluster: str, task_ids: Sequence[str]) -> dict[str, _Task]:
        if task_ids:
            sql = f"{_SELECT} AND t.id IN ({', '.join('?' * len(task_ids))})"
            rows = await self._store.read(sql, (account, cluster, *task_ids))
            found = {str(row[0]): _Task(*row) for row in rows}
            return {i: found[i] for i in dict.fromkeys(task_ids) if i in found}
        rows = await self._store.read(f"{_SELECT} ORDER BY t.id LIMIT ?", (account, cluster, _ALL_MAX))
        return {str(row[0]): _Task(*row) for row in rows}

    async def _unprotected(self, account: str, cluster: str, task_ids: Sequence[str]) -> dict[str, str]:
        """Why these cannot be."""
        if not task_ids:
            return {}
        sql = f"SELECT id FROM tasks WHERE account = ? AND cluster = ? AND id IN ({', '.join('?' * len(task_ids))})"  # noqa: S608 - only question marks are joined in
        there = {str(i) for (i,) in await self._store.read(sql, (account, cluster, *task_ids))}
        return {i: NOT_VALID if i in there else MISSING for i in task_ids}

    async def _write(self, tasks: Sequence[_Task], until: float | None) -> None:
        if not tasks:
            return
        statements = []
        for task in tasks:
            statements.append(Statement(_UNCHANGED, (task.id, task.deployment), 1, "task"))
            if until is None:
                statements.append(Statement("DELETE FROM protections WHERE task = ?", (task.id,)))
            else:
                statements.append(Statement(_SET, (task.id, until), 1, "protection"))
        await write(self._store, statements)

    def _shown(self, account: str, cluster: str, task_id: str, until: float | None) -> bytes:
        arn = task_arn(self._region, account, cluster, task_id)
        if until is None or until <= self._world.now():
            return encode_json({"taskArn": arn, "protectionEnabled": False})
        return encode_json({"taskArn": arn, "protectionEnabled": True, "expirationDate": until})

    def _failure(self, account: str, cluster: str, task_id: str, reason: str) -> Failure:
        return Failure(arn=task_arn(self._region, account, cluster, task_id), reason=reason)
