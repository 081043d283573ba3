"""The simulated agent: hosts that speak the link and start nothing. For `--sandbox simulated`, benchmarks, tests.

A host is a callback state machine over `AgentSession`: frames in, frames out, one shared timer heap; no coroutine per
host or task. Invariants are the real agent's: a task's desired status only moves forward, `report_seq` only grows, a
stop leaves a tombstone also for a task never seen, and what `HostMemory` holds survives a restart of the agent.

A launch whose first container has the command `exit N` ends by itself with that exit code.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ..link.host_identity import KEY_BYTES, simulated_key
from ..link.messages import StopOrder, frames, messages_to_agent
from ..link.session import (
    Acknowledged,
    AgentAction,
    AgentSession,
    ApplyBalancer,
    ApplyVpc,
    Disconnect,
    Established,
    RunTask,
    Send,
    StopTask,
    WithdrawBalancer,
    WithdrawVpc,
)
from ..model.balancing import BalancerPlan
from ..model.capacity import HostFacts
from ..model.knobs import Knobs
from ..model.launch import ContainerReport, TaskLaunch, TaskReport
from ..model.lifecycle import LastStatus, StopCode, is_later
from ..model.network import VpcPlan
from ..world import World, within
from .balancers.all_healthy import all_healthy
from .channels.link import Closed, Connection
from .channels.transport import UnixTransport

NO_SEED = bytes(KEY_BYTES)  # for tests, whose hosts nobody takes for others
_FRAMES_MAX = 65_536
_TICK_S = 1.0
_REST_S = 0.01


class SimulatedTimes(Struct, frozen=True, kw_only=True):
    """How long the simulated steps take, in seconds."""

    attach_s: float = 0.02
    start_s: float = 0.08
    run_s: float = 0.1  # of a task that ends by itself
    stop_s: float = 0.05


class SimulatedTask(Struct):
    """One task as its host remembers it. `launch` None: a tombstone of a task that was never seen."""

    report: TaskReport
    launch: TaskLaunch | None
    stop: StopOrder | None = None
    acknowledged: bool = False

    @property
    def status(self) -> LastStatus:
        return LastStatus(self.report.known_status)


class HostMemory(Struct):
    """What survives a restart of the agent: the host's tasks (their sandboxes go on) and the VPC plans in force."""

    tasks: dict[str, SimulatedTask] = field(default_factory=dict)
    plans: dict[str, int] = field(default_factory=dict)  # VPC id -> generation
    balancers: dict[str, BalancerPlan] = field(default_factory=dict)  # by ARN; their targets are healthy
    # What must never happen; a test reads it.
    violations: list[str] = field(default_factory=list)


class Timers:
    """One heap of callbacks for a whole fleet. `run` is its only coroutine."""

    def __init__(self, world: World, *, rest_s: float = 0.0) -> None:
        """`rest_s` between two looks at the heap: callbacks that are due within it come together."""
        self._world = world
        self._rest_s = rest_s
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._earlier = asyncio.Event()

    def after(self, delay_s: float, callback: Callable[[], None]) -> None:
        at = self._world.monotonic() + delay_s
        if not self._heap or at < self._heap[0][0]:
            self._earlier.set()
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, callback))

    async def run(self) -> None:
        while True:
            self._earlier.clear()
            now = self._world.monotonic()
            while self._heap and self._heap[0][0] <= now:
                heapq.heappop(self._heap)[2]()
            if self._rest_s:
                await self._world.sleep(self._rest_s)
                now = self._world.monotonic()
            wait_s = self._heap[0][0] - now if self._heap else _TICK_S
            try:
                await within(wait_s, self._earlier.wait())
            except TimeoutError:
                continue  # the time is over: that is what the wait was for


def _unwatched(_: object) -> None:
    """Only the simulator watches."""


