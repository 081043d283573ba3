"""NAT gateways as chains: whose source address a way's packets get, and what stands on the subnet borders in between.

A NAT gateway has no place of its own in the router: its packets are those of who sends through it. So a way through
gateways carries what would be asked at each of them, the ACLs of their subnets and, for answers, the routes back.
Invariant: what a chain here lets pass would have passed at every gateway of its way, in both directions.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, ip_address

from msgspec import Struct

from ..model.network import LOCAL, PlannedNat, PlannedSubnet, VpcPlan
from .acls import Borders
from .marks import LOCAL_MARK, UPLINK_MARK, arrival_mark
from .parts import Parts
from .routing import INTERNET, Routing, Way, at

_NAT_PORTS = "1024-65535"


class Gateway(Struct, frozen=True, kw_only=True):
    nat: PlannedNat
    subnet: PlannedSubnet


def translate(parts: Parts, plan: VpcPlan, routing: Routing, borders: Borders, marks: Mapping[Way, int]) -> None:
    subnets = {subnet.subnet_id: subnet for subnet in plan.subnets}
    gateways = {
        nat.nat_id: Gateway(nat=nat, subnet=subnets[nat.subnet_id]) for nat in plan.nats if nat.subnet_id in subnets
    }
    for way, number in marks.items():
        if way.nats:
            _Passage(parts, routing, borders, [gateways[nat_id] for nat_id in way.nats], way, marks).add(number)


class _Passage:
    """One way through one or more gateways."""

    def __init__(
        self,
        parts: Parts,
        routing: Routing,
        borders: Borders,
        gateways: list[Gateway],
        way: Way,
        marks: Mapping[Way, int],
    ) -> None:
        self.parts = parts
        self.routing = routing
        self.borders = borders
        self.gateways = gateways
        self.way = way
        self.marks = marks

    def add(self, number: int) -> None:
        mark, sets, chains = f"{number:#x}", self.parts.sets, self.parts.chains
        outwards, back, source = f"n_{number:x}", f"b_{number:x}", f"t_{number:x}"
        last = self.gateways[-1].nat
        address = _ipv4(last.public_ipv4 if self.way.exit == INTERNET else last.private_ipv4)
        chains[outwards] = ("meta l4proto != { tcp, udp, icmp } drop", *self._outwards(), "accept")
        chains[back] = tuple(self._back())
        chains[source] = (f"meta l4proto {{ tcp, udp }} snat ip to {address}:{_NAT_PORTS}", f"snat ip to {address}")
        sets["flow_mark"][mark] = mark
        sets["onwards"][mark] = f"goto {outwards}"
        sets["ways"][f"original . {mark} . {mark}"] = f"goto {outwards}"
        sets["ways"][f"reply . {self._arrival():#x} . {mark}"] = f"goto {back}"
        sets["translate"][mark] = f"goto {source}"
        sets["exits"][mark] = f"goto {self.parts.exit_chain(self.way.exit)}"
        if self.way.exit == INTERNET:
            sets["pub_own"][address] = ""
        border = self.borders.chain(self.gateways[-1].subnet.subnet_id, egress=False)
        if border is not None:
            # Asked where the packet still is for the gateway: its connection's own address comes later.
            entrance = f"e_{number:x}"
            chains[entrance] = (f"ip saddr {self.gateways[-1].subnet.cidr} return", f"goto {border}")
            sets["nat_in"][address] = f"goto {entrance}"

    def _arrival(self) -> int:
        """The mark of answers."""
        if self.way.exit == LOCAL:
            return LOCAL_MARK
        return UPLINK_MARK if self.way.exit == INTERNET else arrival_mark(self.marks[Way(self.way.exit)])

    def _outwards(self) -> Iterator[str]:
        first = self.gateways[0].subnet
        yield from self._ask(first, egress=False, when=f"ip saddr != {first.cidr} ")
        for here, there in zip(self.gateways, self.gateways[1:], strict=False):
            if here.subnet != there.subnet:
                yield from self._ask(here.subnet, egress=True)
                yield from self._ask(there.subnet, egress=False, peer=here.nat.private_ipv4)
        last = self.gateways[-1].subnet
        yield from self._ask(last, egress=True, when=f"ip daddr != {last.cidr} " if self.way.exit == LOCAL else "")

    def _back(self) -> Iterator[str]:
        """Answers, from the last gateway to the first and to who asked. Each leg goes by routes that say local."""
        for there, here in zip(self.gateways[-2::-1], self.gateways[:0:-1], strict=True):
            if here.subnet == there.subnet:
                continue
            ranges = self.routing.ways(here.subnet.route_table, 4)
            if at(ranges, int(IPv4Address(there.nat.private_ipv4))) != Way(LOCAL):
                yield "drop"
                return
            yield from self._ask(here.subnet, egress=True, peer=there.nat.private_ipv4)
            yield from self._ask(there.subnet, egress=False)
        first = self.gateways[0].subnet
        yield f"ip daddr {first.cidr} accept"
        within = self.parts.where(self.routing.ways(first.route_table, 4), 4, Way(LOCAL))
        if within is None:
            yield "drop"
            return
        yield f"ip daddr != @{within} drop"
        yield from self._ask(first, egress=True)
        yield "accept"

    def _ask(self, subnet: PlannedSubnet, *, egress: bool, when: str = "", peer: str | None = None) -> Iterator[str]:
        border = self.borders.chain(subnet.subnet_id, egress=egress, peer=peer)
        if border is not None:
            yield f"{when}jump {border}"


def _ipv4(text: str | None) -> str:
    address = ip_address(text or "")
    if address.version != 4:
        raise ValueError(f"{text} is no IPv4 address")
    return str(address)
