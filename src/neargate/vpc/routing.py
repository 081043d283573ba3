"""Where packets of a subnet go: a route table's longest prefix matches, flattened into ranges that do not overlap.

Owns which way a destination takes: inside the VPC, out by a gateway, through NAT gateways, over a peering. Pure, and
ignorant of how any of it is carried out. What has no way (no route, a black hole, a gateway of the wrong family, a NAT
gateway that routes lead back to) is in no range.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TypeVar

from msgspec import Struct

from ..model.network import LOCAL, PlannedNat, PlannedSubnet, VpcPlan

Network = IPv4Network | IPv6Network
T = TypeVar("T")
Ranges = tuple[tuple[int, int, T], ...]  # (first, last, value): in order, apart from each other

INTERNET = "igw"  # exits beside LOCAL and the id of a peering
EGRESS_ONLY = "eigw"
NATS_IN_A_ROW = 4  # more of them are taken for a mistake; it also bounds the work


class Way(Struct, frozen=True):
    """Through these NAT gateways, in order, and then out by `exit`."""

    exit: str
    nats: tuple[str, ...] = ()


class Routing:
    """The ways of one plan's subnets. Asked once per table and family; answers are remembered."""

    def __init__(self, plan: VpcPlan) -> None:
        self._tables = {table.table_id: table for table in plan.tables}
        self._cidrs = [ip_network(cidr) for cidr in plan.cidrs]
        self._subnets = {subnet.subnet_id: subnet for subnet in plan.subnets}
        self._nats = {nat.nat_id: nat for nat in plan.nats if nat.subnet_id in self._subnets}
        self._peerings = {peering.peering_id for peering in plan.peerings}
        self._known: dict[tuple[str, int], Ranges[Way]] = {}
        self._beyond: dict[str, Ranges[str]] = {}  # NAT gateway -> where the routes of its subnet lead

    def ways(self, table_id: str, version: int) -> Ranges[Way]:
        """Of packets that leave a subnet with this route table. A table that is not in the plan leads nowhere."""
        key = (table_id, version)
        if key not in self._known:
            self._known[key] = merged(self._resolved(self._targets(table_id, version), version, ()))
        return self._known[key]

    def all_ways(self) -> set[Way]:
        """Those that any subnet's packets may take, and the ways over every peering."""
        tables = {subnet.route_table for subnet in self._subnets.values()}
        found = {way for table in tables for version in (4, 6) for _, _, way in self.ways(table, version)}
        return found | {Way(peering_id) for peering_id in self._peerings}

    def _targets(self, table_id: str, version: int) -> Ranges[str]:
        table = self._tables.get(table_id)
        if table is None:
            return ()
        routes: dict[Network, str] = {}
        for route in table.routes:
            routes.setdefault(ip_network(route.destination), route.target)
        for network in self._cidrs:  # every table has them, also one that does not list them
            routes.setdefault(network, LOCAL)
        return flattened((network, target) for network, target in routes.items() if network.version == version)

    def _resolved(self, targets: Ranges[str], version: int, passed: tuple[str, ...]) -> Iterable[tuple[int, int, Way]]:
        for first, last, target in targets:
            kind = target.split("-", 1)[0]
            if target == LOCAL:
                yield first, last, Way(LOCAL)
            elif kind == "igw":
                yield first, last, Way(INTERNET)
            elif kind == "eigw" and version == 6:
                yield first, last, Way(EGRESS_ONLY)
            elif kind == "pcx" and target in self._peerings:
                yield first, last, Way(target)
            elif kind == "nat" and version == 4 and target in self._nats and target not in passed:
                yield from self._translated(first, last, self._nats[target], passed)

    def _translated(
        self, first: int, last: int, nat: PlannedNat, passed: tuple[str, ...]
    ) -> Iterable[tuple[int, int, Way]]:
        """What a NAT gateway sends goes by the routes of its own subnet."""
        if len(passed) == NATS_IN_A_ROW:
            return
        if nat.nat_id not in self._beyond:
            subnet = self._subnets[nat.subnet_id]
            self._beyond[nat.nat_id] = _with_own_subnet(self._targets(subnet.route_table, 4), subnet)
        targets = clipped(self._beyond[nat.nat_id], first, last)
        for start, end, way in self._resolved(targets, 4, (*passed, nat.nat_id)):
            if way == Way(INTERNET) and nat.public_ipv4 is None:
                continue  # what a private NAT gateway sends there is dropped
            yield start, end, Way(way.exit, (nat.nat_id, *way.nats))


def flattened(routes: Iterable[tuple[Network, T]]) -> Ranges[T]:
    """Longest prefix first: each address has the value of the smallest network around it. One family, none twice."""
    found: list[tuple[int, int, T]] = []
    around: list[tuple[int, T]] = []  # networks that the sweep is inside of: (last address, value)
    position = 0
    for network, value in sorted(routes, key=lambda route: (int(route[0].network_address), route[0].prefixlen)):
        start = int(network.network_address)
        while around and around[-1][0] < start:
            end, outer = around.pop()
            found.append((position, end, outer))
            position = max(position, end + 1)
        if around:
            found.append((position, start - 1, around[-1][1]))
        position = start
        around.append((int(network.broadcast_address), value))
    while around:
        end, outer = around.pop()
        found.append((position, end, outer))
        position = max(position, end + 1)
    return merged(each for each in found if each[0] <= each[1])


def merged(ranges: Iterable[tuple[int, int, T]]) -> Ranges[T]:
    """Neighbours with the same value become one."""
    found: list[tuple[int, int, T]] = []
    for first, last, value in ranges:
        if found and found[-1][1] + 1 == first and found[-1][2] == value:
            found[-1] = (found[-1][0], last, value)
        else:
            found.append((first, last, value))
    return tuple(found)


def clipped(ranges: Ranges[T], first: int, last: int) -> Ranges[T]:
    """Found by halves: routes may be many, and are asked about for each of another table's."""
    start = bisect_left(ranges, first, key=_end)
    stop = bisect_right(ranges, last, lo=start, key=_start)
    return tuple((max(a, first), min(b, last), value) for a, b, value in ranges[start:stop])


def overlaid(ranges: Ranges[T], first: int, last: int, value: T | None) -> Ranges[T]:
    """The same but for these addresses; None takes them out."""
    below = clipped(ranges, 0, first - 1) if first else ()
    above = clipped(ranges, last + 1, 1 << 128)
    return (*below, *(() if value is None else ((first, last, value),)), *above)


def at(ranges: Ranges[T], address: int) -> T | None:
    return next((value for _, _, value in clipped(ranges, address, address)), None)


def _start(of: tuple[int, int, object]) -> int:
    return of[0]


def _end(of: tuple[int, int, object]) -> int:
    return of[1]


def _with_own_subnet(targets: Ranges[str], subnet: PlannedSubnet) -> Ranges[str]:
    """Packets to the sender's own subnet are not routed, whatever the table says."""
    own = ip_network(subnet.cidr)
    return overlaid(targets, int(own.network_address), int(own.broadcast_address), LOCAL)
