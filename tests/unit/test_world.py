"""What is spawned goes on, whoever forgets the world that it was spawned by."""

import asyncio
import gc
import weakref

from neargate.world import OsWorld


class Part:
    """As a region's parts: its loop holds it, and it holds its world."""

    def __init__(self) -> None:
        self.world = OsWorld()
        self.queue: asyncio.Queue[int] = asyncio.Queue()

    async def run(self) -> None:
        await self.queue.get()


def test_a_loop_is_not_collected_with_all_that_knew_of_it() -> None:
    async def main() -> None:
        part = Part()
        task = weakref.ref(part.world.spawn(part.run(), "a loop"))
        await asyncio.sleep(0)  # it waits for what nobody can send it any more
        del part
        gc.collect()
        found = task()
        assert found is not None and not found.done()

    asyncio.run(main())
