"""Which stream numbers were given in a machine's life: each once, also over restarts of the agent.

A file of the machine's holds the first number that was given to nothing. It is moved on by a block before the block is
used, so that a killed agent wastes numbers and never repeats one; there are 4 billion. No fsync: who loses the host's
memory loses the machine. The guest's own word (the highest of its kept streams) would not do: it does not know what was
forgotten, and it lies. A clock would not do: it goes back.
"""

import asyncio
import os
from typing import Final

from ...world import World
from .connection import LANE
from .frames import STREAM_MAX

_BLOCK: Final = 4096
_FILE_MAX_BYTES: Final = 16


class StreamNumbers:
    """`path`: a file in a directory that only the agent writes; it goes with the machine. One object for a machine.

    `first`: of those that are given; whoever speaks to a guest before it is a task's begins high.
    """

    def __init__(self, world: World, path: str, first: int = 1) -> None:
        self._world = world
        self._path = path
        self._first = first
        self._next = 0  # 0: the file was not looked at
        self._end = 0
        self._begin = 0
        self._taking = asyncio.Lock()

    async def next(self) -> int:
        """Raises OSError; ValueError for a file that holds no number: the machine is not to be spoken to."""
        async with self._taking:
            if self._next == self._end:
                self._next, self._end = await self._world.offload(LANE, self._take_block)
                self._begin = self._begin or self._next
            self._next += 1
            return self._next - 1

    def was_given(self, number: int) -> bool:
        """By an earlier agent, so that the guest may know it. Ask after the first `next`."""
        return 0 < number < self._begin

    def _take_block(self) -> tuple[int, int]:
        begin = self._read()
        end = begin + _BLOCK
        if end > STREAM_MAX:
            raise ValueError("a machine's stream numbers are used up")
        new = f"{self._path}.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(str(end))
        os.rename(new, self._path)
        return begin, end

    def _read(self) -> int:
        try:
            with open(self._path, "rb") as file:
                return int(file.read(_FILE_MAX_BYTES))
        except FileNotFoundError:
            return self._first
