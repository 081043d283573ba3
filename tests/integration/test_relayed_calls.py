"""Who a call of a task comes from: the agent alone says it, over its own socket; a caller's own words are nothing."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from neargate.agent.endpoint_proxy import EndpointProxy
from neargate.agent.guests import Guests
from neargate.cli.server import _Server
from neargate.frontend.asgi_types import endpoint_of, peer_of
from neargate.frontend.errors import Response
from neargate.frontend.http_protocol import bounded_protocol
from neargate.frontend.relayed import LINE_MAX_BYTES, told_source
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.wire.proxy_protocol import HandedOn, header

NOBODY = 65534
REQUEST = (
    b"POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 9.9.9.9\r\nForwarded: for=9.9.9.9\r\nContent-Length: 2\r\n\r\n{}"
)
ENDPOINT = "vpce-0123456789abcdef0"
HEADER = header(HandedOn(source=("172.31.0.5", 40000), to=("172.31.0.9", 4566), endpoint_id=ENDPOINT))
# Neither small nor whole: it goes through the application.
LONG = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b" " * 200_000
LINE = b"PROXY TCP4 172.31.0.5 169.254.170.3 40000 4566\r\n"


class Doors:
    """The API's port and the agent's socket, with an application that answers what address it saw."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.port = 0

    async def over_tcp(self, data: bytes) -> bytes:
        return await _said(*await asyncio.open_connection("127.0.0.1", self.port), data)

    async def relayed(self, *pieces: bytes) -> bytes:
        return await _said(*await asyncio.open_unix_connection(self.path), *pieces)


async def _said(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *pieces: bytes) -> bytes:
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 10)
    except (ConnectionResetError, BrokenPipeError):
        return b""
    finally:
        writer.close()


def play(path: Path, story: Callable[[Doors], Awaitable[None]]) -> None:
    async def handle(*request: Any) -> Response:
        return Response(status=200, headers=(), body=json.dumps({"from": request[5], "via": request[6]}).encode())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """For what does not come whole."""
        while (await receive()).get("more_body"):
            pass
        body = json.dumps({"from": peer_of(scope), "via": endpoint_of(scope)}).encode()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        protocol = bounded_protocol(DEFAULT_KNOBS, handle)
        settings = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, proxy_headers=False)
        server = _Server(settings, protocol, path)
        listener = socket.create_server(("127.0.0.1", 0))
        doors = Doors(path)
        doors.port = listener.getsockname()[1]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:
                assert not serving.done()
                await asyncio.sleep(0.01)
            await story(doors)
        finally:
            server.should_exit = True
            await serving

    asyncio.run(main())


def seen(answer: bytes) -> str:
    return told(answer)[0]


