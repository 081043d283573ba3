"""Networks that VPCs take from the operator's pools of IPv6: which pool an id means, and which of its networks is free.

Pure. A pool has no record of what was taken of it: VPCs say so themselves. Whoever takes one and whoever takes a pool
away do so in turn (`NetworkRegistry.ipv6_turn`), looking at the VPCs of all accounts.
"""

import hashlib
from collections.abc import Callable, Iterable
from ipaddress import IPv6Network

from ....model import ids
from ....model.errors import AwsError
from ...regional.shelves import Shelf
from ..errors.common import InvalidParameterValue
from ..records.objects import CidrBlock
from ..vpcs.cidrs import IPV6_VPC_PREFIX, ipv6
from .operator import OperatorPool, pools

Bits = Callable[[int], int]
VPC_PREFIXES = (44, 48, 52, 56, 60)
_ID_TEXT_MAX = 64


class Ipv6PoolNotFound(AwsError):
    code = "InvalidIpv6PoolID.NotFound"

    def __init__(self, pool_id: str) -> None:
        super().__init__(f"The pool ID '{pool_id[:_ID_TEXT_MAX]}' does not exist.")


class Ipv6BlockInUse(AwsError):
    code = "InvalidCidrBlock.InUse"

    def __init__(self, cidr: str, pool_id: str) -> None:
        super().__init__(f"The CIDR '{cidr}' of the pool '{pool_id}' is in use.")


class PoolHasNoBlock(AwsError):
    code = "InsufficientCidrBlocks"

    def __init__(self, pool_id: str, prefix: int) -> None:
        super().__init__(f"The pool '{pool_id}' does not have a free /{prefix} CIDR block.")


def pool_id(cidr: str) -> str:
    """The same for the same network, in any region."""
    return f"ipv6pool-ec2-{hashlib.sha256(cidr.encode()).hexdigest()[:17]}"


def ipv6_pools(shelf: Shelf) -> list[OperatorPool]:
    return [pool for pool in pools(shelf) if pool.is_ipv6]


def named(shelf: Shelf, given: str) -> OperatorPool:
    """Raises Ipv6PoolNotFound."""
    found = next((pool for pool in ipv6_pools(shelf) if pool_id(pool.name) == given), None)
    if found is None:
        raise Ipv6PoolNotFound(given)
    return found


def new_block(shelf: Shelf, given: str, asked: str | None, taken: Iterable[str], bits: Bits) -> CidrBlock:
    """`given`: the pool's id; `asked`: which network of it, any without. `taken`: those that VPCs have.

    Raises Ipv6PoolNotFound, CidrInvalid, InvalidParameterValue, Ipv6BlockInUse, PoolHasNoBlock.
    """
    pool = named(shelf, given)
    within, used = IPv6Network(pool.name), [IPv6Network(one) for one in taken]
    if asked:
        network = ipv6(asked)
        if network.prefixlen not in VPC_PREFIXES or not network.subnet_of(within):
            sizes = ", ".join(f"/{prefix}" for prefix in VPC_PREFIXES)
            raise InvalidParameterValue(
                f"Value ({network}) for parameter ipv6CidrBlock is invalid. It must be a CIDR block of {pool.name}, "
                f"of one of the sizes {sizes}."
            )
        if pool.is_closed or any(network.overlaps(one) for one in used):
            raise Ipv6BlockInUse(str(network), given)
    else:
        prefix = max(IPV6_VPC_PREFIX, within.prefixlen)
        found = None if pool.is_closed else _free(within, prefix, used, bits)
        if found is None:
            raise PoolHasNoBlock(given, prefix)
        network = found
    return CidrBlock(association_id=ids.ec2_id("vpc-cidr-assoc", bits), cidr=str(network), pool=given)


def _free(within: IPv6Network, prefix: int, used: Iterable[IPv6Network], bits: Bits) -> IPv6Network | None:
    """Chance says where the search begins, so that a network is not met again soon."""
    size, first = 1 << (128 - prefix), int(within.network_address)
    end = first + within.num_addresses
    taken = sorted((int(one.network_address), int(one.broadcast_address)) for one in used if one.overlaps(within))
    start = first + bits(prefix - within.prefixlen) * size if prefix > within.prefixlen else first
    for begin in (start, first):
        at = begin
        for low, high in taken:
            if low >= at + size:
                break
            if high >= at:
                at = first + ((high - first) // size + 1) * size
        if at < end:
            return IPv6Network((at, prefix))
    return None
