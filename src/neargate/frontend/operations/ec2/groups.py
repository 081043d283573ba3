"""Finding what an EC2 request names: groups by id or name, the default VPC, interfaces of all zones."""

from typing import Any

from ....interfaces.roles import CapacityManager
from ...call import Call, Params
from ...network.errors import GroupIdMalformed, GroupNotFound, MissingParameter, VpcNotFound
from ...network.security_groups import SecurityGroupView
from ...services import Services
from .request import check_id


def default_vpc_id(call: Call, services: Services) -> str:
    """Raises VpcNotFound for an account without a default VPC."""
    vpc = services.network.default_vpc(call.account)
    if vpc is None:
        raise VpcNotFound(["default"])
    return vpc.vpc_id


def find_group(call: Call, services: Services, group_id: str | None, name: str | None) -> str:
    """The id of a group named by id, or by name in the default VPC. Raises GroupIdMalformed, GroupNotFound."""
    if group_id:
        check_id(group_id, "sg", GroupIdMalformed)
        if services.network.security_group(call.account, group_id) is None:
            raise GroupNotFound.of_id(group_id)
        return group_id
    if not name:
        raise MissingParameter("groupName or groupId")
    vpc_id = default_vpc_id(call, services)
    group = services.network.security_group_named(call.account, vpc_id, name)
    if group is None:
        raise GroupNotFound.of_name(name[:255], vpc_id)
    return group.group_id


def required_group(call: Call, services: Services, params: Params) -> SecurityGroupView:
    """The group of `GroupId` or `GroupName`."""
    group_id = find_group(call, services, params.get("GroupId"), params.get("GroupName"))
    group = services.network.security_group(call.account, group_id)
    assert group is not None  # found a line above, and nothing waited in between
    return group


def capacity_managers(services: Services) -> list[CapacityManager]:
    """Each once: the zones of one machine share theirs."""
    managers: list[CapacityManager] = []
    for manager in services.capacities.values():
        if not any(manager is known for known in managers):
            managers.append(manager)
    return managers


async def all_enis(services: Services, account: str, eni_ids: list[str] | None = None) -> list[dict[str, Any]]:
    return [eni for manager in capacity_managers(services) for eni in await manager.describe_enis(account, eni_ids)]
