"""How long a server may take over one answer: its whole head within a time, its body by a time and at a least rate.

Owns the clock of one connection's reads. A timeout of a socket counts from the last byte, so that a server which sends
one byte now and then would hold a thread for ever. Must not know HTTP. Invariant: only waiting for the server is
counted, never the time that we take over what came.
"""

import io
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Patience(Struct, frozen=True, kw_only=True):
    """`body_rate_min`: bytes per second, looked at after each `window_s` of waiting."""

    head_s: float
    body_s: float
    window_s: float
    body_rate_min: int


class TooSlow(TimeoutError):
    """The server sends, but so that it would never be done: asking it again would be the same again."""


class Pace:
    """The limits of what is read now. Raises TimeoutError when the server is silent, TooSlow when it dawdles."""

    def __init__(self, patience: Patience, monotonic: Callable[[], float]) -> None:
        self._patience = patience
        self._monotonic = monotonic
        self._until = 0.0
        self._rate = 0
        self._waited = 0.0
        self._came = 0
        self._began = 0.0
        self.expect_head()

    def expect_head(self) -> None:
        """A request is about to be sent."""
        self._start(self._patience.head_s, 0)

    def expect_body(self, within_s: float | None = None) -> None:
        """The head came; `within_s` instead of the time that the longest body has."""
        body_s = self._patience.body_s if within_s is None else within_s
        self._start(body_s, self._patience.body_rate_min)

    def _start(self, within_s: float, rate: int) -> None:
        self._until = self._monotonic() + within_s
        self._rate = rate
        self._waited, self._came = 0.0, 0

    def wait_max(self) -> float:
        """How long the next wait may last."""
        left = self._until - self._monotonic()
        if self._waited >= self._patience.window_s:
            if not self._came:
                raise TimeoutError("silent")
            if self._came < self._rate * self._waited:
                raise TooSlow("below the least rate")
            self._waited, self._came = 0.0, 0
        if left <= 0:
            raise TooSlow("late")
        return min(left, self._patience.window_s - self._waited)

    def wait_begins(self) -> None:
        self._began = self._monotonic()

    def wait_ended(self, came: int) -> None:
        self._waited += self._monotonic() - self._began
        self._came += came


class PacedSocket:
    """What `http.client` wants of a socket, with a pace. Owns `connection`."""

    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        self._connection = connection
        self.pace = pace

    def sendall(self, data: bytes) -> None:
        self._connection.settimeout(self.pace.wait_max())  # for all of it
        self._connection.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb", "an answer is read"
        return io.BufferedReader(_PacedReader(self._connection, self.pace))

    def close(self) -> None:
        """The answer that is being read keeps the connection until it is closed too."""
        self._connection.close()


class _PacedReader(io.RawIOBase):
    def __init__(self, connection: socket.socket, pace: Pace) -> None:
        super().__init__()
        self._connection = connection
        self._pace = pace
        self._keeps_open = connection.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        while True:
            self._connection.settimeout(self._pace.wait_max())
            self._pace.wait_begins()
            try:
                came = self._connection.recv_into(buffer)
            except TimeoutError:
                # The window is over, which is not yet the end: it depends on what came in it.
                self._pace.wait_ended(0)
                continue
            self._pace.wait_ended(came)
            return came

    def close(self) -> None:
        if not self.closed:
            self._keeps_open.close()
        super().close()
