"""uvicorn's HTTP protocol with the bounds that it lacks: the size of a request's head, and the time it may take.

Without them one connection that never finishes its headers costs memory without end, before any signature is seen.
Give `bounded_protocol(knobs)` to `uvicorn.Config(http=...)`. The body is bounded in asgi.py.
"""

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..model.knobs import Knobs

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"  # no codec yet
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """`head_max_bytes` may be overrun by one read of the socket."""

    head_max_bytes: ClassVar[int]
    head_timeout_s: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # A finished head resets the count; what is counted is what came since and is still no request.
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > self.head_max_bytes and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._in_head = True
        if self._late is None:
            self._late = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _head_came(self) -> None:
        self._in_head = False
        if self._late is not None:
            self._late.cancel()
            self._late = None


def bounded_protocol(knobs: Knobs) -> type[BoundedHttpProtocol]:
    """The class with this process's bounds: uvicorn makes the instances and hands them nothing of ours."""
    bounds = {"head_max_bytes": knobs.request_head_max_bytes, "head_timeout_s": knobs.request_read_timeout_s}
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), bounds)
