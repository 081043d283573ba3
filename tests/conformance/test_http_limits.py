"""The real server on a loopback port: what no client of good will sends must not cost memory, time or an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from neargate.frontend.app import FrontEnd
from neargate.frontend.callers.credentials import Credentials
from neargate.frontend.http_protocol import bounded_protocol
from neargate.frontend.operations.sts.table import OPERATIONS as STS
from neargate.model.knobs import Knobs
from neargate.wire.shapes import Models
from neargate.world import OsWorld

from .served import listening

ANSWER_S = 10.0  # a bound on waiting, not a measurement
KNOBS = Knobs(
    request_head_max_bytes=8_192, request_body_max_bytes=20_000, request_read_timeout_s=0.3, answer_unread_timeout_s=0.3
)

Story = Callable[[int], Awaitable[None]]


def serve(story: Story) -> None:
    """Run the story against a server on a port of its own."""

    async def main() -> None:
        front = FrontEnd(
            world=OsWorld(),
            region="us-east-1",
            knobs=KNOBS,
            models=Models(),
            services=None,  # type: ignore[arg-type]
            operations={"sts": STS},
            credentials=Credentials(account="123456789012", access_key_id="k", secret_access_key="s"),
        )
        async with listening(front, KNOBS) as port:
            await asyncio.wait_for(story(port), ANSWER_S)

    asyncio.run(main())


async def exchange(port: int, *parts: bytes) -> bytes:
    """Send, then read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        answer = await reader.read()
    except ConnectionError:
        pass  # closed while we were still sending: what was answered before is what counts
    finally:
        writer.close()
    return answer


def test_health_over_the_wire() -> None:
    async def story(port: int) -> None:
        answer = await exchange(port, b"GET /_neargate/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"status":"ok"' in answer

    serve(story)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nx: " + b"a" * 400_000,  # one header without end
        b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 80_000,  # headers without end
        b"GET /" + b"a" * 400_000,  # a path without end
    ],
)
def test_a_head_without_end_is_cut(head: bytes) -> None:
    async def story(port: int) -> None:
        answer = await exchange(port, *(head[start : start + 4_000] for start in range(0, len(head), 4_000)))
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")

    serve(story)


@pytest.mark.parametrize("start", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nhost: x\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(start: bytes) -> None:
    async def story(port: int) -> None:
        assert await exchange(port, start) == b""

    serve(story)


def test_a_second_request_on_the_connection_is_bounded_too() -> None:
    async def story(port: int) -> None:
        first = b"GET /_neargate/health HTTP/1.1\r\nhost: x\r\n\r\n"
        answer = await exchange(port, first, first, b"GET / HTTP/1.1\r\nx: y")
        assert answer.count(b"HTTP/1.1 200 OK") == 2

    serve(story)


def test_a_body_that_stops_is_timed_out() -> None:
    async def story(port: int) -> None:
        answer = await exchange(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"RequestTimeoutException" in answer

    serve(story)


def test_a_body_over_the_bound_is_refused_before_it_is_sent() -> None:
    async def story(port: int) -> None:
        answer = await exchange(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20001\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 ")

    serve(story)


def test_a_chunked_body_over_the_bound_is_refused() -> None:
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"

    async def story(port: int) -> None:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        answer = await exchange(port, head, *[chunk] * 6)
        assert answer.startswith(b"HTTP/1.1 413 ")

    serve(story)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",  # TLS
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere\r\nconnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade, close\r\n\r\n",
    ],
)
def test_what_is_no_request_of_ours(request_bytes: bytes) -> None:
    async def story(port: int) -> None:
        answer: Any = await exchange(port, request_bytes)
        assert answer.split(b" ")[1:2] and 400 <= int(answer.split(b" ")[1]) < 500

    serve(story)


HEALTH = b"GET /_neargate/health HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"


@pytest.mark.parametrize("request_bytes", [HEALTH, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"])
def test_requests_that_do_not_wait_for_answers_are_cut(request_bytes: bytes) -> None:
    """One read of the socket may hold thousands of them, each many times as large in memory as on the wire."""

    async def story(port: int) -> None:
        answer = await exchange(port, request_bytes * 2000)
        assert answer.count(b"HTTP/1.1 ") < 2000
        few = request_bytes * (KNOBS.request_pipeline_max - 1)
        answer = await exchange(port, few + HEALTH.replace(b"host: x", b"host: x\r\nconnection: close"))
        assert answer.count(b"HTTP/1.1 ") == KNOBS.request_pipeline_max

    serve(story)


@pytest.mark.parametrize(
    "trailers",
    [
        b"0\r\nx: y\r\n\r\n",
        b"0\r\n" + b"x: y\r\n" * 40_000,
        b"0\r\nx: " + b"a" * 200_000,
        b"0\r\n" + b"a" * 200_000,
        b"1;" + b"a" * 200_000,
    ],
    ids=["one", "many", "value", "name", "extension"],
)
def test_what_follows_a_chunked_body_is_no_header_and_not_kept(trailers: bytes) -> None:
    async def story(port: int) -> None:
        parts = [trailers[at : at + 4_000] for at in range(0, len(trailers), 4_000)]
        answer = await exchange(port, CHUNKED, *parts)
        assert answer == b"" or answer.split(b" ")[1] in (b"400", b"431")

    serve(story)


class DeafTransport(asyncio.Transport):
    """To a peer that takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = asyncio.Event()

    def abort(self) -> None:
        self.aborted.set()


def test_a_caller_that_does_not_read_its_answers_is_hung_up_on() -> None:
    async def main() -> None:
        config = uvicorn.Config(FrontEnd, ws="none", log_config=None)  # type: ignore[arg-type]  # never called
        config.load()
        deaf, slow = DeafTransport(), DeafTransport()
        for transport in (slow, deaf):
            protocol = bounded_protocol(KNOBS)(config, ServerState(), {})
            protocol.connection_made(transport)
            protocol.pause_writing()
            if transport is slow:
                protocol.resume_writing()
        await asyncio.wait_for(deaf.aborted.wait(), ANSWER_S)
        assert not slow.aborted.is_set()

    asyncio.run(main())
