"""A terminal of the fake engine: a shell that knows `exit N` and `stty size` and says all that is typed back.

Owns the bound on what waits to be read: a writer waits for its reader, as with the real one. `unread` is what does.
"""

import asyncio
from collections.abc import Callable

_UNREAD_MAX_BYTES = 64 * 1024


class FakeTerminal:
    """Implements interfaces.sandbox.Terminal. `sizes` and `typed`: what was asked of it."""

    def __init__(self, args: tuple[str, ...], *, closed: Callable[[], object]) -> None:
        self.args = args
        self.sizes: list[tuple[int, int]] = []
        self.typed = b""
        self.exit_code: int | None = None
        self.reads = True  # else its command takes no input
        self._closed = closed
        self._line = b""
        self.unread = b""
        self._changed = asyncio.Event()

    def say(self, data: bytes) -> None:
        """Output that nobody typed."""
        self.unread += data
        self._tell()

    def end(self, exit_code: int) -> None:
        if self.exit_code is None:
            self.exit_code = exit_code
            self._tell()

    def read_on(self) -> None:
        self.reads = True
        self._tell()

    async def read(self) -> bytes:
        while not self.unread:
            if self.exit_code is not None:
                return b""
            await self._change()
        data, self.unread = self.unread[:4096], self.unread[4096:]
        self._tell()
        return data

    async def write(self, data: bytes) -> None:
        while (len(self.unread) > _UNREAD_MAX_BYTES or not self.reads) and self.exit_code is None:
            await self._change()
        if self.exit_code is not None:
            return
        self.typed += data
        self.say(data)
        *lines, self._line = (self._line + data.replace(b"\r", b"\n")).split(b"\n")
        for line in lines:
            word, _, code = line.partition(b" ")
            if word == b"exit":
                self.end(int(code or b"0"))
            elif line == b"stty size" and self.sizes:
                columns, rows = self.sizes[-1]
                self.say(f"{rows} {columns}\r\n".encode())

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    async def wait(self) -> int:
        while self.exit_code is None:
            await self._change()
        return self.exit_code

    async def close(self) -> None:
        self.end(137)
        self._closed()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()
