"""CreateNetworkInterface, AttachNetworkInterface, AssignPrivateIpAddresses, UnassignPrivateIpAddresses.

Such an interface holds addresses of its subnet. There are no instances, so nothing is ever attached to it, and no
packet comes of it or to it.
"""

import re
from functools import partial
from ipaddress import AddressValueError, IPv4Address
from typing import Any

from ....model.quotas import NETWORK_INTERFACES_PER_REGION
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.addressing import interfaces
from ...network.addressing.interfaces import WantedInterface
from ...network.errors.addresses import ManagedByAService, NotBuilt
from ...network.errors.common import (
    GroupIdMalformed,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    NetworkInterfaceIdMalformed,
    SubnetIdMalformed,
)
from ...network.errors.interfaces import InstanceIdMalformed, InstanceIdMissing
from ...network.placing.interfaces import InterfacePlacing
from ...network.records.objects import NetworkInterface
from ...regional.shelves import Change, Shelf
from ...services import Operation, Services
from .asking import authorize_tagging, group_resource, region_key, tag_keys
from .groups import all_enis
from .network_interfaces import completed
from .own_interfaces import interface_asked, own_interface
from .request import check_id, client_token, resource_arn, stop_if_dry_run
from .routing import new, required_id, subnet_resource
from .tags import tags_from

_KIND = "network-interface"
_DESCRIPTION = re.compile(r"[^\x00-\x1f]{0,255}")
_NOT_BUILT = (
    *("Ipv4Prefixes", "Ipv4PrefixCount", "Ipv6Prefixes", "Ipv6PrefixCount", "Ipv6Addresses", "Ipv6AddressCount"),
    *("EnablePrimaryIpv6", "ConnectionTrackingSpecification", "Operator"),
)
_PREFIXES = ("Ipv4Prefixes", "Ipv4PrefixCount")


