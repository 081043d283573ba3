"""One run: the loop, its processes, their machines' weather, and what has gone wrong so far.

A *program* is what a supervisor keeps running: a name, how a process of it begins, and what its death does to the
outside (its disk loses open transactions, its connections end). Invariant: all randomness comes from streams that are
named after what they decide, so that taking a fault away disturbs the rest as little as possible.
"""

import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from .loop import LoopFailure, Owner, SimLoop
from .world import Process, SimWorld, Weather


class Program(Struct, frozen=True, kw_only=True):
    """`begin` starts a process's work, inside it. `died` is told of each death (from outside, after it)."""

    name: str
    begin: Callable[[SimWorld], None]
    died: Callable[[Process], None]


class Sim:
    """`log` receives a line for each thing worth knowing when a seed is read by a person."""

    def __init__(self, seed: str, *, any_order: bool = False, log: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.failure: str | None = None
        self.loop = SimLoop(  # type: ignore[abstract]  # sockets, signals and subprocesses do not exist here
            self.stream("loop"), any_order=any_order, after_step=self._stepped, problem=self._problem
        )
        self.living: dict[str, SimWorld] = {}
        self.weather: Weather
        self.restart_after_s: dict[str, float] = {}
        self.coverage: dict[str, int] = {}
        self.deaths: list[Process] = []  # kept: a dead process that were collected would run its `finally` blocks
        self.expected_deaths = 0  # of processes that were made to end themselves by a fault
        self._programs: dict[str, Program] = {}
        self._incarnations: dict[str, int] = {}
        self._skews: dict[str, tuple[float, float]] = {}
        self._processes = 0
        self._retired: set[str] = set()
        self._log = log

    # -- streams, time, talk

    def stream(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 the same numbers from the same seed

    @property
    def now(self) -> float:
        return self.loop.time()

    def say(self, who: str, what: str) -> None:
        if self._log is not None:
            self._log(f"{self.now:12.6f} {who:<12} {what}")

    def count(self, what: str) -> None:
        self.coverage[what] = self.coverage.get(what, 0) + 1

    def fail(self, kind: str, text: str) -> None:
        """The first failure counts. `kind` is a word; shrinking looks for the same one."""
        if self.failure is None:
            self.failure = f"{kind}: {text}"
            self.say("FAILURE", self.failure)

    def at(self, delay_s: float, act: Callable[[], None]) -> None:
        """The simulator's own timer, outside all processes."""
        self.loop.call_later(delay_s, act, context=self.loop.outside.context)

    # -- running

    def run(self, until_s: float, is_over: Callable[[], bool] | None = None) -> None:
        """Up to that virtual time; ends early with the first failure, or when `is_over`."""
        try:
            self.loop.run(until_s, lambda: self.failure is not None or (is_over is not None and is_over()))
        except LoopFailure as failure:
            self.fail("loop", str(failure))

    def add(self, program: Program) -> None:
        self._programs[program.name] = program
        self.boot(program.name)

    def boot(self, name: str) -> None:
        """The supervisor starts the program, unless it runs."""
        if name in self.living or name in self._retired:
            return
        incarnation = self._incarnations[name] = self._incarnations.get(name, 0) + 1
        self._processes += 1
        process = Process(name, self._processes, incarnation, self.loop)
        world = SimWorld(
            process,
            self.stream(f"process/{name}/{incarnation}"),
            self.weather,
            failed=self._task_failed,
            died=self._ended_itself,
        )
        world.skew_s, world.rate = self._skews.get(name, (0.0, 1.0))
        self.living[name] = world
        self.say(name, f"starts, number {incarnation}")
        process.run(self._programs[name].begin, world)

    def kill(self, name: str, restart_after_s: float, why: str) -> None:
        """kill -9 now; the supervisor starts it again later."""
        world = self.living.get(name)
        if world is None:
            return
        self._end(world.process, restart_after_s, why)

    def hold(self, name: str) -> None:
        """Nobody starts this program again until `release`: its machine is off."""
        self._retired.add(name)

    def release(self, name: str) -> None:
        self._retired.discard(name)
        if name in self._programs:
            self.boot(name)

    def doom(self, name: str, *, steps: int | None = None, effects: int | None = None, restart_after_s: float) -> None:
        """kill -9 after that many more steps, or at that effect from now (it and all later ones do not happen)."""
        world = self.living.get(name)
        if world is None:
            return
        process = world.process
        self.restart_after_s[name] = restart_after_s
        if steps is not None:
            process.kill_at_step = process.steps + steps
        if effects is not None:
            process.kill_at_effect = process.effects + effects

    def pause(self, name: str, duration_s: float) -> None:
        world = self.living.get(name)
        if world is None:
            return
        self.say(name, f"is paused for {duration_s:.3f} s")
        process = world.process
        self.loop.set_paused(process, True)
        self.at(duration_s, lambda: self.loop.set_paused(process, False))

    def set_clock(self, name: str, skew_s: float, rate: float) -> None:
        """Of a machine. The wall clock is set at once; the speed is that of its later processes."""
        self._skews[name] = (skew_s, rate)
        world = self.living.get(name)
        if world is not None:
            world.skew_s = skew_s

    def clock_was_set(self, name: str) -> bool:
        """Whether that machine's clock has ever been wrong."""
        return name in self._skews

    # -- inside

    def _stepped(self, owner: Owner) -> None:
        if not isinstance(owner, Process) or owner.is_dead:
            return
        if owner.is_doomed or (owner.kill_at_step is not None and owner.steps >= owner.kill_at_step):
            where = f"at effect {owner.effects}" if owner.is_doomed else f"at step {owner.steps}"
            self._end(owner, self.restart_after_s.pop(owner.name, 0.5), where)

    def _end(self, process: Process, restart_after_s: float, why: str) -> None:
        if process.is_dead:
            return
        self.say(process.name, f"is killed: {why}")
        self.count("kills")
        self.loop.bury(process)
        self.deaths.append(process)
        del self.living[process.name]
        self._programs[process.name].died(process)
        self.at(restart_after_s, lambda: self.boot(process.name))

    def _ended_itself(self, process: Process, reason: str) -> None:
        self.say(process.name, f"ends itself: {reason}")
        self.count("ended-itself")
        if self.expected_deaths > 0:
            self.expected_deaths -= 1
            return
        self.fail("died", f"{process.name} ended itself: {reason}")

    def _task_failed(self, process: Process, name: str, error: BaseException) -> None:
        if not process.is_dead:
            self.fail("exception", f"{process.name}: background task {name}: {error!r}{_origin(error)}")

    def _problem(self, owner: Owner | None, context: dict[str, Any]) -> None:
        """asyncio's complaints: an exception in a callback, or one that nobody looked at."""
        if owner is not None and owner.is_dead:
            return
        error = context.get("exception")
        who = owner.name if owner is not None else "nobody"
        self.fail("exception", f"{who}: {context.get('message')}: {error!r}{_origin(error)}")


def _origin(error: BaseException | None) -> str:
    """The innermost line, which is what a reader wants first."""
    trace = error.__traceback__ if error is not None else None
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f" in {code.co_name} ({code.co_filename.rpartition('neargate/')[2]}:{trace.tb_lineno})"
