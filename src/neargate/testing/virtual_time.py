"""Virtual time for unit tests of one process: a loop that jumps to its next timer, and a `World` on it.

`VirtualWorld.kill` is kill -9: from then on no effect of that world's coroutines happens. They stay parked at their
next effect, so that no `finally` of the dead runs before the test is over.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .fake_faults import a_moment

T = TypeVar("T")
EPOCH = 1_750_000_000.0


class _JumpingSelector(selectors.DefaultSelector):
    """Where a loop would wait for its next timer, time jumps there."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("nothing is left to happen: the test waits for ever")
        self.loop.elapsed += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self.elapsed = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.elapsed


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class VirtualWorld:
    """Blocking functions run at once, in the loop's thread. Failures of background tasks are kept in `failures`."""

    def __init__(self, seed: int = 1) -> None:
        self.random: random.Random = random.Random(seed)  # noqa: S311  # a test wants the same numbers again
        self.failures: list[BaseException] = []
        self.is_dead = False
        self._tasks: set[asyncio.Task[Any]] = set()

    def now(self) -> float:
        return EPOCH + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await self.fence()
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, over)
        try:
            await over
        finally:
            timer.cancel()
        await self.fence()

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        assert lane, "a lane has a name"
        await self.fence()
        await a_moment()
        await self.fence()
        result = function(*args)
        await a_moment()
        await self.fence()
        return result

    def die(self, reason: str) -> None:
        self.failures.append(RuntimeError(reason))
        self.kill()

    def kill(self) -> None:
        self.is_dead = True

    async def fence(self) -> None:
        """The dead do nothing more."""
        if self.is_dead:
            await asyncio.get_running_loop().create_future()

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.is_dead:
            error = task.exception()
            assert error is not None
            self.failures.append(error)


def _wake(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


class Fenced:
    """A fake as one process sees it: once that process was killed, its calls neither take effect nor return."""

    def __init__(self, inner: Any, world: VirtualWorld) -> None:
        self._inner = inner
        self._world = world

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value) or name in {"task_path", "exits", "faults"}:
            return value

        async def call(*args: Any, **named: Any) -> Any:
            await self._world.fence()
            result = await value(*args, **named)
            await self._world.fence()
            return result

        return call
