"""A task's interface as EC2 shows it: the members of DescribeNetworkInterfaces, by their wire names. Pure."""

from typing import Any

from ..model.network import Eni
from ..vpc.addresses import public_dns_name


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
        "Ipv6Addresses": [],
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
