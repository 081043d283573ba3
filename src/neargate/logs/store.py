"""CloudWatch Logs' store: the role behind the log operations and behind the agents' bulk connections.

It owns the shard `logs`; it must not know HTTP, signatures or sessions. Invariant: an append or put is answered only
once its events are durable, and a source's bytes are stored exactly once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from ..interfaces.roles import EventRange, GroupFilter, LogSourceOpened, LogTarget, StreamOrder, TailRequest
from ..interfaces.store import Refused, Store, StoreFactory
from ..model.errors import InvalidParameter, InvalidSequenceToken, ResourceNotFound, Throttling
from ..model.knobs import Knobs
from ..regex.linear import TooComplex
from ..world import World
from .catalog import NO_STREAM, Catalog, sequence_token
from .chunk import Event, pack
from .database import Database
from .ingest import Chunk, check_batch, check_lines, move_offset, store_chunk, trim_chunk
from .live_tail import TOO_COMPLEX, LiveTail, LiveTails
from .pattern import Matcher, Pattern, parse_pattern
from .position import BEGIN, END, Position, event_id, read_token, show_token
from .query import LANE, EventReader, Page, Range, Scope
from .schema import MIGRATIONS
from .sweep import sweep

SHARD = "logs"
_PACK_LANE = "logs-pack"
_PACKED_IN_LOOP_MAX = 2048  # below this many bytes compressing costs less than changing threads
_SOURCE_NAME_MAX = 1024


class Logs:
    """Implements `interfaces.roles.LogStore`. Made by `open`; `run` is its background loop."""

    def __init__(self, world: World, store: Store, knobs: Knobs, region: str) -> None:
        self._world = world
        self._knobs = knobs
        self._region = region
        self._database = Database(store)
        self._catalog = Catalog(self._database, region)
        self._reader = EventReader(world, self._database, knobs)
        self._tails = LiveTails(world, self._database, self._catalog, knobs)
        self._places = asyncio.Semaphore(knobs.logs_chunks_at_once)
        self._waiting = 0

    @classmethod
    async def open(cls, world: World, stores: StoreFactory, knobs: Knobs, region: str) -> "Logs":
        return cls(world, await stores.open(SHARD, MIGRATIONS), knobs, region)

    async def run(self) -> None:
        """Sweep for ever; spawned once by the composition root."""
        while True:
            await self._world.sleep(self._knobs.logs_sweep_period_s)
            try:
                await self.sweep()
            except Throttling:
                continue  # the database is busy with appends; there is a next pass

    async def sweep(self) -> str:
        """Give space back now; says what was done."""
        knobs = self._knobs
        return await sweep(self._database, self._now_ms(), knobs.logs_stored_max_bytes, knobs.logs_sweep_batch_max)

    # Groups and streams

    async def create_group(self, account: str, name: str, tags: Mapping[str, str]) -> None:
        await self._catalog.create_group(account, name, tags, self._now_ms())

    async def delete_group(self, account: str, name: str) -> None:
        await self._catalog.delete_group(account, name)

    async def describe_groups(
        self, account: str, wanted: GroupFilter, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        return await self._catalog.describe_groups(account, wanted, limit, token)

    async def group_tags(self, account: str, name: str) -> Mapping[str, str]:
        return await self._catalog.group_tags(account, name)

    async def set_retention(self, account: str, name: str, days: int | None) -> None:
        await self._catalog.set_retention(account, name, days)

    async def list_tags(self, account: str, name: str) -> Mapping[str, str]:
        return await self._catalog.tags_of(account, name)

    async def tag_group(self, account: str, name: str, tags: Mapping[str, str]) -> None:
        await self._catalog.change_tags(account, name, tags)

    async def untag_group(self, account: str, name: str, keys: Sequence[str]) -> None:
        await self._catalog.change_tags(account, name, {}, keys)

    async def create_stream(self, account: str, group: str, name: str) -> None:
        await self._catalog.create_stream(account, group, name, self._now_ms())

    async def delete_stream(self, account: str, group: str, name: str) -> None:
        await self._catalog.delete_stream(account, group, name)

    async def describe_streams(
        self, account: str, group: str, order: StreamOrder, limit: int, token: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        return await self._catalog.describe_streams(account, group, order, limit, token)

    async def open_tail(self, account: str, request: TailRequest) -> LiveTail:
        return await self._tails.open(account, request)

    # Writing events

    async def open_source(self, target: LogTarget, source: str) -> LogSourceOpened:
        """Raises ResourceNotFound when the group or the stream is missing and not to be made."""
        if target.region != self._region:
            raise InvalidParameter(f"Logs of region {target.region} cannot be written in region {self._region}.")
        if not 0 < len(source) <= _SOURCE_NAME_MAX:
            raise InvalidParameter("The name of a log source is empty or too long.")
        stream, stored = await self._catalog.open_source(
            target.account,
            target.group,
            target.stream,
            source,
            self._now_ms(),
            create_group=target.create_group,
            create_stream=target.create_stream,
        )
        return LogSourceOpened(stream_key=stream, offset=stored)

    async def append(
        self,
        stream_key: int,
        source: str,
        start: int,
        end: int,
        runs: Sequence[tuple[int, int]],
        lines: bytes,
        sizes: Sequence[int] = (),
    ) -> int:
        """Raises InvalidSequenceToken when bytes before `start` are missing, ResourceNotFound: the stream is gone."""
        knobs = self._knobs
        # Twice what an honest agent sends: it cuts long lines after it has counted.
        size_max, count_max = 2 * knobs.log_chunk_max_bytes, 2 * knobs.log_chunk_max_lines
        chunk = check_lines(start, end, runs, lines, sizes, size_max=size_max, count_max=count_max)
        async with self._place():
            if await self._store(stream_key, source, start, end, chunk):
                return end
            rows = await self._database.read(
                "SELECT stored FROM log_sources WHERE stream = ? AND source = ?", (stream_key, source)
            )
            if not rows:
                raise ResourceNotFound(NO_STREAM)
            stored = int(rows[0][0])
            if start > stored:
                raise InvalidSequenceToken(
                    f"The next bytes of this source begin at {stored}, not at {start}.",
                    expectedSequenceToken=str(stored),
                )
            if start < stored < end and chunk is not None:
                rest = trim_chunk(chunk, start, end, stored)
                if rest is not None and await self._store(stream_key, source, stored, end, rest):
                    return end
            return stored  # all of it is stored already, or the sender goes on from here

    async def _store(self, stream: int, source: str, start: int, end: int, chunk: Chunk | None) -> bool:
        """False when the source's offset is not `start`."""
        statements = [move_offset(stream, source, start, end)]
        if chunk is not None:
            statements += store_chunk(stream, chunk, await self._pack(chunk), self._now_ms())
        try:
            await self._database.write(statements)
        except Refused:
            return False
        return True

    async def put_events(
        self, account: str, group: str, stream: str, events: Sequence[tuple[int, str]]
    ) -> dict[str, Any]:
        found = await self._catalog.find_stream(account, group, stream)
        now_ms = self._now_ms()
        batch = check_batch(events, now_ms, found.retention_days)
        if batch.chunk is not None:
            async with self._place():
                body = await self._pack(batch.chunk)
                try:
                    await self._database.write(store_chunk(found.key, batch.chunk, body, now_ms))
                except Refused:
                    raise ResourceNotFound(NO_STREAM) from None
        answer: dict[str, Any] = {"nextSequenceToken": sequence_token(found.key, now_ms)}
        if batch.rejected:
            answer["rejectedLogEventsInfo"] = batch.rejected
        return answer

    async def _pack(self, chunk: Chunk) -> bytes:
        if chunk.size <= _PACKED_IN_LOOP_MAX:
            return pack(chunk.runs, chunk.lines)
        return await self._world.offload(_PACK_LANE, pack, chunk.runs, chunk.lines)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Bounds the memory of chunks under way: senders wait here, and are throttled when too many do."""
        if self._waiting >= self._knobs.logs_chunks_waiting_max:
            raise Throttling
        self._waiting += 1
        try:
            async with self._places:
                yield
        finally:
            self._waiting -= 1

    # Reading events

    async def get_events(self, account: str, group: str, stream: str, wanted: EventRange) -> bytes:
        found = await self._catalog.find_stream(account, group, stream)
        span = _range(wanted)
        scope = Scope(column="stream", key=found.key, span_ms=found.span_ms)
        page = await self._reader.read_page(scope, span, Pattern(), wanted.limit)
        forward, backward = _tokens(page, span, wanted.token)
        events = [
            {"timestamp": timestamp, "message": message, "ingestionTime": ingested}
            for timestamp, _, ingested, _, message in page.events
        ]
        return msgspec.json.encode({"events": events, "nextForwardToken": forward, "nextBackwardToken": backward})

    async def filter_events(
        self,
        account: str,
        group: str,
        streams: Sequence[str] | None,
        stream_prefix: str | None,
        pattern: str,
        wanted: EventRange,
    ) -> bytes:
        matcher = parse_pattern(pattern)
        found = await self._catalog.find_group(account, group)
        if streams is not None:
            await self._catalog.check_streams(found.key, streams)
        scope = _narrow(found.key, found.span_ms, streams, stream_prefix)
        span = _range(wanted)
        try:
            page = await self._reader.read_page(scope, span, matcher, wanted.limit)
        except TooComplex:
            raise InvalidParameter(TOO_COMPLEX) from None
        names = await self._stream_names(page.events)
        events = [
            {
                "logStreamName": names[key],
                "timestamp": timestamp,
                "message": message,
                "ingestionTime": ingested,
                "eventId": event_id(timestamp, number),
            }
            for timestamp, number, ingested, key, message in (page.events if span.forward else reversed(page.events))
            if key in names  # else deleted while it was read
        ]
        answer: dict[str, Any] = {"events": events, "searchedLogStreams": []}
        if page.resume is not None:
            answer["nextToken"] = show_token(span.forward, page.resume)
        return msgspec.json.encode(answer)

    async def test_filter(self, pattern: str, messages: Sequence[str]) -> list[dict[str, Any]]:
        matcher = parse_pattern(pattern)
        try:
            return await self._world.offload(LANE, _tested, matcher, messages)
        except TooComplex:
            raise InvalidParameter(TOO_COMPLEX) from None

    async def _stream_names(self, events: Sequence[Event]) -> dict[int, str]:
        keys = sorted({event[3] for event in events})
        names: dict[int, str] = {}
        for at in range(0, len(keys), 500):
            some = keys[at : at + 500]
            marks = ", ".join("?" * len(some))
            rows = await self._database.read(f"SELECT n, name FROM log_streams WHERE n IN ({marks})", some)  # noqa: S608
            names.update((int(key), str(name)) for key, name in rows)
        return names

    def _now_ms(self) -> int:
        return int(self._world.now() * 1000)


def _tested(matcher: Matcher, messages: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"eventNumber": number, "eventMessage": message, "extractedValues": dict(matcher.extracted(message))}
        for number, message in enumerate(messages, 1)
        if matcher.matches(message)
    ]


def _narrow(group: int, span_ms: int, streams: Sequence[str] | None, prefix: str | None) -> Scope:
    if streams is not None:
        sql = f"SELECT n FROM log_streams WHERE grp = ? AND name IN ({', '.join('?' * len(streams))})"  # noqa: S608
        return Scope(column="grp", key=group, span_ms=span_ms, streams_sql=sql, streams_params=(group, *streams))
    if prefix is not None:
        sql = "SELECT n FROM log_streams WHERE grp = ? AND name >= ? AND name < ?"
        bounds = (group, prefix, prefix + "\U0010ffff")
        return Scope(column="grp", key=group, span_ms=span_ms, streams_sql=sql, streams_params=bounds)
    return Scope(column="grp", key=group, span_ms=span_ms)


def _range(wanted: EventRange) -> Range:
    """The asked times, narrowed by the token, which also decides the direction."""
    low = BEGIN if wanted.start_ms is None else min(Position(wanted.start_ms, 0), END)
    high = END if wanted.end_ms is None else min(Position(wanted.end_ms, 0), END)
    if wanted.token is None:
        return Range(low=low, high=high, forward=wanted.from_head)
    token = read_token(wanted.token)
    if token.forward:
        return Range(low=max(low, token.position), high=high, forward=True)
    return Range(low=low, high=min(high, token.position), forward=False)


def _tokens(page: Page, span: Range, given: str | None) -> tuple[str, str]:
    """GetLogEvents' two tokens. An empty page returns the given token unchanged: that is how clients see the end."""
    if page.events:
        first, last = page.events[0], page.events[-1]
        return show_token(True, Position(*last[:2])), show_token(False, Position(*first[:2]))
    if given is None:
        at = Position(max(span.low.timestamp, 0), 0)
        return show_token(True, at), show_token(False, at)
    position = read_token(given).position
    if span.forward:
        # Backwards from here begins with what the client has seen last.
        return given, show_token(False, Position(position.timestamp, position.number + 1))
    return show_token(True, Position(position.timestamp, position.number - 1)), given
