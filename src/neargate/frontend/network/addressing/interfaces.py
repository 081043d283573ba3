"""What calls and the placing loop make of network interfaces that callers have made: shelf in, change out. Pure.

Of each address: pending -> held -> leaving, and then it is in no record. Invariants: a zone is asked for an address
only after the record names its place, and the record forgets the place only after the zone has the address back; no
packet comes of such an interface, since nothing is attached to it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ....model import ids
from ....model.capacity import PlacedRequest, Reservation
from ...regional.shelves import Change, Shelf
from .. import places
from ..errors.addresses import TokenMismatch
from ..errors.common import GroupNotFound, InvalidParameterValue, NetworkInterfaceNotFound, SubnetNotFound
from ..errors.interfaces import (
    AddressesPerInterface,
    GroupElsewhere,
    GroupsPerInterface,
    InterfaceLimitExceeded,
    NotAnAddressOf,
    PrimaryStays,
)
from ..filters.groups import named_group
from ..records.objects import InterfaceAddress, NetworkInterface, Subnet, Tags
from ..records.security_groups import SecurityGroupView
from .nat_gateways import check_private_ip

Bits = Callable[[int], int]
PENDING, HELD, LEAVING = "pending", "held", "leaving"
ADDRESSES_MAX = 50  # of an interface: what the largest of EC2's instances can have
GROUPS_MAX = 5


class WantedInterface(Struct, frozen=True, kw_only=True):
    """CreateNetworkInterface's parameters, their shapes checked. `addresses`: None is any; the first is the primary."""

    subnet_id: str
    addresses: tuple[str | None, ...]
    groups: tuple[str, ...]
    description: str
    requester: str
    client_token: str | None
    tags: Tags


def required_interface(shelf: Shelf, interface_id: str) -> NetworkInterface:
    """One that a caller made and that is there. Raises NetworkInterfaceNotFound."""
    found = shelf.find(NetworkInterface, interface_id)
    if found is None or not found.is_there:
        raise NetworkInterfaceNotFound([interface_id])
    return found


def create(
    shelf: Shelf, wanted: WantedInterface, interfaces_max: float, now: float, bits: Bits
) -> Change[NetworkInterface]:
    """Repeatable with a token. Raises SubnetNotFound, GroupNotFound, GroupElsewhere, GroupsPerInterface,
    InvalidParameterValue, AddressesPerInterface, InterfaceLimitExceeded, TokenMismatch.
    """
    known = _made_before(shelf, wanted)
    if known is not None:
        return Change(result=known)
    subnet = shelf.find(Subnet, wanted.subnet_id)
    if subnet is None:
        raise SubnetNotFound([wanted.subnet_id])
    groups = checked_groups(shelf, subnet, wanted.groups)
    if shelf.count(NetworkInterface) >= interfaces_max:
        raise InterfaceLimitExceeded(interfaces_max)
    name = ids.ec2_id("eni", bits)
    made = NetworkInterface(
        account=shelf.account,
        name=name,
        tags=wanted.tags,
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.name,
        zone=subnet.zone,
        created_at=now,
        addresses=_asked(subnet, name, (), wanted.addresses, now, bits),
        groups=groups,
        description=wanted.description,
        requester=wanted.requester,
        client_token=wanted.client_token,
    )
    return Change(result=made, put=(made,))


def _made_before(shelf: Shelf, wanted: WantedInterface) -> NetworkInterface | None:
    """Also one that is asked for just now: who asks again gets it with the first."""
    if wanted.client_token is None:
        return None
    made = (one for one in shelf.all(NetworkInterface) if one.client_token == wanted.client_token)
    found = next((one for one in made if one.addresses[0].state != LEAVING), None)
    if found is None:
        return None
    if (found.subnet_id, found.description) != (wanted.subnet_id, wanted.description):
        raise TokenMismatch
    return found


def checked_groups(shelf: Shelf, subnet: Subnet, groups: Sequence[str]) -> tuple[str, ...]:
    """None named: the VPC's default one. Raises GroupNotFound, GroupElsewhere, GroupsPerInterface."""
    if not groups:
        default = named_group(shelf, subnet.vpc_id, "default")
        return (default.name,) if default is not None else ()
    for one in groups:
        found = shelf.find(SecurityGroupView, one)
        if found is None:
            raise GroupNotFound.of_id(one)
        if found.vpc_id != subnet.vpc_id:
            raise GroupElsewhere(one, subnet.name)
    unique = tuple(dict.fromkeys(groups))
    if len(unique) > GROUPS_MAX:
        raise GroupsPerInterface
    return unique


def _asked(
    subnet: Subnet,
    interface_id: str,
    before: tuple[InterfaceAddress, ...],
    wanted: Sequence[str | None],
    now: float,
    bits: Bits,
) -> tuple[InterfaceAddress, ...]:
    """Each has a place that none had before: what was given back there is a tombstone."""
    named = [one for one in wanted if one is not None]
    if len(set(named)) < len(named):
        raise InvalidParameterValue("The same private IP address is specified more than once.")
    if len(before) + len(wanted) > ADDRESSES_MAX:
        raise AddressesPerInterface(ADDRESSES_MAX)
    for one in named:
        check_private_ip(subnet, one)
    return tuple(
        InterfaceAddress(place=f"{interface_id}.{bits(48):012x}", state=PENDING, asked_at=now, wanted=one)
        for one in wanted
    )


