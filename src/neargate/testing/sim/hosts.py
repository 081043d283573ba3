"""Simulated machines with an agent each: the light one (a callback state machine) and the real agent over fakes.

A machine outlives its agent: the light one's tasks and the fakes' containers, interfaces and disks stay when the
process is killed. Owns the agent's side of the simulated link. Must not know the server.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...agent.agent import Agent
from ...agent.link_client import Closed
from ...agent.points import Point
from ...agent.simulated import HostMemory, SimulatedHost, SimulatedTimes, Timers
from ...model.capacity import HostFacts
from ...model.knobs import Knobs
from ...model.launch import TaskLaunch
from ..fake_hostnet import FakeHost
from ..fake_sandbox import SIGKILL, FakeSandbox, Program
from .checkers import Checkers
from .net import End, Gone, Net
from .sim import Program as Supervised
from .sim import Sim
from .world import EPOCH, Process, SimWorld

IMAGE = "registry.example/web:1"
# What the containers of the workload's definitions do: one obeys, one ignores SIGTERM, one ends by itself.
PROGRAMS = {
    "web": Program(output=b"first\nsecond\n"),
    "side": Program(output=b"beside\n", term_exit_code=None),
    "job": Program(output=b"done\n"),
}
JOB_EXIT_CODE = 3
_JOB_LIVES_S = (0.0, 0.05, 0.5, 5.0)
_NOT_ENDED = -1
_SEAM_VALUES = frozenset({"exits", "task_path", "faults"})


class _LoopTimers(Timers):
    """The fleet's timer heap, replaced by the loop's own: a timer belongs to the process that set it."""

    def __init__(self, world: SimWorld) -> None:
        super().__init__(world)
        self._loop = world.process.loop

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._loop.call_later(delay_s, callback)


class LightMachine:
    """A host whose agent starts nothing. `memory` is what survives the agent's kill."""

    def __init__(self, sim: Sim, net: Net, checkers: Checkers, facts: HostFacts, knobs: Knobs) -> None:
        self.facts = facts
        self.memory = HostMemory()
        self._sim = sim
        self._net = net
        self._checkers = checkers
        self._knobs = knobs

    def program(self) -> Supervised:
        return Supervised(name=self.facts.host_id, begin=self._begin, died=self._net.died)

    def problems(self, live: frozenset[str]) -> list[str]:
        """What is wrong with this host once everything should have come to rest; `live`: task ids the cell has here."""
        running = {task_id for task_id, task in self.memory.tasks.items() if task.status != "STOPPED"}
        name = self.facts.host_id
        return [f"{name} runs {task_id} without a record" for task_id in sorted(running - live)] + [
            f"{name} does not run {task_id}" for task_id in sorted(live - running)
        ]

    def _began(self, launch: TaskLaunch) -> None:
        for violation in self.memory.violations:
            self._sim.fail("order", violation)
        self._checkers.began(self.facts.host_id, launch)

    def _begin(self, world: SimWorld) -> None:
        host_id = self.facts.host_id
        host = SimulatedHost(
            world,
            self.facts,
            _LoopTimers(world),
            self._knobs,
            memory=self.memory,
            times=SimulatedTimes(run_s=2.0),
            began=self._began,
            ended=lambda task_id: self._checkers.ended(host_id, task_id),
        )
        _LightLink(world, self._net, host, self._knobs).dial()


class _LightLink:
    """Keeps a light agent connected, in callbacks."""

    def __init__(self, world: SimWorld, net: Net, host: SimulatedHost, knobs: Knobs) -> None:
        self._world = world
        self._net = net
        self._host = host
        self._knobs = knobs
        self._end: End | None = None

    def dial(self) -> None:
        self._net.dial(self._world, "/link", self._opened, self._dial_later)

    def _dial_later(self) -> None:
        pause_s = self._knobs.link_reconnect_min_s * (0.5 + self._world.random.random())
        self._world.process.loop.call_later(pause_s, self.dial)

    def _opened(self, end: End) -> None:
        if end.is_closed:
            self._dial_later()
            return
        self._end = end
        end.on_frame, end.on_close = self._host.received, self._lost
        self._host.connected(self._send, lambda _: self._hang_up_later(end))

    def _send(self, data: bytes) -> None:
        try:
            if self._end is not None:
                self._end.send(data)
        except Gone:
            return  # the session says it again on the next connection

    def _hang_up_later(self, end: End) -> None:
        self._world.process.loop.call_soon(self._hang_up, end)

    def _hang_up(self, end: End) -> None:
        if not end.is_closed:
            end.close()
            self._lost()

    def _lost(self) -> None:
        self._end = None
        self._host.disconnected()
        self._dial_later()


