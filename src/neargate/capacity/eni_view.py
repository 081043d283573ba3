"""A task's interface, a gateway's or a load balancer's node's as EC2 shows it. Pure.

DescribeNetworkInterfaces' members by their wire names.
"""

from typing import Any

import msgspec

from ..model.network import Eni
from ..vpc.addresses import public_dns_name

# By the first word of the id of what has the interface; tasks' ids have no words.
_TYPES = {"nat": "nat_gateway", "vpce": "vpc_endpoint"}
_BALANCING = "amazon-elb"
_decode_eni = msgspec.json.Decoder(Eni).decode


def interface_of_row(row: tuple[Any, ...], *, account: str, region: str) -> dict[str, Any]:
    """From the columns of schema.ENIS."""
    holder, zone, owner, created_at, doc = row
    eni = _decode_eni(doc)
    shown = network_interface(eni, account=account, region=region, zone=zone, owner=owner, created_at=created_at)
    holds = holder.partition("-")[0]
    if holds == "elbnode":
        return _of_balancer(shown, eni, owner)
    kind = _TYPES.get(holds)
    return shown if kind is None else _placed(shown, eni, kind)


def _of_balancer(shown: dict[str, Any], eni: Eni, description: str) -> dict[str, Any]:
    """As AWS's Elastic Load Balancing makes them; its applications' are ordinary ones."""
    attachment = shown["Attachment"] | {"AttachmentId": eni.attachment_id, "InstanceOwnerId": _BALANCING}
    kind = "network_load_balancer" if description.startswith("ELB net/") else "interface"
    found = shown | {"Attachment": attachment, "InterfaceType": kind, "RequesterId": _BALANCING}
    if "Association" in shown:
        association = shown["Association"] | {"IpOwnerId": _BALANCING}
        addresses = [one | {"Association": association} for one in shown["PrivateIpAddresses"]]
        found |= {"Association": association, "PrivateIpAddresses": addresses}
    return found


def _placed(shown: dict[str, Any], eni: Eni, kind: str) -> dict[str, Any]:
    attachment = shown["Attachment"] | {"AttachmentId": eni.attachment_id}
    return shown | {"Attachment": attachment, "InterfaceType": kind, "SourceDestCheck": kind != "nat_gateway"}


def network_interface(
    eni: Eni, *, account: str, region: str, zone: str, owner: str, created_at: float
) -> dict[str, Any]:
    """`owner` is the attachment's ARN. Group names are not known to a zone; the front end adds them."""
    address: dict[str, Any] = {
        "Primary": True,
        "PrivateDnsName": eni.private_dns_name,
        "PrivateIpAddress": eni.private_ipv4,
    }
    shown: dict[str, Any] = {
        "Attachment": {
            "AttachTime": created_at,
            "AttachmentId": eni.eni_id.replace("eni-", "eni-attach-", 1),
            "DeleteOnTermination": False,
            "DeviceIndex": 1,
            "InstanceOwnerId": "amazon-aws",
            "NetworkCardIndex": 0,
            "Status": "attached",
        },
        "AvailabilityZone": zone,
        "Description": owner,
        "Groups": [{"GroupId": group} for group in eni.security_groups],
        "InterfaceType": "interface",
        "Ipv6Addresses": [] if eni.ipv6 is None else [{"Ipv6Address": eni.ipv6, "IsPrimaryIpv6": False}],
        "MacAddress": eni.mac,
        "NetworkInterfaceId": eni.eni_id,
        "OwnerId": account,
        "PrivateDnsName": eni.private_dns_name,
        "PrivateIpAddress": eni.private_ipv4,
        "PrivateIpAddresses": [address],
        "RequesterManaged": True,
        "SourceDestCheck": True,
        "Status": "in-use",
        "SubnetId": eni.subnet_id,
        "TagSet": [],
        "VpcId": eni.vpc_id,
    }
    if eni.public_ipv4 is not None:
        association = {
            "IpOwnerId": "amazon",
            "PublicDnsName": public_dns_name(eni.public_ipv4, region),
            "PublicIp": eni.public_ipv4,
        }
        address["Association"] = shown["Association"] = association
    return shown
