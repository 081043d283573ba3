"""A region's packets without a kernel: its routers' real rule sets, interpreted, with a link between them.

From a description to the account's records, the real planner's plans, the real rule sets; a flow is then sent through
them, and its answer back. Owns what is outside of the routers: interfaces, the edge with its public addresses, the
world. It must never ask the reference model: tests compare the two.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct
from msgspec.structs import replace

from ..frontend.network.plans.planning import vpc_plan
from ..frontend.network.records.objects import Vpc
from ..hostnet.peerings import PREFERENCE
from ..hostnet.router import interface_name
from ..model.flow_logs import ALL, DEFAULT_FIELDS, PlannedFlowLog
from ..model.network import REGION_ENDPOINT_ADDRESS, RESOLVER_ADDRESS, TASK_METADATA_ADDRESS, Eni, VpcPlan
from ..tracing.description import Description, NetworkInterface
from ..tracing.flows import Flow
from ..vpc.ruleset import PeerVpc, RouterRules, local_eni, render, transaction
from ..vpc.table import UPLINK, peering_link
from .nft_machine.machine import Ended, Left, Machine
from .nft_machine.packets import Packet, packet
from .nft_machine.routing import DEFAULT_RULES, MAIN, Route, RouteRule, Routing
from .nft_machine.table import Table
from .vpc_packets_records import mac_of, shelf_of

ENDPOINT_PORT = 4566
OUTSIDE, SERVICE = "outside", "service"
_HOPS = 8
_EVERYWHERE = ("0.0.0.0/0", "::/0")


class Delivery(Struct, frozen=True, kw_only=True):
    """`receiver`: an interface's id, OUTSIDE or SERVICE; empty where the flow was lost, `lost` says at what."""

    receiver: str = ""
    source: str = ""  # the address that the receiver sees
    to: str = ""  # by which of its own it was reached
    lost: str = ""
    answered: bool = False  # the sender got the answer, from the address that it had asked
    answer_lost: str = ""
    told: tuple[str, ...] = ()  # to flow logs, on the way there: prefixes of rejected packets
    told_of_answer: tuple[str, ...] = ()


class _At(Struct, frozen=True, kw_only=True):
    """Where a packet is, or comes from: a link of a router, a router's own sockets (no link), or outside (neither)."""

    packet: Packet
    vpc_id: str = ""
    link: str = ""


class _Lost(Exception):
    pass