def told(answer: bytes) -> tuple[str, str]:
    """(address, VPC endpoint)."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), answer
    found = json.loads(body)
    return found["from"], found["via"]


def test_the_agents_line_is_believed_and_no_callers(tmp_path: Path) -> None:
    async def story(doors: Doors) -> None:
        assert seen(await doors.over_tcp(REQUEST)) == "127.0.0.1"
        assert seen(await doors.relayed(LINE + REQUEST)) == "172.31.0.5"
        in_pieces = [bytes([byte]) for byte in LINE + REQUEST]
        assert seen(await doors.relayed(*in_pieces)) == "172.31.0.5"
        forged = await doors.over_tcp(LINE + REQUEST)
        assert forged.startswith(b"HTTP/1.1 400 ") and b"172.31.0.5" not in forged
        # A task's own line comes after the agent's, where it is no HTTP.
        second = await doors.relayed(LINE + LINE.replace(b"172.31.0.5", b"172.31.0.6") + REQUEST)
        assert second.startswith(b"HTTP/1.1 400 ")

    play(tmp_path / "tasks.sock", story)


@pytest.mark.parametrize(
    "line",
    [
        REQUEST,
        b"PROXY UNKNOWN\r\n",
        LINE.replace(b"172.31.0.5", b"task"),
        LINE.replace(b"172.31.0.5", b"1.2.3"),
        LINE.replace(b"40000", b"-1"),
        LINE.replace(b"PROXY", b"proxy"),
        b"PROXY TCP4 " + b"1" * LINE_MAX_BYTES,
        b"\r\n" + LINE,
        b"",
    ],
)
def test_without_its_line_a_connection_ends_unanswered(tmp_path: Path, line: bytes) -> None:
    async def story(doors: Doors) -> None:
        assert await doors.relayed(line + REQUEST if line != REQUEST else line) == b""

    play(tmp_path / "tasks.sock", story)
    assert told_source(line.partition(b"\r\n")[0]) is None


def test_the_agent_says_which_endpoint_a_call_came_through(tmp_path: Path) -> None:
    async def story(doors: Doors) -> None:
        assert told(await doors.relayed(HEADER + REQUEST)) == ("172.31.0.5", ENDPOINT)
        assert told(await doors.relayed(*(bytes([byte]) for byte in HEADER + REQUEST))) == ("172.31.0.5", ENDPOINT)
        assert told(await doors.relayed(HEADER + LONG)) == ("172.31.0.5", ENDPOINT)
        assert told(await doors.relayed(LINE + REQUEST)) == ("172.31.0.5", "")
        assert told(await doors.over_tcp(REQUEST)) == ("127.0.0.1", "")
        assert (await doors.over_tcp(HEADER + REQUEST)).startswith(b"HTTP/1.1 400 ")
        twice = await doors.relayed(HEADER + HEADER.replace(b"cdef0", b"cdef1") + REQUEST)
        assert twice.startswith(b"HTTP/1.1 400 ")
        for wrong in (HEADER[:13] + b"\x21" + HEADER[14:], HEADER.replace(b"vpce-", b"vpcx-"), HEADER[:-1]):
            assert await doors.relayed(wrong + REQUEST) == b""

    play(tmp_path / "tasks.sock", story)


def test_the_proxy_of_an_endpoint_says_so_and_ends_with_it(tmp_path: Path) -> None:
    async def story(doors: Doors) -> None:
        proxy = EndpointProxy(DEFAULT_KNOBS, "vpc-1", Guests(each_max=8, all_max=8), str(doors.path), ENDPOINT)
        router = await asyncio.start_server(proxy.serve, "127.0.0.9", 0)
        at = router.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*at, local_addr=("127.0.0.77", 0))
        assert told(await _said(reader, writer, REQUEST)) == ("127.0.0.77", ENDPOINT)
        reader, writer = await asyncio.open_connection(*at, local_addr=("127.0.0.77", 0))
        writer.write(REQUEST)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        proxy.end()
        with suppress(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()
        router.close()

    play(tmp_path / "tasks.sock", story)


def test_a_task_is_told_of_by_the_address_its_router_saw(tmp_path: Path) -> None:
    """Through the agent's proxy, whatever the task writes."""

    async def story(doors: Doors) -> None:
        proxy = EndpointProxy(DEFAULT_KNOBS, "vpc-1", Guests(each_max=8, all_max=8), str(doors.path))
        router = await asyncio.start_server(proxy.serve, "127.0.0.9", 0)
        at = router.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*at, local_addr=("127.0.0.77", 0))
        assert seen(await _said(reader, writer, REQUEST)) == "127.0.0.77"
        reader, writer = await asyncio.open_connection(*at, local_addr=("127.0.0.77", 0))
        assert (await _said(reader, writer, LINE + REQUEST)).startswith(b"HTTP/1.1 400 ")
        router.close()

    play(tmp_path / "tasks.sock", story)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to play another user")
def test_another_user_may_say_nothing(tmp_path: Path) -> None:
    """Neither by the file's mode, nor, where that were lost, by the kernel's word."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)

    async def story(doors: Doors) -> None:
        assert doors.path.stat().st_mode & 0o777 == 0o600
        for parent in (doors.path, *doors.path.parents[:3]):
            parent.chmod(parent.stat().st_mode | 0o011)
        with as_nobody(), pytest.raises(PermissionError):
            await doors.relayed(LINE + REQUEST)
        doors.path.chmod(0o666)
        connection = socket.socket(socket.AF_UNIX)
        with as_nobody():
            connection.connect(str(doors.path))
        connection.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=connection)
        assert await _said(reader, writer, LINE + REQUEST) == b""

    play(tmp_path / "tasks.sock", story)
