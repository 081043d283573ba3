"""Work of pulls side by side: each registry's share of the threads, and layers that arrive while others are unpacked.

Owns waiting only; must not know registries, images or threads. Invariant: nothing here awaits when its coroutine is
merely thrown away (GeneratorExit: the loop has ended), since nobody would ever continue it.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from ...world import within


class Share:
    """`each_max` holders of one name at a time, the others wait in order. Names that nobody wants are forgotten."""

    def __init__(self, each_max: int) -> None:
        self._each_max = each_max
        self._places: dict[str, asyncio.Semaphore] = {}
        self._interested: dict[str, int] = {}

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        places = self._places.setdefault(name, asyncio.Semaphore(self._each_max))
        self._interested[name] = self._interested.get(name, 0) + 1
        try:
            async with places:
                yield
        finally:
            self._interested[name] -= 1
            if not self._interested[name]:
                del self._interested[name], self._places[name]

    def __len__(self) -> int:
        return len(self._places)


class Turnstile:
    """Many at a time, or one alone: nobody enters while somebody who wants to be alone waits for those inside."""

    def __init__(self) -> None:
        self._inside = 0
        self._open = asyncio.Event()
        self._open.set()
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        while not self._open.is_set():
            await self._open.wait()
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()

    @asynccontextmanager
    async def alone(self, within_s: float) -> AsyncIterator[None]:
        """For one at a time. Raises TimeoutError when those inside do not leave; then it was as if nobody had asked."""
        self._open.clear()
        try:
            await within(within_s, self._empty.wait())
            yield
        finally:
            self._open.set()


class Arriving:
    """Running pieces of work, waited for one after the other; the failure of any is raised at the next wait."""

    def __init__(self, work: Sequence[Coroutine[Any, Any, None]]) -> None:
        self._tasks = [asyncio.get_running_loop().create_task(piece) for piece in work]

    async def wait(self, place: int) -> None:
        wanted = self._tasks[place]
        while not wanted.done():
            done, _ = await asyncio.wait(
                [task for task in self._tasks if not task.done()], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        wanted.result()

    def cancel(self) -> list["asyncio.Task[None]"]:
        """Those that have not ended."""
        left = [task for task in self._tasks if not task.done()]
        for task in left:
            task.cancel()
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()  # marks it as read: another one's failure is the one that is told
        return left


@asynccontextmanager
async def arriving(work: Sequence[Coroutine[Any, Any, None]]) -> AsyncIterator[Arriving]:
    """All of it has ended when the block is left, whichever way."""
    pieces = Arriving(work)
    try:
        yield pieces
    except GeneratorExit:
        raise
    except BaseException:
        left = pieces.cancel()
        if left:
            await asyncio.wait(left)
            pieces.cancel()
        raise
