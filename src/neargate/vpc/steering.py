"""A plan's routes as chains and maps of the table: what gives a packet its mark, and what each mark may do.

Owns everything of the rule set that depends on the plan alone and not on which ENIs are here, so it is made once per
plan. Route tables with the same content share a map; a map is never changed, a changed table is another map. Where all
network ACLs let everything pass there is no trace of them.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, collapse_addresses, ip_address, ip_network

from msgspec import Struct

from ..model.network import (
    AWS_RESOLVER_ADDRESS,
    REGION_ENDPOINT_ADDRESS,
    RESOLVER_ADDRESS,
    TASK_METADATA_ADDRESS,
    PlannedSubnet,
    PublicPool,
    VpcPlan,
)
from .acls import Borders
from .addresses import whole_range
from .marks import LOCAL_MARK, SERVICE_MARK, arrival_mark, marks
from .matches import plain
from .parts import Parts, range_text
from .rejections import are_logged, refusals, rejection_chains, rejection_sets
from .routing import EGRESS_ONLY, INTERNET, Network, Ranges, Routing, Way, overlaid
from .table import object_name, peering_link
from .translation import translate

# Reserved for the VPC's services: whatever a route table says, no other packet goes there.
_RESERVED = {4: ("169.254.0.0/16",), 6: ("fe80::/10", "fd00:ec2::/32")}
_SERVICES = (TASK_METADATA_ADDRESS, REGION_ENDPOINT_ADDRESS, RESOLVER_ADDRESS, AWS_RESOLVER_ADDRESS)
_FAMILIES = {4: "ip", 6: "ip6"}


class Steering(Struct, frozen=True, kw_only=True):
    """`sets` hold the elements of the fixed maps too, those of ENIs excepted. `lookups`: by which marks the kernel
    must send a packet over a peering (its id), since two peers may have the same networks."""

    sets: Mapping[str, Mapping[str, str]]
    chains: Mapping[str, tuple[str, ...]]
    lookups: Mapping[int, str]
    peerings: Mapping[str, int]  # id -> the mark of what goes over it
    always_tracked: frozenset[int]  # marks of flows that a security group's change never ends


def subnet_chain(subnet_id: str) -> str:
    """Where packets of the subnet's interfaces are given their way."""
    return object_name("s", subnet_id)


def steer(plan: VpcPlan) -> Steering:
    return _Compiler(plan).compiled()


