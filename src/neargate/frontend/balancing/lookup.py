"""Who belongs to whom on a shelf: a load balancer's listeners, their rules, the target groups that these lead to. Pure.

What is being deleted is not there any more: its nodes alone are still given back.
"""

from collections.abc import Iterable, Iterator

from ..regional.shelves import Kept, Shelf
from . import arns
from .errors import ListenerNotFound, LoadBalancerNotFound, RuleNotFound, TargetGroupNotFound
from .objects import DELETING, Action, Listener, LoadBalancer, Rule, TargetGroup


def find_balancer(shelf: Shelf, arn: str) -> LoadBalancer | None:
    found = shelf.find(LoadBalancer, arn)
    return None if found is None or found.state == DELETING else found


def required_balancer(shelf: Shelf, arn: str) -> LoadBalancer:
    """Raises LoadBalancerNotFound."""
    found = find_balancer(shelf, arn)
    if found is None:
        raise LoadBalancerNotFound.of_one(arn)
    return found


def required_group(shelf: Shelf, arn: str) -> TargetGroup:
    """Raises TargetGroupNotFound."""
    found = shelf.find(TargetGroup, arn)
    if found is None:
        raise TargetGroupNotFound.of_one(arn)
    return found


def required_listener(shelf: Shelf, arn: str) -> Listener:
    """Raises ListenerNotFound."""
    found = shelf.find(Listener, arn)
    if found is None:
        raise ListenerNotFound
    return found


def required_rule(shelf: Shelf, arn: str) -> Rule:
    """Raises RuleNotFound."""
    found = shelf.find(Rule, arn)
    if found is None:
        raise RuleNotFound
    return found


def listeners_of(shelf: Shelf, balancer: str) -> Iterator[Listener]:
    """By the load balancer's ARN, in order of ports."""
    return iter(sorted((one for one in shelf.all(Listener) if one.load_balancer == balancer), key=lambda one: one.port))


def rules_of(shelf: Shelf, listener: str) -> list[Rule]:
    """Those that are records, in order of priority."""
    return sorted((one for one in shelf.all(Rule) if one.listener == listener), key=lambda one: one.priority)


def parts_of(shelf: Shelf, balancer: str) -> tuple[Kept, ...]:
    """Listeners and rules, which go with their load balancer."""
    listeners = tuple(listeners_of(shelf, balancer))
    rules: dict[str, list[Rule]] = {one.name: [] for one in listeners}
    for rule in shelf.all(Rule):  # once for all listeners
        if rule.listener in rules:
            rules[rule.listener].append(rule)
    in_order = (sorted(found, key=lambda one: one.priority) for found in rules.values())
    return (*listeners, *(rule for found in in_order for rule in found))


def groups_in(actions: Iterable[Action]) -> Iterator[str]:
    """ARNs of the target groups that actions name; one of weight 0, too."""
    return (group.arn for action in actions for group in action.groups)


def groups_of(shelf: Shelf, balancer: str, beside: str = "") -> tuple[str, ...]:
    """ARNs of the target groups that a load balancer's listeners and rules lead to, each once. `beside`: the name of
    the one listener or rule that is left out.
    """
    found: dict[str, None] = {}
    for part in parts_of(shelf, balancer):
        if part.name != beside:
            found.update(dict.fromkeys(groups_in(_actions(part))))
    return tuple(found)


def users_of(shelf: Shelf, group: str) -> tuple[str, ...]:
    """ARNs of the load balancers that lead to a target group."""
    return users(shelf).get(group, ())


def users(shelf: Shelf) -> dict[str, tuple[str, ...]]:
    """Of each target group that is used: ARNs of the load balancers."""
    found: dict[str, dict[str, None]] = {}
    for listener in shelf.all(Listener):
        for group in groups_in(listener.default):
            found.setdefault(group, {})[listener.load_balancer] = None
    for rule in shelf.all(Rule):
        for group in groups_in(rule.actions):
            found.setdefault(group, {})[arns.balancer_of(rule.listener)] = None
    return {group: tuple(sorted(by)) for group, by in found.items()}


def certificate_users(shelf: Shelf, certificate: str) -> tuple[str, ...]:
    """ARNs of the load balancers whose listeners show it."""
    return tuple(sorted({one.load_balancer for one in shelf.all(Listener) if certificate in one.certificates}))


def carries_group(shelf: Shelf, group_id: str) -> bool:
    """Whether a load balancer has a security group, its nodes given back or not."""
    return any(group_id in one.groups for one in shelf.all(LoadBalancer))


def _actions(part: Kept) -> tuple[Action, ...]:
    if isinstance(part, Listener):
        return part.default
    return part.actions if isinstance(part, Rule) else ()
