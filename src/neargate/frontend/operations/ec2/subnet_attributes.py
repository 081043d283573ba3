"""ModifySubnetAttribute, AssociateSubnetCidrBlock, DisassociateSubnetCidrBlock."""

from ipaddress import IPv6Address, IPv6Network
from typing import Any

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterCombination, MissingParameter
from ...network.errors.vpcs import NotOffered, SubnetAssociationNotFound, ValueInvalid
from ...network.vpcs import subnets as subnet_changes
from ...services import Operation, Services
from .asking import region_key
from .groups import all_enis
from .routing import unnamed
from .vpc_objects import ASSOCIATING, DISASSOCIATING, subnet_asked, subnet_id_of, subnet_ipv6_shown
from .vpcs import check_pools

# A flag of the request -> the record's field.
_FLAGS = {
    "AssignIpv6AddressOnCreation": "assign_ipv6",
    "MapPublicIpOnLaunch": "map_public_ip",
    "EnableDns64": "dns64",
    "EnableResourceNameDnsARecordOnLaunch": "resource_name_a",
    "EnableResourceNameDnsAAAARecordOnLaunch": "resource_name_aaaa",
}
# What is of Outposts and Local Zones -> a value that changes nothing.
_ELSEWHERE: dict[str, Any] = {
    "MapCustomerOwnedIpOnLaunch": {"Value": False},
    "CustomerOwnedIpv4Pool": None,
    "EnableLniAtDeviceIndex": None,
    "DisableLniAtDeviceIndex": {"Value": False},
}
_HOSTNAME_TYPE = "PrivateDnsHostnameTypeOnLaunch"
HOSTNAME_TYPES = ("ip-name", "resource-name")


async def modify_subnet_attribute(call: Call, services: Services, params: Params) -> Answer:
    """One attribute a call."""
    authorize(
        call, "ec2:ModifySubnetAttribute", [subnet_asked(call, services, params.get("SubnetId"))], region_key(call)
    )
    subnet_id = subnet_id_of(params)
    subnet_changes.required_subnet(services.network.shelf(call.account), subnet_id)
    given = [name for name in (*_FLAGS, *_ELSEWHERE, _HOSTNAME_TYPE) if params.get(name) is not None]
    if not given:
        raise MissingParameter("attribute")
    if len(given) > 1:
        raise InvalidParameterCombination("You can modify only one attribute of a subnet at a time.")
    changes = _changes(given[0], params[given[0]])
    await services.network.change(call.account, lambda shelf: subnet_changes.modify_subnet(shelf, subnet_id, **changes))
    return {}


def _changes(name: str, value: Any) -> dict[str, bool | str]:
    """Fields of the record with what they are to be. Raises MissingParameter, NotOffered, ValueInvalid."""
    if name in _ELSEWHERE:
        if value == _ELSEWHERE[name]:
            return {}
        raise NotOffered("Outposts and Local Zones are not there.")
    if name == _HOSTNAME_TYPE:
        if value not in HOSTNAME_TYPES:
            raise ValueInvalid(value, "privateDnsHostnameTypeOnLaunch", f"Expecting {' or '.join(HOSTNAME_TYPES)}.")
        return {"hostname_type": value}
    flag = value.get("Value")
    if flag is None:
        raise MissingParameter(f"{name}.Value")
    if name == "EnableDns64" and flag:
        raise NotOffered("DNS64 is not there.")
    return {_FLAGS[name]: flag}


async def associate_subnet_cidr_block(call: Call, services: Services, params: Params) -> Answer:
    authorize(
        call, "ec2:AssociateSubnetCidrBlock", [subnet_asked(call, services, params.get("SubnetId"))], region_key(call)
    )
    subnet_id = subnet_id_of(params)
    check_pools(params)
    cidr = params.get("Ipv6CidrBlock")
    if not cidr:
        raise MissingParameter("ipv6CidrBlock")
    network = services.network
    block = await network.change(
        call.account, lambda shelf: subnet_changes.associate_ipv6(shelf, subnet_id, cidr, network.bits)
    )
    return {"SubnetId": subnet_id, "Ipv6CidrBlockAssociation": subnet_ipv6_shown(block, ASSOCIATING)}


async def disassociate_subnet_cidr_block(call: Call, services: Services, params: Params) -> Answer:
    given: str = (params.get("AssociationId") or "")[:255]
    try:
        subnet, block = subnet_changes.required_ipv6(services.network.shelf(call.account), given)
    except SubnetAssociationNotFound:
        authorize(call, "ec2:DisassociateSubnetCidrBlock", [subnet_asked(call, services, None)], region_key(call))
        if not given:
            raise MissingParameter("associationId") from None
        raise
    asked = unnamed(call, subnet_asked(call, services, subnet.name))
    authorize(call, "ec2:DisassociateSubnetCidrBlock", [asked], region_key(call))
    in_use = await _has_addresses(services, call.account, subnet.name, block.cidr)
    gone = await services.network.change(
        call.account, lambda shelf: subnet_changes.disassociate_ipv6(shelf, given, in_use=in_use)
    )
    return {"SubnetId": subnet.name, "Ipv6CidrBlockAssociation": subnet_ipv6_shown(gone, DISASSOCIATING)}


async def _has_addresses(services: Services, account: str, subnet_id: str, cidr: str) -> bool:
    network = IPv6Network(cidr)
    return any(
        IPv6Address(one["Ipv6Address"]) in network
        for eni in await all_enis(services, account)
        if eni["SubnetId"] == subnet_id
        for one in eni.get("Ipv6Addresses") or ()
    )


OPERATIONS: dict[str, Operation] = {
    "AssociateSubnetCidrBlock": associate_subnet_cidr_block,
    "DisassociateSubnetCidrBlock": disassociate_subnet_cidr_block,
    "ModifySubnetAttribute": modify_subnet_attribute,
}
