"""The beginning of a connection: the guest's answer to the host's hello, found in what comes.

What an earlier connection left unread comes first, from the middle of a frame even. So the answer is searched for by
its nonce, which nobody could have said before; all before it is dropped, within a bound.
"""

from typing import Final

import msgspec

from .errors import GuestBroke
from .frames import HEADER, HEADER_BYTES, Say
from .messages import HELLO_MAX_BYTES, Introduction, hello

LEFT_MAX_BYTES: Final = 8 * 1024 * 1024  # what a guest's port and the machine monitor hold at most


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
