"""RunTask's networkConfiguration resolved: subnets, security groups, public address.

Owns AWS's words for what is wrong with it; the objects are the network registry's. Invariant: what comes out lies in
one VPC of the caller's account.
"""

import msgspec

from ....model.capacity import SubnetView
from ....model.errors import InvalidParameter
from ....model.quotas import SECURITY_GROUPS_PER_INTERFACE
from ...call import Call, Params
from ...services import Services

SUBNETS_MAX = 16


class TaskNetwork(msgspec.Struct, frozen=True, kw_only=True):
    subnets: tuple[SubnetView, ...]
    security_groups: tuple[str, ...]
    assign_public_ip: bool


def resolve_network(call: Call, services: Services, params: Params) -> TaskNetwork:
    """Raises InvalidParameterException. All of it is served from memory."""
    given = (params.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if not given:
        raise InvalidParameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    subnet_ids = list(dict.fromkeys(given.get("subnets") or ()))
    group_ids = list(dict.fromkeys(given.get("securityGroups") or ()))
    if not subnet_ids:
        raise InvalidParameter("subnets can not be empty.")
    if len(subnet_ids) > SUBNETS_MAX:
        raise InvalidParameter(f"subnets can have at most {SUBNETS_MAX} items.")
    groups_max = _groups_max(call, services)
    if len(group_ids) > groups_max:
        raise InvalidParameter(f"securityGroups can have at most {groups_max:.0f} items.")
    subnets = _subnets(call, services, subnet_ids)
    vpc_id = subnets[0].vpc_id
    if any(subnet.vpc_id != vpc_id for subnet in subnets):
        raise InvalidParameter("The subnets provided do not all belong to the same VPC.")
    return TaskNetwork(
        subnets=subnets,
        security_groups=_groups(call, services, group_ids, vpc_id),
        assign_public_ip=given.get("assignPublicIp") == "ENABLED",
    )


def _groups_max(call: Call, services: Services) -> float:
    quota = SECURITY_GROUPS_PER_INTERFACE
    found = None if services.limits is None else services.limits.quotas.value(call.account, quota)
    return quota.value if found is None else found


def _subnets(call: Call, services: Services, subnet_ids: list[str]) -> tuple[SubnetView, ...]:
    found: list[SubnetView] = []
    for subnet_id in subnet_ids:
        subnet = services.network.subnet(call.account, subnet_id)
        if subnet is None:
            raise InvalidParameter(
                f"Error retrieving subnet information for [{', '.join(subnet_ids)}]: "
                f"The subnet ID '{subnet_id}' does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )
        found.append(subnet)
    return tuple(found)


def _groups(call: Call, services: Services, group_ids: list[str], vpc_id: str) -> tuple[str, ...]:
    if not group_ids:
        return (services.network.default_security_group(call.account, vpc_id),)
    for group_id in group_ids:
        group = services.network.security_group(call.account, group_id)
        if group is None:
            raise InvalidParameter(
                f"Error retrieving security group information for [{', '.join(group_ids)}]: "
                f"The security group '{group_id}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            )
        if group.vpc_id != vpc_id:
            raise InvalidParameter(
                f"Security group {group_id} does not appear to belong to the same VPC as the input subnets."
            )
    return tuple(group_ids)
