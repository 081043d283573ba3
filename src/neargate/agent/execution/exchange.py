"""One HTTP request from inside a task's network to the region's endpoint, and its answer.

Owns the connection: a socket of the task's own namespace, so that the call has the task's address and needs nothing of
the host's network. Must not know services or signatures. Invariants: nothing but the endpoint's address is
dialled, and an answer takes neither longer nor more memory than its bounds.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Protocol

from ...interfaces.hostnet import HostError, HostNetwork
from ...model.concealed import Concealed
from ...model.knobs import Knobs
from ...model.network import REGION_ENDPOINT_ADDRESS

Header = tuple[bytes, bytes]
_STATUS_LINE_PARTS = 3


class Reply(Concealed, frozen=True, kw_only=True):
    """`request_id` as the service gave it. The body may hold a secret."""

    status: int
    request_id: str
    body: bytes


class Unreachable(Exception):
    """There was no answer; the sentence is Go's."""


class Exchange(Protocol):
    @property
    def host(self) -> str:
        """Address and port, as the Host header says them."""

    async def post(self, task_id: str, headers: Sequence[Header], body: bytes) -> Reply:
        """Raises Unreachable."""


class EndpointExchange:
    """`port`: of the region's API as tasks reach it."""

    def __init__(self, network: HostNetwork, knobs: Knobs, port: int) -> None:
        self._network = network
        self._knobs = knobs
        self._port = port
        self.host = f"{REGION_ENDPOINT_ADDRESS}:{port}"

    async def post(self, task_id: str, headers: Sequence[Header], body: bytes) -> Reply:
        try:
            async with asyncio.timeout(self._knobs.execution_call_timeout_s):
                return await self._post(task_id, headers, body)
        except TimeoutError:
            raise Unreachable("canceled, context deadline exceeded") from None
        except (HostError, OSError) as error:
            raise Unreachable(self._failed(f"dial tcp {self.host}: connect: {reason_of(error)}")) from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            raise Unreachable(self._failed("EOF")) from None

    async def _post(self, task_id: str, headers: Sequence[Header], body: bytes) -> Reply:
        connection = await self._network.task_socket(task_id)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (REGION_ENDPOINT_ADDRESS, self._port))
            return await self._ask(connection, headers, body)
        finally:
            connection.close()

    async def _ask(self, connection: socket.socket, headers: Sequence[Header], body: bytes) -> Reply:
        limit = self._knobs.execution_answer_max_bytes
        reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
        try:
            given = [*headers, (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
            lines = b"".join(b"%b: %b\r\n" % header for header in given)
            writer.write(b"POST / HTTP/1.1\r\n%b\r\n%b" % (lines, body))
            await writer.drain()
            status, fields = head_of(await reader.readuntil(b"\r\n\r\n"))
            length = int(fields.get("content-length", ""))
            if not 0 <= length <= limit:
                raise ValueError("the answer is too long")
            answer = await reader.readexactly(length)
        finally:
            writer.transport.abort()
        return Reply(status=status, request_id=fields.get("x-amzn-requestid", ""), body=answer)

    def _failed(self, cause: str) -> str:
        return f'request send failed, Post "http://{self.host}/": {cause}'


def head_of(head: bytes) -> tuple[int, dict[str, str]]:
    """Raises ValueError."""
    first, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ", _STATUS_LINE_PARTS - 1)
    if len(words) < _STATUS_LINE_PARTS - 1 or not words[0].startswith("HTTP/1."):
        raise ValueError("no answer of HTTP")
    pairs = (line.partition(":") for line in rest)
    return int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}


def reason_of(error: HostError | OSError) -> str:
    if isinstance(error, HostError):
        return error.reason
    # The event loop writes words of its own into `strerror`.
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
