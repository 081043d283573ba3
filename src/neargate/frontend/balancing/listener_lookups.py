"""Who refers to what among load balancers, listeners, rules, target groups and certificates. Pure: a shelf in."""

from collections.abc import Iterable, Iterator

from ..regional.shelves import Shelf
from .objects import Action, Listener, Rule


def listeners_of(shelf: Shelf, load_balancer: str) -> list[Listener]:
    """By port."""
    found = [one for one in shelf.all(Listener) if one.load_balancer == load_balancer]
    return sorted(found, key=lambda one: one.port)


def rules_of(shelf: Shelf, listener: str) -> list[Rule]:
    """In order of priority; without the default one."""
    return sorted((one for one in shelf.all(Rule) if one.listener == listener), key=lambda one: one.priority)


def groups_of(actions: Iterable[Action]) -> list[str]:
    """ARNs of the target groups that actions forward to, each once."""
    return list(dict.fromkeys(group.arn for action in actions for group in action.groups))


def actions_of(shelf: Shelf, load_balancer: str) -> Iterator[Action]:
    """Of its listeners and their rules."""
    for listener in listeners_of(shelf, load_balancer):
        yield from listener.default
        for rule in rules_of(shelf, listener.arn):
            yield from rule.actions


def groups_behind(shelf: Shelf, load_balancer: str) -> list[str]:
    return groups_of(actions_of(shelf, load_balancer))


def balancers_of_groups(shelf: Shelf) -> dict[str, list[str]]:
    """ARNs of load balancers, by the group that they forward to; groups of nobody are not here."""
    owner = {one.arn: one.load_balancer for one in shelf.all(Listener)}
    pairs = [(group, one.load_balancer) for one in shelf.all(Listener) for group in groups_of(one.default)]
    pairs += [(group, owner[one.listener]) for one in shelf.all(Rule) for group in groups_of(one.actions)]
    found: dict[str, list[str]] = {}
    for group, balancer in pairs:
        beside = found.setdefault(group, [])
        if balancer not in beside:
            beside.append(balancer)
    return found


def certificate_users(shelf: Shelf, certificate: str) -> list[str]:
    """ARNs of the load balancers whose listeners show it."""
    return sorted({one.load_balancer for one in shelf.all(Listener) if certificate in one.certificates})
