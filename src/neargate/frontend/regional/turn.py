"""Changes of one thing, one after another: decided on what memory holds, written only if the database still agrees.

Owns the turn, the repeating and the looking for what others changed; must not know what the thing is. Invariant: a
change that has begun comes to its end, even when its caller goes away, so that memory never stays behind the database.
"""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TypeVar

from ...interfaces.store import Overloaded, Refused
from ...log import get_logger
from ...model.errors import ServiceUnavailable
from ...world import World

ATTEMPTS = 5  # of a change that met another process's change
_log = get_logger(__name__)

T = TypeVar("T")


class Turn:
    """Whoever reads the thing again takes the turn too: `async with`."""

    def __init__(self, world: World, what: str) -> None:
        self._world = world
        self._what = what
        self._lock = asyncio.Lock()

    async def change(self, attempt: Callable[[], Awaitable[T]], read_again: Callable[[], Awaitable[None]]) -> T:
        """What `attempt` returns, which decides on what memory holds, writes that, and then has memory follow.

        Where the database refused it, another process changed the thing: it is read again and `attempt` made once
        more. What else it raises, the caller gets. Raises ServiceUnavailable when others were faster time after time.
        """
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._world.spawn(self._carry_out(attempt, read_again, outcome), f"{self._what} change")
        return await asyncio.shield(outcome)

    async def _carry_out(
        self,
        attempt: Callable[[], Awaitable[T]],
        read_again: Callable[[], Awaitable[None]],
        outcome: "asyncio.Future[T]",
    ) -> None:
        try:
            async with self._lock:
                outcome.set_result(await _until_taken(attempt, read_again))
        except Exception as error:
            outcome.set_exception(error)
            outcome.exception()  # marks it as read: a caller who is gone must not make asyncio complain

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()


async def _until_taken(attempt: Callable[[], Awaitable[T]], read_again: Callable[[], Awaitable[None]]) -> T:
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except Refused:
            await read_again()
    raise ServiceUnavailable


async def keep_up(world: World, period_s: float, catch_up: Callable[[], Awaitable[None]], what: str) -> None:
    """With several servers: what one of them changed holds here too within a period. Never returns."""
    while True:
        await world.sleep(period_s)
        try:
            await catch_up()
        except Overloaded:
            _log.warning("what others changed was not read again: the region's database has too much to do", what=what)