async def create_network_interface(call: Call, services: Services, params: Params) -> Answer:
    groups: list[str] = params.get("Groups") or []
    resources: list[Resource] = [
        new(call, _KIND, tag_keys(params)),
        subnet_resource(call, services, params.get("SubnetId")),
        *(group_resource(call, services, {"GroupId": one}) for one in dict.fromkeys(groups)),
    ]
    authorize(call, "ec2:CreateNetworkInterface", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    for name in _NOT_BUILT:
        if params.get(name):
            raise NotBuilt(f"{name} is not supported.")
    if params.get("InterfaceType", "interface") != "interface":
        raise NotBuilt("InterfaceType is not supported: there are no instances, whose interfaces have types.")
    subnet_id = required_id(params, "SubnetId", "subnet", SubnetIdMalformed)
    for one in groups:
        check_id(one, "sg", GroupIdMalformed)
    description = params.get("Description") or ""
    if not _DESCRIPTION.fullmatch(description):
        raise InvalidParameterValue("Invalid value for parameter description: at most 255 characters.")
    wanted = WantedInterface(
        subnet_id=subnet_id,
        addresses=_addresses(params),
        groups=tuple(groups),
        description=description,
        requester=call.principal.user_id or call.account,
        client_token=client_token(params),
        tags=tags_from(params, _KIND),
    )
    network, now = services.network, services.world.now()
    interfaces_max = network.quota(call.account, NETWORK_INTERFACES_PER_REGION)
    decide = partial(interfaces.create, wanted=wanted, interfaces_max=interfaces_max, now=now, bits=network.bits)
    decide(network.shelf(call.account))  # what is refused is refused to a dry run as well
    stop_if_dry_run(params)
    made = await network.change(call.account, decide)
    if not made.is_there:
        places = [one.place for one in made.addresses]
        made = await InterfacePlacing(network, services.capacities).hold(made, places)
    answer: dict[str, Any] = {"NetworkInterface": _shown(call, services, made) | {"Status": "pending"}}
    return answer | ({"ClientToken": wanted.client_token} if wanted.client_token is not None else {})


def _shown(call: Call, services: Services, made: NetworkInterface) -> dict[str, Any]:
    """As it was made: another call may have deleted it by now."""
    shown = own_interface(services.network.shelf(call.account), services.region, made)
    return completed(call, services, shown)


def _addresses(params: Params) -> tuple[str | None, ...]:
    """The primary one first; None: any. Raises what EC2 says of parameters that do not go together."""
    primary = _address(params["PrivateIpAddress"]) if params.get("PrivateIpAddress") else None
    listed = [(_address(one.get("PrivateIpAddress")), bool(one.get("Primary"))) for one in _listed(params)]
    primaries = [one for one, is_primary in listed if is_primary]
    if len(primaries) + (primary is not None) > 1:
        raise InvalidParameterValue("Only one primary private IP address can be specified.")
    others: list[str | None] = [one for one, is_primary in listed if not is_primary]
    count = params.get("SecondaryPrivateIpAddressCount")
    if count is not None:
        if others:
            raise InvalidParameterCombination(
                "The parameter secondaryPrivateIpAddressCount cannot be used with the parameter privateIpAddresses"
            )
        others = _any(count)
    elif others and not primaries and primary is None:
        primary, *others = others  # none is said to be
    return (primaries[0] if primaries else primary, *others)


def _listed(params: Params) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = params.get("PrivateIpAddresses") or []
    return listed


def _any(count: int) -> list[str | None]:
    """Raises InvalidParameterValue."""
    if not 0 <= count <= interfaces.ADDRESSES_MAX:
        raise InvalidParameterValue(f"Value ({count}) for parameter secondaryPrivateIpAddressCount is invalid.")
    return [None] * count


def _address(given: str | None) -> str:
    """Raises MissingParameter, InvalidParameterValue."""
    if not given:
        raise MissingParameter("privateIpAddress")
    try:
        return str(IPv4Address(given))
    except AddressValueError:
        raise InvalidParameterValue(
            f"Value ({given[:64]}) for parameter address is invalid. It is no address."
        ) from None


async def attach_network_interface(call: Call, services: Services, params: Params) -> Answer:
    """Always refused: there is no instance."""
    instance_id = str(params.get("InstanceId") or "")
    instance = Resource(arn=resource_arn(call, "instance", instance_id or "*"))
    asked = [interface_asked(call, services, params.get("NetworkInterfaceId")), instance]
    authorize(call, "ec2:AttachNetworkInterface", asked, region_key(call))
    interface_id = required_id(params, "NetworkInterfaceId", "eni", NetworkInterfaceIdMalformed)
    if not instance_id:
        raise MissingParameter("instanceId")
    check_id(instance_id, "i", InstanceIdMalformed)
    if not await all_enis(services, call.account, [interface_id]):
        interfaces.required_interface(services.network.shelf(call.account), interface_id)
    raise InstanceIdMissing([instance_id])


async def _own(call: Call, services: Services, params: Params) -> str:
    """The id of the caller's interface. Raises ManagedByAService for one of a task or a gateway."""
    asked = interface_asked(call, services, params.get("NetworkInterfaceId"))
    authorize(call, f"ec2:{call.operation}", [asked], region_key(call))
    interface_id = required_id(params, "NetworkInterfaceId", "eni", NetworkInterfaceIdMalformed)
    shelf = services.network.shelf(call.account)
    if shelf.find(NetworkInterface, interface_id) is None and await all_enis(services, call.account, [interface_id]):
        raise ManagedByAService
    interfaces.required_interface(shelf, interface_id)
    if any(params.get(name) for name in _PREFIXES):
        raise NotBuilt("Prefixes are not supported.")
    return interface_id


async def assign_private_ip_addresses(call: Call, services: Services, params: Params) -> Answer:
    interface_id = await _own(call, services, params)
    given, count = params.get("PrivateIpAddresses") or [], params.get("SecondaryPrivateIpAddressCount")
    if given and count is not None:
        raise InvalidParameterCombination(
            "The parameter secondaryPrivateIpAddressCount cannot be used with the parameter privateIpAddresses"
        )
    if not given and not count:
        raise MissingParameter("privateIpAddresses or secondaryPrivateIpAddressCount")
    wanted = [_address(one) for one in given] if given else _any(count or 0)
    network, now = services.network, services.world.now()

    def decide(shelf: Shelf) -> Change[tuple[NetworkInterface, set[str]]]:
        """With the places of this call's addresses."""
        before = {one.place for one in interfaces.required_interface(shelf, interface_id).addresses}
        change = interfaces.add_addresses(shelf, interface_id, wanted, now, network.bits)
        return Change(result=(change.result, {one.place for one in change.result.addresses} - before), put=change.put)

    changed, places = await network.change(call.account, decide)
    if places:
        changed = await InterfacePlacing(network, services.capacities).hold(changed, places)
    new = [one.private_ip for one in changed.held if one.place in places]
    return {
        "NetworkInterfaceId": interface_id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": one} for one in new],
    }


async def unassign_private_ip_addresses(call: Call, services: Services, params: Params) -> Answer:
    interface_id = await _own(call, services, params)
    unwanted = [_address(one) for one in params.get("PrivateIpAddresses") or ()]
    if not unwanted:
        raise MissingParameter("privateIpAddresses")
    network = services.network
    changed = await network.change(
        call.account, lambda shelf: interfaces.remove_addresses(shelf, interface_id, unwanted)
    )
    await InterfacePlacing(network, services.capacities).let_go(changed)
    return {}


OPERATIONS: dict[str, Operation] = {
    "AssignPrivateIpAddresses": assign_private_ip_addresses,
    "AttachNetworkInterface": attach_network_interface,
    "CreateNetworkInterface": create_network_interface,
    "UnassignPrivateIpAddresses": unassign_private_ip_addresses,
}
