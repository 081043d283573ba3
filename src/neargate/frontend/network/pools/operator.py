"""Pools of public addresses that the operator gives the region: added, closed, taken away. Pure; on the shelf of those
that were given out, so that no address of a pool is given while the pool goes.

Must not know hosts and zones: what tasks hold is handed in. Invariants: no two pools share an address, and none has one
of a VPC or one that has a meaning of its own; a pool is only taken away after it was closed, when nobody has any of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from ....model.network import POOL_LOCAL, POOL_WAYS, PublicPool
from ....vpc.addresses import AddressRange, address_number, elastic_ranges, operator_elastic, whole_range
from ...regional.shelves import Change, Kept, Shelf
from .public import POOL, GivenAddress

POOLS_MAX = 32
PREFIX_MIN = 16  # a plan names every pool, and who looks for a free address may have to look at all
PREFIX6_MIN, PREFIX6_MAX = 32, 60
HOLDERS_SHOWN = 8
_GLOBAL6 = IPv6Network("2000::/3")
_NEVER = {
    "0.0.0.0/8": "addresses of this network",
    "127.0.0.0/8": "loopback addresses",
    "169.254.0.0/16": "link-local addresses",
    "224.0.0.0/4": "multicast addresses",
    "240.0.0.0/4": "reserved addresses",
}


class PoolRefused(Exception):
    """The pool cannot be added or taken away; the message says why."""


class OperatorPool(Kept, frozen=True, kw_only=True):
    """`name`: its network. `way`: one of model.network.POOL_WAYS. `is_closed`: it gives no address any more."""

    kind = "operator-pool"
    way: str = POOL_LOCAL
    added_at: float
    is_closed: bool = False

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.name


def pools(shelf: Shelf) -> list[OperatorPool]:
    """In the order in which they were added."""
    return sorted(shelf.all(OperatorPool), key=lambda pool: (pool.added_at, pool.name))


def giving(shelf: Shelf) -> list[str]:
    """Networks that new addresses come from; none: from the region's own block. Those of IPv6 are VPCs'."""
    return [pool.name for pool in pools(shelf) if not pool.is_closed and not pool.is_ipv6]


def planned(shelf: Shelf) -> tuple[PublicPool, ...]:
    return tuple(PublicPool(cidr=pool.name, way=pool.way) for pool in pools(shelf))


def public_cidrs(known: Iterable[PublicPool]) -> list[str]:
    """Those whose addresses have names: of IPv4."""
    return [pool.cidr for pool in known if ":" not in pool.cidr]


def elastic(shelf: Shelf, built_in: str, shares: int) -> tuple[AddressRange, ...]:
    """Where elastic addresses come from. `shares`: between how many zones each pool is divided."""
    found = [one for cidr in giving(shelf) for one in operator_elastic(cidr, shares)]
    if giving(shelf):
        return tuple(found)
    return elastic_ranges(built_in, shares) if built_in else ()


def read_cidr(text: str) -> str:
    """The network as it is written everywhere else. Raises PoolRefused."""
    text = text[:64]
    try:
        network = ip_network(text)
    except ValueError as error:
        raise PoolRefused(f"{text!r} is no network: {error}") from None
    return str(network)


def add(
    shelf: Shelf,
    text: str,
    way: str,
    *,
    built_in: str,
    networks: Mapping[str, str],
    shares: int,
    now: float,
) -> Change[OperatorPool]:
    """`networks`: those of VPCs -> whose. One that was closed is open again. Raises PoolRefused."""
    cidr = read_cidr(text)
    if way not in POOL_WAYS:
        raise PoolRefused(f"{way!r} is no way to a pool; there is {', '.join(POOL_WAYS)}")
    known = shelf.find(OperatorPool, cidr)
    if known is not None:
        if not known.is_closed and known.way == way:
            raise PoolRefused(f"{cidr} is a pool of this region already")
        if known.way != way:
            raise PoolRefused(f"{cidr} is a pool of this region already, {known.way}; remove it first")
        opened = OperatorPool(account=POOL, name=cidr, way=way, added_at=known.added_at)
        return Change(result=opened, put=(opened,))
    _check_block(ip_network(cidr), shares)
    if shelf.count(OperatorPool) >= POOLS_MAX:
        raise PoolRefused(f"a region has at most {POOLS_MAX} pools")
    others = {pool.name: "a pool of this region" for pool in pools(shelf)}
    others |= {built_in: "the block that this region chose for itself"} if built_in else {}
    for other, what in (*others.items(), *networks.items()):
        if _overlap(cidr, other):
            raise PoolRefused(f"{cidr} overlaps {other}, {what}")
    made = OperatorPool(account=POOL, name=cidr, way=way, added_at=now)
    return Change(result=made, put=(made,))


def close(shelf: Shelf, text: str, *, closed: bool = True) -> Change[OperatorPool]:
    """Nothing more is given of it; or it gives again. Raises PoolRefused."""
    pool = find(shelf, text)
    made = OperatorPool(account=POOL, name=pool.name, way=pool.way, added_at=pool.added_at, is_closed=closed)
    return Change(result=pool, put=(made,) if made != pool else ())


def take_away(shelf: Shelf, text: str, holders: Mapping[str, str]) -> Change[None]:
    """`holders`: address -> who has it, of tasks. Raises PoolRefused, naming them and elastic addresses' owners."""
    pool = find(shelf, text)
    if not pool.is_closed:
        raise PoolRefused(f"{pool.name} gives addresses again; somebody has added it meanwhile")
    check_unheld(shelf, text, holders)
    return Change(result=None, drop=(pool,))


