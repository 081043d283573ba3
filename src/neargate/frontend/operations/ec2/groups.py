"""Finding what an EC2 request names: groups by id or name, the default VPC, interfaces of all zones."""

from collections.abc import Mapping, Sequence
from typing import Any

from ....interfaces.roles import CapacityManager
from ....vpc.addresses import public_dns_name
from ...balancing.objects import LoadBalancer
from ...call import Call, Params
from ...network.addressing.addresses import elastic_users
from ...network.errors.common import GroupIdMalformed, GroupNotFound, MissingParameter, VpcNotFound
from ...network.records.objects import ElasticAddress, VpcEndpoint
from ...network.records.security_groups import SecurityGroupView
from ...regional.shelves import Shelf
from ...services import Services
from .own_interfaces import own_interfaces
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


def find_peer(call: Call, services: Services, group: SecurityGroupView, group_id: str | None, name: str | None) -> str:
    """What rules of `group` refer to: a group that is gone stays named by the rules that it has made stale."""
    if group_id and any(rule.spec.peer_group == group_id for rule in group.rules):
        return group_id
    return find_group(call, services, group_id, name)


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


async def public_addresses(services: Services) -> set[str]:
    """Those that tasks have, of all accounts."""
    return {one for manager in capacity_managers(services) for one in await manager.public_addresses()}


async def all_enis(services: Services, account: str, eni_ids: list[str] | None = None) -> list[dict[str, Any]]:
    """With the elastic addresses that gateways, nodes and tasks have, and groups of endpoints and load balancers: a
    zone does not know them."""
    found = [eni for manager in capacity_managers(services) for eni in await manager.describe_enis(account, eni_ids)]
    shelf = services.network.shelf(account)
    found += own_interfaces(shelf, services.region, eni_ids)
    elastic = elastic_associations(shelf, services.region)
    grouped = {place.eni_id: one.groups for one in shelf.all(VpcEndpoint) for place in one.interfaces}
    grouped |= {node.eni_id: one.groups for one in shelf.all(LoadBalancer) for node in one.nodes}
    elastic |= task_associations(shelf, found)
    known = [_associated(eni, elastic[eni["NetworkInterfaceId"]]) if _has(eni, elastic) else eni for eni in found]
    return [_grouped(eni, grouped) if eni["NetworkInterfaceId"] in grouped else eni for eni in known]


def _grouped(eni: dict[str, Any], grouped: Mapping[str | None, Sequence[str]]) -> dict[str, Any]:
    return eni | {"Groups": [{"GroupId": group} for group in grouped[eni["NetworkInterfaceId"]]]}


def elastic_associations(shelf: Shelf, region: str) -> dict[str, dict[str, Any]]:
    """Interface -> its Association, of gateways and of nodes."""
    return {
        one.eni_id: {
            "AllocationId": one.allocation_id,
            "AssociationId": one.association_id,
            "IpOwnerId": shelf.account,
            "PublicDnsName": public_dns_name(one.public_ip, region),
            "PublicIp": one.public_ip,
        }
        for one in elastic_users(shelf)
        if one.eni_id is not None and one.public_ip is not None
    }


def task_associations(shelf: Shelf, enis: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Interface -> its Association, of tasks that have elastic addresses of their services."""
    by_address = {one.public_ip: one for one in shelf.all(ElasticAddress)}
    return {
        eni["NetworkInterfaceId"]: eni["Association"]
        | {
            "AllocationId": by_address[eni["Association"]["PublicIp"]].name,
            "AssociationId": eni["NetworkInterfaceId"].replace("eni-", "eipassoc-", 1),
            "IpOwnerId": shelf.account,
        }
        for eni in enis
        if eni.get("Association", {}).get("PublicIp") in by_address
    }


def _has(eni: dict[str, Any], elastic: dict[str, dict[str, Any]]) -> bool:
    return eni["NetworkInterfaceId"] in elastic


def _associated(eni: dict[str, Any], association: dict[str, Any]) -> dict[str, Any]:
    addresses = [address | {"Association": association} for address in eni["PrivateIpAddresses"]]
    return eni | {"Association": association, "PrivateIpAddresses": addresses}