class _Compiler:
    def __init__(self, plan: VpcPlan) -> None:
        self.plan = plan
        self.routing = Routing(plan)
        self.borders = Borders(plan)
        self.parts = Parts()
        self.marks = marks(self.routing.all_ways())
        self.refused = refusals(plan)

    def compiled(self) -> Steering:
        parts = self.parts
        if self.plan.resolver is not None:
            parts.sets["resolver"] = {self.plan.resolver: "", AWS_RESOLVER_ADDRESS: ""}
        beyond = collapse_addresses(IPv4Network(plain(cidr)) for cidr in self.plan.private_beyond)
        parts.sets["beyond4"] = dict.fromkeys(map(str, beyond), "")
        parts.sets["pools4"] = dict.fromkeys((_whole(pool) for pool in self.plan.pools if ":" not in pool.cidr), "")
        translate(parts, self.plan, self.routing, self.borders, self.marks)
        for peering in self.plan.peerings:
            self._peering(peering.peering_id)
        for subnet in self.plan.subnets:
            self._senders(subnet)
        self._receivers()
        parts.chains |= self.borders.chains
        if are_logged(self.plan):
            parts.sets |= rejection_sets()
            parts.chains |= rejection_chains()
        peerings = {peering.peering_id for peering in self.plan.peerings}
        lookups = {mark: way.exit for way, mark in self.marks.items() if way.exit in peerings}
        direct = {peering_id: self.marks[Way(peering_id)] for peering_id in peerings}
        tracked = frozenset(mark for way, mark in self.marks.items() if way.nats or way.exit == EGRESS_ONLY)
        return Steering(sets=parts.sets, chains=parts.chains, lookups=lookups, peerings=direct, always_tracked=tracked)

    def _senders(self, subnet: PlannedSubnet) -> None:
        """What leaves an interface of the subnet. Inside of it nothing is routed or asked."""
        verdict = "accept" if self.borders.are_open else f"goto {self._leaving(subnet)}"
        lines = [
            f"{_FAMILIES[network.version]} daddr {network} meta mark set {LOCAL_MARK:#x} accept"
            for network in _networks(subnet)
        ]
        for version, family in _FAMILIES.items():
            name = self._route_map(subnet.route_table, version)
            if name is not None:
                lines.append(f"meta mark set {family} daddr map @{name} {verdict}")
        self.parts.chains[subnet_chain(subnet.subnet_id)] = (*lines, "drop")

    def _leaving(self, subnet: PlannedSubnet) -> str:
        """The subnet's ACL, and that of the NAT gateway's subnet which an answer goes to. What leaves the VPC to a
        gateway's public address comes to its border from outside, and by then from a public address."""
        exempt = ", ".join(f"{mark:#x}" for mark in (SERVICE_MARK, *self._marks_by_gateways_in(subnet)))
        lines = [f"meta mark {{ {exempt} }} accept"]
        border = self.borders.chain(subnet.subnet_id, egress=True, refusal=self.refused.egress)
        if border is not None:
            lines.append(f"jump {border}")
        name = object_name("l", subnet.subnet_id)
        self.parts.chains[name] = (*lines, f"meta mark {LOCAL_MARK:#x} jump gateway_in", "accept")
        return name

    def _marks_by_gateways_in(self, subnet: PlannedSubnet) -> list[int]:
        """Of ways that begin at a NAT gateway in this subnet: its own interfaces cross no border to it."""
        nats = {nat.nat_id for nat in self.plan.nats if nat.subnet_id == subnet.subnet_id}
        return sorted(mark for way, mark in self.marks.items() if way.nats and way.nats[0] in nats)

    def _route_map(self, table_id: str, version: int) -> str | None:
        ways = self.routing.ways(table_id, version)
        numbers = tuple((first, last, self.marks[way]) for first, last, way in ways)
        ranges = _with_services(numbers, version, self.plan.resolver)
        return self.parts.named(f"r{version}", {range_text(a, b, version): f"{mark:#x}" for a, b, mark in ranges})

    def _receivers(self) -> None:
        """New flows from outside: only where the receiver's subnet would send the answers back by the same gateway."""
        inbound: dict[int, list[str]] = {4: [], 6: []}
        for subnet in self.plan.subnets:
            name = object_name("u", subnet.subnet_id)
            self.parts.chains[name] = (*self._answered_outside(subnet), "drop")
            for network in _networks(subnet):
                inbound[network.version].append(f"{network} : goto {name}")
        self.parts.chains["inbound"] = (
            *([f"ct status dnat ip daddr vmap {{ {', '.join(inbound[4])} }}"] if inbound[4] else []),
            *([f"ip6 daddr vmap {{ {', '.join(inbound[6])} }}"] if inbound[6] else []),
            "drop",
        )
        entering = tuple(self._entering())
        self.parts.chains["w_local"] = (*entering, "accept")
        self.parts.chains["w_eni"] = (
            'oifname != "e*" drop',
            *entering,
            "ct state established,related accept",
            "jump ingress",
            "accept",
        )

    def _answered_outside(self, subnet: PlannedSubnet) -> Iterable[str]:
        for version, family in _FAMILIES.items():
            name = self.parts.where(self.routing.ways(subnet.route_table, version), version, Way(INTERNET))
            if name is not None:
                yield f"{family} saddr @{name} accept"

    def _entering(self) -> Iterable[str]:
        """The ACLs of receivers' subnets."""
        guarded: dict[int, list[str]] = {4: [], 6: []}
        for subnet in self.plan.subnets:
            border = self.borders.chain(subnet.subnet_id, egress=False, refusal=self.refused.ingress)
            if border is None:
                continue
            name, networks = object_name("d", subnet.subnet_id), _networks(subnet)
            lines = [f"{_FAMILIES[network.version]} saddr {network} return" for network in networks]
            own = ", ".join(f"{mark:#x}" for mark in self._marks_by_gateways_in(subnet))
            if own:
                lines.append(f"ct direction reply ct mark {{ {own} }} return")
            self.parts.chains[name] = (*lines, f"goto {border}")
            for network in networks:
                guarded[network.version].append(f"{network} : goto {name}")
        if guarded[4] or guarded[6]:
            self.parts.chains["borders_in"] = tuple(
                f"{_FAMILIES[version]} daddr vmap {{ {', '.join(entries)} }}"
                for version, entries in guarded.items()
                if entries
            )
            yield "jump borders_in"

    def _peering(self, peering_id: str) -> None:
        """Out over its link; and in, for interfaces only: nothing goes through a VPC to a third."""
        way, sets, link = self.marks[Way(peering_id)], self.parts.sets, peering_link(peering_id)
        mark, arrived = f"{way:#x}", f"{arrival_mark(way):#x}"
        leaving = self.parts.exit_chain(peering_id)
        self.parts.chains[leaving] = (f'oifname "{link}" accept', "drop")
        sets["arrivals"][f'"{link}"'] = arrived
        sets["flow_mark"] |= {mark: mark, arrived: mark}  # answers go back over it
        sets["onwards"] |= {mark: "accept", arrived: "accept"}
        sets["exits"] |= {mark: f"goto {leaving}", arrived: "goto w_eni"}
        sets["ways"] |= {
            f"{direction} . {packet} . {mark}": "accept"
            for direction in ("original", "reply")
            for packet in (mark, arrived)
        }


def _whole(pool: PublicPool) -> str:
    whole = whole_range(pool.cidr)
    return range_text(whole.first, whole.last, 4)


def _networks(subnet: PlannedSubnet) -> list[Network]:
    return [ip_network(plain(cidr)) for cidr in (subnet.cidr, subnet.ipv6_cidr) if cidr is not None]


def _with_services(ranges: Ranges[int], version: int, resolver: str | None) -> Ranges[int]:
    for cidr in _RESERVED[version]:
        network = ip_network(cidr)
        ranges = overlaid(ranges, int(network.network_address), int(network.broadcast_address), None)
    for text in (*_SERVICES, resolver) if version == 4 else ():
        if text is not None:
            address = int(ip_address(text))
            ranges = overlaid(ranges, address, address, SERVICE_MARK)
    return ranges
