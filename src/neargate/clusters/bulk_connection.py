"""One agent's bulk connection: containers' output, and records of flow logs, on their way to the log store.

Owns which streams this connection has opened. Invariants: an agent writes only for tasks placed on its host, into the
stream that the cell knows (it cannot choose one), and for its interfaces (flow_logs.py); bytes are acknowledged only
after the store kept them; the chunks of one source are stored in the order in which they came.
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec.structs import replace

from ..interfaces.roles import LogSink, LogTarget, TaskRoles
from ..interfaces.store import Overloaded
from ..link.host_identity import BULK, is_proved
from ..link.messages import (
    PROTOCOL,
    BulkHello,
    Challenge,
    FlowsAck,
    FlowsAppend,
    LogAck,
    LogAppend,
    LogOpen,
    LogOpened,
    LogRefused,
    Proof,
    decode_to_server,
    encode,
)
from ..log import get_logger
from ..model.bugs import told
from ..model.errors import AccessDenied, AwsError, InvalidParameter, ResourceNotFound, ServiceUnavailable
from ..model.knobs import Knobs
from ..world import World
from .arrivals import source_problem
from .cell import Cell
from .channel import Channel, ChannelClosed, Outgoing, new_nonce
from .flow_arrivals import names_problem
from .flow_logs import NOT_HERE, FlowLogWriter
from .log_rights import CREATE_GROUP, CREATE_STREAM, PUT_EVENTS, denial
from .registrations import Refusal

_log = get_logger(__name__)
Source = tuple[str, str]  # task id, container name; flow log, interface
Request = LogOpen | LogAppend | FlowsAppend
Answer = LogOpened | LogAck | LogRefused | FlowsAck


class BulkPlaces:
    """How many bulk connections each host has. The newest is refused: what an older one has in flight is not lost."""

    def __init__(self, each_max: int) -> None:
        self._each_max = each_max
        self._taken: dict[str, int] = {}

    @contextmanager
    def one(self, host_id: str) -> Iterator[None]:
        """Raises ChannelClosed, with what the agent reads as the reason."""
        taken = self._taken.get(host_id, 0)
        if taken >= self._each_max:
            raise ChannelClosed(f"this host has {taken} bulk connections already, more than one needs")
        self._taken[host_id] = taken + 1
        try:
            yield
        finally:
            self._taken[host_id] -= 1
            if not self._taken[host_id]:
                del self._taken[host_id]


class BulkConnection:
    def __init__(
        self,
        world: World,
        cell: Cell,
        sink: LogSink,
        roles: TaskRoles,
        knobs: Knobs,
        *,
        channel: Channel,
        places: BulkPlaces,
        flows: FlowLogWriter | None = None,
    ) -> None:
        """Without `flows` nobody's flow logs are here."""
        self._world = world
        self._roles = roles
        self._cell = cell
        self._sink = sink
        self._channel = channel
        self._outgoing = Outgoing(knobs.link_frames_max)
        self._working = asyncio.Semaphore(knobs.log_requests_in_flight_max)
        self._sources_max = knobs.log_sources_max
        self._silence_s = knobs.link_silence_s
        self._places = places
        self._flows = flows
        self._streams: dict[Source, tuple[int, LogTarget]] = {}
        self._turns: dict[Source, asyncio.Lock] = {}
        self._host_id = ""

    @property
    def host_id(self) -> str:
        """Empty before the hello."""
        return self._host_id

    async def run(self) -> str:
        """Until the connection ends; says why."""
        reason = ""
        try:
            async with asyncio.TaskGroup() as loops:
                loops.create_task(self._outgoing.write_to(self._channel))
                loops.create_task(self._read(loops))
        except* ChannelClosed as closed:
            reason = str(closed.exceptions[0])
        except* Exception as faults:
            # One connection ends by it; the others and the process do not.
            reason = "internal error"
            _log.error("a bulk connection failed by a fault", why=told(faults.exceptions[0]))
        return reason

    async def _read(self, loops: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(self._silence_s):
                host_id = await self._proved_host()
        except TimeoutError:
            raise ChannelClosed("no hello in time") from None
        self._host_id = host_id
        with self._places.one(host_id):
            await self._serve_all(loops)

    async def _proved_host(self) -> str:
        """The host's key was pinned when its link came first."""
        hello = _decode(await self._channel.receive())
        if not isinstance(hello, BulkHello) or hello.protocol != PROTOCOL:
            raise ChannelClosed("no hello of this protocol")
        key = self._cell.host_keys.of(hello.host_id)
        if key is None:
            raise ChannelClosed("this host's link comes first")
        nonce = new_nonce(self._world)
        self._outgoing.put(encode(Challenge(nonce=nonce)))
        proof = _decode(await self._channel.receive())
        signature = proof.signature if isinstance(proof, Proof) else b""
        if not is_proved(key, signature, channel=BULK, nonce=nonce, host_id=hello.host_id):
            reason = "the host's key was not proved"
            self._cell.refusals.note_host(hello.host_id, Refusal.KEY, reason)
            raise ChannelClosed(reason)
        return hello.host_id

    async def _serve_all(self, loops: asyncio.TaskGroup) -> None:
        while True:
            message = _decode(await self._channel.receive())
            if not isinstance(message, Request):
                raise ChannelClosed(f"{type(message).__name__} does not belong on the bulk channel")
            if isinstance(message, FlowsAppend):
                unnamed = names_problem(message)
                if unnamed is not None:
                    # Containers' lines, which share the connection, do not suffer for it.
                    self._outgoing.put(encode(_refused(message.request, InvalidParameter(unnamed))))
                    continue
            else:
                wrong = source_problem(message)
                if wrong is not None:
                    raise ChannelClosed(f"refused: {wrong}")
            await self._working.acquire()
            loops.create_task(self._serve(message))

    async def _serve(self, message: Request) -> None:
        source = _source_of(message)
        if len(self._turns) >= self._sources_max and source not in self._turns:
            raise ChannelClosed("too many log sources on one connection")
        try:
            async with self._turns.setdefault(source, asyncio.Lock()):  # fair: in the order of arrival
                answer = await self._answer(message, source)
        except Overloaded:
            answer = _refused(message.request, ServiceUnavailable())
        except AwsError as error:
            answer = _refused(message.request, error)
        finally:
            self._working.release()
        self._outgoing.put(encode(answer))

    async def _answer(self, message: Request, source: Source) -> Answer:
        if isinstance(message, FlowsAppend):
            return await self._store_flows(message)
        name = f"{message.task_id}/{message.container}"
        if isinstance(message, LogOpen):
            target = await self._cell.log_target(self._host_id, message.task_id, message.container)
            if target is None:
                return LogRefused(
                    request=message.request,
                    code="AccessDeniedException",
                    message="This host runs no such container with awslogs.",
                )
            return await self._open(message, source, target)
        key, target = self._streams.get(source, (None, None))
        if target is None or key != message.stream_key:
            return LogRefused(
                request=message.request,
                code="AccessDeniedException",
                message="This stream was not opened for this container on this connection.",
            )
        refused = self._denied(message.request, target, PUT_EVENTS)
        if refused is not None:
            return refused
        offset = await self._sink.append(
            message.stream_key, name, message.start, message.end, message.runs, message.lines, message.sizes
        )
        return LogAck(request=message.request, stream_key=message.stream_key, offset=offset)

    async def _store_flows(self, message: FlowsAppend) -> FlowsAck:
        if self._flows is None:
            raise AccessDenied(NOT_HERE)
        await self._flows.store(self._host_id, message.counter, message.batch)
        return FlowsAck(request=message.request)

    async def _open(self, message: LogOpen, source: Source, target: LogTarget) -> LogOpened | LogRefused:
        """As the log driver does it: the stream, and only when its group is missing and may be made, the group."""
        refused = None if target.is_begun else self._denied(message.request, target, CREATE_STREAM)
        if refused is not None:
            return refused
        name = f"{message.task_id}/{message.container}"
        try:
            opened = await self._sink.open_source(replace(target, create_group=False), name)
        except ResourceNotFound:
            if not target.create_group:
                raise
            refused = self._denied(message.request, target, CREATE_GROUP)
            if refused is not None:
                return refused
            opened = await self._sink.open_source(target, name)
        self._streams[source] = (opened.stream_key, target)
        return LogOpened(request=message.request, stream_key=opened.stream_key, offset=opened.offset)

    def _denied(self, request: int, target: LogTarget, operation: str) -> LogRefused | None:
        request_id = str(uuid.UUID(int=self._world.random.getrandbits(128), version=4))
        found = denial(self._roles, target, operation, request_id)
        if found is None:
            return None
        return LogRefused(request=request, code=AccessDenied.code, message=found.message, operation=found.operation)


def _source_of(message: Request) -> Source:
    """No id of a task begins as those of flow logs do."""
    if isinstance(message, FlowsAppend):
        return message.batch.flow_log_id, message.batch.eni_id
    return message.task_id, message.container


def _decode(data: bytes) -> object:
    try:
        return decode_to_server(data)
    except msgspec.DecodeError as error:
        raise ChannelClosed(f"unreadable message: {error}") from None


def _refused(request: int, error: AwsError) -> LogRefused:
    return LogRefused(request=request, code=error.code, message=error.message)
