"""What is asked of a zone for a thing that has a place, what is kept of the answer, and what the zone must hold.

The same for NAT gateways, interfaces of VPC endpoints, nodes of load balancers and addresses of callers' interfaces.
Pure.
"""

from ...model.capacity import PlacedRequest, RecordedReservation, Reservation
from ...model.network import Eni
from ..regional.shelves import Shelf
from .records.balancers import Node
from .records.objects import EndpointInterface, NatGateway, Subnet
from .vpcs.cidr_reservations import subnet_view

Placed = NatGateway | EndpointInterface | Node


def placed_request(
    shelf: Shelf,
    subnet_id: str,
    *,
    place: str,
    description: str,
    private_ip: str | None,
    has_host: bool = True,
    public_ip: bool = False,
    beside: tuple[str, ...] = (),
) -> PlacedRequest | None:
    """`private_ip`: the address that it must be; any without. `public_ip`: one of the zone's comes with it. `beside`:
    hosts, as PlacedRequest has them. None: the subnet is gone."""
    subnet = shelf.find(Subnet, subnet_id)
    if subnet is None:
        return None
    return PlacedRequest(
        object_id=place,
        account=subnet.account,
        zone=subnet.zone,
        subnet=subnet_view(shelf, subnet),
        description=description,
        private_ipv4=private_ip,
        has_host=has_host,
        assign_public_ip=public_ip,
        beside=beside,
    )


def answer_kept(given: Reservation, eni: Eni) -> dict[str, str]:
    """The fields of a `Placed` that say it."""
    return {
        "private_ip": eni.private_ipv4,
        "eni_id": eni.eni_id,
        "mac": eni.mac,
        "attachment_id": eni.attachment_id,
        "private_dns_name": eni.private_dns_name,
        "capacity_id": given.capacity_id,
        "host_id": given.host_id,
    }


def interface_of(thing: Placed, subnet: Subnet) -> Eni:
    return Eni(
        eni_id=thing.eni_id or "",
        attachment_id=thing.attachment_id or "",
        mac=thing.mac or "",
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.name,
        subnet_cidr=subnet.cidr,
        private_ipv4=thing.private_ip or "",
        private_dns_name=thing.private_dns_name or "",
    )


def must_hold(
    subnet: Subnet, eni: Eni, *, place: str, capacity_id: str, owner: str, created_at: float, host_id: str = ""
) -> RecordedReservation:
    """`owner`: as DescribeNetworkInterfaces shows it. `host_id` empty: no host has it."""
    return RecordedReservation(
        capacity_id=capacity_id,
        task_id=place,
        zone=subnet.zone,
        account=subnet.account,
        host_id=host_id,
        cpu_units=0,
        memory_mib=0,
        disk_gib=0,
        eni=eni,
        owner=owner,
        created_at=created_at,
        is_placed=True,
    )
