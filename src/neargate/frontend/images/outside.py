"""The registry for other machines: a TLS listener that serves the registry's paths and nothing else.

Owns who may be connected, from before the first byte of a handshake on: all together, and each source. Must not know
certificates beyond the context that it is handed. Invariants: no operation of the API is answered here, no header says
where a call comes from, and a connection has its place until it is over, however it ends.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

import uvicorn
from uvicorn.server import ServerState

from ...log import get_logger
from ...model.bugs import told
from ...model.knobs import Knobs
from ...world import World
from ..asgi_types import Application, Receive, Scope, Send, is_of_images
from ..http_protocol import BoundedHttpProtocol, bounded_protocol
from . import wire

_PAUSE_S = 0.5  # after an accept that failed: no descriptors are left
_END_S = 5.0  # for requests under way
_LOOK_S = 0.1


class OutsideApp:
    """Below /v2 the registry's door, 404 everywhere else."""

    def __init__(self, door: Application) -> None:
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if is_of_images(scope.get("raw_path") or scope["path"].encode()):
            await self._door(scope, receive, send)
            return
        answer = wire.answer(wire.nowhere())
        # Its body is not read: the connection cannot carry another request.
        headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


class OutsideProtocol(BoundedHttpProtocol):
    """Tells when it is over."""

    over: Callable[[], None]

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            super().connection_lost(exc)
        finally:
            self.over()


class Places:
    """Connections, handshakes included. `source`: an IPv4 address, or an IPv6 network of 64 bits."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._held: Counter[str] = Counter()

    def enter(self, source: str) -> bool:
        is_full = self._held.total() >= self._knobs.registry_connections_max
        if is_full or self._held[source] >= self._knobs.registry_connections_per_source:
            return False
        self._held[source] += 1
        return True

    def leave(self, source: str) -> None:
        self._held[source] -= 1
        if not self._held[source]:
            del self._held[source]

    @property
    def count(self) -> int:
        return self._held.total()


def source_of(address: str) -> str:
    """Who has one IPv6 address has all of its network."""
    found = ip_address(address.partition("%")[0])
    if not isinstance(found, IPv6Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))


class OutsideListener:
    """`listener`: bound, not yet listening. `context`: asked for each connection, since certificates are renewed."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        listener: socket.socket,
        context: Callable[[], ssl.SSLContext],
        door: Application,
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._listener = listener
        self._context = context
        self._log = get_logger(__name__)
        self._state = ServerState()
        self._protocol = type("OutsideProtocol", (OutsideProtocol, bounded_protocol(knobs)), {})
        self._settings = uvicorn.Config(
            OutsideApp(door),
            http=self._protocol,
            limit_concurrency=knobs.registry_connections_max,
            loop="none",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
        )
        self._settings.load()
        self.places = Places(knobs)
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._listener.setblocking(False)
        self._listener.listen(min(self._knobs.registry_connections_max, socket.SOMAXCONN))
        self._accepting = self._world.spawn(self._accept(), "registry-outside")

    async def close(self) -> None:
        """No more connections; requests under way are answered, within a bound."""
        if self._accepting is not None:
            self._accepting.cancel()
        self._listener.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        until = self._world.monotonic() + _END_S
        while self._state.connections and self._world.monotonic() < until:
            await self._world.sleep(_LOOK_S)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(self._listener)
            except OSError as error:
                self._log.warning("registry_accept_failed", why=str(error))
                await self._world.sleep(_PAUSE_S)
                continue
            source = source_of(str(address[0]))
            if self.places.enter(source):
                self._world.spawn(self._greet(connection, source), "registry-handshake")
            else:
                connection.close()

    async def _greet(self, connection: socket.socket, source: str) -> None:
        """The handshake, within its time. From its end on the protocol holds the place."""
        left = False

        def over() -> None:
            nonlocal left
            if not left:
                left = True
                self.places.leave(source)

        def made() -> OutsideProtocol:
            protocol: OutsideProtocol = self._protocol(config=self._settings, server_state=self._state, app_state={})
            protocol.over = over
            return protocol

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                made,
                connection,
                ssl=self._context(),
                ssl_handshake_timeout=self._knobs.registry_handshake_timeout_s,
                ssl_shutdown_timeout=self._knobs.registry_handshake_timeout_s,
            )
        except OSError:
            over()  # plain HTTP, a client that does not trust us, one that said nothing
        except Exception as error:
            over()
            self._log.error("registry_handshake_failed", bug=told(error))
