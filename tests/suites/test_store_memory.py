"""The Store suite over databases in memory, with and without threads: the simulator's disk behaves as the real one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from neargate.interfaces.store import Refused
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.suites.store import MIGRATIONS, ClosingFactory, StoreSuite, add, names
from neargate.world import OsWorld, World

T = TypeVar("T")


class InlineWorld(OsWorld):
    """Runs what is offloaded at once, in the loop, as the simulator does; remembers why it should have died."""

    def __init__(self) -> None:
        super().__init__()
        self.died: list[str] = []
        self.broken: Exception | None = None

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        await asyncio.sleep(0)
        if self.broken is not None:
            raise self.broken
        return function(*args)

    def die(self, reason: str) -> None:
        self.died.append(reason)


class TestMemoryStore(StoreSuite):
    @pytest.fixture(autouse=True)
    def _disk(self) -> None:
        self.disk = MemoryDisk()

    def loop(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        return MemoryStores(world, knobs, self.disk)


class TestMemoryStoreWithoutThreads(StoreSuite):
    @pytest.fixture(autouse=True)
    def _disk(self) -> None:
        self.disk = MemoryDisk()

    def loop(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        return MemoryStores(InlineWorld(), knobs, self.disk)


def test_a_commit_whose_outcome_is_unknown_ends_the_process_and_answers_nobody() -> None:
    async def main() -> None:
        world, disk = InlineWorld(), MemoryDisk()
        store = await MemoryStores(world, Knobs(), disk).open("cell-0", MIGRATIONS)
        world.broken = OSError("disk I/O error")
        waiting = asyncio.ensure_future(store.write([add("a")]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        assert len(world.died) == 1 and "cell-0" in world.died[0]
        waiting.cancel()

    asyncio.run(main())


def test_a_killed_owners_open_transaction_is_gone_for_the_next_one() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        store = await MemoryStores(InlineWorld(), Knobs(), disk).open("cell-0", MIGRATIONS)
        await store.write([add("a")])
        disk.databases["cell-0"].execute("BEGIN")
        disk.databases["cell-0"].execute("INSERT INTO things (name) VALUES ('never committed')")
        disk.crash()
        again = await MemoryStores(InlineWorld(), Knobs(), disk).open("cell-0", MIGRATIONS)
        assert await names(again) == ["a"]

    asyncio.run(main())


def test_a_cancelled_callers_write_that_has_not_begun_is_left_out() -> None:
    async def main() -> None:
        store = await MemoryStores(InlineWorld(), Knobs(write_batch_max=1), MemoryDisk()).open("cell-0", MIGRATIONS)
        first = asyncio.ensure_future(store.write([add("a")]))
        second = asyncio.ensure_future(store.write([add("b")]))
        third = asyncio.ensure_future(store.write([add("a")]))
        await asyncio.sleep(0)
        second.cancel()
        await first
        with pytest.raises(Refused):
            await third
        assert await names(store) == ["a"]

    asyncio.run(main())
