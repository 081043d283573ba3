"""Who may bring a task up: the host that holds its claim, by its key, and only while the claim stands.

A sandbox registers by the first report of its task, which names the capacity id of the order, over a link whose host
has proved its key; each later report is judged the same way. `refusal` is pure. `Refusals` is what an operator finds of
it: a line and a count, once for each sandbox and reason, and for each connection of a host that is none. Must not know
what is answered (reports.py does).
"""

from collections.abc import Mapping
from enum import StrEnum

from ..log import get_logger
from ..model.launch import TaskReport
from ..model.lifecycle import LastStatus, is_later
from .task_table import TaskRow

_log = get_logger(__name__)
_REMEMBERED_MAX = 4096
_SHOWN_MAX = 64


class Refusal(StrEnum):
    """Why a sandbox is none of this cell's. The values are a metric's label."""

    INCARNATION = "incarnation"  # another database ordered it, which may well want it: it is not ended
    HOST = "host"  # the claim is another host's
    UNSENT = "unsent"  # no host was told to run this task
    CAPACITY = "capacity-id"  # it names another claim than the task's, or none
    LATE = "late"  # the claim was given up, or the task is over
    # Of whole connections, before any sandbox is spoken of:
    KEY = "host-key"  # the host did not prove its key, or has another one
    COPY = "second-agent"  # another agent speaks for the host: its data were copied


def refusal(row: TaskRow, host_id: str, report: TaskReport) -> Refusal | None:
    """`host_id`: whose key was proved. None: the report counts.

    An end needs no capacity id: what is over claims nothing, and a host that forgot an order can still say so. Nor does
    a task that is registered: it is its host's, whose records may be lost.
    """
    ends = report.known_status == LastStatus.STOPPED
    if row.incarnation != report.incarnation:
        return Refusal.INCARNATION
    if row.host != host_id:
        return Refusal.HOST
    if row.ordered != 1:
        return Refusal.UNSENT
    if row.is_stopped:
        return None if ends else Refusal.LATE
    is_named = report.capacity_id == row.capacity_id or (not report.capacity_id and row.report_seq > 0)
    return None if ends or is_named else Refusal.CAPACITY


def claims(report: TaskReport) -> bool:
    """Whether it says that a sandbox comes up, or is. One that goes down already ends by itself."""
    known = report.known_status
    return known in LastStatus.__members__ and not is_later(LastStatus(known), LastStatus.RUNNING)


class Refusals:
    """`counts` since this process began."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Refusal, 0)
        self._told: dict[tuple[str, str, Refusal], None] = {}

    @property
    def counts(self) -> Mapping[Refusal, int]:
        return self._counts

    def note_host(self, host_id: str | None, why: Refusal, reason: str) -> None:
        """A connection that nothing is heard from. It is tried again and again, with pauses: each counts."""
        self._counts[why] += 1
        _log.warning("a host was refused", why=why.value, host=host_id, reason=reason)

    def note(self, host_id: str, report: TaskReport, why: Refusal, placed: str = "") -> None:
        """Hosts repeat what is not acknowledged: the same again says nothing new. `placed`: whose the claim is."""
        key = (host_id, report.task_id, why)
        if key in self._told:
            return
        while len(self._told) >= _REMEMBERED_MAX:
            del self._told[next(iter(self._told))]
        self._told[key] = None
        self._counts[why] += 1
        _log.warning(
            "a sandbox was refused",
            why=why.value,
            host=host_id,
            task=report.task_id[:_SHOWN_MAX],
            capacity=report.capacity_id[:_SHOWN_MAX],
            status=report.known_status[:_SHOWN_MAX],
            placed=placed,
        )
