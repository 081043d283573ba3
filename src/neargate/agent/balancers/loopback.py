"""Load balancers on this machine's own loopback: at their listeners' ports, by the name NAME.REGION.elb.localhost.

Names below `localhost` are the loopback's everywhere, so nothing of the machine has to be changed. A connection goes to
the public address of a node on this host, by the machine's own way to it; those that are internal are not here. Several
may have one port: then the name decides that the first bytes ask for. A port that somebody else of the machine has is
his: that is told, and tried again at the next change. Who asks by HTTP for a name that is not there is told so.
Must not know proxies.
"""

import asyncio
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

from ...interfaces.proxies import AccessLines, BalancerRunner
from ...model.balancing import BalancerPlan, NodeReport
from ...model.knobs import Knobs
from ...world import held
from ..guests import Guests, farewell, source_of
from .asked_name import HEAD_MAX_BYTES, asked_name, is_http

HOST = "127.0.0.1"
_BLOCK = 64 * 1024
_NAME_SHOWN = 253  # no name is longer
Doors = Mapping[int, Mapping[str, tuple[str, ...]]]  # port -> name -> addresses of nodes


def local_name(plan: BalancerPlan) -> str:
    """The fourth part of an ARN is its region."""
    return f"{plan.name}.{plan.arn.split(':')[3]}.elb.localhost".lower()


def doors(plans: Sequence[BalancerPlan], host_id: str) -> Doors:
    """What is to be there."""
    found: dict[int, dict[str, tuple[str, ...]]] = {}
    for plan in plans:
        publics = tuple(node.public_ipv4 for node in plan.nodes if node.public_ipv4 and node.host_id == host_id)
        for listener in plan.listeners if publics else ():
            found.setdefault(listener.port, {})[local_name(plan)] = publics
    return found


def unknown(name: str, port: int) -> bytes:
    """The answer to a request for a load balancer that is not there."""
    shown = name[:_NAME_SHOWN] if name.isprintable() else ""
    body = (
        f"There is no load balancer {shown or 'without a name'} at port {port} of this machine, where several others "
        f"are: ask for NAME.REGION.elb.localhost:{port}. "
        "`aws elbv2 describe-load-balancers` has their names; internal ones are in their VPC only.\n"
    ).encode(errors="replace")
    head = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class LoopbackDoors:
    """`kept`: ports of the region's own, never taken: its server may be down, and has to come back to them. `allowed`:
    those that the operator leaves to listeners."""

    def __init__(
        self,
        knobs: Knobs,
        host_id: str,
        note: Callable[[str], None],
        host: str = HOST,
        kept: Collection[int] = (),
        allowed: Collection[int] = range(1, 65536),
    ) -> None:
        self._knobs = knobs
        self._host_id = host_id
        self._note = note
        self._host = host
        self._kept = frozenset(kept)
        self._allowed = allowed
        self._doors: Doors = {}
        self._servers: dict[int, asyncio.Server] = {}
        self._refused: set[int] = set()
        self._guests = Guests(each_max=knobs.proxy_connections_max, all_max=knobs.proxy_connections_max)
        self._turn = itertools.count()

    async def follow(self, plans: Sequence[BalancerPlan]) -> None:
        """Repeatable: also for ports that were another's."""
        wanted = doors(plans, self._host_id)
        self._doors = {port: names for port, names in wanted.items() if port in self._allowed}
        for port in [port for port in self._servers if port not in self._doors]:
            self._servers.pop(port).close()
        for port in self._doors:
            if port not in self._servers:
                await self._open(port)
        self._refused &= self._doors.keys()

    @property
    def open(self) -> int:
        """Connections of clients."""
        return self._guests.count

    async def _open(self, port: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(port, reader, writer)

        if port in self._kept:
            self._refuse(port, "the port is the region's own")
            return
        try:
            self._servers[port] = await asyncio.start_server(held(serve), self._host, port)
        except OSError as error:
            self._refuse(port, error.strerror)
            return
        self._refused.discard(port)

    def _refuse(self, port: int, why: str | None) -> None:
        if port not in self._refused:
            self._note(f"load balancers are not at {self._host}:{port} of this machine: {why}")
        self._refused.add(port)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        self._servers.clear()

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source = source_of(writer)
        if not self._guests.admit(source):
            writer.transport.abort()
            return
        try:
            await self._relay(port, reader, writer)
        except* (OSError, TimeoutError, RuntimeError):
            # Either end went away, or said nothing: the client sees a closed connection. Writing to one that broke is
            # a RuntimeError with the agent's loop.
            pass
        finally:
            await farewell(writer, self._knobs.proxy_idle_s)
            self._guests.leave(source)

    async def _relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, name, addresses = await self._chosen(port, reader)
        if not addresses:
            if is_http(first):
                writer.write(unknown(name, port))
            return
        address = addresses[next(self._turn) % len(addresses)]
        to_client, from_client = await asyncio.open_connection(address, port)
        try:
            from_client.write(first)
            sent = asyncio.Event()
            # One that fails ends the other too: nothing copies to a connection that this has closed.
            async with asyncio.TaskGroup() as both:
                both.create_task(_send(reader, from_client, sent))
                both.create_task(self._answer(to_client, writer, sent))
        finally:
            from_client.close()

    async def _answer(self, source: asyncio.StreamReader, client: asyncio.StreamWriter, sent: asyncio.Event) -> None:
        """A client that was told of the end and never ends itself (a pool of connections) keeps no place for ever."""
        await _copy(source, client)
        async with asyncio.timeout(self._knobs.proxy_idle_s):
            await sent.wait()

    async def _chosen(self, port: int, reader: asyncio.StreamReader) -> tuple[bytes, str, tuple[str, ...]]:
        """The bytes that were read for it, the name that they ask for, and the addresses. One that is alone needs no
        name: in some protocols the server speaks first."""
        names = self._doors.get(port, {})
        if len(names) == 1:
            return b"", "", next(iter(names.values()))
        data = b""
        async with asyncio.timeout(self._knobs.proxy_idle_s):
            while (name := asked_name(data)) is None:
                block = await reader.read(HEAD_MAX_BYTES)
                if not block:
                    return b"", "", ()
                data += block
        return data, name, names.get(name, ())


class WithDoors:
    """Implements BalancerRunner: what another runs is at the loopback as well."""

    def __init__(self, runner: BalancerRunner, local: LoopbackDoors) -> None:
        self._runner = runner
        self._local = local

    async def apply(self, plans: Sequence[BalancerPlan]) -> None:
        await self._runner.apply(plans)
        await self._local.follow(plans)

    def reports(self) -> Sequence[NodeReport]:
        return self._runner.reports()

    def on_report(self, listener: Callable[[NodeReport], None]) -> None:
        self._runner.on_report(listener)

    def on_access_lines(self, ship: AccessLines) -> None:
        self._runner.on_access_lines(ship)


async def _send(client: asyncio.StreamReader, target: asyncio.StreamWriter, sent: asyncio.Event) -> None:
    await _copy(client, target)
    sent.set()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Its time-outs are the load balancer's."""
    while data := await source.read(_BLOCK):
        target.write(data)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
