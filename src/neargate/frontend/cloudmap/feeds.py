"""What one listener has not heard yet: ids, each at most once, so that a slow one is bounded by how many there are."""

import asyncio
from collections.abc import AsyncIterator


class Feed(AsyncIterator[str]):
    """One of `feeds`, whose owner tells them all. Ends with `aclose`."""

    def __init__(self, feeds: "list[Feed]") -> None:
        self._feeds = feeds
        self._unread: dict[str, None] = {}
        self._some = asyncio.Event()
        feeds.append(self)

    def tell(self, name: str) -> None:
        self._unread[name] = None
        self._some.set()

    async def __anext__(self) -> str:
        while not self._unread:
            self._some.clear()
            await self._some.wait()
        name = next(iter(self._unread))
        del self._unread[name]
        return name

    async def aclose(self) -> None:
        if self in self._feeds:
            self._feeds.remove(self)
