"""Work that is under way on claims: one flight per claim at a time, and it goes on without whoever asked for it.

Must not know what a flight does. Invariant: what a flight reads of its claim stays true until the flight ends.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..world import World
from .claims import Key

T = TypeVar("T")


class Flights:
    def __init__(self, world: World) -> None:
        self._world = world
        self._flights: dict[Key, asyncio.Future[Any]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._flights

    def begin(self, key: Key, flight: "asyncio.Future[Any]") -> None:
        """Of a claim that nothing is under way on; who begins one so ends it."""
        self._flights[key] = flight

    def end(self, key: Key) -> None:
        del self._flights[key]

    async def in_turn(self, key: Key, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the work gives or raises, once those before it have ended."""
        while (before := self._flights.get(key)) is not None:
            await asyncio.wait([before])
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.begin(key, outcome)
        self._world.spawn(self._fly(key, work, outcome), f"claim {key[0]}")
        return await asyncio.shield(outcome)

    async def _fly(self, key: Key, work: Callable[[], Coroutine[Any, Any, T]], outcome: "asyncio.Future[T]") -> None:
        """What the work raises goes to whoever waits, and to nobody when the caller is gone."""
        try:
            result = await work()
        except Exception as error:
            self.end(key)
            outcome.set_exception(error)
            outcome.exception()  # marks it as read: a caller who is gone must not make asyncio complain
        else:
            self.end(key)
            outcome.set_result(result)
