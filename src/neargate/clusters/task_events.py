"""What the cell's event log says of a task: all that the public event shows, so that a reader needs no second query."""

from typing import Any

import msgspec

from ..model.lifecycle import LastStatus
from ..scheduling.task_document import Change
from ..store.events import NewEvent

TASK_CHANGED = "task"
CLUSTER_CHANGED = "cluster"

_encode = msgspec.json.Encoder().encode
_SHOWN = ("taskArn", "clusterArn", "group", "startedBy", "desiredStatus", "stopCode", "stoppedReason", "stoppedAt")


def task_events(task_id: str, change: Change, now: float) -> list[NewEvent]:
    """One event for each status passed; one for a visible change that passed none."""
    if not change.visible:
        return []
    document = change.document
    first = document["version"] - max(len(change.passed), 1)
    statuses = change.passed or (LastStatus(document["lastStatus"]),)
    return [
        NewEvent(kind=TASK_CHANGED, key=task_id, at=now, body=_encode(_shown(document, status, first + place)))
        for place, status in enumerate(statuses, 1)
    ]


def _shown(document: dict[str, Any], status: LastStatus, version: int) -> dict[str, Any]:
    shown = {member: document[member] for member in _SHOWN if member in document}
    return {**shown, "lastStatus": status.value, "version": version}
