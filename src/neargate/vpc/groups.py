"""Security groups as chains: one pair for each combination of groups that an ENI has, shared by all ENIs with it.

Owns what the rules of a combination become, and who is a member of a group that a rule refers to. An allowed packet
`return`s; whatever reaches a chain's end is dropped, so an unknown group and an unreadable rule both mean: no.
"""

import hashlib
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network

from ..model.network import SecurityGroup, SecurityGroupRule, VpcPlan
from .marks import LOCAL_MARK, arrival_mark
from .matches import plain, protocol_match
from .rejections import Refusals
from .table import object_name


def combination_chains(groups: tuple[str, ...]) -> tuple[str, str]:
    """Names of the egress and the ingress chain that all ENIs with exactly these groups share."""
    digest = hashlib.sha256("\n".join(groups).encode()).hexdigest()[:16]
    return f"g_{digest}_out", f"g_{digest}_in"


def combination_rules(
    groups: Iterable[SecurityGroup], foreign: Mapping[str, int], refused: Refusals
) -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """(lines of the egress chain, of the ingress chain, groups that the rules refer to).

    `foreign`: groups of peered VPCs -> the mark of the way there. The last line is what makes a chain safe: its end
    would otherwise return, which means allowed.
    """
    known = list(groups)
    egress = [rule for group in known for rule in group.egress]
    ingress = [rule for group in known for rule in group.ingress]
    peers = (rule.peer_group for rule in (*egress, *ingress))
    referenced = frozenset(peer for peer in peers if peer is not None)
    outwards = (*_chain(egress, "daddr", foreign), refused.egress)
    return outwards, (*_chain(ingress, "saddr", foreign), refused.ingress), referenced


def member_sets(group_id: str, members: Iterable[str]) -> dict[str, dict[str, str]]:
    """The sets of a referenced group's addresses, by family. A group that nobody knows has none."""
    found: dict[str, dict[str, str]] = {member_set_name(4, group_id): {}, member_set_name(6, group_id): {}}
    for text in members:
        address = ip_address(plain(text))
        found[member_set_name(address.version, group_id)][str(address)] = ""
    return found


def unusable_rules(plan: VpcPlan) -> list[str]:
    """One sentence per rule that cannot be expressed; such a rule allows nothing."""
    sentences = []
    for group in plan.groups:
        for direction, rules in (("ingress", group.ingress), ("egress", group.egress)):
            for rule in rules:
                try:
                    _matches(rule, "saddr", {})
                except ValueError as error:
                    sentences.append(f"{group.group_id}: {direction} rule is ignored: {error}")
    return sentences


def _chain(rules: Iterable[SecurityGroupRule], peer_side: str, foreign: Mapping[str, int]) -> tuple[str, ...]:
    """The rules of a combination, merged: one line per protocol and port range, its networks in one set."""
    networks: dict[tuple[int, str], list[IPv4Network | IPv6Network]] = {}
    lines: set[str] = set()
    for rule in rules:
        try:
            matches = _matches(rule, peer_side, foreign)
        except ValueError:
            # A rule that cannot be read allows nothing; `unusable_rules` names it to the operator.
            continue
        for version, network, line in matches:
            if network is None:
                lines.add(line)
            else:
                networks.setdefault((version, line), []).append(network)
    for (version, line), found in networks.items():
        lines.add(_network_match(version, found, peer_side, line))
    return tuple(sorted(lines))


def _network_match(version: int, networks: list[IPv4Network | IPv6Network], side: str, line: str) -> str:
    merged = list(collapse_addresses(networks))  # type: ignore[type-var]  # all of one family, by the caller's key
    if any(network.prefixlen == 0 for network in merged):
        return f"meta nfproto ipv{version} {line}"
    family = "ip" if version == 4 else "ip6"
    addresses = ", ".join(str(network) for network in merged)
    return f"{family} {side} {{ {addresses} }} {line}"


def _matches(
    rule: SecurityGroupRule, side: str, foreign: Mapping[str, int]
) -> list[tuple[int, IPv4Network | IPv6Network | None, str]]:
    """(family, network or None where the line is complete, line) for each family the rule speaks of."""
    if rule.peer_group is not None:
        # Its address makes a member only of who is reached straight, not through a NAT gateway, and by the way to it.
        way = _way(foreign.get(rule.peer_group), side)
        return [
            (version, None, f"{way}{family} {side} @{member_set_name(version, rule.peer_group)} {match}return")
            for version, family in ((4, "ip"), (6, "ip6"))
            if (match := protocol_match(rule.protocol, rule.from_port, rule.to_port, version)) is not None
        ]
    text = rule.cidr_ipv4 if rule.cidr_ipv4 is not None else rule.cidr_ipv6
    if text is None:
        raise ValueError("it has no peer")
    network = ip_network(plain(text), strict=False)
    if network.version != (4 if rule.cidr_ipv4 is not None else 6):
        raise ValueError(f"{text} is of the other address family")
    match = protocol_match(rule.protocol, rule.from_port, rule.to_port, network.version)
    return [] if match is None else [(network.version, network, f"{match}return")]


def _way(foreign_mark: int | None, side: str) -> str:
    if side == "daddr":
        return f"meta mark {foreign_mark or LOCAL_MARK:#x} "
    return "" if foreign_mark is None else f"meta mark {arrival_mark(foreign_mark):#x} "


def member_set_name(version: int, group_id: str) -> str:
    return object_name(f"m{version}", group_id)
