"""The `tasks` table: its row as the cell's parts see it, and the statements more than one of them needs.

Owns the SQL of reading and guarded updating; decides nothing. Invariant: every update names the `rev` it was decided
on and raises it, so a writer that looked at an older row changes nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from ..interfaces.store import Statement, Store
from ..model.lifecycle import LastStatus
from ..scheduling.task_document import Change, HiddenFacts
from ..store.events import NewEvent
from .task_events import task_events

_COLUMNS = (
    "n, id, account, cluster, family, last_status, desired_status, host, zone, incarnation, rev, report_seq, "
    "ordered, stop_code, facts, doc, tags, stages"
)
_UPDATE = (
    "UPDATE tasks SET last_status = ?, desired_status = ?, rev = rev + 1, version = ?, stopped_at = ?, "
    "report_seq = ?, stop_code = ?, stop_reason = ?, doc = ?, stages = ? WHERE n = ? AND rev = ?"
)

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


def update_task(
    row: TaskRow, change: Change, *, report_seq: int, stages: bytes | None, now: float
) -> tuple[Statement, list[NewEvent]]:
    """The guarded update of one task and the events it makes."""
    document = change.document
    statement = Statement(
        _UPDATE,
        (
            document["lastStatus"],
            document["desiredStatus"],
            document["version"],
            document.get("stoppedAt"),
            report_seq,
            document.get("stopCode"),
            document.get("stoppedReason"),
            encode_json(document) if change.visible else row.doc,
            stages,
            row.n,
            row.rev,
        ),
        1,
        "rev",
    )
    return statement, task_events(row.id, change, now)


def with_tags(doc: bytes, tags: bytes) -> bytes:
    """Tags are kept apart because they change by other operations; every answer has the member."""
    return doc[:-1] + b',"tags":' + tags + b"}"
