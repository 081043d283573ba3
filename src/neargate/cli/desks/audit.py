"""What the operator's socket answers of the record of calls: pages of it, and who ran and who stopped a task.

Reads only. Invariant: an answer fits the socket's line, however large the records are.
"""

from typing import Any

import msgspec

from ...frontend.record.resources import account_of
from ...interfaces.trail import Place, TrailQuery
from ...region import Region
from ...trail.store import Trail
from ..admin import MAX_LINE, Handler

PAGE_MAX = 256
_ANSWER_MAX_BYTES = MAX_LINE // 4  # quoting may double it
_TASK_CALLS = ("RunTask", "StartTask", "StopTask")
_TASK_CALLS_MAX = 20
Answer = dict[str, Any]


def handlers(region: Region) -> dict[str, Handler]:
    desk = AuditDesk(region.trail)
    return {"audit": desk.page}


class AuditDesk:
    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    async def page(self, request: Answer) -> Answer:
        """Records as JSON texts, oldest first, of one account or of all and nobody; and where to go on."""
        given = request.get("after")
        if given is None:
            await self._trail.flush()
        after = None if given is None else msgspec.convert(given, Place)
        limit = PAGE_MAX
        while True:
            wanted = TrailQuery(
                account=request.get("account") or None,
                start_ms=int(request.get("start_ms") or 0),
                end_ms=int(request["end_ms"]),
                limit=limit,
                management_only=False,
                oldest_first=True,
            )
            page = await self._trail.lookup(wanted, after)
            records = [entry.document for entry in page.entries]
            if limit == 1 or sum(map(len, records)) <= _ANSWER_MAX_BYTES:
                return {"records": records, "after": None if page.more is None else msgspec.to_builtins(page.more)}
            limit = max(1, limit // 8)


async def task_calls(trail: Trail, task_arn: str) -> list[Answer]:
    """Who ran and who stopped a task: name, time, caller, address and request id of each call, oldest first."""
    wanted = TrailQuery(
        account=account_of(task_arn),
        attribute=("ResourceName", task_arn),
        limit=_TASK_CALLS_MAX,
        oldest_first=True,
    )
    await trail.flush()
    page = await trail.lookup(wanted, None)
    calls = []
    for entry in page.entries:
        record = msgspec.json.decode(entry.document)
        if entry.name in _TASK_CALLS and "errorCode" not in record:
            identity = record["userIdentity"]
            calls.append(
                {
                    "name": entry.name,
                    "at": entry.at_ms / 1000,
                    "by": identity.get("arn") or identity.get("invokedBy") or identity["type"],
                    "from": record["sourceIPAddress"],
                    "request_id": record["requestID"],
                }
            )
    return calls
