"""One session's output on its way to a log stream of its own, in the name of the task's role.

Owns what is not stored yet, and when it is given up. Must not know terminals or clients. Invariants: what waits has a
bound; a log that is refused holds nothing up, one that is slow does for a bounded while; events come in order, each
once.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from ...model.knobs import Knobs
from ...world import World
from .calls import ApiCalls, CallRefused
from .transcript import EVENT_MAX_BYTES, EVENTS_MAX, events

_EXISTS = "ResourceAlreadyExistsException"
_TOO_SLOW = "the log takes nothing"


class SessionLog:
    """`note` is told once, why nothing more of this session is logged. `run` is to be spawned."""

    def __init__(
        self, world: World, knobs: Knobs, calls: ApiCalls, *, group: str, stream: str, note: Callable[[str], None]
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._calls = calls
        self._names = {"logGroupName": group, "logStreamName": stream}
        self._note = note
        self._waiting = bytearray()
        self._more = asyncio.Event()
        self._moved = asyncio.Event()  # something was stored, or nothing ever will be
        self._is_last = False
        self._is_over = False  # everything is stored, or given up
        self._has_stream = False

    def take(self, output: bytes) -> None:
        """In order, as the terminal said it."""
        if self._is_over or self._is_last:
            return
        self._waiting += output
        self._more.set()

    async def room(self) -> None:
        """Until more may be said."""
        if len(self._waiting) < self._knobs.exec_log_buffer_max_bytes:
            return
        try:
            async with asyncio.timeout(self._knobs.exec_log_patience_s):
                while len(self._waiting) >= self._knobs.exec_log_buffer_max_bytes:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            self._give_up(_TOO_SLOW)

    async def finish(self) -> None:
        """The session is over: until all of it is stored, for a bounded while."""
        self._is_last = True
        self._more.set()
        try:
            async with asyncio.timeout(self._knobs.exec_log_patience_s):
                while not self._is_over:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            self._give_up(_TOO_SLOW)

    async def run(self) -> None:
        while not self._is_over:
            await self._enough()
            is_last = self._is_last
            messages, rest = events(bytes(self._waiting), is_last=is_last)
            size = len(self._waiting) - len(rest)
            if messages:
                await self._store(messages)
            if not self._is_over:
                del self._waiting[:size]  # what came meanwhile stands behind it
                self._is_over = is_last
            self._moved.set()

    async def _enough(self) -> None:
        """Output is stored by the event, or what there is of it after a while."""
        while not self._waiting and not self._is_last:
            self._more.clear()
            await self._more.wait()
        try:
            async with asyncio.timeout(self._knobs.exec_log_period_s):
                while not self._is_last and len(self._waiting) < EVENT_MAX_BYTES:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            return

    async def _store(self, messages: list[str]) -> None:
        now_ms = int(self._world.now() * 1000)
        told = [{"timestamp": now_ms, "message": message} for message in messages]
        try:
            await self._begin()
            for start in range(0, len(told), EVENTS_MAX):
                await self._persist("PutLogEvents", {**self._names, "logEvents": told[start : start + EVENTS_MAX]})
        except CallRefused as refused:
            self._give_up(str(refused))

    async def _begin(self) -> None:
        if self._has_stream:
            return
        try:
            await self._persist("CreateLogStream", self._names)
        except CallRefused as refused:
            if refused.code != _EXISTS:
                raise
        self._has_stream = True

    async def _persist(self, operation: str, params: dict[str, Any]) -> None:
        """Until it is done. Raises CallRefused."""
        while True:
            try:
                await self._calls.ask("logs", operation, params)
                return
            except CallRefused as refused:
                if not refused.is_passing or self._is_over:
                    raise
            await self._world.sleep(self._knobs.exec_log_retry_s)

    def _give_up(self, why: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._waiting.clear()
        self._moved.set()
        self._note(why)
