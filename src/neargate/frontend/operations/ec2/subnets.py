"""CreateSubnet, CreateDefaultSubnet, DeleteSubnet, DescribeSubnets. What addresses are left is asked of each zone."""

from collections.abc import Sequence
from typing import NoReturn

from msgspec import Struct

from ....model.quotas import SUBNETS_PER_VPC
from ....vpc.addresses import subnet_range
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterCombination, MissingParameter, SubnetIdMalformed, SubnetNotFound
from ...network.errors.vpcs import HasDependents, MissingBlock, NotOffered, ZoneInvalid
from ...network.records.objects import Subnet
from ...network.vpcs import changes as vpc_changes
from ...network.vpcs import subnets as subnet_changes
from ...network.vpcs.free_addresses import free_addresses
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import named, page, resource_arn, stop_if_dry_run, with_token
from .tags import tags_from
from .vpc_objects import ASSOCIATED, subnet_asked, subnet_id_of, subnet_shown, vpc_asked, vpc_id_of
from .vpcs import check_pools

Zone = tuple[str, str]  # name, id


async def create_subnet(call: Call, services: Services, params: Params) -> Answer:
    made = resource_arn(call, "subnet", "*")
    resources = [vpc_asked(call, services, params.get("VpcId")), Resource(arn=made, keys=tag_keys(params))]
    authorize(call, "ec2:CreateSubnet", resources, region_key(call))
    authorize_tagging(call, params, made)
    vpc_id = vpc_id_of(params)
    vpc_changes.required_vpc(services.network.shelf(call.account), vpc_id)
    check_pools(params)
    if params.get("OutpostArn"):
        raise NotOffered("Outposts are not there.")
    if params.get("Ipv6Native"):
        _refuse_native(params)
    cidr = params.get("CidrBlock")
    if not cidr:
        raise MissingParameter("cidrBlock")
    zones = _zones(services, params)
    tags = tags_from(params, "subnet")
    stop_if_dry_run(params)
    network = services.network
    subnet = await network.change(
        call.account,
        lambda shelf: subnet_changes.create_subnet(
            shelf,
            vpc_id,
            cidr,
            tags,
            ipv6_cidr=params.get("Ipv6CidrBlock") or None,
            zones=zones,
            subnets_max=network.quota(call.account, SUBNETS_PER_VPC),
            bits=network.bits,
        ),
    )
    return {"Subnet": subnet_shown(call, subnet, subnet_range(subnet.cidr).size)}


def _refuse_native(params: Params) -> NoReturn:
    """What is wrong on AWS too is said as there. Raises MissingBlock, InvalidParameterCombination, NotOffered."""
    if not params.get("Ipv6CidrBlock"):
        raise MissingBlock
    if params.get("CidrBlock"):
        raise InvalidParameterCombination(
            "When specifying ipv4 parameters, cidrBlock or ipv4IpamPoolId, you cannot set ipv6Native to true."
        )
    raise NotOffered("Subnets without IPv4 are not there.")


def _zones(services: Services, params: Params) -> Sequence[Zone]:
    """The zone that is named, else all. Raises ZoneInvalid, InvalidParameterCombination."""
    name, zone_id = params.get("AvailabilityZone"), params.get("AvailabilityZoneId")
    if name and zone_id:
        raise InvalidParameterCombination(
            "The parameter availabilityZone cannot be used with the parameter availabilityZoneId"
        )
    found = [zone for zone in services.zones if (not name or zone[0] == name) and (not zone_id or zone[1] == zone_id)]
    if found:
        return found
    if name:
        raise ZoneInvalid(name, "availabilityZone", [one for one, _ in services.zones])
    raise ZoneInvalid(zone_id or "", "availabilityZoneId", [one for _, one in services.zones])


