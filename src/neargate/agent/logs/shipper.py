"""Follows the log files of this host's containers and ships them, each byte once, whatever crashes.

Owns the files' offsets and what happens when the server is slower than the writer: non-blocking (default) drops the
oldest and counts, blocking pauses the container. Must not know what a line means, nor who receives it: that is its
driver's (driver.py). Invariant: the offset that the receiver stored decides where a source goes on; a byte is given
back to the disk only after the receiver holds it or it was dropped.
"""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path

from msgspec import Struct, field

from ...interfaces.sandbox import EngineUnavailable, Sandbox, SandboxError
from ...link.messages import LogOpened, LogRefused
from ...model.knobs import Knobs
from ...model.launch import TaskLaunch
from ...regex.linear import LinearRegex
from ...regex.syntax import BadRegex
from ...world import World
from ..channels.link import Closed
from .driver import LogDriver, Piece
from .events import begins_event, cut_events
from .files import (
    LANE,
    Answer,
    Ask,
    first_data,
    keep_event_start,
    kept_event_start,
    leftover_logs,
    open_log,
    remove_log,
    scan,
)
from .lines import Block, cut_lines, next_line_start

_CUT_LANE = "log-cuts"


class _Tail(Struct):
    task_id: str
    container: str
    runtime_id: str
    path: Path
    descriptor: int
    blocking: bool
    max_buffer: int
    offset: int = 0  # next byte to read
    stored: int = 0  # what the server holds; behind `offset` after a drop, and the next append covers the gap
    floor: int = 0  # bytes before it were dropped
    size: int = 0
    punched: int = 0
    dropped: int = 0  # gaps the server was told of
    opened: LogOpened | None = None
    connection: int = 0  # on which `opened` was answered
    opening: bool = False
    refused: bool = False  # for good, as far as one can tell: the group is gone
    retry_at: float = 0.0
    in_flight: bool = False
    stale_size: int = -1  # at this size nothing whole was to be read
    event_start: LinearRegex | None = None  # what begins an event, where a line is none by itself
    quiet_at: float = 0.0  # when an event to which no lines came is whole: `event_start` only
    due_at: float = inf  # and when it is, whatever comes
    cut_at: float = 0.0  # when its expression may be tried again: it is the container's, and takes what time it takes
    next_at: float = 0.0  # when the next bytes may be sent, unless a whole chunk of them waits
    paused: bool = False
    may_pause: bool = True
    finished: bool = False
    given_up: bool = False  # what was not sent stays so
    drained: asyncio.Event = field(default_factory=asyncio.Event)


