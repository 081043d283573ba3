"""The server's side of one agent connection as a state machine without I/O.

Owns: which orders this host has not answered yet, which VPC plans it has been given, how long it has been silent. Must
not know: sockets, the database, what a task is. Invariant: an order is repeated until the host reports the task; a plan
of a VPC is sent before the first order that needs it.

Silence is counted in the gateway's own checks, not in clock time: a gateway that was paused or starved counts one check
when it resumes, so its own trouble never looks like the hosts'.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ..model.balancing import BalancerPlan, NodeReport
from ..model.capacity import HostFacts
from ..model.knobs import Knobs
from ..model.launch import TaskReport
from ..model.lifecycle import LastStatus, is_later
from ..model.network import VpcPlan
from .host_identity import LINK, is_proved
from .messages import (
    PROTOCOL,
    BalancerPush,
    BalancerWithdraw,
    Challenge,
    CredentialsAsk,
    Hello,
    HostUpdate,
    NodeReports,
    Ping,
    Pong,
    Proof,
    ProtectionAsk,
    Report,
    ReportAck,
    StopOrder,
    TagsAsk,
    ToServer,
    VpcPush,
    VpcWithdraw,
    Welcome,
    encode,
)
from .session import Disconnect, Send


class Greeted(Struct, frozen=True, kw_only=True):
    """The agent said who it is and what it has, and holds this key. Is it the host's? Register it, then `welcome`."""

    host: HostFacts
    public_key: bytes
    reports: Sequence[TaskReport]
    process: str = ""


class Reported(Struct, frozen=True, kw_only=True):
    """Apply the report; when it is durable send `acknowledgement`."""

    report: TaskReport


class HostChanged(Struct, frozen=True, kw_only=True):
    host: HostFacts


class CredentialsAsked(Struct, frozen=True, kw_only=True):
    """Answer it only for a task that is placed on this session's host."""

    ask: CredentialsAsk


class TagsAsked(Struct, frozen=True, kw_only=True):
    """Answer it only for a task that is placed on this session's host."""

    task_id: str


class ProtectionAsked(Struct, frozen=True, kw_only=True):
    """Answer it only for a task that is placed on this session's host."""

    ask: ProtectionAsk


class NodesReported(Struct, frozen=True, kw_only=True):
    """Believe it only of nodes that are placed on this session's host."""

    reports: Sequence[NodeReport]


ServerAction = (
    Send
    | Disconnect
    | Greeted
    | Reported
    | HostChanged
    | CredentialsAsked
    | TagsAsked
    | ProtectionAsked
    | NodesReported
)


class _Order(Struct):
    data: bytes
    resend_at: float


