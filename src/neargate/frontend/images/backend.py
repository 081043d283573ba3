"""The process that keeps the bytes: a registry of the Distribution project behind a UNIX socket, spoken to over HTTP.

Owns one connection a request, its bounds and its end. Must not know who asks: whoever holds this may read and write
everything. Invariants: a body is never held whole, a chunk at a time in either direction; an exchange that is left
early is cut, so that a half-sent layer is never taken for a whole one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

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
    """Implements Backend. `is_remote`: what it keeps is not on this machine, and a layer's end is a copy over there."""

    def __init__(self, path: str, knobs: Knobs, *, is_remote: bool = False) -> None:
        self._path = path
        self._knobs = knobs
        self._commit_s = knobs.image_remote_commit_s if is_remote else knobs.image_silence_s

    @asynccontextmanager
    async def exchange(
        self, method: str, target: str, headers: Headers = (), body: Body = b"", length: int | None = None
    ) -> AsyncIterator[Answered]:
        wire = _Wire(self._knobs.image_silence_s)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: wire, self._path)
        except OSError:
            raise BackendAway from None
        try:
            await wire.send(_head(method, target, headers, body, length))
            if isinstance(body, bytes):
                await wire.send(body)
            else:
                await _stream(wire, body, is_chunked=length is None)
            await wire.head(self._commit_s if method == "PUT" else self._knobs.image_silence_s)
            yield wire
        finally:
            wire.cut()


def _head(method: str, target: str, headers: Headers, body: Body, length: int | None) -> bytes:
    size = len(body) if isinstance(body, bytes) else length
    lines = [f"{method} {target} HTTP/1.1", "host: images"]
    lines.append("transfer-encoding: chunked" if size is None else f"content-length: {size}")
    lines += [f"{name}: {value}" for name, value in headers]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a request's head")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def _stream(wire: "_Wire", body: AsyncIterator[bytes], *, is_chunked: bool) -> None:
    """Until its end, or until an answer came before: a refusal."""
    async for chunk in body:
        if not await wire.send(b"%x\r\n%b\r\n" % (len(chunk), chunk) if is_chunked else chunk):
            return
    if is_chunked:
        await wire.send(b"0\r\n\r\n")


class _Wire(asyncio.Protocol):
    """One connection; implements Answered. The parser's callbacks are the other `on_` methods.

    Not asyncio's streams: these forget what was received when a write fails, and a refusal comes before the body's end.
    """

    def __init__(self, silence_s: float) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._silence_s = silence_s
        self._parser: Any = httptools.HttpResponseParser(self)
        self._changed = asyncio.Event()
        self._transport: asyncio.Transport
        self._read: list[bytes] = []
        self._read_bytes = 0
        self._head_bytes = 0
        self._has_head = False
        self._is_whole = False
        self._is_lost = False
        self._is_full = False  # the other side does not read

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._is_lost = True
        self._head_bytes += 0 if self._has_head else len(data)
        if self._head_bytes > _HEAD_MAX_BYTES:
            self._is_lost = True
        if self._read_bytes > _CHUNK:
            self._transport.pause_reading()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._is_lost = True
        self._changed.set()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._changed.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = True

    def on_body(self, body: bytes) -> None:
        self._read.append(body)
        self._read_bytes += len(body)

    def on_message_complete(self) -> None:
        self._is_whole = True

    # -- ours

    async def send(self, data: bytes) -> bool:
        """Whether more is wanted."""
        if not self._has_head and not self._is_lost:
            self._transport.write(data)
        while self._is_full and not self._has_head and not self._is_lost:
            await self._change()
        return not self._has_head and not self._is_lost

    async def head(self, silence_s: float) -> None:
        """Raises BackendAway."""
        while not self._has_head:
            if self._is_lost:
                raise BackendAway
            await self._change(silence_s)

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            ready, self._read, self._read_bytes = self._read, [], 0
            for chunk in ready:
                yield chunk
            if self._read:
                continue
            if self._is_whole:
                return
            if self._is_lost:
                raise BackendAway
            self._transport.resume_reading()
            await self._change()

    async def body(self, bound: int) -> bytes:
        found: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > bound:
                raise BackendAway
            found.append(chunk)
        return b"".join(found)

    def cut(self) -> None:
        self._transport.abort()

    async def _change(self, silence_s: float | None = None) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(self._silence_s if silence_s is None else silence_s):
                await self._changed.wait()
        except TimeoutError:
            raise BackendAway from None
