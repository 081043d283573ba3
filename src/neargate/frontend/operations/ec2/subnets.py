"""DescribeSubnets. How many addresses are left is asked of each subnet's zone."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from ....vpc.addresses import subnet_range
from ...call import Answer, Call, Params
from ...network.errors import SubnetIdMalformed, SubnetNotFound
from ...network.objects import Subnet
from ...services import Services
from .asking import authorize_describing
from .filters import Field, select
from .request import named, page, resource_arn, stop_if_dry_run, with_token


class _Shown(Struct, frozen=True, kw_only=True):
    record: Subnet
    free: int
    arn: str


_FIELDS: dict[str, Field[_Shown]] = {
    "availability-zone": lambda one: (one.record.zone,),
    "availabilityZone": lambda one: (one.record.zone,),
    "availability-zone-id": lambda one: (one.record.zone_id,),
    "availabilityZoneId": lambda one: (one.record.zone_id,),
    "available-ip-address-count": lambda one: (str(one.free),),
    "cidr": lambda one: (one.record.cidr,),
    "cidrBlock": lambda one: (one.record.cidr,),
    "cidr-block": lambda one: (one.record.cidr,),
    "default-for-az": lambda one: (str(one.record.default_for_zone).lower(),),
    "defaultForAz": lambda one: (str(one.record.default_for_zone).lower(),),
    "ipv6-cidr-block-association.association-id": lambda _: (),
    "ipv6-cidr-block-association.ipv6-cidr-block": lambda _: (),
    "ipv6-cidr-block-association.state": lambda _: (),
    "ipv6-native": lambda _: ("false",),
    "map-public-ip-on-launch": lambda one: (str(one.record.map_public_ip).lower(),),
    "outpost-arn": lambda _: (),
    "owner-id": lambda one: (one.record.account,),
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
    used = await _usage(services, records)
    shown = [
        _Shown(
            record=record,
            free=max(0, subnet_range(record.cidr).size - used.get(record.name, 0)),
            arn=resource_arn(call, "subnet", record.name),
        )
        for record in records
    ]
    found = select(shown, params.get("Filters"), _FIELDS, lambda _: ())
    found, token = page(found, params, lambda one: one.record.name, "SubnetIds")
    return with_token({"Subnets": [_members(one) for one in found]}, token)


async def _usage(services: Services, records: Sequence[Subnet]) -> dict[str, int]:
    by_zone: dict[str, list[str]] = {}
    for record in records:
        by_zone.setdefault(record.zone, []).append(record.name)
    used: dict[str, int] = {}
    for zone, subnet_ids in by_zone.items():
        capacity = services.capacities.get(zone)
        if capacity is not None:
            used.update(await capacity.subnet_usage(subnet_ids))
    return used


def _members(one: _Shown) -> dict[str, Any]:
    subnet = one.record
    return {
        "AvailabilityZone": subnet.zone,
        "AvailabilityZoneId": subnet.zone_id,
        "AvailableIpAddressCount": one.free,
        "CidrBlock": subnet.cidr,
        "DefaultForAz": one.record.default_for_zone,
        "MapPublicIpOnLaunch": one.record.map_public_ip,
        "MapCustomerOwnedIpOnLaunch": False,
        "State": "available",
        "SubnetId": subnet.name,
        "VpcId": subnet.vpc_id,
        "OwnerId": one.record.account,
        "AssignIpv6AddressOnCreation": False,
        "Ipv6CidrBlockAssociationSet": [],
        "SubnetArn": one.arn,
        "EnableDns64": False,
        "Ipv6Native": False,
        "PrivateDnsNameOptionsOnLaunch": {
            "HostnameType": "ip-name",
            "EnableResourceNameDnsARecord": False,
            "EnableResourceNameDnsAAAARecord": False,
        },
    }
