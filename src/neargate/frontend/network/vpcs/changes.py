"""What a call makes of an account's VPCs: shelf in, change out. Pure; `bits` is the randomness for new ids.

Invariant: a VPC comes and goes with its main route table, its default network ACL and its default group, and never
goes while anything else of it is there.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Kept, Shelf
from ..errors.common import InvalidParameterCombination, VpcNotFound
from ..errors.vpcs import DefaultVpcExists, HasDependents, VpcLimitExceeded
from ..records.objects import (
    CidrBlock,
    DhcpOptions,
    EgressOnlyGateway,
    FlowLog,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Peering,
    RouteTable,
    Subnet,
    Tags,
    Vpc,
    VpcEndpoint,
    VpnGateway,
)
from ..records.security_groups import SecurityGroupView
from .cidrs import check_apart, check_vpc_network, ipv4, new_ipv6_block
from .defaults import default_options, new_default_vpc, parts_of_vpc

Bits = Callable[[int], int]
OfVpc = TypeVar("OfVpc", Subnet, EgressOnlyGateway, NatGateway, NetworkAcl, RouteTable, SecurityGroupView, VpcEndpoint)
GONE = ("deleted", "failed", "rejected", "expired")  # states of what is only shown for a while yet


def required_vpc(shelf: Shelf, vpc_id: str) -> Vpc:
    """Raises VpcNotFound."""
    vpc = shelf.find(Vpc, vpc_id)
    if vpc is None:
        raise VpcNotFound([vpc_id])
    return vpc


def create_vpc(
    shelf: Shelf,
    cidr: str,
    tags: Tags,
    *,
    with_ipv6: bool,
    region: str,
    vpcs_max: float,
    bits: Bits,
    ipv6: CidrBlock | None = None,
    public: Sequence[str] = (),
) -> Change[Vpc]:
    """`ipv6`: of a pool. `public`: networks of the region's public addresses. Raises CidrInvalid, VpcRange,
    VpcLimitExceeded.
    """
    network = ipv4(cidr)
    check_vpc_network(network)
    check_apart(network, public)
    _check_room(shelf, vpcs_max)
    options = default_options(shelf, region, bits)
    vpc = Vpc(
        account=shelf.account,
        name=ids.ec2_id("vpc", bits),
        tags=tags,
        cidr=str(network),
        association_id=ids.ec2_id("vpc-cidr-assoc", bits),
        dhcp_options_id=options.name,
        ipv6=(ipv6,) if ipv6 is not None else (ipv6_association(shelf, region, bits),) if with_ipv6 else (),
    )
    made = () if shelf.find(DhcpOptions, options.name) is not None else (options,)
    return Change(result=vpc, put=(vpc, *made, *parts_of_vpc(vpc, bits)))


def _check_room(shelf: Shelf, vpcs_max: float) -> None:
    if shelf.count(Vpc) >= vpcs_max:
        raise VpcLimitExceeded


def ipv6_association(shelf: Shelf, region: str, bits: Bits) -> CidrBlock:
    """A network of the region's that none of the account's VPCs has."""
    taken = [block.cidr for vpc in shelf.all(Vpc) for block in vpc.ipv6]
    cidr = new_ipv6_block(region, shelf.account, taken, bits)
    return CidrBlock(association_id=ids.ec2_id("vpc-cidr-assoc", bits), cidr=cidr)


def create_default_vpc(
    shelf: Shelf, region: str, zones: Sequence[tuple[str, str]], vpcs_max: float, bits: Bits
) -> Change[Vpc]:
    """Raises DefaultVpcExists, VpcLimitExceeded."""
    if any(vpc.is_default for vpc in shelf.all(Vpc)):
        raise DefaultVpcExists
    _check_room(shelf, vpcs_max)
    made = new_default_vpc(shelf, region, zones, bits)
    [vpc] = [one for one in made if isinstance(one, Vpc)]
    return Change(result=vpc, put=made)


def delete_vpc(shelf: Shelf, vpc_id: str) -> Change[None]:
    """Raises VpcNotFound, HasDependents."""
    vpc = required_vpc(shelf, vpc_id)
    if next(dependents_of_vpc(shelf, vpc_id), None) is not None:
        raise HasDependents("vpc", vpc_id)
    parts = (*_of(shelf, RouteTable, vpc_id), *_of(shelf, NetworkAcl, vpc_id), *_of(shelf, SecurityGroupView, vpc_id))
    shown: list[Kept] = [nat for nat in _of(shelf, NatGateway, vpc_id) if nat.state in GONE]
    shown += [one for one in _of(shelf, VpcEndpoint, vpc_id) if one.state in GONE]
    logs = [log for log in shelf.all(FlowLog) if vpc_id in (log.resource_id, log.vpc_id)]
    return Change(result=None, drop=(vpc, *parts, *shown, *logs))


def dependents_of_vpc(shelf: Shelf, vpc_id: str) -> Iterator[Kept]:
    """What DeleteVpc is refused for."""
    yield from _of(shelf, Subnet, vpc_id)
    yield from (one for one in shelf.all(InternetGateway) if one.vpc_id == vpc_id)
    yield from _of(shelf, EgressOnlyGateway, vpc_id)
    yield from (one for one in shelf.all(VpnGateway) if one.vpc_id == vpc_id)
    yield from (one for one in _of(shelf, NatGateway, vpc_id) if one.state not in GONE)
    yield from (one for one in _of(shelf, VpcEndpoint, vpc_id) if one.state not in GONE)
    yield from (one for one in _of(shelf, RouteTable, vpc_id) if not one.is_main)
    yield from (one for one in _of(shelf, NetworkAcl, vpc_id) if not one.is_default)
    yield from (one for one in _of(shelf, SecurityGroupView, vpc_id) if one.group_name != "default")
    for peering in shelf.all(Peering):
        if vpc_id in (peering.requester_vpc, peering.accepter_vpc) and peering.status not in GONE:
            yield peering


def _of(shelf: Shelf, kind: type[OfVpc], vpc_id: str) -> Iterator[OfVpc]:
    return (one for one in shelf.all(kind) if one.vpc_id == vpc_id)


def modify_vpc(
    shelf: Shelf,
    vpc_id: str,
    *,
    dns_support: bool | None = None,
    dns_hostnames: bool | None = None,
    usage_metrics: bool | None = None,
) -> Change[Vpc]:
    """None: as it is. Raises VpcNotFound, InvalidParameterCombination."""
    vpc = required_vpc(shelf, vpc_id)
    changed = replace(
        vpc,
        dns_support=vpc.dns_support if dns_support is None else dns_support,
        dns_hostnames=vpc.dns_hostnames if dns_hostnames is None else dns_hostnames,
        usage_metrics=vpc.usage_metrics if usage_metrics is None else usage_metrics,
    )
    if dns_hostnames and not changed.dns_support:
        raise InvalidParameterCombination("DNS hostnames can only be enabled in a VPC that has DNS support enabled.")
    return Change(result=changed, put=(changed,) if changed != vpc else ())
