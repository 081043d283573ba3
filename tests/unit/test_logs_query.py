"""Reading pages over chunks that overlap at random, against a list that is simply sorted."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from neargate.interfaces.roles import EventRange
from neargate.logs.store import Logs
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ME = "123456789012"
T = TypeVar("T")
NOW_MS = 1_700_000_000_000


class InlineWorld(OsWorld):
    """A clock that stands, and no threads: thousands of small steps cost little."""

    def now(self) -> float:
        return NOW_MS / 1000

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        return function(*args)


async def fill(logs: Logs, rng: random.Random) -> list[tuple[int, str, str]]:
    """(timestamp, stream, message) of everything, in the order in which it was stored."""
    await logs.create_group(ME, "/g", {})
    for name in ("a", "b"):
        await logs.create_stream(ME, "/g", name)
    stored: list[tuple[int, str, str]] = []
    for batch in range(rng.randrange(1, 16)):
        stream = rng.choice("ab")
        times = sorted(NOW_MS - rng.randrange(rng.choice((3, 50, 5000))) for _ in range(rng.randrange(1, 9)))
        messages = [f"{batch}.{place} {rng.choice(('needle', 'hay'))}" for place in range(len(times))]
        await logs.put_events(ME, "/g", stream, list(zip(times, messages, strict=True)))
        stored += [(timestamp, stream, message) for timestamp, message in zip(times, messages, strict=True)]
    return stored


async def read_stream(logs: Logs, *, forward: bool, **bounds: Any) -> list[str]:
    seen: list[str] = []
    token = None
    while True:
        wanted = EventRange(from_head=forward, token=token, **bounds)
        page = json.loads(await logs.get_events(ME, "/g", "a", wanted))
        if not page["events"]:
            return seen
        messages = [event["message"] for event in page["events"]]
        seen = [*seen, *messages] if forward else [*messages, *seen]
        token = page["nextForwardToken" if forward else "nextBackwardToken"]


async def read_group(logs: Logs, pattern: str, *, forward: bool, **bounds: Any) -> list[str]:
    seen: list[str] = []
    token = None
    while True:
        wanted = EventRange(from_head=forward, token=token, **bounds)
        page = json.loads(await logs.filter_events(ME, "/g", None, None, pattern, wanted))
        seen += [event["message"] for event in page["events"]]
        token = page.get("nextToken")
        if token is None:
            return seen if forward else seen[::-1]


@pytest.mark.parametrize("seed", range(30))
def test_every_event_of_the_range_comes_once_in_order(seed: int) -> None:
    rng = random.Random(seed)
    knobs = Knobs(
        logs_page_max_bytes=rng.choice((1, 90, 300, 1 << 20)),
        logs_step_max_bytes=rng.choice((1, 200, 1000, 1 << 22)),
        logs_step_max_chunks=rng.choice((1, 2, 5, 512)),
        logs_scan_max_bytes=rng.choice((1, 500, 1 << 24)),
    )

    async def main() -> None:
        world = InlineWorld()
        logs = await Logs.open(world, MemoryStores(world, Knobs()), knobs, "us-east-1")
        stored = await fill(logs, rng)
        start, end = sorted(NOW_MS - rng.randrange(5100) for _ in range(2))
        start, end = rng.choice(((start, end), (NOW_MS - 6000, NOW_MS + 1), (NOW_MS - 20, NOW_MS)))
        ordered = sorted((event for event in stored if start <= event[0] < end), key=lambda event: event[0])
        bounds = {"start_ms": start, "end_ms": end, "limit": rng.choice((1, 3, 17, 10_000))}
        for forward in (True, False):
            of_a = [message for _, stream, message in ordered if stream == "a"]
            assert await read_stream(logs, forward=forward, **bounds) == of_a
            assert await read_group(logs, "", forward=forward, **bounds) == [message for *_, message in ordered]
            needles = [message for *_, message in ordered if "needle" in message]
            assert await read_group(logs, "needle", forward=forward, **bounds) == needles

    asyncio.run(asyncio.wait_for(main(), 60))
