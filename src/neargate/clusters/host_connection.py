"""One agent's connection on the server: drives `ServerSession`, hands reports to the cell, carries orders to the host.

Owns four small loops (read, write, orders, checks) that end together. Must not decide anything about tasks. Invariants:
only what the cell's tables ask for is ordered; a report is acknowledged only after the cell called it durable; an agent
speaks for the host of its Hello and for no other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial

import msgspec

from ..interfaces.roles import Balancers, NoBalancers, VpcPlans
from ..interfaces.store import Overloaded
from ..link.messages import (
    CredentialsAsk,
    CredentialsRefused,
    ExecOrder,
    Proof,
    ProtectionAsk,
    Report,
    StopOrder,
    TagsTold,
    ToServer,
    encode,
    messages_to_server,
)
from ..link.server_session import (
    CredentialsAsked,
    Greeted,
    HostChanged,
    NodesReported,
    ProtectionAsked,
    Reported,
    ServerAction,
    ServerSession,
    TagsAsked,
)
from ..link.session import Disconnect, Send
from ..log import get_logger
from ..model.bugs import told
from ..model.capacity import HostFacts
from ..model.errors import AwsError
from ..model.knobs import Knobs
from ..model.launch import TaskReport
from ..model.lifecycle import StopCode
from ..model.network import VpcPlan
from ..world import World
from .arrivals import problem, report_problem
from .cell import Cell
from .channel import Channel, ChannelClosed, Outgoing, new_nonce
from .credentials import HostCredentials
from .orders import RunTaskOrder
from .peer_plans import is_served_to, served_peers
from .protecting import HostProtection
from .registrations import Refusal
from .reports import ReportOutcome

_log = get_logger(__name__)
_BATCH_MAX = 64
_ENDED_FOR = {
    ReportOutcome.VOID: "The control plane gave this task up.",
    ReportOutcome.STRANGER: "The control plane refused this task's registration: it is not this host's, or its agent "
    "did not name the capacity that was reserved for it.",
}

Register = Callable[["HostConnection", HostFacts], Awaitable[None]]


class HostConnection:
    """`register` takes the host in (and sends an older connection of it away); it raises AwsError to refuse it."""

    def __init__(
        self,
        world: World,
        cell: Cell,
        plans: VpcPlans,
        knobs: Knobs,
        *,
        session_id: str,
        channel: Channel,
        register: Register,
        credentials: HostCredentials,
        protection: HostProtection,
        balancers: Balancers | None = None,
    ) -> None:
        self._world = world
        self._cell = cell
        self._plans = plans
        self._balancers = balancers or NoBalancers()
        self._knobs = knobs
        self._channel = channel
        self._register = register
        self._credentials = credentials
        self._protection = protection
        self.process = ""  # the agent's, from its Hello
        self._session = ServerSession(session_id, knobs, new_nonce(world))
        self._outgoing = Outgoing(knobs.link_frames_max, joined=True)
        self._judging = asyncio.Semaphore(knobs.reports_in_flight_max)
        self._bell = asyncio.Event()
        self._after = 0  # row up to which this session has read its run orders
        self._welcomed = False
        self._waits_for_room = False
        # A new session begins with all that the table asks for; later runs are handed over as they are recorded.
        self._runs_asked = True
        self._stops_asked = True
        self._begun_asked = True
        self._vpcs_asked = True
        self._unused_asked = False
        self._lent: set[str] = set()  # VPCs that the host has for its tasks in others
        self._unused: dict[str, float] = {}  # VPCs of the host without a task -> since when they are known to be
        self._fresh: list[RunTaskOrder] = []

    @property
    def host_id(self) -> str | None:
        return self._session.host_id

    async def run(self) -> str:
        """Until the connection ends; says why."""
        reason = ""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._outgoing.write_to(self._channel))
                loops.create_task(self._read())
                loops.create_task(self._order())
                loops.create_task(self._check())
        except* ChannelClosed as closed:
            reason = str(closed.exceptions[0])
        except* Exception as faults:
            # One host's connection ends by it; the others and the process do not.
            reason = "internal error"
            _log.error("a host's connection failed by a fault", host=self.host_id, why=told(faults.exceptions[0]))
        finally:
            if self.host_id is not None:
                self._cell.orders.unlisten(self.host_id, self._ring)
        return reason

    async def close(self, reason: str) -> None:
        await self._channel.close(reason)

    def order_terminal(self, order: ExecOrder) -> bool:
        """Once, and only now: whoever asks waits for it. False when the agent is not there to hear it."""
        if not self._welcomed:
            return False
        try:
            self._outgoing.put(encode(order))
        except ChannelClosed:
            return False  # the writer's loop meets the same end
        return True

    def push_plan(self, vpc_id: str) -> None:
        """A VPC changed or was deleted: the host hears of it if it has been given the VPC before."""
        try:
            plan = self._plans.plan(vpc_id)
            if vpc_id in self._session.vpcs or (self._welcomed and plan.has_node_on(self.host_id or "")):
                sends = self._push(plan)
            elif is_served_to(plan, self._inhabited()):
                sends = self._lend(plan)
            else:
                return
        except KeyError:
            sends = self._session.withdraw_plan(vpc_id)  # deleted: nothing runs in it any more
        try:
            self._send(sends)
        except ChannelClosed:
            # The writer's loop meets the same end; the host gets the plan again with its next session's first order.
            _log.warning("a host does not read its plans", host=self.host_id)

    def push_balancers(self) -> None:
        """Load balancers may have changed: those with nodes here are as they are now, and no others are here."""
        if not self._welcomed:
            return
        try:
            self._send_balancers(self.host_id or "")
        except ChannelClosed:
            # The writer's loop meets the same end; the host gets them with its next session.
            _log.warning("a host does not read its load balancers", host=self.host_id)

    def _send_balancers(self, host_id: str) -> None:
        plans = self._balancers.of_host(host_id)
        for arn in self._session.held_balancers.difference(plan.arn for plan in plans):
            self._send(self._session.withdraw_balancer(arn))
        for plan in plans:
            with suppress(KeyError):  # its VPC is gone, and it will be
                vpc = self._plans.plan(plan.vpc_id)
                self._lent.discard(plan.vpc_id)
                self._send(self._push(vpc))
                self._send(self._session.push_balancer(plan))

    def _push(self, plan: VpcPlan) -> list[Send]:
        """With those of its peers whose endpoints its tasks may reach, be there tasks in them or not."""
        peers = served_peers(plan, self._plans) if plan.vpc_id not in self._lent else ()
        found = [send for one in peers for send in self._lend(one)]
        return [*found, *self._session.push_plan(plan)]

    def _lend(self, plan: VpcPlan) -> list[Send]:
        if plan.vpc_id not in self._session.vpcs:
            self._lent.add(plan.vpc_id)
        return self._session.push_plan(plan)

    def _inhabited(self) -> set[str]:
        """VPCs that the host was given for tasks of its own."""
        return set(self._session.vpcs) - self._lent

    async def _used(self, host_id: str) -> tuple[list[str], set[str]]:
        """VPCs in which the host has tasks or nodes of load balancers; and those with all that these need."""
        inhabited = await self._cell.orders.vpcs(host_id)
        inhabited += {plan.vpc_id for plan in self._balancers.of_host(host_id)}.difference(inhabited)
        needed = set(inhabited)
        for vpc_id in inhabited:
            with suppress(KeyError):  # the tasks' ends are not told yet, and their VPC is gone
                needed |= {peer.vpc_id for peer in served_peers(self._plans.plan(vpc_id), self._plans)}
        return inhabited, needed

    async def _read(self) -> None:
        while True:
            data = await self._channel.receive()
            try:
                messages = messages_to_server(data)
            except msgspec.DecodeError as error:
                raise ChannelClosed(f"unreadable message: {error}") from None
            for message in messages:
                await self._hear(message)

    async def _hear(self, message: ToServer) -> None:
        wrong = problem(message, self._knobs.hello_reports_max)
        if wrong is not None and not isinstance(message, Report):
            raise ChannelClosed(f"refused: {wrong}")
        if wrong is not None:
            # Nothing is changed and nothing said, as with any report that is not believed.
            _log.warning("report refused", host=self.host_id, why=wrong)
            return
        for action in self._session.received(message):
            if isinstance(message, Proof) and isinstance(action, Disconnect):
                self._cell.refusals.note_host(None, Refusal.KEY, action.reason)
            await self._act(action)

    async def _act(self, action: ServerAction) -> None:
        match action:
            case Send():
                self._outgoing.put(action.data)
            case Disconnect():
                raise ChannelClosed(action.reason)
            case Greeted():
                self.process = action.process
                await self._take_in(action.host, action.public_key)
                for report in action.reports:
                    if report_problem(report) is None:
                        await self._judge(report)
                self._bell.set()
            case Reported():
                await self._judge(action.report)
                if self._waits_for_room and self._session.room >= self._knobs.orders_in_flight_max // 2:
                    self._bell.set()
            case HostChanged():
                await self._call_register(action.host)
            case NodesReported():
                assert self.host_id is not None, "reports follow a hello"
                self._balancers.heard(self.host_id, action.reports)
            case CredentialsAsked():
                await self._give_credentials(action.ask)
            case TagsAsked():
                await self._tell_tags(action.task_id)
            case ProtectionAsked():
                await self._tell_protection(action.ask)

    async def _give_credentials(self, ask: CredentialsAsk) -> None:
        """While a database is busy nothing is refused for good; the agent asks again."""
        assert self.host_id is not None, "asks follow a hello"
        try:
            answer = await self._credentials.answer(self.host_id, ask)
        except Overloaded as busy:
            answer = CredentialsRefused(task_id=ask.task_id, kind=ask.kind, message=str(busy), is_final=False)
        self._outgoing.put(encode(answer))

    async def _tell_tags(self, task_id: str) -> None:
        """Who is not answered has what it was told before."""
        assert self.host_id is not None, "asks follow a hello"
        try:
            tags = await self._cell.tags_on_host(self.host_id, task_id)
        except Overloaded:
            return
        if tags is not None:
            self._outgoing.put(encode(TagsTold(task_id=task_id, tags=tags)))

    async def _tell_protection(self, ask: ProtectionAsk) -> None:
        """Who is not answered is told of a time-out by its agent, and asks again."""
        assert self.host_id is not None, "asks follow a hello"
        try:
            answer = await self._protection.answer(self.host_id, ask)
        except Overloaded:
            return
        self._outgoing.put(encode(answer))

    async def _take_in(self, host: HostFacts, public_key: bytes) -> None:
        try:
            if not await self._cell.host_keys.admit(host.host_id, public_key):
                reason = f"host {host.host_id} is known by another key"
                self._cell.refusals.note_host(host.host_id, Refusal.KEY, reason)
                raise ChannelClosed(reason)
            await self._call_register(host)
            await self._cell.boots.meet(host.host_id, host.boot_id)
        except Overloaded as busy:
            raise ChannelClosed(f"the cell's database is busy: {busy}") from None
        self._cell.orders.listen(host.host_id, self._ring)
        self._send([self._session.welcome()])
        self._welcomed = True

    async def _call_register(self, host: HostFacts) -> None:
        try:
            await self._register(self, host)
        except AwsError as refused:
            raise ChannelClosed(f"host refused: {refused.message}") from None

    async def _judge(self, report: TaskReport) -> None:
        """The outcome comes later, so that one batch takes many reports; the bound makes a flood wait in the socket."""
        assert self.host_id is not None, "reports follow a hello"
        await self._judging.acquire()
        self._cell.submit_report(self.host_id, report, partial(self._judged, report))

    def _judged(self, report: TaskReport, outcome: ReportOutcome) -> None:
        self._judging.release()
        try:
            self._answer(report, outcome)
        except ChannelClosed:
            # The writer's loop meets the same end; the agent repeats what was not acknowledged.
            _log.warning("a host does not read its answers", host=self.host_id)

    def _answer(self, report: TaskReport, outcome: ReportOutcome) -> None:
        if outcome is ReportOutcome.DURABLE:
            self._send([self._session.acknowledgement(report.task_id, report.report_seq)])
        elif outcome in _ENDED_FOR:
            order = StopOrder(
                task_id=report.task_id,
                incarnation=self._cell.incarnation,
                stop_code=StopCode.TASK_FAILED_TO_START,
                reason=_ENDED_FOR[outcome],
            )
            self._send(self._session.stop(order, self._world.monotonic()))

    def _ring(self, order: RunTaskOrder | None) -> None:
        if order is None:
            self._stops_asked = True
        elif len(self._fresh) < self._knobs.orders_in_flight_max:
            self._fresh.append(order)
        else:
            self._runs_asked = True
        self._bell.set()

    async def _order(self) -> None:
        """Carry what the tables ask for, each time the bell rings."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            if self.host_id is None or not self._welcomed:
                continue
            try:
                await self._order_asked(self.host_id)
            except Overloaded as busy:
                # As with a new session; what was sent already is sent again, which changes nothing.
                self._vpcs_asked = self._runs_asked = self._stops_asked = self._begun_asked = True
                _log.warning("a host's orders wait for the cell's database", host=self.host_id, why=str(busy))
                self._bell.set()
                await self._world.sleep(self._knobs.order_resend_s)
            # What is rung meanwhile shares a frame: a flood of launches must not become a flood of small writes.
            await self._world.sleep(max(self._knobs.orders_rest_min_s, self._cell.calls.rest_s()))

    async def _order_asked(self, host_id: str) -> None:
        """Raises Overloaded: something is not asked for any more and was not read."""
        if self._vpcs_asked:
            self._vpcs_asked = False
            await self._push_known_plans(host_id)
        if self._unused_asked:
            self._unused_asked = False
            await self._withdraw_unused(host_id)
        self._order_fresh()
        if self._stops_asked:
            self._stops_asked = False
            await self._order_stops(host_id)
        if self._runs_asked or self._waits_for_room:
            self._runs_asked = False
            await self._order_runs(host_id)

    async def _push_known_plans(self, host_id: str) -> None:
        """What changed while the host was away is in force for the tasks that it has, not only for its next one's."""
        inhabited, needed = await self._used(host_id)
        for vpc_id in self._session.held.difference(needed):
            self._send(self._session.withdraw_plan(vpc_id))
        for vpc_id in inhabited:
            try:
                plan = self._plans.plan(vpc_id)
            except KeyError:
                continue  # the tasks' ends are not told yet, and their VPC is gone
            self._lent.discard(vpc_id)  # one before it may be its peer
            self._send(self._push(plan))
        self._send_balancers(host_id)

    async def _withdraw_unused(self, host_id: str) -> None:
        """What is ordered after the tables were read is ordered after this, by the same loop, with its plan again."""
        _, needed = await self._used(host_id)
        unused = self._session.held.difference(needed)
        now = self._world.monotonic()
        self._unused = {vpc_id: self._unused.get(vpc_id, now) for vpc_id in unused}
        for vpc_id, since in self._unused.items():
            if now - since >= self._knobs.vpc_unused_s:
                self._send(self._session.withdraw_plan(vpc_id))

    def _order_fresh(self) -> None:
        """What was handed over, as far as there is room; the rest is read from the table when there is."""
        fresh, self._fresh = self._fresh, []
        room = 0 if self._waits_for_room else self._session.room
        for run in fresh[:room]:
            self._order_run(run)
        self._runs_asked |= len(fresh) > room

    async def _order_stops(self, host_id: str) -> None:
        """The first time also stops that this host has begun: a machine that crashed may have forgotten them."""
        after = 0
        begun, self._begun_asked = self._begun_asked, False
        while stops := await self._cell.orders.to_stop(host_id, after, _BATCH_MAX, begun=begun):
            after = stops[-1].n
            now = self._world.monotonic()
            for stop in stops:
                self._send(self._session.stop(stop.order, now))

    async def _order_runs(self, host_id: str) -> None:
        while (room := min(self._session.room, _BATCH_MAX)) > 0:
            runs = await self._cell.orders.to_run(host_id, self._after, room)
            for run in runs:
                self._after = run.n
                self._order_run(run)
            if len(runs) < room:
                self._waits_for_room = False
                return
        self._waits_for_room = True

    def _order_run(self, run: RunTaskOrder) -> None:
        try:
            plan = self._plans.plan(run.vpc_id)
        except KeyError:
            # The row stays and is met again at the next look-around; without its VPC the host could not begin.
            _log.error("a task's VPC is unknown to this region", task=run.task_id, vpc=run.vpc_id)
            return
        self._lent.discard(run.vpc_id)
        self._send(self._push(plan))
        self._send(self._session.run(run.task_id, run.message, self._world.monotonic()))

    async def _check(self) -> None:
        """The gateway's own clock of this host: silence, orders to repeat, at times the tables from the start."""
        looked_at = self._world.monotonic()
        while True:
            await self._world.sleep(self._knobs.link_ping_period_s)
            now = self._world.monotonic()
            for action in self._session.check(now):
                if isinstance(action, Disconnect):
                    raise ChannelClosed(action.reason)
                self._outgoing.put(action.data)
            if now - looked_at >= self._knobs.orders_lookaround_s:
                looked_at, self._after = now, 0
                self._runs_asked = self._unused_asked = True
                self._ring(None)

    def _send(self, sends: Iterable[Send]) -> None:
        for send in sends:
            self._outgoing.put(send.data)
