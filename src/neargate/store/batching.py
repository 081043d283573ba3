"""A lane that runs commands in batches: what arrives while a batch is under way makes the next one.

It owns the bounded queue and the waking of callers; it must not know what a command is. Invariant: commands run in the
order in which they were submitted, each exactly once, and a caller is answered only after its whole batch was applied.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from ..interfaces.store import Overloaded
from ..world import World

C = TypeVar("C")
R = TypeVar("R")


class StoreClosed(Exception):
    """The database was closed by its owner: a programmer's error in the order of shutting down."""


class BatchLane(Generic[C, R]):
    """`apply` does a batch elsewhere and returns one outcome per command; an exception as outcome is raised there.

    `failed` is told when `apply` itself raises: the outcome of the whole batch is unknown.
    """

    def __init__(
        self,
        world: World,
        lane: str,
        apply: Callable[[list[C]], Awaitable[Sequence[R | Exception]]],
        *,
        queue_max: int,
        batch_max: int,
        applied: Callable[[], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._world = world
        self._lane = lane
        self._apply = apply
        self._queue_max = queue_max
        self._batch_max = batch_max
        self._applied = applied
        self._failed = failed
        self._queue: deque[tuple[C, asyncio.Future[R]]] = deque()
        self._draining = False
        self._closed = False
        self._idle: asyncio.Future[None] | None = None

    async def submit(self, command: C) -> R:
        """Raises Overloaded when the queue is full; otherwise whatever became of the command."""
        if self._closed:
            raise StoreClosed(self._lane)
        if len(self._queue) >= self._queue_max:
            raise Overloaded(f"{self._lane}: {self._queue_max} commands are waiting")
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((command, future))
        if not self._draining:
            self._draining = True
            self._world.spawn(self._drain(), self._lane)
        return await future

    @property
    def waiting(self) -> int:
        """Commands that no batch has taken yet."""
        return len(self._queue)

    async def close(self) -> None:
        """Take nothing more and wait until what is queued was applied."""
        self._closed = True
        if self._draining:
            self._idle = self._idle or asyncio.get_running_loop().create_future()
            await self._idle

    async def _drain(self) -> None:
        while self._queue:
            batch = self._take()
            if not batch:
                continue
            try:
                outcomes = await self._apply([command for command, _ in batch])
            except Exception as error:
                # Nobody may be told success or failure. The owner decides; the callers of this batch stay unanswered.
                self._failed(error)
                return
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                if future.done():
                    continue  # the caller was cancelled while it waited
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            self._applied()
        self._draining = False
        if self._idle is not None:
            self._idle.set_result(None)

    def _take(self) -> list[tuple[C, "asyncio.Future[R]"]]:
        """The next batch, without those whose callers have gone: nothing was promised to them."""
        batch: list[tuple[C, asyncio.Future[R]]] = []
        while self._queue and len(batch) < self._batch_max:
            command, future = self._queue.popleft()
            if not future.done():
                batch.append((command, future))
        return batch
