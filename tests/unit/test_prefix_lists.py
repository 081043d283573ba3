"""Decisions about managed prefix lists: versions that are bounded, references that hold, what plans make of them."""

import random

import pytest

from neargate.frontend.network.errors.common import InvalidParameterValue, PrefixListNotFound
from neargate.frontend.network.errors.prefix_lists import MaxEntriesExceeded, PrefixListLimitExceeded, VersionMismatch
from neargate.frontend.network.errors.routing import IdempotentMismatch
from neargate.frontend.network.filters import prefix_lists
from neargate.frontend.network.filters.prefix_lists import (
    Limits,
    Wish,
    create_list,
    delete_list,
    entries_of_version,
    modify_list,
    references,
    restore_list,
    weights,
)
from neargate.frontend.network.plans.planning import PlannedGroups, vpc_plan
from neargate.frontend.network.records.objects import PrefixList, PrefixListEntry, RouteTable, StoredRoute, Vpc
from neargate.frontend.network.records.security_groups import (
    RuleSpec,
    SecurityGroupView,
    StoredRule,
    direction_counts,
)
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.network import Route

ACCOUNT, REGION = "123456789012", "us-east-1"
BITS = random.Random(7).getrandbits
LIMITS = Limits(rules_of_group=60, routes_of_table=50)
VPC = Vpc(account=ACCOUNT, name="vpc-1", cidr="10.0.0.0/16")


def shelf_of(*records: Kept) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply(records, ())
    return shelf


def apply(shelf: Shelf, change: Change[PrefixList]) -> PrefixList:
    shelf.apply(change.put, change.drop)
    return change.result


def entry(cidr: str) -> PrefixListEntry:
    return PrefixListEntry(cidr=cidr)


def new(shelf: Shelf, *cidrs: str, size: int = 10, family: str = "IPv4", token: str | None = None) -> PrefixList:
    entries = [entry(cidr) for cidr in cidrs]
    return apply(shelf, create_list(shelf, "office", family, size, entries, (), token, BITS))


def modified(shelf: Shelf, one: PrefixList, wish: Wish, limits: Limits = LIMITS) -> PrefixList:
    return apply(shelf, modify_list(shelf, one.name, wish, limits, REGION))


def group_of(one: PrefixList, times: int = 1) -> SecurityGroupView:
    rules = tuple(
        StoredRule(
            rule_id=f"sgr-{n}",
            spec=RuleSpec(is_egress=False, protocol="tcp", from_port=n, to_port=n, prefix_list=one.name),
        )
        for n in range(times)
    )
    return SecurityGroupView(account=ACCOUNT, name="sg-1", vpc_id="vpc-1", group_name="g", description="d", rules=rules)


def table_of(one: PrefixList) -> RouteTable:
    routes = (StoredRoute(destination=one.name, target="igw-gone"),)
    return RouteTable(account=ACCOUNT, name="rtb-1", vpc_id="vpc-1", routes=routes)


def test_a_plan_has_what_the_list_in_force_says() -> None:
    shelf = shelf_of(VPC)
    one = new(shelf, "192.0.2.0/24", "198.51.100.0/24")
    shelf.apply((group_of(one), table_of(one)), ())
    groups = PlannedGroups()
    plan = vpc_plan(shelf, VPC, generation=1, groups=groups)
    assert [rule.cidr_ipv4 for rule in plan.groups[0].ingress] == ["192.0.2.0/24", "198.51.100.0/24"]
    assert [route.destination for route in plan.tables[0].routes] == [
        "10.0.0.0/16",
        "192.0.2.0/24",
        "198.51.100.0/24",
    ]
    modified(shelf, one, Wish(remove=("192.0.2.0/24",)))
    plan = vpc_plan(shelf, VPC, generation=2, groups=groups)
    assert [rule.cidr_ipv4 for rule in plan.groups[0].ingress] == ["198.51.100.0/24"]
    assert plan.tables[0].routes[1:] == (Route(destination="198.51.100.0/24", target="blackhole"),)


def test_a_list_without_entries_allows_nothing() -> None:
    shelf = shelf_of(VPC)
    one = new(shelf)
    shelf.apply((group_of(one),), ())
    assert vpc_plan(shelf, VPC, generation=1).groups[0].ingress == ()


