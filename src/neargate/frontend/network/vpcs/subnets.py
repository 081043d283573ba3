"""What a call makes of an account's subnets: shelf in, change out. Pure; `bits` is the randomness for new ids.

Invariant: subnets of a VPC lie in its networks and apart from one another, and each is associated with exactly one of
its network ACLs. Whose interfaces are in a subnet is said by the caller: zones know.
"""

from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_network

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Kept, Shelf
from ..errors.common import InvalidParameterCombination, SubnetNotFound
from ..errors.vpcs import (
    CidrLimitExceeded,
    DefaultSubnetExists,
    HasDependents,
    NoDefaultVpc,
    NoFreeBlock,
    SubnetAssociationNotFound,
    SubnetLimitExceeded,
)
from ..records.balancers import LoadBalancer
from ..records.objects import (
    CidrBlock,
    CidrReservation,
    FlowLog,
    NatGateway,
    NetworkAcl,
    NetworkInterface,
    RouteTable,
    Subnet,
    Tags,
    Vpc,
    VpcEndpoint,
)
from .changes import GONE, required_vpc
from .cidrs import check_subnet_network, ipv4, ipv6, is_within
from .defaults import DEFAULT_SUBNET_PREFIX, acl_association, free_default_blocks, new_default_subnet

Bits = Callable[[int], int]
Zones = Sequence[tuple[str, str]]  # name, id
IPV6_BLOCKS_MAX = 1  # of a subnet


def required_subnet(shelf: Shelf, subnet_id: str) -> Subnet:
    """Raises SubnetNotFound."""
    subnet = shelf.find(Subnet, subnet_id)
    if subnet is None:
        raise SubnetNotFound([subnet_id])
    return subnet


def of_vpc(shelf: Shelf, vpc_id: str) -> Iterator[Subnet]:
    return (subnet for subnet in shelf.all(Subnet) if subnet.vpc_id == vpc_id)


def create_subnet(
    shelf: Shelf,
    vpc_id: str,
    cidr: str,
    tags: Tags,
    *,
    ipv6_cidr: str | None = None,
    zones: Zones,
    subnets_max: float,
    bits: Bits,
) -> Change[Subnet]:
    """In the one of `zones` that has the fewest of the VPC's. Raises VpcNotFound, CidrInvalid, SubnetRange,
    SubnetConflict, SubnetLimitExceeded.
    """
    vpc = required_vpc(shelf, vpc_id)
    network = ipv4(cidr)
    have = list(of_vpc(shelf, vpc_id))
    check_subnet_network(network, (block.cidr for block in vpc.blocks), (subnet.cidr for subnet in have))
    _check_room(have, subnets_max)
    zone, zone_id = min(zones, key=lambda one: sum(subnet.zone == one[0] for subnet in have))
    subnet = Subnet(
        account=shelf.account,
        name=ids.ec2_id("subnet", bits),
        tags=tags,
        vpc_id=vpc_id,
        zone=zone,
        zone_id=zone_id,
        cidr=str(network),
        ipv6=() if ipv6_cidr is None else (_ipv6_block(shelf, vpc, ipv6_cidr, bits),),
    )
    return Change(result=subnet, put=(subnet, *_with_acl(shelf, subnet, bits)))


def _check_room(have: Sequence[Subnet], subnets_max: float) -> None:
    if len(have) >= subnets_max:
        raise SubnetLimitExceeded


def _ipv6_block(shelf: Shelf, vpc: Vpc, cidr: str, bits: Bits) -> CidrBlock:
    """Raises CidrInvalid, SubnetRange, SubnetConflict."""
    network = ipv6(cidr)
    others = [block.cidr for subnet in of_vpc(shelf, vpc.vpc_id) for block in subnet.ipv6]
    check_subnet_network(network, (block.cidr for block in vpc.ipv6), others)
    return CidrBlock(association_id=ids.ec2_id("subnet-cidr-assoc", bits), cidr=str(network))


def _with_acl(shelf: Shelf, subnet: Subnet, bits: Bits) -> Iterator[Kept]:
    for acl in shelf.all(NetworkAcl):
        if acl.vpc_id == subnet.vpc_id and acl.is_default:
            yield replace(acl, associations=(*acl.associations, acl_association(subnet, bits)))


