"""What calls and zones' answers make of an interface that a caller makes, whatever comes between them."""

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from neargate.frontend.network.addressing import interfaces
from neargate.frontend.network.addressing.interfaces import ADDRESSES_MAX, HELD, LEAVING, PENDING, WantedInterface
from neargate.frontend.network.errors.common import NetworkInterfaceNotFound
from neargate.frontend.network.errors.interfaces import AddressesPerInterface, InterfaceLimitExceeded
from neargate.frontend.network.errors.vpcs import HasDependents
from neargate.frontend.network.records.objects import NetworkInterface, Subnet
from neargate.frontend.network.vpcs.subnets import delete_subnet
from neargate.frontend.regional.shelves import Shelf
from neargate.model.capacity import Reservation
from neargate.model.network import Eni

ACCOUNT, NOW = "123456789012", 1_700_000_000.0
BITS = Random(7).getrandbits
SUBNET = Subnet(account=ACCOUNT, name="subnet-1", vpc_id="vpc-1", zone="a", zone_id="a1", cidr="10.0.0.0/24")


def shelf_of(*records: Any) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply([SUBNET, *records], [])
    return shelf


def wanted(addresses: Sequence[str | None] = (None,), token: str | None = None) -> WantedInterface:
    return WantedInterface(
        subnet_id=SUBNET.name,
        addresses=tuple(addresses),
        groups=(),
        description="",
        requester="",
        client_token=token,
        tags=(),
    )


def apply(shelf: Shelf, change: Any) -> Any:
    shelf.apply(change.put, change.drop)
    return change.result


def created(shelf: Shelf, *addresses: str | None) -> NetworkInterface:
    made: NetworkInterface = apply(shelf, interfaces.create(shelf, wanted(addresses or (None,)), 9, NOW, BITS))
    return made


def answer(number: int) -> Reservation:
    eni = Eni(
        eni_id=f"eni-{number}",
        attachment_id="",
        mac="",
        vpc_id="vpc-1",
        subnet_id=SUBNET.name,
        subnet_cidr=SUBNET.cidr,
        private_ipv4=f"10.0.0.{number}",
    )
    return Reservation(capacity_id=f"c{number}", task_id="", zone="a", host_id="", eni=eni)


def answered(shelf: Shelf, found: NetworkInterface) -> NetworkInterface:
    answers = {one.place: answer(10 + n) for n, one in enumerate(found.addresses) if one.state == PENDING}
    held: NetworkInterface = apply(shelf, interfaces.given(shelf, found.name, answers))
    return held


def test_it_is_there_when_the_zone_has_answered_and_not_before() -> None:
    shelf = shelf_of()
    made = created(shelf, None, "10.0.0.11")
    assert not made.is_there
    with pytest.raises(NetworkInterfaceNotFound):
        interfaces.delete(shelf, made.name)
    with pytest.raises(HasDependents):
        delete_subnet(shelf, SUBNET.name, in_use=False)
    held = answered(shelf, made)
    assert held.is_there and [one.private_ip for one in held.held] == ["10.0.0.10", "10.0.0.11"]


def test_what_was_given_up_meanwhile_is_not_given_after_all() -> None:
    shelf = shelf_of()
    made = created(shelf, None, None)
    gone = apply(shelf, interfaces.given_up(shelf, made.name, [made.addresses[0].place]))
    assert {one.state for one in gone.addresses} == {LEAVING}, "without its primary address there is none"
    assert interfaces.given(shelf, made.name, {made.addresses[0].place: answer(10)}).result is None
    places = [one.place for one in made.addresses]
    apply(shelf, interfaces.let_go(shelf, made.name, places[:1]))
    assert shelf.find(NetworkInterface, made.name) is not None, "the zone has the other one yet"
    apply(shelf, interfaces.let_go(shelf, made.name, places))
    assert shelf.find(NetworkInterface, made.name) is None
    assert interfaces.given(shelf, made.name, {places[0]: answer(10)}).result is None
    assert interfaces.let_go(shelf, made.name, places).drop == ()


def test_a_further_address_that_is_not_to_be_had_leaves_the_interface() -> None:
    shelf = shelf_of()
    found = answered(shelf, created(shelf))
    more = apply(shelf, interfaces.add_addresses(shelf, found.name, [None, "10.0.0.99"], NOW, BITS))
    new = [one.place for one in more.addresses if one.state == PENDING]
    assert len(new) == 2 and more.is_there and len(more.held) == 1
    apply(shelf, interfaces.given_up(shelf, found.name, new))
    apply(shelf, interfaces.let_go(shelf, found.name, new))
    assert shelf.find(NetworkInterface, found.name) == found
    assert interfaces.let_go(shelf, found.name, [found.addresses[0].place]).put == (), "what is held is not let go"


def test_no_two_addresses_ever_have_one_place() -> None:
    shelf, places = shelf_of(), set()
    found = answered(shelf, created(shelf))
    for _ in range(20):
        more = apply(shelf, interfaces.add_addresses(shelf, found.name, [None], NOW, BITS))
        place = more.addresses[-1].place
        assert place not in places and place.startswith("eni-")
        places.add(place)
        apply(shelf, interfaces.given_up(shelf, found.name, [place]))
        apply(shelf, interfaces.let_go(shelf, found.name, [place]))


def test_bounds() -> None:
    shelf = shelf_of()
    with pytest.raises(AddressesPerInterface):
        interfaces.create(shelf, wanted([None] * (ADDRESSES_MAX + 1)), 9, NOW, BITS)
    found = answered(shelf, created(shelf, *[None] * ADDRESSES_MAX))
    assert all(one.state == HELD for one in found.addresses)
    with pytest.raises(AddressesPerInterface):
        interfaces.add_addresses(shelf, found.name, [None], NOW, BITS)
    with pytest.raises(InterfaceLimitExceeded):
        interfaces.create(shelf, wanted(), 1, NOW, BITS)
