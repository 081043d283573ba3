"""The agent's side of the link as a state machine without I/O, and the actions both sides give to their drivers.

Owns: which reports are not acknowledged yet, when to ping, when the server counts as silent. Must not know: sockets,
tasks' inner state, the wall clock (`now` is monotonic seconds, handed in). Invariant: a report stays here, over any
number of connections, until the server said that this sequence or a higher one is durable; repeating is harmless.

Driver: one `AgentSession` per agent process. On a new connection call `connected`, for each frame `received` with the
decoded message, about once a second `tick`, on a lost connection `disconnected`; do the returned actions in order.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

from msgspec import Struct

from ..model.balancing import BalancerPlan, NodeReport
from ..model.capacity import HostFacts
from ..model.concealed import Concealed
from ..model.knobs import Knobs
from ..model.launch import TaskLaunch, TaskReport
from ..model.network import VpcPlan
from .host_identity import LINK, NONCE_BYTES, HostKey
from .messages import (
    HELLO_BALANCERS_MAX,
    HELLO_PLANS_MAX,
    PROTOCOL,
    BalancerPush,
    BalancerWithdraw,
    Challenge,
    CredentialsAsk,
    CredentialsIssued,
    CredentialsRefused,
    ExecOrder,
    Hello,
    HostUpdate,
    NodeReports,
    Ping,
    Pong,
    Proof,
    ProtectionAsk,
    ProtectionTold,
    Report,
    ReportAck,
    RunOrder,
    StopOrder,
    TagsAsk,
    TagsTold,
    ToAgent,
    VpcPush,
    VpcWithdraw,
    Welcome,
    encode,
)


class Send(Struct, frozen=True, kw_only=True):
    """Write this as one binary frame."""

    data: bytes


class Disconnect(Struct, frozen=True, kw_only=True):
    """Close the connection (and, on the agent, connect again after the back-off)."""

    reason: str


class Established(Struct, frozen=True, kw_only=True):
    """The server took this agent in; from now on reports are sent at once."""

    session: str


class ApplyVpc(Struct, frozen=True, kw_only=True):
    """Must be in force before the `RunTask` actions that follow it."""

    plan: VpcPlan


class WithdrawVpc(Struct, frozen=True, kw_only=True):
    """The VPC goes, unless a plan of a later generation was applied or a task here is in it: then after that task."""

    vpc_id: str
    generation: int


class ApplyBalancer(Concealed, frozen=True, kw_only=True):
    """Its nodes on this host run, once the plan of its VPC is in force."""

    plan: BalancerPlan


class WithdrawBalancer(Struct, frozen=True, kw_only=True):
    """Its nodes here end, unless a plan of a later generation was applied."""

    arn: str
    generation: int


class RunTask(Struct, frozen=True, kw_only=True):
    """Repeated until the task is reported. A task that is known, or has a stop tombstone, is reported and not begun."""

    launch: TaskLaunch


class StopTask(Struct, frozen=True, kw_only=True):
    """Repeated until the task is reported as stopping. For a task never seen: keep a tombstone and report STOPPED."""

    order: StopOrder


class Acknowledged(Struct, frozen=True, kw_only=True):
    """The server holds this task's report up to `report_seq` durably: a STOPPED task may be forgotten."""

    task_id: str
    report_seq: int


class CredentialsAnswered(Struct, frozen=True, kw_only=True):
    """What the server said to an ask for a task's credentials."""

    answer: CredentialsIssued | CredentialsRefused


class OpenTerminal(Struct, frozen=True, kw_only=True):
    """Somebody waits for it for some seconds; it is asked for once."""

    order: ExecOrder


class TagsAnswered(Struct, frozen=True, kw_only=True):
    """A task's tags as they were when the server was asked."""

    answer: TagsTold


class ProtectionAnswered(Struct, frozen=True, kw_only=True):
    answer: ProtectionTold


AgentAction = (
    Send
    | Disconnect
    | Established
    | ApplyVpc
    | WithdrawVpc
    | ApplyBalancer
    | WithdrawBalancer
    | RunTask
    | StopTask
    | Acknowledged
    | CredentialsAnswered
    | TagsAnswered
    | ProtectionAnswered
    | OpenTerminal
)


