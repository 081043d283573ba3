"""Which targets the tasks of services are, as rows: made with the tasks, gone when nothing has them for certain.

Owns the SQL of `task_targets` and of `service_tasks.target`; decides nothing. Invariant: a task that may be a target
has its rows, whatever dies when.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Struct

from ...interfaces.balancing import TargetRef
from ...interfaces.store import Statement, Store
from ...scheduling.services.state import TargetHealth
from ...scheduling.services.targets import TaskVerdict
from ...store.rows import many
from ..recording import Placed
from ..task_table import encode_json
from .tables import Key

UNKNOWN = TaskVerdict(health=TargetHealth.INITIAL)  # of a task that was just made
NO_TARGETS = TaskVerdict(health=TargetHealth.NONE)
_INSERT = "INSERT INTO task_targets (task, service, grp, ip, port, holds) VALUES {rows}"
_OF_SERVICE = (
    "SELECT x.task, t.last_status, t.desired_status, t.stop_code, t.started_at, t.host, x.service, s.deployment, "
    "s.target, x.grp, x.ip, x.port FROM services v JOIN task_targets x ON x.service = v.n "
    "JOIN tasks t ON t.id = x.task LEFT JOIN service_tasks s ON s.task = x.task "
    "WHERE v.account = ? AND v.cluster = ? AND v.name = ? ORDER BY t.n, x.grp, x.port"
)
_SERVICES = "SELECT DISTINCT v.account, v.cluster, v.name FROM task_targets x JOIN services v ON v.n = x.service"
_SERVICES_OF_TARGETS = _SERVICES.replace(" JOIN ", " CROSS JOIN ")
_HOSTS = (
    "SELECT DISTINCT t.host FROM task_targets x JOIN tasks t ON t.id = x.task "
    "WHERE x.holds = 1 AND t.desired_status = 'STOPPED'"
)
_HOLD_NOBODY = (
    "UPDATE task_targets SET holds = 0 WHERE holds = 1 "
    "AND task IN (SELECT id FROM tasks WHERE desired_status = 'STOPPED')"
)
_OF_KEY = "SELECT n FROM services WHERE account = ? AND cluster = ? AND name = ?"
_HOSTS_OF_SERVICE = f"{_HOSTS} AND x.service IN ({_OF_KEY})"
_decode_verdict = msgspec.json.Decoder(TaskVerdict).decode


class TargetTask(Struct, frozen=True, kw_only=True):
    """A task that is a target, or may be. `verdict`: how it stood last; `service`, `name`: whose it is."""

    task_id: str
    last_status: str
    desired_status: str
    stop_code: str | None
    started_at: float | None
    host: str
    service: int
    name: str
    deployment_id: str
    verdict: TaskVerdict
    targets: tuple[TargetRef, ...]


def verdict_of(stored: bytes | None) -> TaskVerdict:
    return NO_TARGETS if stored is None else _decode_verdict(stored)


def insert_targets(
    service: int, placed: Sequence[Placed], load_balancers: Sequence[Mapping[str, Any]]
) -> list[Statement]:
    """`load_balancers`: as the revision shows them. A task without an interface never runs."""
    rows = [
        (place.task_id, service, one["targetGroupArn"], place.reservation.eni.private_ipv4, one["containerPort"], 1)
        for place in placed
        if place.reservation.eni is not None
        for one in load_balancers
    ]
    return many(_INSERT, rows, "target") if rows else []


async def tasks_with_targets(store: Store, key: Key) -> list[TargetTask]:
    """Of all services that had that name."""
    found = []
    for _, group in groupby(await store.read(_OF_SERVICE, key), key=lambda row: row[0]):
        rows = list(group)
        task, last, desired, code, started_at, host, service, deployment, target = rows[0][:-3]
        found.append(
            TargetTask(
                task_id=task,
                last_status=last,
                desired_status=desired,
                stop_code=code,
                started_at=started_at,
                host=host,
                service=service,
                name=key[2],
                deployment_id=deployment or "",
                verdict=verdict_of(target),
                targets=tuple(TargetRef(group=row[-3], ip=row[-2], port=row[-1]) for row in rows),
            )
        )
    return found


async def services_with_targets(store: Store, account: str | None = None, groups: Sequence[str] = ()) -> list[Key]:
    """Services with tasks in these groups of the account; in any, where none is said."""
    if account is None:
        rows = await store.read(_SERVICES)
    else:
        rows = await store.read(services_in_groups(len(groups)), (*groups, account))
    return [(str(owner), str(cluster), str(name)) for owner, cluster, name in rows]


def services_in_groups(count: int) -> str:
    """The query, of so many groups and an account. It is asked at each verdict that changes: by the groups' own rows,
    and never by all those of the account (`CROSS JOIN`: in this order)."""
    marks = ", ".join("?" * count)
    return f"{_SERVICES_OF_TARGETS} WHERE x.grp IN ({marks}) AND v.account = ?"


async def hosts_held_back(store: Store) -> list[str]:
    """Those that are not told yet to stop tasks of theirs."""
    return [str(host) for (host,) in await store.read(_HOSTS)]


async def hosts_of_service(store: Store, key: Key) -> list[str]:
    """Of those, the ones with tasks of this service."""
    return [str(host) for (host,) in await store.read(_HOSTS_OF_SERVICE, key)]


def forget_targets(task_ids: Sequence[str]) -> list[Statement]:
    if not task_ids:
        return []
    marks = ", ".join("?" * len(task_ids))
    return [Statement(f"DELETE FROM task_targets WHERE task IN ({marks})", tuple(task_ids))]  # noqa: S608 - question marks


def hold_no_more(task_ids: Sequence[str]) -> list[Statement]:
    if not task_ids:
        return []
    marks = ", ".join("?" * len(task_ids))
    return [Statement(f"UPDATE task_targets SET holds = 0 WHERE task IN ({marks})", tuple(task_ids))]  # noqa: S608 - question marks


def hold_nobody() -> Statement:
    """Of those that are to stop."""
    return Statement(_HOLD_NOBODY)


def hold_service_no_more(key: Key) -> Statement:
    """Of those of this service that are to stop, whatever else is in their rows."""
    return Statement(f"{_HOLD_NOBODY} AND service IN ({_OF_KEY})", key)


def told_of(task_id: str, verdict: TaskVerdict) -> Statement:
    return Statement("UPDATE service_tasks SET target = ? WHERE task = ?", (encode_json(verdict), task_id))
