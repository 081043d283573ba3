"""Which public addresses are this host's tasks': those of its own block, and of the operator's pools, led to the edge.

Owns the pools' routes in the host, which go with the link that they lead over. Blocking; for the network's lane.
Invariants: a pool that the host's operator has not allowed is none here; one that would take from the host what it has
otherwise gets no route. Routes over other links are left alone.
"""

from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from ..log import get_logger
from ..model.network import PublicPool
from ..uplink.consent import refusal, summed
from ..uplink.pools import NOTHING_OUTSIDE, HostRoute, Outside, objection
from ..uplink.texts import POOL_EDGE_HOP6, host_address6
from . import netlink
from .edge import EDGE_HOP, EDGE_HOST_MAC, Edge, host_address, host_link_name
from .host_state import host_routes, own_networks, own_networks6
from .namespaces import read_sysctl, write_sysctl
from .netlink import Netlink

_HOPS = (EDGE_HOP, POOL_EDGE_HOP6)  # what leads there is ours
log = get_logger(__name__)


class PublicPools:
    """`built_in`: the host's own block. `allowed`: what its operator lets the region have beside it, as of now.

    `edge`: may be asked for once the host's network is started; of pools of IPv6 it must know the way back.
    """

    def __init__(
        self,
        instance: str,
        built_in: str,
        allowed: Callable[[], Iterable[PublicPool]] = tuple,
        edge: Callable[[], Edge] | None = None,
    ) -> None:
        self._link = host_link_name(instance)
        self._built_in = IPv4Network(built_in)
        self._own, self._own6 = host_address(built_in), host_address6(built_in)
        self._edge = edge
        self._allowed = allowed
        self._said: tuple[PublicPool, ...] = ()
        self._refused: dict[str, str] = {}  # network -> why
        self._against: tuple[str, ...] = ()
        self.known: tuple[PublicPool, ...] = ()  # the region's that are allowed here
        self._asked: tuple[PublicPool, ...] | None = None  # None: it is not known what is there
        self._led: tuple[PublicPool, ...] = ()
        self.outside: Outside = NOTHING_OUTSIDE

    def __str__(self) -> str:
        return ", ".join(map(str, self._networks()))

    def become(self, pools: Iterable[PublicPool]) -> None:
        """As the newest plan says."""
        self._said = tuple({pool.cidr: pool for pool in pools}.values())
        self.reconsider()

    def reconsider(self) -> None:
        """What is allowed may be something else now."""
        allowed = tuple(self._allowed()) if self._said else ()
        if self._said:
            self._asked = None  # what the host has against them, too
        judged = {pool.cidr: refusal(pool, allowed) for pool in self._said}
        refused = {cidr: why for cidr, why in judged.items() if why}
        if refused != self._refused:
            for why in summed(tuple(refused.values())):
                log.warning("this host refuses a pool of public addresses", why=why)
        self._refused = refused
        self.known = tuple(pool for pool in self._said if pool.cidr not in refused)

    def forget(self) -> None:
        """The link may be another one now, without the routes."""
        self._said, self.known, self._refused, self._against = (), (), {}, ()
        self._asked, self._led, self.outside = None, (), NOTHING_OUTSIDE

    def has(self, public: str) -> bool:
        """Whether it may be a task's, or a NAT gateway's."""
        address = ip_address(public)
        return public != self._own and any(address in network for network in self._networks())

    def holds_ipv6(self, address: str) -> bool:
        """Whether it is of a pool of the operator's."""
        return any(":" in pool.cidr and ip_address(address) in ip_network(pool.cidr) for pool in self.known)

    def why_not(self, public: str) -> str:
        """Of one that may not."""
        address = ip_address(public)
        refused = next((why for cidr, why in self._refused.items() if address in ip_network(cidr, strict=False)), "")
        return refused or f"it is no address for tasks in the pool {self}"

    @property
    def refused(self) -> tuple[str, ...]:
        """Sentences, as many as anybody reads."""
        return summed((*self._refused.values(), *self._against))

    def lead(self, addresses: Collection[str]) -> None:
        """Routes to all pools while somebody here has any public address, or is about to: hosts without tasks hear of
        no change. `addresses`: those in use."""
        wanted = self.known if addresses else ()
        if wanted != self._asked:
            self._asked = None
            self._led = self._change(wanted)
            self._asked = wanted
        used = frozenset(addresses) if self._led else frozenset[str]()
        self.outside = Outside(pools=self._led, addresses=used, refused=self.refused)

    def _networks(self) -> list[IPv4Network | IPv6Network]:
        return [self._built_in, *(ip_network(pool.cidr) for pool in self.known)]

    def _facts(self, host: Netlink) -> tuple[list[HostRoute], frozenset[str]]:
        """The host's routes, and what it takes for itself."""
        return [*host_routes(host), *host_routes(host, 6)], own_networks(host) | own_networks6(host)

    @property
    def _own6_network(self) -> str:
        """Ours on our link, and nobody's."""
        return f"{self._own6}/128"

    def _begin_ipv6(self, host: Netlink, index: int) -> None:
        """Our link carries it, with one address to call tasks from."""
        disabled = f"ipv6/conf/{self._link}/disable_ipv6"
        if read_sysctl(disabled) == "1":
            write_sysctl(disabled, "0")
        host.run([netlink.address(index, self._own6), netlink.neighbour(index, POOL_EDGE_HOP6, EDGE_HOST_MAC)])
        if self._edge is not None:
            self._edge().lead_ipv6_to_host(self._own6)

    def _route(self, cidr: str, index: int) -> netlink.Message:
        hop, source = (POOL_EDGE_HOP6, self._own6) if ":" in cidr else (EDGE_HOP, self._own)
        return netlink.route(cidr, index, via=hop, source=source, replace=False)

    def _change(self, wanted: Iterable[PublicPool]) -> tuple[PublicPool, ...]:
        """Those that lead to the edge now."""
        with Netlink() as host:
            routes, own = self._facts(host)
            own -= {self._own6_network}
            index = host.existing(self._link).index
            there = {one.destination for one in routes if one.link == self._link and one.gateway in _HOPS}
            led: list[PublicPool] = []
            self._against = ()
            for pool in wanted:
                against = objection(pool.cidr, pool.way, routes, own, self._link)
                try:
                    if not against and ":" in pool.cidr:
                        self._begin_ipv6(host, index)
                    if not against and pool.cidr not in there:
                        host.run([self._route(pool.cidr, index)])
                except OSError as error:
                    against = str(error)  # it costs those who call, not the task
                if against:
                    log.warning("a pool of public addresses is not led to tasks", pool=pool.cidr, why=against)
                    self._against = (*self._against, f"{pool.cidr} is not led to tasks: {against}")
                else:
                    led.append(pool)
            kept = {str(self._built_in), *(pool.cidr for pool in led)}
            host.run([netlink.route_gone(cidr, index) for cidr in sorted(there - kept)])
            if not any(":" in pool.cidr for pool in led) and self._own6_network in own_networks6(host):
                gone = (netlink.address_gone(index, self._own6), netlink.neighbour_gone(index, POOL_EDGE_HOP6))
                host.run(gone)
            return tuple(led)
