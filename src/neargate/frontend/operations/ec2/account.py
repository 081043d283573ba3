"""DescribeAccountAttributes, DescribeRegions. A region knows of no other."""

from ....model.quotas import BY_KEY, SECURITY_GROUPS_PER_INTERFACE
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterValue
from ...services import Operation, Services
from .asking import authorize_describing
from .filters import Field, select
from .request import stop_if_dry_run

_ADDRESSES = "ec2/L-0263D0A3"  # the quota of elastic addresses
_ADDRESSES_USUAL = 5
_INSTANCES = "0"  # there are no instances


async def describe_account_attributes(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    values = _attributes(call, services)
    wanted = params.get("AttributeNames") or list(values)
    for name in wanted:
        if name not in values:
            raise InvalidParameterValue(f"Unknown attribute name: {name[:100]}")
    return {
        "AccountAttributes": [
            {"AttributeName": name, "AttributeValues": [{"AttributeValue": value}]}
            for name, value in values.items()
            if name in wanted
        ]
    }


def _attributes(call: Call, services: Services) -> dict[str, str]:
    network = services.network
    default = network.default_vpc(call.account)
    addresses = BY_KEY.get(_ADDRESSES)
    addresses_max = f"{_ADDRESSES_USUAL if addresses is None else network.quota(call.account, addresses):.0f}"
    return {
        "supported-platforms": "VPC",
        "default-vpc": default.vpc_id if default is not None else "none",
        "max-instances": _INSTANCES,
        "vpc-max-security-groups-per-interface": f"{network.quota(call.account, SECURITY_GROUPS_PER_INTERFACE):.0f}",
        "max-elastic-ips": addresses_max,
        "vpc-max-elastic-ips": addresses_max,
    }


_NEEDS_NO_OPT_IN = "opt-in-not-required"
_FIELDS: dict[str, Field[str]] = {
    "endpoint": lambda region: (_endpoint(region),),
    "opt-in-status": lambda _: (_NEEDS_NO_OPT_IN,),
    "region-name": lambda region: (region,),
}


def _endpoint(region: str) -> str:
    """AWS's name of it: callers know this region's endpoint, or they would not be here."""
    return f"ec2.{region}.amazonaws.com"


async def describe_regions(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    for name in params.get("RegionNames") or ():
        if name != services.region:
            raise InvalidParameterValue(f"Invalid region name: [{name[:100]}]")
    return {
        "Regions": [
            {"RegionName": region, "Endpoint": _endpoint(region), "OptInStatus": _NEEDS_NO_OPT_IN}
            for region in select([services.region], params.get("Filters"), _FIELDS)
        ]
    }


OPERATIONS: dict[str, Operation] = {
    "DescribeAccountAttributes": describe_account_attributes,
    "DescribeRegions": describe_regions,
}
