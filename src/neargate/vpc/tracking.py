"""Which flows a changed security group ends at once, because AWS would not have tracked them. Pure.

A flow outlives the rule that let it begin, as long as it is tracked. On AWS one that a rule opens to everybody, with a
rule the other way that lets everything back, is not: it goes on only while a rule says so. Our router tracks all flows,
so those are to be forgotten when the rule goes. What passes NAT gateways or egress-only gateways is always tracked.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import TypeVar

from ..model.network import SecurityGroup, SecurityGroupRule, VpcPlan
from .flows import Address, Flow

F = TypeVar("F", bound=Flow)
Members = Callable[[str, int], Iterable[str]]  # (group id, family) -> addresses
_NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58}
_TRACKED_BY_TYPE = {6, 17}
_EVERYBODY = {4: "0.0.0.0/0", 6: "::/0"}


def lost_open_rules(before: VpcPlan, after: VpcPlan) -> bool:
    """Whether any flow can be ended by what has changed: seldom, so that hardly ever anybody looks."""
    now = {group.group_id: group for group in after.groups}
    for group in before.groups:
        kept = now.get(group.group_id)
        for had, has in (
            (group.ingress, kept.ingress if kept is not None else ()),
            (group.egress, kept.egress if kept is not None else ()),
        ):
            if had is not has and any(_is_open(rule) and rule not in has for rule in had):
                return True
    return False


def ended(
    before: VpcPlan,
    after: VpcPlan,
    groups_of: Mapping[str, tuple[str, ...]],
    members: Members,
    flows: Iterable[F],
    always_tracked: frozenset[int],
) -> Iterator[F]:
    """`groups_of`: address of an interface here -> its groups. `members` as they are now."""
    interfaces = {ip_address(text): groups for text, groups in groups_of.items()}
    old, new = _Groups(before), _Groups(after)
    for flow in flows:
        if flow.protocol not in _TRACKED_BY_TYPE or flow.mark in always_tracked or flow.mark == 0:
            continue
        for own, peer, egress in ((flow.source, flow.destination, True), (flow.receiver, flow.seen_source, False)):
            groups = interfaces.get(own)
            if groups is None or not _was_untracked(old, groups, flow, egress=egress):
                continue
            if not any(_permits(rule, flow, peer, members) for rule in new.rules(groups, egress=egress)):
                yield flow
                break


class _Groups:
    def __init__(self, plan: VpcPlan) -> None:
        self._known: Mapping[str, SecurityGroup] = {group.group_id: group for group in plan.groups}

    def rules(self, groups: tuple[str, ...], *, egress: bool) -> Iterator[SecurityGroupRule]:
        for group_id in groups:
            group = self._known.get(group_id)
            if group is not None:
                yield from group.egress if egress else group.ingress


def _was_untracked(old: _Groups, groups: tuple[str, ...], flow: Flow, *, egress: bool) -> bool:
    version = flow.source.version
    there = (rule for rule in old.rules(groups, egress=egress) if _is_open(rule, version))
    back = (rule for rule in old.rules(groups, egress=not egress) if _is_open(rule, version))
    return any(_covers(rule, flow) for rule in there) and any(_covers_all_answers(rule, flow) for rule in back)


def _is_open(rule: SecurityGroupRule, version: int | None = None) -> bool:
    versions = (4, 6) if version is None else (version,)
    return any((rule.cidr_ipv4 if each == 4 else rule.cidr_ipv6) == _EVERYBODY[each] for each in versions)


def _permits(rule: SecurityGroupRule, flow: Flow, peer: Address, members: Members) -> bool:
    if not _covers(rule, flow):
        return False
    if rule.peer_group is not None:
        return str(peer) in members(rule.peer_group, peer.version)
    cidr = rule.cidr_ipv4 if peer.version == 4 else rule.cidr_ipv6
    try:
        return cidr is not None and peer in ip_network(cidr, strict=False)
    except ValueError:
        return False  # such a rule allows nothing


def _covers(rule: SecurityGroupRule, flow: Flow) -> bool:
    if rule.protocol == "-1":
        return True
    if str(_NUMBERS.get(rule.protocol, rule.protocol)) != str(flow.protocol):
        return False
    first, last = _ports(rule)
    return first <= flow.port <= last


def _covers_all_answers(rule: SecurityGroupRule, flow: Flow) -> bool:
    return _covers(rule, flow) and (rule.protocol == "-1" or _ports(rule) == (0, 65535))


def _ports(rule: SecurityGroupRule) -> tuple[int, int]:
    first = 0 if rule.from_port is None or rule.from_port < 0 else rule.from_port
    return first, 65535 if rule.to_port is None or rule.to_port < 0 else rule.to_port
