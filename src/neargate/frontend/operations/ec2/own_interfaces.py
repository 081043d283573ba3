"""Network interfaces that callers made, as EC2 shows them and as policies hear of them. Reads only."""

from collections.abc import Collection
from typing import Any

from ....vpc.addresses import address_number, ipv6_beside, private_dns_name
from ...authorize import Resource, Values
from ...call import Call
from ...network.records.objects import NetworkInterface, Subnet, Vpc
from ...regional.shelves import Shelf
from ...services import Services
from .request import resource_arn, tag_list

Shown = dict[str, Any]


def interface_asked(call: Call, services: Services, interface_id: object) -> Resource:
    """By its ARN; with what is known of it, if it is a caller's."""
    shelf = services.network.shelf(call.account)
    found = shelf.find(NetworkInterface, str(interface_id or ""))
    arn = resource_arn(call, "network-interface", str(interface_id) if interface_id else "*")
    if found is None:
        return Resource(arn=arn)
    keys: dict[str, Values] = {
        "ec2:NetworkInterfaceID": found.name,
        "ec2:AvailabilityZone": found.zone,
        "ec2:Subnet": resource_arn(call, "subnet", found.subnet_id),
        "ec2:Vpc": resource_arn(call, "vpc", found.vpc_id),
    }
    return Resource(arn=arn, tags=dict(found.tags), keys=keys)


def own_interfaces(shelf: Shelf, region: str, interface_ids: Collection[str] | None = None) -> list[Shown]:
    """All of the account's, or those that are named."""
    wanted = None if interface_ids is None else frozenset(interface_ids)
    found = (one for one in shelf.all(NetworkInterface) if one.is_there)
    return [own_interface(shelf, region, one) for one in found if wanted is None or one.name in wanted]


def own_interface(shelf: Shelf, region: str, found: NetworkInterface) -> Shown:
    subnet = shelf.find(Subnet, found.subnet_id)
    primary = found.addresses[0]
    six = ipv6_beside(subnet.view.ipv6_cidr if subnet is not None else None, address_number(primary.private_ip))
    vpc = shelf.find(Vpc, found.vpc_id)
    has_names = vpc is not None and vpc.dns_hostnames
    addresses = [
        {"Primary": one is primary, "PrivateIpAddress": one.private_ip}
        | ({"PrivateDnsName": private_dns_name(one.private_ip, region)} if has_names else {})
        for one in found.held
    ]
    named = {"PrivateDnsName": addresses[0]["PrivateDnsName"]} if has_names else {}
    return named | {
        "AvailabilityZone": found.zone,
        "Description": found.description,
        "Groups": [{"GroupId": group} for group in found.groups],
        "InterfaceType": "interface",
        "Ipv6Addresses": [] if six is None else [{"Ipv6Address": six, "IsPrimaryIpv6": False}],
        "MacAddress": primary.mac,
        "NetworkInterfaceId": found.name,
        "OwnerId": found.account,
        "PrivateIpAddress": primary.private_ip,
        "PrivateIpAddresses": addresses,
        "RequesterId": found.requester,
        "RequesterManaged": False,
        "SourceDestCheck": found.source_dest_check,
        "Status": "available",
        "SubnetId": found.subnet_id,
        "TagSet": tag_list(found.tags),
        "VpcId": found.vpc_id,
    }
