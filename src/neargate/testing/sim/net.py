"""The network between simulated processes: connections that are FIFO in each direction, and calls with an answer.

A connection behaves as a WebSocket does: nothing is reordered or doubled inside it; a cut loses what was under way and
each end notices by itself; a frozen path (one direction of it or both) holds everything back; of a half-open connection
neither end ever hears again. The hostile setting loses, doubles and delays single frames, but only such as the session
says it repeats until answered. Invariant: nothing is delivered to the dead.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

from msgspec import Struct, field

from .sim import Sim
from .world import Process, SimWorld

_TICK = 1e-6
UP, DOWN = "up", "down"  # to the server, to the host
# Orders and reports are repeated until answered, acknowledgements follow each repetition; pings come again.
_ANSWER = b"\xa4type\xa4pong"
_REPEATED = (
    b"\xa4type\xa3run",
    b"\xa4type\xa4stop",
    b"\xa4type\xa6report",
    b"\xa4type\xaareport-ack",
    b"\xa4type\xa4p",
)


class Gone(Exception):
    """The connection has ended."""


class Path(Struct):
    """What is between one host and the server now."""

    frozen_until: dict[str, float] = field(default_factory=lambda: {UP: 0.0, DOWN: 0.0})
    extra_s: float = 0.0
    hostile: float = 0.0  # chance of a mishap for each frame that is repeated anyway
    ends: list["End"] = field(default_factory=list)
    answered_at: float = 0.0  # when the host last got the server's answer to a ping


class End:
    """One end of a connection. Frames go to `on_frame` where it is set, else they wait for `receive`.

    `arriving`: the direction of what comes to this end.
    """

    def __init__(self, net: "Net", process: Process, path: Path, arriving: str) -> None:
        self.process = process
        self.arriving = arriving
        self.peer: End
        self.on_frame: Callable[[bytes], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.is_closed = False
        self.is_cut = False
        self._net = net
        self._path = path
        self._arriving: deque[bytes | None] = deque()  # in order, also when the process is late to take them
        self._frames: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._last_at = 0.0

    def send(self, data: bytes) -> None:
        """Raises Gone. What the fence drops looks sent to the one who is being killed."""
        if self.is_closed:
            raise Gone
        if self.process.effect("send"):
            self._net.sim.loop.note(data)
            self.peer.expect(data)

    async def receive(self) -> bytes:
        """Raises Gone once all that arrived was taken."""
        while not self._frames:
            if self.is_closed:
                raise Gone
            self._waiting = self._net.sim.loop.create_future()
            await self._waiting
        return self._frames.popleft()

    def close(self) -> None:
        """This end is done; the other one hears of it after what was sent before."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.process.effect("close"):
            self.peer.expect(None)
        self._wake()

    def expect(self, data: bytes | None) -> None:
        """A frame (None: the end) is on its way to here."""
        net, path = self._net, self._path
        if data is not None and path.hostile and data[1:].startswith(_REPEATED):
            mishap = net.rng.random()
            if mishap < path.hostile:
                net.sim.count("hostile-frames")
                if mishap < path.hostile / 3:
                    return
                late = net.sim.now + net.latency(path, self.arriving) + 3 * net.rng.random()
                net.sim.loop.call_at(late, self._take, data, context=self.process.context)
                if mishap < path.hostile * 2 / 3:
                    return
        self._last_at = max(net.sim.now + net.latency(path, self.arriving), self._last_at + _TICK)
        self._arriving.append(data)
        net.sim.loop.call_at(self._last_at, self._arrive, context=self.process.context)

    def cut(self, notice_s: float) -> None:
        """What is under way to here is lost; this end notices a little later."""
        self.is_cut = True
        self._net.sim.loop.call_later(notice_s, self._end, context=self.process.context)

    def fall_silent(self) -> None:
        """Nothing arrives here any more, and nobody says so: what was under way is lost as well."""
        self.is_cut = True

    def _arrive(self) -> None:
        self._take(self._arriving.popleft())

    def _take(self, data: bytes | None) -> None:
        if self.is_cut or self.is_closed:
            return
        if data is None:
            self._end()
            return
        if data[1:].startswith(_ANSWER):
            self._path.answered_at = self._net.sim.now
        if self.on_frame is not None:
            self.on_frame(data)
        else:
            self._frames.append(data)
            self._wake()

    def _end(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._wake()
        if self.on_close is not None:
            self.on_close()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Net:
    """`listen` is the server's door. Paths are known by the host's (the client's) name."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.rng: random.Random = sim.stream("net")
        self._paths: dict[str, Path] = {}
        self._listener: tuple[Process, Callable[[End, str], None]] | None = None
        self._accepted: list[End] = []

    def latency(self, path: Path, direction: str) -> float:
        delay = 0.0002 + 0.002 * self.rng.random() + path.extra_s * self.rng.random()
        return delay + max(path.frozen_until[direction] - self.sim.now, 0.0)

    def path(self, name: str) -> Path:
        return self._paths.setdefault(name, Path())

    def listen(self, world: SimWorld, accept: Callable[[End, str], None]) -> None:
        """`accept(end, url path)` is called inside the listening process for each new connection."""
        self._listener = (world.process, accept)

    def dial(
        self,
        world: SimWorld,
        url: str,
        opened: Callable[[End], None],
        refused: Callable[[], None],
        *,
        timeout_s: float,
    ) -> None:
        """One of the two is called inside the dialling process, later; `refused` at the latest after `timeout_s`."""
        process = world.process
        if not process.effect("dial"):
            return
        path = self.path(process.name)
        loop = self.sim.loop
        attempt = _Attempt(opened, refused)

        def knock() -> None:
            listener = self._listener
            back_s = self.latency(path, DOWN)
            if listener is None or listener[0].is_dead or process.is_dead:
                loop.call_later(back_s, attempt.fail, context=process.context)
                return
            here, there = End(self, process, path, DOWN), End(self, listener[0], path, UP)
            here.peer, there.peer = there, here
            self._accepted = [end for end in self._accepted if not end.is_closed and not end.process.is_dead]
            self._accepted.append(there)
            path.ends = [end for end in path.ends if not end.is_closed and not end.process.is_dead] + [here, there]
            loop.call_soon(listener[1], there, url, context=listener[0].context)
            loop.call_later(back_s, attempt.succeed, here, context=process.context)

        loop.call_later(self.latency(path, UP), knock, context=loop.outside.context)
        loop.call_later(timeout_s, attempt.fail, context=process.context)

    def abandoned(self) -> list[str]:
        """Connections that the server holds and nobody else does, by the client's name."""
        return sorted(
            end.peer.process.name
            for end in self._accepted
            if not end.is_closed
            and not end.process.is_dead
            and (end.is_cut or end.peer.is_closed or end.peer.process.is_dead)
        )

    def died(self, process: Process) -> None:
        """The kernel closes the dead one's sockets: what was sent arrives, then the end."""
        for path in self._paths.values():
            for end in path.ends:
                if end.process is process and not end.is_closed:
                    end.is_closed = True
                    end.peer.expect(None)

    def cut(self, name: str) -> None:
        """All connections of this host break; each end notices by itself."""
        path = self.path(name)
        for end in path.ends:
            if not end.is_closed and not end.process.is_dead:
                end.cut(self.rng.random() * 2)
        path.ends = []

    def half_open(self, name: str) -> None:
        """All connections of this host go on for both ends, but nothing passes: a box between them forgot them."""
        path = self.path(name)
        for end in path.ends:
            end.fall_silent()
        path.ends = []

    def freeze(self, name: str, duration_s: float, directions: tuple[str, ...] = (UP, DOWN)) -> None:
        """A partition: nothing gets through that way until it is over, then all of it (TCP repeats)."""
        frozen = self.path(name).frozen_until
        for direction in directions:
            frozen[direction] = max(frozen[direction], self.sim.now + duration_s)


class _Attempt:
    """One dialling: it succeeds or fails once. A connection that comes up too late is closed at once."""

    def __init__(self, opened: Callable[[End], None], refused: Callable[[], None]) -> None:
        self._opened = opened
        self._refused = refused
        self._is_over = False

    def succeed(self, end: End) -> None:
        if self._is_over:
            end.close()
            return
        self._is_over = True
        self._opened(end)

    def fail(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._refused()
