"""Which pools of public addresses a host lets its region have: the word of its own operator, not the server's. Pure.

Invariant: what is not allowed is refused, with a sentence that says how it is allowed; what is a machine's own or has a
meaning of its own (loopback, link-local, multicast) cannot be allowed.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from ..model.network import POOL_ANNOUNCED, POOL_LOCAL, POOL_ROUTED, POOL_WAYS, PublicPool

ALLOWED_MAX = 64
SAID_MAX = 8  # sentences; a server may name many
PREFIX_MIN, PREFIX6_MIN = 16, 32
_FLAGS = {POOL_LOCAL: "", POOL_ROUTED: " --routed", POOL_ANNOUNCED: " --announce"}
_NEVER = {
    "0.0.0.0/8": "this network",
    "127.0.0.0/8": "a machine's loopback",
    "169.254.0.0/16": "link-local",
    "224.0.0.0/3": "multicast, or nobody's",
}
_GLOBAL6 = IPv6Network("2000::/3")


def objection(cidr: str) -> str:
    """Why no machine can let a region have it; empty where one can."""
    try:
        network = ip_network(cidr)
    except ValueError as error:
        return f"{cidr[:64]!r} is no network: {error}"[:200]
    if isinstance(network, IPv6Network):
        if not network.subnet_of(_GLOBAL6):
            return f"{network} has other addresses than global ones ({_GLOBAL6})"
        return f"{network} is too large: name a /{PREFIX6_MIN} or smaller" if network.prefixlen < PREFIX6_MIN else ""
    for never, what in _NEVER.items():
        if network.overlaps(IPv4Network(never)):
            return f"{network} overlaps {never}: {what}"
    return f"{network} is too large: name a /{PREFIX_MIN} or smaller" if network.prefixlen < PREFIX_MIN else ""


def refusal(pool: PublicPool, allowed: Iterable[PublicPool]) -> str:
    """Why this host does not let the region have the pool; empty where it does.

    Who lets others find a block lets them also not find a part of it.
    """
    if against := objection(pool.cidr):
        return against
    if any(_is_part(pool.cidr, one.cidr) and _rank(pool.way) <= _rank(one.way) for one in allowed):
        return ""
    return (
        f"{pool.cidr} ({pool.way}) is not allowed on this host; as root of it: "
        f"neargate ip-pool allow {pool.cidr}{_FLAGS[pool.way]}"
    )


def summed(sentences: Sequence[str]) -> tuple[str, ...]:
    """As many as anybody reads."""
    more = len(sentences) - SAID_MAX
    return (*sentences[:SAID_MAX], f"and {more} more") if more > 0 else tuple(sentences)


def flag(way: str) -> str:
    """Of the command, with a blank before it."""
    return _FLAGS[way]


def _is_part(cidr: str, of: str) -> bool:
    one, whole = ip_network(cidr), ip_network(of)
    if isinstance(one, IPv4Network):
        return isinstance(whole, IPv4Network) and one.subnet_of(whole)
    return isinstance(whole, IPv6Network) and one.subnet_of(whole)


def _rank(way: str) -> int:
    return POOL_WAYS.index(way)
