"""DescribeTasks, ListTasks, the log target of a container, and the whole story of one task for `neargate why`.

Only reads. Invariant: an answer joins stored documents; nothing is rebuilt, so what is shown is what was committed.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..interfaces.roles import Documents, Failure, LogTarget, TaskFilter, TaskIdentity
from ..interfaces.store import Store
from ..link.messages import RunOrder, decode_to_agent
from ..model.arn import task_arn
from ..model.errors import InvalidParameter, ServiceNotFound
from .cluster_book import ClusterBook
from .page_token import decode_token, encode_token
from .task_table import HELD, rows_by_id, with_tags
from .told import what_was_told

_decode_json = msgspec.json.Decoder().decode
_EVENTS_MAX = 200
_SERVICE = "SELECT 1 FROM services WHERE account = ? AND cluster = ? AND name = ? LIMIT 1"
_BEFORE_START = ("PROVISIONING", "PENDING")


class Reading:
    def __init__(self, store: Store, region: str, clusters: ClusterBook) -> None:
        self._store = store
        self._region = region
        self._clusters = clusters

    async def describe_tasks(
        self, account: str, cluster: str, task_ids: Sequence[str], include_tags: bool
    ) -> Documents:
        self._clusters.named(account, cluster)
        rows = await rows_by_id(self._store, task_ids)
        found, missing = [], []
        for task_id in task_ids:
            row = rows.get(task_id)
            if row is None or row.account != account or row.cluster != cluster:
                missing.append(Failure(arn=task_arn(self._region, account, cluster, task_id), reason="MISSING"))
            else:
                found.append(with_tags(row.doc, row.tags if include_tags else b"[]"))
        return Documents(documents=tuple(found), failures=tuple(missing))

    async def list_tasks(
        self, account: str, cluster: str, wanted: TaskFilter, limit: int, after: str | None
    ) -> tuple[list[str], str | None]:
        """ARNs in the order of recording. The filters that exclude each other are refused in ECS's words."""
        _check_filter(wanted)
        self._clusters.named(account, cluster)
        start = 0 if after is None else decode_token(after, "tasks", account, cluster, wanted)
        if wanted.service_name is not None and not await self._store.read(
            _SERVICE, (account, cluster, wanted.service_name)
        ):
            raise ServiceNotFound
        # Nothing ever has the desired status PENDING, and there are no container instances to be on.
        if wanted.desired_status == "PENDING" or wanted.container_instance is not None:
            return [], None
        conditions = ["account = ?", "cluster = ?", "desired_status = ?", "n > ?"]
        params: list[Any] = [account, cluster, wanted.desired_status, start]
        for column, value in (
            ("family", wanted.family),
            ("started_by", wanted.started_by),
            ("service", wanted.service_name),
            ("launch_type", wanted.launch_type),
        ):
            if value is not None:
                conditions.append(f"{column} = ?")
                params.append(value)
        rows = await self._store.read(
            f"SELECT n, id FROM tasks WHERE {' AND '.join(conditions)} ORDER BY n LIMIT ?",  # noqa: S608 - fixed column names
            (*params, limit + 1),
        )
        page = rows[:limit]
        more = encode_token(page[-1][0], "tasks", account, cluster, wanted) if len(rows) > limit else None
        return [task_arn(self._region, account, cluster, task_id) for _, task_id in page], more

    async def log_target(self, host_id: str, task_id: str, container: str) -> LogTarget | None:
        """None unless that task is placed on that host and the container writes to awslogs."""
        rows = await self._store.read(
            "SELECT l.message, t.last_status FROM tasks t JOIN launches l ON l.task = t.n "
            "WHERE t.id = ? AND t.host = ? AND t.ordered = 1",
            (task_id, host_id),
        )
        if not rows:
            return None
        order = decode_to_agent(rows[0][0])
        assert isinstance(order, RunOrder), "a launch is stored as a RunOrder"
        logs = {item.name: item.logs for item in order.launch.containers}.get(container)
        if logs is None:
            return None
        return LogTarget(
            account=order.launch.account,
            region=logs.region,
            group=logs.group,
            stream=logs.stream,
            create_group=logs.create_group,
            task_arn=order.launch.task_arn,
            execution_role_arn=order.launch.execution_role_arn,
            is_begun=rows[0][1] not in _BEFORE_START,
        )

    async def task_identity(self, host_id: str, task_id: str) -> TaskIdentity | None:
        """None unless that host was told to run that task, and it has not stopped."""
        rows = await self._store.read(
            "SELECT l.message FROM tasks t JOIN launches l ON l.task = t.n "
            "WHERE t.id = ? AND t.host = ? AND t.ordered = 1 AND t.last_status <> 'STOPPED'",
            (task_id, host_id),
        )
        if not rows:
            return None
        order = decode_to_agent(rows[0][0])
        assert isinstance(order, RunOrder), "a launch is stored as a RunOrder"
        return TaskIdentity(
            account=order.launch.account,
            task_arn=order.launch.task_arn,
            task_role_arn=order.launch.task_role_arn,
            execution_role_arn=order.launch.execution_role_arn,
        )

    async def place(self, task_id: str) -> tuple[str, str] | None:
        """(host, incarnation) of a task that has not stopped."""
        rows = await self._store.read(
            "SELECT host, incarnation FROM tasks WHERE id = ? AND last_status <> 'STOPPED'", (task_id,)
        )
        return (str(rows[0][0]), str(rows[0][1])) if rows and rows[0][0] else None

    async def explain_task(self, task_id: str) -> dict[str, Any]:
        """Document, events, what its host told, place. Raises InvalidParameter for an unknown task."""
        row = (await rows_by_id(self._store, [task_id])).get(task_id)
        if row is None:
            raise InvalidParameter("The referenced task was not found.")
        events = await self._store.read(
            "SELECT seq, at, body FROM events WHERE key = ? ORDER BY seq LIMIT ?", (task_id, _EVENTS_MAX)
        )
        return {
            "task": _decode_json(with_tags(row.doc, row.tags)),
            "events": [{"seq": seq, "at": at, **_decode_json(body)} for seq, at, body in events],
            **what_was_told(row.stages),
            "host": row.host,
            "zone": row.zone,
            "report_seq": row.report_seq,
            "ordered": bool(row.ordered),
            "waits_for": await self._waits_for(task_id) if row.ordered == HELD else [],
        }

    async def _waits_for(self, task_id: str) -> list[str]:
        """Spot tasks that hold its room yet."""
        rows = await self._store.read(
            "SELECT w.victim FROM waits w LEFT JOIN tasks v ON v.id = w.victim "
            "WHERE w.task = ? AND v.last_status IS NOT 'STOPPED' ORDER BY w.victim",
            (task_id,),
        )
        return [str(victim) for (victim,) in rows]


def _check_filter(wanted: TaskFilter) -> None:
    """startedBy and serviceName stand alone; the desired status may go with either."""
    given = {
        "startedBy": wanted.started_by,
        "serviceName": wanted.service_name,
        "family": wanted.family,
        "launchType": wanted.launch_type,
        "containerInstance": wanted.container_instance,
    }
    named = [name for name, value in given.items() if value is not None]
    for alone in ("startedBy", "serviceName"):
        # ECS takes a launch type beside a service's name.
        others = [name for name in named if name != alone and (alone, name) != ("serviceName", "launchType")]
        if alone in named and others:
            raise InvalidParameter(f"cannot specify {alone} with other arguments")
