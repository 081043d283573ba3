"""Where metrics are served: one path, by address, on loopback; and what hostile scrapes cost, over real sockets."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from neargate.cli import config as configs
from neargate.cli.config import RegionConfig
from neargate.cli.metrics.listener import MetricsListener, Scrapes, check_listen, refusal
from neargate.cli.metrics.table import Readings
from neargate.cli.metrics_options import check, parse
from neargate.cli.problems import Problem
from neargate.interfaces.store import Overloaded
from neargate.model.knobs import Knobs
from neargate.testing.registry import free_port
from neargate.testing.virtual_time import VirtualWorld, run_virtual
from neargate.world import OsWorld

BOUND_S = 20.0  # on waiting; not a measurement
HEAD = b"GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:9464\r\n"
KNOBS = Knobs(metrics_read_timeout_s=0.3, metrics_unread_timeout_s=0.3, metrics_connections_max=4, metrics_fresh_s=0.0)


class Served:
    """A listener whose readings a test chooses."""

    def __init__(self) -> None:
        self.port = free_port()
        self.reads = 0
        self.fault: Exception | None = None
        self.hosts = 1
        self.name = "host"

    async def read(self) -> Readings:
        self.reads += 1
        if self.fault is not None:
            raise self.fault
        return {"neargate_host_offered_vcpus": [([f"{self.name}-{n}"], 1.0) for n in range(self.hosts)]}

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def said(self, *parts: bytes) -> bytes:
        """What comes until the server hangs up."""
        reader, writer = await self.dial()
        answer = b""
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
        with suppress(ConnectionError):
            while more := await reader.read(65536):
                answer += more
        writer.close()
        return answer


def serve(body: Callable[[Served], Awaitable[None]], knobs: Knobs = KNOBS) -> None:
    async def main() -> None:
        served = Served()
        listener = MetricsListener.open(RegionConfig(metrics_listen=f"127.0.0.1:{served.port}"))
        await listener.start(OsWorld(), knobs, served.read)
        try:
            await asyncio.wait_for(body(served), BOUND_S)
        finally:
            listener.close()

    asyncio.run(main())


def test_a_scrape_and_what_is_none() -> None:
    async def body(served: Served) -> None:
        answer = await served.said(HEAD + b"\r\n")
        head, _, text = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"connection: close" in head
        assert b"content-type: text/plain; version=0.0.4; charset=utf-8" in head
        assert b'neargate_host_offered_vcpus{host="host-0"} 1.0\n' in text
        assert b"content-length: %d\r\n" % len(text) in head + b"\r\n"
        empty = await served.said(HEAD.replace(b"GET", b"HEAD") + b"\r\n")
        assert empty.startswith(b"HTTP/1.1 200") and empty.endswith(b"\r\n\r\n")
        assert served.reads == 2
        for line, status in (
            (b"GET / HTTP/1.1", b"404"),
            (b"POST /metrics HTTP/1.1", b"405"),
            (b"GET /_neargate/health HTTP/1.1", b"404"),
            (b"GET /metricsx HTTP/1.1", b"404"),
            (b"GET /v2/ HTTP/1.1", b"404"),
        ):
            said = await served.said(line + b"\r\nhost: 127.0.0.1\r\n\r\n")
            assert said.startswith(b"HTTP/1.1 " + status), (line, said)
            assert b"neargate_" not in said
        assert served.reads == 2

    serve(body)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({b"host": b"127.0.0.1:9464"}, None),
        ({b"host": b"[::1]:9464"}, None),
        ({b"host": b"LOCALHOST:9464"}, None),
        ({b"host": b"evil.example"}, 403),
        ({b"host": b"127.0.0.1.evil.example:9464"}, 403),
        ({b"host": b"\xff\xfe"}, 403),
        ({b"host": b"127.0.0.1", b"origin": b"http://127.0.0.1"}, 403),
    ],
)
def test_pages_in_browsers_of_this_machine_read_nothing(headers: dict[bytes, bytes], wanted: int | None) -> None:
    found = refusal("GET", b"/metrics", headers)
    assert (found and found[0]) == wanted


def test_databases_that_are_busy_and_a_fault_of_ours() -> None:
    async def body(served: Served) -> None:
        served.fault = Overloaded("store-cell-0-read: 4096 commands are waiting")
        assert (await served.said(HEAD + b"\r\n")).startswith(b"HTTP/1.1 503")
        served.fault = KeyError("a secret")
        answer = await served.said(HEAD + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 500") and b"secret" not in answer
        served.fault = None
        assert (await served.said(HEAD + b"\r\n")).startswith(b"HTTP/1.1 200")

    serve(body)


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"x: " + b"a" * 400_000,
        HEAD + b"x: y\r\n" * 80_000,
        b"GET /" + b"a" * 400_000,
        HEAD + b"content-length: 99999999999999999999\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100_000,
    ],
    ids=["one header", "many headers", "a path", "a length", "TLS", "zeros"],
)
def test_heads_that_are_none(head: bytes) -> None:
    async def body(served: Served) -> None:
        answer = await served.said(head)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        assert served.reads == 0
        assert (await served.said(HEAD + b"\r\n")).startswith(b"HTTP/1.1 200")

    serve(body)


def test_who_says_nothing_or_half_a_head_is_hung_up_on() -> None:
    async def body(served: Served) -> None:
        for half in (b"", b"GET /metr", HEAD):
            assert await served.said(half) == b""
        assert served.reads == 0

    serve(body)


def test_a_body_without_an_end_is_not_read() -> None:
    async def body(served: Served) -> None:
        chunk = b"10000\r\n" + b"a" * 65536 + b"\r\n"
        answer = await served.said(HEAD + b"transfer-encoding: chunked\r\n\r\n", *[chunk] * 200)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 200"), answer[:100]

    serve(body)


def test_who_does_not_read_is_hung_up_on() -> None:
    """More than the kernel's buffers hold."""

    async def body(served: Served) -> None:
        served.name = "h" * 64 * 1024 * 1024
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", served.port))
            await loop.sock_sendall(deaf, HEAD + b"\r\n")
            assert await loop.sock_recv(deaf, 1) == b"H"
            while not await _is_cut(deaf, loop):
                pass

    serve(body)


