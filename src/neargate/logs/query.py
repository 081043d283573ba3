"""Reads events in order out of chunks that may overlap in time.

Chunks are loaded in the order of their beginnings (backwards: of their ends). What lies before the next chunk's
beginning is final; the rest waits until that chunk was looked at. Invariant: an event is returned once, in (timestamp,
number) order, and a page's `resume` leaves out and repeats nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..interfaces.store import Value
from ..model.knobs import Knobs
from ..world import World
from .chunk import Event, StoredChunk, unpack
from .database import Database
from .ingest import EVENT_OVERHEAD_BYTES
from .pattern import Pattern
from .position import Position

PAGE_BYTES_MAX = 1_048_576
LANE = "logs-read"
_CHUNKS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """A whole group or one stream; `streams_sql` narrows a group further (with its parameters)."""

    column: str  # grp or stream
    key: int
    span_ms: int
    streams_sql: str = ""
    streams_params: tuple[Value, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Strictly between `low` and `high`; `forward` says from which end it is read."""

    low: Position
    high: Position
    forward: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """`events` ascend, whichever way they were read. `resume` None: nothing is left in the range."""

    events: list[Event]
    resume: Position | None


class EventReader:
    def __init__(self, world: World, database: Database, knobs: Knobs) -> None:
        self._world = world
        self._database = database
        self._knobs = knobs

    async def read_page(self, scope: Scope, wanted: Range, pattern: Pattern, limit: int) -> Page:
        """At most `limit` events and about a MiB of them."""
        pending: list[Event] = []
        after: Position | None = None  # the last chunk loaded
        scanned = 0
        while True:
            chunks, more = await self._load(scope, wanted, after)
            if chunks:
                scanned += sum(chunk.size for chunk in chunks)
                found = await self._world.offload(LANE, _unpack_all, chunks, wanted.low, wanted.high, pattern)
                pending = sorted(pending + found, reverse=not wanted.forward)
                last = chunks[-1]
                after = Position(last.first_ts, last.base) if wanted.forward else Position(last.last_ts, last.top)
            horizon = after if more else None
            page, full = _cut(pending, horizon, wanted.forward, limit)
            if full:
                return _page(page, Position(page[-1].timestamp, page[-1].number), wanted.forward)
            if horizon is None:
                return _page(page, None, wanted.forward)
            # A budget for one answer, once going on from there would not begin with the same chunks only.
            resume = Position(horizon.timestamp, horizon.number - 1) if wanted.forward else horizon
            progress = resume > wanted.low if wanted.forward else resume < wanted.high
            # Without a pattern an empty page means the end to a client, so there it is never given before the end.
            telling = bool(page) or not pattern.matches_all
            if scanned >= self._knobs.logs_scan_max_bytes and progress and telling:
                return _page(page, resume, wanted.forward)
            # What lies beyond a page need not be held; the first of it stays, to tell that there is more.
            pending = pending[: len(_cut(pending, None, wanted.forward, limit)[0]) + 1]

    async def _load(self, scope: Scope, wanted: Range, after: Position | None) -> tuple[list[StoredChunk], bool]:
        """The next chunks up to some MiB, and whether there are more behind them."""
        sql, params = _chunks_query(scope, wanted, after)
        rows = await self._database.read(sql, (*params, self._knobs.logs_step_max_bytes))
        if not rows:
            return [], False
        found = int(rows[0][8])
        chunks = [StoredChunk(*row[:8]) for row in rows]
        return chunks, found > len(chunks) or found == _CHUNKS_AT_ONCE


def _chunks_query(scope: Scope, wanted: Range, after: Position | None) -> tuple[str, list[Value]]:
    """Chunks that touch the range in reading order. `span_ms` bounds the index range on the open side."""
    low, high = wanted.low.timestamp, wanted.high.timestamp
    where = f"{scope.column} = ? AND first_ts BETWEEN ? AND ? AND last_ts BETWEEN ? AND ?"
    params: list[Value] = [scope.key, low - scope.span_ms, high, low, high + scope.span_ms]
    if wanted.forward:
        order, place = "first_ts, base", "(first_ts, base) > (?, ?)"
    else:
        order, place = "last_ts DESC, top DESC", "(last_ts, top) < (?, ?)"
    if after is not None:
        where += f" AND {place}"
        params += after
    if scope.streams_sql:
        where += f" AND stream IN ({scope.streams_sql})"
        params += scope.streams_params
    # The outer query cuts by size before any body is read; `found` tells whether something was cut.
    sql = (
        "SELECT c.stream, c.first_ts, c.last_ts, c.base, c.top, c.ingested, c.bytes, c.body, s.found FROM ("  # noqa: S608
        f"SELECT n, bytes, sum(bytes) OVER (ORDER BY {order} ROWS UNBOUNDED PRECEDING) AS run, "
        f"count(*) OVER () AS found FROM (SELECT n, bytes, first_ts, last_ts, base, top FROM log_chunks WHERE {where} "
        f"ORDER BY {order} LIMIT {_CHUNKS_AT_ONCE})"
        ") s JOIN log_chunks c ON c.n = s.n WHERE s.run - s.bytes < ? "
        f"ORDER BY {', '.join('c.' + column.strip() for column in order.split(','))}"
    )
    return sql, params


def _unpack_all(chunks: Sequence[StoredChunk], low: Position, high: Position, pattern: Pattern) -> list[Event]:
    events: list[Event] = []
    for chunk in chunks:
        events += unpack(chunk, low, high, pattern)
    return events


def _cut(events: list[Event], horizon: Position | None, forward: bool, limit: int) -> tuple[list[Event], bool]:
    """The leading events that are final and fit one page; whether the page is full."""
    page: list[Event] = []
    room = PAGE_BYTES_MAX
    for event in events:
        if horizon is not None and (event[:2] >= horizon if forward else event[:2] < horizon):
            break
        room -= len(event.message) + EVENT_OVERHEAD_BYTES
        if page and room < 0:
            return page, True
        page.append(event)
        if len(page) == limit:
            return page, True
    return page, False


def _page(events: list[Event], resume: Position | None, forward: bool) -> Page:
    return Page(events=events if forward else events[::-1], resume=resume)