class PacketRegion:
    def __init__(
        self, description: Description, before: "PacketRegion | None" = None, *, is_logged: bool = False
    ) -> None:
        """`before`: the region that this one was until now; its rule sets are changed, not made anew.

        `is_logged`: each VPC has a flow log.
        """
        self._rules: dict[str, RouterRules] = {}
        self._before = before._rules if before is not None else {}
        self._description = description
        self._interfaces = {each.network_interface_id: each for each in description.network_interfaces}
        self._links = {interface_name(each): each for each in self._interfaces}
        self._plans = plans_of(description)
        if is_logged:
            self._plans = {
                vpc_id: replace(plan, flow_logs=(_flow_log(vpc_id),)) for vpc_id, plan in self._plans.items()
            }
        self._enis = {vpc_id: tuple(self._enis_of(vpc_id)) for vpc_id in self._plans}
        self._members = {
            vpc_id: tuple(local_eni(interface_name(each.eni_id), each) for each in enis)
            for vpc_id, enis in self._enis.items()
        }
        self._peers = {
            (vpc_id, peering_link(peering.peering_id)): peering.peer_vpc
            for vpc_id, plan in self._plans.items()
            for peering in plan.peerings
        }
        self._machines = {vpc_id: self._machine(plan) for vpc_id, plan in self._plans.items()}
        self._public = dict(self._public_addresses())

    def ask(self, flow: Flow) -> Delivery:
        """Each flow is the first of its region: no other's connection is known."""
        for machine in self._machines.values():
            machine.conntrack.flush()
        self._told()
        asked = self._packet(flow)
        try:
            arrived = self._carry(self._start(flow, asked))
        except _Lost as lost:
            return Delivery(lost=str(lost), told=self._told())
        told, got = self._told(), arrived.packet
        receiver = self._links[arrived.link] if arrived.link else SERVICE if arrived.vpc_id else OUTSIDE
        lost_at = self._answer(arrived, asked, flow)
        return Delivery(
            receiver=receiver,
            source=_text(got.version, got.source),
            to=_text(got.version, got.to),
            answered=not lost_at,
            answer_lost=lost_at,
            told=told,
            told_of_answer=self._told(),
        )

    def _told(self) -> tuple[str, ...]:
        """Since the last time."""
        found = tuple(prefix for machine in self._machines.values() for prefix in machine.told)
        for machine in self._machines.values():
            machine.told.clear()
        return found

    def _answer(self, arrived: _At, asked: Packet, flow: Flow) -> str:
        """Where the answer was lost; empty where it came to who asked, as the answer to what was asked."""
        answer = _At(packet=arrived.packet.answered(), vpc_id=arrived.vpc_id, link=arrived.link)
        try:
            back = self._carry(answer)
        except _Lost as lost:
            return str(lost)
        start = self._start(flow, asked)
        if (back.vpc_id, back.link, back.packet) != (start.vpc_id, start.link, asked.answered()):
            return f"came as {back}"
        return ""

    def _packet(self, flow: Flow) -> Packet:
        source = flow.sender
        if flow.sender in self._interfaces:
            source = flow.sender_address or _own(self._interfaces[flow.sender], ip_address(flow.to).version)
        return packet(source, flow.to, flow.protocol, flow.port, flow.source_port, flow.icmp_type)

    def _start(self, flow: Flow, asked: Packet) -> _At:
        if flow.sender not in self._interfaces:
            return _At(packet=asked)
        return _At(packet=asked, vpc_id=self._interfaces[flow.sender].vpc_id, link=interface_name(flow.sender))

    def _carry(self, at: _At) -> _At:
        """From where it is to where it stays: an interface, a router's socket, outside."""
        if not at.vpc_id:
            at = self._from_outside(at.packet)
        for hop in range(_HOPS):
            machine = self._machines[at.vpc_id]
            outcome = machine.receive(at.packet, at.link) if at.link or hop else machine.send(at.packet)
            if isinstance(outcome, Ended):
                raise _Lost(f"{at.vpc_id}: {outcome.where}")
            if not isinstance(outcome, Left):
                return _At(packet=outcome.packet, vpc_id=at.vpc_id)
            if outcome.link in self._links:
                return _At(packet=outcome.packet, vpc_id=at.vpc_id, link=outcome.link)
            found = self._over(at.vpc_id, outcome)
            if not found.vpc_id:
                return found
            at = found
        raise _Lost("packets go round")

    def _over(self, vpc_id: str, left: Left) -> _At:
        """Out of a router by a link that is no interface's."""
        peer = self._peers.get((vpc_id, left.link))
        if peer is not None:
            return _At(packet=left.packet, vpc_id=peer, link=left.link)
        assert left.link == UPLINK, "there are no other links"
        # The edge would drop a source that is not this router's, but the rule set is not to rely on it.
        if left.packet.to in self._public:
            return _At(packet=left.packet, vpc_id=self._public[left.packet.to], link=UPLINK)
        return _At(packet=left.packet)

    def _from_outside(self, came: Packet) -> _At:
        if came.to not in self._public:
            raise _Lost("edge: nobody has that address")
        return _At(packet=came, vpc_id=self._public[came.to], link=UPLINK)

    def _machine(self, plan: VpcPlan) -> Machine:
        peers = [
            PeerVpc(
                peering_id=each.peering_id,
                groups=self._plans[each.peer_vpc].groups,
                members=self._members[each.peer_vpc],
            )
            for each in plan.peerings
        ]
        before, table = self._before.get(plan.vpc_id), Table()
        if before is not None:
            table.run(transaction(None, before))
        members = self._members[plan.vpc_id]
        rules = render(plan, members, endpoint_port=ENDPOINT_PORT, peers=peers, previous=before)
        table.run(transaction(before, rules))
        self._rules[plan.vpc_id] = rules
        return Machine(table, self._routing(rules))

    def _routing(self, rules: RouterRules) -> Routing:
        """The kernel's, as the router's adapter makes it: to interfaces, over peerings by mark, else to the edge."""
        plan = rules.plan
        routes = [
            Route(destination=f"{address}/{128 if ':' in address else 32}", link=interface_name(each.eni_id))
            for each in self._enis[plan.vpc_id]
            for address in (each.private_ipv4, each.ipv6)
            if address is not None
        ]
        routes += [Route(destination=cidr) for cidr in plan.cidrs]
        routes += [Route(destination=cidr, link=UPLINK) for cidr in _EVERYWHERE]
        tables = {MAIN: tuple(routes)}
        by_mark = list(DEFAULT_RULES)
        for number, (mark, peering_id) in enumerate(rules.steering.lookups.items()):
            tables[number] = tuple(Route(destination=cidr, link=peering_link(peering_id)) for cidr in _EVERYWHERE)
            by_mark.append(RouteRule(priority=PREFERENCE, table=number, mark=mark))
        own = (TASK_METADATA_ADDRESS, REGION_ENDPOINT_ADDRESS, RESOLVER_ADDRESS)
        return Routing(tables, rules=tuple(by_mark), own=own)

    def _enis_of(self, vpc_id: str) -> Iterator[Eni]:
        """Of tasks as they are attached, of endpoints as the plan has them."""
        own = (one for one in self._description.vpc_endpoints if one.vpc_id == vpc_id)
        of_endpoints = {interface_id for one in own for interface_id in one.network_interface_ids}
        for each in self._interfaces.values():
            if each.vpc_id == vpc_id and each.network_interface_id not in of_endpoints:
                yield eni_of(self._description, each)
        yield from self._plans[vpc_id].endpoint_enis

    def _public_addresses(self) -> Iterator[tuple[int, str]]:
        """Which router the edge leads each to."""
        for each in self._interfaces.values():
            if each.association is not None:
                yield int(ip_address(each.association.public_ip)), each.vpc_id
            yield from ((int(ip_address(six.ipv6_address)), each.vpc_id) for six in each.ipv6_addresses)
        for plan in self._plans.values():
            yield from ((int(ip_address(nat.public_ipv4)), plan.vpc_id) for nat in plan.nats if nat.public_ipv4)


