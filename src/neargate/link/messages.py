"""Messages of the agent's link, typed. Encoded as MessagePack; a WebSocket frame holds one, or an array of several.

The link is level-triggered: after any gap the agent says what it has (Hello) and the server what it wants (RunOrder,
StopOrder). Orders and reports are repeated until acknowledged; repeating one is harmless.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ..model.balancing import BalancerPlan, NodeReport
from ..model.capacity import HostFacts
from ..model.concealed import Concealed
from ..model.flow_logs import FlowLogBatch
from ..model.launch import TaskLaunch, TaskReport
from ..model.network import VpcPlan

PROTOCOL = 2
HELLO_PLANS_MAX = 1024  # VPCs that a Hello names; those beyond it are named by a later one
HELLO_BALANCERS_MAX = 1024
TASK_ROLE = "task"  # what a task is: served to its containers
EXECUTION_ROLE = "execution"  # what the platform does for it: never leaves the agent


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """First message of a session, agent to server."""

    protocol: int
    host: HostFacts
    reports: tuple[TaskReport, ...]
    public_key: bytes = b""  # of the host (host_identity.py)
    process: str = ""  # drawn at each start of an agent: two at the same time are two agents of one host
    # VPCs it holds, each with its plan's generation; None: an agent that knows of no withdrawal.
    plans: tuple[tuple[str, int], ...] | None = None
    # Load balancers of which it runs nodes, by ARN, each with its plan's generation; None: an agent that can run none.
    balancers: tuple[tuple[str, int], ...] | None = None


class Challenge(msgspec.Struct, frozen=True, kw_only=True, tag="challenge"):
    """Server to agent, after the hello of either channel: drawn for this connection."""

    nonce: bytes


class Proof(msgspec.Struct, frozen=True, kw_only=True, tag="proof"):
    """Agent to server, the second message of either channel: the host's key signs the nonce."""

    signature: bytes


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """Server to agent: the session stands. `ping_period_s`: how often the agent must be heard."""

    protocol: int
    session: str
    ping_period_s: float


class VpcPush(msgspec.Struct, frozen=True, kw_only=True, tag="vpc"):
    """Comes before the first order of a VPC and again at each change."""

    plan: VpcPlan


class VpcWithdraw(msgspec.Struct, frozen=True, kw_only=True, tag="vpc-withdraw"):
    """The plan of this generation, or of an earlier one, is needed no longer: its VPC is gone, or has no task there.

    Waits for the host's last task of the VPC; a plan that is pushed after it makes it void.
    """

    vpc_id: str
    generation: int


class BalancerPush(Concealed, frozen=True, kw_only=True, tag="balancer"):
    """Comes after the plan of its VPC, and again at each change. Private keys are in it."""

    plan: BalancerPlan


class BalancerWithdraw(msgspec.Struct, frozen=True, kw_only=True, tag="balancer-withdraw"):
    """The plan of this generation, or of an earlier one, is needed no longer: no node of it is on this host."""

    arn: str
    generation: int


class NodeReports(msgspec.Struct, frozen=True, kw_only=True, tag="nodes"):
    """Agent to server, whenever something changes and each period: only a newer report of a node counts."""

    reports: tuple[NodeReport, ...]


class RunOrder(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    launch: TaskLaunch


class StopOrder(msgspec.Struct, frozen=True, kw_only=True, tag="stop"):
    """Obeyed only for a task whose incarnation is the same. Leaves a tombstone, also for a task not yet seen."""

    task_id: str
    incarnation: str
    stop_code: str
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True, tag="report"):
    report: TaskReport


class ReportAck(msgspec.Struct, frozen=True, kw_only=True, tag="report-ack"):
    """The report up to this sequence is durable. For a STOPPED task the agent may then forget it."""

    task_id: str
    report_seq: int


class HostUpdate(msgspec.Struct, frozen=True, kw_only=True, tag="host"):
    host: HostFacts


class CredentialsAsk(msgspec.Struct, frozen=True, kw_only=True, tag="credentials-ask"):
    """Agent to server, repeated until answered. `kind`: of the task role (`task`) or the execution role."""

    task_id: str
    kind: str = TASK_ROLE


class CredentialsIssued(Concealed, frozen=True, kw_only=True, tag="credentials"):
    """A session of the role. Times are epoch seconds. Never logged: `secret_access_key` and `token` are secrets."""

    task_id: str
    kind: str = TASK_ROLE
    role_arn: str
    access_key_id: str
    secret_access_key: str
    token: str
    issued_at: float
    expires_at: float


class CredentialsRefused(msgspec.Struct, frozen=True, kw_only=True, tag="credentials-refused"):
    """`is_final`: asking again soon would not help. `message` is AWS's sentence."""

    task_id: str
    kind: str = TASK_ROLE
    message: str
    is_final: bool


class TagsAsk(msgspec.Struct, frozen=True, kw_only=True, tag="tags-ask"):
    """Agent to server: a task asks its metadata for its tags as they are now. Answered at most once."""

    task_id: str


class TagsTold(msgspec.Struct, frozen=True, kw_only=True, tag="tags"):
    task_id: str
    tags: tuple[tuple[str, str], ...]


class ProtectionAsk(msgspec.Struct, frozen=True, kw_only=True, tag="protection-ask"):
    """Agent to server: a task asks whether it is protected (`enabled` None), or to be, or no more.

    Answered at most once, with the same `number`.
    """

    number: int
    task_id: str
    enabled: bool | None = None
    expires_in_minutes: int = 0


