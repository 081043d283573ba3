"""Whether a machine can take a pool of the operator's, and by which of its links an address of one is announced.

Pure: what the machine has is handed in. Invariant: a pool that would take the machine's own addresses, its gateways or
a network that it has otherwise away from it is never led to tasks.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec import Struct

from ..model.network import POOL_ANNOUNCED, POOL_LOCAL, PublicPool

Network = IPv4Network | IPv6Network


class HostRoute(Struct, frozen=True, kw_only=True):
    """Of either family. `gateway` is empty for a network that is on the link itself."""

    destination: str
    link: str
    gateway: str = ""


class Outside(Struct, frozen=True, kw_only=True):
    """What the uplink must know of the operator's pools, and of the addresses that somebody here has of them.

    `refused`: sentences on pools that this host does not let the region have.
    """

    pools: tuple[PublicPool, ...] = ()
    addresses: frozenset[str] = frozenset()
    refused: tuple[str, ...] = ()

    @property
    def cidrs(self) -> tuple[str, ...]:
        return tuple(pool.cidr for pool in self.pools)

    @property
    def open_cidrs(self) -> tuple[str, ...]:
        """Whose addresses others find: nothing is translated there, and who calls is let through."""
        return tuple(pool.cidr for pool in self.pools if pool.way != POOL_LOCAL)

    @property
    def open_cidrs6(self) -> tuple[str, ...]:
        """Those of them that are of IPv6."""
        return tuple(cidr for cidr in self.open_cidrs if ":" in cidr)

    @property
    def announced(self) -> frozenset[str]:
        networks = [ip_network(pool.cidr) for pool in self.pools if pool.way == POOL_ANNOUNCED]
        return frozenset(one for one in self.addresses if any(ip_address(one) in network for network in networks))


NOTHING_OUTSIDE = Outside()


def objection(cidr: str, way: str, routes: Iterable[HostRoute], own: Iterable[str], link: str) -> str:
    """Why this machine cannot have the pool; empty when it can.

    `own`: what it takes for itself, as CIDRs. `link`: ours, to which the route may be there already.
    """
    network = ip_network(cidr)
    for mine in map(ip_network, own):
        if _overlap(network, mine):
            return f"{cidr} holds {_plain(mine)}, which is this machine's own"
    for route in routes:
        if route.gateway and ip_address(route.gateway) in network:
            return f"{cidr} holds {route.gateway}, this machine's gateway to {route.destination} ({route.link})"
        there = ip_network(route.destination)
        if there.prefixlen == 0 or not _overlap(network, there) or (route.link == link and there == network):
            continue
        is_part = not route.gateway and there.prefixlen < network.prefixlen
        if not is_part:
            return f"{cidr} overlaps {there}, to which this machine has a route ({route.link})"
        if way != POOL_ANNOUNCED:
            return f"{cidr} is a part of {there}, the network on {route.link}, where it is found if it is announced"
    return ""


def announcing_link(address: str, routes: Sequence[HostRoute], default: str) -> str:
    """The link whose network the address is of, else the one that the default route leads to; empty without either."""
    value = ip_address(address)
    found = [
        (ip_network(route.destination).prefixlen, route.link)
        for route in routes
        if not route.gateway and not route.link.startswith("ng") and value in ip_network(route.destination)
    ]
    return max(found)[1] if found and max(found)[0] > 0 else default


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _plain(network: Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)
