"""What a call makes of an account's security groups: shelf in, change out. Pure; `bits` is the randomness for new ids.

Invariant: names are unique in a VPC, and a group that anything uses stays.
"""

from collections.abc import Callable, Sequence

from ....model import ids
from ...regional.shelves import Change, Shelf
from ..errors.common import GroupDuplicate, GroupLimitExceeded, GroupNotFound, VpcNotFound
from ..peering.groups import with_peer
from ..records.aws_prefix_lists import find_aws_prefix_list
from ..records.objects import NetworkInterface, Tags, Vpc, VpcEndpoint
from ..records.security_groups import (
    Revocation,
    RuleSpec,
    SecurityGroupView,
    StoredRule,
    added_rules,
    check_deletable,
    replace_rules,
)
from ..vpcs.defaults import allow_all_egress, allow_all_egress_ipv6
from .prefix_lists import required_list, weights

Bits = Callable[[int], int]


def required_group(shelf: Shelf, group_id: str) -> SecurityGroupView:
    """Raises GroupNotFound."""
    group = shelf.find(SecurityGroupView, group_id)
    if group is None:
        raise GroupNotFound.of_id(group_id)
    return group


def named_group(shelf: Shelf, vpc_id: str, name: str) -> SecurityGroupView | None:
    groups = shelf.all(SecurityGroupView)
    return next((group for group in groups if group.vpc_id == vpc_id and group.group_name == name), None)


def create_group(
    shelf: Shelf, vpc_id: str, name: str, description: str, tags: Tags, groups_max: float, bits: Bits
) -> Change[SecurityGroupView]:
    """Raises VpcNotFound, GroupDuplicate, GroupLimitExceeded."""
    vpc = shelf.find(Vpc, vpc_id)
    if vpc is None:
        raise VpcNotFound([vpc_id])
    if named_group(shelf, vpc_id, name) is not None:
        raise GroupDuplicate(f"The security group '{name}' already exists for VPC '{vpc_id}'")
    if shelf.count(SecurityGroupView) >= groups_max:
        raise GroupLimitExceeded("The maximum number of security groups for this VPC has been reached.")
    group = SecurityGroupView(
        account=shelf.account,
        name=ids.ec2_id("sg", bits),
        vpc_id=vpc_id,
        group_name=name,
        description=description,
        rules=(allow_all_egress(bits), *((allow_all_egress_ipv6(bits),) if vpc.ipv6 else ())),
        tags=tags,
    )
    return Change(result=group, put=(group,))


def delete_group(shelf: Shelf, group_id: str, *, in_use: bool) -> Change[None]:
    """`in_use`: an interface carries it. Raises GroupNotFound, CannotDelete, DependencyViolation."""
    group = required_group(shelf, group_id)
    named = any(group_id in endpoint.groups for endpoint in shelf.all(VpcEndpoint))
    carried = any(group_id in interface.groups for interface in shelf.all(NetworkInterface))
    check_deletable(group, shelf.all(SecurityGroupView), in_use=in_use or named or carried)
    return Change(result=None, drop=(group,))


def authorize(
    shelf: Shelf,
    group_id: str,
    specs: Sequence[RuleSpec],
    tags: Tags,
    rules_max: float,
    bits: Bits,
    region: str,
) -> Change[tuple[StoredRule, ...]]:
    """The rules added. Raises GroupNotFound, PrefixListNotFound, PermissionDuplicate, RulesLimitExceeded."""
    group = required_group(shelf, group_id)
    specs = [with_peer_checked(shelf, group, spec, region) for spec in specs]
    rule_ids = [ids.ec2_id("sgr", bits) for _ in specs]
    changed = added_rules(group, specs, rule_ids, tags, rules_max, weights(shelf, region))
    return Change(result=changed.rules[len(group.rules) :], put=(changed,))


def with_peer_checked(shelf: Shelf, group: SecurityGroupView, spec: RuleSpec, region: str) -> RuleSpec:
    """The rule as it is kept. What it refers to is there, a group in the VPC or in one that is peered with it.

    Raises GroupNotFound, PeeringNotFound, InvalidParameterValue, PrefixListNotFound.
    """
    if spec.prefix_list is not None and find_aws_prefix_list(region, spec.prefix_list) is None:
        required_list(shelf, spec.prefix_list)
    return with_peer(shelf, group, spec)


def revoke(shelf: Shelf, group_id: str, choose: Callable[[SecurityGroupView], Revocation]) -> Change[Revocation]:
    """Raises GroupNotFound and what `choose` raises."""
    group = required_group(shelf, group_id)
    revocation = choose(group)
    kept = tuple(rule for rule in group.rules if rule not in revocation.removed)
    return Change(result=revocation, put=(replace_rules(group, kept),) if revocation.removed else ())