def test_ipv6_lists_are_ipv6_rules() -> None:
    shelf = shelf_of(VPC)
    one = new(shelf, "2001:db8::/32", family="IPv6")
    shelf.apply((group_of(one),), ())
    [rule] = vpc_plan(shelf, VPC, generation=1).groups[0].ingress
    assert (rule.cidr_ipv4, rule.cidr_ipv6, rule.from_port) == (None, "2001:db8::/32", 0)
    assert weights(shelf, REGION)[one.name] == (0, 10)
    assert direction_counts(group_of(one, 2).rules, False, weights(shelf, REGION)) == (0, 20)


def test_old_versions_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_lists, "VERSIONS_MAX", 3)
    shelf = shelf_of()
    one = new(shelf, size=100)
    for n in range(5):
        one = modified(shelf, one, Wish(add=(entry(f"10.{n}.0.0/16"),)))
    assert (one.version, one.first_version, len(one.versions)) == (6, 4, 3)
    assert len(entries_of_version(one, 4)) == 3
    with pytest.raises(InvalidParameterValue, match="version 3 of"):
        entries_of_version(one, 3)
    with pytest.raises(InvalidParameterValue):
        restore_list(shelf, one.name, 3, 6)


def test_large_versions_are_let_go_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_lists, "KEPT_ENTRIES_MAX", 5)
    shelf = shelf_of()
    one = new(shelf, size=100)
    for n in range(8):
        one = modified(shelf, one, Wish(add=(entry(f"10.{n}.0.0/16"),)))
    assert one.version == 9 and [len(version) for version in one.versions] == [8]


def test_a_restored_version_is_a_new_one() -> None:
    shelf = shelf_of()
    one = new(shelf, "10.1.0.0/16")
    modified(shelf, one, Wish(add=(entry("10.2.0.0/16"),)))
    with pytest.raises(VersionMismatch):
        restore_list(shelf, one.name, 1, 1)
    with pytest.raises(InvalidParameterValue):
        restore_list(shelf, one.name, 2, 2)
    restored = apply(shelf, restore_list(shelf, one.name, 1, 2))
    assert restored.version == 3 and restored.entries == (entry("10.1.0.0/16"),)
    modified(shelf, one, Wish(remove=("10.1.0.0/16",)))
    modified(shelf, one, Wish(entries_max=1))
    with pytest.raises(MaxEntriesExceeded):
        restore_list(shelf, one.name, 2, 4)


def test_a_size_that_its_references_cannot_bear_fails() -> None:
    shelf = shelf_of()
    one = new(shelf, size=20)
    shelf.apply((group_of(one, 3), table_of(one)), ())
    failed = modified(shelf, one, Wish(entries_max=51))
    assert (failed.state, failed.entries_max) == ("modify-failed", 20)
    assert failed.state_message is not None and failed.state_message.endswith(": rtb-1, sg-1")
    grown = modified(shelf, one, Wish(entries_max=21), Limits(rules_of_group=63, routes_of_table=50))
    assert (grown.state, grown.entries_max, grown.state_message) == ("modify-complete", 21, None)
    two = new(shelf, "10.1.0.0/16", "10.2.0.0/16")
    with pytest.raises(InvalidParameterValue, match="cannot be less"):
        modify_list(shelf, two.name, Wish(entries_max=1), LIMITS, REGION)


def test_what_is_referred_to_stays() -> None:
    shelf = shelf_of()
    one = new(shelf)
    shelf.apply((table_of(one),), ())
    assert references(shelf, one.name) == ["rtb-1"]
    kept = apply(shelf, delete_list(shelf, one.name))
    assert kept.state == "delete-failed" and shelf.find(PrefixList, one.name) == kept
    shelf.apply((), (table_of(one),))
    assert apply(shelf, delete_list(shelf, one.name)).state == "delete-complete"
    with pytest.raises(PrefixListNotFound):
        delete_list(shelf, one.name)


def test_a_token_makes_one_list_and_there_are_no_more_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix_lists, "LISTS_MAX", 1)
    shelf = shelf_of()
    first = new(shelf, token="t")
    assert new(shelf, token="t").name == first.name
    with pytest.raises(IdempotentMismatch):
        new(shelf, token="t", family="IPv6")
    with pytest.raises(PrefixListLimitExceeded):
        new(shelf)
