"""What of services is forgotten: those that were deleted a while ago, and the oldest deployments of the others.

Invariant: nothing goes that a deployment which is not over, or the one to roll back to, is made of.
"""

from ...interfaces.store import Statement, Store
from ...model.knobs import Knobs
from .tables import ServiceRow

_BATCH_MAX = 100
_PARTS = ("deployments", "service_deployments", "service_revisions", "service_events", "service_tasks")
_ENDED = (
    "SELECT n FROM services WHERE status = 'INACTIVE' "
    "AND NOT EXISTS (SELECT 1 FROM task_targets WHERE service = services.n) AND (ended_at < ? OR ended_at <= "
    "(SELECT ended_at FROM services WHERE status = 'INACTIVE' ORDER BY ended_at DESC LIMIT 1 OFFSET ?)) "
    "ORDER BY ended_at LIMIT ?"
)
_OLD_RECORDS = (
    "SELECT n, arn FROM service_deployments WHERE service = ? AND n <= "
    "(SELECT n FROM service_deployments WHERE service = ? ORDER BY n DESC LIMIT 1 OFFSET ?) "
    "AND arn NOT IN (SELECT record FROM deployments WHERE service = ? AND live = 1) ORDER BY n"
)
_FORGET_DEPLOYMENTS = "DELETE FROM deployments WHERE service = ? AND live = 0 AND record = ?"
_FORGET_REVISIONS = (
    "DELETE FROM service_revisions WHERE service = ? AND arn <> ? "
    "AND arn NOT IN (SELECT revision FROM deployments WHERE service = ?)"
)


async def forget_oldest(store: Store, row: ServiceRow, keep: int) -> list[Statement]:
    """Records of deployments beyond the newest `keep`, and what only they were made of. Comes after what is new."""
    old = await store.read(_OLD_RECORDS, (row.n, row.n, keep, row.n))
    if not old:
        return []
    completed = row.remembered().completed or ""
    statements: list[Statement] = []
    for n, arn in old:
        statements.append(Statement(_FORGET_DEPLOYMENTS, (row.n, arn)))
        statements.append(Statement("DELETE FROM service_deployments WHERE n = ?", (n,)))
    return [*statements, Statement(_FORGET_REVISIONS, (row.n, completed, row.n))]


async def forget_services(store: Store, knobs: Knobs, now: float) -> list[Statement]:
    """Deleted services past their time, or the oldest when there are too many, with everything of them."""
    params = (now - knobs.service_inactive_keep_s, knobs.service_inactive_max, _BATCH_MAX)
    rows = await store.read(_ENDED, params)
    return [
        statement
        for (n,) in rows
        for statement in (
            *(Statement(f"DELETE FROM {table} WHERE service = ?", (n,)) for table in _PARTS),  # noqa: S608 - fixed names
            Statement("DELETE FROM services WHERE n = ? AND status = 'INACTIVE'", (n,)),
        )
    ]
