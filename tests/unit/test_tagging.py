"""Decisions about tags of network objects: every kind, several at once, all or none."""

import pytest

from neargate.frontend.network.errors.common import SecurityGroupRuleNotFound, VpcNotFound
from neargate.frontend.network.records.objects import NetworkAcl, Owned, Vpc
from neargate.frontend.network.records.security_groups import RuleSpec, SecurityGroupView, StoredRule
from neargate.frontend.network.registry import KINDS as STORED
from neargate.frontend.network.tagging import (
    KINDS,
    InvalidId,
    TagLimitExceeded,
    Unwanted,
    all_tags,
    create_tags,
    delete_tags,
    find_tagged,
    type_of,
)
from neargate.frontend.regional.shelves import Change, Kept, Shelf

ACCOUNT = "123456789012"
VPC_ID, GROUP_ID, ACL_ID = "vpc-0123456789abcdef0", "sg-0123456789abcdef0", "acl-0123456789abcdef0"
RULES = ("sgr-0123456789abcdef0", "sgr-0123456789abcdef1")
ABSENT = "0" * 17


@pytest.fixture
def shelf() -> Shelf:
    spec = RuleSpec(is_egress=False, protocol="-1", cidr_ipv4="10.0.0.0/8")
    rules = tuple(StoredRule(rule_id=rule_id, spec=spec) for rule_id in RULES)
    group = SecurityGroupView(
        account=ACCOUNT, name=GROUP_ID, vpc_id=VPC_ID, group_name="g", description="d", rules=rules
    )
    shelf = Shelf(ACCOUNT)
    vpc = Vpc(account=ACCOUNT, name=VPC_ID, cidr="10.0.0.0/16", tags=(("a", "1"),))
    shelf.apply((vpc, group, NetworkAcl(account=ACCOUNT, name=ACL_ID, vpc_id=VPC_ID)), ())
    return shelf


def apply(shelf: Shelf, change: Change[None]) -> tuple[Kept, ...]:
    shelf.apply(change.put, change.drop)
    return change.put


def rows(shelf: Shelf) -> set[tuple[str, str, str, str]]:
    return {(tag.resource_id, tag.resource_type, tag.key, tag.value) for tag in all_tags(shelf)}


def test_every_kind_of_object_can_be_tagged() -> None:
    assert {tagged.record for tagged in KINDS.values()} == {kind for kind in STORED if issubclass(kind, Owned)}
    assert type_of("sgr-1") == "security-group-rule" and type_of("nat-1") == "natgateway" and type_of("i-1") is None


def test_a_group_and_its_rules_in_one_request(shelf: Shelf) -> None:
    [put] = apply(shelf, create_tags(shelf, [RULES[1], GROUP_ID, RULES[1]], (("b", "2"),)))
    assert isinstance(put, SecurityGroupView) and put.tags == (("b", "2"),)
    assert [rule.tags for rule in put.rules] == [(), (("b", "2"),)]
    assert rows(shelf) == {
        (VPC_ID, "vpc", "a", "1"),
        (GROUP_ID, "security-group", "b", "2"),
        (RULES[1], "security-group-rule", "b", "2"),
    }
    found = find_tagged(shelf, RULES[1])
    assert found is not None and found.tags == (("b", "2"),)


def test_all_or_none(shelf: Shelf) -> None:
    before = rows(shelf)
    for others, error in (
        ([f"vpc-{ABSENT}"], VpcNotFound),
        ([f"sgr-{ABSENT}"], SecurityGroupRuleNotFound),
        ([f"i-{ABSENT}"], InvalidId),
        (["vpc-1"], InvalidId),
    ):
        with pytest.raises(error):
            create_tags(shelf, [VPC_ID, *others], (("b", "2"),))
        with pytest.raises(error):
            delete_tags(shelf, [VPC_ID, *others], None)
    many = tuple((str(n), "") for n in range(50))
    with pytest.raises(TagLimitExceeded):  # the ACL has room for them, the VPC not
        create_tags(shelf, [ACL_ID, VPC_ID], many)
    assert rows(shelf) == before


def test_what_changes_nothing_is_not_written(shelf: Shelf) -> None:
    assert create_tags(shelf, [VPC_ID], (("a", "1"),)).put == ()
    assert delete_tags(shelf, [VPC_ID, ACL_ID, *RULES], [Unwanted(key="x")]).put == ()
    [put] = create_tags(shelf, [VPC_ID, ACL_ID], (("a", "1"),)).put
    assert put.name == ACL_ID


def test_tags_are_deleted_by_key_or_with_their_value(shelf: Shelf) -> None:
    apply(shelf, create_tags(shelf, [VPC_ID], (("b", ""), ("c", "3"))))
    apply(shelf, delete_tags(shelf, [VPC_ID], [Unwanted(key="a", value="2"), Unwanted(key="b", value="")]))
    assert {key for _, _, key, _ in rows(shelf)} == {"a", "c"}
    apply(shelf, delete_tags(shelf, [VPC_ID], [Unwanted(key="a")]))
    assert {key for _, _, key, _ in rows(shelf)} == {"c"}
    apply(shelf, delete_tags(shelf, [VPC_ID, GROUP_ID], None))
    assert rows(shelf) == set()
