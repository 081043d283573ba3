"""QEMU's monitor protocol (QMP) over a socket in the machine's directory: one command at a time, and its events.

Knows JSON lines and time-outs, no command. What answers may be a guest that got into its monitor: lines are bounded,
what nobody waits for is read slowly and thrown away, and any breach ends the connection, never this process.
"""

import asyncio
import os
import socket

import msgspec
from msgspec import Raw, Struct

from ...world import World, within
from .vmm import MachineRefused, MachineStuck

_LINE_MAX = 256 * 1024  # an answer with the whole console is a third of it
_EVENT_PAUSE_S = 0.01
_SAID_MAX = 300
_NOTHING = Raw()
NONSENSE = (msgspec.MsgspecError, RecursionError, ValueError)  # what reading a stranger's JSON may raise


class QmpEvent(Struct, frozen=True, kw_only=True):
    name: str


class _Failure(Struct, frozen=True):
    desc: str = ""


class _Line(Struct, frozen=True):
    answer: Raw = msgspec.field(name="return", default=_NOTHING)
    error: _Failure | None = None
    event: str | None = None
    id: Raw = _NOTHING
    greeting: Raw = msgspec.field(name="QMP", default=_NOTHING)


_decoder = msgspec.json.Decoder(_Line)


class Qmp:
    """One connection. `ask` may be called by several; each waits for its turn."""

    def __init__(self, world: World, connection: socket.socket) -> None:
        self._world = world
        self._connection = connection
        self._received = b""
        self._turn = asyncio.Lock()
        self._number = 0
        self._waiting: tuple[int, asyncio.Future[_Line]] | None = None
        self._events: list[QmpEvent] = []
        self._some = asyncio.Event()
        self._is_over = False
        self._reader: asyncio.Task[object] | None = None

    @property
    def is_over(self) -> bool:
        return self._is_over

    async def open(self, timeout_s: float) -> None:
        """Greeting and capabilities; closed when it comes to nothing. Raises MachineStuck."""
        try:
            await self._greeted(timeout_s)
            self._reader = self._world.spawn(self._read(), "qmp")
            # A reader that is cancelled before its first step closes nothing.
            self._reader.add_done_callback(lambda _: self._connection.close())
            await self.ask("qmp_capabilities", timeout_s=timeout_s)
        except BaseException:
            self.close()
            raise

    async def _greeted(self, timeout_s: float) -> None:
        try:
            line = await within(timeout_s, self._line())
            if not bytes(line.greeting):
                raise OSError("it says something else")
        except (TimeoutError, OSError, *NONSENSE) as error:
            raise MachineStuck(f"the monitor does not greet: {error or 'time-out'}") from None

    async def ask(self, command: str, *, timeout_s: float, descriptor: int | None = None, **arguments: object) -> Raw:
        """What it returns, JSON. Raises MachineRefused with its words, MachineStuck when it does not answer."""
        async with self._turn:
            if self._is_over:
                raise MachineStuck("the monitor has hung up")
            self._number += 1
            request = {"execute": command, "arguments": arguments, "id": self._number}
            answered: asyncio.Future[_Line] = asyncio.get_running_loop().create_future()
            self._waiting = (self._number, answered)
            try:
                await within(timeout_s, self._send(msgspec.json.encode(request) + b"\n", descriptor))
                line = await within(timeout_s, answered)
            except TimeoutError:
                self.close()
                raise MachineStuck(f"the monitor does not answer {command} within {timeout_s:.0f} s") from None
            except OSError as error:
                self.close()
                raise MachineStuck(f"the monitor has hung up: {error}") from None
            finally:
                self._waiting = None
        if line.error is not None:
            raise MachineRefused(f"{command}: {printable(line.error.desc, _SAID_MAX)}")
        return line.answer

    async def event(self) -> QmpEvent | None:
        """The next one; None when the connection has ended."""
        while not self._events:
            if self._is_over:
                return None
            self._some.clear()
            await self._some.wait()
        return self._events.pop(0)

    def close(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._some.set()
            if self._reader is None:
                self._connection.close()
            else:
                self._reader.cancel()  # whose end closes the socket, once the loop has let go of it
            if self._waiting is not None and not self._waiting[1].done():
                self._waiting[1].set_exception(OSError("the connection ended"))

    async def _send(self, words: bytes, descriptor: int | None) -> None:
        if descriptor is not None:
            # Short, and the first that is sent since the last answer: there is room.
            sent = socket.send_fds(self._connection, [words], [descriptor])
            words = words[sent:]
        if words:
            await asyncio.get_running_loop().sock_sendall(self._connection, words)

    async def _read(self) -> None:
        try:
            while True:
                line = await self._line()
                if line.event is not None:
                    await self._take_event(line)
                elif not self._answer(line):
                    await self._world.sleep(_EVENT_PAUSE_S)
        except (OSError, *NONSENSE):
            pass  # it ended, or broke the protocol: who uses it sees that it is over
        finally:
            self.close()

    def _answer(self, line: _Line) -> bool:
        """False: it answers nothing that is asked."""
        if self._waiting is None:
            return False
        number, answered = self._waiting
        if bytes(line.id) != b"%d" % number or answered.done():
            return False
        answered.set_result(line)
        return True

    async def _take_event(self, line: _Line) -> None:
        """Only what tells of an end is kept. A guest can cause some others as often as it likes."""
        if line.event in ("SHUTDOWN", "GUEST_PANICKED") and len(self._events) < 8:
            self._events.append(QmpEvent(name=line.event))
            self._some.set()
        await self._world.sleep(_EVENT_PAUSE_S)

    async def _line(self) -> _Line:
        loop = asyncio.get_running_loop()
        while b"\n" not in self._received:
            if len(self._received) > _LINE_MAX:
                raise OSError("a line is too long")
            if self._is_over:
                raise OSError("it was closed")
            more = await loop.sock_recv(self._connection, 65536)
            if not more:
                raise OSError("it ended")
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return _decoder.decode(line)


def connected(path: str) -> socket.socket:
    """A non-blocking stream to a socket in a machine's directory, whose path may be longer than an address."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        made.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except BlockingIOError:
        made.close()
        raise MachineStuck("its socket has no room for another connection") from None
    except OSError:
        made.close()
        raise
    finally:
        os.close(directory)
    return made


def listening(path: str) -> socket.socket:
    """A new socket there, of root alone, in place of an old one."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        place = f"/proc/self/fd/{directory}/{os.path.basename(path)}"
        if os.path.lexists(place):
            os.unlink(place)
        made.bind(place)
        os.chmod(place, 0o600)
        made.listen(2)
    except OSError:
        made.close()
        raise
    finally:
        os.close(directory)
    return made


def printable(text: str, length: int) -> str:
    """The end of a stranger's words: lines and printable characters."""
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)[-length:]
