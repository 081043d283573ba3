"""The process that keeps the bytes: a registry of the Distribution project behind a UNIX socket, spoken to over HTTP.

Owns one connection a request, its bounds and its end. Must not know who asks: whoever holds this may read and write
everything. Invariants: a body is never held whole, a chunk at a time in either direction; an exchange that is left
early is cut, so that a half-sent layer is never taken for a whole one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import httptools

from ...model.knobs import Knobs
from .errors import BackendAway

Headers = Iterable[tuple[str, str]]
Body = AsyncIterator[bytes] | bytes
_CHUNK = 65_536
_HEAD_MAX_BYTES = 32_768


class Answered(Protocol):
    """An answer whose head came. Header names are lower case."""

    status: int
    headers: dict[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises BackendAway when it ends too soon."""

    async def body(self, bound: int) -> bytes:
        """The whole of a small body. Raises BackendAway beyond the bound."""


class Backend(Protocol):
    def exchange(
        self, method: str, target: str, headers: Headers = (), body: Body = b"", length: int | None = None
    ) -> AbstractAsyncContextManager[Answered]:
        """`target`: path and query. `length`: of an iterated body, None when it is not known. Raises BackendAway."""


class SocketBackend:
    """Implements Backend."""

    def __init__(self, path: str, knobs: Knobs) -> None:
        self._path = path
        self._knobs = knobs

    @asynccontextmanager
    async def exchange(
        self, method: str, target: str, headers: Headers = (), body: Body = b"", length: int | None = None
    ) -> AsyncIterator[Answered]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=_CHUNK)
        except OSError:
            raise BackendAway from None
        try:
            answer = _Answer(reader, self._knobs.image_silence_s)
            await _send(writer, method, target, headers, body, length)
            await answer.head()
            yield answer
        except (ConnectionError, TimeoutError, httptools.HttpParserError):
            raise BackendAway from None
        finally:
            writer.transport.abort()


async def _send(
    writer: asyncio.StreamWriter, method: str, target: str, headers: Headers, body: Body, length: int | None
) -> None:
    """The request. An answer before its end (a refusal) closes the other side: then what was said is read."""
    whole = isinstance(body, bytes)
    size = len(body) if isinstance(body, bytes) else length
    framing = ("transfer-encoding", "chunked") if size is None else ("content-length", str(size))
    lines = [f"{method} {target} HTTP/1.1", "host: images", "connection: close", ": ".join(framing)]
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a request's head")
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    if isinstance(body, bytes):
        writer.write(body)
    try:
        if not isinstance(body, bytes):
            async for chunk in body:
                writer.write(chunk if size is not None else b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
        if not whole and size is None:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
    except (ConnectionResetError, BrokenPipeError):
        return


class _Answer:
    """Implements Answered over httptools' parser, whose callbacks are the `on_` methods."""

    def __init__(self, reader: asyncio.StreamReader, silence_s: float) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._reader = reader
        self._silence_s = silence_s
        self._parser: Any = httptools.HttpResponseParser(self)
        self._read: list[bytes] = []
        self._head_bytes = 0
        self._has_head = False
        self._is_whole = False

    async def head(self) -> None:
        while not self._has_head:
            await self._feed()
            if not self._has_head and self._head_bytes > _HEAD_MAX_BYTES:
                raise BackendAway
        self.status = self._parser.get_status_code()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            ready, self._read = self._read, []
            for chunk in ready:
                yield chunk
            if self._is_whole and not self._read:
                return
            if not self._read:
                await self._feed()

    async def body(self, bound: int) -> bytes:
        found: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > bound:
                raise BackendAway
            found.append(chunk)
        return b"".join(found)

    async def _feed(self) -> None:
        async with asyncio.timeout(self._silence_s):
            data = await self._reader.read(_CHUNK)
        if not data:
            raise BackendAway  # before its end
        self._head_bytes += 0 if self._has_head else len(data)
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._read.append(body)

    def on_message_complete(self) -> None:
        self._is_whole = True
