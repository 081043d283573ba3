"""One connection to a guest: frames in and out, who waits for which answer, and its end.

Owns the socket, the one task that reads it, and the order of what is written. Must not know what requests mean.
Invariants: a number is waited for or a process of ours, else the guest broke the rules; a guest that does not read
makes only its own writers wait; all that waits gets one clear error when the connection ends.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from msgspec import Struct

from ...log import get_logger
from ...world import World, within
from . import frames
from .errors import GuestBroke, GuestGone, GuestRefused
from .frames import Ask
from .greeting import Greeted, greet, listen
from .messages import Content, Decoder, Done, Failed, Hello, Message, StreamTold
from .pace import Pace
from .stream import ProcessStream

_TOLD_MAX = 1024
_FENCE_PATH = "/dev/null"
_log = get_logger(__name__)


class Limits(Struct, frozen=True, kw_only=True):
    """Of one connection. Seconds; `frames_*` bound what a guest may cost the loop: above, it is read more slowly."""

    hello_s: float = 30.0
    hello_again_s: float = 0.5  # without an answer connect once more, then after twice that time, and so on
    answer_s: float = 30.0
    stall_s: float = 30.0  # how long the guest may leave the socket unread
    requests: int = 64  # at a time; others wait
    frames_per_s: int = 2000
    frames_burst: int = 2000


class _Asked:
    """A request that the guest may know. The future is its caller's, who may be gone by the time of the answer."""

    def __init__(self, answer: type[Done] | type[Content], then: Callable[[Done | Content | Failed], None]) -> None:
        self.answer = answer
        self.then = then
        self.future: asyncio.Future[Done | Content | Failed] = asyncio.get_running_loop().create_future()
        self.is_sent = False

    def sent(self) -> None:
        self.is_sent = True

    def answered(self, message: Done | Content | Failed) -> None:
        self.then(message)
        if not self.future.done():
            self.future.set_result(message)

    def fail(self, failure: GuestGone) -> None:
        if not self.future.done():
            self.future.set_exception(failure)
            self.future.exception()  # seen, also where the caller is gone


