"""VPC flow logs on this host: what the kernel says of tasks' traffic becomes lines, at the end of each interval.

Owns when the kernel is asked and until when an interface's lines are made. Runs only while a plan in force has a flow
log. The work is done on a thread of its own, in bounded turns. Invariant: what could not be counted, kept or sent is
said by a SKIPDATA line. After a restart of the agent flows go on from what they count then; what was not sent is lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from msgspec import Struct

from ...flowlogs.interfaces import Interface, Interfaces
from ...flowlogs.ledger import Ledger
from ...flowlogs.messages import flow, rejection
from ...flowlogs.windows import Event
from ...interfaces.hostnet import FlowCapture, HostError, HostNetwork
from ...model.flow_logs import FlowLogBatch, PlannedFlowLog
from ...model.knobs import Knobs
from ...model.network import VpcPlan
from ...vpc.marks import LOCAL_MARK
from ...vpc.traffic_paths import traffic_paths
from ...world import World
from ..seldom import SeldomNote
from ..task_record import TaskRecord
from .interfaces import Met, endpoints_of, gateways_of, met
from .spool import FlowSpool

LANE = "flow-logs"
Closed = list[tuple[str, str, list[Event]]]


class FlowLogs:
    """`plan`: a VPC's newest. `records`: the tasks of this host as they are now."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        host_id: str,
        network: HostNetwork,
        *,
        plan: Callable[[str], VpcPlan | None],
        records: Callable[[], Iterable[TaskRecord]],
        append: Callable[[FlowLogBatch], Awaitable[None]],
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._host_id = host_id
        self._network = network
        self._plan = plan
        self._records = records
        self._spool = FlowSpool(world, knobs, append)
        self._trouble = SeldomNote(world, note)
        self._watched: dict[str, _Watched] = {}
        self._followed: set[str] = set()
        self._beginning = asyncio.Lock()
        self._left: set[str] = set()  # VPCs whose router went, until one is followed again
        self._ending: list[tuple[str, _Watched]] = []  # to be read once more and let go of
        self._interfaces: dict[str, dict[str, Met]] = {}
        self.skips = 0  # SKIPDATA records that were written
        self.is_running = False

    async def follow(self, plan: VpcPlan) -> None:
        """A plan that is in force now. When this returns what rules tell is heard, unless the host cannot yet."""
        if not plan.flow_logs:
            return
        self._followed.add(plan.vpc_id)
        await self._begin(plan.vpc_id, is_new_router=True)
        if not self.is_running:
            self.is_running = True
            self._world.spawn(self._run(), "flow-logs")

    def leave(self, vpc_id: str) -> None:
        """Its router goes: what it counted is told, and nothing holds it."""
        if vpc_id in self._followed:
            self._left.add(vpc_id)
        self._end(vpc_id)

    def _end(self, vpc_id: str) -> None:
        watched = self._watched.pop(vpc_id, None)
        if watched is not None:
            self._ending.append((vpc_id, watched))

    async def _run(self) -> None:
        while await self._turn():
            await self._world.sleep(self._knobs.flow_look_s)
        self.is_running = False

    async def _turn(self) -> bool:
        """False when nothing is left to do."""
        while self._ending:
            await self._look(*self._ending.pop(0), ())
        now = self._world.now()
        wanted = self._meet(now)
        for vpc_id in wanted:
            await self._begin(vpc_id)
        for vpc_id, watched in list(self._watched.items()):
            if vpc_id in self._followed and vpc_id not in wanted:
                continue  # it came a moment ago
            await self._look(vpc_id, watched, wanted.get(vpc_id, ()))
        return bool(self._followed or self._watched or self._ending)

    def _meet(self, now: float) -> Mapping[str, tuple[PlannedFlowLog, ...]]:
        """Flow logs by VPC; beside it, who has an interface there, or had one a while ago."""
        by_vpc: dict[str, list[TaskRecord]] = {vpc_id: [] for vpc_id in self._followed}
        for record in self._records():
            if record.launch.eni.vpc_id in by_vpc:
                by_vpc[record.launch.eni.vpc_id].append(record)
        wanted = {}
        for vpc_id, records in by_vpc.items():
            plan = self._plan(vpc_id)
            known = self._interfaces.pop(vpc_id, {})
            if plan is None or not plan.flow_logs:
                self._followed.discard(vpc_id)
                self._left.discard(vpc_id)
                continue
            longest_s = min(max(log.interval_s for log in plan.flow_logs), self._knobs.flow_interval_max_s)
            self._interfaces[vpc_id] = met(known, records, now, 2 * longest_s)
            wanted[vpc_id] = plan.flow_logs
        return wanted

    async def _begin(self, vpc_id: str, *, is_new_router: bool = False) -> None:
        async with self._beginning:
            if is_new_router and vpc_id in self._left:
                # What was begun while the old one went hears that one alone, and would hold it.
                self._left.discard(vpc_id)
                self._end(vpc_id)
            if vpc_id in self._watched:
                return
            try:
                capture = await self._network.capture_flows(vpc_id)
            except HostError as error:
                self._trouble(f"flows of {vpc_id} are not logged yet: {error}")
                return
            self._watched[vpc_id] = _Watched(self._knobs, self._host_id, capture, self._world.now())

    async def _look(self, vpc_id: str, watched: "_Watched", logs: Iterable[PlannedFlowLog]) -> None:
        """Without flow logs it is the last time."""
        is_last = not logs
        shown = None if is_last else _Shown(self._interfaces[vpc_id], logs, self._plan(vpc_id))
        try:
            closed = await self._world.offload(LANE, watched.turn, self._world.now, shown)
        except OSError as error:
            self._trouble(f"flows of {vpc_id} could not be read: {error}")
            watched.ledger.skip_all()
            if not is_last:
                return
            closed = watched.closed(self._world.now(), is_last=True)
        self.skips += watched.ledger.taken_skips()
        for flow_log_id, eni_id, events in closed:
            if not self._spool.put(flow_log_id, eni_id, events):
                watched.ledger.skip(eni_id)
        if is_last:
            if self._watched.get(vpc_id) is watched:
                del self._watched[vpc_id]
            self._ending = [ending for ending in self._ending if ending[1] is not watched]
            watched.capture.close()


