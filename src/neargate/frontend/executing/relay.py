"""Between a client on its data channel and a terminal: small loops that end together.

Owns the bounds and times of a session: what waits to be typed, how long nothing may happen, how long the last output
may take. Must not know tokens or hosts. Invariants: there is no terminal before the client's handshake is done;
confirmations of the client are heard whatever the terminal does, so that neither side can wait for the other for ever;
output is read from the terminal only when there is room for it.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from msgspec import Struct

from ...interfaces.roles import RemoteTerminal, TerminalEnd
from ...model.knobs import Knobs
from ...wire.exec_encryption import NeedsKey
from ...wire.exec_session import OUTPUT_MAX_BYTES, Ended, ExecSession, Input, Resize, Send
from ...world import World
from ..asgi_types import Receive
from ..asgi_types import Send as AsgiSend
from .session_log import SessionLog

_TICK_S = 0.25
_LAST_OUTPUT_S = 10.0  # until the client has confirmed what came before the end
_TIMED_OUT = "Your session timed out due to inactivity."
_NO_HANDSHAKE = "The client did not answer the handshake in time."


class ClientGone(Exception):
    """The client hung up, or reads no more."""


class CannotBegin(Exception):
    """The session must not begin; the message is for its client."""


class Begun(Struct, frozen=True, kw_only=True):
    """`log`: where the output goes besides."""

    terminal: RemoteTerminal
    log: SessionLog | None

    async def close(self) -> None:
        try:
            await self.terminal.close()
        finally:
            if self.log is not None:
                await self.log.finish()


class Beginning(Protocol):
    """What a session needs once its client is there."""

    async def unlocked(self, needed: NeedsKey) -> bytes:
        """The data key that was sealed for the client. Raises CannotBegin."""

    async def begin(self) -> Begun:
        """Raises CannotBegin."""


class ClientSocket:
    """The client's WebSocket. `patience_s`: for one message to be taken."""

    def __init__(self, receive: Receive, send: AsgiSend, *, patience_s: float) -> None:
        self._receive = receive
        self._send = send
        self._patience_s = patience_s

    async def receive(self) -> bytes | str:
        """Raises ClientGone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            raise ClientGone
        data: bytes | str | None = message.get("bytes")
        return data if data is not None else message.get("text") or ""

    async def send(self, data: bytes) -> None:
        """Raises ClientGone."""
        await self._say({"type": "websocket.send", "bytes": data})

    async def close(self, code: int, reason: str) -> None:
        """Raises ClientGone."""
        await self._say({"type": "websocket.close", "code": code, "reason": reason})

    async def _say(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send(message)
        except (OSError, RuntimeError, TimeoutError):  # the server's word for a connection that is closed
            raise ClientGone from None


class ClientRelay:
    def __init__(
        self, world: World, knobs: Knobs, socket: ClientSocket, session: ExecSession, beginning: Beginning
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._socket = socket
        self._session = session
        self._beginning = beginning
        self._begun: Begun | None = None
        self._has_begun = asyncio.Event()
        self._typed: deque[Input | Resize] = deque()
        self._typed_bytes = 0
        self._some_typed = asyncio.Event()
        self._moved = asyncio.Event()  # the client said something: there may be room, or everything is confirmed
        self._began_at = self._active_at = world.monotonic()

    async def run(self, *, tells_exit_code: bool) -> TerminalEnd:
        """Until the session ends, the client was told so, and its log has all of it. Raises ClientGone."""
        try:
            await self._send_all(self._session.begin(self._world.monotonic()))
            end = await self._first_end()
            exit_code = end.exit_code if tells_exit_code else None
            await self._send_all(self._session.close(self._world.monotonic(), reason=end.reason, exit_code=exit_code))
            return end
        finally:
            if self._begun is not None:
                await self._begun.close()

    async def _first_end(self) -> TerminalEnd:
        """Of its loops; then the others end, too. Raises ClientGone."""
        ends: list[TerminalEnd] = []
        is_gone = False
        try:
            async with asyncio.TaskGroup() as loops:
                for work in (self._hear(), self._type(), self._serve(), self._tick()):
                    loops.create_task(_to_the_end(work))
        except* _Over as over:
            ends += [one.end for one in over.exceptions if isinstance(one, _Over)]
        except* ClientGone:
            is_gone = True
        if is_gone or not ends:
            raise ClientGone
        return ends[0]

    async def _hear(self) -> TerminalEnd:
        while True:
            data = await self._socket.receive()
            if isinstance(data, str):
                return TerminalEnd(reason="The client sent text after its token.")
            room = self._typed_bytes < self._knobs.exec_input_max_bytes
            for action in self._session.received(data, self._world.monotonic(), takes_input=room):
                match action:
                    case Send():
                        await self._socket.send(action.data)
                    case Input() | Resize():
                        self._put(action)
                    case NeedsKey():
                        end = await self._unlock(action)
                        if end is not None:
                            return end
                    case Ended():
                        return TerminalEnd(reason=action.reason)
            self._moved.set()

    async def _unlock(self, needed: NeedsKey) -> TerminalEnd | None:
        """Raises ClientGone."""
        try:
            key = await self._beginning.unlocked(needed)
        except CannotBegin as error:
            return TerminalEnd(reason=str(error))
        for action in self._session.keyed(key, self._world.monotonic()):
            if isinstance(action, Send):
                await self._socket.send(action.data)
            elif isinstance(action, Ended):
                return TerminalEnd(reason=action.reason)
        return None

    def _put(self, action: Input | Resize) -> None:
        self._active_at = self._world.monotonic()
        self._typed.append(action)
        self._typed_bytes += _weight(action)
        self._some_typed.set()

    async def _serve(self) -> TerminalEnd:
        """From the end of the handshake to that of the command."""
        while not self._session.is_open:
            self._moved.clear()
            await self._moved.wait()
        try:
            self._begun = await self._beginning.begin()
        except CannotBegin as error:
            return TerminalEnd(reason=str(error))
        self._has_begun.set()
        return await self._say(self._begun)

    async def _type(self) -> TerminalEnd:
        await self._has_begun.wait()
        assert self._begun is not None, "it has"
        terminal = self._begun.terminal
        while True:
            while not self._typed:
                self._some_typed.clear()
                await self._some_typed.wait()
            action = self._typed.popleft()
            if isinstance(action, Input):
                await terminal.write(action.data)
            else:
                await terminal.resize(action.columns, action.rows)
            self._typed_bytes -= _weight(action)

    async def _say(self, begun: Begun) -> TerminalEnd:
        while True:
            await self._room()
            said = await begun.terminal.read()
            if isinstance(said, TerminalEnd):
                await self._all_confirmed()
                return said
            self._active_at = self._world.monotonic()
            if begun.log is not None:
                begun.log.take(said)
                await begun.log.room()
            for start in range(0, len(said), OUTPUT_MAX_BYTES):
                await self._room()
                part = said[start : start + OUTPUT_MAX_BYTES]
                await self._send_all(self._session.output(part, self._world.monotonic()))

    async def _room(self) -> None:
        while self._session.room <= 0:
            self._moved.clear()
            await self._moved.wait()

    async def _all_confirmed(self) -> None:
        """A client may have to be sent its first output twice: it takes none before it has set itself up."""
        try:
            async with asyncio.timeout(_LAST_OUTPUT_S):
                while self._session.is_owed:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return

    async def _tick(self) -> TerminalEnd:
        while True:
            await self._world.sleep(_TICK_S)
            now = self._world.monotonic()
            if now - self._active_at > self._knobs.exec_idle_s:
                return TerminalEnd(reason=_TIMED_OUT)
            if not self._session.is_open and now - self._began_at > self._knobs.exec_handshake_s:
                return TerminalEnd(reason=_NO_HANDSHAKE)
            for action in self._session.tick(now):
                if isinstance(action, Send):
                    await self._socket.send(action.data)
                elif isinstance(action, Ended):
                    return TerminalEnd(reason=action.reason)

    async def _send_all(self, messages: list[Send]) -> None:
        for message in messages:
            await self._socket.send(message.data)


class _Over(Exception):
    """A loop has ended, so that the others must."""

    def __init__(self, end: TerminalEnd) -> None:
        super().__init__(end.reason)
        self.end = end


async def _to_the_end(work: Coroutine[Any, Any, TerminalEnd]) -> None:
    raise _Over(await work)


def _weight(action: Input | Resize) -> int:
    return len(action.data) + 64 if isinstance(action, Input) else 64