class Channel:
    """Made by `connect`. `streams`: the processes that the guest may speak of."""

    def __init__(self, greeted: Greeted, pace: Pace, limits: Limits) -> None:
        self._connection = greeted.connection
        self._limits = limits
        self._decoder = Decoder(greeted.rest)
        self._pace = pace
        self._sending = asyncio.Lock()
        self._places = asyncio.Semaphore(limits.requests)
        self._asked: dict[int, _Asked] = {}
        self._is_telling = True  # STREAM frames may come
        self._failure: GuestGone | None = None
        self._over = asyncio.Event()
        self._task: asyncio.Task[object] | None = None
        self.streams: dict[int, ProcessStream] = {}
        self.introduction = greeted.introduction

    # ---------------------------------------------------------------- beginning and end

    @staticmethod
    async def connect(world: World, *, directory: str, name: str, fence: int, limits: Limits) -> "Channel":
        """`fence`: a stream number, for the request whose answer says that all kept streams were told."""
        pace = Pace(world, per_s=limits.frames_per_s, burst=limits.frames_burst)
        greeted = await greet(world, directory, name, pace=pace, hello_s=limits.hello_s, again_s=limits.hello_again_s)
        channel = Channel(greeted, pace, limits)
        try:
            channel._task = world.spawn(channel._read(), "microvm-channel")
            try:
                await channel.request(Ask.READ, fence, frames.words(_FENCE_PATH), "hello")
            except GuestRefused:
                pass  # an answer is an answer
        except BaseException:
            await channel.close()
            raise
        return channel

    def fail(self, failure: GuestGone) -> GuestGone:
        """It is over for this reason, unless it was over before. What waits is told. Returns what to raise."""
        if self._failure is None:
            self._failure = failure
            self._over.set()
            self._connection.abort()
            for asked in self._asked.values():
                asked.fail(self._copy())
            for stream in self.streams.values():
                stream.wake()
            if self._task is not None and self._task is not asyncio.current_task():
                self._task.cancel()
        return self._copy()

    def _copy(self) -> GuestGone:
        """For one more to raise: an exception that several raise collects the tracebacks of all."""
        assert self._failure is not None
        return type(self._failure)(self._failure.reason)

    async def close(self) -> None:
        self.fail(GuestGone("The connection to the guest was closed."))
        if self._task is not None:
            await asyncio.wait({self._task})

    @property
    def unsent_bytes(self) -> int:
        return self._connection.unsent_bytes

    async def ended(self) -> GuestGone:
        await self._over.wait()
        return self._copy()

    def check(self) -> None:
        """Raises GuestGone once it is over."""
        if self._failure is not None:
            raise self._copy()

    # ---------------------------------------------------------------- requests

    async def request(self, ask: Ask, number: int, payload: bytes, what: str) -> bytes:
        """The content, where it has one. `number`: a stream of its own. Raises GuestRefused."""
        answer = Content if ask is Ask.READ else Done
        return await self._request(ask, number, payload, what, _Asked(answer, self._told_all))

    async def forget(self, stream: ProcessStream) -> None:
        """Raises GuestRefused."""

        def forgotten(message: Done | Content | Failed) -> None:
            if isinstance(message, Done):
                stream.is_forgotten = True
                self.streams.pop(stream.number, None)
                stream.wake()

        if not stream.is_forgotten:
            await self._request(Ask.FORGET, stream.number, b"", "forget", _Asked(Done, forgotten))

    def _told_all(self, _message: object) -> None:
        self._is_telling = False  # the first request is the fence

    async def _request(self, ask: Ask, number: int, payload: bytes, what: str, asked: _Asked) -> bytes:
        data = frames.frame(ask, number, payload)
        assert number not in self._asked, "a number is one request's at a time"
        try:
            message = await within(self._limits.answer_s, self._ask(data, number, asked))
        except TimeoutError:
            raise self.fail(GuestBroke(f"The guest did not answer in {self._limits.answer_s:g} s: {what}.")) from None
        if isinstance(message, Failed):
            raise GuestRefused(what, message.errno)
        return message.data if isinstance(message, Content) else b""

    async def _ask(self, data: bytes, number: int, asked: _Asked) -> Done | Content | Failed:
        await self._places.acquire()
        self._asked[number] = asked
        try:
            await self._send(data, asked.sent)
            return await asked.future
        finally:
            if not asked.is_sent:  # else the guest will answer, whoever waits
                del self._asked[number]
                self._places.release()

    # ---------------------------------------------------------------- processes

    async def run(self, stream: ProcessStream, payload: bytes, timeout_s: float | None) -> None:
        """Returns when it started, or its command has failed. Raises GuestRefused: there is no such stream."""
        data = frames.frame(Ask.RUN, stream.number, payload)
        assert stream.number not in self.streams, "a number is one process's"
        limit_s = self._limits.answer_s if timeout_s is None else timeout_s
        self.streams[stream.number] = stream
        try:
            await within(limit_s, self._run(stream, data))
        except TimeoutError:
            raise self.fail(GuestBroke(f"The guest did not start a process in {limit_s:g} s.")) from None
        finally:
            if not stream.is_asked:
                self.streams.pop(stream.number, None)
        if stream.refused is not None:
            raise GuestRefused("run", stream.refused)

    async def _run(self, stream: ProcessStream, data: bytes) -> None:
        await self._send(data, stream.asked)
        await self.until(stream, lambda: stream.is_started_or_over)

    async def until(self, stream: ProcessStream, holds: Callable[[], bool]) -> None:
        """Returns when it holds, which may be after the connection's end; else raises GuestGone then."""
        while not holds():
            self.check()
            await stream.change()

    async def begin_output(self, stream: ProcessStream, start: int | None) -> None:
        try:
            is_first = stream.begin_output(start)
        except GuestBroke as broken:
            raise self.fail(broken) from None
        if is_first:
            await self.open_window(stream)

    async def open_window(self, stream: ProcessStream) -> None:
        if not stream.is_forgotten:
            await self.send(Ask.WINDOW, stream.number, stream.window())

    async def write(self, stream: ProcessStream, data: bytes) -> None:
        """Returns when all was taken, or none will be any more."""
        async with stream.writing:
            left = memoryview(data)
            while left and stream.takes_input:
                await self.until(stream, lambda: stream.input_room_bytes > 0 or not stream.takes_input)
                part = bytes(left[: stream.input_room_bytes])
                if part and stream.takes_input:
                    await self._send(
                        frames.frame(Ask.INPUT, stream.number, part), partial(stream.input_sent, len(part))
                    )
                left = left[len(part) :]
            await self.until(stream, lambda: stream.is_input_taken or not stream.takes_input)

    async def end_input(self, stream: ProcessStream) -> None:
        async with stream.writing:
            if stream.takes_input:
                await self._send(frames.frame(Ask.INPUT, stream.number), stream.input_ended)

    async def send(self, ask: Ask, number: int, payload: bytes) -> None:
        """What has no answer."""
        await self._send(frames.frame(ask, number, payload), _nothing)

    async def _send(self, data: bytes, sent: Callable[[], None]) -> None:
        """`sent` is called in the moment from which the guest may know; before it, a cancellation leaves no trace."""
        self.check()
        try:
            await within(self._limits.stall_s, self._send_in_turn(data, sent))
        except TimeoutError:
            raise self.fail(GuestBroke(f"The guest has read nothing for {self._limits.stall_s:g} s.")) from None
        except OSError:
            raise self.fail(GuestGone("The guest's connection was cut.")) from None

    async def _send_in_turn(self, data: bytes, sent: Callable[[], None]) -> None:
        async with self._sending:
            await self._connection.writable()
            self.check()
            self._connection.write(data)
            sent()

    # ---------------------------------------------------------------- what the guest says

    async def _read(self) -> None:
        try:
            while True:
                while (message := self._decoder.next()) is not None:
                    self._take(message)
                    await self._pace.spend()
                self._decoder.feed(await listen(self._connection, self._pace))
        except GuestGone as failure:
            self.fail(failure)
        except Exception as error:  # a mistake of ours that a guest has found must not end the agent
            _log.exception("a guest's frame was not understood")
            self.fail(GuestBroke(f"The guest said what the agent does not understand: {type(error).__name__}."))

    def _take(self, message: Message) -> None:
        """Raises GuestBroke."""
        match message:
            case Hello():
                raise GuestBroke("The guest said hello again.")
            case Done() | Content() | Failed():
                self._take_answer(message)
            case StreamTold():
                self._take_told(message)
            case _:
                stream = self.streams.get(message.stream)
                if stream is None or not stream.is_asked:
                    raise GuestBroke(f"The guest spoke of stream {message.stream}, which it was not given.")
                stream.take(message)

    def _take_answer(self, message: Done | Content | Failed) -> None:
        asked = self._asked.get(message.stream)
        if asked is not None and asked.is_sent and isinstance(message, (asked.answer, Failed)):
            del self._asked[message.stream]
            self._places.release()
            asked.answered(message)
            return
        stream = self.streams.get(message.stream)
        if stream is None or not stream.is_asked or stream.is_started_or_over or not isinstance(message, Failed):
            raise GuestBroke(f"The guest answered {type(message).__name__} for {message.stream}, which was not asked.")
        del self.streams[message.stream]
        stream.refuse(message.errno)

    def _take_told(self, told: StreamTold) -> None:
        if not self._is_telling or told.stream in self.streams or len(self.streams) == _TOLD_MAX:
            raise GuestBroke(f"The guest told of stream {told.stream} twice, too late, or of too many.")
        self.streams[told.stream] = ProcessStream.told(told)


def _nothing() -> None:
    """Nobody waits for it."""
