"""One VPC's resolver on this host, behind base+2 and 169.254.169.253: its own names here, others by the host's servers.

What it knows follows from the newest plan, looked at for each query, so that a changed attribute holds at once. In a
VPC without DNS support every lookup fails as `no_resolver` says. How they come in: `names/door.py`.
"""

import asyncio
import socket
from collections.abc import Callable

from ...dns.answering import answer
from ...dns.message import Malformed
from ...dns.names import Names, Zone, address_data, vpc_names, zone
from ...dns.private_zones import private_zone
from ...model.knobs import Knobs
from ...model.network import VpcDns, VpcPlan
from ...world import World
from ..guests import source_of
from ..seldom import SeldomNote
from . import no_resolver
from .door import DnsDoor
from .upstream import Asker, Upstream

PORT = 53


def names_of(plan: VpcPlan | None, note: Callable[[str], None] = lambda _: None) -> Names | None:
    """None where nothing is to be looked up. Raises Malformed, ValueError for a plan whose names are none.

    A private zone that is none costs its own names only. As on AWS they need both attributes of the VPC.
    """
    if plan is None or plan.dns is None or not plan.dns.support:
        return None
    dns = plan.dns
    public_domain = dns.public_domain if dns.hostnames and dns.public_domain else None
    endpoints: dict[str, list[tuple[str, int, bytes]]] = {}
    for name, address in dns.endpoints:
        endpoints.setdefault(name.removeprefix("*."), []).append((name, *address_data(address)))
    zones = _private_zones(dns, note) if dns.hostnames else []
    zones += [zone(name, records) for name, records in endpoints.items()]  # these come before private ones
    return vpc_names(dns.domain, plan.cidrs, public_domain=public_domain, pools=dns.pools, zones=zones)


def _private_zones(dns: VpcDns, note: Callable[[str], None]) -> list[Zone]:
    found = []
    for given in dns.zones:
        try:
            found.append(private_zone(given))
        except (Malformed, ValueError) as error:
            note(f"the private zone {given.name} is left out: {error}")
    return found


class Resolver:
    """`plan`: the VPC's newest."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        vpc_id: str,
        plan: Callable[[], VpcPlan | None],
        upstream: Upstream,
        note: Callable[[str], None],
    ) -> None:
        self._vpc_id = vpc_id
        self._plan = plan
        self._upstream = upstream
        self._note = note
        self._door = DnsDoor(knobs, connections_each=knobs.resolver_connections_per_task, failed=self._failed)
        self._known: VpcPlan | None = None
        self._names: Names | None = None
        self._draw = world.random.getrandbits  # counted turns would give a client that asks in pairs the same always
        self._mishap = SeldomNote(world, note)

    @property
    def streams_open(self) -> int:
        return self._door.streams_open

    def answer_datagrams(self, bound: socket.socket) -> None:
        """Some that wait on the non-blocking socket. The router's rule says how often a task may ask."""
        self._door.answer_datagrams(bound, lambda query, source: self._answer_datagram(bound, query, source))

    def _answer_datagram(self, bound: socket.socket, query: bytes, source: tuple[str, int]) -> bytes | None:
        names = self._current_names()
        if names is None:
            return no_resolver.failure(query, stream=False)
        found = answer(query, names, turn=self._draw(32))
        if isinstance(found, bytes | None):
            return found
        self._upstream.ask(self._asker(source[0]), Asker(bound, source), found)
        return None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One query after the other, everything bounded."""
        source = source_of(writer)
        await self._door.serve(reader, writer, source, lambda query: self._answer(query, source))

    async def _answer(self, query: bytes, source: str) -> bytes | None:
        names = self._current_names()
        if names is None:
            return no_resolver.failure(query, stream=True)
        found = answer(query, names, stream=True, turn=self._draw(32))
        if isinstance(found, bytes | None):
            return found
        return await self._upstream.ask_by_stream(self._asker(source), found)

    def _asker(self, address: str) -> str:
        """Private addresses of two VPCs may be the same: they are two."""
        return f"{self._vpc_id} {address}"

    def _current_names(self) -> Names | None:
        plan = self._plan()
        if plan is not self._known:
            self._known, self._names = plan, None
            try:
                self._names = names_of(plan, self._note)
            except (Malformed, ValueError) as error:
                self._note(f"{self._vpc_id} has no resolver: {error}")
        return self._names

    def _failed(self, error: Exception) -> None:
        self._mishap(f"a lookup in {self._vpc_id} was given up: {error!r}")