class SimulatedHost:
    """One host. `connected`, `received` and `disconnected` are its link; everything it does goes through `timers`."""

    def __init__(
        self,
        world: World,
        facts: HostFacts,
        timers: Timers,
        knobs: Knobs,
        *,
        memory: HostMemory | None = None,
        times: SimulatedTimes | None = None,
        began: Callable[[TaskLaunch], None] = _unwatched,
        ended: Callable[[str], None] = _unwatched,
        applied: Callable[[VpcPlan], None] = _unwatched,
        withdrawn: Callable[[str], None] = _unwatched,
        seed: bytes = NO_SEED,
    ) -> None:
        """`began` and `ended` (task id) tell a watcher what this host holds; `applied` and `withdrawn` (VPC id) tell
        which plans are in force.

        `seed`: the host's key is made of it and of the host's id.
        """
        self.facts = facts
        self._began = began
        self._ended = ended
        self._applied = applied
        self._withdrawn = withdrawn
        self.memory = memory if memory is not None else HostMemory()
        self._world = world
        self._timers = timers
        self._knobs = knobs
        self._times = times or SimulatedTimes()
        self._session = AgentSession(knobs, simulated_key(seed, facts.host_id), f"{world.random.getrandbits(64):016x}")
        self._send: Callable[[bytes], None] | None = None
        self._hang_up: Callable[[str], None] | None = None
        self._connections = 0
        self._alive = True
        self._nodes_told_at = float("-inf")
        for task_id in list(self.memory.tasks):
            self._resume(task_id)

    def kill(self) -> None:
        """kill -9 of the agent: timers that were set do nothing any more. Make a new host from the same memory."""
        self._alive = False
        self._send = None

    def connected(self, send: Callable[[bytes], None], hang_up: Callable[[str], None]) -> None:
        """`send` queues a frame; `hang_up` ends the connection. Neither may call back into this host."""
        self._send, self._hang_up = send, hang_up
        reports = [task.report for task in self.memory.tasks.values()]
        balancers = {arn: plan.generation for arn, plan in self.memory.balancers.items()}
        now = self._world.monotonic()
        self._act(self._session.connected(self.facts, reports, now, self.memory.plans, balancers))
        self._connections += 1
        self._tick_later(self._connections)

    def disconnected(self) -> None:
        self._send = None
        self._session.disconnected()

    def received(self, data: bytes) -> None:
        """One frame from the server."""
        if not self._alive:
            return
        try:
            messages = messages_to_agent(data)
        except msgspec.DecodeError as error:
            self._act([Disconnect(reason=f"unreadable: {error}")])
            return
        for message in messages:
            self._act(self._session.received(message, self._world.monotonic()))

    def _tick_later(self, connection: int) -> None:
        self._timers.after(_TICK_S, lambda: self._tick(connection))

    def _tick(self, connection: int) -> None:
        """Each connection has its own chain of ticks, which ends with it."""
        if self._alive and self._send is not None and connection == self._connections:
            now = self._world.monotonic()
            self._act(self._session.tick(now))
            if self.memory.balancers and now - self._nodes_told_at >= self._knobs.balancer_report_period_s:
                self._report_nodes(self.memory.balancers.values())
            self._tick_later(connection)

    def _act(self, actions: Sequence[AgentAction]) -> None:
        for action in actions:
            match action:
                case Send() if self._send is not None:
                    self._send(action.data)
                case Disconnect() if self._hang_up is not None:
                    self._hang_up(action.reason)
                case RunTask():
                    self._run(action.launch)
                case StopTask():
                    self._stop(action.order)
                case ApplyVpc():
                    known = self.memory.plans.get(action.plan.vpc_id, -1)
                    self.memory.plans[action.plan.vpc_id] = max(known, action.plan.generation)
                    if known <= action.plan.generation:
                        self._applied(action.plan)
                case WithdrawVpc():
                    self._withdraw(action)
                case ApplyBalancer():
                    self._apply_balancer(action.plan)
                case WithdrawBalancer():
                    self._withdraw_balancer(action)
                case Established():
                    self._report_nodes(self.memory.balancers.values())
                case Acknowledged():
                    self._acknowledged(action)
                case _:
                    pass

    def _withdraw(self, order: WithdrawVpc) -> None:
        """While a task is in it the plan stays, until it is withdrawn again: the next Hello names it."""
        tasks = (one for one in self.memory.tasks.values() if one.status is not LastStatus.STOPPED)
        used = {task.launch.eni.vpc_id for task in tasks if task.launch is not None}
        if order.vpc_id not in used and self.memory.plans.get(order.vpc_id, -1) <= order.generation:
            self.memory.plans.pop(order.vpc_id, None)
            self._withdrawn(order.vpc_id)

    def _apply_balancer(self, plan: BalancerPlan) -> None:
        known = self.memory.balancers.get(plan.arn)
        if plan.vpc_id not in self.memory.plans:
            self.memory.violations.append(f"{plan.arn} was ordered before its VPC {plan.vpc_id}")
        if known is None or known.generation < plan.generation:
            self.memory.balancers[plan.arn] = plan
            self._report_nodes([plan])

    def _withdraw_balancer(self, order: WithdrawBalancer) -> None:
        known = self.memory.balancers.get(order.arn)
        if known is not None and known.generation <= order.generation:
            del self.memory.balancers[order.arn]

    def _report_nodes(self, plans: Iterable[BalancerPlan]) -> None:
        self._nodes_told_at = self._world.monotonic()
        for plan in plans:
            self._act(self._session.node_reports(all_healthy(plan, self.facts.host_id)))

    def _run(self, launch: TaskLaunch) -> None:
        known = self.memory.tasks.get(launch.task_id)
        if known is not None:
            self._act(self._session.report(known.report, self._world.monotonic()))
            return
        if launch.eni.vpc_id not in self.memory.plans:
            self.memory.violations.append(f"task {launch.task_id} was ordered before its VPC {launch.eni.vpc_id}")
        report = TaskReport(
            task_id=launch.task_id,
            incarnation=launch.incarnation,
            capacity_id=launch.capacity_id,
            report_seq=0,
            known_status=LastStatus.PROVISIONING,
            containers=tuple(ContainerReport(name=item.name) for item in launch.containers),
        )
        self.memory.tasks[launch.task_id] = SimulatedTask(report=report, launch=launch)
        self._began(launch)
        self._later(self._times.attach_s, launch.task_id, self._attach)

    def _stop(self, order: StopOrder) -> None:
        task = self.memory.tasks.get(order.task_id)
        if task is None:
            report = TaskReport(
                task_id=order.task_id,
                incarnation=order.incarnation,
                report_seq=0,
                known_status=LastStatus.STOPPED,
                stopped_at=self._world.now(),
            )
            self.memory.tasks[order.task_id] = SimulatedTask(report=report, launch=None, stop=order)
            self._change(order.task_id, stop_code=order.stop_code, stopped_reason=order.reason)
        elif task.report.incarnation == order.incarnation and task.stop is None:
            task.stop = order
            if is_later(task.status, LastStatus.RUNNING):
                return
            now = self._world.now()
            self._change(
                order.task_id,
                known_status=LastStatus.STOPPING,
                stop_code=order.stop_code,
                stopped_reason=order.reason,
                stopping_at=now,
            )
            self._later(self._times.stop_s, order.task_id, self._end)

    def _resume(self, task_id: str) -> None:
        """After a restart: what was under way goes on from where the memory says it was."""
        task = self.memory.tasks[task_id]
        if task.status is LastStatus.PROVISIONING:
            self._later(self._times.attach_s, task_id, self._attach)
        elif task.status is LastStatus.PENDING:
            self._later(self._times.start_s, task_id, self._start)
        elif task.status is LastStatus.RUNNING:
            self._exit_by_itself(task_id)
        elif task.status is not LastStatus.STOPPED:
            self._later(self._times.stop_s, task_id, self._end)

    def _attach(self, task_id: str) -> None:
        if self.memory.tasks[task_id].status is LastStatus.PROVISIONING:
            self._change(task_id, known_status=LastStatus.PENDING, eni_attached=True)
            self._later(self._times.start_s, task_id, self._start)

    def _start(self, task_id: str) -> None:
        task = self.memory.tasks[task_id]
        if task.status is not LastStatus.PENDING:
            return
        now = self._world.now()
        self._change(
            task_id,
            known_status=LastStatus.RUNNING,
            connectivity_at=now,
            pull_started_at=now,
            pull_stopped_at=now,
            started_at=now,
            containers=tuple(
                replace(item, known_status="RUNNING", runtime_id=f"{task_id}-{place:010d}", started_at=now)
                for place, item in enumerate(task.report.containers)
            ),
        )
        self._exit_by_itself(task_id)

    def _exit_by_itself(self, task_id: str) -> None:
        launch = self.memory.tasks[task_id].launch
        if launch is not None and _exit_code(launch) is not None:
            self._later(self._times.run_s, task_id, self._exit)

    def _exit(self, task_id: str) -> None:
        task = self.memory.tasks[task_id]
        if task.status is not LastStatus.RUNNING or task.launch is None:
            return
        self._change(
            task_id,
            known_status=LastStatus.STOPPING,
            stop_code=StopCode.ESSENTIAL_CONTAINER_EXITED,
            stopped_reason="Essential container in task exited",
            stopping_at=self._world.now(),
        )
        self._later(self._times.stop_s, task_id, self._end)

    def _end(self, task_id: str) -> None:
        task = self.memory.tasks[task_id]
        if task.status is LastStatus.STOPPED:
            return
        now = self._world.now()
        ended = _exit_code(task.launch) if task.launch is not None and task.stop is None else 143
        self._change(
            task_id,
            known_status=LastStatus.STOPPED,
            execution_stopped_at=now,
            stopped_at=now,
            containers=tuple(
                replace(
                    item,
                    known_status="STOPPED",
                    finished_at=now,
                    # The others were asked to stop; a container that never ran has no exit code.
                    exit_code=None if item.started_at is None else (ended if place == 0 else 143),
                )
                for place, item in enumerate(task.report.containers)
            ),
        )

    def _change(self, task_id: str, **changes: object) -> None:
        """The one place where a task's known state moves: forward, with the next sequence, then told."""
        task = self.memory.tasks[task_id]
        task.report = replace(task.report, report_seq=task.report.report_seq + 1, **changes)
        task.acknowledged = False
        if task.status is LastStatus.STOPPED:
            self._ended(task_id)
        self._act(self._session.report(task.report, self._world.monotonic()))

    def _acknowledged(self, ack: Acknowledged) -> None:
        """A STOPPED task may be forgotten once the server holds it; a while longer it meets delayed orders."""
        task = self.memory.tasks.get(ack.task_id)
        if task is None or task.status is not LastStatus.STOPPED or ack.report_seq < task.report.report_seq:
            return
        if not task.acknowledged:
            task.acknowledged = True
            self._timers.after(self._knobs.stop_tombstone_keep_s, lambda: self._forget(ack.task_id))

    def _forget(self, task_id: str) -> None:
        if self._alive:
            self.memory.tasks.pop(task_id, None)

    def _later(self, delay_s: float, task_id: str, step: Callable[[str], None]) -> None:
        self._timers.after(delay_s, lambda: step(task_id) if self._alive and task_id in self.memory.tasks else None)


