"""The record of calls: a bounded queue, and chunks of what came through it in the shard `trail`.

It owns the shard; it must not know HTTP or what a call is. Invariant: `submit` never waits and never fails; whatever is
not written is counted, by account, and the count becomes a record itself. What a kill of the process can lose is what
came within `trail_flush_s` and one write.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..interfaces.store import Overloaded, Statement, Store, StoreFactory, Value
from ..interfaces.trail import NOBODY, Place, TrailEntry, TrailPage, TrailQuery
from ..log import get_logger
from ..model.knobs import Knobs
from ..world import World
from . import lookup, losses
from .chunk import Chunk, pack, pack_terms, split
from .schema import MIGRATIONS
from .sweep import sweep

SHARD = "trail"
_TERMS_PER_STATEMENT = 300
_ACCOUNTS_OF_LOSSES_MAX = 1024


class _Waiting(NamedTuple):
    account: str
    size: int
    make: Callable[[], TrailEntry]


class Trail:
    """Implements `interfaces.trail.TrailStore`. Made by `open`; `run` and `run_sweeps` are its background loops."""

    def __init__(self, world: World, store: Store, knobs: Knobs, region: str, next_chunk: int) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._region = region
        self._next_chunk = next_chunk
        self._queue: deque[_Waiting] = deque()
        self._held = 0  # bytes of the queue
        self._packed: list[Chunk] = []  # not yet written: the disk was full
        self._packed_entries = 0
        self._lost: dict[str, losses.Loss] = {}
        self._wake = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._log = get_logger(__name__)
        self._refusing = False

    @classmethod
    async def open(cls, world: World, stores: StoreFactory, knobs: Knobs, region: str) -> "Trail":
        store = await stores.open(SHARD, MIGRATIONS)
        rows = await store.read("SELECT max(n) FROM trail_chunks")
        return cls(world, store, knobs, region, 1 + int(rows[0][0] or 0))

    def submit(self, account: str, size: int, make: Callable[[], TrailEntry]) -> None:
        full = len(self._queue) + self._packed_entries >= self._knobs.trail_queue_max
        if full or self._held + size > self._knobs.trail_queue_max_bytes:
            self.count_lost(account, losses.NO_ROOM)
            return
        self._held += size
        self._queue.append(_Waiting(account, size, make))
        self._wake.set()

    def count_lost(self, account: str, reason: str) -> None:
        """A call that is not recorded. The first of a series is also said in the process's log."""
        loss = self._lost.get(account)
        if loss is None:
            if len(self._lost) >= _ACCOUNTS_OF_LOSSES_MAX:
                account = NOBODY
            self._log.warning("calls_not_recorded", account=account or "(nobody)", reason=reason)
            loss = self._lost.setdefault(account, losses.Loss(since=self._world.now(), reason=reason))
        loss.count += 1
        loss.until = self._world.now()
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Calls that are not durable yet."""
        return len(self._queue) + self._packed_entries

    async def run(self) -> None:
        """Write for ever; spawned once by the composition root."""
        while True:
            await self._wake.wait()
            await self._world.sleep(self._knobs.trail_flush_s)
            self._wake.clear()
            await self.flush()
            if self._packed:
                await self._world.sleep(self._knobs.trail_retry_s)
                self._wake.set()

    async def run_sweeps(self) -> None:
        while True:
            await self._world.sleep(self._knobs.trail_sweep_period_s)
            if done := await self.sweep():
                self._log.info("record_swept", done=done)

    async def sweep(self) -> str:
        """Drop what is too old or too much; says what was done."""
        try:
            return await sweep(self._store, self._knobs, int(self._world.now() * 1000))
        except Overloaded:
            return ""  # busy or full; there is a next pass

    async def lookup(self, wanted: TrailQuery, after: Place | None) -> TrailPage:
        return await lookup.lookup(self._world, self._store, wanted, after, self._knobs.trail_scan_max_chunks)

    async def flush(self) -> None:
        async with self._flushing:
            left = len(self._queue)
            while left > 0 or self._packed or self._lost:
                if not self._packed:
                    batch = self._take(min(self._knobs.trail_batch_max, len(self._queue)))
                    left -= len(batch)
                    await self._pack(batch)
                if not await self._write():
                    return

    def _take(self, count: int) -> list[_Waiting]:
        return [self._queue.popleft() for _ in range(count)]

    async def _pack(self, batch: Sequence[_Waiting]) -> None:
        said, self._lost = self._lost, {}
        chunks, broken = await self._world.offload(
            lookup.LANE, _pack_batch, batch, self._knobs.trail_chunk_max, losses.entries(said, self._region)
        )
        self._held -= sum(waiting.size for waiting in batch)
        self._packed, self._packed_entries = chunks, sum(chunk.entries for chunk in chunks)
        for account, error in broken:
            self._log.error("call_not_recorded", account=account, error=error)
            self.count_lost(account, losses.BROKEN)

    async def _write(self) -> bool:
        """False when the disk or the database does not take it now: it is kept, and tried again."""
        if not self._packed:
            return True
        statements: list[Statement] = []
        for number, chunk in enumerate(self._packed, start=self._next_chunk):
            statements += _store_chunk(number, chunk)
        try:
            await self._store.write(statements)
        except Overloaded as error:  # StoreFull is one
            if not self._refusing:
                self._log.warning("record_waits", reason=str(error), calls=self._packed_entries)
            self._refusing = True
            return False
        self._refusing = False
        self._next_chunk += len(self._packed)
        self._packed, self._packed_entries = [], 0
        return True


def _pack_batch(
    batch: Sequence[_Waiting], chunk_max: int, said: Sequence[tuple[str, TrailEntry]]
) -> tuple[list[Chunk], list[tuple[str, str]]]:
    """Chunks, and the (account, error) of those that could not be made: a bug in one must not cost the others."""
    by_account: dict[str, list[TrailEntry]] = {}
    broken: list[tuple[str, str]] = []
    for waiting in batch:
        try:
            entry = waiting.make()
        except Exception as error:
            # The kind only: its text may quote what must not be recorded.
            broken.append((waiting.account, type(error).__name__))
            continue
        by_account.setdefault(waiting.account, []).append(entry)
    for account, entry in said:
        by_account.setdefault(account, []).append(entry)
    chunks = [pack(account, run) for account, entries in by_account.items() for run in split(entries, chunk_max)]
    return chunks, broken


def _store_chunk(number: int, chunk: Chunk) -> list[Statement]:
    statements = [
        Statement(
            "INSERT INTO trail_chunks (n, account, first_ms, last_ms, entries, size, terms, body) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, chunk.account, chunk.first_ms, chunk.last_ms, chunk.entries, chunk.size),
                *(pack_terms(chunk.terms), chunk.body),
            ),
            1,
            "chunk",
        ),
        Statement(
            "INSERT INTO trail_accounts (account, stored, dropped) VALUES (?, ?, 0) "
            "ON CONFLICT (account) DO UPDATE SET stored = trail_accounts.stored + excluded.stored",
            (chunk.account, chunk.size),
            1,
        ),
    ]
    for at in range(0, len(chunk.terms), _TERMS_PER_STATEMENT):
        some = chunk.terms[at : at + _TERMS_PER_STATEMENT]
        params: list[Value] = [value for term in some for value in (term, chunk.last_ms, number)]
        marks = ", ".join(["(?, ?, ?)"] * len(some))
        statements.append(Statement(f"INSERT INTO trail_terms (term, last_ms, chunk) VALUES {marks}", tuple(params)))  # noqa: S608
    return statements
