"""Live tails: what they show and leave out, how long they last; and the messages they are sent in."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import botocore.eventstream
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.frontend.operations.logs.live_tail import SESSION_S, LiveTailSession
from neargate.frontend.streaming import send_stream
from neargate.interfaces.roles import TailRequest
from neargate.logs.store import Logs
from neargate.model.errors import InvalidParameter, LimitExceeded, ResourceNotFound, Throttling
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.wire import eventstream
from neargate.world import OsWorld

ME, OTHER, THIRD = "123456789012", "210987654321", "345678901234"
NOW_MS = 1_700_000_000_000
REQUEST = TailRequest(groups=("/app",))


class Clock(OsWorld):
    """The real world but for its clocks, which tests set."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0

    def now(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return self.at


def with_logs(body: Callable[[Logs, Clock], Awaitable[None]], **knobs: int) -> None:
    async def main() -> None:
        world = Clock()
        logs = await Logs.open(world, MemoryStores(world, Knobs()), Knobs(**knobs), "us-east-1")
        for group in ("/app", "/other"):
            await logs.create_group(ME, group, {})
            await logs.create_stream(ME, group, "one")
            await logs.create_stream(ME, group, "two")
        await body(logs, world)

    asyncio.run(main())


async def put(logs: Logs, *messages: str, group: str = "/app", stream: str = "one", age_ms: int = 0) -> None:
    await logs.put_events(ME, group, stream, [(NOW_MS - age_ms, message) for message in messages])


def shown(update: Any) -> list[str]:
    return [event["message"] for event in update.events]


def test_each_read_goes_on_where_the_last_one_ended() -> None:
    async def body(logs: Logs, world: Clock) -> None:
        await put(logs, "before")
        tail = await logs.open_tail(ME, REQUEST)
        assert shown(await tail.read()) == []
        await put(logs, "a", "b")
        await put(logs, "elsewhere", group="/other")
        await put(logs, "c, long ago", stream="two", age_ms=1000 * 3600 * 24)
        update = await tail.read()
        assert shown(update) == ["a", "b", "c, long ago"]
        assert update.events[0] == {
            "logStreamName": "one",
            "logGroupIdentifier": f"{ME}:/app",
            "message": "a",
            "timestamp": NOW_MS,
            "ingestionTime": NOW_MS,
        }
        assert not update.is_sampled
        assert shown(await tail.read()) == []
        await logs.delete_group(ME, "/app")
        assert shown(await tail.read()) == []

    with_logs(body)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (TailRequest(groups=("/app",), streams=frozenset({"two"})), ["2 error"]),
        (TailRequest(groups=("/app",), prefixes=("o", "x")), ["1", "1 error"]),
        (TailRequest(groups=("/app",), pattern="error"), ["1 error", "2 error"]),
        (TailRequest(groups=("/app", "/other"), pattern="-error"), ["1", "other"]),
        (TailRequest(groups=("/app",), pattern="%^1 e%"), ["1 error"]),
    ],
)
def test_what_a_tail_leaves_out(request_: TailRequest, expected: list[str]) -> None:
    async def body(logs: Logs, world: Clock) -> None:
        tail = await logs.open_tail(ME, request_)
        await put(logs, "1", "1 error")
        await put(logs, "2 error", stream="two")
        await put(logs, "other", group="/other")
        assert shown(await tail.read()) == expected

    with_logs(body)


def test_the_tails_of_an_account_share_what_they_look_through() -> None:
    async def body(logs: Logs, world: Clock) -> None:
        for name in (OTHER, THIRD):
            await logs.create_group(name, "/app", {})
            await logs.create_stream(name, "/app", "one")
        mine = [await logs.open_tail(ME, REQUEST) for _ in range(3)]
        theirs = await logs.open_tail(OTHER, REQUEST)

        async def reads() -> list[tuple[int, bool]]:
            await put(logs, "x" * 1000)
            await logs.put_events(OTHER, "/app", "one", [(NOW_MS, "x" * 1000)])
            updates = [await tail.read() for tail in (*mine, theirs)]
            return [(len(update.events), update.is_sampled) for update in updates]

        assert await reads() == [(1, False), (1, False), (0, True), (1, False)]
        world.at += 1
        assert await reads() == [(1, False), (0, True), (0, True), (1, False)], "the rest of what was too much"
        assert await reads() == [(0, True), (0, True), (0, True), (1, False)]
        await logs.open_tail(THIRD, REQUEST)  # now each account has a third
        world.at += 1
        assert [sampled for _, sampled in await reads()] == [False, True, True, False]
        world.at += 10
        for tail in mine:
            tail.close()
        assert await reads() and logs._tails._budgets.keys() == {OTHER}

    with_logs(body, live_tail_scan_max_bytes=1500, live_tails_scan_max_bytes=3000)


@pytest.mark.parametrize("pattern", ["%a+%", "{ $.a = 1 }", "[a, b=x]"])
def test_what_takes_longer_to_look_for_costs_more(pattern: str) -> None:
    async def body(logs: Logs, world: Clock) -> None:
        plain = await logs.open_tail(ME, REQUEST)
        tail = await logs.open_tail(ME, TailRequest(groups=("/app",), pattern=pattern))
        await put(logs, "x" * 1000)
        assert not (await plain.read()).is_sampled and not (await tail.read()).is_sampled
        for _ in range(6):
            world.at += 1
            await put(logs, "x" * 10)
            assert (await plain.read()).is_sampled, "the account pays for it"

    with_logs(body, live_tail_scan_max_bytes=1500, live_tail_pattern_cost=10)


