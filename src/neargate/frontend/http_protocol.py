"""uvicorn's HTTP protocol with the bounds that it lacks: a head's size and time, requests that wait, unread answers.

Without them one connection costs memory without end, before any signature is seen. Trailers are refused: uvicorn would
make them headers of a request that is being answered already.
Give `bounded_protocol(knobs, frontend.handle)` to `uvicorn.Config(http=...)`. The body is bounded in asgi.py; a small
request that came whole, as almost all do, needs none of its waiting and is handed on and answered here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..model.knobs import Knobs
from .asgi_types import Scope, endpoint_of, is_of_images
from .balancing.local_door import asks_for_balancer
from .errors import Response
from .streaming import Receive, Send, send_stream

Handle = Callable[[str, bytes, bytes, list[tuple[bytes, bytes]], bytes, str, str], Awaitable[Response]]  # FrontEnd's

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"  # no codec yet
)
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class Refused(Exception):
    """Raised to the parser, which gives the request up: uvicorn answers 400 and closes."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """`head_max_bytes` may be overrun by one read of the socket; it bounds also what lies between parts of a body."""

    head_max_bytes: ClassVar[int]
    pipeline_max: ClassVar[int]
    unread_timeout_s: ClassVar[float]
    head_timeout_s: ClassVar[float]
    whole_body_max_bytes: ClassVar[int]
    handle: ClassVar[tuple[Handle, ...]]  # one, or none: then everything goes through the application

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._is_fruitful = False  # the read under way brought a part of a body, or the end of a request
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        self._is_read()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._is_fruitful = False
        super().data_received(data)
        if self._is_fruitful and not self._in_head:
            self._head_bytes = 0
            return
        # A finished head resets the count; what is counted is what came since and is still no request.
        self._head_bytes += len(data)
        if self.transport.is_closing():
            return
        if self._head_bytes > self.head_max_bytes:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._in_head:
            self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            raise Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= self.pipeline_max - 1:
            raise Refused  # one read may hold thousands of requests, each many times as large here as on the wire
        self._head_came()
        self._is_fruitful = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._is_fruitful = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_fruitful = True
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._is_read()
        super().resume_writing()

    def _is_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.head_timeout_s, self.transport.close)

    def _head_came(self) -> None:
        self._in_head = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not self.handle or app is not self.app:  # uvicorn's own answer that there are too many
            super()._start_asgi_task(cycle, app)
            return
        task = self.loop.create_task(self._serve(cycle, app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    async def _serve(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Begins after the read that brought the head was parsed to its end, often with the whole body."""
        scope = cycle.scope
        is_whole = not cycle.more_body and len(cycle.body) <= self.whole_body_max_bytes
        is_plain = scope["method"] == "POST" and not is_of_images(scope["raw_path"])
        is_plain = is_plain and not asks_for_balancer(scope["headers"])
        if not is_whole or not is_plain or cycle.waiting_for_100_continue:
            await cycle.run_asgi(app)
            return
        try:
            response = await self.handle[0](
                scope["method"],
                scope["raw_path"],
                scope["query_string"],
                list(scope["headers"]),
                bytes(cycle.body),
                scope["client"][0] if scope["client"] else "",
                endpoint_of(cast(Scope, scope)),
            )
            if self.flow.write_paused and not cycle.disconnected:
                await self.flow.drain()
            if response.stream is not None:
                receive, send = cast(Receive, cycle.receive), cast(Send, cycle.send)
                await send_stream(response.stream, response.status, response.headers, receive, send)
                return
        except BaseException:
            self.transport.close()  # nobody will answer this request
            raise
        if not cycle.disconnected:
            self._answer(cycle, response)

    def _answer(self, cycle: RequestResponseCycle, response: Response) -> None:
        """Head and body in one piece."""
        lines = [_STATUS_LINES[response.status]]
        for name, value in (*cycle.default_headers, *response.headers):
            if b"\r" in value or b"\n" in value:
                raise ValueError(f"a header of an answer has a line break: {name!r}")
            lines += (name, b": ", value, b"\r\n")
        lines.append(b"content-length: %d\r\n" % len(response.body))
        lines.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        lines.append(response.body)
        self.transport.write(b"".join(lines))
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()


def bounded_protocol(knobs: Knobs, handle: Handle | None = None) -> type[BoundedHttpProtocol]:
    """The class with this process's bounds: uvicorn makes the instances and hands them nothing of ours."""
    given = {
        "head_max_bytes": knobs.request_head_max_bytes,
        "head_timeout_s": knobs.request_read_timeout_s,
        "pipeline_max": knobs.request_pipeline_max,
        "unread_timeout_s": knobs.answer_unread_timeout_s,
        "whole_body_max_bytes": knobs.request_body_small_bytes,
        "handle": () if handle is None else (handle,),  # in a tuple: a function of a class would become a method
    }
    return type("BoundedHttpProtocol", (BoundedHttpProtocol,), given)
