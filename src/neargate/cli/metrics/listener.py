"""Metrics over HTTP for the operator's monitoring, at a port of its own on loopback: GET /metrics and nothing else.

What needs root happens in `open`, before the server steps down. Must not know what is measured. Invariants: no
operation of the API is answered here, and no metric at the API's port; connections, heads, times and work are bounded:
whoever asks without an end is answered what the last second was.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from typing import ClassVar

import uvicorn
from msgspec.structs import replace
from uvicorn.server import ServerState

from ...frontend.asgi_types import Receive, Scope, Send
from ...frontend.http_protocol import BoundedHttpProtocol, bounded_protocol
from ...interfaces.store import Overloaded
from ...log import get_logger
from ...model.bugs import told
from ...model.knobs import Knobs
from ...world import World
from ..config import RegionConfig
from ..metrics_options import parse
from ..ports import bind_tcp
from .table import Readings
from .text import CONTENT_TYPE, exposition

PATH = b"/metrics"
LANE = "metrics"
Read = Callable[[], Awaitable[Readings]]


class MetricsListener:
    """`open` as root, `start` as the server's own user."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._server: asyncio.Server | None = None

    @classmethod
    def open(cls, config: RegionConfig) -> "MetricsListener":
        """Raises Problem."""
        return cls(bind_tcp("--metrics-listen", config.metrics_listen, *parse(config.metrics_listen)))

    async def start(self, world: World, knobs: Knobs, read: Read) -> None:
        protocol, state = _protocol(knobs), ServerState()
        settings = uvicorn.Config(
            MetricsApp(Scrapes(world, knobs, read)),
            http=protocol,
            loop="none",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
        )
        settings.load()
        self._listener.setblocking(False)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: protocol(config=settings, server_state=state, app_state={}),
            sock=self._listener,
            backlog=knobs.metrics_connections_max,
        )

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def check_listen(listen: str) -> None:
    """Refuse early what the server could only die of. Raises Problem."""
    bind_tcp("--metrics-listen", listen, *parse(listen)).close()


class Scrapes:
    """The text. One is made at a time, and not more often than `metrics_fresh_s`."""

    def __init__(self, world: World, knobs: Knobs, read: Read) -> None:
        self._world = world
        self._fresh_s = knobs.metrics_fresh_s
        self._read = read
        self._turn = asyncio.Lock()
        self._made: tuple[float, bytes] | None = None

    async def text(self) -> bytes:
        """Raises Overloaded."""
        async with self._turn:
            now = self._world.monotonic()
            if self._made is None or now - self._made[0] >= self._fresh_s:
                readings = await self._read()
                self._made = (now, await self._world.offload(LANE, exposition, readings))
            return self._made[1]


class MetricsApp:
    """ASGI. Bodies are not read, so that each answer is its connection's last."""

    def __init__(self, scrapes: Scrapes) -> None:
        self._scrapes = scrapes
        self._log = get_logger(__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        if scope["type"] != "http":
            return
        kind = "text/plain; charset=utf-8"
        refused = refusal(scope["method"], scope.get("raw_path") or scope["path"].encode(), dict(scope["headers"]))
        if refused is not None:
            status, body = refused
        else:
            try:
                status, body, kind = 200, await self._scrapes.text(), CONTENT_TYPE
            except Overloaded:
                status, body = 503, b"the region's databases are busy\n"
            except Exception as error:
                self._log.error("metrics_failed", bug=told(error))
                status, body = 500, b"internal error\n"
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def refusal(method: str, path: bytes, headers: Mapping[bytes, bytes]) -> tuple[int, bytes] | None:
    """(status, sentence), or None. A web page in a browser of this machine names its own host, or its origin."""
    if path.partition(b"?")[0] != PATH:
        return 404, b"metrics are at /metrics\n"
    if method not in ("GET", "HEAD"):
        return 405, b"metrics are asked for with GET\n"
    if b"origin" in headers or not _is_address(headers.get(b"host", b"")):
        return 403, b"metrics are asked for by address, for example http://127.0.0.1:9464/metrics\n"
    return None


def _is_address(host: bytes) -> bool:
    name = re.sub(r":\d{1,5}$", "", host.decode("latin-1")).strip("[]").lower()
    if name in ("", "localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class MetricsProtocol(BoundedHttpProtocol):
    """Who comes when all places are taken is hung up on."""

    connections_max: ClassVar[int]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.connections_max:
            transport.abort()


def _protocol(knobs: Knobs) -> type[MetricsProtocol]:
    bounds = replace(
        knobs,
        request_head_max_bytes=knobs.metrics_head_max_bytes,
        request_read_timeout_s=knobs.metrics_read_timeout_s,
        answer_unread_timeout_s=knobs.metrics_unread_timeout_s,
    )
    given = {"connections_max": knobs.metrics_connections_max}
    return type("MetricsProtocol", (MetricsProtocol, bounded_protocol(bounds)), given)
