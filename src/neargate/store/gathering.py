"""Writes of one kind that come at the same time become the statements of one write.

Owns who waits and what a refusal means; must not know any table. Invariants: an entry is written whole or not at all;
one that is refused harms none of those it shared a write with: the group is then written again, each alone.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..interfaces.store import Refused, Statement, Store
from ..world import World

E = TypeVar("E")

_GROUP_MAX = 64
_Waiting = tuple[E, "asyncio.Future[None]"]


class GatheredWrites(Generic[E]):
    """`statements` makes the guarded statements of a whole group. `name` is the background task's."""

    def __init__(
        self, world: World, store: Store, *, name: str, statements: Callable[[Sequence[E]], list[Statement]]
    ) -> None:
        self._world = world
        self._store = store
        self._name = name
        self._statements = statements
        self._waiting: deque[_Waiting[E]] = deque()
        self._writing = False

    def submit(self, entry: E) -> "asyncio.Future[None]":
        """Done when the entry is durable; else it has what the store raised for it (Refused, Overloaded)."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if not self._writing:
            self._writing = True
            self._world.spawn(self._write_waiting(), self._name)
        return written

    async def _write_waiting(self) -> None:
        while self._waiting:
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP_MAX))]
            # A caller that is gone was promised nothing.
            await self._write_group([waiting for waiting in group if not waiting[1].done()])
        self._writing = False

    async def _write_group(self, group: Sequence[_Waiting[E]]) -> None:
        if not group:
            return
        outcome: Exception | None = None
        try:
            await self._store.write(self._statements([entry for entry, _ in group]))
        except Refused as refused:
            if len(group) > 1:
                await asyncio.gather(*(self._write_group([alone]) for alone in group))
                return
            outcome = refused
        except Exception as error:  # told to those who wait for it
            outcome = error
        for _, written in group:
            if written.done():
                continue
            if outcome is None:
                written.set_result(None)
            else:
                written.set_exception(outcome)
