"""The splunk driver: what containers write is posted to an HTTP Event Collector, at least once and in order.

Owns the tokens (in memory only), the offsets of what was received, and the pauses after a failure. Must not know files
but for these offsets. Invariants: an offset is kept only after a collector said 200 for all before it; every call
leaves through the task's own network; nothing that is noted or told holds a token.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct, field

from ...definitions.splunk import BadOption, SplunkOptions, parse_splunk
from ...link.messages import LogAck, LogOpened, LogRefused
from ...model.concealed import Concealed
from ...model.knobs import Knobs
from ...model.launch import ContainerLaunch, TaskLaunch
from ...world import World, within
from ..channels.link import Closed
from ..container_config import hostname_of
from ..logs.driver import Following, Pace, Piece
from ..logs.files import LANE as FILES
from ..logs.files import keep_offset, kept_offset
from ..task_context import LaunchFailed
from .collector import LANE, Answer, Collector, Unreachable
from .events import EventForm, TooManyAttributes, compressed, event_form, events_body

NOT_INITIALIZED = "ResourceInitializationError: failed to initialize logging driver: "
_OK = 200
Options = Callable[[TaskLaunch, ContainerLaunch], Awaitable[dict[str, str]]]


class _Ready(Concealed, frozen=True, kw_only=True):
    options: SplunkOptions
    form: EventForm


class _Source(Struct):
    launch: TaskLaunch
    container: ContainerLaunch
    runtime_id: str
    ready: _Ready | None = None
    is_over: bool = False  # it will never be ready
    decided: asyncio.Event = field(default_factory=asyncio.Event)  # ready, over, or to be taken up
    ends: asyncio.Event = field(default_factory=asyncio.Event)  # there is little time left
    received: int = 0  # the offset before which a collector has all
    taken: tuple[int, int] = (0, 0)  # of the lines from this offset on, so many are not to be posted again
    failures: int = 0  # in a row
    retry_at: float = 0.0  # monotonic


class SplunkDriver:
    """A `LogDriver`. `options`: a container's, with the values of its secretOptions; raises LaunchFailed.

    `forget`: what was needed to look them up.
    """

    outlives_task = False
    connection = 1  # there is none that stands: each request has its own

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        collector: Collector,
        root: Path,
        *,
        options: Options,
        forget: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._collector = collector
        self._root = root
        self._options = options
        self._forget = forget
        self._note = note
        self._sources: dict[tuple[str, str], _Source] = {}
        self.pace = Pace(
            line_max_bytes=knobs.splunk_line_max_bytes,
            chunk_max_bytes=knobs.splunk_batch_max_bytes,
            chunk_max_lines=knobs.splunk_batch_max_lines,
            in_flight_max_bytes=knobs.splunk_in_flight_max_bytes,
            drain_s=knobs.splunk_drain_s,
            pause_s=knobs.splunk_pause_s,
        )

    async def connected(self) -> None:
        return

    # -- sources

    def following(self, launch: TaskLaunch, container: ContainerLaunch, runtime_id: str) -> Following | None:
        if container.splunk is None:
            return None
        source = _Source(launch=launch, container=container, runtime_id=runtime_id)
        self._sources[launch.task_id, container.name] = source
        return Following(blocking=container.splunk.blocking, max_buffer_bytes=container.splunk.max_buffer_bytes)

    async def prepare(self, launch: TaskLaunch, container: ContainerLaunch) -> None:
        source = self._sources[launch.task_id, container.name]
        try:
            ready = await self._prepared(source)
            if ready.options.verifies_connection:
                await self._verify(source, ready)
            source.ready = ready
        except LaunchFailed:
            source.is_over = True
            raise
        finally:
            if source.ready is not None or source.is_over:
                source.decided.set()

    def adopted(self, task_id: str, container: str) -> None:
        source = self._sources.get((task_id, container))
        if source is not None:
            source.decided.set()

    def ending(self, task_id: str) -> None:
        for (owner, _), source in self._sources.items():
            if owner != task_id:
                continue
            source.ends.set()
            if not source.decided.is_set():
                source.is_over = True
                source.decided.set()

    def closed(self, task_id: str, container: str) -> None:
        self._sources.pop((task_id, container), None)

    # -- what the shipper asks

    async def open(self, task_id: str, container: str) -> LogOpened | LogRefused:
        source = self._sources.get((task_id, container))
        if source is None:
            return _refused("its task's network is gone")
        await source.decided.wait()
        if source.is_over:
            return _refused("its collector was never reached")
        await self._rest(source)
        if source.ready is None:
            await self._take_up(source)
        kept = await self._world.offload(FILES, kept_offset, self._path(source))
        return LogOpened(request=0, stream_key=0, offset=max(kept, source.received))

    async def append(self, _opened: LogOpened, task_id: str, container: str, piece: Piece) -> LogAck | LogRefused:
        source = self._sources[task_id, container]
        ready = source.ready
        assert ready is not None, "only an open source is read"
        lines = piece.block.lines.split(b"\n") if piece.block.count else []
        # Read again, the same bytes give the same lines but for the last one, after which nothing was refused.
        begin, (known, taken) = piece.end - piece.block.consumed, source.taken
        done = taken if known == begin else 0
        while done < len(lines):
            body, done = await self._world.offload(
                LANE, _body, ready, lines, done, piece.read_at_ms, self._knobs.splunk_body_max_bytes
            )
            if body:
                await self._post(source, ready, body)
            source.taken = (begin, done)
        await self._keep(source, piece.end)
        return LogAck(request=0, stream_key=0, offset=piece.end)

    async def _keep(self, source: _Source, offset: int) -> None:
        source.received = offset
        try:
            await self._world.offload(FILES, keep_offset, self._path(source), offset)
        except OSError:
            # The disk is full, and no agent is to end of that: what is not kept the next one would send once more.
            return

    def is_final(self, _refused: LogRefused) -> bool:
        return True

    def failure(self, refused: LogRefused, container: str) -> LaunchFailed:
        return LaunchFailed(f"{NOT_INITIALIZED}{refused.message}", container)

    # -- calls

    async def _prepared(self, source: _Source) -> _Ready:
        """Raises LaunchFailed."""
        launch, container = source.launch, source.container
        secret = frozenset(item.name for item in container.splunk.secret_options) if container.splunk else frozenset()
        values = await self._options(launch, container)
        try:
            options = parse_splunk(values, secret)
            form = await self._world.offload(
                LANE, event_form, options, container, source.runtime_id, hostname_of(launch)
            )
        except BadOption as bad:
            raise LaunchFailed(f"{NOT_INITIALIZED}{bad}", container.name) from None
        except TooManyAttributes:
            text = "splunk: labels and env name too many characters for each event"
            raise LaunchFailed(f"{NOT_INITIALIZED}{text}", container.name) from None
        return _Ready(options=options, form=form)

    async def _verify(self, source: _Source, ready: _Ready) -> None:
        """Raises LaunchFailed. Once, and without the token, as Docker's driver does it."""
        try:
            answer = await self._collector.ask(source.launch.task_id, ready.options, "OPTIONS", (), b"")
        except Unreachable as error:
            raise LaunchFailed(f"{NOT_INITIALIZED}{error}", source.container.name) from None
        if answer.status != _OK:
            text = f"splunk: failed to verify connection - {answer.line} - {answer.said}"
            raise LaunchFailed(f"{NOT_INITIALIZED}{text}", source.container.name)

    async def _take_up(self, source: _Source) -> None:
        """For a container that an earlier process of the agent started: its token is looked up again. Raises Closed."""
        try:
            source.ready = await self._prepared(source)
        except LaunchFailed as failed:
            raise self._failed(source, failed.reason) from None
        finally:
            self._forget(source.launch.task_id)

    async def _rest(self, source: _Source) -> None:
        """The pause after a failure; a short one for who is about to end."""
        pause_s = source.retry_at - self._world.monotonic()
        if pause_s > 0 and source.ends.is_set():
            await self._world.sleep(min(pause_s, self._knobs.splunk_retry_base_s))
        elif pause_s > 0:
            try:
                await within(pause_s, source.ends.wait())
            except TimeoutError:
                return  # the whole pause, the ordinary case

    async def _post(self, source: _Source, ready: _Ready, body: bytes) -> None:
        """Raises Closed."""
        headers = [(b"Authorization", b"Splunk " + ready.options.token.encode())]
        if ready.options.gzip_level is not None:
            headers.append((b"Content-Encoding", b"gzip"))
        try:
            answer = await self._collector.ask(source.launch.task_id, ready.options, "POST", headers, body)
        except Unreachable as error:
            raise self._failed(source, str(error)) from None
        if answer.status != _OK:
            raise self._failed(source, f"splunk: failed to send event - {answer.line} - {answer.said}", answer)
        if source.failures:
            self._note(f"{_name(source)}: its collector takes lines again")
        source.failures = 0

    def _failed(self, source: _Source, why: str, answer: Answer | None = None) -> Closed:
        """With a pause, longer each time and never the same for all: collectors that come back are not run over."""
        if not source.failures:
            self._note(f"{_name(source)}: {why}")
        knobs = self._knobs
        pause_s = min(knobs.splunk_retry_base_s * 2 ** min(source.failures, 16), knobs.splunk_retry_max_s)
        if answer is not None:
            pause_s = min(max(pause_s, answer.retry_after_s), knobs.splunk_retry_max_s)
        source.failures += 1
        source.retry_at = self._world.monotonic() + pause_s * (0.5 + self._world.random.random())
        return Closed(why)

    def _path(self, source: _Source) -> Path:
        return self._root / source.launch.task_id / source.container.name


def _body(ready: _Ready, lines: list[bytes], begin: int, at_ms: int, max_bytes: int) -> tuple[bytes, int]:
    body, done = events_body(ready.form, lines, begin, at_ms, max_bytes)
    level = ready.options.gzip_level
    return (compressed(body, level) if body and level is not None else body), done


def _name(source: _Source) -> str:
    return f"task {source.launch.task_id}, container {source.container.name}"


def _refused(why: str) -> LogRefused:
    return LogRefused(request=0, code="NoCollector", message=f"what was not sent to splunk is gone: {why}")
