"""Where clients of executed commands come in: a WebSocket each, below /v1/data-channel/.

Owns who is let through: no page of a browser, only for a session that is waited for, only with its token, which comes
first. Then it hands over to relay.py. Must not know what is said later. Invariant: before the token nothing happens but
a bounded wait; whatever happens after it, the session is over when this returns, and its terminal closed.
"""

import asyncio
from urllib.parse import unquote

import msgspec

from ...interfaces.roles import TerminalEnd
from ...log import get_logger
from ...model.knobs import Knobs
from ...wire import exec_session
from ...wire.exec_payloads import OpenDataChannel
from ...world import World
from ..asgi_types import Receive, Scope, Send
from .keeping import Keeping
from .relay import ClientGone, ClientRelay, ClientSocket
from .sessions import PATH_PREFIX, ExecSession, ExecSessions

_POLICY_VIOLATION = 1008
_NORMAL = 1000
_UNPROVEN_MAX = 128  # connections whose token has not come
_SESSION_MAX_CHARS = 64
_log = get_logger(__name__)


class DataChannelDoor:
    """An ASGI application for WebSockets."""

    def __init__(self, world: World, knobs: Knobs, sessions: ExecSessions, keeping: Keeping) -> None:
        self._world = world
        self._knobs = knobs
        self._sessions = sessions
        self._keeping = keeping
        self._unproven = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the request to connect
        session_id = _session_id(scope)
        is_page = any(name == b"origin" for name, _ in scope["headers"])
        if is_page or self._unproven >= _UNPROVEN_MAX or not self._sessions.is_waited_for(session_id):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        await send({"type": "websocket.accept"})
        socket = ClientSocket(receive, send, patience_s=self._knobs.exec_stalled_s)
        try:
            session = await self._claimed(session_id, socket)
            if session is None:
                await socket.close(_POLICY_VIOLATION, "the token is not good for this session")
                return
            await self._serve(session, socket)
            await socket.close(_NORMAL, "")
        except ClientGone:
            return  # nobody is left to tell

    async def _claimed(self, session_id: str, socket: ClientSocket) -> ExecSession | None:
        self._unproven += 1
        try:
            async with asyncio.timeout(self._knobs.exec_handshake_s):
                first = await socket.receive()
        except TimeoutError:
            return None
        finally:
            self._unproven -= 1
        if not isinstance(first, str):
            return None
        try:
            opening = msgspec.json.decode(first, type=OpenDataChannel)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        return self._sessions.claim(session_id, opening.TokenValue)

    async def _serve(self, session: ExecSession, socket: ClientSocket) -> None:
        facts = {"session": session.id, "task": session.task_id, "container": session.container}
        _log.info("an executed command begins", **facts)
        end = TerminalEnd(reason="The client has gone.")
        try:
            end = await self._relayed(session, socket)
        finally:
            self._sessions.ended(session)
            _log.info("an executed command has ended", **facts, exit_code=end.exit_code, why=end.reason)

    async def _relayed(self, session: ExecSession, socket: ClientSocket) -> TerminalEnd:
        """Raises ClientGone."""
        world, knobs = self._world, self._knobs
        protocol = exec_session.ExecSession(
            session_id=session.id,
            repeat_s=knobs.exec_repeat_s,
            stalled_s=knobs.exec_stalled_s,
            epoch_s=world.now() - world.monotonic(),
            random_bits=world.random.getrandbits,
            key_id=session.rules.key_id,
        )
        relay = ClientRelay(world, knobs, socket, protocol, self._keeping.of(session, self._sessions))
        return await relay.run(tells_exit_code=session.tells_exit_code)


def _session_id(scope: Scope) -> str:
    path = unquote(scope["path"])
    if not path.startswith(PATH_PREFIX):
        return ""
    return path[len(PATH_PREFIX) :][:_SESSION_MAX_CHARS]
