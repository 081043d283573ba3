"""A simulated process and its `World`: one seeded stream, a clock of its own, blocking calls at one virtual instant.

A process is killed without a sound: its work goes to the grave, and whatever it still tries in the step that kills it
is dropped at the fence (`effect`). Invariant: every effect that leaves a process asks the fence first.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from .loop import OWNER, Owner, SimLoop

T = TypeVar("T")
EPOCH = 1_750_000_000.0
_TICK = 1e-6


class Lane(Struct):
    """One thread: calls happen in the order in which they were asked for."""

    last_at: float = 0.0
    last: asyncio.Future[None] | None = None


class Weather(Protocol):
    """What the simulator decides about one blocking call."""

    def latencies(self, process: "Process", lane: str) -> tuple[float, float]:
        """Seconds before and after the call."""

    def fails(self, process: "Process", lane: str, *, after: bool) -> Exception | None:
        """An error instead of the call, or (`after`) once it took effect."""


class Process(Owner):
    """One incarnation of a program."""

    def __init__(self, name: str, number: int, incarnation: int, loop: SimLoop) -> None:
        super().__init__(name, number)
        self.incarnation = incarnation
        self.loop = loop
        self.effects = 0
        self.dropped = 0
        self.kill_at_effect: int | None = None
        self.is_doomed = False  # parked when its present step ends; its effects are dropped already

    def effect(self, what: str) -> bool:
        """May this effect happen? The fence: asked before anything leaves the process."""
        if self.is_dead or self.is_doomed:
            self.dropped += 1
            return False
        self.effects += 1
        if self.kill_at_effect is not None and self.effects >= self.kill_at_effect:
            self.is_doomed = True
            self.dropped += 1
            return False
        self.loop.note(what.encode())
        return True

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call from outside as if from inside."""
        return self.context.copy().run(function, *args)

    async def park(self) -> None:
        """For those who met the fence: they wait for ever."""
        await self.loop.create_future()


class SimWorld:
    """Implements `World`. `skew_s` moves the wall clock alone; `rate` is the speed of the process's own clock."""

    def __init__(
        self,
        process: Process,
        rng: random.Random,
        weather: Weather,
        *,
        failed: Callable[[Process, str, BaseException], None],
        died: Callable[[Process, str], None],
    ) -> None:
        self.random: random.Random = rng
        self.process = process
        self.skew_s = 0.0
        self.rate = 1.0
        self._loop = process.loop
        self._weather = weather
        self._failed = failed
        self._died = died
        self._lanes: dict[str, Lane] = {}
        self._since = rng.random() * 1e5

    def now(self) -> float:
        return EPOCH + self._loop.time() * self.rate + self.skew_s

    def monotonic(self) -> float:
        return self._since + self._loop.time() * self.rate

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0) / self.rate)

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> "asyncio.Task[Any]":
        assert OWNER.get() is self.process, "a process spawns for itself alone"
        task = self._loop.create_task(coroutine, name=name)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(self.process, task.get_name(), error)

    async def offload(self, lane: str, function: Callable[..., T], *args: Any) -> T:
        """The call happens whole, at one instant, between two waits. A kill in the second: done, never answered."""
        process = self.process
        if not process.effect(lane):
            await process.park()
        before_s, after_s = self._weather.latencies(process, lane)
        state = self._lanes.setdefault(lane, Lane())
        state.last_at = max(self._loop.time() + before_s, state.last_at + _TICK)
        previous, mine = state.last, self._loop.create_future()
        state.last = mine
        try:
            await asyncio.sleep(state.last_at - self._loop.time())
            if previous is not None and not previous.done():
                await previous
            result = await self._happens(lane, function, args)
        finally:
            mine.set_result(None)  # the thread is free, also when the caller was cancelled
        error = self._weather.fails(process, lane, after=True)
        await asyncio.sleep(after_s)
        if error is not None:
            raise error
        return result

    async def _happens(self, lane: str, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        error = self._weather.fails(self.process, lane, after=False)
        if error is not None:
            raise error
        if not self.process.effect(lane):
            await self.process.park()
        result = function(*args)
        if not self.process.effect(lane):
            await self.process.park()
        return result

    def die(self, reason: str) -> None:
        """Nothing more leaves this process; it is parked when its step ends."""
        if not self.process.is_dead and not self.process.is_doomed:
            self.process.is_doomed = True
            self._died(self.process, reason)
