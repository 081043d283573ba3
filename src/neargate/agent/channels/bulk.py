"""The second connection, for what is large: requests and their answers, matched by number.

Invariant: a request ends with its answer or with Closed; after Closed its outcome is unknown and the caller asks again
on the next connection (`connection` counts them).
"""

import asyncio

import msgspec

from ...link.host_identity import BULK, NONCE_BYTES, HostKey
from ...link.messages import (
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
    ToServer,
    Welcome,
    decode_to_agent,
    encode,
)
from ...model.flow_logs import FlowLogBatch
from ...model.knobs import Knobs
from ...world import World, within
from ..arrivals.messages import problem
from .link import Closed, Connection, Transport

Answer = LogOpened | LogRefused | LogAck | FlowsAck


class BulkClient:
    """`connection`: number of the connection that stands, 0 when none does."""

    def __init__(self, world: World, knobs: Knobs, transport: Transport, host_id: str, key: HostKey) -> None:
        self._world = world
        self._knobs = knobs
        self._transport = transport
        self._host_id = host_id
        self._key = key
        self._socket: Connection | None = None
        self._connections = 0
        self._requests = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._up = asyncio.Event()

    @property
    def connection(self) -> int:
        return self._connections if self._socket is not None else 0

    async def connected(self) -> None:
        await self._up.wait()

    async def run(self) -> None:
        backoff_s = self._knobs.link_reconnect_min_s
        while True:
            try:
                socket = await self._greeted()
            except Closed:
                await self._world.sleep(backoff_s * (0.5 + self._world.random.random()))
                backoff_s = min(backoff_s * 2, self._knobs.link_reconnect_max_s)
                continue
            self._socket = socket
            self._connections += 1
            self._up.set()
            if await self._read(socket):
                backoff_s = self._knobs.link_reconnect_min_s
            self._lost()
            await socket.close()
            await self._world.sleep(backoff_s * (0.5 + self._world.random.random()))
            backoff_s = min(backoff_s * 2, self._knobs.link_reconnect_max_s)

    async def _greeted(self) -> Connection:
        """A connection on which this host has proved itself. Raises Closed."""
        socket = await self._transport.connect("/bulk")
        try:
            await socket.send(encode(BulkHello(protocol=PROTOCOL, host_id=self._host_id)))
            async with asyncio.timeout(self._knobs.link_silence_s):
                challenge = decode_to_agent(await socket.receive())
            if not isinstance(challenge, Challenge) or len(challenge.nonce) != NONCE_BYTES:
                raise Closed("the server did not ask for a proof")
            signature = self._key.sign(BULK, challenge.nonce, self._host_id)
            await socket.send(encode(Proof(signature=signature)))
        except (Closed, TimeoutError, msgspec.DecodeError) as error:
            await socket.close()
            raise Closed(str(error)) from error
        return socket

    async def open(self, task_id: str, container: str) -> LogOpened | LogRefused:
        answer = await self._ask(LogOpen(request=self._next(), task_id=task_id, container=container))
        if not isinstance(answer, LogOpened | LogRefused):
            raise await self._nonsense("an open was acknowledged as an append")
        return answer

    async def append(
        self,
        opened: LogOpened,
        task_id: str,
        container: str,
        *,
        start: int,
        end: int,
        runs: tuple[tuple[int, int], ...],
        lines: bytes,
        sizes: tuple[int, ...] = (),
    ) -> LogAck | LogRefused:
        message = LogAppend(
            request=self._next(),
            stream_key=opened.stream_key,
            task_id=task_id,
            container=container,
            start=start,
            end=end,
            runs=runs,
            lines=lines,
            sizes=sizes,
        )
        answer = await self._ask(message)
        if not isinstance(answer, LogAck | LogRefused):
            raise await self._nonsense("an append was answered as something else")
        return answer

    async def send_flows(self, counter: str, batch: FlowLogBatch) -> FlowsAck | LogRefused:
        answer = await self._ask(FlowsAppend(request=self._next(), counter=counter, batch=batch))
        if not isinstance(answer, FlowsAck | LogRefused):
            raise await self._nonsense("flow records were answered as something else")
        return answer

    async def _nonsense(self, what: str) -> Closed:
        """The server is not to be believed on this connection: the next one starts from what it has stored."""
        if self._socket is not None:
            await self._socket.close()
        return Closed(what)

    def _next(self) -> int:
        self._requests += 1
        return self._requests

    async def _ask(self, message: LogOpen | LogAppend | FlowsAppend) -> Answer:
        socket = self._socket
        if socket is None:
            raise Closed("the bulk channel is down")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[message.request] = answer
        try:
            await self._send(socket, message)
            return await within(self._knobs.log_resend_s, answer)
        except TimeoutError as error:
            # The server may be alive and deaf; a new connection starts from what it has stored.
            await socket.close()
            raise Closed("the server does not answer on the bulk channel") from error
        finally:
            self._waiting.pop(message.request, None)

    async def _send(self, socket: Connection, message: ToServer) -> None:
        await socket.send(encode(message))

    async def _read(self, socket: Connection) -> bool:
        """Until the connection is lost. True when the server said anything."""
        heard = False
        try:
            while True:
                message = decode_to_agent(await socket.receive())
                heard = True
                if problem(message) is not None:
                    return heard
                if isinstance(message, Answer):
                    answer = self._waiting.get(message.request)
                    if answer is not None and not answer.done():
                        answer.set_result(message)
                elif not isinstance(message, Welcome):
                    return heard
        except (Closed, msgspec.DecodeError):
            return heard

    def _lost(self) -> None:
        self._socket = None
        self._up.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Closed("the bulk channel was lost"))
                answer.exception()  # marks it as read: who is cancelled at this moment does not look at it
