"""Networks as requests write them, which of them VPCs and subnets may have, and the IPv6 ones that this region gives.

Pure. Invariant: what comes out is canonical, so that two texts of one network are one.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from ..errors.vpcs import CidrInvalid, SubnetConflict, SubnetRange, VpcRange

Bits = Callable[[int], int]
Network = IPv4Network | IPv6Network

PREFIX_MIN, PREFIX_MAX = 16, 28  # of a VPC's and a subnet's IPv4 networks
IPV6_VPC_PREFIX = 56
IPV6_SUBNET_PREFIXES = (56, 60, 64)
_REGION_PREFIX = 32

_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}", re.ASCII)
_IPV6 = re.compile(r"[0-9a-fA-F:.]{2,45}/\d{1,3}", re.ASCII)

# Never a VPC's: this host, loopback, link local, multicast and what is above it.
_NEVER = tuple(map(IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")))
# A second network may not be of another family than the first (VPC User Guide, "VPC CIDR blocks").
_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_BENCHMARKS = IPv4Network("198.19.0.0/16")
_DEFAULT_VPCS = IPv4Network("172.31.0.0/16")  # never a further one
# A VPC with one of the first may not have a further one of the second.
_FIRST_TENS = (IPv4Network("10.0.0.0/15"), IPv4Network("10.0.0.0/16"))


def ipv4(text: str, parameter: str = "cidrBlock") -> IPv4Network:
    """Canonical, as EC2 makes it: 100.68.0.18/18 is 100.68.0.0/18. Raises CidrInvalid."""
    try:
        if _IPV4.fullmatch(text):
            return IPv4Network(text, strict=False)
    except ValueError:
        pass
    raise CidrInvalid(text, parameter)


def ipv6(text: str, parameter: str = "ipv6CidrBlock") -> IPv6Network:
    """Raises CidrInvalid."""
    try:
        if _IPV6.fullmatch(text):
            return IPv6Network(text, strict=False)
    except ValueError:
        pass
    raise CidrInvalid(text, parameter)


def check_vpc_network(network: IPv4Network) -> None:
    """Raises VpcRange."""
    if not PREFIX_MIN <= network.prefixlen <= PREFIX_MAX or any(network.overlaps(one) for one in _NEVER):
        raise VpcRange.of_size(str(network))


def check_apart(network: IPv4Network, public: Iterable[str]) -> None:
    """`public`: networks of this region's public addresses, which lead out of every VPC. Raises VpcRange."""
    for one in public:
        if network.overlaps(IPv4Network(one)):
            raise VpcRange.conflict(str(network), f"the public IP addresses of this Region, '{one}'")


def check_further_network(network: IPv4Network, primary: str, *others: str) -> None:
    """A further network of a VPC whose first one is `primary`. Raises VpcRange."""
    check_vpc_network(network)
    first, family = _family(IPv4Network(primary)), _family(network)
    taken, barred = _FIRST_TENS
    if (
        (family is not None and first != family)
        or network.subnet_of(_DEFAULT_VPCS)
        or (network.subnet_of(barred) and any(IPv4Network(one).subnet_of(taken) for one in (primary, *others)))
    ):
        raise VpcRange.restricted(str(network))


def _family(network: IPv4Network) -> IPv4Network | None:
    """None: publicly routable, or shared address space, which goes with all."""
    return next((one for one in (*_PRIVATE, _BENCHMARKS) if network.subnet_of(one)), None)


def check_subnet_network(network: Network, within: Iterable[str], others: Iterable[str]) -> None:
    """`within`: the VPC's networks; `others`: those of its subnets. Raises SubnetRange, SubnetConflict."""
    fits = (
        PREFIX_MIN <= network.prefixlen <= PREFIX_MAX
        if network.version == 4
        else network.prefixlen in IPV6_SUBNET_PREFIXES
    )
    if not fits or not any(is_within(network, ip_network(one)) for one in within):
        raise SubnetRange(str(network))
    if any(overlap(network, ip_network(one)) for one in others):
        raise SubnetConflict(str(network))


def is_within(network: Network, outer: Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(outer, IPv4Network) and network.subnet_of(outer)
    return isinstance(outer, IPv6Network) and network.subnet_of(outer)


def overlap(one: Network, other: Network) -> bool:
    """Networks of two families never do."""
    return one.version == other.version and one.overlaps(other)


def ipv6_pool(region: str, account: str) -> IPv6Network:
    """Unique local addresses (fd00::/8), of which each account of each region has 24 bits of its own."""
    digest = hashlib.sha256(f"{region} {account}".encode()).digest()
    return IPv6Network((bytes([0xFD]) + digest[:3] + bytes(12), _REGION_PREFIX))


def new_ipv6_block(region: str, account: str, taken: Iterable[str], bits: Bits) -> str:
    """A /56 of the account's pool that none of `taken` meets. Chance says where the search begins, so that a block is
    not met again soon.
    """
    pool = int(ipv6_pool(region, account).network_address)
    used = [IPv6Network(one) for one in taken]
    places = 1 << (IPV6_VPC_PREFIX - _REGION_PREFIX)
    start = bits(IPV6_VPC_PREFIX - _REGION_PREFIX)
    blocks = (
        IPv6Network((pool + ((start + step) % places << (128 - IPV6_VPC_PREFIX)), IPV6_VPC_PREFIX))
        for step in range(len(used) + 1)
    )
    return str(next(block for block in blocks if not any(block.overlaps(one) for one in used)))
