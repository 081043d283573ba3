"""The only file that asks the operating system for time, randomness, threads and background tasks.

Production code gets a `World` by constructor. `OsWorld` is the real one; `testing.sim.world` is the simulator's, under
which the same code runs in virtual time from one seed.
"""

import asyncio
import os
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class World(Protocol):
    """All that production code sees of the outside apart from the store, the sandbox and the host's network."""

    @property
    def random(self) -> random.Random:
        """The process's random stream (ids, jitter)."""

    def now(self) -> float:
        """Wall clock, epoch seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back; for durations and deadlines."""

    async def sleep(self, seconds: float) -> None: ...

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        """Run in the background. An exception that escapes ends the process: a loop that died silently is a bug."""

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        """Run a blocking function on the lane's threads (one, unless the lane was given more)."""

    def die(self, reason: str) -> None:
        """End the process now, without clean-up: what is durable decides what happens next."""


class _PooledSystemRandom(random.SystemRandom):
    """The kernel's randomness, read in blocks: a launch draws a dozen ids, and each would be a system call.

    Every byte is used once. The lock keeps two threads from taking the same ones; a process that forks makes its World
    after the fork, so a block is never shared.
    """

    _BLOCK = 4096

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._block = b""
        self._used = 0

    def getrandbits(self, k: int, /) -> int:
        if not 0 < k <= 1024:
            return super().getrandbits(k)
        size = (k + 7) // 8
        with self._lock:
            if self._used + size > len(self._block):
                self._block, self._used = os.urandom(self._BLOCK), 0
            drawn = self._block[self._used : self._used + size]
            self._used += size
        return int.from_bytes(drawn, "big") >> (size * 8 - k)


# Not a world's own: asyncio holds tasks weakly, and the loops of a world that nobody holds any more would be collected
# before they are cancelled, which ends them with an error, and with them the process.
_SPAWNED: set[asyncio.Task[Any]] = set()


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """What `work` gives. Raises TimeoutError after `seconds`; None: it may take for ever. Not `asyncio.wait_for`.

    Python 3.11's loses a cancellation that meets the result: the cancelled goes on, and who waits for its end hangs.
    Here the cancellation wins; also against a result of the same moment, which is lost then, as it is when the time is
    up at that moment. So `work` waits for what stays (an event, a shielded future) or what may be asked for again.
    """
    async with asyncio.timeout(seconds):
        return await work


def held(serve: Serve) -> Serve:
    """The same, for `asyncio.start_server`: a connection's task is held until it ends.

    Loops hold nothing but what waits for an event of theirs. A client that has said its last word and listens is none:
    with uvloop, the task that works at its answer would be taken for garbage.
    """

    async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is served in a task of its own"
        _SPAWNED.add(task)
        try:
            await serve(reader, writer)
        finally:
            _SPAWNED.discard(task)

    return serving


class OsWorld:
    """The real world. `lanes` gives the threads of lanes that have more than one."""

    def __init__(self, lanes: dict[str, int] | None = None) -> None:
        self.random: random.Random = _PooledSystemRandom()
        self._widths = dict(lanes or {})
        self._executors: dict[str, ThreadPoolExecutor] = {}

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        _SPAWNED.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        _SPAWNED.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            sys.excepthook(type(error), error, error.__traceback__)
            self.die(f"background task {task.get_name()} failed: {error!r}")

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        executor = self._executors.get(lane)
        if executor is None:
            executor = ThreadPoolExecutor(self._widths.get(lane, 1), thread_name_prefix=lane)
            self._executors[lane] = executor
        return await asyncio.get_running_loop().run_in_executor(executor, function, *args)

    def die(self, reason: str) -> None:
        os.write(2, f"neargate: fatal: {reason}\n".encode())
        os._exit(70)
