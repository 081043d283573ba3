"""Decisions about network ACLs, and that what a plan tells hosts is what the entries say."""

import random

import pytest

from neargate.frontend.network.errors.acls import (
    AclEntryExists,
    AclEntryLimitExceeded,
    AclEntryNotFound,
    AclLimitExceeded,
    DifferentNetworks,
)
from neargate.frontend.network.errors.routing import IdempotentMismatch
from neargate.frontend.network.filters.acls import (
    all_entries,
    create_acl,
    create_entry,
    delete_acl,
    delete_entry,
    replace_association,
    replace_entry,
)
from neargate.frontend.network.plans.planning import vpc_plan
from neargate.frontend.network.records.objects import AclEntry, NetworkAcl, Subnet, Vpc
from neargate.frontend.network.vpcs.defaults import acl_association, default_acl
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.network import AclRule

ACCOUNT = "123456789012"
BITS = random.Random(7).getrandbits
VPC = Vpc(account=ACCOUNT, name="vpc-1", cidr="10.0.0.0/16")
OTHER = Vpc(account=ACCOUNT, name="vpc-2", cidr="10.1.0.0/16")
SUBNET = Subnet(account=ACCOUNT, name="subnet-1", vpc_id="vpc-1", zone="a", zone_id="a", cidr="10.0.0.0/24")


def shelf_of(*records: Kept) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply(records, ())
    return shelf


def apply(shelf: Shelf, change: Change[object]) -> None:
    shelf.apply(change.put, change.drop)


def tcp(number: int = 10, *, egress: bool = False, port: int = 80, allow: bool = True) -> AclEntry:
    return AclEntry(
        number=number,
        is_egress=egress,
        allow=allow,
        protocol="6",
        cidr_ipv4="10.0.0.0/8",
        from_port=port,
        to_port=port,
    )


@pytest.fixture
def shelf() -> Shelf:
    return shelf_of(VPC, OTHER, SUBNET, default_acl(VPC, [SUBNET], BITS), default_acl(OTHER, [], BITS))


def made(shelf: Shelf, vpc_id: str = "vpc-1") -> NetworkAcl:
    change = create_acl(shelf, vpc_id, (), None, 200, BITS)
    apply(shelf, change)
    return change.result


def test_a_plan_says_what_the_entries_say(shelf: Shelf) -> None:
    acl = made(shelf)
    ping = AclEntry(
        number=5, is_egress=False, allow=True, protocol="1", cidr_ipv4="0.0.0.0/0", icmp_type=8, icmp_code=-1
    )
    wide = AclEntry(number=30, is_egress=True, allow=False, protocol="-1", cidr_ipv6="::/0")
    for entry in (tcp(20), ping, wide, tcp(10, egress=True, allow=False)):
        apply(shelf, create_entry(shelf, acl.name, entry, 20))
    [planned] = [one for one in vpc_plan(shelf, VPC, generation=1).acls if one.acl_id == acl.name]
    assert planned.rules == (
        AclRule(number=5, is_egress=False, allow=True, protocol="1", cidr="0.0.0.0/0", from_port=8, to_port=-1),
        AclRule(number=20, is_egress=False, allow=True, protocol="6", cidr="10.0.0.0/8", from_port=80, to_port=80),
        AclRule(number=10, is_egress=True, allow=False, protocol="6", cidr="10.0.0.0/8", from_port=80, to_port=80),
        AclRule(number=30, is_egress=True, allow=False, protocol="-1", cidr="::/0"),
    )


def test_a_plan_follows_the_association(shelf: Shelf) -> None:
    acl = made(shelf)
    default = next(one for one in shelf.all(NetworkAcl) if one.associations)
    assert vpc_plan(shelf, VPC, generation=1).subnets[0].acl == default.name
    association = default.associations[0].association_id
    change = replace_association(shelf, association, acl.name, BITS)
    apply(shelf, change)
    assert change.result != association
    assert vpc_plan(shelf, VPC, generation=2).subnets[0].acl == acl.name
    assert [one.subnet_id for record in shelf.all(NetworkAcl) for one in record.associations] == ["subnet-1"]


def test_an_association_stays_in_its_network(shelf: Shelf) -> None:
    elsewhere = made(shelf, "vpc-2")
    association = next(one for acl in shelf.all(NetworkAcl) for one in acl.associations).association_id
    with pytest.raises(DifferentNetworks):
        replace_association(shelf, association, elsewhere.name, BITS)


def test_numbers_are_unique_in_a_direction(shelf: Shelf) -> None:
    acl = made(shelf)
    apply(shelf, create_entry(shelf, acl.name, tcp(), 20))
    with pytest.raises(AclEntryExists):
        create_entry(shelf, acl.name, tcp(port=443), 20)
    apply(shelf, create_entry(shelf, acl.name, tcp(egress=True), 20))
    apply(shelf, replace_entry(shelf, acl.name, tcp(port=443), 20))
    apply(shelf, delete_entry(shelf, acl.name, 10, is_egress=True))
    found = shelf.find(NetworkAcl, acl.name)
    assert found is not None and found.entries == (tcp(port=443),)
    with pytest.raises(AclEntryNotFound):
        delete_entry(shelf, acl.name, 10, is_egress=True)


def test_a_replaced_entry_may_not_make_too_many_of_a_family(shelf: Shelf) -> None:
    acl = made(shelf)
    six = AclEntry(number=9, is_egress=False, allow=True, protocol="-1", cidr_ipv6="::/0")
    apply(shelf, create_entry(shelf, acl.name, six, 3))
    for number in (1, 2):
        apply(shelf, create_entry(shelf, acl.name, tcp(number), 3))
    with pytest.raises(AclEntryLimitExceeded):
        create_entry(shelf, acl.name, tcp(3), 3)
    with pytest.raises(AclEntryLimitExceeded):
        replace_entry(shelf, acl.name, tcp(9), 3)
    apply(shelf, replace_entry(shelf, acl.name, tcp(2, port=443), 3))


def test_no_more_acls_than_a_vpc_may_have(shelf: Shelf) -> None:
    made(shelf)
    with pytest.raises(AclLimitExceeded):
        create_acl(shelf, "vpc-1", (), None, 2, BITS)
    create_acl(shelf, "vpc-2", (), None, 2, BITS)


def test_a_token_makes_one_acl(shelf: Shelf) -> None:
    first = create_acl(shelf, "vpc-1", (), "token", 200, BITS)
    apply(shelf, first)
    second = create_acl(shelf, "vpc-1", (), "token", 200, BITS)
    assert second.result == first.result and not second.put
    with pytest.raises(IdempotentMismatch):
        create_acl(shelf, "vpc-2", (), "token", 200, BITS)


def test_what_was_made_can_go(shelf: Shelf) -> None:
    acl = made(shelf)
    apply(shelf, delete_acl(shelf, acl.name))
    assert shelf.find(NetworkAcl, acl.name) is None


def test_the_last_lines_are_shown_and_not_kept(shelf: Shelf) -> None:
    acl = made(shelf)
    assert acl.entries == ()
    assert [(one.number, one.is_egress) for one in all_entries(acl, with_ipv6=True)] == [
        (32767, True),
        (32768, True),
        (32767, False),
        (32768, False),
    ]
    assert not any(one.allow for one in all_entries(acl, with_ipv6=True))
    assert acl_association(SUBNET, BITS).subnet_id == "subnet-1"
