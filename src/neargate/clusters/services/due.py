"""Which services are to be looked at, and when: asked for once, however many reasons there are.

In memory only; a new process looks at all of them. Invariant: a service that was asked for while it is looked at is
looked at again; none is looked at by two at a time; what is kept grows with services, not with how often they are
asked for.
"""

import asyncio
from heapq import heapify, heappop, heappush

from ...world import World
from .tables import Key

_OUTDATED_MIN = 64


class Due:
    def __init__(self, world: World) -> None:
        self._world = world
        self._at: dict[Key, float] = {}  # monotonic
        self._heap: list[tuple[float, int, Key]] = []
        self._asked = 0
        self._busy: set[Key] = set()
        self._changed = asyncio.Event()

    def wake(self, key: Key, after_s: float = 0.0) -> None:
        """No later than that; an earlier time that was asked for stays."""
        at = self._world.monotonic() + max(after_s, 0.0)
        known = self._at.get(key)
        if known is not None and known <= at:
            return
        self._at[key] = at
        self._push(at, key)

    def wakes_in_s(self, key: Key) -> float | None:
        at = self._at.get(key)
        return None if at is None else max(at - self._world.monotonic(), 0.0)

    async def next(self) -> Key:
        """Waits for one that is due, which is then busy until `done`."""
        while True:
            self._changed.clear()
            wait_s = self._soonest()
            if wait_s is not None and wait_s <= 0:
                _, _, key = heappop(self._heap)
                del self._at[key]
                self._busy.add(key)
                return key
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: Key) -> None:
        self._busy.discard(key)
        at = self._at.get(key)
        if at is not None:
            self._push(at, key)
        self._changed.set()

    def _push(self, at: float, key: Key) -> None:
        """An entry whose service was looked at earlier stays until its time, which may be days off: now and then those
        are thrown away at once."""
        self._asked += 1
        heappush(self._heap, (at, self._asked, key))
        if len(self._heap) > 2 * len(self._at) + _OUTDATED_MIN:
            self._heap = [entry for entry in self._heap if self._at.get(entry[2]) == entry[0]]
            heapify(self._heap)
        self._changed.set()

    def _soonest(self) -> float | None:
        """In how many seconds the first is due that nobody looks at. What is busy comes back with `done`."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) != at or key in self._busy:
                heappop(self._heap)
                continue
            return at - self._world.monotonic()
        return None
