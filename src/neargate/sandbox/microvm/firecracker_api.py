"""Firecracker's API over its UNIX socket: one request, one answer, one connection.

Knows HTTP as far as Firecracker speaks it, and its `fault_message`; no path of the API. What answers may be a guest
that got into its monitor: heads, bodies and the time of a whole exchange are bounded, and nothing of an answer is
believed but that it was one. Source: firecracker.yaml (swagger) of Firecracker 1.12 to 1.17.
"""

import asyncio
import re
import socket
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from ...world import World, within
from .qmp import printable
from .vmm import MachineRefused, MachineStuck

_HEAD_MAX = 8 * 1024
_BODY_MAX = 256 * 1024
_SAID_MAX = 300
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: |$)")
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*(\d{1,7})[ \t]*\r?$")


class Call(Struct, frozen=True, kw_only=True):
    method: str
    path: str
    body: Mapping[str, object] | None = None


class _Fault(Struct, frozen=True):
    fault_message: str = ""


class Api:
    """`connect`: to the machine's socket. Calls come one after the other, each by whoever waits for its answer."""

    def __init__(self, world: World, connect: Callable[[], socket.socket]) -> None:
        self._world = world
        self._connect = connect

    async def ask(self, call: Call, *, timeout_s: float) -> bytes:
        """The answer's body. Raises MachineRefused with Firecracker's words, MachineStuck; OSError: nobody is there."""
        connection = self._connect()
        try:
            status, body = await within(timeout_s, _exchange(connection, request(call)))
        except TimeoutError:
            raise MachineStuck(f"Firecracker does not answer {call.path} within {timeout_s:.0f} s") from None
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise MachineRefused(f"{call.method} {call.path}: {fault(body) or f'status {status}'}")
        return body


def request(call: Call) -> bytes:
    """Its bytes. Pure."""
    content = b"" if call.body is None else msgspec.json.encode(call.body)
    head = f"{call.method} {call.path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


def fault(body: bytes) -> str:
    """What Firecracker says of a refusal: a stranger's words, bounded. Pure."""
    try:
        return printable(msgspec.json.decode(body, type=_Fault).fault_message, _SAID_MAX)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return ""


async def _exchange(connection: socket.socket, sent: bytes) -> tuple[int, bytes]:
    """Raises MachineStuck where what comes is no answer."""
    loop = asyncio.get_running_loop()
    received = b""
    try:
        await loop.sock_sendall(connection, sent)
        while b"\r\n\r\n" not in received:
            received += await _more(connection, len(received), _HEAD_MAX)
        head, _, body = received.partition(b"\r\n\r\n")
        status, length = _STATUS.match(head), _LENGTH.search(head)
        if status is None:
            raise MachineStuck("Firecracker's answer is none of HTTP")
        wanted = int(length[1]) if length else 0
        if wanted > _BODY_MAX:
            raise MachineStuck("Firecracker's answer is too long")
        while len(body) < wanted:
            body += await _more(connection, len(body), wanted)
        return int(status[1]), body[:wanted]
    except OSError as error:
        raise MachineStuck(f"Firecracker has hung up: {error.strerror}") from None


async def _more(connection: socket.socket, so_far: int, most: int) -> bytes:
    more = await asyncio.get_running_loop().sock_recv(connection, 65536)
    if not more:
        raise MachineStuck("Firecracker has hung up in the middle of an answer")
    if so_far >= most:
        raise MachineStuck("Firecracker's answer is too long")
    return more
