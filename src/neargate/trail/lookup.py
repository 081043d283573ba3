"""Finds recorded calls: which chunks may hold them, then which of their entries do.

Reads only. Invariant: one page looks through a bounded number of chunks, however rare what it looks for is; then it
ends early and says where to go on.
"""

from collections.abc import Iterable

from ..interfaces.store import Overloaded, Row, Store, Value
from ..interfaces.trail import Place, TrailEntry, TrailPage, TrailQuery
from ..model.errors import Throttling
from ..world import World
from . import chunk as chunks

LANE = "trail-pack"
_STEP = 16  # chunks read in one go
_FOREVER_MS = 1 << 60


async def lookup(
    world: World, store: Store, wanted: TrailQuery, after: Place | None, scan_max_chunks: int
) -> TrailPage:
    """Raises Throttling. `after`: the last place of the page before."""
    found: list[TrailEntry] = []
    at, seen = after, 0
    while seen < scan_max_chunks:
        rows = await _read(store, wanted, at)
        for row in rows:
            last_ms, number, body = row
            skip = at.index + 1 if at is not None and at.chunk == number else 0
            entries = await world.offload(LANE, _entries, body, wanted)
            for index, entry in entries[_first(entries, skip) :]:
                at = Place(last_ms, number, index)
                found.append(entry)
                if len(found) == wanted.limit:
                    return TrailPage(entries=found, more=at)
            at = Place(last_ms, number, _FOREVER_MS)
        seen += len(rows)
        if len(rows) < _STEP:
            return TrailPage(entries=found, more=None)
    return TrailPage(entries=found, more=at)


def _first(entries: list[tuple[int, TrailEntry]], index: int) -> int:
    return next((place for place, (number, _) in enumerate(entries) if number >= index), len(entries))


def _entries(body: bytes, wanted: TrailQuery) -> list[tuple[int, TrailEntry]]:
    """The chunk's entries that fit, with their numbers in the order of the search."""
    entries: Iterable[TrailEntry] = chunks.unpack(body)
    if not wanted.oldest_first:
        entries = reversed(list(entries))
    return [(index, entry) for index, entry in enumerate(entries) if _fits(entry, wanted)]


def _fits(entry: TrailEntry, wanted: TrailQuery) -> bool:
    if not wanted.start_ms <= entry.at_ms <= wanted.end_ms:
        return False
    if wanted.management_only and not entry.management:
        return False
    return wanted.attribute is None or wanted.attribute in chunks.attributes(entry)


async def _read(store: Store, wanted: TrailQuery, at: Place | None) -> list[Row]:
    """The next chunks that may hold what is wanted, the one that `at` is in first."""
    if at is None:
        at = Place(0, 0, 0) if wanted.oldest_first else Place(_FOREVER_MS, _FOREVER_MS, 0)
    sign, direction = (">", "ASC") if wanted.oldest_first else ("<", "DESC")
    if at.index != _FOREVER_MS:
        sign += "="  # the chunk of that place is not read to its end
    bounds = (at.last_ms, at.chunk, wanted.start_ms, wanted.end_ms + chunks.SPAN_MAX_MS, wanted.end_ms)
    table, number = "c", "n"
    params: tuple[Value, ...]
    if wanted.attribute is not None:
        assert wanted.account is not None, "attributes are found within an account"
        table, number = "t", "chunk"
        source = "trail_terms t JOIN trail_chunks c ON c.n = t.chunk WHERE t.term = ? AND c.account = ?"
        params = (chunks.term(wanted.account, *wanted.attribute), wanted.account, *bounds)
    elif wanted.account is not None:
        source, params = "trail_chunks c WHERE c.account = ?", (wanted.account, *bounds)
    else:
        source, params = "trail_chunks c WHERE c.n > 0", bounds
    sql = (
        f"SELECT c.last_ms, c.n, c.body FROM {source} "  # noqa: S608
        f"AND ({table}.last_ms, {table}.{number}) {sign} (?, ?) "
        f"AND {table}.last_ms >= ? AND {table}.last_ms <= ? AND c.first_ms <= ? "
        f"ORDER BY {table}.last_ms {direction}, {table}.{number} {direction} LIMIT {_STEP}"
    )
    try:
        return await store.read(sql, params)
    except Overloaded:
        raise Throttling from None