async def _is_cut(deaf: socket.socket, loop: asyncio.AbstractEventLoop) -> bool:
    """Sends now and then, which fails once the server has aborted; reads no more."""
    await asyncio.sleep(0.05)
    try:
        await loop.sock_sendall(deaf, b"x")
    except ConnectionError:
        return True
    return False


def test_places_are_bounded_and_come_back() -> None:
    async def body(served: Served) -> None:
        held = [await served.dial() for _ in range(KNOBS.metrics_connections_max)]
        answer = await served.said(HEAD + b"\r\n")
        assert answer == b"", "all places are taken"
        for reader, _ in held:  # silent: their places are taken back
            assert await reader.read() == b""
        for _, writer in held:
            writer.close()
        assert (await served.said(HEAD + b"\r\n")).startswith(b"HTTP/1.1 200")

    serve(body)


def test_who_asks_without_an_end_is_answered_what_was() -> None:
    async def main() -> None:
        world, served = VirtualWorld(), Served()
        scrapes = Scrapes(world, Knobs(), served.read)
        texts = await asyncio.gather(*(scrapes.text() for _ in range(500)))
        assert served.reads == 1 and len(set(texts)) == 1
        await world.sleep(Knobs().metrics_fresh_s)
        served.hosts = 2
        assert await scrapes.text() not in texts
        assert served.reads == 2

    run_virtual(main())


@pytest.mark.parametrize("text", ["127.0.0.1:9464", "[::1]:9464", "127.9.9.9:1"])
def test_where_metrics_may_be_served(text: str) -> None:
    check(text, 4566)
    configs.check(RegionConfig(metrics_listen=text))
    assert parse(text)[1] == int(text.rpartition(":")[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0.0.0.0:9464", "on loopback only"),
        ("192.168.1.5:9464", "on loopback only"),
        ("[::]:9464", "on loopback only"),
        ("[::ffff:192.168.1.5]:9464", "on loopback only"),
        ("localhost:9464", "write ADDRESS:PORT"),
        ("9464", "write ADDRESS:PORT"),
        ("127.0.0.1:0", "write ADDRESS:PORT"),
        ("127.0.0.1:99999", "write ADDRESS:PORT"),
        ("127.0.0.1:9464\n", "write ADDRESS:PORT"),
        ("127.0.0.1:4566", "the API listens at this port"),
    ],
)
def test_where_they_may_not(text: str, words: str) -> None:
    with pytest.raises(Problem, match=words):
        configs.check(RegionConfig(metrics_listen=text))


def test_a_port_that_somebody_has_is_told_by_name() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port: Any = other.getsockname()[1]
        with pytest.raises(Problem, match=f"--metrics-listen 127.0.0.1:{port}: Address already in use"):
            check_listen(f"127.0.0.1:{port}")