class _Shown(Struct, frozen=True):
    """What a VPC is, at one look."""

    interfaces: Mapping[str, Met]
    logs: Iterable[PlannedFlowLog]
    plan: VpcPlan | None


class _Watched:
    """One VPC. Used by the loop and by the lane's thread in turns, never at once."""

    def __init__(self, knobs: Knobs, host_id: str, capture: FlowCapture, now: float) -> None:
        self._host_id = host_id
        self.capture = capture
        self._is_missing = capture.is_adopted  # what was counted since another agent told of it
        # Of a flow that began before anybody counted the kernel says nothing; others are counted from their beginning.
        self.ledger = Ledger(
            now if capture.is_adopted else 0.0,
            local_mark=LOCAL_MARK,
            records_max=knobs.flow_records_max,
            interface_max=knobs.flow_interface_records_max,
            flows_max=knobs.flow_flows_max,
        )
        self._knobs = knobs
        self._plan: VpcPlan | None = None
        self._endpoints: list[Interface] = []

    def turn(self, clock: Callable[[], float], shown: _Shown | None) -> Closed:
        """On the lane's thread: what a large plan's ways are takes seconds. `shown`: None for the last turn."""
        if shown is not None:
            self._show(shown, clock())
        self._read(clock)
        now = clock()
        if shown is not None and not self.ledger.is_due(now):
            return []
        self._dump(now)
        # Ends that the dump brought about.
        self._read(clock)
        return self.closed(now, is_last=shown is None)

    def closed(self, now: float, *, is_last: bool) -> Closed:
        return self.ledger.close(now, self._knobs.flow_interval_max_s, all_windows=is_last)

    def _show(self, shown: _Shown, now: float) -> None:
        plan, here = shown.plan, [one.interface for one in shown.interfaces.values()]
        if plan is not None and plan is not self._plan and here:
            self._plan = plan
            self.ledger.paths = traffic_paths(plan)
            region = here[0].facts.get("region", "")
            self.ledger.gateways = gateways_of(plan, self._host_id, region)
            self._endpoints = endpoints_of(plan, self._host_id, region)
        # A gateway that several ways lead through is one interface.
        gateways = {gateway.eni_id: gateway for gateway in self.ledger.gateways.values()}
        self.ledger.interfaces = Interfaces((*here, *gateways.values(), *self._endpoints))
        self.ledger.keep(shown.logs, now, self._knobs.flow_interval_max_s)
        if self._is_missing and shown.interfaces:
            self.ledger.skip_all()
            self._is_missing = False

    def _dump(self, now: float) -> None:
        for payload in self.capture.dump():
            seen = flow(payload)
            if seen is not None:
                self.ledger.flow(seen, now, ended=False)
        self.ledger.dumped()

    def _read(self, clock: Callable[[], float]) -> None:
        most = self._knobs.flow_messages_at_once
        for _ in range(self._knobs.flow_reads_at_once):
            news, now = self.capture.read(most), clock()
            if news.lost:
                self.ledger.skip_all()
            for payload in news.rejected:
                refused = rejection(payload)
                if refused is not None:
                    self.ledger.rejected(refused, now)
            for payload in news.ended:
                ended = flow(payload)
                if ended is not None:
                    self.ledger.flow(ended, now, ended=True)
            if not (news.lost or len(news.rejected) >= most or len(news.ended) >= most):
                return
