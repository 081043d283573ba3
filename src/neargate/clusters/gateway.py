"""The agents' door: a UNIX socket with three paths, `/link` for orders and reports, `/bulk` for logs, `/exec` for
terminals of executed commands, a connection each.

Owns which connection speaks for which host (a newer one supersedes) and tells the zones which hosts are connected. Must
not know tasks. Invariants: only the server's own user and root may connect; silence or a lost session stops nothing, it
only keeps new tasks away from the host.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.http11 import Request, Response

from ..interfaces.roles import Balancers, CapacityManager, LogSink, NoBalancers, TaskRoles, VpcPlans
from ..interfaces.store import Overloaded
from ..link.messages import ExecOrder
from ..log import get_logger
from ..model.capacity import HostFacts
from ..model.errors import AwsError, InvalidParameter
from ..model.knobs import Knobs
from ..world import World
from .bulk_connection import BulkConnection, BulkPlaces
from .cell import Cell
from .channel import Channel, ChannelClosed
from .credentials import HostCredentials
from .flow_logs import FlowLogWriter
from .host_connection import HostConnection
from .protecting import HostProtection
from .registrations import Refusal
from .terminals import Terminals

_log = get_logger(__name__)
_UCRED = struct.Struct("3i")  # pid, uid, gid: struct ucred of SO_PEERCRED


class Gateway:
    """`serve` is the real door; `accept_link` and `accept_bulk` take any channel (the simulator's too)."""

    def __init__(
        self,
        world: World,
        cell: Cell,
        capacities: Mapping[str, CapacityManager],
        vpc_plans: VpcPlans,
        log_sink: LogSink,
        roles: TaskRoles,
        knobs: Knobs,
        flows: FlowLogWriter | None = None,
        balancers: Balancers | None = None,
    ) -> None:
        self._world = world
        self._cell = cell
        self._flows = flows
        self._capacities = capacities
        self._plans = vpc_plans
        self._balancers = balancers or NoBalancers()
        self._sink = log_sink
        self._roles = roles
        self._credentials = HostCredentials(cell, roles, knobs)
        self._protection = HostProtection(cell, roles)
        self._knobs = knobs
        self._connections: dict[str, HostConnection] = {}
        self._bulks: list[tuple[BulkConnection, Channel]] = []
        self._bulk_places = BulkPlaces(knobs.bulk_connections_per_host)
        self.terminals = Terminals(world, cell, knobs, order=self._order_terminal, is_linked=self._is_linked)
        self._bringing = 0

    async def serve(self, path: str) -> None:
        """Listen on the UNIX socket at `path` (mode 0600) until cancelled."""
        async with self.listening(path):
            await asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def listening(self, path: str) -> AsyncIterator[None]:
        """The socket accepts connections inside the `with` block."""
        watches = [
            self._world.spawn(self.watch_plans(), "vpc-plans"),
            self._world.spawn(self.watch_balancers(), "balancer-plans"),
        ]
        async with unix_serve(
            self._handle,
            sock=_bind(path),
            compression=None,  # messages are small, and a compressor costs memory for each host
            max_size=self._knobs.link_message_max_bytes,
            ping_interval=None,  # the session has its own pings, counted in the gateway's own checks
            close_timeout=1.0,
            process_request=_admit,
        ):
            try:
                yield
            finally:
                for watch in watches:
                    watch.cancel()

    async def watch_plans(self) -> None:
        """Tell hosts of changed VPCs. The plan itself is read when it is sent, so several changes become one push."""
        async for vpc_id in self._plans.changes():
            for connection in list(self._connections.values()):
                connection.push_plan(vpc_id)

    async def watch_balancers(self) -> None:
        """Tell hosts of load balancers that changed. What they are is read when it is sent."""
        async for _ in self._balancers.changes():
            for connection in list(self._connections.values()):
                connection.push_balancers()

    async def accept_link(self, channel: Channel) -> None:
        """Serve one agent until its connection ends."""
        connection = HostConnection(
            self._world,
            self._cell,
            self._plans,
            self._knobs,
            session_id=f"{self._world.random.getrandbits(64):016x}",
            channel=channel,
            register=self._register,
            credentials=self._credentials,
            protection=self._protection,
            balancers=self._balancers,
        )
        reason = await connection.run()
        await channel.close(reason)
        host_id = connection.host_id
        if host_id is not None and self._connections.get(host_id) is connection:
            del self._connections[host_id]
            _log.warning("host disconnected", host=host_id, why=reason)
            await self._mark_unseen(host_id)
            await self._close_bulk(host_id)

    async def accept_bulk(self, channel: Channel) -> None:
        connection = BulkConnection(
            self._world,
            self._cell,
            self._sink,
            self._roles,
            self._knobs,
            channel=channel,
            places=self._bulk_places,
            flows=self._flows,
        )
        self._bulks.append((connection, channel))
        reason = await connection.run()
        self._bulks.remove((connection, channel))
        await channel.close(reason)

    async def accept_terminal(self, channel: Channel) -> None:
        if self._bringing >= self._knobs.exec_sessions_max:
            await channel.close("too many terminals")
            return
        self._bringing += 1
        try:
            reason = await self.terminals.accept(channel)
        finally:
            self._bringing -= 1
        await channel.close(reason)

    def _order_terminal(self, host_id: str, order: ExecOrder) -> bool:
        connection = self._connections.get(host_id)
        return connection is not None and connection.order_terminal(order)

    def _is_linked(self, host_id: str) -> bool:
        return host_id in self._connections

    async def _close_bulk(self, host_id: str) -> None:
        """The bulk channel has no pings: it lasts no longer than the link. An agent that lives dials again."""
        for connection, channel in list(self._bulks):
            if connection.host_id == host_id:
                await channel.close("the host's link has ended")

    async def _register(self, connection: HostConnection, facts: HostFacts) -> None:
        """Raises AwsError when the facts make no sense here, or another agent speaks for the host."""
        self._older(connection, facts.host_id)
        for manager in self._zones_of(facts):
            try:
                await manager.register_host(facts)
            except Overloaded as busy:
                raise ChannelClosed(f"the zone's database is busy: {busy}") from None
        older = self._older(connection, facts.host_id)
        self._connections[facts.host_id] = connection
        self._cell.retiring.heard(facts)
        if older is None:
            _log.info("host connected", host=facts.host_id, zone=facts.zone, software=facts.software)
        elif older is not connection:
            await older.close("a newer connection of this host took over")
            await self._close_bulk(facts.host_id)

    def _older(self, connection: HostConnection, host_id: str) -> HostConnection | None:
        """The connection that this one replaces. Raises InvalidParameter when it is another agent's."""
        older = self._connections.get(host_id)
        if older is not None and older.process != connection.process:
            # A copied data directory. An agent that was killed has lost its connection, or is silent before long.
            reason = f"Another agent speaks for host {host_id}; two cannot share its data."
            self._cell.refusals.note_host(host_id, Refusal.COPY, reason)
            raise InvalidParameter(reason)
        return older

    def _zones_of(self, facts: HostFacts) -> list[CapacityManager]:
        distinct: list[CapacityManager] = []
        for zone, manager in self._capacities.items():
            if (facts.zone is None or facts.zone == zone) and manager not in distinct:
                distinct.append(manager)
        if len(distinct) != 1:
            raise InvalidParameter(f"Host {facts.host_id} must name one of the zones {', '.join(self._capacities)}.")
        return distinct

    async def _mark_unseen(self, host_id: str) -> None:
        for manager in dict.fromkeys(self._capacities.values()):
            try:
                await manager.host_seen(host_id, False)
            except (AwsError, Overloaded) as error:
                # The ledger in memory knows already; the row is only read by a process that starts, which forgets all.
                _log.warning("a lost session was not recorded", host=host_id, why=str(error))

    async def _handle(self, connection: ServerConnection) -> None:
        channel = _WebSocketChannel(connection)
        path = connection.request.path if connection.request is not None else ""
        if path == "/link":
            await self.accept_link(channel)
        elif path == "/exec":
            await self.accept_terminal(channel)
        else:
            await self.accept_bulk(channel)


class _WebSocketChannel:
    """Implements Channel."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        try:
            await self._connection.send(data)
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from None

    async def receive(self) -> bytes:
        try:
            data = await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from None
        return data if isinstance(data, bytes) else data.encode()

    async def close(self, reason: str) -> None:
        try:
            await self._connection.close(reason=reason[:120])
        except (OSError, WebSocketException):
            # It was gone already, which is what was wanted.
            return


def _admit(connection: ServerConnection, request: Request) -> Response | None:
    """Before the upgrade: who is it (asked from the kernel), and is the path one of ours."""
    peer = connection.transport.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    if not _may_enter(uid):
        return connection.respond(403, "only this server's user and root may connect\n")
    if request.path not in ("/link", "/bulk", "/exec"):
        return connection.respond(404, "the paths are /link, /bulk and /exec\n")
    return None


def _may_enter(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _bind(path: str) -> socket.socket:
    """A listening socket nobody else could have opened in between: mode 0600 from its first moment."""
    Path(path).unlink(missing_ok=True)  # of a server that was killed; the data directory's lock says it is gone
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener
