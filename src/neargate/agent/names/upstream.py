"""Lookups that the host's own servers answer: sockets in the host's network, where the agent runs, so that tasks
of subnets without a way out resolve names too, as on AWS. By UDP for who asked by UDP, by TCP for the others.

Owns the sockets and the look at resolv.conf; `dns.forwarding` decides. Invariant: every socket is closed with its
lookup, and an error of one ends that lookup alone.
"""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from ...dns.answering import Forward
from ...dns.forwarding import Client, Close, Effect, Forwarder, Patience, Reply, Send
from ...dns.host_view import is_below, no_such_name
from ...dns.message import REFUSED, SERVER_FAILURE, STREAM_MAX_BYTES, answers_question, outcome_of
from ...dns.servers import servers_of
from ...model.knobs import Knobs
from ...model.network import RESOLVER_ADDRESS
from ...world import World
from ..guests import Guests
from ..seldom import SeldomNote

RESOLV_CONF = Path("/etc/resolv.conf")
PORT = 53
_LENGTH = struct.Struct(">H")


class Asker(Struct, frozen=True):
    """Where an answer goes: back by the socket that heard the query."""

    heard_by: socket.socket
    address: tuple[str, int]


class HiddenNames(Struct, frozen=True):
    """Names of the region that the host's own servers may know, in wire form, and the address where these ask for them.

    They are one VPC's: to tasks of others there are none, as there were none before the host knew them.
    """

    domains: frozenset[bytes] = frozenset()
    address: str = ""


class HostServers:
    """Whom the host asks, read again when the file changed."""

    def __init__(self, world: World, look_s: float, path: Path = RESOLV_CONF) -> None:
        self._world = world
        self._look_s = look_s
        self._path = path
        self._next_look = 0.0
        self._seen: tuple[int, ...] = ()
        self._servers: tuple[str, ...] = ()

    def current(self) -> tuple[str, ...]:
        now = self._world.monotonic()
        if now >= self._next_look:
            self._next_look = now + self._look_s
            self._look()
        return self._servers

    def _look(self) -> None:
        """A file that cannot be read for a moment, because somebody writes it anew, changes nothing."""
        try:
            status = os.stat(self._path)
            seen = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                text = self._path.read_text(encoding="utf-8", errors="replace")
                self._seen, self._servers = seen, servers_of(text, never=(RESOLVER_ADDRESS,))
        except OSError:
            self._servers = self._servers or servers_of("")


