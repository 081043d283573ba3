"""What the operator sees of a cell beyond AWS's operations: live tasks with their addresses, log targets, stop of all.

Reads, and stops tasks only through StopTask's own path. Never reachable from the public API: no accounts.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from ..interfaces.roles import LogTarget
from ..interfaces.store import Store
from ..link.messages import RunOrder, decode_to_agent
from ..model.launch import ContainerLaunch, TaskLaunch
from .services import overview
from .services.overview import ServiceLine

_LIVE = (
    "SELECT t.id, t.cluster, t.family, t.last_status, t.host, l.message FROM tasks t "
    "LEFT JOIN launches l ON l.task = t.n "
    "WHERE t.last_status <> 'STOPPED' ORDER BY t.n DESC LIMIT ?"
)
_TO_STOP = (
    "SELECT account, cluster, id FROM tasks WHERE last_status <> 'STOPPED' AND desired_status = 'RUNNING' "
    "ORDER BY n LIMIT 1000"
)
_PREFIX_MATCHES_MAX = 20
_BY_STATUS = "SELECT zone, last_status, count(*) FROM tasks WHERE last_status <> 'STOPPED' GROUP BY zone, last_status"
# What the tables ask for and hosts or zones have not done yet. The order is that of an index that has these rows alone;
# by another one each live task would be looked up.
_OUTBOX_MAX = 100_000
_OUTBOX = {
    "orders-run": "SELECT 1 FROM tasks WHERE report_seq = 0 AND last_status <> 'STOPPED' ORDER BY host, n",
    "orders-stop": "SELECT 1 FROM tasks WHERE desired_status = 'STOPPED' AND last_status <> 'STOPPED' ORDER BY host, n",
    "releases": "SELECT 1 FROM tasks WHERE released = 0 AND last_status = 'STOPPED' ORDER BY n",
}

StopTask = Callable[[str, str, str, str | None], Awaitable[bytes]]


class LiveTask(Struct, frozen=True, kw_only=True):
    id: str
    cluster: str
    definition: str
    status: str
    host: str
    address: str | None
    public_address: str | None


class OperatorView:
    """`rest`: those who start tasks by themselves start none for a while. `at_once`: tasks that are to stop wait for
    nobody."""

    def __init__(
        self, store: Store, stop_task: StopTask, rest: Callable[[], None], at_once: Callable[[], Awaitable[None]]
    ) -> None:
        self._store = store
        self._rest = rest
        self._stop_task = stop_task
        self._at_once = at_once

    async def live_tasks(self, limit: int) -> tuple[list[LiveTask], int]:
        """The newest tasks that have not stopped, and how many there are in all."""
        rows = await self._store.read(_LIVE, (limit,))
        count = (await self._store.read("SELECT count(*) FROM tasks WHERE last_status <> 'STOPPED'"))[0][0]
        return [_live(*row) for row in rows], int(count)

    async def services(self, limit: int) -> tuple[list[ServiceLine], int, int]:
        """Those that are not steady first, then the newest; how many are steady, and how many there are in all."""
        return await overview.lines(self._store, limit)

    async def counted(self) -> list[tuple[str, str, int]]:
        """(zone, status, how many) of the tasks that have not stopped."""
        return [(str(zone), str(status), int(n)) for zone, status, n in await self._store.read(_BY_STATUS)]

    async def outbox(self) -> dict[str, int]:
        """What waits to be done for tasks, by kind."""
        counts = {name: f"SELECT count(*) FROM ({rows} LIMIT {_OUTBOX_MAX})" for name, rows in _OUTBOX.items()}  # noqa: S608 - constant text
        return {name: int((await self._store.read(sql))[0][0]) for name, sql in counts.items()}

    async def tasks_that_begin_with(self, digits: str) -> list[str]:
        """Full ids, newest first; a handful at most: it answers who typed the first digits."""
        rows = await self._store.read(
            "SELECT id FROM tasks WHERE substr(id, 1, ?) = ? ORDER BY n DESC LIMIT ?",
            (len(digits), digits, _PREFIX_MATCHES_MAX),
        )
        return [str(row[0]) for row in rows]

    async def log_targets(self, task_id: str) -> list[tuple[str, LogTarget]]:
        """(container, target) of each container that writes to awslogs, in the definition's order."""
        order = await self._order(task_id)
        if order is None:
            return []
        launch = order.launch
        return [
            (
                item.name,
                LogTarget(
                    account=launch.account,
                    region=item.logs.region,
                    group=item.logs.group,
                    stream=item.logs.stream,
                    create_group=item.logs.create_group,
                ),
            )
            for item in launch.containers
            if item.logs is not None
        ]

    async def placement(self, task_id: str) -> dict[str, Any] | None:
        """Interface and containers as they were ordered; None for a task that was never to reach a host."""
        order = await self._order(task_id)
        return None if order is None else _placement(order.launch)

    async def stop_all(self, reason: str) -> int:
        """StopTask for every task that is to run; returns how many have not stopped yet. No service replaces them."""
        self._rest()
        for account, cluster, task_id in await self._store.read(_TO_STOP):
            await self._stop_task(account, cluster, task_id, reason)
        await self._at_once()
        return int((await self._store.read("SELECT count(*) FROM tasks WHERE last_status <> 'STOPPED'"))[0][0])

    async def _order(self, task_id: str) -> RunOrder | None:
        rows = await self._store.read(
            "SELECT l.message FROM tasks t JOIN launches l ON l.task = t.n WHERE t.id = ?", (task_id,)
        )
        order: Any = decode_to_agent(rows[0][0]) if rows else None
        return order if isinstance(order, RunOrder) else None


def _placement(launch: TaskLaunch) -> dict[str, Any]:
    eni = launch.eni
    return {
        "eni": eni.eni_id,
        "address": eni.private_ipv4,
        "public_address": eni.public_ipv4,
        "subnet": eni.subnet_id,
        "subnet_cidr": eni.subnet_cidr,
        "vpc": eni.vpc_id,
        "groups": list(eni.security_groups),
        "containers": [
            {
                "name": item.name,
                "image": item.image,
                "essential": item.essential,
                "log": _log_of(item),
            }
            for item in launch.containers
        ],
    }


def _log_of(container: ContainerLaunch) -> str | None:
    """Where a container's lines go; not to which collector, which may be a secret."""
    if container.splunk is not None:
        return "splunk, at its collector"
    return None if container.logs is None else f"{container.logs.group} {container.logs.stream}"


def _live(task_id: str, cluster: str, family: str, status: str, host: str, message: bytes | None) -> LiveTask:
    order = decode_to_agent(message) if message is not None else None
    launch = order.launch if isinstance(order, RunOrder) else None
    return LiveTask(
        id=task_id,
        cluster=cluster,
        definition=f"{launch.family}:{launch.revision}" if launch else family,
        status=status,
        host=host,
        address=launch.eni.private_ipv4 if launch else None,
        public_address=launch.eni.public_ipv4 if launch else None,
    )
