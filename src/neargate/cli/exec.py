"""`neargate exec`: a command on a terminal in a task's container, through the API's own door for sessions.

Owns this side's terminal: raw while the session lasts, restored whatever happens, its size told on. The session is
granted on the operator's socket; from there on this is a client as any other. Must not know how commands are executed.
"""

import asyncio
import base64
import fcntl
import os
import signal
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from ..wire.data_channel import FRAME_MAX_BYTES, BadFrame
from ..wire.exec_client import INPUT_MAX_BYTES, ExecClient, Finished, Opened, Send, Shown
from ..wire.exec_encryption import DataKey
from ..world import OsWorld, World
from . import admin
from . import config as configs
from .paths import RegionPaths
from .problems import Problem

VERSION = "neargate"
_SHELL = ("/bin/sh",)
_STDIN, _STDOUT = 0, 1
_END_OF_INPUT = b"\x04"  # as a terminal has it
_END_AGAIN_S = 0.5
_TICK_S = 0.25
_OPEN_S = 10.0
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def execute(paths: RegionPaths, task: str, container: str, words: list[str]) -> int:
    """The command's exit status; as a shell has it when a signal ended us. Raises Problem."""
    session = admin.ask(paths, "exec", task=task, container=container, command=words or list(_SHELL))
    url = f"ws://127.0.0.1:{configs.load(paths).port}{session['path']}"
    with asyncio.Runner() as runner:
        try:
            finished = runner.run(_attended(OsWorld(), url, session["token"], _key(session)))
        except _Signalled as signalled:
            return 128 + signalled.number
    if finished.exit_code is None:
        raise Problem(finished.reason or "the session was ended")
    return finished.exit_code


def _key(session: dict[str, Any]) -> DataKey | None:
    """For a session that its cluster wants encrypted."""
    key = session.get("key")
    if key is None:
        return None
    return DataKey(plain=base64.b64decode(key["plain"]), sealed=base64.b64decode(key["sealed"]))


async def _attended(world: World, url: str, token: str, key: DataKey | None) -> Finished:
    try:
        async with connect(url, compression=None, max_size=FRAME_MAX_BYTES, open_timeout=_OPEN_S, proxy=None) as socket:
            attendance = _Attendance(world, socket, key)
            attendance.heed_signals()
            with _raw_terminal():
                return await attendance.run(token)
    except (OSError, WebSocketException) as error:
        raise Problem(f"the session was lost: {error}") from None


class _Attendance:
    """One session and this terminal."""

    def __init__(self, world: World, socket: ClientConnection, key: DataKey | None) -> None:
        self._world = world
        self._socket = socket
        self._client = ExecClient(version=VERSION, random_bits=world.random.getrandbits, key=key)
        self._opened = asyncio.Event()
        self._moved = asyncio.Event()  # the server confirmed something: there may be room
        self._resized = asyncio.Event()
        self._signals: asyncio.Queue[int] = asyncio.Queue()

    def heed_signals(self) -> None:
        """Before the terminal is changed."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGWINCH, self._resized.set)
        for number in _ENDING:
            loop.add_signal_handler(number, self._signals.put_nowait, number)

    async def run(self, token: str) -> Finished:
        """Raises Problem, _Signalled."""
        await self._send(self._client.first_message(token))
        finished: list[Finished] = []
        lost: list[str] = []
        signals: list[_Signalled] = []
        try:
            async with asyncio.TaskGroup() as loops:
                for work in (self._hear(), self._tell_size(), self._type(), self._tick(), self._heed()):
                    loops.create_task(work)
        except* _Over as over:
            finished += [one.finished for one in over.exceptions if isinstance(one, _Over)]
        except* (OSError, WebSocketException, BadFrame) as failed:
            lost += map(str, failed.exceptions)
        except* _Signalled as signalled:
            signals += [one for one in signalled.exceptions if isinstance(one, _Signalled)]
        if signals:
            raise signals[0]
        if not finished:
            raise Problem(f"the session was lost: {lost[0]}")
        return finished[0]

    async def _send(self, message: bytes | str) -> None:
        """To a connection that has ended it is dropped: what came before its end is still to be read."""
        try:
            await self._socket.send(message)
        except ConnectionClosed:
            return

    async def _hear(self) -> None:
        while True:
            data = await self._socket.recv(decode=False)
            for action in self._client.received(bytes(data), self._world.now()):
                match action:
                    case Send():
                        await self._send(action.data)
                    case Shown():
                        _write_all(action.data)
                    case Opened():
                        self._opened.set()
                    case Finished():
                        raise _Over(action)
            self._moved.set()

    async def _heed(self) -> None:
        raise _Signalled(await self._signals.get())

    async def _tell_size(self) -> None:
        await self._opened.wait()
        while True:
            self._resized.clear()
            size = _terminal_size()
            if size is not None:
                await self._room()
                await self._send(self._client.resize(*size, self._world.now()).data)
            await self._resized.wait()

    async def _type(self) -> None:
        """Until the session is over.

        A pipe that has ended stays ended, but a terminal forgets: its first end only hands over a line that was not
        finished, and one that meets a shell between two ways of reading is lost. So it is said again.
        """
        await self._opened.wait()
        while True:
            await self._room()
            data = await _read_input()
            await self._send(self._client.input(data or _END_OF_INPUT, self._world.now()).data)
            if not data:
                await self._world.sleep(_END_AGAIN_S)

    async def _room(self) -> None:
        while self._client.room <= 0:
            self._moved.clear()
            await self._moved.wait()

    async def _tick(self) -> None:
        while True:
            await self._world.sleep(_TICK_S)
            for again in self._client.tick(self._world.now()):
                await self._send(again.data)


class _Over(Exception):
    """The server has said the last word."""

    def __init__(self, finished: Finished) -> None:
        super().__init__(finished.reason)
        self.finished = finished


class _Signalled(Exception):
    """We are to end; the terminal is restored on the way."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the container, Ctrl-C too. Where there is no terminal nothing is changed."""
    if not os.isatty(_STDIN):
        yield
        return
    before: list[Any] = termios.tcgetattr(_STDIN)
    try:
        tty.setraw(_STDIN)
        yield
    finally:
        with suppress(termios.error):  # it has hung up: nobody is left to see it
            termios.tcsetattr(_STDIN, termios.TCSANOW, before)


def _terminal_size() -> tuple[int, int] | None:
    """(columns, rows)."""
    try:
        packed = fcntl.ioctl(_STDIN, termios.TIOCGWINSZ, bytes(8))
    except OSError:
        return None
    rows, columns, _, _ = struct.unpack("HHHH", packed)
    return (columns, rows) if columns and rows else None


async def _read_input() -> bytes:
    """Empty at the end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    try:
        loop.add_reader(_STDIN, _resolve, ready)
    except PermissionError:
        return os.read(_STDIN, INPUT_MAX_BYTES)  # a file, which is always ready
    try:
        await ready
    finally:
        loop.remove_reader(_STDIN)
    return os.read(_STDIN, INPUT_MAX_BYTES)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _write_all(data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(_STDOUT, left) :]
