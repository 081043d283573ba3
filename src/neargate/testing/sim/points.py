"""Every point, not luck: a small script of launches and stops, with a kill at each effect, step or named point.

Owns the script and the knobs under which recovery is quick. Must not judge: the checkers do.
"""

import gc

from msgspec import Struct
from msgspec.structs import replace

from ...agent.points import Point
from ...model.knobs import Knobs
from ...wire.shapes import Models
from .faults import Fault
from .hosts import RealMachine
from .region import SERVER
from .run import Run, SeedResult, Setting
from .scratch import scratch
from .workload import AGAIN, DEFINITIONS, Workload

BEGIN_S = 2.0  # virtual: the script begins, and kills are counted from here
_SHARED_S = BEGIN_S - 0.01
_STRIKE_S = 0.005  # after that, and before the script begins
_RESTART_S = 0.3
SEED = "points"
QUICK = Knobs(
    cpu_overcommit=1.0,
    reservation_sweep_age_s=1.0,
    reservation_sweep_period_s=0.5,
    release_retry_s=0.2,
    orders_lookaround_s=1.0,
    order_resend_s=0.5,
    report_resend_s=0.5,
    link_ping_period_s=1.0,
    link_silence_s=4.0,
    relist_period_s=1.0,
    host_check_period_s=2.0,
)


class Script(Workload):
    """Launches side by side, one that ends by itself, one that begins again, stops of a running and a starting task."""

    definitions = (*DEFINITIONS, AGAIN)

    async def _script(self) -> None:
        await self.world.sleep(BEGIN_S - self.world.process.loop.time())
        first = self.world.spawn(self.run_task("pair", family="web", count=2, sure=True), "pair")
        second = self.world.spawn(self.run_task("large", family="large", count=1, sure=True), "large")
        job = await self.run_task("job", family="job", count=1, sure=True)
        await self.run_task("again", family="again", count=1, sure=True)
        pair = await first
        await self.world.sleep(0.3)
        await self.stop_task(pair[0])
        await second
        for task_id in await self.run_task("brief", family="web", count=1, sure=True):
            await self.stop_task(task_id)
        for task_id in self.tasks:
            if task_id not in (*job, pair[0]):
                await self.stop_task(task_id)
        await self.describe(self.tasks)


class SpotScript(Workload):
    """On-demand tasks need the room of Spot tasks: of one, then of another, whose taker is stopped while it waits."""

    async def _script(self) -> None:
        await self.world.sleep(BEGIN_S - self.world.process.loop.time())
        await self.run_task("spare", family="web", count=2, sure=True, spot=True)
        await self.run_task("mine", family="web", count=1, sure=True)
        for task_id in await self.run_task("brief", family="web", count=1, sure=True):
            await self.stop_task(task_id)
        await self.run_task("late", family="web", count=1, sure=True, spot=True)
        await self.describe(self.tasks)


class Kill(Struct, frozen=True, kw_only=True):
    """Of `target`: at its nth effect or step after the script began."""

    target: str
    effect: int | None = None
    step: int | None = None


class Small:
    """The script with light hosts, one in each zone. Until it begins all runs are one: played once, and forked.

    `spot`: the other script, with one host that has room for two tasks.
    """

    def __init__(self, models: Models, *, spot: bool = False) -> None:
        self._models = models
        self._spot = spot
        self._begun: Run | None = None

    def begin(self) -> None:
        """In the process whose children play on. A whole run before it makes what is made at its first use."""
        _played_on(self._new(), None)
        self._begun = self._new()

    def play(self, kill: Kill | None) -> SeedResult:
        """Only ever in a child. Without a kill `coverage` counts the points there are."""
        return _played_on(self._begun or self._new(), kill)

    def _new(self) -> Run:
        gc.disable()
        setting = Setting(hosts=1, cpu_units=512, memory_mib=1024) if self._spot else Setting(hosts=3, cpu_units=4096)
        script = SpotScript if self._spot else Script
        run = Run(SEED, setting, knobs=QUICK, models=self._models, workload=script)
        return _started(run)


def small(models: Models, kill: Kill | None) -> SeedResult:
    """One run from its very beginning."""
    return Small(models).play(kill)


def _started(run: Run) -> Run:
    run.start()
    run.sim.run(_SHARED_S)
    return run


def _played_on(run: Run, kill: Kill | None) -> SeedResult:
    """From `_SHARED_S` to rest."""
    faults = () if kill is None else (_fault(kill),)
    run.injector.arm(faults)
    before: dict[str, tuple[int, int]] = {}
    run.sim.at(_STRIKE_S, lambda: before.update(_counts(run)))
    run.come_to_rest(BEGIN_S + 1)
    if kill is None:
        for name, (effects, steps) in _counts(run).items():
            run.sim.coverage[f"effects {name}"] = effects - before[name][0]
            run.sim.coverage[f"steps {name}"] = steps - before[name][1]
    return _result(run, faults)


def _fault(kill: Kill) -> Fault:
    kind, count = ("kill-effect", kill.effect) if kill.effect is not None else ("kill-step", kill.step)
    return Fault(at=_STRIKE_S, kind=kind, target=kill.target, count=count or 1, duration_s=_RESTART_S)


def _counts(run: Run) -> dict[str, tuple[int, int]]:
    return {
        name: (world.process.effects, world.process.steps)
        for name, world in run.sim.living.items()
        if name != "clients"
    }


class NamedKill(Struct, frozen=True, kw_only=True):
    """When the agent reaches `point` for the nth time, the targets (agent, server, engine) are killed.

    At once; with `delay_s` the server a little later, when it is at work on what the agent has said of it.
    """

    point: Point
    targets: tuple[str, ...]
    nth: int = 1
    delay_s: float = 0.0


def real(models: Models, kill: Kill | NamedKill | None) -> SeedResult:
    """The script with one real agent over fakes."""
    gc.disable()
    with scratch() as root:
        run = Run(
            SEED, Setting(hosts=1, real=1, cpu_units=4096), knobs=QUICK, models=models, root=root, workload=Script
        )
        if not isinstance(kill, NamedKill):
            return _played_on(_started(run), kill)
        reached = _arm(run, kill)
        result = _played_on(_started(run), None)
        if result.error is None and len(reached) < kill.nth:
            return replace(result, error=f"unreached: {kill.point} was reached {len(reached)} times")
        return result


def _arm(run: Run, kill: NamedKill) -> list[Point]:
    """A list that grows each time the point is reached."""
    machine = run.machines[0]
    assert isinstance(machine, RealMachine)
    reached: list[Point] = []

    def at_point(point: Point) -> None:
        if point is kill.point:
            reached.append(point)
            if len(reached) == kill.nth:
                _strike(run, machine, kill)

    machine.on_point = at_point
    return reached


def _strike(run: Run, machine: RealMachine, kill: NamedKill) -> None:
    """The agent dies inside its step: what it would still send in it is never sent."""
    if "engine" in kill.targets:
        machine.restart_engine(_RESTART_S)
    if SERVER in kill.targets:
        run.sim.at(kill.delay_s, lambda: run.sim.kill(SERVER, _RESTART_S, "at a named point"))
    if "agent" in kill.targets:
        run.sim.restart_after_s[machine.facts.host_id] = _RESTART_S
        run.sim.living[machine.facts.host_id].process.is_doomed = True


def _result(run: Run, faults: tuple[Fault, ...]) -> SeedResult:
    loop = run.sim.loop
    return SeedResult(
        seed=SEED,
        error=run.sim.failure,
        digest=loop.digest,
        steps=loop.steps,
        faults=faults,
        coverage=run.sim.coverage,
    )
