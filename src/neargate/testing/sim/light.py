"""Light machines: the agent is a callback state machine that starts nothing, so that a region of many is cheap.

A machine outlives its agent: its tasks stay when the process is killed. A reboot ends them all; their records stay, but
for the youngest, which had not reached the disk. Must not know the server.
"""

from collections.abc import Callable
from copy import deepcopy
from functools import partial

from msgspec.structs import replace

from ...agent.adopt import REBOOTED
from ...agent.simulated import HostMemory, SimulatedHost, SimulatedTask, SimulatedTimes, Timers
from ...model.capacity import HostFacts
from ...model.knobs import Knobs
from ...model.launch import TaskLaunch
from ...model.lifecycle import StopCode
from ...model.network import VpcPlan
from .checkers import Checkers
from .net import End, Gone, Net
from .sim import Program as Supervised
from .sim import Sim
from .world import EPOCH, SimWorld


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
        self._began_at: dict[str, float] = {}

    def program(self) -> Supervised:
        return Supervised(name=self.facts.host_id, begin=self._begin, died=self._net.died)

    def copied(self) -> Supervised:
        """An agent over a copy of this machine's data, elsewhere: whatever it is told to begin is begun twice."""
        name = f"{self.facts.host_id}-copy"
        memory = deepcopy(self.memory)

        def begin(world: SimWorld) -> None:
            began = partial(self._checkers.began, name)
            self._run(world, memory, began, lambda _: None, lambda _: None, lambda _: None)

        return Supervised(name=name, begin=begin, died=self._net.died)

    def rebooted(self, boot_id: str, lost_s: float) -> None:
        """What ran is over, and the next agent finds it so. Records of the last `lost_s` seconds are gone."""
        self.facts = replace(self.facts, boot_id=boot_id)
        self.memory.plans.clear()
        self._checkers.network.forgotten(self.facts.host_id)
        for task_id, task in list(self.memory.tasks.items()):
            if task.status == "STOPPED":
                continue
            self._checkers.ended(self.facts.host_id, task_id)
            if self._sim.now - self._began_at[task_id] < lost_s:
                self._sim.count("records-lost")
                del self.memory.tasks[task_id]
                continue
            now = EPOCH + self._sim.now
            told = task.report
            task.acknowledged = False
            task.report = replace(
                told,
                report_seq=told.report_seq + 1,
                known_status="STOPPED",
                stop_code=told.stop_code or StopCode.INFRASTRUCTURE_HEALTH.value,
                stopped_reason=told.stopped_reason or REBOOTED,
                stopping_at=told.stopping_at or now,
                stopped_at=now,
            )

    def claims(self, task: SimulatedTask) -> None:
        """From its next agent on it says that this task of another machine is its own, and newer there."""
        copy = deepcopy(task)
        copy.report = replace(copy.report, report_seq=copy.report.report_seq + 1000)
        copy.acknowledged = False
        self.memory.tasks[copy.report.task_id] = copy
        self._began_at[copy.report.task_id] = self._sim.now

    def vpcs(self) -> frozenset[str]:
        """Those of its tasks that are not over."""
        tasks = self.memory.tasks.values()
        return frozenset(
            task.launch.eni.vpc_id for task in tasks if task.launch is not None and task.status != "STOPPED"
        )

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
        self._began_at[launch.task_id] = self._sim.now
        self._checkers.began(self.facts.host_id, launch)

    def _begin(self, world: SimWorld) -> None:
        host_id = self.facts.host_id
        self._run(
            world,
            self.memory,
            self._began,
            lambda task_id: self._checkers.ended(host_id, task_id),
            lambda plan: self._checkers.network.applied(host_id, plan),
            lambda vpc_id: self._checkers.network.withdrawn(host_id, vpc_id),
        )

    def _run(
        self,
        world: SimWorld,
        memory: HostMemory,
        began: Callable[[TaskLaunch], None],
        ended: Callable[[str], None],
        applied: Callable[[VpcPlan], None],
        withdrawn: Callable[[str], None],
    ) -> None:
        host = SimulatedHost(
            world,
            self.facts,
            _LoopTimers(world),
            self._knobs,
            memory=memory,
            times=SimulatedTimes(run_s=2.0),
            began=began,
            ended=ended,
            applied=applied,
            withdrawn=withdrawn,
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
        self._net.dial(self._world, "/link", self._opened, self._dial_later, timeout_s=self._knobs.link_silence_s)

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
