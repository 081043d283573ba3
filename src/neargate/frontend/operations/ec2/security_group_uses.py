"""DescribeSecurityGroupReferences, DescribeStaleSecurityGroups, GetSecurityGroupsForVpc.

Rules refer to groups of their own VPC only, and a group that a rule refers to stays: so no other VPC refers to a group,
and no rule is stale.
"""

from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors import GroupIdMalformed, VpcIdMalformed, VpcNotFound
from ...network.group_changes import required_group
from ...network.objects import Vpc
from ...network.security_groups import SecurityGroupView
from ...services import Operation, Services
from .asking import authorize_describing, region_key, vpc_resource
from .filters import Field, select
from .request import check_id, page, stop_if_dry_run, tag_list, with_token


async def describe_references(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    for group_id in params["GroupId"]:
        check_id(group_id, "sg", GroupIdMalformed)
        required_group(services.network.shelf(call.account), group_id)
    stop_if_dry_run(params)
    return {"SecurityGroupReferenceSet": []}


async def describe_stale(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    _check_vpc(call, services, params["VpcId"])
    stop_if_dry_run(params)
    found, token = page(list[SecurityGroupView](), params, _id, "StaleGroups")
    return with_token({"StaleSecurityGroupSet": found}, token)


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
