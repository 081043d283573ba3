"""DescribeIpv6Pools, GetAssociatedIpv6PoolCidrs, and how a VPC's request names a network of such a pool."""

from collections.abc import Callable
from typing import Any, TypeVar

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterCombination, MissingParameter
from ...network.pools import ipv6 as ipv6_pools
from ...network.pools.operator import OperatorPool
from ...network.pools.public import POOL
from ...network.records.objects import CidrBlock
from ...network.registry import NetworkRegistry
from ...regional.shelves import Change, Shelf
from ...services import Operation, Services
from .asking import authorize_describing, region_key
from .filters import Field, select
from .request import page, stop_if_dry_run, with_token
from .vpc_objects import AMAZON

T = TypeVar("T")
_FIELDS: dict[str, Field[OperatorPool]] = {}  # by tags alone, and pools of the operator have none


def pool_of(params: Params) -> str | None:
    """The id of the pool that the request names. Raises InvalidParameterCombination, MissingParameter."""
    given: str | None = params.get("Ipv6Pool")
    if given in (None, "", AMAZON):
        if params.get("Ipv6CidrBlock"):
            raise MissingParameter("ipv6Pool")
        return None
    if params.get("AmazonProvidedIpv6CidrBlock"):
        raise InvalidParameterCombination(
            "The parameter amazonProvidedIpv6CidrBlock cannot be used with the parameter ipv6Pool"
        )
    return given


async def change_with_block(
    network: NetworkRegistry, account: str, params: Params, make: Callable[[Shelf, CidrBlock | None], Change[T]]
) -> T:
    """`make` gets the network that the request asks of a pool; None where it names none."""
    pool_id = pool_of(params)
    if pool_id is None:
        return await network.change(account, lambda shelf: make(shelf, None))
    async with network.ipv6_turn:
        taken = [block.cidr for number in network.accounts() for vpc in network.vpcs(number) for block in vpc.ipv6]
        asked: str | None = params.get("Ipv6CidrBlock")
        block = ipv6_pools.new_block(network.shelf(POOL), pool_id, asked, taken, network.bits)
        return await network.change(account, lambda shelf: make(shelf, block))


async def describe_ipv6_pools(call: Call, services: Services, params: Params) -> Answer:
    """The operator's: they are every account's, as nobody brings networks of his own."""
    authorize_describing(call)
    stop_if_dry_run(params)
    known = ipv6_pools.ipv6_pools(services.network.shelf(POOL))
    wanted: list[str] | None = params.get("PoolIds")
    found = [ipv6_pools.named(services.network.shelf(POOL), one) for one in wanted] if wanted else known
    found = select(found, params.get("Filters"), _FIELDS, lambda _: ())
    found, token = page(found, params, lambda pool: ipv6_pools.pool_id(pool.name), "PoolIds")
    return with_token({"Ipv6Pools": [_shown(pool) for pool in found]}, token)


def _shown(pool: OperatorPool) -> dict[str, Any]:
    return {
        "PoolId": ipv6_pools.pool_id(pool.name),
        "Description": "",
        "PoolCidrBlocks": [{"Cidr": pool.name}],
        "Tags": [],
    }


async def get_associated_ipv6_pool_cidrs(call: Call, services: Services, params: Params) -> Answer:
    """Of the caller's own VPCs."""
    authorize(call, "ec2:GetAssociatedIpv6PoolCidrs", ["*"], region_key(call))
    stop_if_dry_run(params)
    pool = ipv6_pools.named(services.network.shelf(POOL), params.get("PoolId") or "")
    pool_id = ipv6_pools.pool_id(pool.name)
    found = [
        {"Ipv6Cidr": block.cidr, "AssociatedResource": vpc.vpc_id}
        for vpc in services.network.vpcs(call.account)
        for block in vpc.ipv6
        if block.pool == pool_id
    ]
    found, token = page(found, params, lambda one: one["Ipv6Cidr"], "PoolIds")
    return with_token({"Ipv6CidrAssociations": found}, token)


OPERATIONS: dict[str, Operation] = {
    "DescribeIpv6Pools": describe_ipv6_pools,
    "GetAssociatedIpv6PoolCidrs": get_associated_ipv6_pool_cidrs,
}
