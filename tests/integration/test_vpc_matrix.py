"""Real packets of a region with every kind of way in it: each cell is what the reference model of AWS's rules says.

From every interface, and from outside, to every address, on a port that all may use, one that no rule allows, and one
that a reference to a group allows: datagrams that are echoed, all at once. What is not back when nothing comes any more
is lost.
"""

import asyncio
import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from neargate.interfaces.hostnet import TaskNetwork
from neargate.testing.internet import Internet
from neargate.testing.netlab import NetLab, socket_in
from neargate.testing.vpc_packets import eni_of, plans_of
from neargate.testing.vpc_regions.setups import (
    EVERYWHERE,
    EVERYWHERE6,
    OUTSIDE,
    default_acl,
    egress_only_gateway,
    entry,
    everything,
    group,
    interface,
    internet_gateway,
    nat_gateway,
    peering,
    permission,
    route,
    subnet,
    table,
    vpc,
)
from neargate.tracing.description import Description, described
from neargate.tracing.flows import UDP, Answer, Flow, Kind
from neargate.tracing.model import answer
from neargate.tracing.region import Region, addresses_of

pytestmark = pytest.mark.root
ALLOWED, DENIED, REFERRED = 8080, 81, 5432
PORTS = (ALLOWED, DENIED, REFERRED)
CLIENT_PORT = 40000
IDLE_S = 0.4  # what passes is back within milliseconds
PUBLIC, OTHER_ZONE, BY_NAT, SHUT = "public", "zone2", "nat", "none"


def region(public: list[str]) -> Description:
    """Two VPCs, peered from the first one's `nat` subnet and the second one's `public` one; `public`: of the pool."""
    given = iter(public)
    vpcs = ("vpc-01", "vpc-02")
    made: dict[str, list[Any]] = {
        "Vpcs": [vpc(name, f"10.{n}.0.0/16", cidr6=f"2001:db8:{n}::/56") for n, name in enumerate(vpcs, 1)],
        "VpcPeeringConnections": [peering("pcx-012", *vpcs)],
        "NatGateways": [nat_gateway("nat-01", "subnet-1public", "10.1.0.9", next(given), "vpc-01")],
        "EgressOnlyInternetGateways": [egress_only_gateway("eigw-01", "vpc-01")],
        "InternetGateways": [internet_gateway(f"igw-0{n}", name) for n, name in enumerate(vpcs, 1)],
    }
    for key in ("Subnets", "RouteTables", "SecurityGroups", "NetworkAcls", "NetworkInterfaces"):
        made[key] = [each for n, name in enumerate(vpcs, 1) for each in _PARTS[key](n, name, given)]
    return described(made)


def _subnets(n: int, name: str, _public: Iterator[str]) -> list[Any]:
    kinds = enumerate((PUBLIC, OTHER_ZONE, BY_NAT, SHUT))
    return [subnet(f"subnet-{n}{k}", f"10.{n}.{i}.0/24", name, f"2001:db8:{n}:{i}::/64") for i, k in kinds]


def _tables(n: int, name: str, _public: Iterator[str]) -> list[Any]:
    out = [route(EVERYWHERE, f"igw-0{n}")]
    over = [route(f"10.{3 - n}.0.0/16", "pcx-012"), route(f"2001:db8:{3 - n}::/56", "pcx-012")]
    by_nat = [route(EVERYWHERE, "nat-01"), *over] if n == 1 else []
    return [
        table(f"rtb-{n}main", name, main=True),
        table(f"rtb-{n}{PUBLIC}", name, *out, *(over if n == 2 else []), subnets=(f"subnet-{n}{PUBLIC}",)),
        table(f"rtb-{n}{OTHER_ZONE}", name, *out, subnets=(f"subnet-{n}{OTHER_ZONE}",)),
        table(f"rtb-{n}{BY_NAT}", name, *by_nat, subnets=(f"subnet-{n}{BY_NAT}",)),
    ]


def _groups(n: int, name: str, _public: Iterator[str]) -> list[Any]:
    everybody = permission("udp", ALLOWED, cidr=EVERYWHERE, cidr6=EVERYWHERE6)
    members = [permission("udp", REFERRED, group=each) for each in ("sg-01web", "sg-02web")]
    near = [permission("udp", ALLOWED, cidr=f"10.{n}.0.0/16")]
    return [group(f"sg-0{n}web", everybody, *members, vpc=name), group(f"sg-0{n}few", vpc=name, outbound=near)]


def _acls(n: int, name: str, _public: Iterator[str]) -> list[Any]:
    """The other zone's takes nothing from the NAT gateway's subnet and answers nobody in the one without routes."""
    own = {
        "NetworkAclId": f"acl-{n}own",
        "VpcId": name,
        "IsDefault": False,
        "Associations": [{"SubnetId": f"subnet-{n}{OTHER_ZONE}"}],
        "Entries": [
            entry(10, "deny", "17", (ALLOWED, ALLOWED), cidr=f"10.{n}.2.0/24"),
            entry(20, "deny", "17", (1024, 65535), cidr=f"10.{n}.3.0/24", egress=True),
            *everything(100, "allow"),
            *everything(32767, "deny"),
        ],
    }
    return [default_acl(name, f"acl-{n}default"), own]


