"""What a call makes of rules that a security group has: other contents, other descriptions. Shelf in, change out. Pure.

Must not know requests. Invariants: a rule keeps its id, its direction and the kind of its peer; no two rules of a group
mean the same; a group never has more rules than AWS lets it.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from ...regional.shelves import Change, Shelf
from ..errors.common import InvalidParameterValue, PermissionNotFound, SecurityGroupRuleNotFound
from ..records.security_groups import (
    RuleSpec,
    SecurityGroupView,
    StoredRule,
    already_there,
    check_counts,
    replace_rules,
)
from .groups import required_group, with_peer_checked
from .prefix_lists import weights

_A = {"IPv4 CIDR": "an IPv4 CIDR", "IPv6 CIDR": "an IPv6 CIDR"}


def modify_rules(
    shelf: Shelf, group_id: str, wanted: Mapping[str, RuleSpec], rules_max: float, region: str
) -> Change[None]:
    """`wanted`: by the rules' ids; the direction is the rule's own.

    Raises GroupNotFound, SecurityGroupRuleNotFound, InvalidParameterValue, PrefixListNotFound, PermissionDuplicate,
    RulesLimitExceeded.
    """
    group = required_group(shelf, group_id)
    by_id = {rule.rule_id: rule for rule in group.rules}
    missing = [rule_id for rule_id in wanted if rule_id not in by_id]
    if missing:
        raise SecurityGroupRuleNotFound(missing)
    specs = {rule_id: replace(spec, is_egress=by_id[rule_id].spec.is_egress) for rule_id, spec in wanted.items()}
    for rule_id, spec in specs.items():
        _check_kind(rule_id, by_id[rule_id].spec, spec)
        specs[rule_id] = with_peer_checked(shelf, group, spec, region)
    changed = replace_rules(
        group, tuple(replace(rule, spec=specs.get(rule.rule_id, rule.spec)) for rule in group.rules)
    )
    _check_apart(changed, specs)
    check_counts(changed, {spec.is_egress for spec in specs.values()}, rules_max, weights(shelf, region))
    return Change(result=None, put=(changed,) if changed != group else ())


def _check_kind(rule_id: str, before: RuleSpec, after: RuleSpec) -> None:
    if before.peer_kind != after.peer_kind:
        named = _A.get(after.peer_kind, f"a {after.peer_kind}")
        raise InvalidParameterValue(
            f"Invalid rule type for security group rule '{rule_id}'. "
            f"You may not specify {named} for an existing {before.peer_kind} rule."
        )


def _check_apart(group: SecurityGroupView, specs: Mapping[str, RuleSpec]) -> None:
    """Told is a rule that was to change, not the one that it would be the same as."""
    seen: set[tuple[bool, str, int, int, str]] = set()
    for rule in sorted(group.rules, key=lambda rule: rule.rule_id in specs):
        if rule.spec.meaning in seen:
            raise already_there(rule.spec)
        seen.add(rule.spec.meaning)


def describe_by_meaning(shelf: Shelf, group_id: str, specs: Sequence[RuleSpec]) -> Change[None]:
    """The rules that mean what `specs` do get their descriptions. Raises GroupNotFound, PermissionNotFound."""
    group = required_group(shelf, group_id)
    wanted = {spec.meaning: spec.description for spec in specs}
    if not wanted.keys() <= {rule.spec.meaning for rule in group.rules}:
        raise PermissionNotFound
    return _described(group, lambda rule: wanted.get(rule.spec.meaning, rule.spec.description))


def describe_by_id(
    shelf: Shelf, group_id: str, descriptions: Mapping[str, str | None], *, is_egress: bool
) -> Change[None]:
    """Raises GroupNotFound, SecurityGroupRuleNotFound for ids of other groups or of the other direction."""
    group = required_group(shelf, group_id)
    known = {rule.rule_id for rule in group.rules if rule.spec.is_egress == is_egress}
    missing = [rule_id for rule_id in descriptions if rule_id not in known]
    if missing:
        raise SecurityGroupRuleNotFound(missing)
    return _described(group, lambda rule: descriptions.get(rule.rule_id, rule.spec.description))


def _described(group: SecurityGroupView, description: Callable[[StoredRule], str | None]) -> Change[None]:
    rules = tuple(replace(rule, spec=replace(rule.spec, description=description(rule))) for rule in group.rules)
    changed = replace_rules(group, rules)
    return Change(result=None, put=(changed,) if changed != group else ())
