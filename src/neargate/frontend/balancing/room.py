"""Whether a load balancer has room for what a call adds to it: targets, target groups, certificates, rules. Pure.

Draining targets count toward nothing: they are deregistered, and AWS lets others be registered in their place at once.
Invariant: what passes here fits the plan that hosts are told of, which is one message.
"""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from ...model.balancing import NETWORK_LB
from ..certificates.records import Certificate
from ..regional.shelves import Kept, Shelf
from . import attributes, lookup
from .errors import TooManyTargets
from .limits import CERTIFICATES_MAX_BYTES, KEY_BYTES, RULES_MAX_BYTES, Limits
from .listener_errors import TooManyCertificates, TooManyUniqueTargetGroups
from .objects import Listener, LoadBalancer, Rule, Target, TargetGroup

_CROSS_ZONE = "load_balancing.cross_zone.enabled"
_encode = msgspec.msgpack.Encoder().encode


def registered(group: TargetGroup) -> list[Target]:
    return [one for one in group.targets if one.draining_since is None]


def check_groups(
    shelf: Shelf, balancer: LoadBalancer, more: Iterable[TargetGroup], limits: Limits, beside: str = ""
) -> None:
    """Those that it leads to, and these. `beside`: the listener or rule that leads to these from now on. Raises
    TooManyUniqueTargetGroups, TooManyTargets.
    """
    found = {arn: shelf.find(TargetGroup, arn) for arn in lookup.groups_of(shelf, balancer.arn, beside)}
    groups = [one for one in {**found, **{one.arn: one for one in more}}.values() if one is not None]
    if len(groups) > limits.of(balancer.lb_type).groups:
        raise TooManyUniqueTargetGroups(balancer.arn)
    _check_targets(balancer, groups, limits)


def _check_targets(balancer: LoadBalancer, groups: Iterable[TargetGroup], limits: Limits) -> None:
    """One that is in several groups counts in each."""
    most = limits.of(balancer.lb_type)
    targets = [one for group in groups for one in registered(group)]
    if len(targets) > most.targets:
        raise TooManyTargets.of_balancer(balancer.arn, most.targets)
    if most.targets_per_zone is None or len(targets) <= most.targets_per_zone:
        return
    if balancer.lb_type == NETWORK_LB and attributes.of_balancer(balancer)[_CROSS_ZONE] == "true":
        raise TooManyTargets.across_zones(most.targets_per_zone)
    if max(Counter(one.zone for one in targets).values()) > most.targets_per_zone:
        raise TooManyTargets.of_zone(balancer.arn, most.targets_per_zone)


def check_certificates(
    shelf: Shelf, balancer: LoadBalancer, after: Listener, known: Callable[[str], Certificate | None], limits: Limits
) -> None:
    """`after`: a listener as it is to be. Default certificates count by their bytes alone. Raises
    TooManyCertificates.
    """
    listeners = [after, *(one for one in lookup.listeners_of(shelf, balancer.arn) if one.arn != after.arn)]
    if len({arn for one in listeners for arn in one.certificates[1:]}) > limits.of(balancer.lb_type).certificates:
        raise TooManyCertificates
    shown = (known(arn) for one in listeners for arn in dict.fromkeys(one.certificates))
    if sum(len(one.pem) + len(one.chain) + KEY_BYTES for one in shown if one is not None) > CERTIFICATES_MAX_BYTES:
        raise TooManyCertificates


def has_room_for(shelf: Shelf, balancer: LoadBalancer, after: Listener | Rule) -> bool:
    """Whether what its listeners and rules say is short enough, with this one as it is to be."""
    parts = {one.name: one for one in lookup.parts_of(shelf, balancer.arn)}
    return sum(map(_size, {**parts, after.name: after}.values())) <= RULES_MAX_BYTES


def _size(part: Kept) -> int:
    if isinstance(part, Rule):
        return len(_encode((part.conditions, part.actions)))
    return len(_encode(part.default)) if isinstance(part, Listener) else 0
