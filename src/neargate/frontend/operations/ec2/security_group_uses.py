"""DescribeSecurityGroupReferences, DescribeStaleSecurityGroups, GetSecurityGroupsForVpc. Reads only."""

from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import GroupIdMalformed, VpcIdMalformed, VpcNotFound
from ...network.filters.groups import required_group
from ...network.peering import groups as peer_groups
from ...network.records.objects import Vpc
from ...network.records.security_groups import RuleSpec, SecurityGroupView
from ...services import Operation, Services
from .asking import authorize_describing, region_key, vpc_resource
from .filters import Field, select
from .permissions import specs_shown
from .request import check_id, page, stop_if_dry_run, tag_list, with_token


async def describe_references(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    shelf = services.network.shelf(call.account)
    for group_id in params["GroupId"]:
        check_id(group_id, "sg", GroupIdMalformed)
        required_group(shelf, group_id)
    stop_if_dry_run(params)
    shown = [
        {"GroupId": one.group_id, "ReferencingVpcId": one.vpc_id, "VpcPeeringConnectionId": one.peering_id}
        for one in peer_groups.references(shelf, params["GroupId"])
    ]
    return {"SecurityGroupReferenceSet": shown}


async def describe_stale(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    _check_vpc(call, services, params["VpcId"])
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    stale = list(peer_groups.stale_groups(shelf, params["VpcId"]))
    found, token = page(stale, params, lambda one: one[0].name, "StaleGroups")
    status = peer_groups.statuses(shelf, call.now)
    return with_token({"StaleSecurityGroupSet": [_stale_shown(*one, status) for one in found]}, token)


def _stale_shown(group: SecurityGroupView, stale: list[RuleSpec], status: peer_groups.Status) -> dict[str, Any]:
    inwards, outwards = (
        [_stale_permission(one) for one in specs_shown(specs, group.account, status)]
        for specs in ([one for one in stale if not one.is_egress], [one for one in stale if one.is_egress])
    )
    return {
        "Description": group.description,
        "GroupId": group.group_id,
        "GroupName": group.group_name,
        "StaleIpPermissions": inwards,
        "StaleIpPermissionsEgress": outwards,
        "VpcId": group.vpc_id,
    }


def _stale_permission(shown: dict[str, Any]) -> dict[str, Any]:
    """Here networks and lists are mere texts; a stale rule has none."""
    return {name: value for name, value in shown.items() if name != "Ipv6Ranges"}


def _check_vpc(call: Call, services: Services, vpc_id: str) -> None:
    check_id(vpc_id, "vpc", VpcIdMalformed)
    if services.network.shelf(call.account).find(Vpc, vpc_id) is None:
        raise VpcNotFound([vpc_id])


_FIELDS: dict[str, Field[SecurityGroupView]] = {
    "description": lambda group: (group.description,),
    "group-id": lambda group: (group.group_id,),
    "group-name": lambda group: (group.group_name,),
    "owner-id": lambda group: (group.account,),
    "primary-vpc-id": lambda group: (group.vpc_id,),
}


def _id(group: SecurityGroupView) -> str:
    return group.group_id


async def get_for_vpc(call: Call, services: Services, params: Params) -> Answer:
    """Those that interfaces in the VPC can have: its own."""
    vpc_id = params["VpcId"]
    authorize(call, "ec2:GetSecurityGroupsForVpc", [vpc_resource(call, services, vpc_id)], region_key(call))
    _check_vpc(call, services, vpc_id)
    stop_if_dry_run(params)
    groups = [group for group in services.network.security_groups(call.account) if group.vpc_id == vpc_id]
    found = select(groups, params.get("Filters"), _FIELDS, lambda group: group.tags)
    found, token = page(found, params, _id, f"Groups of {vpc_id}")
    return with_token({"SecurityGroupForVpcs": [_shown(group) for group in found]}, token)


def _shown(group: SecurityGroupView) -> dict[str, Any]:
    return {
        "Description": group.description,
        "GroupName": group.group_name,
        "OwnerId": group.account,
        "GroupId": group.group_id,
        "Tags": tag_list(group.tags),
        "PrimaryVpcId": group.vpc_id,
    }


OPERATIONS: dict[str, Operation] = {
    "DescribeSecurityGroupReferences": describe_references,
    "DescribeStaleSecurityGroups": describe_stale,
    "GetSecurityGroupsForVpc": get_for_vpc,
}
