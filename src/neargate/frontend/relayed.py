"""Calls that tasks make through their VPC, handed on by this machine's agent: each connection says first whose it is.

Owns the socket for them and what is said first (the PROXY protocol; version 2 for connections through a VPC endpoint).
Must not know tasks. Invariant: the address of a caller, and the endpoint that it came through, are told by the kernel,
or by a process that may open this socket: the agent, which knows a task by its interface. On the API's own port the
same words are no HTTP, and no header says where a call comes from.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

from ..wire.proxy_protocol import Malformed, is_begun, read
from .asgi_types import ENDPOINT
from .http_protocol import BoundedHttpProtocol

LINE_MAX_BYTES = 107  # the protocol's own
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of SO_PEERCRED


class RelayedHttpProtocol(BoundedHttpProtocol):
    """`relayed` makes the class. What comes before the line, or is none, ends the connection without an answer."""

    _line: bytes | None = b""  # what came of it; None once it was read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not _may_tell(transport):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._line is None:
            super().data_received(data)
        elif is_begun(self._line + data):
            self._read_header(self._line + data)
        else:
            self._read_line(data)

    def _read_header(self, data: bytes) -> None:
        try:
            found = read(data)
        except Malformed:
            self.transport.abort()
            return
        if found is None:
            self._line = data
            return
        said, rest = found
        self._line, self.client = None, said.source
        self.app_state = {**self.app_state, ENDPOINT: said.endpoint_id}
        if rest:
            super().data_received(rest)

    def _read_line(self, data: bytes) -> None:
        assert self._line is not None, "it was read"
        line, end, rest = (self._line + data).partition(b"\r\n")
        source = told_source(line) if end else None
        if len(line) > LINE_MAX_BYTES or (end and source is None):
            self.transport.abort()
        elif source is None:
            self._line = line
        else:
            self._line, self.client = None, source
            if rest:
                super().data_received(rest)


def told_source(line: bytes) -> tuple[str, int] | None:
    """(address, port) of `PROXY TCP4 SOURCE DESTINATION PORT PORT`; None for anything else."""
    words = line.split(b" ")
    if len(words) != 6 or words[:2] != [b"PROXY", b"TCP4"] or not words[4].isdigit() or len(words[4]) > 5:
        return None
    try:
        return str(IPv4Address(words[2].decode("ascii"))), int(words[4])
    except ValueError:
        return None


def relayed(plain: type[BoundedHttpProtocol]) -> type[BoundedHttpProtocol]:
    """The same bounds and the same application, behind the line."""
    return type("RelayedHttpProtocol", (RelayedHttpProtocol, plain), {})


async def serve_relayed(path: Path, make: Callable[[], asyncio.Protocol], *, backlog: int) -> asyncio.Server:
    """Listen with mode 0600 from the first moment."""
    path.unlink(missing_ok=True)  # noqa: ASYNC240 (once, at the start: nothing else runs yet)
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.setblocking(False)
    return await asyncio.get_running_loop().create_unix_server(make, sock=listener, backlog=backlog)


def _may_tell(transport: asyncio.Transport) -> bool:
    """Root, as which agents run, and the server's own user; asked from the kernel."""
    peer = transport.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return uid in (0, os.geteuid())