def test_more_than_an_update_holds_is_sampled_evenly() -> None:
    async def body(logs: Logs, world: Clock) -> None:
        tail = await logs.open_tail(ME, REQUEST)
        await put(logs, *map(str, range(1000)))
        update = await tail.read()
        assert (len(update.events), update.is_sampled) == (500, True)
        assert shown(update)[:3] == ["0", "2", "4"]
        await put(logs, *map(str, range(500)))
        update = await tail.read()
        assert (len(update.events), update.is_sampled) == (500, False)

    with_logs(body)


@pytest.mark.parametrize(
    "knobs", [{"live_tail_scan_max_bytes": 2000}, {"live_tail_chunks_max": 2}, {"live_tail_update_max_bytes": 2000}]
)
def test_a_flood_costs_no_more_than_an_update_may(knobs: dict[str, int]) -> None:
    async def body(logs: Logs, world: Clock) -> None:
        tail = await logs.open_tail(ME, REQUEST)
        for _ in range(10):
            await put(logs, "x" * 900)
        update = await tail.read()
        assert (len(update.events), update.is_sampled) == (2, True)
        assert shown(await tail.read()) == []  # what was left out is not made up for

    with_logs(body, **knobs)


def test_a_message_larger_than_an_update_is_still_shown() -> None:
    async def body(logs: Logs, world: Clock) -> None:
        tail = await logs.open_tail(ME, REQUEST)
        await put(logs, "x" * 900, "y")
        assert shown(await tail.read()) == ["x" * 900]

    with_logs(body, live_tail_update_max_bytes=100)


def test_what_cannot_be_tailed() -> None:
    async def body(logs: Logs, world: Clock) -> None:
        with pytest.raises(ResourceNotFound):
            await logs.open_tail("999999999999", REQUEST)
        with pytest.raises(InvalidParameter):
            await logs.open_tail(ME, TailRequest(groups=("/app",), pattern="{ $.a }"))
        tails = [await logs.open_tail(ME, REQUEST) for _ in range(15)]
        with pytest.raises(LimitExceeded):
            await logs.open_tail(ME, REQUEST)
        tails[0].close()
        tails[0].close()
        await logs.open_tail(ME, REQUEST)
        with pytest.raises(LimitExceeded):
            await logs.open_tail(ME, REQUEST)
        world.at += 401  # nobody reads any of them: their callers were hung up on
        await tails[1].read()
        for _ in range(14):
            await logs.open_tail(ME, REQUEST)
        with pytest.raises(LimitExceeded):
            await logs.open_tail(ME, REQUEST)

    with_logs(body)


class FakeTail:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.closed = 0

    async def read(self) -> Any:
        if self.error is not None:
            raise self.error
        from_store: dict[str, Any] = {"events": [], "is_sampled": False}
        return type("Update", (), from_store)

    def close(self) -> None:
        self.closed += 1


def read_back(data: bytes) -> list[tuple[dict[str, Any], Any]]:
    buffer: Any = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, json.loads(message.payload)) for message in buffer]


def test_a_session_ends_after_three_hours() -> None:
    async def main() -> None:
        world, tail = Clock(), FakeTail()
        session = LiveTailSession(world, tail, b"start")
        assert await session.next() == b"start"
        world.at += SESSION_S - 1
        [(headers, members)] = read_back(await session.next() or b"")
        assert headers[":event-type"] == "sessionUpdate"
        assert members == {"sessionMetadata": {"sampled": False}, "sessionResults": []}
        world.at += 1
        [(headers, _)] = read_back(await session.next() or b"")
        assert (headers[":message-type"], headers[":exception-type"]) == ("exception", "SessionTimeoutException")
        assert await session.next() is None
        session.close()
        assert tail.closed == 1

    asyncio.run(main())


def test_what_goes_wrong_is_told_and_ends_the_session() -> None:
    async def main() -> None:
        session = LiveTailSession(Clock(), FakeTail(Throttling()), b"start")
        await session.next()
        [(headers, members)] = read_back(await session.next() or b"")
        assert (headers[":exception-type"], members) == ("SessionStreamingException", {"message": "Rate exceeded"})
        assert await session.next() is None

    asyncio.run(main())


class Pieces:
    period_s = 0.0

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)
        self.closed = False

    async def next(self) -> bytes | None:
        return self.left.pop(0) if self.left else None

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_stream_is_closed_whoever_ends_it(hangs_up: bool) -> None:
    async def main() -> None:
        stream, sent = Pieces(b"a", b"b"), []
        stream.period_s = 60.0 if hangs_up else 0.0

        async def receive() -> dict[str, Any]:
            if not hangs_up:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message.get("body"))

        await send_stream(stream, 200, (), receive, send)
        assert sent == ([None, b"a"] if hangs_up else [None, b"a", b"b", b""])
        assert stream.closed

    asyncio.run(main())


@given(st.dictionaries(st.text(min_size=1, max_size=30), st.text(max_size=200), max_size=5), st.binary(max_size=2000))
def test_messages_are_read_as_they_were_written(headers: dict[str, str], payload: bytes) -> None:
    buffer: Any = botocore.eventstream.EventStreamBuffer()
    data = eventstream.message(headers, payload) * 2
    for at in range(0, len(data), 100):
        buffer.add_data(data[at : at + 100])
    assert [(message.headers, message.payload) for message in buffer] == [(headers, payload)] * 2
