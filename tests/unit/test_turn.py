"""A registry's changes: one after another, again where another process was faster, and never given up half-way."""

import asyncio

import pytest

from neargate.frontend.regional.turn import ATTEMPTS, Turn
from neargate.interfaces.store import Refused
from neargate.model.errors import ServiceUnavailable
from neargate.world import OsWorld


class Thing:
    """A number in memory and in a database. `faster`: how often another process changes it just before a write."""

    def __init__(self, faster: int = 0) -> None:
        self.turn = Turn(OsWorld(), "thing")
        self.memory = self.database = 0
        self.faster = faster
        self.is_writing = False
        self.wrote = asyncio.Event()
        self.attempts = 0

    async def add(self) -> int:
        return await self.turn.change(self._attempt, read_again=self._read_again)

    async def _attempt(self) -> int:
        self.attempts += 1
        assert not self.is_writing
        before, self.is_writing = self.memory, True
        await asyncio.sleep(0)
        self.is_writing = False
        if self.attempts <= self.faster:
            self.database += 10
        if before != self.database:
            raise Refused("unchanged", 0)
        self.database = before + 1
        self.wrote.set()
        await asyncio.sleep(0)
        self.memory = self.database
        return self.memory

    async def _read_again(self) -> None:
        self.memory = self.database


def test_changes_are_made_one_after_another() -> None:
    async def go() -> None:
        thing = Thing()
        assert sorted(await asyncio.gather(*(thing.add() for _ in range(5)))) == [1, 2, 3, 4, 5]
        assert thing.database == thing.memory == thing.attempts == 5

    asyncio.run(go())


@pytest.mark.parametrize("faster", range(ATTEMPTS))
def test_what_another_process_changed_is_read_before_it_is_decided_again(faster: int) -> None:
    async def go() -> None:
        thing = Thing(faster)
        assert await thing.add() == faster * 10 + 1
        assert thing.attempts == faster + 1

    asyncio.run(go())


def test_who_meets_others_time_after_time_is_told_so_and_the_next_one_decides_on_what_is_there() -> None:
    async def go() -> None:
        thing = Thing(ATTEMPTS)
        with pytest.raises(ServiceUnavailable):
            await thing.add()
        assert thing.attempts == ATTEMPTS
        assert await thing.add() == ATTEMPTS * 10 + 1

    asyncio.run(go())


def test_a_caller_who_goes_away_leaves_memory_as_the_database_is() -> None:
    async def go() -> None:
        thing = Thing()
        caller = asyncio.ensure_future(thing.add())
        await thing.wrote.wait()
        caller.cancel()
        async with thing.turn:
            assert thing.memory == thing.database == 1

    asyncio.run(go())
