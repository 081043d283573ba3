"""CreateSecurityGroup, DeleteSecurityGroup, DescribeSecurityGroups."""

import re
from typing import Any

from ...authorize import Resource, authorize
from ...balancing.lookup import carries_group
from ...call import Answer, Call, Params
from ...network.errors.common import (
    GroupIdMalformed,
    GroupNotFound,
    GroupReserved,
    InvalidParameterValue,
    MissingParameter,
    VpcIdMalformed,
)
from ...network.peering.groups import Status, statuses
from ...network.records.security_groups import SecurityGroupView
from ...services import Services
from .asking import authorize_describing, authorize_tagging, group_resource, region_key, tag_keys, vpc_resource
from .filters import Field, select
from .groups import all_enis, default_vpc_id, find_group, required_group
from .permissions import permissions_shown
from .request import check_id, named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .tags import tags_from

_NAME = re.compile(r"^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{1,255}$")


async def create_security_group(call: Call, services: Services, params: Params) -> Answer:
    name, description = params.get("GroupName"), params.get("Description")
    made = resource_arn(call, "security-group", "*")
    resources = [vpc_resource(call, services, params.get("VpcId")), Resource(arn=made, keys=tag_keys(params))]
    authorize(call, "ec2:CreateSecurityGroup", resources, region_key(call))
    authorize_tagging(call, params, made)
    vpc_id = params.get("VpcId") or default_vpc_id(call, services)
    if not name:
        raise MissingParameter("GroupName")
    if not description:
        raise MissingParameter("GroupDescription")
    _check_text("GroupName", name)
    _check_text("GroupDescription", description)
    if name.lower().startswith("sg-"):
        raise InvalidParameterValue(
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
        )
    if name == "default":
        raise GroupReserved("The security group 'default' is reserved")
    check_id(vpc_id, "vpc", VpcIdMalformed)
    tags = tags_from(params, "security-group")
    stop_if_dry_run(params)
    group = await services.network.create_group(call.account, vpc_id, name, description, tags)
    return {
        "GroupId": group.group_id,
        "Tags": tag_list(group.tags),
        "SecurityGroupArn": resource_arn(call, "security-group", group.group_id),
    }


def _check_text(parameter: str, given: str) -> None:
    if not _NAME.fullmatch(given):
        raise InvalidParameterValue(
            f"Value ({given[:255]}) for parameter {parameter} is invalid. "
            "Character sets beyond a-zA-Z0-9. _-:/()#,@[]+=&;{}!$* or more than 255 characters are not supported."
        )


async def delete_security_group(call: Call, services: Services, params: Params) -> Answer:
    if params.get("GroupId") is None and params.get("GroupName") is None:
        authorize(call, "ec2:DeleteSecurityGroup", ["*"], region_key(call))
        raise MissingParameter("groupName or groupId")
    authorize(call, "ec2:DeleteSecurityGroup", [group_resource(call, services, params)], region_key(call))
    group = required_group(call, services, params)
    stop_if_dry_run(params)
    enis = await all_enis(services, call.account)
    carried = any(one["GroupId"] == group.group_id for eni in enis for one in eni["Groups"])
    await services.network.delete_group(
        call.account, group.group_id, in_use=lambda shelf: carried or carries_group(shelf, group.group_id)
    )
    return {"Return": True, "GroupId": group.group_id}


def _permission_fields(prefix: str, *, is_egress: bool) -> dict[str, Field[SecurityGroupView]]:
    """`ip-permission.*` and `egress.ip-permission.*`."""

    def of(choose: Any) -> Field[SecurityGroupView]:
        return lambda group: (
            value
            for rule in group.rules
            if rule.spec.is_egress == is_egress and (value := choose(group, rule.spec)) is not None
        )

    return {
        f"{prefix}.cidr": of(lambda _, spec: spec.cidr_ipv4),
        f"{prefix}.ipv6-cidr": of(lambda _, spec: spec.cidr_ipv6),
        f"{prefix}.from-port": of(lambda _, spec: str(spec.from_port)),
        f"{prefix}.to-port": of(lambda _, spec: str(spec.to_port)),
        f"{prefix}.protocol": of(lambda _, spec: spec.protocol),
        f"{prefix}.group-id": of(lambda _, spec: spec.peer_group),
        f"{prefix}.group-name": of(lambda _, __: None),  # rules of a VPC are by id, and EC2 finds none by name
        f"{prefix}.user-id": of(lambda group, spec: group.account if spec.peer_group else None),
        f"{prefix}.prefix-list-id": of(lambda _, spec: spec.prefix_list),
    }


_FIELDS: dict[str, Field[SecurityGroupView]] = {
    "description": lambda group: (group.description,),
    "group-id": lambda group: (group.group_id,),
    "group-name": lambda group: (group.group_name,),
    "owner-id": lambda group: (group.account,),
    "vpc-id": lambda group: (group.vpc_id,),
    **_permission_fields("ip-permission", is_egress=False),
    **_permission_fields("egress.ip-permission", is_egress=True),
}


async def describe_security_groups(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    names = params.get("GroupNames") or []
    by_name = [find_group(call, services, None, name) for name in names]
    wanted = [*(params.get("GroupIds") or []), *by_name]
    found = named(
        services.network.security_groups(call.account),
        wanted,
        lambda group: group.group_id,
        prefix="sg",
        malformed=GroupIdMalformed,
        missing=lambda missing: GroupNotFound.of_id(missing[0]),
    )
    found = select(found, params.get("Filters"), _FIELDS, lambda group: group.tags)
    found, token = page(found, params, lambda group: group.group_id, "GroupIds")
    status = statuses(services.network.shelf(call.account), call.now)
    return with_token({"SecurityGroups": [_shown(call, group, status) for group in found]}, token)


def _shown(call: Call, group: SecurityGroupView, status: Status) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "GroupId": group.group_id,
        "IpPermissionsEgress": permissions_shown(group, status, is_egress=True),
        "VpcId": group.vpc_id,
        "SecurityGroupArn": resource_arn(call, "security-group", group.group_id),
        "OwnerId": group.account,
        "GroupName": group.group_name,
        "Description": group.description,
        "IpPermissions": permissions_shown(group, status, is_egress=False),
    }
    return shown | ({"Tags": tag_list(group.tags)} if group.tags else {})
