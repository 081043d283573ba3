"""One running machine's guest, typed: what an engine asks of it, and the processes it runs for us.

Owns the order of requests that belong together (a file's parts) and the life of processes over a caller's cancellation.
Must not know containers, tasks, images: it hands on words. Invariants: a guest that is asked and does not answer in
time has broken the rules; what was not consumed is never acknowledged, so that a killed agent loses no output.

Every call raises GuestGone when the connection ends or has ended (GuestBroke: the guest's fault, end the machine).
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from ...world import World
from . import frames
from .channel import Channel, Limits
from .errors import GuestBroke, GuestGone, GuestRefused
from .frames import Ask
from .numbers import StreamNumbers
from .stream import ProcessStream

_KILL = 9
_BUSY = 16


class Guest:
    """Made by `connect`."""

    def __init__(self, world: World, channel: Channel, numbers: StreamNumbers) -> None:
        self._world = world
        self._channel = channel
        self._numbers = numbers

    @staticmethod
    async def connect(
        world: World, *, directory: str, name: str, numbers: StreamNumbers, limits: Limits | None = None
    ) -> "Guest":
        """Connect to the machine monitor's socket `name` in `directory` and greet, within `limits.hello_s`.

        The guest kills what it ran for an earlier connection, but for what is kept: that is in `processes`, with what
        it says of them. Raises GuestGone (nobody listens; try again), GuestBroke (it did not answer
        rightly in time, or speaks no protocol of `frames.SPEAKS`).
        """
        try:
            fence = await numbers.next()
        except OSError as error:
            raise GuestGone(f"No number can be recorded on this host: {error.strerror}.") from None
        except ValueError as error:
            raise GuestBroke(f"No number can be given: {error}.") from None
        channel = await Channel.connect(world, directory=directory, name=name, fence=fence, limits=limits or Limits())
        for number in channel.streams:
            if not numbers.was_given(number):
                lie = channel.fail(GuestBroke(f"The guest told of stream {number}, which nobody asked for."))
                await channel.close()
                raise lie
        return Guest(world, channel, numbers)

    @property
    def processes(self) -> Mapping[int, "Process"]:
        """By stream number: those of this connection and the kept ones of earlier ones, until they are forgotten."""
        return {number: Process(self._channel, stream) for number, stream in self._channel.streams.items()}

    @property
    def kernel(self) -> str:
        """Its release, in the guest's own words: printable, bounded."""
        return self._channel.introduction.kernel

    @property
    def protocol(self) -> int:
        return self._channel.introduction.protocol

    @property
    def unsent_bytes(self) -> int:
        """What was written and the guest has not read: bounded, whatever it does."""
        return self._channel.unsent_bytes

    async def ended(self) -> GuestGone:
        """Returns when the connection is over, with the reason. Needs no other call to notice."""
        return await self._channel.ended()

    def broke(self, how: str) -> GuestGone:
        """The caller has found that it breaks the rules: ends the connection. Returns what to raise."""
        return self._channel.fail(GuestBroke(how))

    async def close(self) -> None:
        """The machine goes on. What waits on this connection gets GuestGone."""
        await self._channel.close()

    async def number(self) -> int:
        """A stream number for `run`, never given before in this machine's life: to be noted before it is used.

        A host that cannot record which were given may not speak on: the connection ends, and is tried again.
        """
        try:
            return await self._numbers.next()
        except OSError as error:
            raise self._channel.fail(GuestGone(f"No number can be recorded: {error.strerror}.")) from None
        except ValueError as error:
            raise self._channel.fail(GuestBroke(f"No number can be given: {error}.")) from None

    async def run(
        self,
        words: tuple[str, ...],
        *,
        number: int | None = None,
        kept: bool = False,
        pid_file: str | None = None,
        terminal: tuple[int, int] | None = None,
        timeout_s: float | None = None,
    ) -> "Process":
        """Start a command (looked for in the guest's PATH); returns when it runs.

        `kept`: it outlives this connection. `pid_file`: the command makes a container and writes its pid there; the
        process is then that container's first one, and this returns when the command has ended. If the command fails,
        `Process.pid` is None and its code the exit code. `terminal`: columns and rows of its own terminal.
        `timeout_s`: for it to start; None: as for any request.

        A process that is not kept is killed and forgotten when this is cancelled; a kept one runs on and stays in
        `processes`. Raises GuestRefused, and ValueError: more words than a frame holds, a NUL in one.
        """
        if number is None:
            number = await self.number()
        flags = (frames.RUN_KEPT if kept else 0) | (frames.RUN_TERMINAL if terminal else 0)
        if pid_file is not None:
            flags |= frames.RUN_CONTAINER
            words = (pid_file, *words)
        columns, rows = terminal or (0, 0)
        payload = frames.run_payload(flags, columns, rows, words)
        stream = ProcessStream(number, flags)
        process = Process(self._channel, stream)
        try:
            await self._channel.run(stream, payload, timeout_s)
        except asyncio.CancelledError:
            if stream.is_asked and not kept:
                self._world.spawn(self._end(process), f"guest-end-{number}")
            raise
        return process

    async def _end(self, process: "Process") -> None:
        try:
            await process.end()
        except (GuestGone, GuestRefused):
            pass  # with the connection goes all that is not kept; a guest that does not forget keeps its own memory

    async def mount(self, source: str, target: str, kind: str, *, flags: int = 0, data: str = "") -> None:
        """mount(2) in the guest. `source` may be `serial:X`, the disk with that serial. The target is made."""
        payload = frames.mount_payload(source, target, kind, flags=flags, data=data)
        await self._do(Ask.MOUNT, payload, f"mount {target}")

    async def directory(self, path: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        """Make a directory with its parents."""
        await self._do(Ask.DIRECTORY, frames.directory_payload(path, mode=mode, uid=uid, gid=gid), f"directory {path}")

    async def file(self, path: str, content: bytes, *, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Write a whole file, of any size, in parts. A part that is refused leaves those before it."""
        room = frames.file_room_bytes(path)
        for at in range(0, max(len(content), 1), room):
            part = content[at : at + room]
            payload = frames.file_payload(path, part, mode=mode, uid=uid, gid=gid, is_more=at > 0)
            await self._do(Ask.FILE, payload, f"file {path}")

    async def read(self, path: str) -> bytes:
        """The first 32759 bytes of a file of the guest (`frames.SAID_MAX_BYTES`): an enemy's words."""
        return await self._do(Ask.READ, frames.words(path), f"read {path}")

    async def netlink(self, message: bytes) -> None:
        """One rtnetlink message with its header."""
        await self._do(Ask.NETLINK, message, "netlink")

    async def clock(self) -> None:
        """Set the guest's clock to the host's: after a boot, a restore, a pause."""
        await self._do(Ask.CLOCK, frames.clock_payload(self._world.now()), "clock")

    async def entropy(self, data: bytes) -> None:
        """Up to 256 random bytes: guests restored from one file have the same random state until then."""
        await self._do(Ask.ENTROPY, data, "entropy")

    async def disks(self, count: int) -> None:
        """The first so many behind the tools are the task's by now: the guest's driver takes them. A guest of before
        there was a number takes all."""
        await self._do(Ask.DISKS, frames.count_payload(count), "disks")

    async def _do(self, ask: Ask, payload: bytes, what: str) -> bytes:
        return await self._channel.request(ask, await self.number(), payload, what)


class Process:
    """A process in the guest. One reader of the output at a time."""

    def __init__(self, channel: Channel, stream: ProcessStream) -> None:
        self._channel = channel
        self._stream = stream

    @property
    def number(self) -> int:
        return self._stream.number

    @property
    def pid(self) -> int | None:
        """In the guest. None: a container whose command runs yet, or failed."""
        return self._stream.pid

    @property
    def exit_code(self) -> int | None:
        """None: it has not exited, as far as the guest says. 128 + signal for one that was killed."""
        return self._stream.exit_code

    @property
    def is_kept(self) -> bool:
        return bool(self._stream.flags & frames.RUN_KEPT)

    @property
    def is_container(self) -> bool:
        return bool(self._stream.flags & frames.RUN_CONTAINER)

    @property
    def is_terminal(self) -> bool:
        return bool(self._stream.flags & frames.RUN_TERMINAL)

    @property
    def acknowledged(self) -> int:
        """The offset below which the guest has forgotten the output."""
        return self._stream.acknowledged

    @property
    def produced(self) -> int:
        """Bytes of output that there are, as far as is known: what the guest told at the connection, and what came."""
        return self._stream.produced

    @property
    def unread_bytes(self) -> int:
        """Output that is here and not consumed: at most the stream's window."""
        return self._stream.unread_bytes

    async def started(self) -> int | None:
        """The pid, when it runs: of use for a container that an earlier connection began to make."""
        await self._channel.until(self._stream, lambda: self._stream.is_started_or_over)
        return self._stream.pid

    async def wait(self) -> int:
        """The exit code. Does not wait for the output, which a child may write on."""
        await self._channel.until(self._stream, lambda: self._stream.exit_code is not None)
        assert self._stream.exit_code is not None
        return self._stream.exit_code

    async def output(self, start: int | None = None) -> AsyncGenerator[bytes, None]:
        """What it writes (both of its streams in one) from that offset, until nobody can write to it any more.

        Asking for the next part acknowledges the one before: it is then gone from the guest. Who stops asking makes the
        process wait, after what the guest keeps (256 KiB). `start` None: from what is consumed. An offset that the
        guest cannot have (below `acknowledged`, or more than it says was written) is the guest's lie: GuestBroke.
        """
        stream = self._stream
        await self._channel.begin_output(stream, start)
        while True:
            await self._channel.until(stream, lambda: stream.unread_bytes > 0 or stream.output_is_over)
            part = stream.peek()
            if not part:
                break
            yield part
            if stream.consume(len(part)):
                await self._channel.open_window(stream)
        await self._channel.open_window(stream)

    async def write(self, data: bytes) -> None:
        """Returns when the process was given all of it. What it cannot be given any more is dropped."""
        await self._channel.write(self._stream, data)

    async def end_input(self) -> None:
        await self._channel.end_input(self._stream)

    async def signal(self, number: int) -> None:
        """To its process group; of a container to the first process. One that has exited is no error."""
        if self._stream.exit_code is None:
            await self._channel.send(Ask.SIGNAL, self.number, bytes([number]))

    async def resize(self, columns: int, rows: int) -> None:
        if self._stream.exit_code is None:
            await self._channel.send(Ask.RESIZE, self.number, frames.size_payload(columns, rows))

    async def forget(self) -> None:
        """Of one that exited: the guest drops what is left of it. Raises GuestRefused (EBUSY) for one that runs."""
        if self._stream.exit_code is None:
            raise GuestRefused("forget", _BUSY)
        await self._channel.forget(self._stream)

    async def end(self) -> None:
        """Kill it (SIGKILL), wait for its end, forget it."""
        if await self.started() is None and self.exit_code is None:
            return  # it was refused
        await self.signal(_KILL)
        await self.wait()
        await self.forget()
