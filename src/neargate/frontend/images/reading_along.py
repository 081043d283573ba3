"""A layer that somebody reads while it comes from another registry: passed on a chunk at a time, to many at once.

Owns what is held for whom. Invariants: the last part is passed on only when the whole is stored, so that nobody gets a
whole layer that is not what was promised; who joins late or reads too slowly is told to wait or cut, and holds nobody.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from ...model.knobs import Knobs
from ...world import World
from .errors import BackendAway


class Reader:
    """Implements Answered. `stored` is over when the layer is here, or will not be."""

    status = 200

    def __init__(self, digest: str, size: int, stored: "asyncio.Future[None]") -> None:
        self.headers = {
            "content-length": str(size),
            "content-type": "application/octet-stream",
            "docker-content-digest": digest,
        }
        self.is_lost = False
        self.held_bytes = 0
        self.stalled_s = 0.0
        self.taken = asyncio.Event()
        self._stored = stored
        self._held: deque[bytes] = deque()
        self._came = asyncio.Event()
        stored.add_done_callback(lambda _: self._came.set())

    def give(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self.held_bytes += len(chunk)
        self._came.set()

    def lose(self) -> None:
        self.is_lost = True
        self._came.set()

    async def begins(self) -> bool:
        """Whether there is something to pass on before the whole is stored. Raises what spoke against the layer."""
        while len(self._held) < 2 and not self._stored.done():
            self._came.clear()
            await self._came.wait()
        if self._stored.done():
            self._stored.result()
            return False
        return True

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises BackendAway when it was too slow, and what spoke against the layer."""
        while True:
            if self.is_lost:
                raise BackendAway
            if self._stored.done():
                self._stored.result()
                while self._held:
                    yield self._held.popleft()
                return
            if len(self._held) < 2:
                self._came.clear()
                await self._came.wait()
                continue
            chunk = self._held.popleft()
            self.held_bytes -= len(chunk)
            self.taken.set()
            yield chunk

    async def body(self, bound: int) -> bytes:
        del bound
        raise BackendAway  # nobody holds a layer whole


class Handout:
    """One layer's readers; its first parts are kept for who comes a moment later."""

    def __init__(self, world: World, knobs: Knobs) -> None:
        self._world = world
        self._knobs = knobs
        self._first: list[bytes] | None = []  # None: too late to join
        self._first_bytes = 0
        self._readers: list[Reader] = []

    def join(self, digest: str, size: int, stored: "asyncio.Future[None]") -> Reader | None:
        if self._first is None:
            return None
        reader = Reader(digest, size, stored)
        for chunk in self._first:
            reader.give(chunk)
        self._readers.append(reader)
        return reader

    def leave(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers.remove(reader)
        reader.taken.set()

    async def pass_on(self, chunk: bytes) -> None:
        if self._first is not None:
            self._first_bytes += len(chunk)
            self._first = None if self._first_bytes > self._knobs.image_read_along_bytes else [*self._first, chunk]
        for reader in tuple(self._readers):
            await self._wait_for(reader)
            if reader.is_lost:
                self.leave(reader)
            else:
                reader.give(chunk)

    async def _wait_for(self, reader: Reader) -> None:
        """Each has some seconds altogether for which it may hold up the others."""
        began = self._world.monotonic()
        try:
            async with asyncio.timeout(max(self._knobs.image_read_along_stall_s - reader.stalled_s, 0)):
                while reader.held_bytes > self._knobs.image_read_along_bytes and reader in self._readers:
                    reader.taken.clear()
                    await reader.taken.wait()
        except TimeoutError:
            reader.lose()
        reader.stalled_s += self._world.monotonic() - began