class LogShipper:
    def __init__(
        self,
        world: World,
        knobs: Knobs,
        sandbox: Sandbox,
        driver: LogDriver,
        root: Path,
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._sandbox = sandbox
        self._driver = driver
        self._pace = driver.pace
        self._root = root
        self._note = note
        self._tails: dict[tuple[str, str], _Tail] = {}
        self._files_opening: dict[tuple[str, str], asyncio.Future[_Tail]] = {}
        self._poke = asyncio.Event()
        self._dropped: dict[tuple[str, str], int] = {}

    # -- what hooks call

    async def file(self, launch: TaskLaunch, container: str, runtime_id: str) -> str:
        """The file for the container's output, followed from its first byte. Raises OSError."""
        return str((await self._follow(launch, container, runtime_id)).path)

    async def open(self, launch: TaskLaunch, container: str, runtime_id: str) -> str:
        """The same, its stream existing. Waits for the server; raises LaunchFailed, OSError."""
        tail = await self._follow(launch, container, runtime_id)
        await self._driver.prepare(launch, launch.container(container))
        while tail.opened is None or tail.connection != self._driver.connection:
            await self._driver.connected()
            refused = await self._open(tail)
            if refused is not None and self._driver.is_final(refused):
                tail.refused = True
                raise self._driver.failure(refused, container)
            if tail.opened is None or tail.connection != self._driver.connection:
                # Also after a lost connection: until its reader gets a turn, sending on it fails without any pause.
                await self._world.sleep(self._knobs.log_poll_s)
        return str(tail.path)

    async def adopt(self, launch: TaskLaunch, container: str, runtime_id: str) -> None:
        """A container that ran before this agent did. Whether it was left paused is not known, so it is resumed.

        Where the launch was rebuilt from labels, the file tells that there is something to follow.
        """
        if not await self._world.offload(LANE, (self._root / launch.task_id / container).is_file):
            return
        tail = await self._follow(launch, container, runtime_id)
        self._driver.adopted(launch.task_id, container)
        tail.paused = tail.blocking

    async def restore(self, alive: frozenset[str]) -> None:
        """Files of tasks that ended before their last lines were shipped."""
        for task_id, container in await self._world.offload(LANE, leftover_logs, self._root):
            if task_id not in alive:
                path = self._root / task_id / container
                descriptor = await self._world.offload(LANE, open_log, path)
                expression = await self._world.offload(LANE, kept_event_start, path)
                tail = _Tail(
                    task_id=task_id,
                    container=container,
                    runtime_id="",
                    path=path,
                    descriptor=descriptor,
                    blocking=False,
                    max_buffer=self._pace.in_flight_max_bytes,
                    finished=True,
                    event_start=_event_start(expression),
                )
                self._tails[task_id, container] = tail

    async def stopping(self, task_id: str) -> None:
        for tail in self._of(task_id):
            tail.may_pause = False
            if tail.paused:
                await self._sandbox.resume_container(tail.runtime_id)
                tail.paused = False

    async def finish(self, task_id: str) -> None:
        for key, opening in list(self._files_opening.items()):
            if key[0] == task_id:
                await asyncio.wait([opening])
        self._driver.ending(task_id)
        tails = self._of(task_id)
        for tail in tails:
            tail.finished = True
        self._poke.set()
        # Also without a connection: after a restart of the agent it comes a moment after the task's end goes on.
        try:
            async with asyncio.timeout(self._pace.drain_s):
                for tail in tails:
                    await tail.drained.wait()
        except TimeoutError:
            self._not_drained(task_id)

    def _not_drained(self, task_id: str) -> None:
        if self._driver.outlives_task:
            self._note(f"task {task_id}: its last log lines are shipped in the background")
            return
        for tail in self._of(task_id):
            tail.given_up = True
            tail.floor = max(tail.floor, tail.size)
        self._note(f"task {task_id}: its last log lines could not be sent before its network went")

    def dropped(self, task_id: str, container: str) -> int:
        tail = self._tails.get((task_id, container))
        if tail is None:
            return self._dropped.get((task_id, container), 0)
        return tail.dropped + max(0, tail.floor - tail.stored)

    def forget(self, task_id: str) -> None:
        """The task's end was recorded with its counts."""
        for key in [key for key in self._dropped if key[0] == task_id]:
            del self._dropped[key]

    # -- the loop

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._knobs.log_poll_s if self._tails else None):
                    await self._poke.wait()
            except TimeoutError:
                # The ordinary case: writers do not say when they write.
                pass
            self._poke.clear()
            await self._round()

    async def _round(self) -> None:
        tails = list(self._tails.values())
        in_flight = sum(1 for tail in tails if tail.in_flight) * self._pace.chunk_max_bytes
        budget = max(0, self._pace.in_flight_max_bytes - in_flight)
        asks = [self._ask(tail) for tail in tails]
        answers = await self._world.offload(LANE, scan, asks, budget)
        for tail, ask, answer in zip(tails, asks, answers, strict=True):
            tail.size = answer.size
            if ask.punch is not None:
                tail.punched = ask.punch[1]
            await self._advance(tail, ask, answer)

    def _ask(self, tail: _Tail) -> Ask:
        readable = not tail.in_flight and tail.opened is not None and tail.connection == self._driver.connection
        is_early = tail.size - tail.offset < self._pace.chunk_max_bytes and self._world.monotonic() < tail.next_at
        readable = readable and (tail.finished or not is_early) and self._world.monotonic() >= tail.cut_at
        punch = (tail.punched, tail.offset) if tail.offset - tail.punched >= self._knobs.log_punch_bytes else None
        is_quiet = tail.event_start is not None and self._world.monotonic() >= min(tail.quiet_at, tail.due_at)
        return Ask(
            descriptor=tail.descriptor,
            read_at=tail.offset if readable and self._driver.connection else None,
            read_max=self._pace.chunk_max_bytes,
            unless_size=-1 if tail.finished or is_quiet else tail.stale_size,
            final=tail.finished,
            punch=punch,
        )

    async def _advance(self, tail: _Tail, ask: Ask, answer: Answer) -> None:
        if tail.given_up:
            if not tail.in_flight and not tail.opening:
                await self._close(tail)
            return
        if self._driver.connection and tail.connection != self._driver.connection and not tail.opening:
            if self._world.monotonic() >= tail.retry_at:
                self._world.spawn(self._reopen(tail), f"log-open-{tail.task_id}")
                return
        elif answer.data and not tail.in_flight and tail.offset == ask.read_at:
            self._ship(tail, ask, answer)
        over = tail.refused or (tail.opened is not None and tail.offset >= tail.size)
        # Only a look from after the writer's end shows all: it may have written between an earlier look and its end.
        # Who opens it again on a new connection still reads the file.
        if ask.final and not tail.in_flight and not tail.opening and over:
            await self._close(tail)
            return
        if not tail.finished:
            await self._hold_back(tail)

    def _ship(self, tail: _Tail, ask: Ask, answer: Answer) -> None:
        final = ask.final and tail.offset + len(answer.data) >= answer.size
        if tail.event_start is not None:
            now = self._world.monotonic()
            is_due = now >= tail.due_at or (now >= tail.quiet_at and tail.stale_size == answer.size)
            tail.in_flight = True
            cut = self._cut(tail, tail.offset, answer, tail.event_start, final, flush=is_due)
            self._world.spawn(cut, f"log-cut-{tail.task_id}")
            return
        block = cut_lines(answer.data, self._pace.line_max_bytes, self._pace.chunk_max_lines, final=final)
        self._send(tail, tail.offset, answer, block, is_due=False)

    async def _cut(
        self, tail: _Tail, at: int, answer: Answer, event_start: LinearRegex, final: bool, *, flush: bool
    ) -> None:
        """Beside the round and on a thread of its own: nobody else's lines wait for this container's expression."""
        world, opened = self._world, tail.opened

        def cut() -> tuple[Block, float]:
            begin = world.monotonic()
            begins = partial(begins_event, event_start)
            bounds = (self._pace.line_max_bytes, self._pace.chunk_max_lines)
            block = cut_events(answer.data, begins, *bounds, final=final, flush=flush)
            return block, world.monotonic() - begin

        block, took_s = await world.offload(_CUT_LANE, cut)
        # Those that have an expression share the thread: together they have a part of a processor, whatever it takes.
        sharing = sum(1 for one in self._tails.values() if one.event_start is not None)
        tail.cut_at = world.monotonic() + took_s * self._knobs.log_cut_pause * sharing
        tail.in_flight = False
        # Not when its connection was lost. What was dropped meanwhile is sent all the same: it has been read, and a
        # writer that is faster than its expression is told would else be heard never.
        if tail.opened is opened and not tail.given_up:
            self._send(tail, at, answer, block, is_due=flush)
        self._poke.set()

    def _send(self, tail: _Tail, at: int, answer: Answer, block: Block, *, is_due: bool) -> None:
        """`at`: where the block's bytes begin."""
        if block.consumed == 0:
            tail.stale_size = answer.size if tail.offset == at else -1
            now = self._world.monotonic()
            # What is left of a flush is a part of a line: it waits for more of it, and for no time.
            tail.quiet_at = inf if is_due else now + self._knobs.log_event_quiet_s
            tail.due_at = inf if is_due else min(tail.due_at, now + self._knobs.log_event_age_s)
            return
        tail.due_at = inf
        tail.in_flight = True
        end = at + block.consumed
        now_ms = int(self._world.now() * 1000)
        piece = Piece(start=tail.stored, end=end, read_at_ms=now_ms, block=block)
        self._world.spawn(self._append(tail, at, piece), f"log-{tail.task_id}")

    async def _append(self, tail: _Tail, begin: int, piece: Piece) -> None:
        """The lines' bytes are from `begin` on; what lies between the stored offset and `begin` was dropped."""
        opened = tail.opened
        assert opened is not None, "only an open source is read"
        gap = begin - piece.start
        try:
            answer = await self._driver.append(opened, tail.task_id, tail.container, piece)
        except Closed:
            # Unknown outcome: the next connection's LogOpened says what is stored.
            _reset(tail)
        else:
            if isinstance(answer, LogRefused):
                self._refused(tail, answer)
            else:
                # Less than was sent: the server had the beginning already and wants the rest from there.
                tail.dropped += gap
                tail.stored = answer.offset
                tail.offset = max(answer.offset, tail.floor)
                tail.next_at = self._world.monotonic() + self._pace.pause_s
        tail.in_flight = False
        self._poke.set()

    # -- opening

    async def _follow(self, launch: TaskLaunch, container: str, runtime_id: str) -> _Tail:
        """The tail of this source. A caller that is interrupted leaves the file to `finish`, which waits for it."""
        key = (launch.task_id, container)
        known = self._tails.get(key)
        if known is not None:
            return known
        if key not in self._files_opening:
            self._files_opening[key] = asyncio.get_running_loop().create_future()
            self._world.spawn(self._open_file(launch, container, runtime_id), f"log-file-{launch.task_id}")
        return await asyncio.shield(self._files_opening[key])

    async def _open_file(self, launch: TaskLaunch, container: str, runtime_id: str) -> None:
        """Answers those who wait for the file; an error is theirs."""
        key = (launch.task_id, container)
        following = self._driver.following(launch, launch.container(container), runtime_id)
        expression = None if following is None else following.event_start
        # The container's name is the file's whole name: it may be as long as a file name can be.
        path = self._root / launch.task_id / container
        try:
            if expression is not None:
                await self._world.offload(LANE, keep_event_start, path, expression)
            descriptor = await self._world.offload(LANE, open_log, path)
        except OSError as error:
            self._driver.closed(*key)
            waiting = self._files_opening.pop(key)
            waiting.set_exception(error)
            waiting.exception()  # marks it as read: those who waited may have been interrupted
            return
        tail = _Tail(
            task_id=launch.task_id,
            container=container,
            runtime_id=runtime_id,
            path=path,
            descriptor=descriptor,
            blocking=following is not None and following.blocking,
            max_buffer=self._pace.in_flight_max_bytes if following is None else following.max_buffer_bytes,
            event_start=_event_start(expression),
        )
        self._tails[key] = tail
        self._files_opening.pop(key).set_result(tail)
        self._poke.set()

    async def _reopen(self, tail: _Tail) -> None:
        refused = await self._open(tail)
        if refused is not None:
            self._refused(tail, refused)

    async def _open(self, tail: _Tail) -> LogRefused | None:
        """Where the server is with this source. None also when the connection was lost meanwhile."""
        if tail.opening:
            return None
        tail.opening = True
        connection = self._driver.connection
        try:
            answer = await self._driver.open(tail.task_id, tail.container)
            if isinstance(answer, LogRefused):
                return answer
            await self._take_up(tail, answer)
            tail.opened = answer
            tail.connection = connection
            self._poke.set()
        except Closed:
            return None
        finally:
            tail.opening = False
        return None

    async def _take_up(self, tail: _Tail, opened: LogOpened) -> None:
        """The server's offset counts, except that what was given back cannot be read again (the server lost it)."""
        kept = await self._world.offload(LANE, first_data, tail.descriptor)
        tail.stored = opened.offset
        tail.offset = max(opened.offset, tail.floor)
        tail.punched = max(tail.punched, kept)
        tail.stale_size = -1
        tail.refused = False
        if kept > tail.offset:
            tail.offset = kept
            await self._skip_to_line(tail)

    def _refused(self, tail: _Tail, refused: LogRefused) -> None:
        """The group was deleted while the task runs: its buffer fills and drops, and it is asked again now and then."""
        _reset(tail)
        tail.refused = self._driver.is_final(refused)
        pause_s = self._knobs.log_resend_s if tail.refused else self._knobs.engine_retry_s
        tail.retry_at = self._world.monotonic() + pause_s
        self._note(f"task {tail.task_id}, container {tail.container}: logs are refused: {refused.message}")

    # -- backlog

    async def _hold_back(self, tail: _Tail) -> None:
        backlog = tail.size - tail.offset
        if tail.blocking:
            await self._pace_writer(tail, backlog)
        elif backlog > tail.max_buffer:
            tail.offset = tail.size - tail.max_buffer
            await self._skip_to_line(tail)
            tail.floor = tail.offset

    async def _pace_writer(self, tail: _Tail, backlog: int) -> None:
        try:
            if backlog > tail.max_buffer and not tail.paused and tail.may_pause:
                tail.paused = True
                await self._sandbox.pause_container(tail.runtime_id)
            elif tail.paused and backlog <= tail.max_buffer // 2:
                await self._sandbox.resume_container(tail.runtime_id)
                tail.paused = False
        except (EngineUnavailable, SandboxError):
            # Asked again in the next round; until then the file grows, which is bounded by how fast the engine returns.
            return

    async def _skip_to_line(self, tail: _Tail) -> None:
        """What follows a gap begins with a whole line."""
        data = await self._world.offload(LANE, os.pread, tail.descriptor, self._pace.line_max_bytes, tail.offset)
        tail.offset += next_line_start(data)

    # -- the end

    async def _close(self, tail: _Tail) -> None:
        del self._tails[tail.task_id, tail.container]
        dropped = tail.dropped + (max(0, tail.floor - tail.stored) if tail.given_up else 0)
        if dropped:
            self._dropped[tail.task_id, tail.container] = dropped
        await self._world.offload(LANE, os.close, tail.descriptor)
        await self._world.offload(LANE, remove_log, tail.path)
        self._driver.closed(tail.task_id, tail.container)
        tail.drained.set()

    def _of(self, task_id: str) -> list[_Tail]:
        return [tail for tail in self._tails.values() if tail.task_id == task_id]


def _event_start(expression: str | None) -> LinearRegex | None:
    """With one that is none (any more, or torn by a power cut) each line is an event: the agent goes on."""
    try:
        return None if expression is None else LinearRegex(expression)
    except BadRegex:
        return None


def _reset(tail: _Tail) -> None:
    """The source must be opened again before its next bytes."""
    tail.opened = None
    tail.connection = 0
