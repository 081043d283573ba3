"""What may be asked of one interface. All are their services' own, ECS's or a gateway's, so changes are refused."""

from typing import Any

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.address_errors import AttachmentNotFound, AttachmentNotManaged, InterfaceInUse, ManagedByAService
from ...network.errors import InvalidParameterCombination, NetworkInterfaceIdMalformed, NetworkInterfaceNotFound
from ...services import Operation, Services
from .asking import authorize_describing, region_key
from .groups import all_enis
from .network_interfaces import completed
from .request import resource_arn, stop_if_dry_run
from .routing import required, required_id

_ELASTIC = "ela-attach-"


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
        "attachment": {"Attachment": eni["Attachment"]},
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


async def _of_a_service(call: Call, services: Services, params: Params) -> str:
    """The interface of the request, which is there and is no caller's."""
    authorize(call, f"ec2:{call.operation}", [_resource(call, params.get("NetworkInterfaceId"))], region_key(call))
    interface_id = required_id(params, "NetworkInterfaceId", "eni", NetworkInterfaceIdMalformed)
    await _required(call, services, interface_id)
    return interface_id


async def modify_network_interface_attribute(call: Call, services: Services, params: Params) -> Answer:
    await _of_a_service(call, services, params)
    raise ManagedByAService


async def delete_network_interface(call: Call, services: Services, params: Params) -> Answer:
    raise InterfaceInUse(await _of_a_service(call, services, params))


async def detach_network_interface(call: Call, services: Services, params: Params) -> Answer:
    """Leave is asked for any interface: whose attachment it is, is looked up only for who may ask."""
    authorize(call, "ec2:DetachNetworkInterface", [_resource(call, None)], region_key(call))
    given = required(params, "AttachmentId")
    enis = await all_enis(services, call.account)
    if not any(eni["Attachment"]["AttachmentId"] == given for eni in enis):
        raise AttachmentNotFound([given[:255]])
    if given.startswith(_ELASTIC):
        raise AttachmentNotManaged
    raise ManagedByAService


OPERATIONS: dict[str, Operation] = {
    "DeleteNetworkInterface": delete_network_interface,
    "DescribeNetworkInterfaceAttribute": describe_network_interface_attribute,
    "DetachNetworkInterface": detach_network_interface,
    "ModifyNetworkInterfaceAttribute": modify_network_interface_attribute,
    "ResetNetworkInterfaceAttribute": modify_network_interface_attribute,
}
