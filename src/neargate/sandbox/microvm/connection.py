"""The machine monitor's socket: reached whatever its path, read only when somebody asks, written with back pressure.

Must not know frames. Invariants: what the other side sends waits in the kernel until it is asked for, so that it cannot
cost the loop more than who asks allows; what is written and not taken is one mark and one piece at most.
"""

import asyncio
import os
import socket
import stat
from typing import Final, cast

from ...world import World

LANE: Final = "microvm-files"
_WRITE_MARK_BYTES: Final = 64 * 1024


def dial(directory: str, name: str) -> socket.socket:
    """Connected to `name` in `directory`, however long the path; a link is not followed. Blocking; raises OSError."""
    below = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=below)
    finally:
        os.close(below)
    try:
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise OSError(f"{name} is no socket")
        return _connected(f"/proc/self/fd/{found}")
    finally:
        os.close(found)


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


class Connection(asyncio.Protocol):
    """Made by `connect`. One reader; writers take turns."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._came = bytearray()
        self._is_over = False
        self._change = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @staticmethod
    async def connect(world: World, directory: str, name: str) -> "Connection":
        """Raises OSError."""
        dialled = await world.offload(LANE, dial, directory, name)
        _, connection = await asyncio.get_running_loop().create_unix_connection(Connection, sock=dialled)
        connection._transport.pause_reading()  # once more: uvloop begins to read after `connection_made`
        return connection

    async def read(self) -> bytes:
        """Some bytes, 256 KiB at most; empty: it is over."""
        while not self._came and not self._is_over:
            self._change.clear()
            self._transport.resume_reading()
            await self._change.wait()
        data = bytes(self._came)
        self._came.clear()
        return data

    async def writable(self) -> None:
        """Returns when the other side has taken most of what was written. Raises OSError once it is over."""
        await self._writable.wait()
        if self._is_over:
            raise ConnectionResetError("the connection is over")

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def abort(self) -> None:
        self._transport.abort()

    # ---------------------------------------------------------------- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=_WRITE_MARK_BYTES)

    def data_received(self, data: bytes) -> None:
        self._came += data
        self._transport.pause_reading()
        self._change.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # an end is an end
        self._is_over = True
        self._change.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