class Upstream:
    """One for all VPCs: together they have `resolver_forwarded_max` lookups under way."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        note: Callable[[str], None],
        *,
        resolv_conf: Path = RESOLV_CONF,
        port: int = PORT,
        hidden: Callable[[], HiddenNames] = HiddenNames,
    ) -> None:
        self._world = world
        self._hidden = hidden
        self._mishap = SeldomNote(world, note)
        self._try_s = knobs.resolver_try_s
        self._port = port
        self._host = HostServers(world, knobs.resolver_servers_look_s, resolv_conf)
        self._room = Guests(each_max=knobs.resolver_forwarded_per_task, all_max=knobs.resolver_forwarded_max)
        patience = Patience(knobs.resolver_try_s, knobs.resolver_tries_max)
        self._forwarder = Forwarder(patience, self._room, world.random.getrandbits)
        self._sockets: dict[int, socket.socket] = {}
        self._watching = False

    @property
    def under_way(self) -> int:
        return self._room.count + len(self._sockets)

    def ask(self, source: str, asker: Asker, forward: Forward) -> None:
        """The answer goes to `asker` later; `source` counts what it has under way."""
        if self._is_hidden(forward):
            _reply(Client(source, asker), no_such_name(forward.query))
            return
        now = self._world.monotonic()
        self._do(self._forwarder.ask(Client(source, asker), forward, self._servers(), now))
        if not self._watching and self._forwarder.next_due is not None:
            self._watching = True
            self._world.spawn(self._watch(), "resolver-tries")

    async def ask_by_stream(self, source: str, forward: Forward) -> bytes:
        """The client's answer, whatever happens."""
        if self._is_hidden(forward):
            return no_such_name(forward.query)
        if not self._room.admit(source):
            return forward.failed()
        try:
            return await self._ask_each(forward)
        finally:
            self._room.leave(source)

    def _is_hidden(self, forward: Forward) -> bool:
        return is_below(forward.asked[:-4].lower(), self._hidden().domains)

    def _servers(self) -> tuple[str, ...]:
        own = self._hidden().address
        return tuple(server for server in self._host.current() if server != own)

    async def _ask_each(self, forward: Forward) -> bytes:
        for server in self._servers():
            try:
                async with asyncio.timeout(self._try_s):
                    answer = await self._exchange(server, forward)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                continue
            if answer is not None and outcome_of(answer) not in (SERVER_FAILURE, REFUSED):
                return forward.answered(answer, stream=True)
        return forward.failed()

    async def _exchange(self, server: str, forward: Forward) -> bytes | None:
        number = self._world.random.getrandbits(16)
        reader, writer = await asyncio.open_connection(server, self._port, limit=STREAM_MAX_BYTES)
        try:
            question = forward.question(number)
            writer.write(_LENGTH.pack(len(question)) + question)
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            answer = await reader.readexactly(length)
        finally:
            writer.transport.abort()
        return answer if answers_question(answer, number, forward.asked) else None

    async def _watch(self) -> None:
        """While lookups are under way: who waited long enough for one server asks the next."""
        try:
            while (due := self._forwarder.next_due) is not None:
                await self._world.sleep(max(0.0, due - self._world.monotonic()))
                try:
                    self._do(self._forwarder.due(self._world.monotonic()))
                except Exception as error:
                    self._mishap(f"a lookup was given up: {error!r}")
        finally:
            self._watching = False

    def _do(self, effects: Iterable[Effect]) -> None:
        left = deque(effects)
        while left:
            match left.popleft():
                case Send() as send:
                    if not self._send(send):
                        left.extend(self._forwarder.unreachable(send.slot, self._world.monotonic()))
                case Close(slot):
                    self._close(slot)
                case Reply(client, data):
                    _reply(client, data)

    def _send(self, send: Send) -> bool:
        """A socket of its own for each: the kernel draws its port, and lets in nobody but the server."""
        family = socket.AF_INET6 if ":" in send.server else socket.AF_INET
        try:
            asking = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError:
            return False
        try:
            asking.connect((send.server, self._port))
            asking.send(send.data)
        except OSError:
            asking.close()
            return False
        self._sockets[send.slot] = asking
        asyncio.get_running_loop().add_reader(asking.fileno(), self._hear, send.slot)
        return True

    def _hear(self, slot: int) -> None:
        try:
            self._take(slot)
        except Exception as error:
            self._close(slot)
            self._mishap(f"an answer was given up: {error!r}")

    def _take(self, slot: int) -> None:
        now = self._world.monotonic()
        try:
            data = self._sockets[slot].recv(STREAM_MAX_BYTES)
        except BlockingIOError:
            return
        except OSError:
            effects = self._forwarder.unreachable(slot, now)
            self._close(slot)  # the kernel told it once; what comes later is another's
        else:
            effects = self._forwarder.heard(slot, data, now)
        self._do(effects)

    def _close(self, slot: int) -> None:
        asking = self._sockets.pop(slot, None)
        if asking is not None:
            asyncio.get_running_loop().remove_reader(asking.fileno())
            asking.close()


def _reply(client: Client, data: bytes) -> None:
    asker = client.where
    assert isinstance(asker, Asker), "`ask` made it"
    try:
        asker.heard_by.sendto(data, asker.address)
    except OSError:
        return  # the task is gone, or its answer cannot leave now: it asks again
