"""Live tails: what reaches some groups of one account, as it is stored, in bites of about a second.

Each read goes on where the last one ended, by the numbers that chunks get when they are stored, so nothing waits in
memory for a slow reader. Invariants: the tails of an account look through at most `live_tail_scan_max_bytes` a second
and those of all accounts `live_tails_scan_max_bytes`, whatever they look for; one update gives at most
`live_tail_events_max` events. What is beyond is left out and the update says that it is a sample.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ..interfaces.roles import TailRequest, TailUpdate
from ..model.errors import InvalidParameter, LimitExceeded
from ..model.knobs import Knobs
from ..regex.linear import TooComplex
from ..world import World
from .catalog import Catalog
from .chunk import Event, StoredChunk, unpack
from .database import Database
from .pattern import Matcher, parse_pattern
from .position import BEGIN, END

LANE = "logs-tail"  # of their own: an answer that somebody waits for never waits for a tail's expression
TOO_COMPLEX = "Invalid filter pattern: the regular expression is too complex"


class LiveTails:
    """The open tails of all accounts. One whose reader has not come for long does not count."""

    def __init__(self, world: World, database: Database, catalog: Catalog, knobs: Knobs) -> None:
        self._world = world
        self._database = database
        self._catalog = catalog
        self._knobs = knobs
        self._open: dict[str, list[LiveTail]] = {}
        self._budgets: dict[str, _Budget] = {}

    async def open(self, account: str, request: TailRequest) -> "LiveTail":
        """Raises ResourceNotFound, InvalidParameter, LimitExceeded."""
        matcher = parse_pattern(request.pattern)
        groups = {(await self._catalog.find_group(account, name)).key: f"{account}:{name}" for name in request.groups}
        rows = await self._database.read("SELECT coalesce(max(n), 0) FROM log_chunks")
        now = self._world.monotonic()
        idle_s = self._knobs.live_tail_idle_s
        tails = [tail for tail in self._open.get(account, []) if now - tail.read_at < idle_s]
        if len(tails) >= self._knobs.live_tails_max:
            self._open[account] = tails
            raise LimitExceeded(f"An account has at most {self._knobs.live_tails_max} Live Tail sessions at a time.")
        tail = LiveTail(
            world=self._world,
            database=self._database,
            knobs=self._knobs,
            filter=_Filter(
                groups=groups,
                request=request,
                matcher=matcher,
                cost=self._knobs.live_tail_pattern_cost if set("%{[") & set(request.pattern) else 1,
            ),
            after=int(rows[0][0]),
            budget=lambda: self._budget(account),
            forget=lambda tail: self._forget(account, tail),
        )
        self._open[account] = [*tails, tail]
        return tail

    def _budget(self, account: str) -> "_Budget":
        """As it is now. Accounts share what all may look through; one alone has no more than its own."""
        knobs = self._knobs
        rate = min(knobs.live_tail_scan_max_bytes, knobs.live_tails_scan_max_bytes // max(len(self._open), 1))
        now = self._world.monotonic()
        budget = self._budgets.get(account) or _Budget(left=rate, at=now)
        if account in self._open:  # its last tail may just have been closed
            self._budgets[account] = budget
        budget.left = min(rate, budget.left + round((now - budget.at) * rate))
        budget.at = now
        return budget

    def _forget(self, account: str, tail: "LiveTail") -> None:
        left = [one for one in self._open.get(account, []) if one is not tail]
        if left:
            self._open[account] = left
        else:
            self._open.pop(account, None)
            self._budgets.pop(account, None)


class _Budget(Struct, kw_only=True):
    """`left`: bytes that may be looked through at the time `at`; below 0 after a chunk that was larger."""

    left: int
    at: float


class _Filter(Struct, frozen=True, kw_only=True):
    """`groups`: as updates show them, by key. `cost`: of a byte; looking for plain words is much the cheapest."""

    groups: Mapping[int, str]
    request: TailRequest
    matcher: Matcher
    cost: int

    def has_stream(self, name: str) -> bool:
        names, prefixes = self.request.streams, self.request.prefixes
        if names is not None:
            return name in names
        return prefixes is None or name.startswith(prefixes)


class LiveTail:
    """Implements `interfaces.roles.LogTail`."""

    def __init__(
        self,
        *,
        world: World,
        database: Database,
        knobs: Knobs,
        filter: _Filter,
        after: int,
        budget: "Callable[[], _Budget]",
        forget: "Callable[[LiveTail], None]",
    ) -> None:
        self._world = world
        self._database = database
        self._knobs = knobs
        self._filter = filter
        self._after = after
        self._budget = budget
        self._forget = forget
        self.read_at = world.monotonic()

    def close(self) -> None:
        self._forget(self)

    async def read(self) -> TailUpdate:
        """Raises InvalidParameter for a pattern that takes too long, Throttling."""
        self.read_at = self._world.monotonic()
        chunks, is_sampled = await self._chunks()
        streams = await self._streams(sorted({row[1] for row in chunks}))
        wanted = [row for row in chunks if row[1] in streams]
        try:
            found, left_out = await self._world.offload(
                LANE, _matching, wanted, self._filter.matcher, self._knobs.live_tail_events_max
            )
        except TooComplex:
            raise InvalidParameter(TOO_COMPLEX) from None
        groups = {row[1]: self._filter.groups[row[0]] for row in wanted}
        events, over = _within([_shown(event, groups, streams) for event in found], self._knobs)
        return TailUpdate(events=events, is_sampled=is_sampled or left_out or over)

    async def _chunks(self) -> tuple[list[tuple[Any, ...]], bool]:
        """New chunks as (group, *a stored chunk); whether some were left out."""
        marks = ", ".join("?" * len(self._filter.groups))
        knobs, last = self._knobs, await self._last()
        rows = await self._database.read(
            "SELECT n, bytes FROM log_chunks WHERE n > ? AND n <= ? "  # noqa: S608
            f"AND grp IN ({marks}) ORDER BY n LIMIT ?",
            (self._after, last, *self._filter.groups, knobs.live_tail_chunks_max + 1),
        )
        self._after = last
        if not rows:
            return [], False
        taken: list[int] = []
        budget = self._budget()
        for number, chunk_size in rows[: knobs.live_tail_chunks_max]:
            # One that is larger than all that may be looked through is still shown, and the next ones pay for it.
            cost = chunk_size * self._filter.cost
            if budget.left <= 0 or (cost > budget.left and taken):
                break
            budget.left -= cost
            taken.append(number)
        if not taken:
            return [], True
        marks = ", ".join("?" * len(taken))
        columns = "grp, stream, first_ts, last_ts, base, top, ingested, bytes, body"
        chunks = await self._database.read(
            f"SELECT {columns} FROM log_chunks WHERE n IN ({marks}) ORDER BY n",  # noqa: S608
            taken,
        )
        return chunks, len(taken) < len(rows)

    async def _last(self) -> int:
        rows = await self._database.read("SELECT coalesce(max(n), 0) FROM log_chunks")
        return max(int(rows[0][0]), self._after)  # the newest may have been deleted

    async def _streams(self, keys: Sequence[int]) -> dict[int, str]:
        """Names of those that are wanted."""
        if not keys:
            return {}
        marks = ", ".join("?" * len(keys))
        rows = await self._database.read(f"SELECT n, name FROM log_streams WHERE n IN ({marks})", keys)  # noqa: S608
        return {int(key): str(name) for key, name in rows if self._filter.has_stream(name)}


def _matching(rows: Sequence[tuple[Any, ...]], matcher: Matcher, most: int) -> tuple[list[Event], bool]:
    """At most so many, spread evenly over those that match."""
    found: list[Event] = []
    for row in rows:
        found += unpack(StoredChunk(*row[1:]), BEGIN, END, matcher)
    if len(found) <= most:
        return found, False
    return [found[at * len(found) // most] for at in range(most)], True


def _shown(event: Event, groups: Mapping[int, str], streams: Mapping[int, str]) -> dict[str, Any]:
    timestamp, _, ingested, stream, message = event
    return {
        "logStreamName": streams[stream],
        "logGroupIdentifier": groups[stream],
        "message": message,
        "timestamp": timestamp,
        "ingestionTime": ingested,
    }


def _within(events: list[dict[str, Any]], knobs: Knobs) -> tuple[list[dict[str, Any]], bool]:
    """The leading events that fit one message; whether some do not."""
    size = 0
    for at, one in enumerate(events):
        size += len(one["message"])
        if size > knobs.live_tail_update_max_bytes:
            return events[: max(at, 1)], True
    return events, False
