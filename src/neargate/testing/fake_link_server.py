"""The server's end of an agent's two connections, in memory: gives orders, keeps reports, stores logs.

`acknowledge` switches the durable answer off, `refuse_logs` makes log groups missing. `drop` cuts the connections, as a
restart of the server does; the next connect finds it again unless `is_down`.
"""

import asyncio
from itertools import accumulate
from typing import Any

from msgspec import Struct, field

from ..agent.channels.link import Closed
from ..link.host_identity import BULK, LINK, NONCE_BYTES, is_proved
from ..link.messages import (
    EXECUTION_ROLE,
    PROTOCOL,
    BulkHello,
    Challenge,
    CredentialsAsk,
    CredentialsIssued,
    CredentialsRefused,
    FlowsAck,
    FlowsAppend,
    Hello,
    HostUpdate,
    LogAck,
    LogAppend,
    LogOpen,
    LogOpened,
    LogRefused,
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
    ToServer,
    VpcPush,
    VpcWithdraw,
    Welcome,
    decode_to_server,
    encode,
)
from ..model.capacity import HostFacts
from ..model.flow_logs import FlowLogBatch
from ..model.launch import TaskLaunch, TaskReport
from ..model.network import VpcPlan
from .fake_faults import a_moment

_NONCE = bytes(NONCE_BYTES)


class StoredLog(Struct):
    """What reached the log store of one container: bytes [0, offset) of its source, as lines."""

    offset: int = 0
    lines: list[bytes] = field(default_factory=list)


