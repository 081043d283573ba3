"""The processes of the fake guest: what one is to its program, and what of it the host is told.

A program is a coroutine function: it says and hears, and returns its exit code. Owns the spool (256 KiB, then `say`
waits) and the input that waits to be heard. Must not know frames.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ..world import World

SPOOL_BYTES = 256 * 1024
INPUT_BYTES = 65536
TERMINAL, CONTAINER, KEPT = 1, 2, 4
_NO_CHILD = 255
_NO_PROGRAM = 127


class FakeProcess:
    """`news` is called whenever there is something to tell."""

    def __init__(self, number: int, flags: int, words: tuple[str, ...], *, pid: int, news: Callable[[], None]) -> None:
        self.number = number
        self.flags = flags
        self.words = words
        self.size = (0, 0)
        self.signals: list[int] = []
        self.trapped: set[int] = set()  # signals that its program lives through
        self.keeps_output_open = False  # a child of it may write on
        self.reads = asyncio.Event()  # cleared: it takes no input
        self.reads.set()
        self.pid = 0 if flags & CONTAINER else pid
        self.exit_code: int | None = None
        self.is_output_over = False
        self.spool = b""  # from `acknowledged` on
        self.acknowledged = self.sent = self.limit = 0
        self.taken = self.taken_told = 0
        self.started_told = self.exit_told = self.ended_told = False
        self._pid = pid
        self._news = news
        self._input: list[bytes] = []
        self._is_input_over = False
        self._changed = asyncio.Event()
        self._task: asyncio.Task[object] | None = None

    # ---------------------------------------------------------------- for programs

    async def begin(self) -> None:
        """Of a container: the command has ended well, from here it is the container's first process."""
        self.pid = self._pid
        self._tell()

    async def say(self, data: bytes) -> None:
        """Returns when all of it is in the spool."""
        while data:
            room = SPOOL_BYTES - len(self.spool)
            self.spool += data[:room]
            data = data[room:]
            self._tell()
            if data:
                await self._change()

    async def hear(self) -> bytes:
        """The next input, as it came; empty: it has ended."""
        while not (self._input and self.reads.is_set()):
            if self._is_input_over and not self._input:
                return b""
            await (self._change() if self.reads.is_set() else self.reads.wait())
        data = self._input.pop(0)
        self.taken += len(data)
        self._tell()
        return data

    async def signalled(self) -> int:
        """The next signal that is trapped."""
        while not self.signals:
            await self._change()
        return self.signals.pop(0)

    def close_output(self) -> None:
        """The last that could write has gone."""
        self.is_output_over = True
        self._tell()

    # ---------------------------------------------------------------- for the guest

    @property
    def produced(self) -> int:
        return self.acknowledged + len(self.spool)

    def start(self, world: World, program: "Program | None") -> None:
        self._task = world.spawn(self._run(program), f"fake-process-{self.number}")

    async def _run(self, program: "Program | None") -> None:
        code = _NO_PROGRAM if program is None else await program(self)
        self.end(_NO_CHILD if self.flags & CONTAINER and not self.pid and code == 0 else code)

    def end(self, code: int) -> None:
        if self.exit_code is None:
            self.exit_code = code
            self.drop_input()
            self.is_output_over = self.is_output_over or not self.keeps_output_open
            self._tell()

    def kill(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def signal(self, number: int) -> None:
        if self.exit_code is not None:
            return
        if number in self.trapped and number != 9:
            self.signals.append(number)
            self._tell()
        else:
            self.kill()
            self.end(128 + number)

    def give(self, data: bytes) -> bool:
        """False: the host gave more than it may."""
        if not data:
            self._is_input_over = not self.flags & TERMINAL
        elif self.exit_code is not None:
            self.taken += len(data)
        else:
            self._input.append(data)
        self._tell()
        return sum(map(len, self._input)) <= INPUT_BYTES

    def drop_input(self) -> None:
        self.taken += sum(map(len, self._input))
        self._input = []

    def open_window(self, acknowledged: int, limit: int) -> bool:
        """False: the host acknowledged what there is not."""
        if acknowledged > self.produced:
            return False
        if acknowledged > self.acknowledged:
            self.spool = self.spool[acknowledged - self.acknowledged :]
            self.acknowledged = acknowledged
        self.sent = max(self.sent, self.acknowledged)
        self.limit = limit
        self._tell()
        return True

    def begin_connection(self) -> None:
        self._input = []
        self.sent, self.limit = self.acknowledged, 0
        self.taken = self.taken_told = 0
        self.started_told, self.exit_told = self.pid != 0, self.exit_code is not None
        self.ended_told = False

    def _tell(self) -> None:
        self._changed.set()
        self._news()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


Program = Callable[[FakeProcess], Awaitable[int]]


def saying(data: bytes, exit_code: int = 0) -> Program:
    """Says that and ends."""

    async def program(process: FakeProcess) -> int:
        await process.say(data)
        return exit_code

    return program


async def cat(process: FakeProcess) -> int:
    """Says what it hears."""
    while data := await process.hear():
        await process.say(data)
    return 0


async def sleep(process: FakeProcess) -> int:
    """Until it is killed. As a container it begins."""
    await process.begin()
    while True:
        await process.signalled()


def trapping(number: int, exit_code: int) -> Program:
    """Ends by that signal with a code of its own."""

    async def program(process: FakeProcess) -> int:
        process.trapped.add(number)
        await process.say(b"ready\n")
        await process.signalled()
        return exit_code

    return program


async def leave_child(process: FakeProcess) -> int:
    """Ends at once; a child of it keeps its output open."""
    process.keeps_output_open = True
    await process.say(b"left\n")
    return 0