def check_unheld(shelf: Shelf, text: str, holders: Mapping[str, str]) -> None:
    """Raises what `take_away` does for a pool that somebody has addresses of."""
    pool = find(shelf, text)
    held = {**holders, **elastic_holders(shelf, pool.name)}
    if held:
        raise PoolRefused(f"{pool.name} is in use: {told(held)}")


def find(shelf: Shelf, text: str) -> OperatorPool:
    """Raises PoolRefused."""
    cidr = read_cidr(text)
    pool = shelf.find(OperatorPool, cidr)
    if pool is None:
        raise PoolRefused(f"{cidr} is no pool of this region; those that are: neargate ip-pool list")
    return pool


def elastic_holders(shelf: Shelf, cidr: str) -> dict[str, str]:
    if ":" in cidr:
        return {}  # there are none
    within = whole_range(cidr)
    given = (one for one in shelf.all(GivenAddress) if within.has(address_number(one.name)))
    return {one.name: f"elastic address {one.allocation_id} of account {one.owner}" for one in given}


def told(holders: Mapping[str, str]) -> str:
    listed = sorted(holders.items(), key=lambda item: int(ip_network(item[0]).network_address))
    shown = [f"{address} ({holder})" for address, holder in listed[:HOLDERS_SHOWN]]
    more = len(listed) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def changes_pools(records: Iterable[Sequence[Kept]]) -> bool:
    return any(isinstance(record, OperatorPool) for some in records for record in some)


def _check_block(network: IPv4Network | IPv6Network, shares: int) -> None:
    if isinstance(network, IPv6Network):
        _check_block6(network)
        return
    for block, what in _NEVER.items():
        if network.overlaps(IPv4Network(block)):
            raise PoolRefused(f"{network} overlaps {block}: {what} are nobody's public ones")
    if network.prefixlen < PREFIX_MIN:
        raise PoolRefused(f"{network} is too large: a pool is a /{PREFIX_MIN} or smaller; add several")
    if network.num_addresses < shares:
        raise PoolRefused(f"{network} is too small: each of the {shares} zones gets a part of it")


def _check_block6(network: IPv6Network) -> None:
    if not network.subnet_of(_GLOBAL6):
        raise PoolRefused(f"{network} has other addresses than global ones ({_GLOBAL6})")
    if network.prefixlen < PREFIX6_MIN:
        raise PoolRefused(f"{network} is too large: a pool is a /{PREFIX6_MIN} or smaller; add several")
    if network.prefixlen > PREFIX6_MAX:
        raise PoolRefused(f"{network} is too small: a VPC takes a /{PREFIX6_MAX} or more of a pool")


def _overlap(one: str, other: str) -> bool:
    first, second = ip_network(one), ip_network(other)
    return first.version == second.version and first.overlaps(second)
