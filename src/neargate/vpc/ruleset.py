"""A VPC's rule set as an nftables value, and the transaction from one value to the next.

Owns what an ENI adds, and how plan and ENIs become one table: routes (`steering`), security groups (`groups`), all in
the skeleton (`table`), changed at one instant. Knows nothing of namespaces or sockets. An unknown group, an unknown
subnet, an unknown interface and an unreadable rule all mean: no. Everything that enters the text is parsed (addresses,
ports) or matched against a pattern (ids) first: a plan cannot smuggle nftables syntax.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address

from msgspec import Struct

from ..model.network import Eni, SecurityGroup, VpcPlan
from .groups import combination_chains, combination_rules, member_set_name, member_sets
from .matches import plain
from .rejections import are_logged, refusals
from .steering import Steering, steer, subnet_chain
from .table import FIXED_SETS, TABLE, declaration, whole_table

_ROUTED_BY = (
    "cidrs",
    "subnets",
    "tables",
    "acls",
    "nats",
    "peerings",
    "pools",
    "private_beyond",
)  # a plan's fields that `steer` reads


class LocalEni(Struct, frozen=True, kw_only=True):
    """An ENI of this host with what it adds to the fixed sets: (set, key, value); value is empty in plain sets."""

    subnet_id: str
    groups: tuple[str, ...]
    addresses: tuple[str, ...]
    elements: tuple[tuple[str, str, str], ...]


class PeerVpc(Struct, frozen=True, kw_only=True):
    """The other side of a peering, as far as rules may refer to it: its groups, and who is in them on this host."""

    peering_id: str
    groups: tuple[SecurityGroup, ...]
    members: tuple[LocalEni, ...]


class RouterRules(Struct, frozen=True, kw_only=True):
    """The rule set of one router. Never changed after it was made: `transaction` compares two of them."""

    plan: VpcPlan
    endpoint_port: int
    steering: Steering
    sets: Mapping[str, Mapping[str, str]]
    chains: Mapping[str, tuple[str, ...]]
    referenced: Mapping[tuple[str, ...], frozenset[str]]
    foreign: Mapping[str, int]  # groups of peered VPCs -> the mark of the way there

    def members(self, group_id: str, version: int) -> Iterable[str]:
        """Addresses of a group that rules refer to."""
        return self.sets.get(member_set_name(version, group_id), {})


def local_eni(interface: str, eni: Eni) -> LocalEni:
    """Raises ValueError for an address that is none."""
    groups = tuple(sorted(set(eni.security_groups)))
    egress, ingress = combination_chains(groups)
    outwards, inwards = f"goto {egress}", f"goto {ingress}"
    routed = f"goto {subnet_chain(eni.subnet_id)}"
    private = _address(eni.private_ipv4, 4)
    elements = [
        ("eni4", f'"{interface}" . {private}', routed),
        ("own4", f'"{interface}" . {private}', ""),
        ("out4", f'"{interface}" . {private}', outwards),
        ("in4", private, inwards),
    ]
    addresses = [private]
    if eni.ipv6 is not None:
        ipv6 = _address(eni.ipv6, 6)
        addresses.append(ipv6)
        elements += [
            ("eni6", f'"{interface}" . {ipv6}', routed),
            ("own6", f'"{interface}" . {ipv6}', ""),
            ("out6", f'"{interface}" . {ipv6}', outwards),
            ("in6", ipv6, inwards),
        ]
    if eni.public_ipv4 is not None:
        public = _address(eni.public_ipv4, 4)
        elements += [("pub_in", public, private), ("pub_out", private, public), ("pub_own", public, "")]
        elements.append(("pub_self", f"{public} . {public}", f"jump {ingress}"))
    return LocalEni(subnet_id=eni.subnet_id, groups=groups, addresses=tuple(addresses), elements=tuple(elements))


def render(
    plan: VpcPlan,
    enis: Iterable[LocalEni],
    *,
    endpoint_port: int,
    peers: Sequence[PeerVpc] = (),
    previous: RouterRules | None = None,
) -> RouterRules:
    """The rule set of a plan and this host's ENIs. `previous` only saves work: what it has of the same is reused."""
    steering = previous.steering if previous is not None and _routed_alike(previous.plan, plan) else steer(plan)
    known_subnets = {subnet.subnet_id for subnet in plan.subnets}
    members = [eni for eni in enis if eni.subnet_id in known_subnets]
    sets: dict[str, Mapping[str, str]] = dict(steering.sets)
    fixed = {name: dict(steering.sets[name]) for name in FIXED_SETS}
    for eni in members:
        for name, key, value in eni.elements:
            fixed[name][key] = value
    sets |= fixed
    groups = {group.group_id: group for group in plan.groups}
    foreign = _foreign(plan, steering, peers)
    changed = _changed_groups(previous, plan, foreign)
    chains = dict(steering.chains)
    referenced: dict[tuple[str, ...], frozenset[str]] = {}
    refused = refusals(plan)
    for combination in {eni.groups for eni in members}:
        outwards, inwards = combination_chains(combination)
        if previous is not None and combination in previous.referenced and not changed & {*combination, ""}:
            chains[outwards], chains[inwards] = previous.chains[outwards], previous.chains[inwards]
            referenced[combination] = previous.referenced[combination]
            continue
        known = [groups[group_id] for group_id in combination if group_id in groups]
        chains[outwards], chains[inwards], referenced[combination] = combination_rules(known, foreign, refused)
    own = PeerVpc(peering_id="", groups=plan.groups, members=tuple(members))
    for group_id in frozenset().union(*referenced.values()):
        sets |= member_sets(group_id, _members(group_id, peers if group_id in foreign else (own,)))
    return RouterRules(
        plan=plan,
        endpoint_port=endpoint_port,
        steering=steering,
        sets=sets,
        chains=chains,
        referenced=referenced,
        foreign=foreign,
    )


