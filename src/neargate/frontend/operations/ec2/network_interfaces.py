"""DescribeNetworkInterfaces: those of tasks, gateways and endpoints, asked of every zone, and those callers made."""

from ...call import Answer, Call, Params
from ...network.errors.common import NetworkInterfaceIdMalformed, NetworkInterfaceNotFound
from ...services import Services
from .asking import authorize_describing
from .filters import Field, select
from .groups import all_enis
from .request import check_id, named, page, stop_if_dry_run, with_token
from .shown import Shown, at

_FIELDS: dict[str, Field[Shown]] = {
    "addresses.association.ip-owner-id": at("PrivateIpAddresses", "Association", "IpOwnerId"),
    "addresses.association.owner-id": at("PrivateIpAddresses", "Association", "IpOwnerId"),
    "addresses.association.public-ip": at("PrivateIpAddresses", "Association", "PublicIp"),
    "addresses.primary": at("PrivateIpAddresses", "Primary"),
    "addresses.private-ip-address": at("PrivateIpAddresses", "PrivateIpAddress"),
    "association.allocation-id": at("Association", "AllocationId"),
    "association.association-id": at("Association", "AssociationId"),
    "association.ip-owner-id": at("Association", "IpOwnerId"),
    "association.public-dns-name": at("Association", "PublicDnsName"),
    "association.public-ip": at("Association", "PublicIp"),
    "attachment.attach-time": at("Attachment", "AttachTime"),
    "attachment.attachment-id": at("Attachment", "AttachmentId"),
    "attachment.delete-on-termination": at("Attachment", "DeleteOnTermination"),
    "attachment.device-index": at("Attachment", "DeviceIndex"),
    "attachment.instance-id": at("Attachment", "InstanceId"),
    "attachment.instance-owner-id": at("Attachment", "InstanceOwnerId"),
    "attachment.status": at("Attachment", "Status"),
    "availability-zone": at("AvailabilityZone"),
    "availability-zone-id": at("AvailabilityZoneId"),
    "description": at("Description"),
    "group-id": at("Groups", "GroupId"),
    "group-name": at("Groups", "GroupName"),
    "interface-type": at("InterfaceType"),
    "ipv6-addresses.ipv6-address": at("Ipv6Addresses", "Ipv6Address"),
    "mac-address": at("MacAddress"),
    "network-interface-id": at("NetworkInterfaceId"),
    "owner-id": at("OwnerId"),
    "private-dns-name": at("PrivateDnsName"),
    "private-ip-address": at("PrivateIpAddress"),
    "requester-id": at("RequesterId"),
    "requester-managed": at("RequesterManaged"),
    "source-dest-check": at("SourceDestCheck"),
    "status": at("Status"),
    "subnet-id": at("SubnetId"),
    "vpc-id": at("VpcId"),
}


async def describe_network_interfaces(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    wanted = params.get("NetworkInterfaceIds") or None
    for one in wanted or ():
        check_id(one, "eni", NetworkInterfaceIdMalformed)
    enis = await all_enis(services, call.account, wanted)
    found = named(
        [completed(call, services, eni) for eni in enis],
        wanted,
        _id,
        prefix="eni",
        malformed=NetworkInterfaceIdMalformed,
        missing=NetworkInterfaceNotFound,
    )
    found = select(found, params.get("Filters"), _FIELDS, _tags)
    found, token = page(found, params, _id, "NetworkInterfaceIds")
    return with_token({"NetworkInterfaces": found}, token)


def _tags(eni: Shown) -> list[tuple[str, str]]:
    return [(tag["Key"], tag["Value"]) for tag in eni["TagSet"]]


def _id(eni: Shown) -> str:
    return str(eni["NetworkInterfaceId"])


def completed(call: Call, services: Services, eni: Shown) -> Shown:
    """What a zone does not know: names of groups, the zone's id."""
    groups = [
        {"GroupId": one["GroupId"], "GroupName": group.group_name if group is not None else ""}
        for one in eni["Groups"]
        for group in [services.network.security_group(call.account, one["GroupId"])]
    ]
    zone_ids = dict(services.zones)
    zone = eni["AvailabilityZone"]
    return eni | {"Groups": groups} | ({"AvailabilityZoneId": zone_ids[zone]} if zone in zone_ids else {})