def create_default_subnet(shelf: Shelf, zone: str, zone_id: str, subnets_max: float, bits: Bits) -> Change[Subnet]:
    """A /20 of the default VPC. Raises NoDefaultVpc, DefaultSubnetExists, NoFreeBlock, SubnetLimitExceeded."""
    vpc = next((vpc for vpc in shelf.all(Vpc) if vpc.is_default), None)
    if vpc is None:
        raise NoDefaultVpc
    have = list(of_vpc(shelf, vpc.vpc_id))
    for subnet in have:
        if subnet.default_for_zone and subnet.zone == zone:
            raise DefaultSubnetExists(subnet.name, zone)
    _check_room(have, subnets_max)
    blocks = free_default_blocks(vpc, have)
    if not blocks:
        raise NoFreeBlock(vpc.vpc_id, DEFAULT_SUBNET_PREFIX)
    made = new_default_subnet(vpc, zone, zone_id, blocks[0], bits)
    return Change(result=made, put=(made, *_with_acl(shelf, made, bits)))


def delete_subnet(shelf: Shelf, subnet_id: str, *, in_use: bool) -> Change[None]:
    """Its associations, reservations and flow logs go with it. `in_use`: it has interfaces.

    Raises SubnetNotFound, HasDependents.
    """
    subnet = required_subnet(shelf, subnet_id)
    nats = (nat for nat in shelf.all(NatGateway) if nat.subnet_id == subnet_id and nat.state not in GONE)
    endpoints = (one for one in shelf.all(VpcEndpoint) if subnet_id in one.subnets and one.state not in GONE)
    interfaces = (one for one in shelf.all(NetworkInterface) if one.subnet_id == subnet_id)
    balancers = (one for one in shelf.all(LoadBalancer) if any(node.subnet_id == subnet_id for node in one.nodes))
    if in_use or any(next(one, None) is not None for one in (nats, endpoints, interfaces, balancers)):
        raise HasDependents("subnet", subnet_id)
    changed: list[Kept] = []
    for table in shelf.all(RouteTable):
        left = tuple(one for one in table.associations if one.subnet_id != subnet_id)
        if left != table.associations:
            changed.append(replace(table, associations=left))
    for acl in shelf.all(NetworkAcl):
        kept = tuple(one for one in acl.associations if one.subnet_id != subnet_id)
        if kept != acl.associations:
            changed.append(replace(acl, associations=kept))
    logs = [log for log in shelf.all(FlowLog) if log.resource_id == subnet_id]
    reservations = [one for one in shelf.all(CidrReservation) if one.subnet_id == subnet_id]
    return Change(result=None, put=tuple(changed), drop=(subnet, *logs, *reservations))


def modify_subnet(shelf: Shelf, subnet_id: str, **changes: bool | str) -> Change[Subnet]:
    """`changes`: fields of the record. Raises SubnetNotFound, InvalidParameterCombination."""
    subnet = required_subnet(shelf, subnet_id)
    changed = replace(subnet, **changes)
    if changes.get("assign_ipv6") and not subnet.ipv6:
        raise InvalidParameterCombination(
            f"The subnet '{subnet_id}' has no IPv6 CIDR block: addresses of it cannot be assigned on creation."
        )
    return Change(result=changed, put=(changed,) if changed != subnet else ())


def associate_ipv6(shelf: Shelf, subnet_id: str, cidr: str, bits: Bits) -> Change[CidrBlock]:
    """Raises SubnetNotFound, CidrInvalid, CidrLimitExceeded, SubnetRange, SubnetConflict."""
    subnet = required_subnet(shelf, subnet_id)
    if len(subnet.ipv6) >= IPV6_BLOCKS_MAX:
        raise CidrLimitExceeded(subnet_id, IPV6_BLOCKS_MAX)
    block = _ipv6_block(shelf, required_vpc(shelf, subnet.vpc_id), cidr, bits)
    return Change(result=block, put=(replace(subnet, ipv6=(*subnet.ipv6, block)),))


def disassociate_ipv6(shelf: Shelf, association_id: str, *, in_use: bool) -> Change[CidrBlock]:
    """Reservations in it go with it. `in_use`: interfaces have addresses of it.

    Raises SubnetAssociationNotFound, HasDependents.
    """
    subnet, block = required_ipv6(shelf, association_id)
    if in_use:
        raise HasDependents("subnet CIDR block", block.cidr)
    left = tuple(one for one in subnet.ipv6 if one != block)
    changed = replace(subnet, ipv6=left, assign_ipv6=subnet.assign_ipv6 and bool(left))
    own = (one for one in shelf.all(CidrReservation) if one.subnet_id == subnet.name)
    gone = tuple(one for one in own if is_within(ip_network(one.cidr), ip_network(block.cidr)))
    return Change(result=block, put=(changed,), drop=gone)


def required_ipv6(shelf: Shelf, association_id: str) -> tuple[Subnet, CidrBlock]:
    """Raises SubnetAssociationNotFound."""
    for subnet in shelf.all(Subnet):
        for block in subnet.ipv6:
            if block.association_id == association_id:
                return subnet, block
    raise SubnetAssociationNotFound(association_id)
