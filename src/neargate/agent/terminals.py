"""Terminals in this host's containers, each on a connection of its own to the server that asked for it.

Owns how many there are, who may have one (a task of this host that was started for it and runs), and their end:
whichever side is lost, the terminal goes with all that it started. Must not know who is at the other end. Invariant:
what waits to be typed is bounded by the window that the server was given; what was said waits in the terminal.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import msgspec

from ..interfaces.sandbox import EngineUnavailable, Sandbox, SandboxError, Terminal
from ..link.host_identity import EXEC, NONCE_BYTES, HostKey
from ..link.messages import PROTOCOL, Challenge, ExecOrder, Proof
from ..link.terminal import (
    INPUT_WINDOW,
    ExecBegin,
    ExecEnded,
    ExecHello,
    ExecInput,
    ExecOutput,
    ExecResize,
    ExecTaken,
    decode_from_server,
    encode,
)
from ..model.knobs import Knobs
from ..model.lifecycle import REASON_MAX_CHARS
from ..world import World
from .channels.link import Closed, Connection, Transport
from .task_record import TaskRecord

PATH = "/exec"
_SIZE_MAX = 10_000
_IDLE_SHARE = 1.1  # of the server's own time, which is to end it first


class HostTerminals:
    """`records`: the tasks of this host now."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        transport: Transport,
        host_id: str,
        key: HostKey,
        *,
        sandbox: Sandbox,
        records: Callable[[], Iterable[TaskRecord]],
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._transport = transport
        self._host_id = host_id
        self._key = key
        self._sandbox = sandbox
        self._records = records
        self._note = note
        self._open: dict[str, str] = {}  # session -> runtime id of its container

    def begin(self, order: ExecOrder) -> None:
        """Returns at once. An order that comes twice is obeyed once."""
        if order.session in self._open:
            return
        refused, runtime_id = self._judge(order)
        self._open[order.session] = runtime_id
        self._world.spawn(self._serve(order, runtime_id, refused), f"exec-{order.session}")

    def _judge(self, order: ExecOrder) -> tuple[str, str]:
        """(why not, runtime id)."""
        if len(self._open) >= self._knobs.exec_sessions_max:
            return "This host has too many sessions.", ""
        record = next((item for item in self._records() if item.task_id == order.task_id), None)
        if record is None or record.launch.incarnation != order.incarnation:
            return "This host does not run the task.", ""
        if not record.launch.executes_commands:
            return "The task was not started for this.", ""  # whatever the server says now
        found = next((item for item in record.containers if item.name == order.container), None)
        if found is None or found.known_status != "RUNNING":
            return "The container does not run.", ""
        if list(self._open.values()).count(found.runtime_id) >= self._knobs.exec_sessions_per_container:
            return "This container has too many sessions.", ""
        return "", found.runtime_id

    async def _serve(self, order: ExecOrder, runtime_id: str, refused: str) -> None:
        try:
            socket = await self._greeted(order.session)
        except Closed as closed:
            self._note(f"session {order.session} found no server: {closed}")
            del self._open[order.session]
            return
        try:
            reason = refused or await self._run(order, runtime_id, socket)
            if reason:
                await socket.send(encode(ExecEnded(reason=reason[:REASON_MAX_CHARS])))
            self._note(f"session {order.session} of task {order.task_id} has ended: {reason or 'its command did'}")
        except Closed as closed:
            self._note(f"session {order.session} of task {order.task_id} was lost: {closed}")
        finally:
            del self._open[order.session]
            await socket.close()

    async def _greeted(self, session: str) -> Connection:
        """A connection on which this host has proved itself, and somebody waits. Raises Closed."""
        socket = await self._transport.connect(PATH)
        try:
            await socket.send(encode(ExecHello(protocol=PROTOCOL, host_id=self._host_id, session=session)))
            async with asyncio.timeout(self._knobs.link_silence_s):
                challenge = decode_from_server(await socket.receive())
            if not isinstance(challenge, Challenge) or len(challenge.nonce) != NONCE_BYTES:
                raise Closed("the server did not ask for a proof")
            await socket.send(encode(Proof(signature=self._key.sign(EXEC, challenge.nonce, self._host_id))))
            async with asyncio.timeout(self._knobs.link_silence_s):
                begin = decode_from_server(await socket.receive())
            if not isinstance(begin, ExecBegin):
                raise Closed("the server did not let it begin")
        except (Closed, TimeoutError, msgspec.DecodeError) as error:
            await socket.close()
            raise Closed(str(error)) from error
        return socket

    async def _run(self, order: ExecOrder, runtime_id: str, socket: Connection) -> str:
        """Until either side ends; why, empty when the command did and the server was told. Raises Closed."""
        try:
            terminal = await self._sandbox.open_terminal(runtime_id, order.session, order.args)
        except SandboxError as error:
            return error.reason
        except EngineUnavailable:
            return "The container engine does not answer."
        except OSError as error:
            return f"This host cannot open it: {error.strerror or error}"
        self._note(f"session {order.session} in container {order.container} of task {order.task_id}")
        try:
            return await _Relay(self._world, self._knobs, terminal, socket).run()
        finally:
            await self._end(terminal)

    async def _end(self, terminal: Terminal) -> None:
        """Whatever becomes of the engine: again until nothing of it is left."""
        while True:
            try:
                await terminal.close()
                return
            except EngineUnavailable:
                await self._world.sleep(self._knobs.engine_retry_s)