class FakeLinkServer:
    """Implements the agent's `Transport`."""

    def __init__(self) -> None:
        self.reports: dict[str, TaskReport] = {}
        self.history: list[TaskReport] = []
        self.hosts: list[HostFacts] = []
        self.plans: dict[str, int] = {}  # that the host held at its last Hello
        self.logs: dict[tuple[str, str], StoredLog] = {}
        self.acknowledge = True
        self.acknowledge_logs = True
        self.refused_operation = ""
        self.refuse_logs: tuple[str, str] | None = None
        self.credentials: dict[str, CredentialsIssued | CredentialsRefused] = {}  # task id -> the answer to its ask
        self.public_key = b""  # the host's, from its last Hello
        self.asks: list[str] = []  # task ids for whose credentials was asked
        self.execution: dict[str, CredentialsIssued | CredentialsRefused] = {}  # the same for execution roles
        self.execution_asks: list[str] = []
        self.tags: dict[str, tuple[tuple[str, str], ...]] = {}  # of tasks about which is answered
        self.tag_asks: list[str] = []
        self.protection_asks: list[ProtectionAsk] = []
        self.protections: list[dict[str, Any]] = []  # what asks are answered with, each once
        self.flows: list[tuple[str, FlowLogBatch]] = []  # (counter, batch) as they came, also those refused
        self.flow_answers: list[tuple[str, str] | None] = []  # to the next batches: a refusal, or None for silence
        self.cuts_flows = False  # as a server that does not know of them
        self.is_down = False
        self._link: _Pipe | None = None
        self._bulk: _Pipe | None = None
        self._changed = asyncio.Event()

    # -- what tests do

    def push(self, plan: VpcPlan) -> None:
        self._say(VpcPush(plan=plan))

    def withdraw(self, vpc_id: str, generation: int) -> None:
        self._say(VpcWithdraw(vpc_id=vpc_id, generation=generation))

    def run(self, launch: TaskLaunch) -> None:
        self._say(RunOrder(launch=launch))

    def stop(
        self, task_id: str, incarnation: str, stop_code: str = "UserInitiated", reason: str = "Task stopped by user"
    ) -> None:
        self._say(StopOrder(task_id=task_id, incarnation=incarnation, stop_code=stop_code, reason=reason))

    def issue(self, answer: CredentialsIssued | CredentialsRefused) -> None:
        """Said without having been asked for."""
        self._say(answer)

    async def asked(self, times: int, within_s: float = 100_000.0) -> None:
        """Wait until credentials were asked for so often."""
        async with asyncio.timeout(within_s):
            while len(self.asks) < times:
                self._changed.clear()
                await self._changed.wait()

    def drop(self) -> None:
        for pipe in (self._link, self._bulk):
            if pipe is not None:
                pipe.cut()
        self._link = self._bulk = None

    async def status(self, task_id: str, *statuses: str, within_s: float = 600.0) -> TaskReport:
        """Wait until the task's last report shows one of the statuses."""
        async with asyncio.timeout(within_s):
            while True:
                report = self.reports.get(task_id)
                if report is not None and report.known_status in statuses:
                    return report
                self._changed.clear()
                await self._changed.wait()

    async def connected(self, within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while self._link is None or not self._link.greeted:
                self._changed.clear()
                await self._changed.wait()

    # -- the agent's transport

    async def connect(self, path: str) -> "_Pipe":
        await a_moment()
        if self.is_down:
            raise Closed("the server is down")
        pipe = _Pipe(self, path)
        if path == "/link":
            if self._link is not None:
                self._link.cut()
            self._link = pipe
        else:
            if self._bulk is not None:
                self._bulk.cut()
            self._bulk = pipe
        return pipe

    def heard(self, pipe: "_Pipe", message: ToServer) -> None:
        match message:
            case Hello():
                pipe.hello = message
                pipe.say(Challenge(nonce=_NONCE))
            case Proof():
                self._proved(pipe, message)
            case Report():
                self._report(pipe, message.report)
            case HostUpdate():
                self.hosts.append(message.host)
            case CredentialsAsk():
                is_execution = message.kind == EXECUTION_ROLE
                (self.execution_asks if is_execution else self.asks).append(message.task_id)
                answers = self.execution if is_execution else self.credentials
                if message.task_id in answers:
                    pipe.say(answers[message.task_id])
            case TagsAsk():
                self.tag_asks.append(message.task_id)
                if message.task_id in self.tags:
                    pipe.say(TagsTold(task_id=message.task_id, tags=self.tags[message.task_id]))
            case ProtectionAsk():
                self.protection_asks.append(message)
                if self.protections:
                    pipe.say(ProtectionTold(number=message.number, **self.protections.pop(0)))
            case Ping():
                pipe.say(Pong(n=message.n))
            case BulkHello():
                pipe.hello = message
                pipe.say(Challenge(nonce=_NONCE))
            case LogOpen():
                self._open(pipe, message)
            case LogAppend():
                self._append(pipe, message)
            case FlowsAppend():
                self._flows(pipe, message)
        self._changed.set()

    def _proved(self, pipe: "_Pipe", proof: Proof) -> None:
        """The bulk channel's key must be the link's."""
        hello = pipe.hello
        if isinstance(hello, Hello):
            self.public_key = hello.public_key
        assert hello is not None, "a proof follows a hello"
        channel, host_id = (LINK, hello.host.host_id) if isinstance(hello, Hello) else (BULK, hello.host_id)
        if not is_proved(self.public_key, proof.signature, channel=channel, nonce=_NONCE, host_id=host_id):
            pipe.cut()
            return
        pipe.greeted = True
        if isinstance(hello, Hello):
            self.hosts.append(hello.host)
            self.plans = dict(hello.plans or ())
            pipe.say(Welcome(protocol=PROTOCOL, session="s", ping_period_s=5.0))
            for report in hello.reports:
                self._report(pipe, report)

    def _report(self, pipe: "_Pipe", report: TaskReport) -> None:
        known = self.reports.get(report.task_id)
        if known is None or known.report_seq < report.report_seq:
            self.reports[report.task_id] = report
            self.history.append(report)
        if self.acknowledge:
            pipe.say(ReportAck(task_id=report.task_id, report_seq=report.report_seq))

    def _open(self, pipe: "_Pipe", message: LogOpen) -> None:
        if self.refuse_logs is not None:
            code, text = self.refuse_logs
            pipe.say(LogRefused(request=message.request, code=code, message=text, operation=self.refused_operation))
            return
        stored = self.logs.setdefault((message.task_id, message.container), StoredLog())
        pipe.say(LogOpened(request=message.request, stream_key=1, offset=stored.offset))

    def _append(self, pipe: "_Pipe", message: LogAppend) -> None:
        stored = self.logs[message.task_id, message.container]
        if message.start > stored.offset:
            text = f"The next bytes of this source begin at {stored.offset}, not at {message.start}."
            pipe.say(LogRefused(request=message.request, code="InvalidSequenceTokenException", message=text))
            return
        if message.start == stored.offset and message.end > message.start:
            lines = message.lines.split(b"\n") if message.lines else []
            if message.sizes:
                ends = list(accumulate(message.sizes))
                assert ends[-1] == len(message.lines), "sizes are of the lines"
                lines = [message.lines[end - size : end] for end, size in zip(ends, message.sizes, strict=True)]
            assert sum(count for _, count in message.runs) == len(lines), "runs count the lines"
            stored.lines.extend(lines)
            stored.offset = message.end
        if self.acknowledge_logs:
            pipe.say(LogAck(request=message.request, stream_key=message.stream_key, offset=stored.offset))

    def _flows(self, pipe: "_Pipe", message: FlowsAppend) -> None:
        self.flows.append((message.counter, message.batch))
        if self.cuts_flows:
            pipe.cut()
            return
        if not self.flow_answers:
            pipe.say(FlowsAck(request=message.request))
            return
        refusal = self.flow_answers.pop(0)
        if refusal is not None:
            pipe.say(LogRefused(request=message.request, code=refusal[0], message=refusal[1]))

    def _say(self, message: ToAgent) -> None:
        assert self._link is not None, "no agent is connected"
        self._link.say(message)


class _Pipe:
    """One connection; the agent's end is `send` and `receive`."""

    def __init__(self, server: FakeLinkServer, path: str) -> None:
        self.greeted = False
        self.hello: Hello | BulkHello | None = None
        self.path = path
        self._server = server
        self._to_agent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._closed = False

    def say(self, message: ToAgent) -> None:
        if not self._closed:
            self._to_agent.put_nowait(encode(message))

    def cut(self) -> None:
        self._closed = True
        self._to_agent.put_nowait(None)

    async def send(self, data: bytes) -> None:
        await a_moment()
        if self._closed:
            raise Closed("cut")
        self._server.heard(self, decode_to_server(data))

    async def receive(self) -> bytes:
        data = await self._to_agent.get()
        if data is None or self._closed:
            raise Closed("cut")
        return data

    async def close(self) -> None:
        self._closed = True
        self._to_agent.put_nowait(None)
