"""Decisions about the rules that a group has, and what its plan says of them."""

import pytest
from msgspec.structs import replace

from neargate.frontend.network.errors.common import (
    GroupNotFound,
    InvalidParameterValue,
    PermissionDuplicate,
    PermissionNotFound,
    PrefixListNotFound,
    RulesLimitExceeded,
    SecurityGroupRuleNotFound,
)
from neargate.frontend.network.filters.rules import describe_by_id, describe_by_meaning, modify_rules
from neargate.frontend.network.plans.planning import vpc_plan
from neargate.frontend.network.records.objects import PrefixList, Vpc
from neargate.frontend.network.records.security_groups import RuleSpec, SecurityGroupView, StoredRule
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.network import SecurityGroupRule

ACCOUNT, REGION = "123456789012", "us-east-1"
VPC = Vpc(account=ACCOUNT, name="vpc-1", cidr="10.0.0.0/16")
FIRST = RuleSpec(is_egress=False, protocol="tcp", from_port=1, to_port=1, cidr_ipv4="10.0.0.0/8")
SECOND = replace(FIRST, from_port=2, to_port=2)
OUT = RuleSpec(is_egress=True, protocol="-1", cidr_ipv4="0.0.0.0/0")
LISTED = RuleSpec(is_egress=False, protocol="-1", prefix_list="pl-1")


def group_of(name: str, *specs: RuleSpec, vpc_id: str = "vpc-1") -> SecurityGroupView:
    rules = tuple(StoredRule(rule_id=f"sgr-{n}", spec=spec, tags=(("n", str(n)),)) for n, spec in enumerate(specs))
    return SecurityGroupView(account=ACCOUNT, name=name, vpc_id=vpc_id, group_name=name, description="d", rules=rules)


def shelf_of(*records: Kept) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply(records, ())
    return shelf


def modify(shelf: Shelf, wanted: dict[str, RuleSpec], rules_max: float = 60) -> SecurityGroupView:
    return changed(shelf, modify_rules(shelf, "sg-1", wanted, rules_max, REGION))


def changed(shelf: Shelf, change: Change[None]) -> SecurityGroupView:
    shelf.apply(change.put, change.drop)
    found = shelf.find(SecurityGroupView, "sg-1")
    assert found is not None
    return found


def test_a_rule_keeps_its_id_direction_tags_and_place() -> None:
    shelf = shelf_of(VPC, group_of("sg-1", FIRST, OUT))
    group = modify(shelf, {"sgr-1": replace(FIRST, cidr_ipv4="192.0.2.0/24")})
    assert [(rule.rule_id, rule.tags, rule.spec.is_egress) for rule in group.rules] == [
        ("sgr-0", (("n", "0"),), False),
        ("sgr-1", (("n", "1"),), True),
    ]
    [planned] = vpc_plan(shelf, VPC, generation=1).groups
    assert planned.egress == (SecurityGroupRule(protocol="tcp", from_port=1, to_port=1, cidr_ipv4="192.0.2.0/24"),)


def test_rules_may_be_swapped_and_never_be_the_same() -> None:
    shelf = shelf_of(group_of("sg-1", FIRST, SECOND))
    group = modify(shelf, {"sgr-0": SECOND, "sgr-1": FIRST})
    assert [rule.spec.from_port for rule in group.rules] == [2, 1]
    with pytest.raises(PermissionDuplicate, match="from port: 1,"):
        modify(shelf, {"sgr-0": FIRST})


def test_the_kind_of_a_peer_stays() -> None:
    shelf = shelf_of(group_of("sg-1", FIRST))
    for other in (
        LISTED,
        replace(OUT, cidr_ipv4=None, peer_group="sg-1"),
        replace(OUT, cidr_ipv4=None, cidr_ipv6="::/0"),
    ):
        with pytest.raises(InvalidParameterValue, match="for an existing IPv4 CIDR rule"):
            modify(shelf, {"sgr-0": other})


def test_what_a_rule_refers_to_must_be_there_and_in_the_network() -> None:
    peer = replace(FIRST, cidr_ipv4=None, peer_group="sg-1")
    shelf = shelf_of(group_of("sg-1", peer, LISTED), group_of("sg-2", vpc_id="vpc-2"))
    with pytest.raises(GroupNotFound, match="different networks"):
        modify(shelf, {"sgr-0": replace(peer, peer_group="sg-2")})
    with pytest.raises(GroupNotFound):
        modify(shelf, {"sgr-0": replace(peer, peer_group="sg-3")})
    with pytest.raises(PrefixListNotFound):
        modify(shelf, {"sgr-1": replace(LISTED, prefix_list="pl-2")})
    with pytest.raises(SecurityGroupRuleNotFound):
        modify(shelf, {"sgr-9": FIRST})


def test_a_larger_list_counts() -> None:
    small = PrefixList(account=ACCOUNT, name="pl-1", list_name="a", family="IPv4", entries_max=2)
    large = PrefixList(account=ACCOUNT, name="pl-2", list_name="b", family="IPv4", entries_max=9)
    shelf = shelf_of(small, large, group_of("sg-1", LISTED, FIRST))
    with pytest.raises(RulesLimitExceeded):
        modify(shelf, {"sgr-0": replace(LISTED, prefix_list="pl-2")}, rules_max=9)
    modify(shelf, {"sgr-0": replace(LISTED, prefix_list="pl-2")}, rules_max=10)


def test_descriptions_change_nothing_else() -> None:
    shelf = shelf_of(VPC, group_of("sg-1", FIRST, OUT))
    before = vpc_plan(shelf, VPC, generation=1)
    group = changed(shelf, describe_by_meaning(shelf, "sg-1", [replace(FIRST, description="new")]))
    assert [rule.spec.description for rule in group.rules] == ["new", None]
    group = changed(shelf, describe_by_id(shelf, "sg-1", {"sgr-0": "newer"}, is_egress=False))
    assert group.rules[0].spec == replace(FIRST, description="newer")
    assert vpc_plan(shelf, VPC, generation=1) == before
    with pytest.raises(PermissionNotFound):
        describe_by_meaning(shelf, "sg-1", [SECOND])
    with pytest.raises(SecurityGroupRuleNotFound):
        describe_by_id(shelf, "sg-1", {"sgr-0": "x"}, is_egress=True)
