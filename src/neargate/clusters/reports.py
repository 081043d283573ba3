"""Applies what agents report: one loop, in batches, guarded by each task's `rev`.

Owns what follows from a report: whose counts, says registrations.py. Must not know sockets. Invariant: an outcome that
lets the agent forget is given only after the change is durable; an agent can change nothing but the tasks of its own
host; a task that the cell does not know is kept, never ordered to stop.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from ..interfaces.store import Overloaded, Refused, Store
from ..log import get_logger
from ..model.knobs import Knobs
from ..model.launch import TaskReport
from ..model.lifecycle import LastStatus
from ..scheduling.task_document import BadReport, apply_report
from ..world import World
from .calls_first import CallsFirst
from .image_pins import ImagePins
from .registrations import Refusal, Refusals, claims, refusal
from .task_table import TaskRow, TaskUpdate, changed_task, rows_by_id, write_updates
from .told import told

_log = get_logger(__name__)
_ATTEMPTS_MAX = 5
_DECIDED_ON = (LastStatus.RUNNING, LastStatus.STOPPED)


class ReportOutcome(Enum):
    """What the gateway answers."""

    DURABLE = "durable"  # acknowledge: this state or a later one is stored
    UNKNOWN = "unknown"  # no such task: the agent keeps it and goes on reporting
    VOID = "void"  # the cell gave this task up (tombstone, stopped): the agent must stop it
    STRANGER = "stranger"  # a sandbox that this host may not have: nothing was changed, the agent must end it
    REFUSED = "refused"  # not this agent's task, or nonsense: nothing was changed, nothing is said
    LATER = "later"  # not decided (overload, too many conflicts): the agent repeats by itself


Answer = Callable[[ReportOutcome], None]


class _Waiting(Struct):
    host_id: str
    report: TaskReport
    answer: Answer


class _Decided(Struct, frozen=True):
    outcome: ReportOutcome
    update: TaskUpdate | None = None
    stopped: bool = False
    serves: bool = False  # what its service's scheduler decides on has changed
    refusal: Refusal | None = None


class Reports:
    """`stopped` is told of each task whose STOPPED has become durable; `served` of tasks of services whose scheduler
    has something to look at."""

    def __init__(
        self,
        world: World,
        store: Store,
        knobs: Knobs,
        calls: CallsFirst,
        pins: ImagePins,
        stopped: Callable[[Sequence[TaskRow]], None],
        served: Callable[[Sequence[TaskRow]], None],
    ) -> None:
        self._world = world
        self._calls = calls
        self._store = store
        self._knobs = knobs
        self._stopped = stopped
        self._served = served
        self._pins = pins
        self.refusals = Refusals()
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(knobs.reports_queue_max)

    def submit(self, host_id: str, report: TaskReport, answer: Answer) -> None:
        """Apply soon. `answer` is called once, in the loop; it must not raise."""
        try:
            self._queue.put_nowait(_Waiting(host_id, report, answer))
        except asyncio.QueueFull:
            answer(ReportOutcome.LATER)

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    async def run(self) -> None:
        """The only writer of reported facts. What arrives while a batch is written makes the next batch.

        It rests as long as a batch took, or as callers need: they wait for the same database, and a flood of reports
        makes larger batches instead of more of them.
        """
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < self._knobs.reports_batch_max:
                batch.append(self._queue.get_nowait())
            begun = self._world.monotonic()
            outcomes = await self._apply_batch(_newest(batch))
            for waiting in batch:
                waiting.answer(outcomes[waiting.host_id, waiting.report.task_id])
            took = min(self._world.monotonic() - begun, self._knobs.rest_max_s)
            await self._world.sleep(max(took, self._calls.rest_s()))

    async def _apply_batch(self, batch: Sequence[_Waiting]) -> dict[tuple[str, str], ReportOutcome]:
        outcomes: dict[tuple[str, str], ReportOutcome] = {}
        left = list(batch)
        for attempt in range(_ATTEMPTS_MAX):
            # After a refused guard each report is written alone, so that one conflict does not hold back the others.
            groups = [left] if attempt == 0 else [[waiting] for waiting in left]
            left = []
            for group in groups:
                try:
                    outcomes.update(await self._write_group(group))
                except Refused:
                    left += group
                except Overloaded:
                    outcomes.update({(w.host_id, w.report.task_id): ReportOutcome.LATER for w in group})
                except Exception:
                    # One report brought out a fault of ours. Alone it is refused; it must not end the cell, which would
                    # meet it again after its restart.
                    if len(group) > 1:
                        left += group
                        continue
                    _log.exception("a report failed by a fault", task=group[0].report.task_id, host=group[0].host_id)
                    outcomes[group[0].host_id, group[0].report.task_id] = ReportOutcome.REFUSED
            if not left:
                break
        outcomes.update({(w.host_id, w.report.task_id): ReportOutcome.LATER for w in left})
        return outcomes

    async def _write_group(self, group: Sequence[_Waiting]) -> dict[tuple[str, str], ReportOutcome]:
        """One read, one write. Raises Refused when a row changed in between."""
        now = self._world.now()
        rows = await rows_by_id(self._store, [waiting.report.task_id for waiting in group])
        voided = await self._voided([w.report.task_id for w in group if w.report.task_id not in rows])
        decisions = {}
        for waiting in group:
            task_id = waiting.report.task_id
            row = rows.get(task_id)
            decided = _unknown(waiting.report, task_id in voided) if row is None else _decide(row, waiting, now)
            decisions[waiting.host_id, task_id] = decided
            if decided.refusal is not None:
                placed = "" if row is None else row.host
                self.refusals.note(waiting.host_id, waiting.report, decided.refusal, placed)
        updates = [decided.update for decided in decisions.values() if decided.update is not None]
        if updates:
            lessons = self._lessons(group, rows, decisions) if self._pins.is_waiting else []
            await self._store.write([*write_updates(updates), *self._pins.statements(lessons)])
            self._pins.learned(lessons)
        stopped = [
            rows[task_id]._replace(stop_code=decided.update.stop_code)
            for (_, task_id), decided in decisions.items()
            if decided.stopped and decided.update is not None
        ]
        if stopped:
            self._stopped(stopped)
        served = [rows[task_id] for (_, task_id), decided in decisions.items() if decided.serves]
        if served:
            self._served(served)
        return {key: decided.outcome for key, decided in decisions.items()}

    def _lessons(
        self, group: Sequence[_Waiting], rows: Mapping[str, TaskRow], decisions: Mapping[tuple[str, str], _Decided]
    ) -> list[tuple[str, str, str]]:
        counted = [w for w in group if decisions[w.host_id, w.report.task_id].update is not None]
        documents = ((rows[w.report.task_id].document(), w.report) for w in counted)
        return [
            lesson
            for document, report in documents
            for lesson in self._pins.lessons(document["taskDefinitionArn"], report)
        ]

    async def _voided(self, task_ids: Sequence[str]) -> frozenset[str]:
        if not task_ids:
            return frozenset()
        marks = ", ".join("?" * len(task_ids))
        rows = await self._store.read(f"SELECT task FROM tombstones WHERE task IN ({marks})", tuple(task_ids))  # noqa: S608 - only question marks are joined in
        return frozenset(str(task) for (task,) in rows)


def _newest(batch: Sequence[_Waiting]) -> list[_Waiting]:
    """Each report carries the full state, so of several for one task only the newest counts; STOPPED is the last."""
    newest: dict[tuple[str, str], _Waiting] = {}
    for waiting in batch:
        key = (waiting.host_id, waiting.report.task_id)
        known = newest.get(key)
        if known is None or _rank(known.report) <= _rank(waiting.report):
            newest[key] = waiting
    return list(newest.values())


def _rank(report: TaskReport) -> tuple[bool, int]:
    return report.known_status == LastStatus.STOPPED, report.report_seq


def _unknown(report: TaskReport, voided: bool) -> _Decided:
    if report.known_status == LastStatus.STOPPED:
        return _Decided(ReportOutcome.DURABLE)  # nothing runs and nothing is known: the agent may forget it
    if voided:
        return _Decided(ReportOutcome.VOID, refusal=Refusal.LATE)
    _log.warning("a host runs a task that this cell does not know", task=report.task_id[:64])
    return _Decided(ReportOutcome.UNKNOWN)


def _decide(row: TaskRow, waiting: _Waiting, now: float) -> _Decided:
    report = waiting.report
    why = refusal(row, waiting.host_id, report)
    if why is not None:
        return _Decided(_answer_to(why, report), refusal=why)
    ends = report.known_status == LastStatus.STOPPED
    if row.is_stopped:
        return _Decided(ReportOutcome.DURABLE)
    # STOPPED is the last word whatever its number: an agent that lost its memory begins to count again.
    if report.report_seq <= row.report_seq and not ends:
        return _Decided(ReportOutcome.DURABLE)
    try:
        change = apply_report(row.document(), row.hidden_facts(), report, now)
    except BadReport as bad:
        _log.warning("report refused", task=row.id, host=waiting.host_id, why=str(bad))
        return _Decided(ReportOutcome.REFUSED)
    update = changed_task(
        row,
        change,
        report_seq=max(report.report_seq, row.report_seq),
        stages=told(report, row.stages),
        now=now,
    )
    return _Decided(ReportOutcome.DURABLE, update, stopped=ends, serves=_serves(row, change.document))


def _answer_to(why: Refusal, report: TaskReport) -> ReportOutcome:
    """A stop is said only for what this cell's own database ordered, or orders from it would end what others run."""
    if why is Refusal.LATE:
        return ReportOutcome.VOID
    if why is Refusal.HOST and report.known_status == LastStatus.STOPPED:
        return ReportOutcome.DURABLE  # nothing runs there, and nothing is changed here: the agent may forget it
    if why in (Refusal.HOST, Refusal.CAPACITY) and claims(report):
        return ReportOutcome.STRANGER
    return ReportOutcome.REFUSED


def _serves(row: TaskRow, document: Mapping[str, Any]) -> bool:
    """Of the statuses on the way nothing is decided, but where load balancers are told of the task."""
    if row.service is None:
        return False
    status = document["lastStatus"]
    passed = status != row.last_status and (status in _DECIDED_ON or row.hidden_facts().has_targets)
    return passed or document["desiredStatus"] != row.desired_status or document["healthStatus"] != row.health