class _Relay:
    """Between one terminal and one connection."""

    def __init__(self, world: World, knobs: Knobs, terminal: Terminal, socket: Connection) -> None:
        self._world = world
        self._idle_s = knobs.exec_idle_s * _IDLE_SHARE
        self._terminal = terminal
        self._socket = socket
        self._typed: asyncio.Queue[ExecInput | ExecResize] = asyncio.Queue()  # bounded in `_hear`
        self._active_at = world.monotonic()

    async def run(self) -> str:
        """Until the first of its loops has ended; why, as `HostTerminals._run`. Raises Closed."""
        reasons: list[str] = []
        lost: list[str] = []
        try:
            async with asyncio.TaskGroup() as loops:
                for work in (self._hear(), self._type(), self._say(), self._watch_idle()):
                    loops.create_task(_to_the_end(work))
        except* _Over as over:
            reasons += map(str, over.exceptions)
        except* Closed as closed:
            lost += map(str, closed.exceptions)
        if not reasons:
            raise Closed(lost[0])
        return reasons[0]

    async def _hear(self) -> str:
        """Never waits for the terminal, so that the end of the connection is always noticed. Raises Closed."""
        while True:
            try:
                message = decode_from_server(await self._socket.receive())
            except msgspec.DecodeError as error:
                return f"The server sent what this agent cannot read: {error}"
            if not isinstance(message, ExecInput | ExecResize) or self._typed.qsize() >= 2 * INPUT_WINDOW:
                return "The server sent what does not belong here."
            self._active_at = self._world.monotonic()
            self._typed.put_nowait(message)

    async def _type(self) -> str:
        while True:
            message = await self._typed.get()
            if isinstance(message, ExecInput):
                await self._terminal.write(message.data)
            else:
                await self._terminal.resize(_bounded(message.columns), _bounded(message.rows))
            await self._socket.send(encode(ExecTaken()))

    async def _say(self) -> str:
        while data := await self._terminal.read():
            self._active_at = self._world.monotonic()
            await self._socket.send(encode(ExecOutput(data=data)))
        await self._socket.send(encode(ExecEnded(exit_code=await self._terminal.wait())))
        return ""

    async def _watch_idle(self) -> str:
        while (left_s := self._active_at + self._idle_s - self._world.monotonic()) > 0:
            await self._world.sleep(left_s)
        return "The session was idle for too long."


class _Over(Exception):
    """A loop has ended, so that the others must."""


async def _to_the_end(work: Coroutine[Any, Any, str]) -> None:
    raise _Over(await work)


def _bounded(size: int) -> int:
    return min(max(1, size), _SIZE_MAX)
