"""Security groups of a VPC as an nftables rule set: a value, and the transaction from one value to the next.

Owns the text of a VPC router's table. Knows nothing of namespaces or sockets. An allowed packet `return`s from the
sender's egress chain and then from the receiver's ingress chain; whatever reaches the end of either is dropped, so an
unknown group, an unknown interface and an unreadable rule all mean: no. Everything that enters the text is parsed
(addresses, ports) or matched against a pattern (ids) first: a plan cannot smuggle nftables syntax.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address, ip_network

from msgspec import Struct

from ..model.network import (
    AWS_RESOLVER_ADDRESS,
    REGION_ENDPOINT_ADDRESS,
    RESOLVER_ADDRESS,
    TASK_METADATA_ADDRESS,
    Eni,
    SecurityGroup,
    SecurityGroupRule,
    VpcPlan,
)

TABLE = "inet neargate"
UPLINK = "up0"
LOOKUPS_PER_S = 1024  # packets that one interface may send to the resolver: AWS's bound

# Sets and maps that exist in every router. The names of an ENI's elements below refer to these.
FIXED_SETS: dict[str, str] = {
    "eni4": "set eni4 { type ifname . ipv4_addr; }",
    "eni6": "set eni6 { type ifname . ipv6_addr; }",
    "out4": "map out4 { type ifname . ipv4_addr : verdict; }",
    "out6": "map out6 { type ifname . ipv6_addr : verdict; }",
    "in4": "map in4 { type ipv4_addr : verdict; }",
    "in6": "map in6 { type ipv6_addr : verdict; }",
    "pub_in": "map pub_in { type ipv4_addr : ipv4_addr; }",
    "pub_out": "map pub_out { type ipv4_addr : ipv4_addr; }",
    "pub_private": "set pub_private { type ipv4_addr; }",
    "pub_own": "set pub_own { type ipv4_addr; }",
    "resolver": "set resolver { type ipv4_addr; }",
    "asked": "set asked { type ipv4_addr; size 65536; flags dynamic,timeout; timeout 60s; }",
}

# Dnat only on the uplink, so that a task calling a public address goes out through the edge and comes back (hairpin)
# and the target sees the sender's public address, as on AWS.
BASE_CHAINS = """
  chain c_spoof {
    type filter hook prerouting priority -300; policy drop;
    iifname { "lo", "up0" } accept
    iifname . ip saddr @eni4 accept
    iifname . ip6 saddr @eni6 accept
  }
  chain egress {
    iifname "up0" ct status dnat return
    iifname . ip saddr vmap @out4
    iifname . ip6 saddr vmap @out6
    drop
  }
  chain ingress {
    oifname "up0" ip saddr @pub_private return
    ip daddr vmap @in4
    ip6 daddr vmap @in6
    drop
  }
  chain c_fwd {
    type filter hook forward priority 0; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    jump egress
    jump ingress
    accept
  }
  chain c_input {
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    ip daddr RESOLVER update @asked { ip saddr limit rate over LOOKUPS/second burst LOOKUPS packets } drop
    iifname "e*" ip daddr METADATA tcp dport 80 accept
    iifname "e*" ip daddr ENDPOINT tcp dport PORT accept
    iifname "e*" ip daddr RESOLVER meta l4proto { tcp, udp } th dport 53 accept
    ct state established,related accept
  }
  chain c_dnat {
    type nat hook prerouting priority -100; policy accept;
    iifname "e*" ip daddr @resolver meta l4proto { tcp, udp } th dport 53 dnat ip to RESOLVER
    iifname "up0" dnat ip to ip daddr map @pub_in
  }
  chain c_snat {
    type nat hook postrouting priority 100; policy accept;
    oifname "up0" snat ip to ip saddr map @pub_out
  }
  chain c_post {
    type filter hook postrouting priority 110; policy accept;
    oifname "up0" ip saddr @pub_own accept
    oifname "up0" drop
  }
