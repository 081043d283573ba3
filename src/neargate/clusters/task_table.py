"""The `tasks` table: its row as the cell's parts see it, and the statements more than one of them needs.

Owns the SQL of reading and guarded updating; decides nothing. Invariant: every update names the `rev` it was decided
on and raises it, so a writer that looked at an older row changes nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ..interfaces.store import Statement, Store, Value
from ..model.lifecycle import LastStatus
from ..scheduling.task_document import Change, HiddenFacts
from ..store.events import NewEvent, append_events
from ..store.rows import many
from .task_events import task_events

_COLUMNS = (
    "n, id, account, cluster, family, last_status, desired_status, host, zone, incarnation, rev, report_seq, "
    "ordered, stop_code, facts, doc, tags, stages, service, health, capacity_id"
)
_UPDATE = (
    "UPDATE tasks SET last_status = new.last_status, desired_status = new.desired_status, rev = tasks.rev + 1, "
    "version = new.version, stopped_at = new.stopped_at, report_seq = new.report_seq, stop_code = new.stop_code, "
    "stop_reason = new.stop_reason, doc = new.doc, stages = new.stages, started_at = new.started_at, "
    "health = new.health "
    "FROM (WITH new (last_status, desired_status, version, stopped_at, report_seq, stop_code, stop_reason, doc, "
    "stages, started_at, health, n, rev) AS (VALUES {rows}) SELECT * FROM new) AS new "
    "WHERE tasks.n = new.n AND tasks.rev = new.rev"
)

# `ordered` of a task: 0 it never goes to its host; 1 it does; HELD: it will when the Spot tasks it waits for are gone.
HELD = 2

encode_json = msgspec.json.Encoder().encode
_decode_document = msgspec.json.Decoder(dict[str, Any]).decode
_decode_facts = msgspec.json.Decoder(HiddenFacts).decode


class TaskRow(NamedTuple):
    """One task without its launch order."""

    n: int
    id: str
    account: str
    cluster: str
    family: str
    last_status: str
    desired_status: str
    host: str
    zone: str
    incarnation: str
    rev: int
    report_seq: int
    ordered: int
    stop_code: str | None
    facts: bytes
    doc: bytes
    tags: bytes
    stages: bytes | None
    service: str | None  # its name
    health: str | None  # None: as it was recorded
    capacity_id: str

    @property
    def is_stopped(self) -> bool:
        return self.last_status == LastStatus.STOPPED

    def document(self) -> dict[str, Any]:
        return _decode_document(self.doc)

    def hidden_facts(self) -> HiddenFacts:
        return _decode_facts(self.facts)


async def rows_by_id(store: Store, task_ids: Sequence[str]) -> dict[str, TaskRow]:
    """Rows of the tasks that exist, by id."""
    if not task_ids:
        return {}
    marks = ", ".join("?" * len(task_ids))
    rows = await store.read(f"SELECT {_COLUMNS} FROM tasks WHERE id IN ({marks}) ORDER BY n", tuple(task_ids))  # noqa: S608 - only question marks are joined in
    return {row[1]: TaskRow(*row) for row in rows}


class TaskUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What one task's row becomes, and the events of it."""

    doc: bytes
    stop_code: str | None
    values: tuple[Value, ...]
    events: tuple[NewEvent, ...]


def changed_task(row: TaskRow, change: Change, *, report_seq: int, stages: bytes | None, now: float) -> TaskUpdate:
    document = change.document
    doc = encode_json(document) if change.visible else row.doc
    values = (
        document["lastStatus"],
        document["desiredStatus"],
        document["version"],
        now if "stoppedAt" in document else None,  # for retention: the cell's clock, whatever the host's says
        report_seq,
        document.get("stopCode"),
        document.get("stoppedReason"),
        doc,
        stages,
        document.get("startedAt"),
        document["healthStatus"],
        row.n,
        row.rev,
    )
    events = tuple(task_events(row.id, change, now))
    return TaskUpdate(doc=doc, stop_code=document.get("stopCode"), values=values, events=events)


def write_updates(updates: Sequence[TaskUpdate]) -> list[Statement]:
    """One write's statements. Refused (`rev`) when any of the rows was changed since it was read."""
    events = [event for update in updates for event in update.events]
    return [*many(_UPDATE, [update.values for update in updates], "rev"), *append_events(events)]


def with_tags(doc: bytes, tags: bytes) -> bytes:
    """Tags are kept apart because they change by other operations; every answer has the member."""
    return doc[:-1] + b',"tags":' + tags + b"}"