def add_addresses(
    shelf: Shelf, interface_id: str, wanted: Sequence[str | None], now: float, bits: Bits
) -> Change[NetworkInterface]:
    """Raises NetworkInterfaceNotFound, InvalidParameterValue, AddressesPerInterface."""
    found = required_interface(shelf, interface_id)
    subnet = shelf.find(Subnet, found.subnet_id)
    assert subnet is not None, "a subnet stays while it has interfaces"
    own = {one.private_ip for one in found.held}
    new = [one for one in wanted if one is None or one not in own]  # what it has already is no error
    changed = replace(found, addresses=(*found.addresses, *_asked(subnet, found.name, found.addresses, new, now, bits)))
    return Change(result=changed, put=(changed,) if new else ())


def remove_addresses(shelf: Shelf, interface_id: str, unwanted: Collection[str]) -> Change[NetworkInterface]:
    """Raises NetworkInterfaceNotFound, NotAnAddressOf, PrimaryStays."""
    found = required_interface(shelf, interface_id)
    own = {one.private_ip: one.place for one in found.held}
    for one in unwanted:
        if one not in own:
            raise NotAnAddressOf(one)
        if own[one] == found.addresses[0].place:
            raise PrimaryStays(one)
    return _with_state(found, [own[one] for one in unwanted], LEAVING)


def delete(shelf: Shelf, interface_id: str) -> Change[NetworkInterface]:
    """Raises NetworkInterfaceNotFound."""
    found = required_interface(shelf, interface_id)
    return _with_state(found, [one.place for one in found.addresses], LEAVING)


def modify(
    shelf: Shelf,
    interface_id: str,
    *,
    description: str | None = None,
    groups: Sequence[str] | None = None,
    source_dest_check: bool | None = None,
) -> Change[None]:
    """None: as it is. Raises NetworkInterfaceNotFound, GroupNotFound, GroupElsewhere, GroupsPerInterface."""
    found = required_interface(shelf, interface_id)
    subnet = shelf.find(Subnet, found.subnet_id)
    assert subnet is not None, "a subnet stays while it has interfaces"
    changed = replace(
        found,
        description=found.description if description is None else description,
        groups=found.groups if groups is None else checked_groups(shelf, subnet, groups),
        source_dest_check=found.source_dest_check if source_dest_check is None else source_dest_check,
    )
    return Change(result=None, put=(changed,) if changed != found else ())


def _with_state(found: NetworkInterface, places: Collection[str], state: str) -> Change[NetworkInterface]:
    changed = replace(
        found,
        addresses=tuple(replace(one, state=state) if one.place in places else one for one in found.addresses),
    )
    return Change(result=changed, put=(changed,) if changed != found else ())


# -- with the zones


def placed_request(shelf: Shelf, found: NetworkInterface, address: InterfaceAddress) -> PlacedRequest | None:
    """None: its subnet is gone."""
    return places.placed_request(
        shelf,
        found.subnet_id,
        place=address.place,
        description=found.name,
        private_ip=address.wanted,
        has_host=False,
    )


def given(shelf: Shelf, interface_id: str, answers: Mapping[str, Reservation]) -> Change[NetworkInterface | None]:
    """By place, what the zone gave. None: some of it was given up or deleted meanwhile; the loop takes back the rest.

    What another call with the same token has recorded is the same answer.
    """
    found = shelf.find(NetworkInterface, interface_id)
    if found is None or not answers.keys() <= {one.place for one in found.addresses if one.state != LEAVING}:
        return Change(result=None)
    changed = replace(found, addresses=tuple(_held(one, answers.get(one.place)) for one in found.addresses))
    return Change(result=changed, put=(changed,) if changed != found else ())


def _held(address: InterfaceAddress, answer: Reservation | None) -> InterfaceAddress:
    if answer is None or answer.eni is None or address.state != PENDING:
        return address
    return replace(
        address,
        state=HELD,
        private_ip=answer.eni.private_ipv4,
        capacity_id=answer.capacity_id,
        hold_id=answer.eni.eni_id,
        mac=answer.eni.mac,
    )


def given_up(shelf: Shelf, interface_id: str, places: Collection[str]) -> Change[NetworkInterface | None]:
    """Pending addresses that are not to be had; without its primary one there is no interface."""
    found = shelf.find(NetworkInterface, interface_id)
    if found is None:
        return Change(result=None)
    if found.addresses[0].place in places:
        places = [one.place for one in found.addresses]
    changed = _with_state(found, places, LEAVING)
    return Change(result=changed.result, put=changed.put)


def let_go(shelf: Shelf, interface_id: str, places: Collection[str]) -> Change[None]:
    """The zone has them back."""
    found = shelf.find(NetworkInterface, interface_id)
    if found is None:
        return Change(result=None)
    left = tuple(one for one in found.addresses if one.place not in places or one.state != LEAVING)
    if not left:
        return Change(result=None, drop=(found,))
    changed = replace(found, addresses=left)
    return Change(result=None, put=(changed,) if changed != found else ())
