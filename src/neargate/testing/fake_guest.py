"""A guest that speaks protocol 2 on a socket, as a machine monitor would offer it, without a machine.

It keeps the rules of the real one (guest/agent): spools, windows, kept processes, a HELLO that kills the others. It is
written from the table of docs/decisions/0053-microvm-engine.md and uses nothing of the host's side, so that a mistake
there does not cancel out. What the host must not do is noted in `complaints`. `mute`, `refusals`, `is_deaf`, `say_raw`
and `cut` make it a bad one.
"""

import asyncio
import errno
import os
import struct
from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from ..world import World, held
from .fake_guest_processes import CONTAINER, KEPT, FakeProcess, Program

SAID_MAX = 32768 - 9  # what the real one says at once
_HEADER = struct.Struct("<IBI")
(HELLO, RUN, INPUT, SIGNAL, CLOCK, ENTROPY, FILE, DISKS, MOUNT, DIRECTORY, NETLINK, WINDOW, RESIZE, FORGET, READ) = (
    range(1, 16)
)
OUTPUT, ENDED, EXIT, FAILED, DONE, CONTENT, STARTED, TAKEN, STREAM = range(16, 25)
_FIRST_PID = 100


class FakeFile(Struct):
    content: bytes
    mode: int
    uid: int
    gid: int


class _Connected:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.is_over = False