class _Seam:
    """A fake as one process sees it: fenced before and after each call, so that a kill may fall on either side."""

    def __init__(self, inner: object, process: Process, watch: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._inner = inner
        self._process = process
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name in _SEAM_VALUES:
            return value

        async def call(*args: Any, **named: Any) -> Any:
            if not self._process.effect(name):
                await self._process.park()
            result = await value(*args, **named)
            self._watch(name, args)
            if not self._process.effect(name):
                await self._process.park()
            return result

        return call


class _Transport:
    """The agent's `Transport` over the simulated network."""

    def __init__(self, world: SimWorld, net: Net) -> None:
        self._world = world
        self._net = net

    async def connect(self, path: str) -> "_Connection":
        outcome: asyncio.Future[End | None] = asyncio.get_running_loop().create_future()
        self._net.dial(self._world, path, outcome.set_result, lambda: outcome.set_result(None))
        end = await outcome
        if end is None:
            raise Closed("nobody listens")
        return _Connection(end)


class _Connection:
    def __init__(self, end: End) -> None:
        self._end = end

    async def send(self, data: bytes) -> None:
        try:
            self._end.send(data)
        except Gone:
            raise Closed("the connection is gone") from None

    async def receive(self) -> bytes:
        try:
            return await self._end.receive()
        except Gone:
            raise Closed("the connection is gone") from None

    async def close(self) -> None:
        self._end.close()


def _unwatched(_: Point) -> None:
    """Seeds kill at steps and effects; named points are killed by tests of their own."""


class RealMachine:
    """A host with the real agent over fakes of engine, network, disks and cgroups.

    `on_point` is told of each point of a launch or stop that the living agent reaches.
    """

    def __init__(self, sim: Sim, net: Net, checkers: Checkers, facts: HostFacts, knobs: Knobs, root: Path) -> None:
        self.facts = facts
        self.host = FakeHost(root=root)
        self.sandbox = FakeSandbox(lambda: EPOCH + sim.now)
        self.on_point: Callable[[Point], None] = _unwatched
        self._sim = sim
        self._net = net
        self._checkers = checkers
        self._knobs = knobs
        self._root = root
        self._started: dict[tuple[str, str], str] = {}
        self._lives = sim.stream(f"lives/{facts.host_id}")
        self.sandbox.add_image(IMAGE, command=("/bin/web",))
        self.sandbox.programs = dict(PROGRAMS)

    def exit_problems(self, cell: Mapping[str, Mapping[str, int | None]]) -> list[str]:
        """`cell`: task id -> container -> exit code, of the tasks that are stopped."""
        found = []
        for task_id, name in self._started:
            told = cell.get(task_id, {}).get(name, _NOT_ENDED)
            program = PROGRAMS[name]
            code = 128 + SIGKILL if program.term_exit_code is None else program.term_exit_code
            possible = (code, JOB_EXIT_CODE) if name == "job" else (code,)  # a job may be stopped before it is done
            if told not in (_NOT_ENDED, *possible):
                found.append(f"{name} of {task_id} is said to have ended with {told}, not {code}")
        return found

    @property
    def outputs(self) -> dict[str, bytes]:
        """Log stream -> all that its container has written."""
        return {f"sim/{name}/{task_id}": PROGRAMS[name].output for task_id, name in self._started}

    def restart_engine(self, away_s: float) -> None:
        """kill -9 of the engine: containers run on, calls fail meanwhile, exits are nobody's events."""
        self.sandbox.is_down = True
        self._sim.at(away_s, lambda: setattr(self.sandbox, "is_down", False))

    def program(self) -> Supervised:
        return Supervised(name=self.facts.host_id, begin=self._begin, died=self._net.died)

    def problems(self, live: frozenset[str]) -> list[str]:
        name = self.facts.host_id
        held = [(text, text.partition(" ")[2]) for text in self.host.leftovers()]
        held += [(f"container {key}", key.rpartition("-")[0]) for key in self.sandbox.containers]
        held += [(f"log file {path.name}", path.parent.name) for path in (self._root / "agent/logs").glob("*/*")]
        running = {key.rpartition("-")[0] for key, item in self.sandbox.containers.items() if item.status == "running"}
        return [f"{name} holds {what} of a task that is over" for what, task_id in held if task_id not in live] + [
            f"{name} runs nothing of {task_id}" for task_id in sorted(live - running)
        ]

    def _begin(self, world: SimWorld) -> None:
        process = world.process

        def fenced(inner: object) -> Any:
            return _Seam(inner, process, self._saw)

        agent = Agent(
            world,
            facts=self.facts,
            socket_path="",
            sandbox=fenced(self.sandbox),
            network=fenced(self.host.network),
            disks=fenced(self.host.disks),
            cgroups=fenced(self.host.cgroups),
            state_dir=self._root / "agent",
            endpoint="http://127.0.0.1:4566",
            knobs=self._knobs,
            transport=_Transport(world, self._net),
            reached=lambda point, task_id: self._reached(world, point, task_id),
        )
        world.spawn(agent.run(), "agent")

    def _reached(self, world: SimWorld, point: Point, task_id: str) -> None:
        if world.process.is_dead or world.process.is_doomed:
            return
        self._sim.say(self.facts.host_id, f"reached {point} of {task_id[:8]}")
        self._sim.count(f"point {point}")
        self.on_point(point)

    def _saw(self, call: str, args: tuple[Any, ...]) -> None:
        """An effect on this machine that a checker judges, whether the agent learns of it or not."""
        host_id = self.facts.host_id
        if call == "attach_eni":
            task_id, eni = args
            self._checkers.attached(host_id, task_id, eni)
        elif call == "detach_eni":
            self._checkers.ended(host_id, args[0])
        elif call == "start_container":
            self._saw_start(args[0])

    def _saw_start(self, runtime_id: str) -> None:
        container = self.sandbox.containers[runtime_id]
        task_id = runtime_id.rpartition("-")[0]
        first = self._started.setdefault((task_id, container.config.name), runtime_id)
        if first != runtime_id or container.starts > 1:
            self._sim.fail("doubled", f"container {container.config.name} of {task_id} was started twice")
        self._checkers.runs(self.facts.host_id, task_id)
        if container.config.name == "job":
            self._sim.at(self._lives.choice(_JOB_LIVES_S), lambda: self._end_job(runtime_id))

    def _end_job(self, runtime_id: str) -> None:
        """By itself, whoever is alive to see it."""
        if runtime_id in self.sandbox.containers:
            self.sandbox.end(runtime_id, JOB_EXIT_CODE)


Machine = LightMachine | RealMachine
