"""What EC2's operations tell policies of the VPCs and security groups that a request names, and of its new tags.

Reads only. Invariant: a group is asked for by its own ARN however it was named, so that no Deny is passed by its name.
"""

from ...authorize import Resource, Values, authorize, request_tags
from ...call import Call, Params
from ...services import Services
from .request import resource_arn


def region_key(call: Call) -> dict[str, Values]:
    return {"ec2:Region": call.region}


def authorize_describing(call: Call) -> None:
    """Lists are asked for as a whole."""
    authorize(call, f"ec2:{call.operation}", ["*"], region_key(call))


def tag_keys(params: Params) -> dict[str, Values]:
    """Of all the tags in TagSpecifications, before they are checked."""
    tags = [tag for one in params.get("TagSpecifications") or () for tag in one.get("Tags") or ()]
    return request_tags({tag.get("Key") or "": tag.get("Value") or "" for tag in tags}) if tags else {}


def authorize_tagging(call: Call, params: Params, resource: str) -> None:
    keys = tag_keys(params)
    if keys:
        authorize(call, "ec2:CreateTags", [resource], region_key(call) | keys | {"ec2:CreateAction": call.operation})


def vpc_resource(call: Call, services: Services, vpc_id: str | None) -> Resource:
    """The VPC that is named, else the account's default one."""
    default = services.network.default_vpc(call.account)
    named = vpc_id or (default.vpc_id if default is not None else "*")
    return Resource(arn=resource_arn(call, "vpc", named), keys={"ec2:VpcID": named})


def group_resource(call: Call, services: Services, params: Params) -> Resource:
    """The group of GroupId, or of GroupName in the default VPC.

    A refusal names it as the request did: who may not touch a group does not learn its id from its name.
    """
    given, name = params.get("GroupId"), params.get("GroupName")
    anything = resource_arn(call, "security-group", "*")
    group = None
    if given:
        group = services.network.security_group(call.account, given)
    elif name:
        default = services.network.default_vpc(call.account)
        group = None if default is None else services.network.security_group_named(call.account, default.vpc_id, name)
    if group is None:
        return Resource(arn=resource_arn(call, "security-group", given) if given else anything)
    return Resource(
        arn=resource_arn(call, "security-group", group.group_id),
        tags=dict(group.tags),
        keys={"ec2:SecurityGroupID": group.group_id, "ec2:Vpc": resource_arn(call, "vpc", group.vpc_id)},
        shown=None if given else anything,
    )
