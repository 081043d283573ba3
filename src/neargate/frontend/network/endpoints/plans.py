"""What hosts must know of a VPC's interface endpoints: their interfaces, and the names that lead to them. Pure.

Invariant: an interface is here exactly while its zone holds its address for it.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from ....model.network import PlannedEndpoint, VpcDns
from ...regional.shelves import Shelf
from ..records.objects import EndpointInterface, Peering, Vpc, VpcEndpoint
from .services import base_name, private_names, service_of

INTERFACE = "Interface"


def interface_endpoints(shelf: Shelf, vpc_id: str) -> Iterator[VpcEndpoint]:
    return (one for one in shelf.all(VpcEndpoint) if one.vpc_id == vpc_id and one.endpoint_type == INTERFACE)


def serving(endpoint: VpcEndpoint) -> Iterator[EndpointInterface]:
    """Those with an address."""
    return (one for one in endpoint.interfaces if one.state == "available" and one.private_ip is not None)


def planned_endpoints(shelf: Shelf, vpc_id: str) -> Iterator[PlannedEndpoint]:
    for endpoint in interface_endpoints(shelf, vpc_id):
        for one in serving(endpoint):
            yield PlannedEndpoint(
                endpoint_id=endpoint.name,
                service=service_of(endpoint.service_name) or "",
                eni_id=one.eni_id or "",
                mac=one.mac or "",
                subnet_id=one.subnet_id,
                private_ipv4=one.private_ip or "",
                security_groups=endpoint.groups,
                host_id=one.host_id or "",
            )


def own_names(endpoint: VpcEndpoint) -> Iterator[tuple[str, str | None]]:
    """(name, zone; None for the one of all zones)."""
    label, base = f"{endpoint.name}-{endpoint.dns_suffix}", base_name(endpoint.service_name)
    yield f"{label}.{base}", None
    yield from ((f"{label}-{zone}.{base}", zone) for zone in sorted({one.zone for one in serving(endpoint)}))


def with_names(dns: VpcDns, shelf: Shelf, vpc: Vpc) -> VpcDns:
    """Those of its endpoints and of its peers'. AWS's own names are public, but nobody else gets to the addresses.

    Private names are for the VPC alone, and need both of its attributes.
    """
    found: list[tuple[str, str]] = []
    for vpc_id in (vpc.vpc_id, *_peers(shelf, vpc.vpc_id)):
        for endpoint in interface_endpoints(shelf, vpc_id):
            addresses = [(one.zone, one.private_ip or "") for one in serving(endpoint)]
            for name, zone in own_names(endpoint):
                found += [(name, address) for at, address in addresses if zone in (None, at)]
            if endpoint.private_dns and vpc_id == vpc.vpc_id and vpc.dns_support and vpc.dns_hostnames:
                for name in private_names(endpoint.service_name):
                    found += [(name, address) for _, address in addresses]
    return replace(dns, endpoints=(*dns.endpoints, *found)) if found else dns


def _peers(shelf: Shelf, vpc_id: str) -> Iterator[str]:
    for peering in shelf.all(Peering):
        ends = (peering.requester_vpc, peering.accepter_vpc)
        if peering.status == "active" and vpc_id in ends:
            yield ends[0] if ends[1] == vpc_id else ends[1]
