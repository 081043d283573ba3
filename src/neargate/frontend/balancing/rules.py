"""What calls make of rules: shelf in, change out. Pure.

Invariants: a priority is one rule's of its listener; the default rule is the listener's own default action, and can
neither go nor change by itself.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ...model.balancing import APPLICATION
from ..network.records.objects import Tags
from ..regional.shelves import Change, Shelf
from . import lookup
from .actions import shown_action
from .arns import listener_of, rule_arn
from .associations import check_actions
from .conditions import GivenCondition
from .errors import OperationNotPermitted, ValidationError
from .limits import AWS_LIMITS, Limits
from .listener_errors import InvalidAction, PriorityInUse, TooManyRules, UnsupportedProtocol
from .objects import Action, Listener, LoadBalancer, Rule
from .room import has_room_for

PRIORITY_MAX = 50_000


class WantedRule(Struct, frozen=True, kw_only=True):
    """What a call says; None: nothing."""

    priority: int | None = None
    conditions: tuple[GivenCondition, ...] | None = None
    actions: tuple[Action, ...] | None = None


def default_rule_arn(listener: str) -> str:
    """Of a listener's default rule, which is no record: the same at each look."""
    return rule_arn(listener, hashlib.sha256(f"default rule\0{listener}".encode()).hexdigest()[:16])


def create(
    shelf: Shelf,
    listener_arn: str,
    wanted: WantedRule,
    tags: Tags,
    number: str,
    now: float,
    limits: Limits = AWS_LIMITS,
) -> Change[Rule]:
    """Raises ListenerNotFound, PriorityInUse, TooManyRules, and what its actions raise."""
    listener, balancer = _of_application(shelf, listener_arn)
    assert wanted.priority is not None and wanted.conditions is not None and wanted.actions is not None
    _check_priority(wanted.priority)
    if any(one.priority == wanted.priority for one in lookup.rules_of(shelf, listener_arn)):
        raise PriorityInUse(wanted.priority)
    beside = sum(isinstance(one, Rule) for one in lookup.parts_of(shelf, balancer.arn))
    if beside >= limits.rules:
        raise TooManyRules(balancer.label)
    check_actions(shelf, balancer, listener.protocol, wanted.actions, limits)
    made = Rule(
        account=shelf.account,
        name=rule_arn(listener_arn, number),
        listener=listener_arn,
        priority=wanted.priority,
        conditions=tuple(one.condition for one in wanted.conditions),
        shown=_shown_bytes(wanted.conditions),
        actions=wanted.actions,
        created_at=now,
        tags=tags,
    )
    if not has_room_for(shelf, balancer, made):
        raise TooManyRules(balancer.label)
    return Change(result=made, put=(made,))


def modify(shelf: Shelf, arn: str, wanted: WantedRule, limits: Limits = AWS_LIMITS) -> Change[Rule]:
    """What is not said stays. Raises RuleNotFound, OperationNotPermitted, and what its actions raise."""
    _refuse_default(shelf, arn, "modified")
    before = lookup.required_rule(shelf, arn)
    listener, balancer = _of_application(shelf, before.listener)
    after = before
    if wanted.actions is not None:
        check_actions(shelf, balancer, listener.protocol, wanted.actions, limits, arn)
        after = replace(after, actions=wanted.actions)
    if wanted.conditions is not None:
        conditions = tuple(one.condition for one in wanted.conditions)
        after = replace(after, conditions=conditions, shown=_shown_bytes(wanted.conditions))
    if not has_room_for(shelf, balancer, after):
        raise InvalidAction(f"The rules of the load balancer '{balancer.label}' are too long together")
    return Change(result=after, put=(after,) if after != before else ())


def delete(shelf: Shelf, arn: str) -> Change[None]:
    """Raises RuleNotFound, OperationNotPermitted."""
    _refuse_default(shelf, arn, "deleted")
    return Change(result=None, drop=(lookup.required_rule(shelf, arn),))


def set_priorities(shelf: Shelf, given: Mapping[str, int]) -> Change[list[Rule]]:
    """All at once, so that two may change places. Raises RuleNotFound, OperationNotPermitted, PriorityInUse,
    ValidationError.
    """
    for arn, priority in given.items():
        _refuse_default(shelf, arn, "given a priority")
        _check_priority(priority)
    after = [replace(lookup.required_rule(shelf, arn), priority=priority) for arn, priority in given.items()]
    for listener in {one.listener for one in after}:
        taken = {one.priority for one in lookup.rules_of(shelf, listener) if one.arn not in given}
        for one in after:
            if one.listener == listener:
                if one.priority in taken:
                    raise PriorityInUse(one.priority)
                taken.add(one.priority)
    return Change(result=after, put=tuple(after))


def _check_priority(priority: int) -> None:
    if not 1 <= priority <= PRIORITY_MAX:
        raise ValidationError(f"Rule priority '{priority}' must be between '1' and '{PRIORITY_MAX}'")


def _of_application(shelf: Shelf, listener_arn: str) -> tuple[Listener, LoadBalancer]:
    listener = lookup.required_listener(shelf, listener_arn)
    balancer = lookup.required_balancer(shelf, listener.load_balancer)
    if balancer.lb_type != APPLICATION:
        raise UnsupportedProtocol(f"Rules are not supported for listeners of protocol '{listener.protocol}'")
    return listener, balancer


def _refuse_default(shelf: Shelf, arn: str, done: str) -> None:
    listener = listener_of(arn)
    if shelf.find(Listener, listener) is not None and arn == default_rule_arn(listener):
        raise OperationNotPermitted(f"Default rule '{arn}' cannot be {done}")


def _shown_bytes(conditions: Sequence[GivenCondition]) -> bytes:
    return msgspec.json.encode([one.shown for one in conditions])


# -- as answers show them


def shown_rule(rule: Rule) -> dict[str, Any]:
    return {
        "RuleArn": rule.arn,
        "Priority": str(rule.priority),
        "Conditions": msgspec.json.decode(rule.shown),
        "Actions": [shown_action(one) for one in rule.actions],
        "IsDefault": False,
    }


def shown_default(listener: Listener) -> dict[str, Any]:
    return {
        "RuleArn": default_rule_arn(listener.arn),
        "Priority": "default",
        "Conditions": [],
        "Actions": [shown_action(one) for one in listener.default],
        "IsDefault": True,
    }