class _Phase(Enum):
    CLOSED = "closed"
    GREETING = "greeting"
    OPEN = "open"


class _Unacknowledged(Struct):
    report: TaskReport
    resend_at: float


class AgentSession:
    """The agent's memory of what the server still has to hear."""

    def __init__(self, knobs: Knobs, key: HostKey, process: str = "") -> None:
        """`key`: the host's. `process`: a name drawn by this process of the agent."""
        self._key = key
        self._host_id = ""
        self._process = process
        self._knobs = knobs
        self._phase = _Phase.CLOSED
        self._unacknowledged: dict[str, _Unacknowledged] = {}
        self._ping_period_s = knobs.link_ping_period_s
        self._heard_at = 0.0
        self._ping_at = 0.0
        self._pings = 0

    @property
    def is_open(self) -> bool:
        return self._phase is _Phase.OPEN

    @property
    def unacknowledged(self) -> int:
        """Tasks whose last report the server has not confirmed."""
        return len(self._unacknowledged)

    def connected(
        self,
        host: HostFacts,
        reports: Sequence[TaskReport],
        now: float,
        plans: Mapping[str, int] | None = None,
        balancers: Mapping[str, int] | None = None,
    ) -> list[AgentAction]:
        """A fresh connection. `reports`: the full state of every task this host knows, acknowledged before or not.

        `plans`: VPC -> generation, of those that it holds. `balancers`: the same by ARN; None: it can run none.
        """
        self._phase = _Phase.GREETING
        self._host_id = host.host_id
        self._heard_at = now
        for report in reports:
            self._keep(report, now)
        # A Hello is one frame and frames are bounded; what does not fit follows the Welcome as ordinary reports.
        first = tuple(entry.report for entry in self._unacknowledged.values())[: self._knobs.hello_reports_max]
        for entry in self._unacknowledged.values():
            entry.resend_at = now
        for report in first:
            self._unacknowledged[report.task_id].resend_at = now + self._knobs.report_resend_s
        hello = Hello(
            protocol=PROTOCOL,
            host=host,
            reports=first,
            public_key=self._key.public,
            process=self._process,
            plans=tuple((plans or {}).items())[:HELLO_PLANS_MAX],
            balancers=None if balancers is None else tuple(balancers.items())[:HELLO_BALANCERS_MAX],
        )
        return [Send(data=encode(hello))]

    def disconnected(self) -> None:
        self._phase = _Phase.CLOSED

    def received(self, message: ToAgent, now: float) -> list[AgentAction]:
        """What to do about one message from the server. Anything before the Welcome ends the connection."""
        self._heard_at = now
        if isinstance(message, Welcome):
            return self._welcomed(message, now)
        if isinstance(message, Challenge):
            return self._challenged(message)
        if self._phase is not _Phase.OPEN:
            return [Disconnect(reason=f"{type(message).__name__} before the welcome")]
        match message:
            case RunOrder():
                return [RunTask(launch=message.launch)]
            case StopOrder():
                return [StopTask(order=message)]
            case VpcPush():
                return [ApplyVpc(plan=message.plan)]
            case VpcWithdraw():
                return [WithdrawVpc(vpc_id=message.vpc_id, generation=message.generation)]
            case BalancerPush():
                return [ApplyBalancer(plan=message.plan)]
            case BalancerWithdraw():
                return [WithdrawBalancer(arn=message.arn, generation=message.generation)]
            case ReportAck():
                return self._acknowledged(message)
            case CredentialsIssued() | CredentialsRefused():
                return [CredentialsAnswered(answer=message)]
            case TagsTold():
                return [TagsAnswered(answer=message)]
            case ProtectionTold():
                return [ProtectionAnswered(answer=message)]
            case ExecOrder():
                return [OpenTerminal(order=message)]
            case Pong():
                return []
            case _:
                return [Disconnect(reason=f"{type(message).__name__} does not belong on this channel")]

    def report(self, report: TaskReport, now: float) -> list[AgentAction]:
        """A task changed. Persist the report's sequence before calling this."""
        if not self._keep(report, now) or self._phase is not _Phase.OPEN:
            return []
        self._unacknowledged[report.task_id].resend_at = now + self._knobs.report_resend_s
        return [Send(data=encode(Report(report=report)))]

    def host_changed(self, host: HostFacts) -> list[AgentAction]:
        """The host's facts changed (disk floor reached, say). Between connections the next Hello carries them."""
        return [Send(data=encode(HostUpdate(host=host)))] if self.is_open else []

    def node_reports(self, reports: Sequence[NodeReport]) -> list[AgentAction]:
        """Between connections they are lost: who says them says them again when a session stands."""
        return [Send(data=encode(NodeReports(reports=tuple(reports))))] if self.is_open else []

    def ask_credentials(self, task_id: str, kind: str) -> list[AgentAction]:
        """Whoever wants them asks again when no answer came: nothing of it is kept here."""
        return [Send(data=encode(CredentialsAsk(task_id=task_id, kind=kind)))] if self.is_open else []

    def ask_tags(self, task_id: str) -> list[AgentAction]:
        """Whoever wants them waits for the answer as long as it likes: nothing of it is kept here."""
        return [Send(data=encode(TagsAsk(task_id=task_id)))] if self.is_open else []

    def ask_protection(self, ask: ProtectionAsk) -> list[AgentAction]:
        """As with tags."""
        return [Send(data=encode(ask))] if self.is_open else []

    def tick(self, now: float) -> list[AgentAction]:
        """Timers: silence, ping, reports to repeat. To be called about once a second while connected."""
        if self._phase is _Phase.CLOSED:
            return []
        if now - self._heard_at > self._knobs.link_silence_s:
            return [Disconnect(reason=f"the server was silent for {self._knobs.link_silence_s:g} s")]
        if self._phase is _Phase.GREETING:
            return []
        actions = self._due_reports(now)
        if now >= self._ping_at:
            self._pings += 1
            self._ping_at = now + self._ping_period_s
            actions.append(Send(data=encode(Ping(n=self._pings))))
        return actions

    def _welcomed(self, welcome: Welcome, now: float) -> list[AgentAction]:
        if self._phase is not _Phase.GREETING:
            return [Disconnect(reason="a welcome without a hello")]
        if welcome.protocol != PROTOCOL:
            return [Disconnect(reason=f"the server speaks link protocol {welcome.protocol}, this agent {PROTOCOL}")]
        self._phase = _Phase.OPEN
        # In this order of arguments NaN becomes the lower bound.
        self._ping_period_s = min(max(0.05, welcome.ping_period_s), self._knobs.link_silence_s / 2)
        self._ping_at = now + self._ping_period_s
        return [Established(session=welcome.session), *self._due_reports(now)]

    def _challenged(self, challenge: Challenge) -> list[AgentAction]:
        if self._phase is not _Phase.GREETING or len(challenge.nonce) != NONCE_BYTES:
            return [Disconnect(reason="a challenge that is none, or not after a hello")]
        signature = self._key.sign(LINK, challenge.nonce, self._host_id)
        return [Send(data=encode(Proof(signature=signature)))]

    def _acknowledged(self, ack: ReportAck) -> list[AgentAction]:
        entry = self._unacknowledged.get(ack.task_id)
        if entry is not None and entry.report.report_seq <= ack.report_seq:
            del self._unacknowledged[ack.task_id]
        return [Acknowledged(task_id=ack.task_id, report_seq=ack.report_seq)]

    def _keep(self, report: TaskReport, now: float) -> bool:
        """Only the newest report of a task counts: each carries the full state."""
        entry = self._unacknowledged.get(report.task_id)
        if entry is not None and entry.report.report_seq > report.report_seq:
            return False
        self._unacknowledged[report.task_id] = _Unacknowledged(report=report, resend_at=now)
        return True

    def _due_reports(self, now: float) -> list[AgentAction]:
        due = [entry for entry in self._unacknowledged.values() if entry.resend_at <= now]
        actions: list[AgentAction] = []
        for entry in due[: self._knobs.hello_reports_max]:
            entry.resend_at = now + self._knobs.report_resend_s
            actions.append(Send(data=encode(Report(report=entry.report))))
        return actions