class SimulatedFleet:
    """Many hosts in one process over the real socket."""

    def __init__(
        self,
        world: World,
        hosts: Sequence[HostFacts],
        *,
        socket_path: str,
        knobs: Knobs,
        times: SimulatedTimes | None = None,
        seed: bytes = NO_SEED,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._transport = UnixTransport(socket_path, knobs)
        self._timers = Timers(world, rest_s=_REST_S)
        self.hosts = [SimulatedHost(world, facts, self._timers, knobs, times=times, seed=seed) for facts in hosts]

    async def run(self) -> None:
        """Until cancelled."""
        loops = [self._world.spawn(self._timers.run(), "simulated-timers")]
        loops += [self._world.spawn(self._stay_connected(host), host.facts.host_id) for host in self.hosts]
        try:
            await asyncio.gather(*loops)
        finally:
            for loop in loops:
                loop.cancel()

    async def _stay_connected(self, host: SimulatedHost) -> None:
        backoff_s = self._knobs.link_reconnect_min_s
        while True:
            try:
                connection = await self._transport.connect("/link")
            except Closed:
                await self._world.sleep(backoff_s * (0.5 + self._world.random.random()))
                backoff_s = min(backoff_s * 2, self._knobs.link_reconnect_max_s)
                continue
            backoff_s = self._knobs.link_reconnect_min_s
            waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_FRAMES_MAX)
            host.connected(partial(_put, waiting), partial(_end, waiting))
            writer = self._world.spawn(_write(connection, waiting), f"{host.facts.host_id}-write")
            try:
                while True:
                    host.received(await connection.receive())
            except Closed:
                host.disconnected()
            writer.cancel()
            await connection.close()
            await self._world.sleep(backoff_s * (0.5 + self._world.random.random()))


def _put(waiting: "asyncio.Queue[bytes | None]", data: bytes) -> None:
    """A frame that finds no room is dropped: the session repeats what is not answered."""
    if not waiting.full():
        waiting.put_nowait(data)


def _end(waiting: "asyncio.Queue[bytes | None]", reason: str) -> None:
    """The frames before it do not matter any more. `reason` is the session's; nobody reads it here."""
    del reason
    while not waiting.empty():
        waiting.get_nowait()
    waiting.put_nowait(None)


async def _write(connection: Connection, waiting: "asyncio.Queue[bytes | None]") -> None:
    """None among the messages means: end the connection, which the reader then notices."""
    ended = False
    try:
        while not ended:
            messages = [await waiting.get()]
            while not waiting.empty():
                messages.append(waiting.get_nowait())
            ended = None in messages
            for data in frames(message for message in messages if message is not None):
                await connection.send(data)
    except Closed:
        return
    await connection.close()


def _exit_code(launch: TaskLaunch) -> int | None:
    """N of a first container's command `exit N`."""
    command = launch.containers[0].command or ()
    if len(command) == 2 and command[0] == "exit" and command[1].isdecimal():
        return int(command[1])
    return None