def plans_of(description: Description) -> dict[str, VpcPlan]:
    """By VPC, of the real planner."""
    shelf = shelf_of(description)
    return {vpc.vpc_id: vpc_plan(shelf, vpc, generation=1) for vpc in shelf.all(Vpc)}


def _flow_log(vpc_id: str) -> PlannedFlowLog:
    return PlannedFlowLog(
        flow_log_id=f"fl-{vpc_id}",
        account="000000000000",
        resource_id=vpc_id,
        traffic=ALL,
        fields=DEFAULT_FIELDS,
        interval_s=60,
    )


def eni_of(description: Description, interface: NetworkInterface) -> Eni:
    return Eni(
        eni_id=interface.network_interface_id,
        attachment_id="",
        mac=mac_of(interface),
        vpc_id=interface.vpc_id,
        subnet_id=interface.subnet_id,
        subnet_cidr=next(s.cidr_block for s in description.subnets if s.subnet_id == interface.subnet_id),
        private_ipv4=interface.private_ip_address,
        ipv6=interface.ipv6_addresses[0].ipv6_address if interface.ipv6_addresses else None,
        public_ipv4=interface.association.public_ip if interface.association else None,
        security_groups=tuple(group.group_id for group in interface.groups),
    )


def _own(interface: NetworkInterface, version: int) -> str:
    if version == 6 and interface.ipv6_addresses:
        return interface.ipv6_addresses[0].ipv6_address
    return interface.private_ip_address


def _text(version: int, address: int) -> str:
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))
