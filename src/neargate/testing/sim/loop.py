"""An event loop in virtual time that runs several simulated processes in a seeded order.

It owns time, the ready queues and the timers; it must not know what a process is for. Invariants: a handle belongs to
the process whose context it was made in; inside a process handles run first in, first out, as asyncio promises (or,
when asked, in any order); nothing of a dead owner ever runs again, and nothing of it is ever collected: it lies in its
grave.
"""

import asyncio
import heapq
import random
import struct
import zlib
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
_STEPS_PER_INSTANT_MAX = 200_000
_TASKS_KEPT = 1024
_stamp = struct.Struct("<dI").pack


class LoopFailure(Exception):
    """The program under test did what no program may do: it is busy without end, or asked for a thread."""


class Owner:
    """What the loop knows of one process: its work, and whether it is alive, paused or about to be killed."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.is_dead = False
        self.is_paused = False
        self.steps = 0
        self.kill_at_step: int | None = None
        self.ready: deque[asyncio.Handle] = deque()
        self.grave: list[asyncio.Handle] = []
        self.context = copy_context()
        self.context.run(OWNER.set, self)
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_checked_at = _TASKS_KEPT

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """A task that is dropped would be collected, and a collected coroutine runs its `finally`: no kill does."""
        self._tasks.append(task)
        if len(self._tasks) > self._tasks_checked_at:
            self._tasks = [item for item in self._tasks if not item.done()]
            self._tasks_checked_at = 2 * len(self._tasks) + _TASKS_KEPT


OWNER: ContextVar[Owner | None] = ContextVar("simulated_process", default=None)


class SimTask(asyncio.Task[Any]):
    """A task that hashes by number: asyncio keeps tasks in sets, whose order would otherwise be that of addresses."""

    def __init__(
        self,
        coroutine: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        loop: "SimLoop",
        name: str | None,
        context: Context | None,
        number: int,
    ) -> None:
        self._number = number  # before asyncio puts the task into its own set
        super().__init__(coroutine, loop=loop, name=name, context=context)

    def __hash__(self) -> int:
        return self._number


class SimLoop(asyncio.AbstractEventLoop):
    """`after_step` is called with the owner of each step once it has run; `problem` takes what asyncio complains of."""

    def __init__(
        self,
        rng: random.Random,
        *,
        any_order: bool,
        after_step: Callable[[Owner], None],
        problem: Callable[[Owner | None, dict[str, Any]], None],
    ) -> None:
        self.digest = 0
        self.steps = 0
        self.outside = Owner("simulator", 0)
        self._random = rng.random
        self._any_order = any_order
        self._after_step = after_step
        self._problem = problem
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle, Owner]] = []
        self._count = 0
        self._tasks = 0
        self._instant_steps = 0
        self._runnable: list[Owner] = []
        self._owner: Owner | None = None

    # -- what asyncio asks

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        owner, context = self._owner_of(context)
        handle = asyncio.Handle(callback, args, self, context)
        self._put(owner, handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        owner, context = self._owner_of(context)
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (max(when, self._now), self._count, handle, owner))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        owner, _ = self._owner_of(context)
        self._tasks += 1
        task = SimTask(coro, loop=self, name=name, context=context, number=self._tasks)
        owner.keep(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._problem(self._owner, context)

    def run_in_executor(self, *_: Any) -> Any:  # type: ignore[override]  # whatever the arguments, it raises
        raise LoopFailure("a thread was asked for; only world.offload may do that")

    def call_soon_threadsafe(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]  # as above
        raise LoopFailure("another thread was expected; there is none in a simulated process")

    async def create_server(self, *_: Any, sock: Any = None, **__: Any) -> Any:
        """A listener to which nobody comes: what is behind it is tested with real sockets."""
        return sock

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]  # whatever the arguments, nothing is done
        """As above."""

    def remove_reader(self, *_: Any) -> bool:
        """As above."""
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Nothing: a cancelled timer is dropped when its time comes."""

    # -- what the simulator does

    def run(self, until: float, is_over: Callable[[], bool]) -> None:
        """Step by step until virtual time `until`, or until `is_over`. Raises LoopFailure."""
        asyncio._set_running_loop(self)
        try:
            while not is_over():
                if self._runnable:
                    self._step()
                elif not self._advance(until):
                    self._now = until
                    return
        finally:
            asyncio._set_running_loop(None)

    def bury(self, owner: Owner) -> None:
        """From now on nothing of this owner runs."""
        owner.is_dead = True
        owner.grave.extend(owner.ready)
        owner.ready.clear()
        if owner in self._runnable:
            self._runnable.remove(owner)

    def set_paused(self, owner: Owner, paused: bool) -> None:
        """SIGSTOP and SIGCONT: messages and timers pile up meanwhile."""
        if owner.is_dead or owner.is_paused is paused:
            return
        owner.is_paused = paused
        if paused and owner.ready:
            self._runnable.remove(owner)
        elif owner.ready:
            self._runnable.append(owner)

    def note(self, data: bytes) -> None:
        """What happened becomes part of the run's digest."""
        self.digest = zlib.crc32(data, self.digest)

    def _owner_of(self, context: Context | None) -> tuple[Owner, Context]:
        if context is None:
            context = copy_context()
        owner = context.get(OWNER)
        return (self.outside if owner is None else owner), context

    def _put(self, owner: Owner, handle: asyncio.Handle) -> None:
        if owner.is_dead:
            owner.grave.append(handle)
            return
        if not owner.ready and not owner.is_paused:
            self._runnable.append(owner)
        owner.ready.append(handle)

    def _step(self) -> None:
        runnable = self._runnable
        place = int(self._random() * len(runnable))
        owner = runnable[place]
        if self._any_order and len(owner.ready) > 1:
            owner.ready.rotate(-int(self._random() * len(owner.ready)))
        handle = owner.ready.popleft()
        if not owner.ready:
            runnable[place] = runnable[-1]
            runnable.pop()
        if handle.cancelled():
            return
        self.digest = zlib.crc32(_stamp(self._now, owner.number), self.digest)
        self.steps += 1
        owner.steps += 1
        self._instant_steps += 1
        if self._instant_steps > _STEPS_PER_INSTANT_MAX:
            raise LoopFailure(f"time stands still: {owner.name} is busy without end")
        self._owner = owner
        handle._run()
        self._owner = None
        self._after_step(owner)

    def _advance(self, until: float) -> bool:
        """To the next timer and all of its instant. False when there is none up to `until`."""
        timers = self._timers
        while timers:
            when, _, handle, owner = timers[0]
            if when > until:
                return False
            heapq.heappop(timers)
            if handle.cancelled():
                continue
            self._now = when
            self._instant_steps = 0
            self._put(owner, handle)
            while timers and timers[0][0] == when:
                _, _, handle, owner = heapq.heappop(timers)
                if not handle.cancelled():
                    self._put(owner, handle)
            return True
        return False
