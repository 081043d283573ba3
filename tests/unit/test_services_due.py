"""Which services are to be looked at: each once, in the order of their times, and nothing is kept of times gone by."""

import asyncio

from neargate.clusters.services.due import Due
from neargate.world import OsWorld

FIRST, SECOND = ("123456789012", "default", "first"), ("123456789012", "default", "second")
DAYS_S = 48 * 3600.0


def test_what_is_asked_for_again_and_again_before_a_far_time_is_kept_once() -> None:
    async def body() -> None:
        due = Due(OsWorld())
        due.wake(SECOND, DAYS_S)
        for _ in range(1000):
            due.wake(FIRST)
            assert await due.next() == FIRST
            due.wake(FIRST, DAYS_S)
            due.done(FIRST)
        assert len(due._heap) < 200
        assert due.wakes_in_s(FIRST) is not None
        due.wake(FIRST)
        due.wake(SECOND)
        assert [await due.next(), await due.next()] == [FIRST, SECOND]
        due.wake(FIRST)
        due.done(SECOND)
        due.done(FIRST)
        assert await due.next() == FIRST

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())
