"""Writes the records of RunTask calls: those that come at the same time share the statements of one write.

Owns the SQL of a new task; decides nothing. Invariants: all of a call is in one write, so that a client token and the
tasks it stands for exist together or not at all, and no task exists without the order for its host; a call that is
refused harms none of those it shared a write with.
"""

from collections.abc import Sequence

import msgspec

from ..interfaces.store import Overloaded, Statement, Store, Value
from ..model.errors import ServiceUnavailable
from ..store.events import NewEvent, append_events
from ..store.gathering import GatheredWrites
from ..store.rows import many
from ..world import World

Values = tuple[Value, ...]

_CLUSTER_GUARD = "SELECT 1 FROM clusters WHERE account = ? AND name = ? AND status = 'ACTIVE'"
TASK_COLUMNS = (
    "id, account, cluster, family, started_by, grp, launch_type, host, zone, vpc, capacity_id, incarnation, "
    "created_at, ordered, stop_reason, definition, facts, doc, tags, service"
)
_INSERT_TASKS = (
    f"INSERT INTO tasks ({TASK_COLUMNS}, last_status, desired_status, rev, version, report_seq, released) "  # noqa: S608 - constant text
    f"WITH new ({TASK_COLUMNS}) AS (VALUES {{rows}}) "
    "SELECT new.*, 'PROVISIONING', 'RUNNING', 1, 1, 0, 0 FROM new "
    "WHERE NOT EXISTS (SELECT 1 FROM tombstones WHERE task = new.id AND zone = new.zone)"
)
_INSERT_LAUNCHES = (
    "INSERT INTO launches (task, message) WITH new (id, message) AS (VALUES {rows}) "
    "SELECT tasks.n, new.message FROM new JOIN tasks ON tasks.id = new.id"
)
_INSERT_SPOT = "INSERT INTO spot (task) VALUES {rows}"
_INSERT_WAITS = "INSERT INTO waits (task, victim) VALUES {rows}"
_REMEMBER_CALLS = "INSERT INTO client_tokens (account, cluster, token, fingerprint, answer, created_at) VALUES {rows}"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One call's rows. `tasks` in the order of TASK_COLUMNS; `launches`: (task id, encoded RunOrder).

    `spot`: ids of those on Spot; `waits`: (task id, id of a Spot task that must be gone first). `besides`: statements
    of whom the tasks belong to.
    """

    cluster: tuple[str, str]  # account, name
    tasks: tuple[Values, ...]
    launches: tuple[Values, ...]
    tokens: tuple[Values, ...]
    events: tuple[NewEvent, ...]
    spot: tuple[Values, ...] = ()
    waits: tuple[Values, ...] = ()
    besides: tuple[Statement, ...] = ()


class RecordLane:
    def __init__(self, world: World, store: Store) -> None:
        self._writes = GatheredWrites(world, store, name="records", statements=_statements)

    async def write(self, record: Record) -> None:
        """Returns when it is durable. Raises Refused (`cluster`, `task`, `launch`, `token`), ServiceUnavailable."""
        try:
            await self._writes.submit(record)
        except Overloaded:
            raise ServiceUnavailable from None


def _statements(records: Sequence[Record]) -> list[Statement]:
    guards = [Statement(_CLUSTER_GUARD, key, 1, "cluster") for key in dict.fromkeys(r.cluster for r in records)]
    return [
        *guards,
        *many(_INSERT_TASKS, [row for record in records for row in record.tasks], "task"),
        *many(_INSERT_LAUNCHES, [row for record in records for row in record.launches], "launch"),
        # After the tasks of the whole group: what is guarded by the tasks that there are must see those beside it.
        *(statement for record in records for statement in record.besides),
        *many(_INSERT_SPOT, [row for record in records for row in record.spot], "spot"),
        *many(_INSERT_WAITS, [row for record in records for row in record.waits], "waits"),
        *many(_REMEMBER_CALLS, [row for record in records for row in record.tokens], "token"),
        *append_events([event for record in records for event in record.events]),
    ]
