"""A plan's routes as chains and maps of the table: what gives a packet its mark, and what each mark may do.

Owns everything of the rule set that depends on the plan alone and not on which ENIs are here, so it is made once per
plan. Route tables with the same content share a map; a map is never changed, a changed table is another map.
"""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

from msgspec import Struct

from ..model.network import (
    AWS_RESOLVER_ADDRESS,
    REGION_ENDPOINT_ADDRESS,
    RESOLVER_ADDRESS,
    TASK_METADATA_ADDRESS,
    PlannedSubnet,
    VpcPlan,
)
from .marks import LOCAL_MARK, SERVICE_MARK, marks
from .routing import INTERNET, Network, Ranges, Routing, Way, overlaid
from .table import FIXED_ELEMENTS, FIXED_SETS, content_name, object_name

# Reserved for the VPC's services: whatever a route table says, no other packet goes there.
_RESERVED = {4: ("169.254.0.0/16",), 6: ("fe80::/10", "fd00:ec2::/32")}
_SERVICES = (TASK_METADATA_ADDRESS, REGION_ENDPOINT_ADDRESS, RESOLVER_ADDRESS, AWS_RESOLVER_ADDRESS)
_FAMILIES = {4: "ip", 6: "ip6"}


class Steering(Struct, frozen=True, kw_only=True):
    """`sets` hold the elements of the fixed maps too, those of ENIs excepted."""

    sets: Mapping[str, Mapping[str, str]]
    chains: Mapping[str, tuple[str, ...]]


def subnet_chain(subnet_id: str) -> str:
    """Where packets of the subnet's interfaces are given their way."""
    return object_name("s", subnet_id)


def steer(plan: VpcPlan) -> Steering:
    return _Compiler(plan).compiled()


class _Compiler:
    def __init__(self, plan: VpcPlan) -> None:
        self.plan = plan
        self.routing = Routing(plan)
        tables = {subnet.route_table for subnet in plan.subnets}
        self.ways = {(table, version): self.routing.ways(table, version) for table in tables for version in (4, 6)}
        used = {way for ranges in self.ways.values() for _, _, way in ranges}
        self.marks = marks(used)
        self.sets: dict[str, dict[str, str]] = {name: dict(FIXED_ELEMENTS.get(name, {})) for name in FIXED_SETS}
        self.chains: dict[str, tuple[str, ...]] = {}

    def compiled(self) -> Steering:
        if self.plan.resolver is not None:
            self.sets["resolver"] = {self.plan.resolver: "", AWS_RESOLVER_ADDRESS: ""}
        for subnet in self.plan.subnets:
            self._subnet(subnet)
        self._receivers()
        return Steering(sets=self.sets, chains=self.chains)

    def _subnet(self, subnet: PlannedSubnet) -> None:
        lines = [
            f"{_FAMILIES[network.version]} daddr {network} meta mark set {LOCAL_MARK:#x} accept"
            for network in _networks(subnet)
        ]
        for version, family in _FAMILIES.items():
            name = self._route_map(subnet.route_table, version)
            if name is not None:
                lines.append(f"meta mark set {family} daddr map @{name} accept")
        self.chains[subnet_chain(subnet.subnet_id)] = (*lines, "drop")

    def _route_map(self, table_id: str, version: int) -> str | None:
        numbers = ((first, last, self.marks[way]) for first, last, way in self.ways[table_id, version])
        ranges = _with_services(tuple(numbers), version, self.plan.resolver)
        return self._named(f"r{version}", {_range(a, b, version): f"{mark:#x}" for a, b, mark in ranges})

    def _named(self, prefix: str, elements: dict[str, str]) -> str | None:
        if not elements:
            return None
        name = content_name(prefix, elements)
        self.sets[name] = elements
        return name

    def _receivers(self) -> None:
        """New flows from outside: only where the receiver's subnet would send the answers back by the same gateway."""
        inbound: dict[int, list[str]] = {4: [], 6: []}
        for subnet in self.plan.subnets:
            name = object_name("u", subnet.subnet_id)
            self.chains[name] = (*self._answered_outside(subnet), "drop")
            for network in _networks(subnet):
                inbound[network.version].append(f"{network} : goto {name}")
        lines = []
        if inbound[4]:
            lines.append(f"ct status dnat ip daddr vmap {{ {', '.join(inbound[4])} }}")
        if inbound[6]:
            lines.append(f"ip6 daddr vmap {{ {', '.join(inbound[6])} }}")
        self.chains["inbound"] = (*lines, "drop")
        self.chains["w_eni"] = (
            'oifname != "e*" drop',
            "ct state established,related accept",
            "jump ingress",
            "accept",
        )

    def _answered_outside(self, subnet: PlannedSubnet) -> Iterable[str]:
        for version, family in _FAMILIES.items():
            name = self._where(subnet.route_table, version, Way(INTERNET))
            if name is not None:
                yield f"{family} saddr @{name} accept"

    def _where(self, table_id: str, version: int, way: Way) -> str | None:
        """The set of destinations that take this way."""
        ranges = ((first, last) for first, last, found in self.ways[table_id, version] if found == way)
        return self._named(f"i{version}", {_range(first, last, version): "" for first, last in ranges})


def _networks(subnet: PlannedSubnet) -> list[Network]:
    return [ip_network(cidr) for cidr in (subnet.cidr, subnet.ipv6_cidr) if cidr is not None]


def _with_services(ranges: Ranges[int], version: int, resolver: str | None) -> Ranges[int]:
    for cidr in _RESERVED[version]:
        network = ip_network(cidr)
        ranges = overlaid(ranges, int(network.network_address), int(network.broadcast_address), None)
    services = (*_SERVICES, resolver) if version == 4 else ()
    for text in services:
        if text is not None:
            address = int(ip_address(text))
            ranges = overlaid(ranges, address, address, SERVICE_MARK)
    return ranges


def _range(first: int, last: int, version: int) -> str:
    # Of bytes: a small number alone would be read as an IPv4 address.
    start, end = (ip_address(number.to_bytes(4 if version == 4 else 16, "big")) for number in (first, last))
    return str(start) if first == last else f"{start}-{end}"
