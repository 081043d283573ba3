"""A server's end of its writing process: batches go out on a database's own socket, outcomes come back in order.

It owns the sockets; it must not know SQL. Invariant: an outcome that is answered was said by the process; when the
process is gone, no outcome is invented: whoever waits gets `WritingLost`, and the server ends.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from ..interfaces.store import Statement
from .writer import WriteResult
from .writing_messages import HEAD_BYTES, Lost, Open, encode_write, frame_of_batch, outcomes_of


class WritingLost(Exception):
    """The writing process is gone, or its database failed: nobody knows what became of the last batch."""


class WritingLink(asyncio.Protocol):
    """One database. `failed` is told when the link is lost while nobody waits for an outcome; `closing` is called
    before the process closes its part, which is to be the last."""

    def __init__(self, failed: Callable[[Exception], None], closing: Callable[[], None]) -> None:
        self._failed = failed
        self._close_reader = closing
        self._data = bytearray()
        self._waiting: asyncio.Future[list[WriteResult | Exception]] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost: WritingLost | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False

    def prepared(self, statements: Sequence[Statement]) -> bytes:
        """Raises what a value deserves that no database takes: TypeError, OverflowError, UnicodeEncodeError."""
        return encode_write(statements)

    async def apply(self, batch: Sequence[bytes]) -> list[WriteResult | Exception]:
        """One outcome per write, in order; one batch at a time. Raises WritingLost."""
        if self._lost is not None or self._transport is None:
            raise self._lost or WritingLost("never connected")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(frame_of_batch(batch))
        return await self._waiting

    async def close(self) -> None:
        """Afterwards the process has closed the database and let its directory go."""
        self._closing = True
        self._close_reader()
        if self._transport is not None and self._lost is None:
            self._transport.write_eof()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # a stream's, and each loop has its own class of them

    def data_received(self, data: bytes) -> None:
        self._data += data
        # More than one may come at once: the outcomes of a batch, and why there will be no others.
        while (body := self._next_frame()) is not None:
            outcomes = outcomes_of(body)
            if isinstance(outcomes, Lost):
                self._lose(outcomes.reason)
                return
            waiting, self._waiting = self._waiting, None
            if waiting is not None and not waiting.done():
                waiting.set_result(outcomes)

    def _next_frame(self) -> bytes | None:
        """None until it is whole."""
        size = HEAD_BYTES + int.from_bytes(self._data[:HEAD_BYTES], "big")
        if len(self._data) < size:
            return None
        body = bytes(memoryview(self._data)[HEAD_BYTES:size])
        del self._data[:size]
        return body

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._closed.set_result(None)
        if not self._closing:
            self._lose("the writing process is gone; unless it said why before this line, something killed it")

    def _lose(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = WritingLost(reason)
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._failed(self._lost)
        elif not waiting.done():
            waiting.set_exception(self._lost)


async def open_link(
    control: socket.socket,
    order: Open,
    lock: int,
    *,
    failed: Callable[[Exception], None],
    closing: Callable[[], None],
) -> WritingLink:
    """Have the process open a database. `lock`: the directory's, which it holds too. Raises OSError."""
    link = WritingLink(failed, closing)
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(control, [msgspec.msgpack.encode(order)], [theirs.fileno(), lock])
    ours.setblocking(False)
    await asyncio.get_running_loop().create_connection(lambda: link, sock=ours)
    return link