def _interfaces(n: int, name: str, public: Iterator[str]) -> list[Any]:
    def one(which: str, kind: str, address: str, *groups: str, **more: str) -> Any:
        return interface(f"eni-{n}{which}", f"subnet-{n}{kind}", address, *groups, vpc=name, **more)

    web, few = f"sg-0{n}web", f"sg-0{n}few"
    return [
        one("a", PUBLIC, f"10.{n}.0.5", web, public=next(public), address6=f"2001:db8:{n}:0::5"),
        one("b", PUBLIC, f"10.{n}.0.6", web),
        one("c", PUBLIC, f"10.{n}.0.7", few, public=next(public)),
        one("d", OTHER_ZONE, f"10.{n}.1.5", web, public=next(public)),
        one("e", BY_NAT, f"10.{n}.2.5", web, few, address6=f"2001:db8:{n}:2::5"),
        one("f", BY_NAT, f"10.{n}.2.6", web, public=next(public)),
        one("g", SHUT, f"10.{n}.3.5", web, public=next(public)),
    ]


_PARTS = {
    "Subnets": _subnets,
    "RouteTables": _tables,
    "SecurityGroups": _groups,
    "NetworkAcls": _acls,
    "NetworkInterfaces": _interfaces,
}


class Got(Struct, kw_only=True):
    receiver: str = ""
    source: str = ""
    answered_by: str = ""


class Echoes:
    """A socket for each port of every place that echoes, and one that asks. Places: interfaces' ids, and outside."""

    def __init__(self) -> None:
        self.open = ExitStack()
        self._servers: dict[socket.socket, str] = {}
        self._clients: dict[tuple[str, int], socket.socket] = {}
        self._got: dict[int, Got] = {}

    def add(self, place: str, netns_path: str, address: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in (*PORTS, CLIENT_PORT):
            one = self.open.enter_context(socket_in(netns_path, family, socket.SOCK_DGRAM))
            one.bind((address, port))
            if port == CLIENT_PORT:
                self._clients[place, 6 if ":" in address else 4] = one
            else:
                self._servers[one] = place

    def ask(self, flows: list[Flow]) -> list[Got]:
        self._got = {number: Got() for number in range(len(flows))}
        for number, flow in enumerate(flows):
            self._clients[flow.sender, 6 if ":" in flow.to else 4].sendto(str(number).encode(), (flow.to, flow.port))
            if number % 50 == 0:
                self._listen(0.0)
        self._listen(IDLE_S)
        return list(self._got.values())

    def _listen(self, idle_s: float) -> None:
        """Until nothing comes for so long."""
        every = [*self._servers, *self._clients.values()]
        while ready := select.select(every, [], [], idle_s)[0]:
            for one in ready:
                data, (address, *ends) = one.recvfrom(64)
                got = self._got[int(data)]
                if one in self._servers:
                    got.receiver, got.source = self._servers[one], address
                    one.sendto(data, (address, *ends))
                else:
                    got.answered_by = address


def test_every_cell_is_as_the_reference_model_says(tmp_path: Path) -> None:
    asyncio.run(_scenario(tmp_path / "run"))


async def _scenario(directory: Path) -> None:
    lab = await NetLab.open(directory)
    beyond: Internet | None = None
    echoes = Echoes()
    try:
        beyond = Internet.beyond(lab, OUTSIDE)
        description = region([lab.public(number) for number in range(1, 20)])
        for plan in plans_of(description).values():
            await lab.network.apply_vpc(plan)
        echoes.add(OUTSIDE, beyond.netns_path, OUTSIDE)
        for each in description.network_interfaces:
            attached: TaskNetwork = await lab.attach(f"task-{each.network_interface_id}", eni_of(description, each))
            for address in addresses_of(each):
                echoes.add(each.network_interface_id, attached.netns_path, str(address))
        asked = list(_flows(description))
        compare(description, asked, echoes.ask(asked))
    finally:
        echoes.open.close()
        if beyond is not None:
            beyond.close()
        await lab.close()


def _flows(description: Description) -> Iterator[Flow]:
    interfaces = {each.network_interface_id: each for each in description.network_interfaces}
    public = [each.association.public_ip for each in interfaces.values() if each.association]
    private = [str(address) for each in interfaces.values() for address in addresses_of(each)]
    gateways = [
        a
        for nat in description.nat_gateways
        for own in nat.nat_gateway_addresses
        for a in (own.private_ip, own.public_ip)
    ]
    for sender in (*interfaces, OUTSIDE):
        own = {str(each) for each in addresses_of(interfaces[sender])} if sender in interfaces else {OUTSIDE}
        for to in (*private, *public, *gateways, OUTSIDE, "10.1.0.99", "10.9.0.1"):
            if (
                to not in own
                and {":" in to} <= {":" in each for each in own}
                and (sender in interfaces or to in public)
            ):
                for port in PORTS:
                    yield Flow(sender=sender, to=to, protocol=UDP, port=port, source_port=CLIENT_PORT)


def compare(description: Description, asked: list[Flow], found: list[Got]) -> None:
    reference = Region(description)
    wrong, cells = [], Counter[tuple[bool, bool | None]]()
    for flow, got in zip(asked, found, strict=True):
        wanted = answer(reference, flow)
        cells[wanted.delivered, wanted.reply] += 1
        expected = (_receiver(wanted), wanted.source, flow.to if wanted.reply else "")
        if (got.receiver, got.source, got.answered_by) != expected:
            wrong.append(f"{flow.sender} to {flow.to}:{flow.port}: {got}; reference: {expected} by {wanted.path}")
    assert not wrong, "\n".join(wrong)
    assert all(cells[cell] >= 10 for cell in ((False, None), (True, True), (True, False))), cells


def _receiver(wanted: Answer) -> str:
    if wanted.receiver is None:
        return ""
    return OUTSIDE if wanted.receiver.kind is Kind.OUTSIDE else wanted.receiver.object_ids[0]
