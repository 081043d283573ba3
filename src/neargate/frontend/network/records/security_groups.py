"""Security groups: what one is, and the pure decisions about its rules (add, take away, delete).

Knows nothing of databases or the wire. Invariants: a rule has exactly one peer; no two rules of a group mean the same;
a group never has more rules than AWS lets it.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..errors.common import (
    CannotDelete,
    DependencyViolation,
    PermissionDuplicate,
    PermissionNotFound,
    RulesLimitExceeded,
    SecurityGroupRuleNotFound,
)
from .objects import Owned, Tags

# How many IPv4 and IPv6 rules one of a prefix list counts as, by the list's id.
Weight = tuple[int, int]
Weights = Mapping[str, Weight]
NO_WEIGHTS: Weights = {}


class RuleSpec(Struct, frozen=True, kw_only=True):
    """One permission of one peer in EC2's numbers: ports (ICMP: type and code) are -1 for all; protocol `-1` is all."""

    is_egress: bool
    protocol: str
    from_port: int = -1
    to_port: int = -1
    cidr_ipv4: str | None = None
    cidr_ipv6: str | None = None
    peer_group: str | None = None
    prefix_list: str | None = None
    description: str | None = None
    peer_vpc: str | None = None  # with `peering`: the group is of a peered VPC, and by which connection (peer_groups)
    peering: str | None = None

    @property
    def meaning(self) -> tuple[bool, str, int, int, str]:
        """What makes two rules the same: everything but the description."""
        return (self.is_egress, self.protocol, self.from_port, self.to_port, self.peer)

    @property
    def peer_kind(self) -> str:
        """As EC2 calls it."""
        if self.cidr_ipv4 is not None:
            return "IPv4 CIDR"
        if self.cidr_ipv6 is not None:
            return "IPv6 CIDR"
        return "prefix list" if self.prefix_list is not None else "referenced group id"

    @property
    def peer(self) -> str:
        return self.cidr_ipv4 or self.cidr_ipv6 or self.peer_group or self.prefix_list or ""


class StoredRule(Struct, frozen=True, kw_only=True):
    rule_id: str
    spec: RuleSpec
    tags: Tags = ()


class SecurityGroupView(Owned, frozen=True, kw_only=True):
    """A security group with its rules, in the order in which they were added."""

    kind = "security-group"
    vpc_id: str
    group_name: str
    description: str
    rules: tuple[StoredRule, ...] = ()

    @property
    def group_id(self) -> str:
        return self.name


class Revocation(Struct, frozen=True, kw_only=True):
    removed: tuple[StoredRule, ...]
    unknown: tuple[RuleSpec, ...] = ()


def added_rules(
    group: SecurityGroupView,
    specs: Sequence[RuleSpec],
    rule_ids: Sequence[str],
    tags: Tags,
    rules_max: float = 60,
    weights: Weights = NO_WEIGHTS,
) -> SecurityGroupView:
    """The group with the rules added. Raises PermissionDuplicate, RulesLimitExceeded.

    `rules_max`: in each direction, for IPv4 and IPv6 apart, as AWS counts.
    """
    seen = {rule.spec.meaning for rule in group.rules}
    for spec in specs:
        if spec.meaning in seen:
            raise already_there(spec)
        seen.add(spec.meaning)
    added = tuple(
        StoredRule(rule_id=rule_id, spec=spec, tags=tags) for rule_id, spec in zip(rule_ids, specs, strict=True)
    )
    changed = replace_rules(group, group.rules + added)
    check_counts(changed, {spec.is_egress for spec in specs}, rules_max, weights)
    return changed


def check_counts(group: SecurityGroupView, ways: Iterable[bool], rules_max: float, weights: Weights) -> None:
    """`ways`: egress or not. Raises RulesLimitExceeded."""
    for is_egress in ways:
        if max(direction_counts(group.rules, is_egress, weights)) > rules_max:
            raise RulesLimitExceeded


def replace_rules(group: SecurityGroupView, rules: tuple[StoredRule, ...]) -> SecurityGroupView:
    return replace(group, rules=rules)


def direction_counts(rules: Iterable[StoredRule], is_egress: bool, weights: Weights) -> Weight:
    """IPv4 and IPv6 rules of a direction; a rule with a group as peer counts in both."""
    counted = [_weight(rule.spec, weights) for rule in rules if rule.spec.is_egress == is_egress]
    return sum(ipv4 for ipv4, _ in counted), sum(ipv6 for _, ipv6 in counted)


def _weight(spec: RuleSpec, weights: Weights) -> Weight:
    if spec.prefix_list is not None:
        return weights.get(spec.prefix_list, (1, 1))
    return (0 if spec.cidr_ipv6 is not None else 1, 0 if spec.cidr_ipv4 is not None else 1)


def revoked_by_meaning(group: SecurityGroupView, specs: Sequence[RuleSpec], *, in_default_vpc: bool) -> Revocation:
    """In the default VPC what does not match is told, not refused; elsewhere it is PermissionNotFound."""
    by_meaning = {rule.spec.meaning: rule for rule in group.rules}
    removed = {rule.rule_id: rule for spec in specs if (rule := by_meaning.get(spec.meaning)) is not None}
    unknown = tuple(spec for spec in specs if spec.meaning not in by_meaning)
    if unknown and not in_default_vpc:
        raise PermissionNotFound
    return Revocation(removed=tuple(removed.values()), unknown=unknown)


def revoked_by_id(group: SecurityGroupView, rule_ids: Sequence[str], *, is_egress: bool) -> Revocation:
    """Raises SecurityGroupRuleNotFound for ids of other groups or of the other direction."""
    by_id = {rule.rule_id: rule for rule in group.rules if rule.spec.is_egress == is_egress}
    missing = [rule_id for rule_id in rule_ids if rule_id not in by_id]
    if missing:
        raise SecurityGroupRuleNotFound(missing)
    return Revocation(removed=tuple(by_id[rule_id] for rule_id in dict.fromkeys(rule_ids)))


def check_deletable(group: SecurityGroupView, others: Iterable[SecurityGroupView], *, in_use: bool) -> None:
    """Raises CannotDelete for a default group, DependencyViolation while an interface or another group of its VPC uses
    it. Rules of peered VPCs do not hold it: they become stale.
    """
    if group.group_name == "default":
        raise CannotDelete(f'the specified group: "{group.group_id}" name: "default" cannot be deleted by a user')
    referred = any(
        rule.spec.peer_group == group.group_id
        for other in others
        if other.group_id != group.group_id and other.vpc_id == group.vpc_id
        for rule in other.rules
    )
    if in_use or referred:
        raise DependencyViolation(group.group_id)


def already_there(spec: RuleSpec) -> PermissionDuplicate:
    return PermissionDuplicate(f'the specified rule "{_sentence(spec)}" already exists')


def _sentence(spec: RuleSpec) -> str:
    """`peer: 203.0.113.0/24, TCP, from port: 22, to port: 22, ALLOW`."""
    protocol = "ALL" if spec.protocol == "-1" else spec.protocol.upper()
    if spec.protocol in ("tcp", "udp"):
        return f"peer: {spec.peer}, {protocol}, from port: {spec.from_port}, to port: {spec.to_port}, ALLOW"
    if spec.protocol in ("icmp", "icmpv6"):
        return f"peer: {spec.peer}, {protocol}, type: {_all(spec.from_port)}, code: {_all(spec.to_port)}, ALLOW"
    return f"peer: {spec.peer}, {protocol}, ALLOW"


def _all(number: int) -> str:
    return "ALL" if number == -1 else str(number)
