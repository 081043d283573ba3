"""Which block the public addresses of a machine's tasks come from: the first that no route of the host overlaps."""

from collections.abc import Iterable
from ipaddress import ip_network

from ..interfaces.hostnet import HostError


def candidate_pools() -> list[str]:
    """198.18.0.0/24 and its successors: the range for benchmarks, which no network routes in earnest."""
    return [str(network) for network in ip_network("198.18.0.0/16").subnets(new_prefix=24)]


def choose_public_pool(candidates: Iterable[str], existing_routes: Iterable[str]) -> str:
    """The first candidate apart from all routes. A default route overlaps nothing. Raises HostError."""
    taken = [network for route in existing_routes if (network := ip_network(route, strict=False)).prefixlen > 0]
    for candidate in candidates:
        pool = ip_network(candidate)
        if not any(pool.version == network.version and pool.overlaps(network) for network in taken):
            return candidate
    raise HostError("every candidate for the public pool overlaps a route of this host: name one with --public-pool")