def said(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return _HEADER.pack(len(payload), kind, stream) + payload


class FakeGuest:
    """`programs`: by a command's words. What was asked of it is in `files`, `directories`, `mounts` and so on."""

    def __init__(self, world: World, path: str, programs: Mapping[tuple[str, ...], Program] | None = None) -> None:
        self.programs = dict(programs or {})
        self.hello = b'{"protocol":2,"kernel":"6.1.0-fake"}'
        self.files: dict[str, FakeFile] = {"/dev/null": FakeFile(b"", 0o666, 0, 0)}
        self.directories: dict[str, tuple[int, int, int]] = {}
        self.mounts: list[tuple[int, str, str, str, str]] = []
        self.netlinks: list[bytes] = []
        self.clocks: list[float] = []
        self.entropy = b""
        self.has_disks = False
        self.disks = 0  # how many
        self.processes: dict[int, FakeProcess] = {}
        self.connections = 0
        self.asked: list[int] = []  # types of frames, as they came
        self.complaints: list[str] = []
        self.mute: set[int] = set()  # types that are never answered
        self.refusals: dict[int, int] = {}  # errnos by type
        self.left = b""  # said at the beginning of the next connection
        self.cut_in: int | None = None  # the connection ends after so many more bytes
        self._world = world
        self._path = path
        self.numbers: set[int] = set()
        self._is_deaf = False
        self._is_stopped = False
        self._connected: set[_Connected] = set()
        self._change = asyncio.Event()  # of who may be heard; a new one each time
        self._starts = True
        self._news = asyncio.Event()
        self._due: deque[bytes] = deque()
        self._turn = 0
        self._one = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        # By a short name: the path may be longer than a socket's address.
        below = os.open(os.path.dirname(self._path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            short = f"/proc/self/fd/{below}/{os.path.basename(self._path)}"
            self._server = await asyncio.start_unix_server(held(self._serve), short)
        finally:
            os.close(below)

    async def stop(self) -> None:
        """The machine is gone."""
        assert self._server is not None
        self._is_stopped = True
        # Python 3.11 forgets, and never closes, what it accepted just before its server is closed.
        for listener in self._server.sockets:
            asyncio.get_running_loop().remove_reader(listener.fileno())
        await asyncio.sleep(0)
        self._server.close()
        for process in self.processes.values():
            process.kill()
        self._end_connections()
        while self._connected:
            await self._change.wait()

    # ---------------------------------------------------------------- to make it a bad one

    @property
    def is_deaf(self) -> bool:
        return self._is_deaf

    @is_deaf.setter
    def is_deaf(self, value: bool) -> None:
        self._is_deaf = value
        self._tell_change()

    def hold_starts(self, is_held: bool) -> None:
        """Whether nothing is said of processes that were not said to have started."""
        self._starts = not is_held
        self._news.set()

    def say_raw(self, data: bytes) -> None:
        """On this connection, next."""
        self._due.append(data)
        self._news.set()

    def cut(self) -> None:
        """The connection ends; what was written before arrives."""
        if self._writer is not None:
            self._writer.close()

    # ---------------------------------------------------------------- one connection

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_deaf:
            self._end_connections()  # by its host, who is here again; a guest that hears reads on to its end
        connected = _Connected(writer)
        self._connected.add(connected)
        try:
            async with self._one:  # the machine monitor has one host at a time
                await self._listen(connected, reader, writer)
        finally:
            self._connected.discard(connected)
            writer.close()
            self._tell_change()

    def _end_connections(self) -> None:
        for connected in self._connected:
            connected.is_over = True
            connected.writer.transport.abort()  # nobody need be there who reads
        self._tell_change()

    def _tell_change(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def _listen(
        self, connected: "_Connected", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if connected.is_over or self._is_stopped:
            return
        self.connections += 1
        self._writer = writer
        left, self.left = self.left, b""
        writer.write(left)
        telling = self._world.spawn(self._tell(writer), "fake-guest-tells")
        try:
            while not connected.is_over:
                length, kind, stream = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                payload = await reader.readexactly(length)
                while self._is_deaf and not connected.is_over:
                    await self._change.wait()
                if not connected.is_over:
                    self._obey(kind, stream, payload)
                    self._news.set()
        except (asyncio.IncompleteReadError, OSError):
            pass  # the host is gone, maybe in the middle of a frame: dropped
        finally:
            telling.cancel()
            self._writer = None
            self._due.clear()

    async def _tell(self, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                data = self._next()
                if data is None:
                    self._news.clear()
                    await self._news.wait()
                    continue
                if self.cut_in is not None and len(data) >= self.cut_in:
                    now, self.left = data[: self.cut_in], data[self.cut_in :]
                    self.cut_in = None
                    writer.write(now)
                    writer.close()
                    return
                if self.cut_in is not None:
                    self.cut_in -= len(data)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # who reads will see it, too

    def _next(self) -> bytes | None:
        """One frame that is due: answers first, then each stream in turn."""
        if self._due:
            return self._due.popleft()
        streams = list(self.processes.values())
        for step in range(len(streams)):
            data = _news_of(streams[(self._turn + step) % len(streams)], is_starting=self._starts)
            if data is not None:
                self._turn += step + 1
                return data
        return None

    # ---------------------------------------------------------------- what the host asks

    def _obey(self, kind: int, stream: int, payload: bytes) -> None:
        self.asked.append(kind)
        if kind not in (HELLO, INPUT, SIGNAL, WINDOW, RESIZE, FORGET):
            self._first_use(stream)
        if kind in self.mute:
            return
        if kind in self.refusals:
            self._fail(stream, self.refusals[kind])
        elif kind == HELLO:
            self._greet(payload)
        elif kind == RUN:
            self._run(stream, payload)
        elif kind in (INPUT, SIGNAL, WINDOW, RESIZE):
            self._process(kind, stream, payload)
        elif kind == FORGET:
            self._forget(stream)
        else:
            self._do(kind, stream, payload)

    def _first_use(self, stream: int) -> None:
        if stream in self.numbers or stream == 0:
            self.complaints.append(f"stream {stream} was given twice")
        self.numbers.add(stream)

    def _fail(self, stream: int, number: int) -> None:
        self._due.append(said(FAILED, stream, struct.pack("<i", number)))

    def _greet(self, nonce: bytes) -> None:
        if len(nonce) != 32:
            self.complaints.append("a nonce has 32 characters")
        for process in list(self.processes.values()):
            if process.flags & KEPT:
                process.begin_connection()
            else:
                process.kill()
                del self.processes[process.number]
        self._due.append(said(HELLO, 0, self.hello + nonce))
        for number, process in self.processes.items():
            state = struct.pack(
                "<IiBiBQQ",
                process.flags,
                process.pid,
                process.exit_code is not None,
                process.exit_code or 0,
                process.is_output_over,
                process.acknowledged,
                process.produced,
            )
            self._due.append(said(STREAM, number, state))

    def _run(self, stream: int, payload: bytes) -> None:
        flags, columns, rows = struct.unpack_from("<IHH", payload)
        words = _words(payload[8:])
        if flags & CONTAINER:
            words = words[1:]
        pid = _FIRST_PID + stream
        process = FakeProcess(stream, flags, words, pid=pid, news=self._news.set)
        process.size = (columns, rows)
        self.processes[stream] = process
        process.start(self._world, self.programs.get(words))

    def _process(self, kind: int, stream: int, payload: bytes) -> None:
        """What is meant for a process that is gone is passed over."""
        process = self.processes.get(stream)
        if process is None:
            return
        if kind == SIGNAL:
            process.signal(payload[0])
        elif kind == RESIZE:
            process.size = struct.unpack("<HH", payload)
        elif kind == INPUT and not process.give(payload):
            self.complaints.append(f"stream {stream} was given more input than it may be")
        elif kind == WINDOW and not process.open_window(*struct.unpack("<QQ", payload)):
            self.complaints.append(f"stream {stream} has no such output to acknowledge")

    def _forget(self, stream: int) -> None:
        process = self.processes.pop(stream, None)
        if process is not None and process.exit_code is None:
            self.processes[stream] = process
            self._fail(stream, errno.EBUSY)
            return
        if process is not None:
            process.kill()
        self._due.append(said(DONE, stream))

    def _do(self, kind: int, stream: int, payload: bytes) -> None:
        if kind == READ:
            (path,) = _words(payload)
            if path in self.files:
                self._due.append(said(CONTENT, stream, self.files[path].content[:SAID_MAX]))
            else:
                self._fail(stream, errno.ENOENT)
            return
        if kind == FILE:
            self._file(payload)
        elif kind == DIRECTORY:
            (path,) = _words(payload[12:])
            self.directories.setdefault(path, struct.unpack_from("<III", payload))
        elif kind == MOUNT:
            (flags,) = struct.unpack_from("<I", payload)
            source, target, type_, data = _words(payload[4:])
            self.mounts.append((flags, source, target, type_, data))
        elif kind == NETLINK:
            self.netlinks.append(payload)
        elif kind == CLOCK:
            seconds, nanoseconds = struct.unpack("<QI", payload)
            self.clocks.append(seconds + nanoseconds / 1e9)
        elif kind == ENTROPY:
            self.entropy += payload
        elif kind == DISKS:
            self.has_disks = True
            (self.disks,) = struct.unpack("<I", payload)
        else:
            self.complaints.append(f"there is no frame of type {kind}")
        self._due.append(said(DONE, stream))

    def _file(self, payload: bytes) -> None:
        mode, uid, gid, is_more = struct.unpack_from("<IIIB", payload)
        path, _, content = payload[13:].partition(b"\0")
        file = self.files.setdefault(path.decode(), FakeFile(b"", mode, uid, gid))
        file.content = file.content + content if is_more else content


def _words(payload: bytes) -> tuple[str, ...]:
    """Each ended by a NUL."""
    if not payload.endswith(b"\0"):
        raise ValueError("the last word has no end")
    return tuple(word.decode(errors="surrogateescape") for word in payload[:-1].split(b"\0"))


def _news_of(process: FakeProcess, *, is_starting: bool) -> bytes | None:
    """The next of what is due of one process, in the order of the real guest; it counts as told."""
    number = process.number
    if not is_starting and not process.started_told:
        return None
    if process.pid and not process.started_told:
        process.started_told = True
        return said(STARTED, number, struct.pack("<i", process.pid))
    if process.taken_told < process.taken:
        process.taken_told = process.taken
        return said(TAKEN, number, struct.pack("<Q", process.taken))
    end = min(process.produced, process.limit, process.sent + SAID_MAX - 8)
    if process.sent < end:
        offset, process.sent = process.sent, end
        part = process.spool[offset - process.acknowledged : end - process.acknowledged]
        return said(OUTPUT, number, struct.pack("<Q", offset) + part)
    if process.exit_code is not None and not process.exit_told:
        process.exit_told = True
        return said(EXIT, number, struct.pack("<i", process.exit_code))
    if process.is_output_over and process.sent == process.produced and not process.ended_told:
        process.ended_told = True
        return said(ENDED, number, struct.pack("<Q", process.produced))
    return None
