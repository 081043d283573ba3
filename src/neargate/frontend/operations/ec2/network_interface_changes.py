"""What may be asked of one interface. Those of tasks and gateways are their services' own: changes are refused."""

from functools import partial
from typing import Any

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.addressing import interfaces
from ...network.errors.addresses import (
    AttachmentNotFound,
    AttachmentNotManaged,
    InterfaceInUse,
    ManagedByAService,
    NotBuilt,
)
from ...network.errors.common import (
    GroupIdMalformed,
    InvalidParameterCombination,
    MissingParameter,
    NetworkInterfaceIdMalformed,
    NetworkInterfaceNotFound,
)
from ...network.placing.interfaces import InterfacePlacing
from ...network.records.objects import NetworkInterface
from ...regional.shelves import Decide
from ...services import Operation, Services
from .asking import authorize_describing, group_resource, region_key
from .groups import all_enis
from .network_interfaces import completed
from .own_interfaces import interface_asked
from .request import check_id, resource_arn, stop_if_dry_run
from .routing import required, required_id

_ELASTIC = "ela-attach-"
_ATTRIBUTES = ("Description", "Groups", "SourceDestCheck")
_NOT_BUILT = (
    *("Attachment", "AssociatePublicIpAddress", "AssociatedSubnetIds", "ConnectionTrackingSpecification"),
    *("EnaSrdSpecification", "EnablePrimaryIpv6"),
)


async def describe_network_interface_attribute(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    interface_id = required_id(params, "NetworkInterfaceId", "eni", NetworkInterfaceIdMalformed)
    attribute = params.get("Attribute")
    if attribute is None:
        raise InvalidParameterCombination("No attributes specified.")
    stop_if_dry_run(params)
    eni = completed(call, services, await _required(call, services, interface_id))
    shown: dict[str, Any] = {
        "description": {"Description": {"Value": eni["Description"]}},
        "groupSet": {"Groups": eni["Groups"]},
        "sourceDestCheck": {"SourceDestCheck": {"Value": eni["SourceDestCheck"]}},
        "attachment": {"Attachment": eni["Attachment"]} if "Attachment" in eni else {},
        "associatePublicIpAddress": {"AssociatePublicIpAddress": "Association" in eni},
    }
    return {"NetworkInterfaceId": interface_id, **shown[attribute]}


async def _required(call: Call, services: Services, interface_id: str) -> dict[str, Any]:
    found = await all_enis(services, call.account, [interface_id])
    if not found:
        raise NetworkInterfaceNotFound([interface_id])
    return found[0]


def _resource(call: Call, interface_id: object) -> Resource:
    return Resource(arn=resource_arn(call, "network-interface", str(interface_id) if interface_id else "*"))


async def _asked(call: Call, services: Services, params: Params) -> tuple[str, bool]:
    """The interface of the request, which is there; whether it is a caller's."""
    groups: list[str] = params.get("Groups") or []
    asked = [interface_asked(call, services, params.get("NetworkInterfaceId"))]
    asked += [group_resource(call, services, {"GroupId": one}) for one in dict.fromkeys(groups)]
    authorize(call, f"ec2:{call.operation}", asked, region_key(call))
    interface_id = required_id(params, "NetworkInterfaceId", "eni", NetworkInterfaceIdMalformed)
    await _required(call, services, interface_id)
    return interface_id, services.network.shelf(call.account).find(NetworkInterface, interface_id) is not None


async def modify_network_interface_attribute(call: Call, services: Services, params: Params) -> Answer:
    interface_id, is_own = await _asked(call, services, params)
    if not is_own:
        raise ManagedByAService
    given = [name for name in (*_ATTRIBUTES, *_NOT_BUILT) if params.get(name) is not None]
    if not given:
        raise MissingParameter("attribute")
    if len(given) > 1:
        raise InvalidParameterCombination("Fields for multiple attribute types specified")
    for name in _NOT_BUILT:
        if params.get(name) is not None:
            raise NotBuilt(f"{name} is not supported: the interface is attached to nothing.")
    for one in params.get("Groups") or ():
        check_id(one, "sg", GroupIdMalformed)
    return await _modified(
        call,
        services,
        params,
        partial(
            interfaces.modify,
            interface_id=interface_id,
            description=(params.get("Description") or {}).get("Value"),
            groups=params.get("Groups"),
            source_dest_check=(params.get("SourceDestCheck") or {}).get("Value"),
        ),
    )


async def reset_network_interface_attribute(call: Call, services: Services, params: Params) -> Answer:
    """The one attribute that can be: sourceDestCheck."""
    interface_id, is_own = await _asked(call, services, params)
    if not is_own:
        raise ManagedByAService
    decide = partial(interfaces.modify, interface_id=interface_id, source_dest_check=True)
    return await _modified(call, services, params, decide)


async def _modified(call: Call, services: Services, params: Params, decide: Decide[None]) -> Answer:
    decide(services.network.shelf(call.account))  # what is refused is refused to a dry run as well
    stop_if_dry_run(params)
    await services.network.change(call.account, decide)
    return {}


async def delete_network_interface(call: Call, services: Services, params: Params) -> Answer:
    interface_id, is_own = await _asked(call, services, params)
    if not is_own:
        raise InterfaceInUse(interface_id)
    stop_if_dry_run(params)
    network = services.network
    gone = await network.change(call.account, lambda shelf: interfaces.delete(shelf, interface_id))
    await InterfacePlacing(network, services.capacities).let_go(gone)
    return {}


async def detach_network_interface(call: Call, services: Services, params: Params) -> Answer:
    """Leave is asked for any interface: whose attachment it is, is looked up only for who may ask."""
    authorize(call, "ec2:DetachNetworkInterface", [_resource(call, None)], region_key(call))
    given = required(params, "AttachmentId")
    enis = await all_enis(services, call.account)
    if not any(eni["Attachment"]["AttachmentId"] == given for eni in enis if "Attachment" in eni):
        raise AttachmentNotFound([given[:255]])
    if given.startswith(_ELASTIC):
        raise AttachmentNotManaged
    raise ManagedByAService


OPERATIONS: dict[str, Operation] = {
    "DeleteNetworkInterface": delete_network_interface,
    "DescribeNetworkInterfaceAttribute": describe_network_interface_attribute,
    "DetachNetworkInterface": detach_network_interface,
    "ModifyNetworkInterfaceAttribute": modify_network_interface_attribute,
    "ResetNetworkInterfaceAttribute": reset_network_interface_attribute,
}