def transaction(old: RouterRules | None, new: RouterRules) -> str:
    """nft text that turns `old` into `new` at one instant; with `old` None the whole table is replaced.

    Empty when there is nothing to do. Established flows are not touched by it: conntrack is outside the table.
    """
    lines = [] if old is not None else [whole_table(new.endpoint_port)]
    old_sets: Mapping[str, Mapping[str, str]] = old.sets if old is not None else {name: {} for name in FIXED_SETS}
    old_chains: Mapping[str, tuple[str, ...]] = old.chains if old is not None else {}
    lines += [_added(name) for name in new.sets if name not in old_sets]
    lines += [f"add chain {TABLE} {name}" for name in new.chains if name not in old_chains]
    for name, rules in new.chains.items():
        if old_chains.get(name) != rules:
            if name in old_chains:
                lines.append(f"flush chain {TABLE} {name}")
            lines += [f"add rule {TABLE} {name} {rule}" for rule in rules]
    for name, elements in new.sets.items():
        lines += _element_changes(name, old_sets.get(name, {}), elements)
    # Chains go after the map elements and rules that lead to them, sets after the chains that ask them.
    gone = [name for name in old_chains if name not in new.chains]
    lines += [f"flush chain {TABLE} {name}" for name in gone]
    lines += [f"delete chain {TABLE} {name}" for name in gone]
    lines += [f"delete {_kind(name)} {TABLE} {name}" for name in old_sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""


def crowd_transaction(crowd: Iterable[str]) -> str:
    """nft text by which exactly these addresses begin no flows."""
    found: dict[int, list[str]] = {4: [], 6: []}
    for text in sorted(crowd):
        address = ip_address(plain(text))
        found[address.version].append(str(address))
    lines = [f"flush set {TABLE} crowd{version}" for version in found]
    lines += [f"add element {TABLE} crowd{version} {{ {', '.join(of)} }}" for version, of in found.items() if of]
    return "\n".join(lines) + "\n"


def _routed_alike(one: VpcPlan, other: VpcPlan) -> bool:
    if one is other:
        return True
    return are_logged(one) == are_logged(other) and all(
        getattr(one, name) == getattr(other, name) for name in _ROUTED_BY
    )


def _changed_groups(previous: RouterRules | None, plan: VpcPlan, foreign: Mapping[str, int]) -> frozenset[str]:
    """Whose chains are to be made anew; with "" in it all are."""
    if previous is None or previous.foreign != foreign or are_logged(previous.plan) != are_logged(plan):
        return frozenset({""})
    if previous.plan is plan:
        return frozenset()
    before, now = ({group.group_id: group for group in each.groups} for each in (previous.plan, plan))
    return frozenset(group_id for group_id in before.keys() | now.keys() if before.get(group_id) != now.get(group_id))


def _foreign(plan: VpcPlan, steering: Steering, peers: Sequence[PeerVpc]) -> dict[str, int]:
    own = {group.group_id for group in plan.groups}
    return {
        group.group_id: steering.peerings[peer.peering_id]
        for peer in peers
        if peer.peering_id in steering.peerings
        for group in peer.groups
        if group.group_id not in own
    }


def _members(group_id: str, vpcs: Sequence[PeerVpc]) -> Iterator[str]:
    for vpc in vpcs:
        for group in vpc.groups:
            if group.group_id == group_id:
                yield from group.remote_members
                yield from (address for eni in vpc.members if group_id in eni.groups for address in eni.addresses)


def _added(name: str) -> str:
    kind, _, rest = declaration(name).partition(" ")
    return f"add {kind} {TABLE} {rest}"


def _kind(name: str) -> str:
    return declaration(name).partition(" ")[0]


def _element_changes(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    if old is new:
        return []
    gone = [key for key, value in old.items() if new.get(key) != value]
    come = [(key, value) for key, value in new.items() if old.get(key) != value]
    lines = []
    if gone:
        lines.append(f"delete element {TABLE} {name} {{ {', '.join(gone)} }}")
    if come:
        entries = ", ".join(f"{key} : {value}" if value else key for key, value in come)
        lines.append(f"add element {TABLE} {name} {{ {entries} }}")
    return lines


def _address(text: str, version: int) -> str:
    address = ip_address(plain(text))
    if address.version != version:
        raise ValueError(f"{text} is no IPv{version} address")
    return str(address)