class ServerSession:
    """One connection of one agent."""

    def __init__(self, session_id: str, knobs: Knobs, nonce: bytes) -> None:
        """`nonce`: NONCE_BYTES drawn for this connection."""
        self.session_id = session_id
        self.host_id: str | None = None  # once it was proved
        self._nonce = nonce
        self._claim: Hello | None = None
        self._knobs = knobs
        self._runs: dict[str, _Order] = {}
        self._stops: dict[str, _Order] = {}
        self._plans: dict[str, int] = {}  # VPC id -> generation sent in this session
        self._held: Mapping[str, int] = {}  # the same as the agent's Hello had it
        self._balancers: dict[str, int] = {}  # ARN -> generation sent in this session
        self._held_balancers: Mapping[str, int] = {}
        self._runs_balancers = False
        self._withdraws = False  # whether this agent knows what a withdrawal is
        self._heard = True
        self._silent_checks = 0

    @property
    def room(self) -> int:
        """How many more run orders may be in flight."""
        return self._knobs.orders_in_flight_max - len(self._runs)

    @property
    def vpcs(self) -> tuple[str, ...]:
        """VPCs whose changes this host must hear of."""
        return tuple(self._plans)

    @property
    def held(self) -> frozenset[str]:
        """VPCs that this host has, as far as this session knows."""
        return frozenset((*self._held, *self._plans))

    @property
    def held_balancers(self) -> frozenset[str]:
        """ARNs of load balancers that this host has, as far as this session knows."""
        return frozenset((*self._held_balancers, *self._balancers))

    def received(self, message: ToServer) -> list[ServerAction]:
        """What to do about one message. A message that does not fit the phase ends the connection."""
        self._heard = True
        if isinstance(message, Hello):
            return self._hello(message)
        if isinstance(message, Proof):
            return self._proof(message)
        if self.host_id is None:
            return [Disconnect(reason=f"{type(message).__name__} before the hello")]
        match message:
            case Ping():
                return [Send(data=encode(Pong(n=message.n)))]
            case Report():
                self._answered(message.report)
                return [Reported(report=message.report)]
            case HostUpdate() if message.host.host_id == self.host_id:
                return [HostChanged(host=message.host)]
            case NodeReports():
                return [NodesReported(reports=message.reports)]
            case CredentialsAsk():
                return [CredentialsAsked(ask=message)]
            case TagsAsk():
                return [TagsAsked(task_id=message.task_id)]
            case ProtectionAsk():
                return [ProtectionAsked(ask=message)]
            case _:
                return [Disconnect(reason=f"{type(message).__name__} does not belong here")]

    def welcome(self) -> Send:
        return Send(
            data=encode(
                Welcome(protocol=PROTOCOL, session=self.session_id, ping_period_s=self._knobs.link_ping_period_s)
            )
        )

    def push_plan(self, plan: VpcPlan) -> list[Send]:
        """Nothing when this session has that generation already."""
        if self._plans.get(plan.vpc_id, -1) >= plan.generation:
            return []
        self._plans[plan.vpc_id] = plan.generation
        return [Send(data=encode(VpcPush(plan=plan)))]

    def withdraw_plan(self, vpc_id: str) -> list[Send]:
        """For a VPC without orders of this host. It is sent again before the next one."""
        generation = max(self._held.get(vpc_id, -1), self._plans.get(vpc_id, -1))
        if not self._withdraws or generation < 0:
            return []
        self._held = {other: known for other, known in self._held.items() if other != vpc_id}
        self._plans.pop(vpc_id, None)
        return [Send(data=encode(VpcWithdraw(vpc_id=vpc_id, generation=generation)))]

    def push_balancer(self, plan: BalancerPlan) -> list[Send]:
        """After the plan of its VPC. Nothing when the host has that generation, or knows of no load balancers."""
        known = max(self._balancers.get(plan.arn, -1), self._held_balancers.get(plan.arn, -1))
        if not self._runs_balancers or known >= plan.generation:
            return []
        self._balancers[plan.arn] = plan.generation
        return [Send(data=encode(BalancerPush(plan=plan)))]

    def withdraw_balancer(self, arn: str) -> list[Send]:
        generation = max(self._held_balancers.get(arn, -1), self._balancers.get(arn, -1))
        if not self._runs_balancers or generation < 0:
            return []
        self._held_balancers = {other: known for other, known in self._held_balancers.items() if other != arn}
        self._balancers.pop(arn, None)
        return [Send(data=encode(BalancerWithdraw(arn=arn, generation=generation)))]

    def run(self, task_id: str, order: bytes, now: float) -> list[Send]:
        """`order` is an encoded RunOrder. Nothing while it is in flight: the timer repeats it."""
        if task_id in self._runs or task_id in self._stops:
            return []
        self._runs[task_id] = _Order(data=order, resend_at=now + self._knobs.order_resend_s)
        return [Send(data=order)]

    def stop(self, order: StopOrder, now: float) -> list[Send]:
        """A stop overtakes the run order of the same task for good."""
        if order.task_id in self._stops:
            return []
        self._runs.pop(order.task_id, None)
        data = encode(order)
        self._stops[order.task_id] = _Order(data=data, resend_at=now + self._knobs.order_resend_s)
        return [Send(data=data)]

    def acknowledgement(self, task_id: str, report_seq: int) -> Send:
        return Send(data=encode(ReportAck(task_id=task_id, report_seq=report_seq)))

    def check(self, now: float) -> list[Send | Disconnect]:
        """One of the gateway's checks, every ping period: orders to repeat, and whether the agent was heard since."""
        self._silent_checks = 0 if self._heard else self._silent_checks + 1
        self._heard = False
        if self._silent_checks * self._knobs.link_ping_period_s >= self._knobs.link_silence_s:
            return [Disconnect(reason=f"the agent was silent for {self._silent_checks} checks")]
        repeated: list[Send | Disconnect] = []
        for orders in (self._runs, self._stops):
            for order in orders.values():
                if order.resend_at <= now:
                    order.resend_at = now + self._knobs.order_resend_s
                    repeated.append(Send(data=order.data))
        return repeated

    def _hello(self, hello: Hello) -> list[ServerAction]:
        if self.host_id is not None or self._claim is not None:
            return [Disconnect(reason="a second hello")]
        if hello.protocol != PROTOCOL:
            return [Disconnect(reason=f"the agent speaks link protocol {hello.protocol}, this server {PROTOCOL}")]
        self._claim = hello
        return [Send(data=encode(Challenge(nonce=self._nonce)))]

    def _proof(self, proof: Proof) -> list[ServerAction]:
        """Once: what comes after it is another message of a host that is known, or the end."""
        hello, self._claim = self._claim, None
        if hello is None:
            return [Disconnect(reason="a proof without a hello")]
        host_id = hello.host.host_id
        if not is_proved(hello.public_key, proof.signature, channel=LINK, nonce=self._nonce, host_id=host_id):
            return [Disconnect(reason=f"host {host_id} did not prove its key")]
        self.host_id = host_id
        self._held, self._withdraws = dict(hello.plans or ()), hello.plans is not None
        self._held_balancers, self._runs_balancers = dict(hello.balancers or ()), hello.balancers is not None
        return [Greeted(host=hello.host, public_key=hello.public_key, reports=hello.reports, process=hello.process)]

    def _answered(self, report: TaskReport) -> None:
        """Any report answers the run order; only one that is past RUNNING answers the stop order."""
        self._runs.pop(report.task_id, None)
        if report.known_status in LastStatus.__members__ and is_later(
            LastStatus(report.known_status), LastStatus.RUNNING
        ):
            self._stops.pop(report.task_id, None)
