"""The beginning of a connection: to reach the machine monitor's socket, and to find the guest's answer in what comes.

What an earlier connection left unread comes first, from the middle of a frame even. So the answer is searched for by
its nonce, which nobody could have said before; all before it is dropped, within a bound.
"""

import os
import socket
import stat
from typing import Final

import msgspec

from .errors import GuestBroke
from .frames import HEADER, HEADER_BYTES, Say
from .messages import HELLO_MAX_BYTES, Introduction, hello

LEFT_MAX_BYTES: Final = 8 * 1024 * 1024  # what a guest's port and the machine monitor hold at most


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


class HelloSearch:
    """For the answer to the HELLO with this nonce."""

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce.encode()
        self._window = bytearray()
        self._dropped = 0

    @property
    def kept_bytes(self) -> int:
        return len(self._window)

    def feed(self, data: bytes) -> tuple[Introduction, bytes] | None:
        """What the guest says of itself, and the bytes after it. Raises GuestBroke."""
        self._window += data
        at = self._window.find(self._nonce)
        if at >= 0:
            end = at + len(self._nonce)
            return self._introduction(end), bytes(self._window[end:])
        useless = len(self._window) - HEADER_BYTES - HELLO_MAX_BYTES
        if useless > 0:
            del self._window[:useless]
            self._dropped += useless
        if self._dropped > LEFT_MAX_BYTES:
            raise GuestBroke("The guest said too much before its hello.")
        return None

    def _introduction(self, end: int) -> Introduction:
        """Of the frame that ends there. The nearest beginning that fits is it: JSON holds no such bytes."""
        for begin in range(end - HEADER_BYTES, max(end - HEADER_BYTES - HELLO_MAX_BYTES, 0) - 1, -1):
            length = end - begin - HEADER_BYTES
            if self._window[begin : begin + HEADER_BYTES] == HEADER.pack(length, Say.HELLO, 0):
                try:
                    return hello(bytes(self._window[begin + HEADER_BYTES : end])).introduction
                except (ValueError, msgspec.MsgspecError, RecursionError):
                    break
        raise GuestBroke("The guest's hello is none.")
