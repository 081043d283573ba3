"""A VPC endpoint as EC2 shows it: DescribeVpcEndpoints' members by their wire names. Pure."""

import hashlib

from ....vpc.addresses import private_domain
from ...network.endpoints.plans import INTERFACE, own_names, serving
from ...network.endpoints.services import private_names
from ...network.records.objects import VpcEndpoint
from ...network.records.security_groups import SecurityGroupView
from ...regional.shelves import Shelf
from .request import tag_list
from .shown import Shown


def endpoint_shown(shelf: Shelf, endpoint: VpcEndpoint, region: str) -> Shown:
    shown: Shown = {
        "VpcEndpointId": endpoint.name,
        "VpcEndpointType": endpoint.endpoint_type,
        "VpcId": endpoint.vpc_id,
        "ServiceName": endpoint.service_name,
        "State": endpoint.state,
        "PolicyDocument": endpoint.policy,
        "RouteTableIds": list(endpoint.route_tables),
        "SubnetIds": list(endpoint.subnets),
        "Groups": [_group(shelf, one) for one in endpoint.groups],
        "IpAddressType": endpoint.ip_address_type,
        "PrivateDnsEnabled": endpoint.private_dns,
        "RequesterManaged": False,
        "NetworkInterfaceIds": [one.eni_id for one in serving(endpoint)],
        "DnsEntries": [],
        "CreationTimestamp": endpoint.created_at,
        "Tags": tag_list(endpoint.tags),
        "OwnerId": endpoint.account,
        "ServiceRegion": region,
    }
    if endpoint.endpoint_type == INTERFACE:
        shown |= {"DnsOptions": {"DnsRecordIpType": "ipv4"}, "DnsEntries": _dns_entries(endpoint, region)}
    if endpoint.error_code is not None:
        shown["LastError"] = {"Code": endpoint.error_code, "Message": endpoint.error_message or ""}
    return shown


def _group(shelf: Shelf, group_id: str) -> Shown:
    group = shelf.find(SecurityGroupView, group_id)
    return {"GroupId": group_id, "GroupName": group.group_name if group is not None else ""}


def _dns_entries(endpoint: VpcEndpoint, region: str) -> list[Shown]:
    """First the name of all zones, then those of each, then the private ones."""
    own = [{"DnsName": name, "HostedZoneId": _zone(f"vpce.{region}")} for name, _ in own_names(endpoint)]
    if not endpoint.private_dns:
        return own
    private = _zone(f"{endpoint.name}.{private_domain(region)}")
    return [*own, *({"DnsName": name, "HostedZoneId": private} for name in private_names(endpoint.service_name))]


def _zone(name: str) -> str:
    """An id of the form that Route 53's hosted zones have. Nothing of Neargate's asks for it."""
    return f"Z{hashlib.sha256(name.encode()).hexdigest()[:20].upper()}"
