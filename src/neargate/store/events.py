"""The append-only `events` table of a shard: what happened, in order, without gaps.

It owns numbering, reading and trimming; it must not know what the events mean. Invariant: `seq` is gapless, since the
counter's row is changed in the write that makes the events, last, and goes back with it; and nothing that a durable
cursor has not passed is trimmed, unless that cursor lags by more than the hard bound.

A part includes EVENTS_SCHEMA in one of its migrations and puts `append_events(...)` last into its writes.
"""

import asyncio
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from ..interfaces.store import Row, Statement, Store
from .rows import many

EVENTS_SCHEMA = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, body BLOB NOT NULL
);
CREATE TABLE event_counter (
    id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, trimmed INTEGER NOT NULL CHECK (trimmed <= seq)
);
INSERT INTO event_counter (id, seq, trimmed) VALUES (1, 0, 0);
CREATE TABLE event_cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL);
"""

_APPEND = (
    "INSERT INTO events (seq, kind, key, at, body) WITH fresh (place, kind, key, at, body) AS (VALUES {rows}) "
    "SELECT event_counter.seq + fresh.place, fresh.kind, fresh.key, fresh.at, fresh.body FROM fresh, event_counter"
)
_TRIM_BATCH_MAX = 10_000  # events that go in one write


class Gap(Exception):
    """Events that the watcher has not seen were trimmed: it must list what there is, then go on from `resume`."""

    def __init__(self, resume: int) -> None:
        super().__init__(f"events before {resume + 1} are gone")
        self.resume = resume


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is the writer's wall clock (epoch seconds); `body` is JSON."""

    kind: str
    key: str
    at: float
    body: bytes


class Event(Struct, frozen=True, kw_only=True):
    seq: int
    kind: str
    key: str
    at: float
    body: bytes


def append_events(events: Sequence[NewEvent]) -> list[Statement]:
    """Statements for the end of a write; at most one such list per write."""
    if not events:
        return []
    rows = [(place, event.kind, event.key, event.at, event.body) for place, event in enumerate(events, start=1)]
    statements = many(_APPEND, rows, "event")
    counter = Statement("UPDATE event_counter SET seq = seq + ?", (len(events),), 1, "event counter")
    return [*statements, counter]


async def read_events(store: Store, after: int, limit: int = 256) -> list[Event]:
    """The next events in order, empty when there are none. Raises Gap."""
    rows = await store.read(
        "SELECT c.trimmed, c.seq, e.seq, e.kind, e.key, e.at, e.body FROM event_counter c "
        "LEFT JOIN events e ON e.seq > ? ORDER BY e.seq LIMIT ?",
        (after, limit),
    )
    trimmed, last = int(rows[0][0]), int(rows[0][1])
    if after < trimmed or after > last:  # beyond the last: the database was restored from an older copy
        raise Gap(last)
    return [_event(row) for row in rows if row[2] is not None]


def _event(row: Row) -> Event:
    return Event(seq=row[2], kind=row[3], key=row[4], at=row[5], body=row[6])


async def last_seq(store: Store) -> int:
    """Where a watcher begins that has just listed everything (ask before listing)."""
    return int((await store.read("SELECT seq FROM event_counter"))[0][0])


async def read_cursor(store: Store, name: str) -> int | None:
    rows = await store.read("SELECT seq FROM event_cursors WHERE name = ?", (name,))
    return int(rows[0][0]) if rows else None


def advance_cursor(name: str, seq: int) -> Statement:
    """A durable cursor only moves forward; the first call makes it."""
    return Statement(
        "INSERT INTO event_cursors (name, seq) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET seq = max(event_cursors.seq, excluded.seq)",
        (name, seq),
        1,
        f"cursor {name}",
    )


def trim_events(*, keep: int, hard_max: int) -> list[Statement]:
    """Forget events behind the slowest durable cursor, sparing the last `keep` for watchers without one.

    More than `hard_max` events are never kept: a cursor that lags further meets Gap. Few go at once.
    """
    goal = (
        "UPDATE event_counter SET trimmed = max(trimmed, min(trimmed + ?, "
        "max(seq - ?, min(seq - ?, coalesce((SELECT min(seq) FROM event_cursors), seq)))))"
    )
    return [
        Statement(goal, (_TRIM_BATCH_MAX, hard_max, keep), 1, "trim"),
        Statement("DELETE FROM events WHERE seq <= (SELECT trimmed FROM event_counter)"),
    ]


class EventWatcher:
    """Follows a shard's events in this process. It lives as long as its store."""

    def __init__(self, store: Store, after: int, limit: int = 256) -> None:
        self._store = store
        self._after = after
        self._limit = limit
        self._committed = asyncio.Event()
        store.on_commit(self._committed.set)

    async def next_events(self) -> list[Event]:
        """Wait for at least one event. Raises Gap, and then goes on from where the gap ends."""
        while True:
            # Cleared before reading: a commit between the two wakes the wait below.
            self._committed.clear()
            try:
                events = await read_events(self._store, self._after, self._limit)
            except Gap as gap:
                self._after = gap.resume
                raise
            if events:
                self._after = events[-1].seq
                return events
            await self._committed.wait()
