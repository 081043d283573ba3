"""Which flows that the kernel still knows cannot go on as they began, because routes have changed. Pure.

A packet takes the way that the routes say now; a flow keeps the translation it began with. Where the two differ the
packets are dropped, and a sender that never changes its port would be dropped for ever: such flows are to be forgotten,
so that its next packet begins a new one. Flows without any way now are kept: should the route come back, they go on.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeVar

from msgspec import Struct

from ..model.network import VpcPlan
from .marks import LOCAL_MARK, marks
from .routing import Ranges, Routing, Way

Address = IPv4Address | IPv6Address
F = TypeVar("F", bound="Flow")


class Flow(Struct, frozen=True, kw_only=True):
    """A connection: `source`, `destination`, `protocol` and `port` as its first packet was sent, `receiver` and
    `seen_source` as it was received, after translation; `mark` is what it remembers."""

    source: Address
    destination: Address
    receiver: Address
    seen_source: Address
    mark: int
    protocol: int = 0
    port: int = 0  # of the receiver; 0 where the protocol has none


def misled(plan: VpcPlan, subnet_of: Mapping[str, str], flows: Iterable[F]) -> Iterator[F]:
    """Flows of this host's interfaces that would now take another way. `subnet_of`: address -> subnet id."""
    senders = {ip_address(address): subnet_id for address, subnet_id in subnet_of.items()}
    known = _Ways(plan)
    for flow in flows:
        if flow.mark == 0:
            continue  # with the router itself: metadata, names
        subnet_id = senders.get(flow.source)
        mark = known.mark(subnet_id, flow.destination) if subnet_id is not None else None
        if mark is not None and mark != flow.mark:
            yield flow


class _Ways:
    def __init__(self, plan: VpcPlan) -> None:
        self._subnets = {subnet.subnet_id: subnet for subnet in plan.subnets}
        self._own = {
            subnet.subnet_id: [ip_network(cidr) for cidr in (subnet.cidr, subnet.ipv6_cidr) if cidr is not None]
            for subnet in plan.subnets
        }
        self._routing = Routing(plan)
        self._marks = marks(self._routing.all_ways())
        self._starts: dict[tuple[str, int], list[int]] = {}

    def mark(self, subnet_id: str, destination: Address) -> int | None:
        subnet = self._subnets.get(subnet_id)
        if subnet is None:
            return None
        if any(destination in network for network in self._own[subnet_id]):
            return LOCAL_MARK
        way = self._way(subnet.route_table, destination)
        return None if way is None else self._marks[way]

    def _way(self, table_id: str, destination: Address) -> Way | None:
        ranges: Ranges[Way] = self._routing.ways(table_id, destination.version)
        key = (table_id, destination.version)
        if key not in self._starts:
            self._starts[key] = [first for first, _, _ in ranges]
        index = bisect_right(self._starts[key], int(destination)) - 1
        if index < 0 or ranges[index][1] < int(destination):
            return None
        return ranges[index][2]
