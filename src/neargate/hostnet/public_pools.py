"""Which public addresses are this host's tasks': those of its own block, and of the operator's pools, led to the edge.

Owns the pools' routes in the host, which go with the link that they lead over. Blocking; for the network's lane.
Invariant: a pool that would take from the host what it has otherwise gets no route. Routes over other links are left
alone.
"""

from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, ip_address

from ..log import get_logger
from ..model.network import PublicPool
from ..uplink.pools import NOTHING_OUTSIDE, Outside, objection
from . import netlink
from .edge import EDGE_HOP, host_address, host_link_name
from .host_state import host_routes, own_networks
from .netlink import Netlink, NetlinkError

log = get_logger(__name__)


class PublicPools:
    """`built_in`: the host's own block."""

    def __init__(self, instance: str, built_in: str) -> None:
        self._link = host_link_name(instance)
        self._built_in = IPv4Network(built_in)
        self._own = host_address(built_in)
        self._known: tuple[PublicPool, ...] = ()
        self._asked: tuple[PublicPool, ...] | None = None  # None: it is not known what is there
        self._led: tuple[PublicPool, ...] = ()
        self.outside: Outside = NOTHING_OUTSIDE

    def __str__(self) -> str:
        return ", ".join(map(str, self._networks()))

    def become(self, pools: Iterable[PublicPool]) -> None:
        """As the newest plan says."""
        self._known = tuple({pool.cidr: pool for pool in pools}.values())

    def forget(self) -> None:
        """The link may be another one now, without the routes."""
        self._known, self._asked, self._led, self.outside = (), None, (), NOTHING_OUTSIDE

    def has(self, public: str) -> bool:
        """Whether it may be a task's, or a NAT gateway's."""
        address = ip_address(public)
        return public != self._own and any(address in network for network in self._networks())

    def lead(self, addresses: Collection[str]) -> None:
        """Routes to all pools while somebody here has any public address, or is about to: hosts without tasks hear of
        no change. `addresses`: those in use."""
        wanted = self._known if addresses else ()
        if wanted != self._asked:
            self._asked = None
            self._led = self._change(wanted)
            self._asked = wanted
        self.outside = Outside(pools=self._led, addresses=frozenset(addresses)) if self._led else NOTHING_OUTSIDE

    def _networks(self) -> list[IPv4Network]:
        return [self._built_in, *(IPv4Network(pool.cidr) for pool in self._known)]

    def _change(self, wanted: Iterable[PublicPool]) -> tuple[PublicPool, ...]:
        """Those that lead to the edge now."""
        with Netlink() as host:
            routes, own = host_routes(host), own_networks(host)
            index = host.existing(self._link).index
            there = {route.destination for route in routes if route.link == self._link}
            led: list[PublicPool] = []
            for pool in wanted:
                against = objection(pool.cidr, pool.way, routes, own, self._link)
                try:
                    if not against and pool.cidr not in there:
                        host.run([netlink.route(pool.cidr, index, via=EDGE_HOP, source=self._own, replace=False)])
                except NetlinkError as error:
                    against = str(error)  # it costs those who call, not the task
                if against:
                    log.warning("a pool of public addresses is not led to tasks", pool=pool.cidr, why=against)
                else:
                    led.append(pool)
            kept = {str(self._built_in), *(pool.cidr for pool in led)}
            host.run([netlink.route_gone(cidr, index) for cidr in sorted(there - kept)])
            return tuple(led)