"""

_NUMBERED = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
_PLAIN_ID = re.compile(r"[a-z]{1,8}-[0-9a-z]{1,24}")


class LocalEni(Struct, frozen=True, kw_only=True):
    """An ENI of this host with what it adds to the fixed sets: (set, key, value); value is empty in plain sets."""

    groups: tuple[str, ...]
    addresses: tuple[str, ...]
    elements: tuple[tuple[str, str, str], ...]


class RouterRules(Struct, frozen=True, kw_only=True):
    """The rule set of one router. Never changed after it was made: `transaction` compares two of them."""

    plan: VpcPlan
    endpoint_port: int
    sets: Mapping[str, Mapping[str, str]]
    chains: Mapping[str, tuple[str, ...]]
    referenced: Mapping[tuple[str, ...], frozenset[str]]


def local_eni(interface: str, eni: Eni) -> LocalEni:
    """Raises ValueError for an address that is none."""
    groups = tuple(sorted(set(eni.security_groups)))
    outwards, inwards = (f"goto {name}" for name in _combination_chains(groups))
    private = _address(eni.private_ipv4, 4)
    elements = [
        ("eni4", f'"{interface}" . {private}', ""),
        ("out4", f'"{interface}" . {private}', outwards),
        ("in4", private, inwards),
    ]
    addresses = [private]
    if eni.ipv6 is not None:
        ipv6 = _address(eni.ipv6, 6)
        addresses.append(ipv6)
        elements += [
            ("eni6", f'"{interface}" . {ipv6}', ""),
            ("out6", f'"{interface}" . {ipv6}', outwards),
            ("in6", ipv6, inwards),
        ]
    if eni.public_ipv4 is not None:
        public = _address(eni.public_ipv4, 4)
        elements += [
            ("pub_in", public, private),
            ("pub_out", private, public),
            ("pub_private", private, ""),
            ("pub_own", public, ""),
        ]
    return LocalEni(groups=groups, addresses=tuple(addresses), elements=tuple(elements))


def render(
    plan: VpcPlan, enis: Iterable[LocalEni], *, endpoint_port: int, previous: RouterRules | None = None
) -> RouterRules:
    """The rule set of a plan and this host's ENIs. `previous` only saves work: chains of the same plan are reused."""
    members = list(enis)
    sets: dict[str, dict[str, str]] = {name: {} for name in FIXED_SETS}
    if plan.resolver is not None:
        sets["resolver"] = {plan.resolver: "", AWS_RESOLVER_ADDRESS: ""}
    for eni in members:
        for name, key, value in eni.elements:
            sets[name][key] = value
    groups = {group.group_id: group for group in plan.groups}
    reusable = previous if previous is not None and previous.plan is plan else None
    chains: dict[str, tuple[str, ...]] = {}
    referenced: dict[tuple[str, ...], frozenset[str]] = {}
    for combination in {eni.groups for eni in members}:
        outwards, inwards = _combination_chains(combination)
        if reusable is not None and combination in reusable.referenced:
            chains[outwards], chains[inwards] = reusable.chains[outwards], reusable.chains[inwards]
            referenced[combination] = reusable.referenced[combination]
            continue
        known = [groups[group_id] for group_id in combination if group_id in groups]
        egress = [rule for group in known for rule in group.egress]
        ingress = [rule for group in known for rule in group.ingress]
        chains[outwards] = _chain(egress, "daddr")
        chains[inwards] = _chain(ingress, "saddr")
        peers = (rule.peer_group for rule in (*egress, *ingress))
        referenced[combination] = frozenset(peer for peer in peers if peer is not None)
    for group_id in frozenset().union(*referenced.values()):
        sets |= _member_sets(group_id, groups.get(group_id), members)
    return RouterRules(plan=plan, endpoint_port=endpoint_port, sets=sets, chains=chains, referenced=referenced)


