"""Whether a machine can take a pool of the operator's, and by which of its links an address of one is announced.

Pure: what the machine has is handed in. Invariant: a pool that would take the machine's own addresses, its gateways or
a network that it has otherwise away from it is never led to tasks.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct

from ..model.network import POOL_ANNOUNCED, POOL_LOCAL, PublicPool


class HostRoute(Struct, frozen=True, kw_only=True):
    """Of IPv4. `gateway` is empty for a network that is on the link itself."""

    destination: str
    link: str
    gateway: str = ""


class Outside(Struct, frozen=True, kw_only=True):
    """What the uplink must know of the operator's pools, and of the addresses that somebody here has of them."""

    pools: tuple[PublicPool, ...] = ()
    addresses: frozenset[str] = frozenset()

    @property
    def cidrs(self) -> tuple[str, ...]:
        return tuple(pool.cidr for pool in self.pools)

    @property
    def open_cidrs(self) -> tuple[str, ...]:
        """Whose addresses others find: nothing is translated there, and who calls is let through."""
        return tuple(pool.cidr for pool in self.pools if pool.way != POOL_LOCAL)

    @property
    def announced(self) -> frozenset[str]:
        networks = [IPv4Network(pool.cidr) for pool in self.pools if pool.way == POOL_ANNOUNCED]
        return frozenset(one for one in self.addresses if any(IPv4Address(one) in network for network in networks))


NOTHING_OUTSIDE = Outside()


def objection(cidr: str, way: str, routes: Iterable[HostRoute], own: Iterable[str], link: str) -> str:
    """Why this machine cannot have the pool; empty when it can.

    `own`: what it takes for itself, as CIDRs. `link`: ours, to which the route may be there already.
    """
    network = IPv4Network(cidr)
    for mine in map(IPv4Network, own):
        if network.overlaps(mine):
            return f"{cidr} holds {_plain(mine)}, which is this machine's own"
    for route in routes:
        if route.gateway and IPv4Address(route.gateway) in network:
            return f"{cidr} holds {route.gateway}, this machine's gateway to {route.destination} ({route.link})"
        there = IPv4Network(route.destination)
        if there.prefixlen == 0 or not network.overlaps(there) or (route.link == link and there == network):
            continue
        is_part = not route.gateway and there.supernet_of(network) and there != network
        if not is_part:
            return f"{cidr} overlaps {there}, to which this machine has a route ({route.link})"
        if way != POOL_ANNOUNCED:
            return f"{cidr} is a part of {there}, the network on {route.link}, where it is found if it is announced"
    return ""


def announcing_link(address: str, routes: Sequence[HostRoute], default: str) -> str:
    """The link whose network the address is of, else the one that the default route leads to; empty without either."""
    value = IPv4Address(address)
    found = [
        (IPv4Network(route.destination).prefixlen, route.link)
        for route in routes
        if not route.gateway and not route.link.startswith("ng") and value in IPv4Network(route.destination)
    ]
    return max(found)[1] if found and max(found)[0] > 0 else default


def _plain(network: IPv4Network) -> str:
    return str(network.network_address) if network.prefixlen == 32 else str(network)