async def create_default_subnet(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:CreateDefaultSubnet", ["*"], region_key(call))
    if not params.get("AvailabilityZone") and not params.get("AvailabilityZoneId"):
        raise MissingParameter("availabilityZone")
    if params.get("Ipv6Native"):
        raise NotOffered("Subnets without IPv4 are not there.")
    [(zone, zone_id)] = _zones(services, params)
    stop_if_dry_run(params)
    network = services.network
    subnet = await network.change(
        call.account,
        lambda shelf: subnet_changes.create_default_subnet(
            shelf, zone, zone_id, network.quota(call.account, SUBNETS_PER_VPC), network.bits
        ),
    )
    return {"Subnet": subnet_shown(call, subnet, subnet_range(subnet.cidr).size)}


async def delete_subnet(call: Call, services: Services, params: Params) -> Answer:
    """The zone closes the subnet before it goes, so that a launch which still knows it gets no interface there.

    A caller who goes away meanwhile may leave it closed; it is gone then, or deleted once more.
    """
    authorize(call, "ec2:DeleteSubnet", [subnet_asked(call, services, params.get("SubnetId"))], region_key(call))
    subnet_id = subnet_id_of(params)
    shelf = services.network.shelf(call.account)
    subnet = subnet_changes.required_subnet(shelf, subnet_id)
    stop_if_dry_run(params)
    subnet_changes.delete_subnet(shelf, subnet_id, in_use=False)
    zone = services.capacities.get(subnet.zone)
    if zone is not None and not zone.close_subnet(subnet_id):
        raise HasDependents("subnet", subnet_id)
    try:
        await services.network.change(
            call.account, lambda shelf: subnet_changes.delete_subnet(shelf, subnet_id, in_use=False)
        )
    except Exception:
        if zone is not None and services.network.subnet(call.account, subnet_id) is not None:
            zone.open_subnet(subnet_id)
        raise
    return {}


class _Found(Struct, frozen=True, kw_only=True):
    record: Subnet
    free: int
    arn: str


def _flag(value: bool) -> tuple[str]:
    return (str(value).lower(),)


_FIELDS: dict[str, Field[_Found]] = {
    "availability-zone": lambda one: (one.record.zone,),
    "availabilityZone": lambda one: (one.record.zone,),
    "availability-zone-id": lambda one: (one.record.zone_id,),
    "availabilityZoneId": lambda one: (one.record.zone_id,),
    "available-ip-address-count": lambda one: (str(one.free),),
    "cidr": lambda one: (one.record.cidr,),
    "cidrBlock": lambda one: (one.record.cidr,),
    "cidr-block": lambda one: (one.record.cidr,),
    "customer-owned-ipv4-pool": lambda _: (),
    "default-for-az": lambda one: _flag(one.record.default_for_zone),
    "defaultForAz": lambda one: _flag(one.record.default_for_zone),
    "enable-dns64": lambda one: _flag(one.record.dns64),
    "enable-lni-at-device-index": lambda _: (),
    "ipv6-cidr-block-association.association-id": lambda one: (block.association_id for block in one.record.ipv6),
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda one: (block.cidr for block in one.record.ipv6),
    "ipv6-cidr-block-association.state": lambda one: (ASSOCIATED for _ in one.record.ipv6),
    "ipv6-native": lambda _: ("false",),
    "map-customer-owned-ip-on-launch": lambda _: ("false",),
    "map-public-ip-on-launch": lambda one: _flag(one.record.map_public_ip),
    "outpost-arn": lambda _: (),
    "owner-id": lambda one: (one.record.account,),
    "private-dns-name-options-on-launch.enable-resource-name-dns-a-record": (
        lambda one: _flag(one.record.resource_name_a)
    ),
    "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": (
        lambda one: _flag(one.record.resource_name_aaaa)
    ),
    "private-dns-name-options-on-launch.hostname-type": lambda one: (one.record.hostname_type,),
    "state": lambda _: ("available",),
    "subnet-arn": lambda one: (one.arn,),
    "subnet-id": lambda one: (one.record.name,),
    "vpc-id": lambda one: (one.record.vpc_id,),
}


async def describe_subnets(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    records = named(
        services.network.subnets(call.account),
        params.get("SubnetIds"),
        lambda record: record.name,
        prefix="subnet",
        malformed=SubnetIdMalformed,
        missing=SubnetNotFound,
    )
    shelf = services.network.shelf(call.account)
    free = await free_addresses(services.capacities, shelf, records)
    everything = [
        _Found(
            record=record,
            free=free[record.name],
            arn=resource_arn(call, "subnet", record.name),
        )
        for record in records
    ]
    found = select(everything, params.get("Filters"), _FIELDS, lambda one: one.record.tags)
    found, token = page(found, params, lambda one: one.record.name, "SubnetIds")
    return with_token({"Subnets": [subnet_shown(call, one.record, one.free) for one in found]}, token)


OPERATIONS: dict[str, Operation] = {
    "CreateDefaultSubnet": create_default_subnet,
    "CreateSubnet": create_subnet,
    "DeleteSubnet": delete_subnet,
    "DescribeSubnets": describe_subnets,
}
