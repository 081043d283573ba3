"""DescribeNetworkInterfaces: the interfaces of tasks and of NAT gateways, asked of every zone."""

from typing import Any

from ...call import Answer, Call, Params
from ...network.errors import NetworkInterfaceIdMalformed, NetworkInterfaceNotFound
from ...services import Services
from .asking import authorize_describing
from .filters import Field, select
from .groups import all_enis
from .request import check_id, named, page, stop_if_dry_run, with_token

Shown = dict[str, Any]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at(*path: str) -> Field[Shown]:
    """The values at a path of members; lists on the way are walked, what is absent offers nothing."""

    def values(item: Shown) -> list[str]:
        found: list[Any] = [item]
        for name in path:
            found = [one[name] for one in found if name in one]
            found = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
        return [_text(one) for one in found]

    return values


_FIELDS: dict[str, Field[Shown]] = {
    "addresses.association.ip-owner-id": _at("PrivateIpAddresses", "Association", "IpOwnerId"),
    "addresses.association.owner-id": _at("PrivateIpAddresses", "Association", "IpOwnerId"),
    "addresses.association.public-ip": _at("PrivateIpAddresses", "Association", "PublicIp"),
    "addresses.primary": _at("PrivateIpAddresses", "Primary"),
    "addresses.private-ip-address": _at("PrivateIpAddresses", "PrivateIpAddress"),
    "association.allocation-id": _at("Association", "AllocationId"),
    "association.association-id": _at("Association", "AssociationId"),
    "association.ip-owner-id": _at("Association", "IpOwnerId"),
    "association.public-dns-name": _at("Association", "PublicDnsName"),
    "association.public-ip": _at("Association", "PublicIp"),
    "attachment.attach-time": _at("Attachment", "AttachTime"),
    "attachment.attachment-id": _at("Attachment", "AttachmentId"),
    "attachment.delete-on-termination": _at("Attachment", "DeleteOnTermination"),
    "attachment.device-index": _at("Attachment", "DeviceIndex"),
    "attachment.instance-id": _at("Attachment", "InstanceId"),
    "attachment.instance-owner-id": _at("Attachment", "InstanceOwnerId"),
    "attachment.status": _at("Attachment", "Status"),
    "availability-zone": _at("AvailabilityZone"),
    "availability-zone-id": _at("AvailabilityZoneId"),
    "description": _at("Description"),
    "group-id": _at("Groups", "GroupId"),
    "group-name": _at("Groups", "GroupName"),
    "interface-type": _at("InterfaceType"),
    "ipv6-addresses.ipv6-address": _at("Ipv6Addresses", "Ipv6Address"),
    "mac-address": _at("MacAddress"),
    "network-interface-id": _at("NetworkInterfaceId"),
    "owner-id": _at("OwnerId"),
    "private-dns-name": _at("PrivateDnsName"),
    "private-ip-address": _at("PrivateIpAddress"),
    "requester-id": _at("RequesterId"),
    "requester-managed": _at("RequesterManaged"),
    "source-dest-check": _at("SourceDestCheck"),
    "status": _at("Status"),
    "subnet-id": _at("SubnetId"),
    "vpc-id": _at("VpcId"),
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
    found = select(found, params.get("Filters"), _FIELDS, lambda _: ())
    found, token = page(found, params, _id, "NetworkInterfaceIds")
    return with_token({"NetworkInterfaces": found}, token)


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
