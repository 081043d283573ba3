"""Reads events in order out of chunks that may overlap in time.

Chunks are loaded in the order of their beginnings (backwards: of their ends). What lies before the next chunk's
beginning is final; the rest waits until that chunk was looked at. Invariant: an event is returned once, in (timestamp,
number) order, and a page's `resume` leaves out and repeats nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from msgspec import Struct

from ..interfaces.store import Value
from ..model.knobs import Knobs
from ..world import World
from .chunk import Event, StoredChunk, unpack
from .database import Database
from .ingest import EVENT_OVERHEAD_BYTES
from .pattern import Matcher
from .position import Position

LANE = "logs-read"
_EVENTS_IN_A_STEP_MAX = 100_000


class Scope(Struct, frozen=True, kw_only=True):
    """A whole group or one stream; `streams_sql` narrows a group further (with its parameters)."""

    column: str  # grp or stream
    key: int
    span_ms: int
    streams_sql: str = ""
    streams_params: tuple[Value, ...] = ()


class Range(Struct, frozen=True, kw_only=True):
    """Strictly between `low` and `high`; `forward` says from which end it is read."""

    low: Position
    high: Position
    forward: bool


class Page(Struct, frozen=True, kw_only=True):
    """`events` ascend, whichever way they were read. `resume` None: nothing is left in the range."""

    events: list[Event]
    resume: Position | None


class EventReader:
    def __init__(self, world: World, database: Database, knobs: Knobs) -> None:
        self._world = world
        self._database = database
        self._knobs = knobs

    async def read_page(self, scope: Scope, wanted: Range, pattern: Matcher, limit: int) -> Page:
        """At most `limit` events and about a MiB of them."""
        pending: list[Event] = []
        after: Position | None = None  # the last chunk loaded
        scanned = 0
        while True:
            chunks, horizon = await self._load(scope, wanted, after, pattern, limit)
            if chunks:
                scanned += sum(chunk.size for chunk in chunks)
                found = await self._world.offload(LANE, _unpack_all, chunks, wanted.low, wanted.high, pattern)
                pending = sorted(pending + found, reverse=not wanted.forward)
                after = _place(chunks[-1], wanted.forward)
            page, full = _cut(pending, horizon, wanted.forward, limit, self._knobs.logs_page_max_bytes)
            if full:
                return _page(page, Position(*page[-1][:2]), wanted.forward)
            if horizon is None:
                return _page(page, None, wanted.forward)
            # A budget for one answer, once going on from there would not begin with the same chunks only.
            resume = Position(horizon.timestamp, horizon.number + (-1 if wanted.forward else 1))
            progress = resume > wanted.low if wanted.forward else resume < wanted.high
            # Without a pattern an empty page means the end to a client, so there it is never given before the end.
            telling = bool(page) or not pattern.matches_all
            if scanned >= self._knobs.logs_scan_max_bytes and progress and telling:
                return _page(page, resume, wanted.forward)
            # What lies beyond a page need not be held; the first of it stays, to tell that there is more.
            held, _ = _cut(pending, None, wanted.forward, limit, self._knobs.logs_page_max_bytes)
            pending = pending[: len(held) + 1]

    async def _load(
        self, scope: Scope, wanted: Range, after: Position | None, pattern: Matcher, limit: int
    ) -> tuple[list[StoredChunk], Position | None]:
        """The next chunks, about as many as a page needs, and the place that none behind them can come before.

        None: there are none behind them.
        """
        sql, params = _chunks_query(scope, wanted, after, self._knobs.logs_step_max_chunks)
        size = self._knobs.logs_step_max_bytes
        if pattern.matches_all:
            size = min(size, self._knobs.logs_page_max_bytes)
        else:
            limit = _EVENTS_IN_A_STEP_MAX  # how many will match is not known
        rows = await self._database.read(sql, (*params, size, limit))
        if not rows:
            return [], None
        chunks = [StoredChunk(*row[:8]) for row in rows]
        found, next_ts, next_number = rows[-1][8:]
        if next_ts is not None:
            return chunks, Position(next_ts, next_number)
        last = _place(chunks[-1], wanted.forward)
        return chunks, last if found == self._knobs.logs_step_max_chunks else None


def _place(chunk: StoredChunk, forward: bool) -> Position:
    """Where the chunk begins, or ends when reading backwards: chunks are visited in this order."""
    return Position(chunk.first_ts, chunk.base) if forward else Position(chunk.last_ts, chunk.top)


def _chunks_query(scope: Scope, wanted: Range, after: Position | None, chunks_max: int) -> tuple[str, list[Value]]:
    """Chunks that touch the range in reading order. `span_ms` bounds the index range on the open side."""
    low, high = wanted.low.timestamp, wanted.high.timestamp
    where = f"{scope.column} = ? AND first_ts BETWEEN ? AND ? AND last_ts BETWEEN ? AND ?"
    params: list[Value] = [scope.key, low - scope.span_ms, high, low, high + scope.span_ms]
    if wanted.forward:
        columns, order, place = ("first_ts", "base"), "first_ts, base", "(first_ts, base) > (?, ?)"
    else:
        columns, order, place = ("last_ts", "top"), "last_ts DESC, top DESC", "(last_ts, top) < (?, ?)"
    if after is not None:
        where += f" AND {place}"
        params += after
    if scope.streams_sql:
        where += f" AND stream IN ({scope.streams_sql})"
        params += scope.streams_params
    params.append(chunks_max)
    # The outer query cuts by size and count before any body is read; the innermost uses the index alone.
    first, second = columns
    sql = (
        "SELECT c.stream, c.first_ts, c.last_ts, c.base, c.top, c.ingested, c.bytes, c.body, "  # noqa: S608
        "s.found, s.next_ts, s.next_number FROM ("
        "SELECT n, sum(bytes) OVER before AS size, sum(top - base + 1) OVER before AS events, "
        f"count(*) OVER () AS found, lead({first}) OVER here AS next_ts, lead({second}) OVER here AS next_number "
        f"FROM (SELECT n, bytes, first_ts, last_ts, base, top FROM log_chunks WHERE {where} "
        f"ORDER BY {order} LIMIT ?) "
        f"WINDOW here AS (ORDER BY {order}), before AS (here ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        ") s JOIN log_chunks c ON c.n = s.n WHERE coalesce(s.size, 0) < ? AND coalesce(s.events, 0) < ? "
        f"ORDER BY {', '.join(f'c.{column}' for column in order.split(', '))}"
    )
    return sql, params


def _unpack_all(chunks: Sequence[StoredChunk], low: Position, high: Position, pattern: Matcher) -> list[Event]:
    events: list[Event] = []
    for chunk in chunks:
        events += unpack(chunk, low, high, pattern)
    return events


def _cut(
    events: list[Event], horizon: Position | None, forward: bool, limit: int, page_bytes: int
) -> tuple[list[Event], bool]:
    """The leading events that are final and fit one page; whether the page is full."""
    count = min(_final(events, horizon, forward), limit)
    sizes = accumulate(len(event[4]) + EVENT_OVERHEAD_BYTES for event in events[:count])
    fitting = max(bisect_right(list(sizes), page_bytes), 1)
    if fitting < count:
        return events[:fitting], True
    return events[:count], count == limit


def _final(events: list[Event], horizon: Position | None, forward: bool) -> int:
    """How many of the leading events lie before the horizon in reading order: no chunk to come has earlier ones."""
    if horizon is None:
        return len(events)
    if forward:
        return bisect_left(events, horizon)
    return bisect_left(events, (-horizon.timestamp, -horizon.number), key=lambda event: (-event[0], -event[1]))


def _page(events: list[Event], resume: Position | None, forward: bool) -> Page:
    return Page(events=events if forward else events[::-1], resume=resume)
