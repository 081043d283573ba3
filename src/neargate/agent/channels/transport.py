"""The link's sockets: WebSocket over the server's UNIX socket. No decisions here."""

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import WebSocketException

from ...model.knobs import Knobs
from .link import Closed, Connection


class UnixTransport:
    """Connects to `socket_path`; the path of the URL says which channel (`/link`, `/bulk`)."""

    def __init__(self, socket_path: str, knobs: Knobs) -> None:
        self._socket_path = socket_path
        self._knobs = knobs

    async def connect(self, path: str) -> Connection:
        try:
            socket = await unix_connect(
                self._socket_path,
                f"ws://localhost{path}",
                compression=None,
                max_size=self._knobs.link_message_max_bytes,
                ping_interval=None,  # the session has its own, which the server's loop answers
                open_timeout=self._knobs.link_silence_s,
                close_timeout=1.0,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            raise Closed(str(error)) from error
        return _UnixConnection(socket)


class _UnixConnection:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        try:
            await self._socket.send(data)
        except (OSError, WebSocketException) as error:
            raise Closed(str(error)) from error

    async def receive(self) -> bytes:
        try:
            data = await self._socket.recv(decode=False)
        except (OSError, WebSocketException) as error:
            raise Closed(str(error)) from error
        return data if isinstance(data, bytes) else bytes(data, "utf-8")

    async def close(self) -> None:
        await self._socket.close()
