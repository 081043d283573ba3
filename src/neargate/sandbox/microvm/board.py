"""Exits of containers in machines, told to everybody who listens. Owns: that none is told twice to anybody."""

from collections.abc import AsyncIterator

from ...interfaces.sandbox import Exit
from ..exits import Subscriber


class ExitBoard:
    def __init__(self) -> None:
        self._told: set[str] = set()
        self._subscribers: list[Subscriber] = []

    def tell(self, exit_: Exit) -> None:
        """Of each run once."""
        if exit_.runtime_id in self._told:
            return
        self._told.add(exit_.runtime_id)
        for subscriber in self._subscribers:
            subscriber.put(exit_)

    def forget(self, runtime_id: str) -> None:
        """It was deleted, or it begins again."""
        self._told.discard(runtime_id)

    async def exits(self) -> AsyncIterator[Exit]:
        subscriber = Subscriber()
        self._subscribers.append(subscriber)
        try:
            while True:
                yield await subscriber.next()
        finally:
            self._subscribers.remove(subscriber)