def transaction(old: RouterRules | None, new: RouterRules) -> str:
    """nft text that turns `old` into `new` at one instant; with `old` None the whole table is replaced.

    Empty when there is nothing to do. Established flows are not touched by it: conntrack is outside the table.
    """
    lines = [] if old is not None else [_whole_table(new.endpoint_port)]
    old_sets: Mapping[str, Mapping[str, str]] = old.sets if old is not None else {name: {} for name in FIXED_SETS}
    old_chains: Mapping[str, tuple[str, ...]] = old.chains if old is not None else {}
    lines += [f"add set {TABLE} {name} {{ {_member_type(name)} }}" for name in new.sets if name not in old_sets]
    lines += [f"add chain {TABLE} {name}" for name in new.chains if name not in old_chains]
    for name, rules in new.chains.items():
        if old_chains.get(name) != rules:
            if name in old_chains:
                lines.append(f"flush chain {TABLE} {name}")
            lines += [f"add rule {TABLE} {name} {rule}" for rule in rules]
    for name, elements in new.sets.items():
        lines += _element_changes(name, old_sets.get(name, {}), elements)
    # Chains go after the map elements that lead to them, sets after the chains that ask them.
    lines += [f"delete chain {TABLE} {name}" for name in old_chains if name not in new.chains]
    lines += [f"delete set {TABLE} {name}" for name in old_sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""


def unusable_rules(plan: VpcPlan) -> list[str]:
    """One sentence per rule that cannot be expressed; such a rule allows nothing."""
    sentences = []
    for group in plan.groups:
        for direction, rules in (("ingress", group.ingress), ("egress", group.egress)):
            for rule in rules:
                try:
                    _matches(rule, "saddr")
                except ValueError as error:
                    sentences.append(f"{group.group_id}: {direction} rule is ignored: {error}")
    return sentences


def _whole_table(endpoint_port: int) -> str:
    chains = (
        BASE_CHAINS.replace("METADATA", TASK_METADATA_ADDRESS)
        .replace("ENDPOINT", REGION_ENDPOINT_ADDRESS)
        .replace("RESOLVER", RESOLVER_ADDRESS)
        .replace("LOOKUPS", str(LOOKUPS_PER_S))
        .replace("PORT", str(int(endpoint_port)))
    )
    sets = "\n".join(f"  {declaration}" for declaration in FIXED_SETS.values())
    # `add` before `delete`: deleting a table that is not there would fail the whole transaction.
    return f"add table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{sets}\n{chains}\n}}"


def _element_changes(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    gone = [key for key, value in old.items() if new.get(key) != value]
    come = [(key, value) for key, value in new.items() if old.get(key) != value]
    lines = []
    if gone:
        lines.append(f"delete element {TABLE} {name} {{ {', '.join(gone)} }}")
    if come:
        entries = ", ".join(f"{key} : {value}" if value else key for key, value in come)
        lines.append(f"add element {TABLE} {name} {{ {entries} }}")
    return lines


def _member_sets(group_id: str, group: SecurityGroup | None, enis: Iterable[LocalEni]) -> dict[str, dict[str, str]]:
    """Members of a referenced group by family. A group nobody knows has none."""
    found = [address for eni in enis if group_id in eni.groups for address in eni.addresses]
    found += group.remote_members if group is not None else ()
    members: dict[str, dict[str, str]] = {_set_name(4, group_id): {}, _set_name(6, group_id): {}}
    for text in found:
        address = ip_address(text)
        members[_set_name(address.version, group_id)][str(address)] = ""
    return members


def _chain(rules: Iterable[SecurityGroupRule], peer_side: str) -> tuple[str, ...]:
    """The rules of a combination, merged: one line per protocol and port range, its networks in one set."""
    networks: dict[tuple[int, str], list[IPv4Network | IPv6Network]] = {}
    lines: set[str] = set()
    for rule in rules:
        try:
            matches = _matches(rule, peer_side)
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
    # The last line is what makes the chain safe: its end would otherwise return, which means allowed.
    return (*sorted(lines), "drop")


def _network_match(version: int, networks: list[IPv4Network | IPv6Network], side: str, line: str) -> str:
    merged = list(collapse_addresses(networks))  # type: ignore[type-var]  # all of one family, by the caller's key
    if any(network.prefixlen == 0 for network in merged):
        return f"meta nfproto ipv{version} {line}"
    family = "ip" if version == 4 else "ip6"
    addresses = ", ".join(str(network) for network in merged)
    return f"{family} {side} {{ {addresses} }} {line}"


def _matches(rule: SecurityGroupRule, side: str) -> list[tuple[int, IPv4Network | IPv6Network | None, str]]:
    """(family, network or None where the line is complete, line) for each family the rule speaks of."""
    if rule.peer_group is not None:
        return [
            (version, None, f"{family} {side} @{_set_name(version, rule.peer_group)} {match}return")
            for version, family in ((4, "ip"), (6, "ip6"))
            if (match := _protocol_match(rule, version)) is not None
        ]
    text = rule.cidr_ipv4 if rule.cidr_ipv4 is not None else rule.cidr_ipv6
    if text is None:
        raise ValueError("it has no peer")
    network = ip_network(text, strict=False)
    if network.version != (4 if rule.cidr_ipv4 is not None else 6):
        raise ValueError(f"{text} is of the other address family")
    match = _protocol_match(rule, network.version)
    return [] if match is None else [(network.version, network, f"{match}return")]


def _protocol_match(rule: SecurityGroupRule, version: int) -> str | None:
    """The match with a trailing space, empty for all protocols; None where the protocol is not of this family."""
    protocol = _NUMBERED.get(rule.protocol, rule.protocol)
    if protocol == "-1":
        return ""
    if protocol in ("tcp", "udp"):
        return _port_match(protocol, rule.from_port, rule.to_port)
    if protocol in ("icmp", "icmpv6"):
        if (protocol == "icmp") != (version == 4):
            return None
        return _icmp_match(protocol, rule.from_port, rule.to_port)
    number = int(protocol)
    if not 0 <= number <= 255:
        raise ValueError(f"{number} is no protocol number")
    return f"meta l4proto {number} "


def _port_match(protocol: str, first: int | None, last: int | None) -> str:
    low = 0 if first is None or first < 0 else int(first)
    high = 65535 if last is None or last < 0 else int(last)
    if low > high or high > 65535:
        raise ValueError(f"{low}-{high} is no port range")
    if (low, high) == (0, 65535):
        return f"meta l4proto {protocol} "
    return f"{protocol} dport {low} " if low == high else f"{protocol} dport {low}-{high} "


def _icmp_match(protocol: str, icmp_type: int | None, code: int | None) -> str:
    if icmp_type is None or icmp_type < 0:
        # Not `meta l4proto` alone with a number: icmp over the other family must not pass.
        return f"meta l4proto {'icmp' if protocol == 'icmp' else 'ipv6-icmp'} "
    if icmp_type > 255 or (code is not None and code > 255):
        raise ValueError(f"{icmp_type}/{code} is no ICMP type and code")
    match = f"{protocol} type {int(icmp_type)} "
    return match if code is None or code < 0 else f"{match}{protocol} code {int(code)} "


def _combination_chains(groups: tuple[str, ...]) -> tuple[str, str]:
    """Names of the egress and the ingress chain that all ENIs with exactly these groups share."""
    digest = hashlib.sha256("\n".join(groups).encode()).hexdigest()[:16]
    return f"g_{digest}_out", f"g_{digest}_in"


def _set_name(version: int, group_id: str) -> str:
    # Readable where the id is of AWS's form; anything else is hashed, so that it cannot carry syntax or collide.
    safe = group_id if _PLAIN_ID.fullmatch(group_id) else f"x_{hashlib.sha256(group_id.encode()).hexdigest()[:24]}"
    return f"m{version}_{safe}"


def _member_type(name: str) -> str:
    return "type ipv4_addr;" if name.startswith("m4_") else "type ipv6_addr;"


def _address(text: str, version: int) -> str:
    address = ip_address(text)
    if address.version != version:
        raise ValueError(f"{text} is no IPv{version} address")
    return str(address)
