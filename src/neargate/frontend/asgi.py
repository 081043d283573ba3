"""The raw ASGI application over `FrontEnd.handle`: reads a bounded body, keeps the path as it was sent.

Give it to uvicorn (`uvicorn.Config(app, http="httptools", loop="uvloop", server_header=False, ...)`). WebSockets are
those of executed commands (executing/door.py): agents have a socket of their own.
"""

import asyncio

from ..model.ids import uuid4
from ..model.knobs import Knobs
from ..world import World
from .app import FrontEnd, timed_out, too_busy, too_large
from .asgi_types import VIA, Application, ClientGone, Receive, Scope, Send, endpoint_of, is_of_images, peer_of
from .errors import RequestRefused, Response
from .streaming import send_stream


class TooManyBodies(Exception):
    """The large bodies under way fill their share of memory."""


class _Body:
    """How much of the common share one request holds."""

    def __init__(self) -> None:
        self.held = 0


class AsgiApp:
    def __init__(
        self,
        *,
        frontend: FrontEnd,
        world: World,
        knobs: Knobs,
        images: Application | None = None,
        data_channels: Application | None = None,
    ) -> None:
        """`images`: what answers below `asgi_types.IMAGES_PREFIX`, where bodies are streams of any length.

        `data_channels`: what answers WebSockets; without it none is accepted.
        """
        self._data_channels = data_channels
        self._images = images
        self._frontend = frontend
        self._world = world
        self._knobs = knobs
        self._held = 0  # bytes of the large bodies that are under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket" and self._data_channels is not None and self._takes_terminals(scope):
            await self._data_channels(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._images is not None and is_of_images(scope.get("raw_path") or scope["path"].encode()):
            await self._images_by(scope, receive, send)
            return
        body = _Body()
        try:
            await self._serve(scope, body, receive, send)
        finally:
            self._held -= body.held

    def _takes_terminals(self, scope: Scope) -> bool:
        try:
            via = self._frontend.via(endpoint_of(scope))
        except RequestRefused:
            return False
        return via is None or via.service.takes_terminals

    async def _images_by(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A VPC endpoint for them lets container tools' requests in, another does not."""
        assert self._images is not None, "asked only where there are images"
        try:
            via = self._frontend.via(endpoint_of(scope))
        except RequestRefused:
            await _answer(_nowhere(), send, close=True)
            return
        if via is not None and not via.service.takes_images:
            await _answer(_nowhere(), send, close=True)
            return
        scope[VIA] = via
        await self._images(scope, receive, send)

    async def _serve(self, scope: Scope, holder: "_Body", receive: Receive, send: Send) -> None:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        try:
            async with asyncio.timeout(self._knobs.request_read_timeout_s):
                body = await self._body(headers, holder, receive)
        except ClientGone:
            return
        except TimeoutError:
            await _answer(timed_out(uuid4(self._world.random.getrandbits)), send, close=True)
            return
        except TooManyBodies:
            await _answer(too_busy(uuid4(self._world.random.getrandbits)), send, close=True)
            return
        if body is None:
            response = too_large(self._knobs, uuid4(self._world.random.getrandbits))
            await _answer(response, send, close=True)
            return
        # uvicorn gives the path apart from its query; a server that does not is cut here.
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        response = await self._frontend.handle(
            scope["method"],
            path.partition(b"?")[0],
            scope["query_string"],
            headers,
            body,
            peer_of(scope),
            endpoint_of(scope),
        )
        if response.stream is not None:
            await send_stream(response.stream, response.status, response.headers, receive, send)
            return
        await _answer(response, send, close=False)

    async def _body(self, headers: list[tuple[bytes, bytes]], holder: "_Body", receive: Receive) -> bytes | None:
        """The whole body, or None as soon as it is known to be over the bound. Raises ClientGone, TooManyBodies.

        Nobody's signature is known yet. A small body is always taken; large ones share a bound, since two thousand
        connections of nobody in particular would otherwise hold all of the machine's memory.
        """
        bound = self._knobs.request_body_max_bytes
        for name, value in headers:
            if name == b"content-length" and (not value.isdigit() or len(value) > 18 or int(value) > bound):
                return None
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > bound:
                return None
            if size > self._knobs.request_body_small_bytes:
                if self._held + len(chunk) > self._knobs.request_bodies_max_bytes:
                    raise TooManyBodies
                self._held += len(chunk)
                holder.held += len(chunk)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _nowhere() -> Response:
    return Response(status=404, headers=((b"content-type", b"text/plain"),), body=b"404 page not found\n")


async def _answer(response: Response, send: Send, *, close: bool) -> None:
    headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
    if close:
        # The rest of the body is not read: the connection cannot carry another request.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
