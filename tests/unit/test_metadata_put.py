"""PUT to the metadata endpoint, as bytes: what a task may send, and how much."""

import asyncio
from typing import Any

import pytest

from neargate.agent.metadata.endpoint import Metadata, MetadataServer, Reply
from neargate.model.knobs import Knobs

KNOBS = Knobs(metadata_request_max_bytes=64, metadata_request_timeout_s=2.0)
PATH = b"PUT /api/x/task-protection/v1/state HTTP/1.1\r\n"


class Asked(Metadata):
    """Answers nothing, and keeps what was asked."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes | None]] = []

    async def answer(self, vpc_id: str, source: str, path: str, body: bytes | None = None) -> Reply:
        del vpc_id, source
        self.seen.append((path, body))
        return Reply(status=200, body=b"{}")


def sent(data: bytes) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    """The answer's first line, and what reached the metadata."""

    async def exchange() -> Any:
        asked = Asked()
        server = await asyncio.start_server(MetadataServer(KNOBS, asked, "vpc-1").serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.write(data)
            try:
                line = (await reader.read()).partition(b"\r\n")[0]
            except ConnectionError:
                line = b""
            writer.close()
        return line, asked.seen

    found: tuple[bytes, list[tuple[str, bytes | None]]] = asyncio.run(exchange())
    return found


def test_a_body_comes_whole_and_an_empty_one_is_none_of_a_get() -> None:
    path = "/api/x/task-protection/v1/state"
    assert sent(PATH + b"Host: a\r\ncontent-length: 2\r\n\r\n{}") == (b"HTTP/1.1 200 OK", [(path, b"{}")])
    assert sent(PATH + b"Content-Length:0\r\n\r\n") == (b"HTTP/1.1 200 OK", [(path, b"")])
    assert sent(PATH.replace(b"PUT", b"GET") + b"Content-Length: 2\r\n\r\n{}") == (b"HTTP/1.1 200 OK", [(path, None)])


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (b"\r\n", b"HTTP/1.1 411 Length Required"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"HTTP/1.1 411 Length Required"),
        (b"Content-Length: -1\r\n\r\n", b"HTTP/1.1 411 Length Required"),
        (b"Content-Length: 65\r\n\r\n", b"HTTP/1.1 413 Payload Too Large"),
        (b"Content-Length: 999999999999\r\n\r\n", b"HTTP/1.1 411 Length Required"),
        (b"Content-Length: 5\r\n\r\n{}", b""),
    ],
)
def test_what_is_too_much_or_never_comes_reaches_nobody(head: bytes, line: bytes) -> None:
    assert sent(PATH + head) == (line, [])
