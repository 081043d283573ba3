"""The region's names for its machine: a listener on an address of the loopback, while `neargate dns install` holds.

Owns that listener. What it is to answer lies in a file that the command writes; the names are those of the VPC's
newest plan here, and addresses are tasks' public ones. Invariant: it forwards nothing, so that no lookup goes in a
circle.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...dns.host_view import host_answer
from ...dns.message import Malformed, name
from ...dns.names import Names
from ...model.knobs import Knobs
from ...model.network import REGION_ENDPOINT_ADDRESS, Eni, VpcDns, VpcPlan
from ...world import World, held
from ..seldom import SeldomNote
from .door import DnsDoor
from .resolver import PORT, names_of
from .upstream import HiddenNames

HOST_DNS_FILE = "host-dns.json"  # in the agent's directory
_LOOPBACK = "127.0.0.1"
_DOMAINS_MAX = 4096


class HostDnsSettings(Struct, frozen=True, kw_only=True):
    """`address`: of the loopback, where is listened. `domains`: which names are answered. `endpoint`: the name that the
    region's API has on this machine, and all below it."""

    vpc_id: str
    address: str
    domains: tuple[str, ...]
    endpoint: str = "neargate.internal"
    port: int = PORT


def read_settings(file: Path) -> HostDnsSettings | None:
    """None where nothing is installed, or what is there is not ours to read."""
    try:
        found = msgspec.json.decode(file.read_bytes(), type=HostDnsSettings)
        if not IPv4Address(found.address).is_loopback or len(found.domains) > _DOMAINS_MAX:
            return None
        for domain in found.domains:
            name(domain)
    except (FileNotFoundError, msgspec.DecodeError, Malformed, ValueError):
        return None
    return found


class HostDns:
    """`plan`: the newest of a VPC; `enis`: of the tasks on this host."""

    def __init__(
        self,
        world: World,
        knobs: Knobs,
        file: Path,
        plan: Callable[[str], VpcPlan | None],
        enis: Callable[[], Iterable[Eni]],
        note: Callable[[str], None],
    ) -> None:
        self._file = file
        self._plan = plan
        self._enis = enis
        self._note = note
        self._door = DnsDoor(knobs, connections_each=knobs.resolver_connections_max, failed=self._failed)
        self._draw = world.random.getrandbits
        self._mishap = SeldomNote(world, note)
        self._settings: HostDnsSettings | None = None
        self._domains: frozenset[bytes] = frozenset()
        self._bound: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._known: VpcPlan | None = None
        self._names: Names | None = None

    @property
    def hidden(self) -> HiddenNames:
        """What tasks of other VPCs must not learn by asking their host."""
        return HiddenNames(self._domains, self._settings.address if self._settings is not None else "")

    async def look(self) -> str:
        """Listen as the file says now. The address, empty where nothing is installed. Raises OSError."""
        settings = read_settings(self._file)
        if settings is not None and settings == self._settings:
            return settings.address
        self.close()
        if settings is None:
            return ""
        bound, listener = _sockets(settings)
        try:
            self._server = await asyncio.start_server(held(self._serve), sock=listener)
        except OSError:
            listener.close()
            bound.close()
            raise
        self._settings, self._names, self._bound = settings, None, bound
        self._domains = frozenset(name(domain) for domain in settings.domains)
        answer = partial(self._door.answer_datagrams, bound, lambda query, _: self._answer(query, stream=False))
        asyncio.get_running_loop().add_reader(bound.fileno(), answer)
        return settings.address

    async def begin(self) -> None:
        """At the agent's start. An address that somebody else has costs the names, not the agent."""
        try:
            await self.look()
        except OSError as error:
            self._note(f"this machine does not hear the region's names: {error}")

    def close(self) -> None:
        if self._bound is not None:
            asyncio.get_running_loop().remove_reader(self._bound.fileno())
            self._bound.close()
        if self._server is not None:
            self._server.close()
        self._door.cut_streams()
        self._settings, self._bound, self._server, self._domains = None, None, None, frozenset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._door.serve(reader, writer, _LOOPBACK, self._answer_stream)

    async def _answer_stream(self, query: bytes) -> bytes | None:
        return self._answer(query, stream=True)

    def _failed(self, error: Exception) -> None:
        self._mishap(f"a lookup of this machine was given up: {error!r}")

    def _answer(self, query: bytes, *, stream: bool) -> bytes | None:
        if self._settings is None:
            return None  # it came while the listener went
        vpc_id = self._settings.vpc_id
        publics = {
            IPv4Address(eni.private_ipv4): IPv4Address(eni.public_ipv4)
            for eni in self._enis()
            if eni.vpc_id == vpc_id and eni.public_ipv4 is not None
        }
        names = self._current_names(self._settings)
        return host_answer(query, names, self._domains, publics, stream=stream, turn=self._draw(32))

    def _current_names(self, settings: HostDnsSettings) -> Names:
        plan = self._plan(settings.vpc_id)
        if self._names is None or plan is not self._known:
            self._known = plan
            try:
                self._names = _host_names(plan, settings)
            except (Malformed, ValueError) as error:
                self._note(f"names of {settings.vpc_id} are left out: {error}")
                self._names = _host_names(None, settings)
        return self._names


def _host_names(plan: VpcPlan | None, settings: HostDnsSettings) -> Names:
    """The region's API is on this machine's own loopback. Without a task here there are no other names."""
    endpoint = (settings.endpoint, _LOOPBACK)
    if plan is None or plan.dns is None or not plan.dns.support:
        nothing = VpcDns(domain="invalid", endpoints=(endpoint,))
        plan = VpcPlan(vpc_id=settings.vpc_id, generation=0, cidrs=(), groups=(), dns=nothing)
    else:
        others = tuple(pair for pair in plan.dns.endpoints if pair[1] != REGION_ENDPOINT_ADDRESS)
        plan = replace(plan, dns=replace(plan.dns, endpoints=(endpoint, *others)))
    found = names_of(plan)
    assert found is not None, "it has names"
    return found


def _sockets(settings: HostDnsSettings) -> tuple[socket.socket, socket.socket]:
    where = (settings.address, settings.port)
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.bind(where)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
        except OSError:
            listener.close()
            raise
    except OSError:
        bound.close()
        raise
    return bound, listener
