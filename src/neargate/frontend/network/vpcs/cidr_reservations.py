"""What calls make of reservations of a subnet's addresses: shelf in, change out. Pure; `bits` makes ids.

Invariants: a reservation lies in one of its subnet's networks and apart from the subnet's others; addresses that are in
use in it stay with who has them. That none of it is given by itself is the zones' part, who hear it with each request.
"""

from collections.abc import Callable, Iterator
from ipaddress import IPv4Network, IPv6Address, ip_network

from msgspec.structs import replace

from ....model import ids
from ....model.capacity import SubnetView
from ....vpc.addresses import address_text, ipv6_beside, subnet_range
from ...regional.shelves import Change, Shelf
from ..errors.common import InvalidParameterValue, SubnetNotFound
from ..errors.vpcs import CidrReservationNotFound, NotOffered, TooManyReservations
from ..records.objects import CidrReservation, Subnet, Tags
from .cidrs import Network, ipv4, ipv6, is_within, overlap

Bits = Callable[[int], int]
RESERVATIONS_MAX = 50  # of a subnet
TYPES = ("prefix", "explicit")


def of_subnet(shelf: Shelf, subnet_id: str) -> Iterator[CidrReservation]:
    return (one for one in shelf.all(CidrReservation) if one.subnet_id == subnet_id)


def kept_networks(shelf: Shelf, subnet_id: str) -> tuple[str, ...]:
    """The IPv4 networks that are reserved."""
    return tuple(one.cidr for one in of_subnet(shelf, subnet_id) if ":" not in one.cidr)


def kept_count(subnet: Subnet, kept: tuple[str, ...]) -> int:
    """How many addresses that could be given are in the reserved networks."""
    within = subnet_range(subnet.cidr)
    ends = [(int(one.network_address), int(one.broadcast_address)) for one in map(IPv4Network, kept)]
    return sum(max(0, min(last, within.last) - max(first, within.first) + 1) for first, last in ends)


def subnet_view(shelf: Shelf, subnet: Subnet) -> SubnetView:
    """As a launch needs it."""
    kept = kept_networks(shelf, subnet.name) if shelf.count(CidrReservation) else ()
    return replace(subnet.view, kept=kept) if kept else subnet.view


def reserve(
    shelf: Shelf, subnet_id: str, cidr: str, type_: str, description: str | None, tags: Tags, bits: Bits
) -> Change[CidrReservation]:
    """Raises SubnetNotFound, CidrInvalid, InvalidParameterValue, NotOffered, TooManyReservations."""
    subnet = shelf.find(Subnet, subnet_id)
    if subnet is None:
        raise SubnetNotFound([subnet_id])
    network: Network = ipv6(cidr, "cidr") if ":" in cidr else ipv4(cidr, "cidr")
    own = [block.cidr for block in subnet.ipv6] if network.version == 6 else [subnet.cidr]
    if not any(is_within(network, ip_network(one)) for one in own):
        raise InvalidParameterValue(f"Reservation CIDR should be within subnet CIDR block ({', '.join(own) or 'none'})")
    others = list(of_subnet(shelf, subnet_id))
    if any(overlap(network, ip_network(one.cidr)) for one in others):
        raise InvalidParameterValue(f"Reservation CIDR {network} has overlap with existing reserved CIDR block")
    _check_ipv6(subnet, network)
    if len(others) >= RESERVATIONS_MAX:
        raise TooManyReservations(subnet_id, RESERVATIONS_MAX)
    made = CidrReservation(
        account=shelf.account,
        name=ids.ec2_id("scr", bits),
        tags=tags,
        subnet_id=subnet_id,
        cidr=str(network),
        type=type_,
        description=description,
    )
    return Change(result=made, put=(made,))


def _check_ipv6(subnet: Subnet, network: Network) -> None:
    """An interface's IPv6 address follows from its IPv4 one, so these cannot be kept from who names none."""
    if isinstance(network, IPv4Network):
        return
    within = subnet_range(subnet.cidr)
    for block in subnet.ipv6:
        first, last = (ipv6_beside(block.cidr, one) for one in (within.first, within.last))
        assert first is not None and last is not None, "the subnet has an IPv6 network"
        if IPv6Address(first) <= network.broadcast_address and network.network_address <= IPv6Address(last):
            raise NotOffered(
                f"Interfaces in this subnet have the IPv6 addresses {first} to {last}, beside their IPv4 addresses "
                f"from {address_text(within.first)}: these cannot be reserved."
            )


def required_reservation(shelf: Shelf, reservation_id: str) -> CidrReservation:
    """Raises CidrReservationNotFound."""
    found = shelf.find(CidrReservation, reservation_id)
    if found is None:
        raise CidrReservationNotFound(reservation_id)
    return found


def free(shelf: Shelf, reservation_id: str) -> Change[CidrReservation]:
    """Raises CidrReservationNotFound."""
    found = required_reservation(shelf, reservation_id)
    return Change(result=found, drop=(found,))