class ProtectionTold(msgspec.Struct, frozen=True, kw_only=True, tag="protection"):
    """With `code` and `message` it is ECS's error, with `reason` a failure; else what holds now."""

    number: int
    enabled: bool = False
    expires_at: float | None = None
    reason: str = ""
    code: str = ""
    message: str = ""


class ExecOrder(Concealed, frozen=True, kw_only=True, tag="exec"):
    """Server to agent, once: start this command and bring its terminal on a connection of its own (terminal.py).

    A secret may be among the words of a command.
    """

    session: str
    task_id: str
    incarnation: str
    container: str
    args: tuple[str, ...]


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping"):
    n: int


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong"):
    n: int


# Bulk channel (a connection of its own, so that logs never delay orders).
class BulkHello(msgspec.Struct, frozen=True, kw_only=True, tag="bulk-hello"):
    protocol: int
    host_id: str


class LogOpen(msgspec.Struct, frozen=True, kw_only=True, tag="log-open"):
    request: int
    task_id: str
    container: str


class LogOpened(msgspec.Struct, frozen=True, kw_only=True, tag="log-opened"):
    request: int
    stream_key: int
    offset: int


class LogRefused(msgspec.Struct, frozen=True, kw_only=True, tag="log-refused"):
    """`operation`: what the log driver of AWS was about when it failed, where that is not CreateLogStream."""

    request: int
    code: str
    message: str
    operation: str = ""


class LogAppend(msgspec.Struct, frozen=True, kw_only=True, tag="log-append"):
    request: int
    stream_key: int
    task_id: str
    container: str
    start: int
    end: int
    runs: tuple[tuple[int, int], ...]
    lines: bytes
    sizes: tuple[int, ...] = ()  # bytes of each event, which then may have several lines; empty: a line is an event


class LogAck(msgspec.Struct, frozen=True, kw_only=True, tag="log-ack"):
    request: int
    stream_key: int
    offset: int


class FlowsAppend(msgspec.Struct, frozen=True, kw_only=True, tag="flows"):
    """Said only for a flow log that a plan has named: a server that plans them knows this message.

    `counter`: drawn at each start of the agent, which counts its batches from the beginning then.
    """

    request: int
    counter: str
    batch: FlowLogBatch


class FlowsAck(msgspec.Struct, frozen=True, kw_only=True, tag="flows-ack"):
    """The batch is durable."""

    request: int


ToServer = (
    Hello
    | Proof
    | Report
    | HostUpdate
    | NodeReports
    | CredentialsAsk
    | TagsAsk
    | ProtectionAsk
    | Ping
    | BulkHello
    | LogOpen
    | LogAppend
    | FlowsAppend
)
ToAgent = (
    Challenge
    | Welcome
    | VpcPush
    | VpcWithdraw
    | BalancerPush
    | BalancerWithdraw
    | RunOrder
    | StopOrder
    | ReportAck
    | CredentialsIssued
    | CredentialsRefused
    | TagsTold
    | ProtectionTold
    | ExecOrder
    | Pong
    | LogOpened
    | LogRefused
    | LogAck
    | FlowsAck
)

encode = msgspec.msgpack.Encoder().encode


def decoder(kind: Any) -> Callable[[bytes], Any]:
    """For messages of this kind. Raises msgspec.DecodeError for all that is none: either side may send anything."""
    decode = msgspec.msgpack.Decoder(kind).decode

    def read(data: bytes) -> Any:
        try:
            return decode(data)
        except (UnicodeError, RecursionError) as error:
            raise msgspec.DecodeError(f"no text, or no end of nesting: {type(error).__name__}") from None

    return read


decode_to_server: Callable[[bytes], ToServer] = decoder(ToServer)
decode_to_agent: Callable[[bytes], ToAgent] = decoder(ToAgent)
_decode_frame_to_server: Callable[[bytes], ToServer | list[ToServer]] = decoder(ToServer | list[ToServer])
_decode_frame_to_agent: Callable[[bytes], ToAgent | list[ToAgent]] = decoder(ToAgent | list[ToAgent])

_FRAME_MESSAGES_MAX = 64
_FRAME_JOINED_MAX_BYTES = 256 * 1024


def frames(messages: Iterable[bytes]) -> Iterator[bytes]:
    """Encoded messages in as few frames of the link as their sizes allow, in their order."""
    joined: list[bytes] = []
    size = 0
    for message in messages:
        if joined and (len(joined) == _FRAME_MESSAGES_MAX or size + len(message) > _FRAME_JOINED_MAX_BYTES):
            yield _frame(joined)
            joined, size = [], 0
        joined.append(message)
        size += len(message)
    if joined:
        yield _frame(joined)


def _frame(messages: Sequence[bytes]) -> bytes:
    """One message as it is, several as an array (MessagePack's array 16)."""
    if len(messages) == 1:
        return messages[0]
    return b"".join((b"\xdc", len(messages).to_bytes(2, "big"), *messages))


def messages_to_server(data: bytes) -> list[ToServer]:
    """What a frame holds. Raises msgspec.DecodeError."""
    found = _decode_frame_to_server(data)
    return found if isinstance(found, list) else [found]


def messages_to_agent(data: bytes) -> list[ToAgent]:
    """What a frame holds. Raises msgspec.DecodeError."""
    found = _decode_frame_to_agent(data)
    return found if isinstance(found, list) else [found]
