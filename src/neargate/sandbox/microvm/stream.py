"""The rules of one process in the guest: what it may say of itself, in which order, and how much is kept of it.

Owns the output's window (what is received and not consumed is at most `WINDOW_BYTES`), the credit of its input, and who
waits for a change. Must not know sockets. Invariant: output is contiguous from where the host began and below the limit
that the host gave; every break raises `GuestBroke`.
"""

import asyncio
from typing import Final

from .errors import GuestBroke
from .frames import INPUT_MAX_BYTES, RUN_CONTAINER, window_payload
from .messages import Ended, Exited, Output, Started, StreamTold, Taken

WINDOW_BYTES: Final = 64 * 1024
Event = Started | Exited | Output | Ended | Taken


class ProcessStream:
    """`number`, `flags`: as given to RUN. What the guest told stays readable after the connection ended."""

    def __init__(self, number: int, flags: int) -> None:
        self.number = number
        self.flags = flags
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.refused: int | None = None  # errno: it was never started
        self.is_asked = False  # the guest may know of it
        self.is_forgotten = False
        self.writing = asyncio.Lock()
        self.is_input_ended = False
        self._sent = 0
        self._taken = 0
        self._unread = bytearray()
        self._received = 0  # offset of the next byte that may come
        self._limit = 0
        self._acknowledged = 0
        self._produced = 0  # at least
        self._length: int | None = None  # of the whole output
        self._is_ended_told = False
        self._is_begun = False
        self._is_told = False
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    def told(cls, told: StreamTold) -> "ProcessStream":
        """One of an earlier connection, as the guest says."""
        stream = cls(told.stream, told.flags)
        stream.is_asked = stream._is_told = True
        stream.pid = told.pid or None
        stream.exit_code = told.exit_code
        stream._acknowledged = stream._received = told.acknowledged
        stream._produced = told.produced
        stream._length = told.produced if told.output_ended else None
        return stream

    def asked(self) -> None:
        self.is_asked = True

    def refuse(self, errno: int) -> None:
        self.refused = errno
        self.wake()

    @property
    def is_started_or_over(self) -> bool:
        """What a RUN waits for."""
        return self.pid is not None or self.exit_code is not None or self.refused is not None

    # ---------------------------------------------------------------- what the guest says

    def take(self, event: Event) -> None:
        """Raises GuestBroke."""
        match event:
            case Output():
                self._take_output(event)
            case Taken(total=total):
                if not self._taken < total <= self._sent:
                    raise self._broke(f"took {total} bytes of input of {self._sent}, after {self._taken}")
                self._taken = total
            case Started(pid=pid):
                if self.pid is not None or self.exit_code is not None:
                    raise self._broke("started twice, or after its exit")
                self.pid = pid
            case Exited(code=code):
                if self.exit_code is not None or (self.pid is None and not self.flags & RUN_CONTAINER):
                    raise self._broke("exited twice, or before it started")
                self.exit_code = code
            case Ended(length=length):
                self._take_end(length)
        self.wake()

    def _take_output(self, output: Output) -> None:
        end = output.offset + len(output.data)
        if output.offset != self._received:
            raise self._broke(f"has output at {output.offset}, expected at {self._received}")
        if end > self._limit or (self._length is not None and end > self._length):
            raise self._broke(f"has output up to {end}, beyond {self._limit} or its end at {self._length}")
        self._received = end
        self._produced = max(self._produced, end)
        self._unread += output.data

    def _take_end(self, length: int) -> None:
        if self._is_ended_told or (self._length is not None and self._length != length):
            raise self._broke("ended its output twice")
        if length != self._received:
            raise self._broke(f"ended its output at {length}, of which {self._received} bytes came")
        self._is_ended_told = True
        self._length = length

    def _broke(self, what: str) -> GuestBroke:
        return GuestBroke(f"The guest's stream {self.number} {what}.")

    # ---------------------------------------------------------------- output

    @property
    def acknowledged(self) -> int:
        return self._acknowledged

    @property
    def produced(self) -> int:
        return self._produced

    @property
    def consumed(self) -> int:
        return self._received - len(self._unread)

    @property
    def unread_bytes(self) -> int:
        return len(self._unread)

    @property
    def output_is_over(self) -> bool:
        """Nothing more will come. All was received, and there may be some to consume."""
        return self.is_forgotten or self._received == self._length

    def begin_output(self, start: int | None) -> bool:
        """Consume from `start` on; None: from what is consumed. True: the guest is to be given a window.

        Raises GuestBroke for an offset that a guest which tells the truth has; ValueError for one that was never told.
        """
        if start is None:
            start = self.consumed
        if self._is_begun or not self._is_told:
            if not self.consumed <= start <= self._received:
                raise ValueError(f"output from {start} is not there")
            del self._unread[: start - self.consumed]
        elif not self._acknowledged <= start <= self._produced:
            raise self._broke(f"has output from {self._acknowledged} to {self._produced}; the host has it to {start}")
        else:
            self._received = start
        is_first, self._is_begun = not self._is_begun, True
        return is_first or self._is_window_due

    def peek(self) -> bytes:
        return bytes(self._unread)

    def consume(self, count: int) -> bool:
        """True: the guest is to be given a window, which is worth a frame by now."""
        del self._unread[:count]
        return self._is_window_due

    @property
    def _is_window_due(self) -> bool:
        return self.consumed - self._acknowledged >= WINDOW_BYTES // 2

    def window(self) -> bytes:
        """The payload that acknowledges what was consumed; it counts as sent."""
        self._acknowledged = self.consumed
        self._limit = self._acknowledged + WINDOW_BYTES
        return window_payload(self._acknowledged, self._limit)

    # ---------------------------------------------------------------- input

    @property
    def takes_input(self) -> bool:
        return self.exit_code is None and not self.is_input_ended and not self.is_forgotten

    @property
    def input_room_bytes(self) -> int:
        return INPUT_MAX_BYTES - (self._sent - self._taken)

    @property
    def is_input_taken(self) -> bool:
        return self._taken == self._sent

    def input_ended(self) -> None:
        self.is_input_ended = True

    def input_sent(self, count: int) -> None:
        self._sent += count

    # ---------------------------------------------------------------- waiting

    async def change(self) -> None:
        """Until something about it changed, or its connection ended."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
