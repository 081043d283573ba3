"""Random calls on tables, routes, gateways, peerings and endpoints: what a shelf and its plans must always be."""

import random
from collections.abc import Callable
from ipaddress import ip_network
from itertools import count
from typing import Any

import pytest

from neargate.frontend.network.endpoints import changes as endpoints
from neargate.frontend.network.endpoints.changes import WantedEndpoint
from neargate.frontend.network.peering import peerings
from neargate.frontend.network.plans.planning import is_reachable, vpc_plan
from neargate.frontend.network.records.aws_prefix_lists import SERVICES
from neargate.frontend.network.records.objects import (
    EgressOnlyGateway,
    InternetGateway,
    NatGateway,
    Peering,
    RouteTable,
    Subnet,
    TableAssociation,
    Vpc,
    VpcEndpoint,
)
from neargate.frontend.network.routing import gateways, route_tables, routes
from neargate.frontend.network.routing.routes import IPV4, IPV6
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.errors import AwsError
from neargate.model.network import BLACKHOLE, LOCAL

ACCOUNT, REGION = "123456789012", "us-east-1"
VPCS = ("vpc-1", "vpc-2", "vpc-3")
CIDRS = {"vpc-1": "10.0.0.0/16", "vpc-2": "10.1.0.0/16", "vpc-3": "10.0.0.0/17"}  # the last overlaps with the first
TO = ["0.0.0.0/0", "10.0.0.0/16", "10.0.0.0/24", "10.1.0.0/16", "192.0.2.0/24"]
TO_IPV6 = ["::/0", "2001:db8::/32"]
MAX = 4.0


def first() -> list[Kept]:
    records: list[Kept] = []
    for vpc_id, cidr in CIDRS.items():
        main = TableAssociation(association_id=f"main-{vpc_id}")
        records += [
            Vpc(account=ACCOUNT, name=vpc_id, cidr=cidr),
            RouteTable(account=ACCOUNT, name=f"rtb-{vpc_id}", vpc_id=vpc_id, associations=(main,)),
            NatGateway(
                account=ACCOUNT,
                name=f"nat-{vpc_id}",
                vpc_id=vpc_id,
                subnet_id="s",
                zone="z",
                state="available",
                is_public=False,
                created_at=0.0,
            ),
        ]
        records += [
            Subnet(
                account=ACCOUNT,
                name=f"subnet-{vpc_id}-{number}",
                vpc_id=vpc_id,
                zone="z",
                zone_id="z",
                cidr=str(list(ip_network(cidr).subnets(new_prefix=24))[number]),
            )
            for number in range(2)
        ]
    return records


class Picker:
    """Which of the shelf's things a call names (now and then none of them), and the ids that it makes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ids = count(1)

    def bits(self, _: int) -> int:
        return next(self.ids)

    def one(self, options: list[str]) -> str:
        return "none-0" if not options or self.random.random() < 0.03 else self.random.choice(options)

    def name(self, shelf: Shelf, *kinds: type[Kept]) -> str:
        return self.one([record.name for kind in kinds for record in shelf.all(kind)])

    def to(self) -> routes.Destination:
        cidr = self.random.choice([*TO, *TO_IPV6])
        return routes.destination(cidr, IPV6 if ":" in cidr else IPV4)


def some_call(pick: Picker, shelf: Shelf, now: float) -> Callable[[Shelf], Change[Any]]:
    """One of the calls, with arguments from what is there."""
    vpc, other, table = pick.name(shelf, Vpc), pick.name(shelf, Vpc), pick.name(shelf, RouteTable)
    subnet, igw = pick.name(shelf, Subnet), pick.name(shelf, InternetGateway)
    eigw, pcx, vpce = pick.name(shelf, EgressOnlyGateway), pick.name(shelf, Peering), pick.name(shelf, VpcEndpoint)
    association = pick.one([one.association_id for each in shelf.all(RouteTable) for one in each.associations])
    target, to = pick.one([igw, eigw, pcx, vpce, pick.name(shelf, NatGateway)]), pick.to()
    service = f"com.amazonaws.{REGION}.{pick.random.choice(SERVICES)}"
    wanted = WantedEndpoint(vpc_id=vpc, service_name=service, route_tables=(table,))
    calls: list[Callable[[Shelf], Change[Any]]] = [
        lambda shelf: route_tables.create_table(shelf, vpc, (), None, MAX, pick.bits),
        lambda shelf: route_tables.delete_table(shelf, table),
        lambda shelf: route_tables.associate(shelf, table, subnet, pick.bits),
        lambda shelf: route_tables.disassociate(shelf, association),
        lambda shelf: route_tables.replace_association(shelf, association, table, pick.bits),
        *[lambda shelf: routes.create_route(shelf, table, to, target, MAX, REGION)] * 5,
        lambda shelf: routes.replace_route(shelf, table, to, target, REGION),
        lambda shelf: routes.delete_route(shelf, table, to, REGION),
        lambda shelf: gateways.create_gateway(shelf, (), MAX, pick.bits),
        lambda shelf: gateways.attach(shelf, igw, vpc),
        lambda shelf: gateways.detach(shelf, igw, vpc, has_public=False),
        lambda shelf: gateways.delete_gateway(shelf, igw),
        lambda shelf: gateways.create_egress_only(shelf, vpc, (), None, MAX, pick.bits),
        lambda shelf: gateways.delete_egress_only(shelf, eigw),
        lambda shelf: peerings.request_peering(shelf, vpc, other, (), now, MAX, pick.bits),
        *[lambda shelf: peerings.accept(shelf, pcx, now, MAX)] * 3,
        lambda shelf: peerings.reject(shelf, pcx, now),
        lambda shelf: peerings.delete(shelf, pcx, now),
        lambda shelf: endpoints.create_endpoint(shelf, wanted, REGION, now, MAX, pick.bits),
        *[lambda shelf: endpoints.modify_endpoint(shelf, vpce, None, [table], [], REGION)] * 2,
        lambda shelf: endpoints.modify_endpoint(shelf, vpce, None, [], [table], REGION),
        lambda shelf: endpoints.delete_endpoints(shelf, [vpce]),
    ]
    return pick.random.choice(calls)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_called_the_invariants_hold(seed: int) -> None:
    pick, shelf, now, accepted = Picker(seed), Shelf(ACCOUNT), 0.0, 0
    shelf.apply(first(), ())
    for _ in range(600):
        now += pick.random.choice([0.0, 60.0, 3600.0])
        try:
            change = some_call(pick, shelf, now)(shelf)
        except AwsError:
            continue
        assert not {(one.kind, one.name) for one in change.put} & {(one.kind, one.name) for one in change.drop}
        shelf.apply(change.put, change.drop)
        check(shelf)
        accepted += 1
    assert accepted > 100  # or the calls above name too little of what is there


def check(shelf: Shelf) -> None:
    tables = list(shelf.all(RouteTable))
    for vpc in shelf.all(Vpc):
        own = [table for table in tables if table.vpc_id == vpc.vpc_id]
        assert sum(table.is_main for table in own) == 1 and len(own) <= MAX
        assert sum(gateway.vpc_id == vpc.vpc_id for gateway in shelf.all(InternetGateway)) <= 1
    associations = [(table, one) for table in tables for one in table.associations]
    assert len({one.association_id for _, one in associations}) == len(associations)
    subnets = [one.subnet_id for _, one in associations if one.subnet_id is not None]
    assert len(set(subnets)) == len(subnets)
    for table, one in associations:
        subnet = shelf.find(Subnet, one.subnet_id or "")
        assert subnet is None or subnet.vpc_id == table.vpc_id
    pairs = [{one.requester_vpc, one.accepter_vpc} for one in shelf.all(Peering) if one.status == peerings.ACTIVE]
    assert {"vpc-1", "vpc-3"} not in pairs and all(pairs.count(pair) == 1 for pair in pairs)
    led = [(one.service_name, table) for one in shelf.all(VpcEndpoint) for table in one.route_tables]
    assert len(set(led)) == len(led)
    for name in {table for _, table in led}:
        assert shelf.find(RouteTable, name) is not None
    check_plans(shelf, tables)


def check_plans(shelf: Shelf, tables: list[RouteTable]) -> None:
    for table in tables:
        destinations = [route.destination for route in table.routes]
        assert len(set(destinations)) == len(destinations) <= 2 * MAX
        assert CIDRS[table.vpc_id] not in destinations  # local routes are nobody's to change
        assert all(fits(shelf, table, one.destination, one.target) for one in table.routes)
        assert all(inside_as_allowed(shelf, table, one.destination, one.target) for one in table.routes)
    for vpc in shelf.all(Vpc):
        plan = vpc_plan(shelf, vpc, generation=1)
        assert plan == vpc_plan(shelf, vpc, generation=1)
        for planned in plan.tables:
            stored = shelf.find(RouteTable, planned.table_id)
            assert stored is not None
            by_destination = {route.destination: route.target for route in planned.routes}
            assert by_destination.pop(vpc.cidr) == LOCAL
            for route in stored.routes:
                expected = route.target if is_reachable(shelf, vpc.vpc_id, route.target) else BLACKHOLE
                assert by_destination.pop(route.destination) == expected
            assert by_destination == {}
        assert {one.route_table for one in plan.subnets} <= {one.table_id for one in plan.tables}


def fits(shelf: Shelf, table: RouteTable, destination: str, target: str) -> bool:
    """Family and VPC of targets that stay where they are made; an internet gateway may be elsewhere by now."""
    nat = shelf.find(NatGateway, target)
    if nat is not None:
        return ":" not in destination and nat.vpc_id == table.vpc_id
    eigw = shelf.find(EgressOnlyGateway, target)
    if eigw is not None:
        return ":" in destination and eigw.vpc_id == table.vpc_id
    peering = shelf.find(Peering, target)
    return peering is None or table.vpc_id in (peering.requester_vpc, peering.accepter_vpc)


def inside_as_allowed(shelf: Shelf, table: RouteTable, destination: str, target: str) -> bool:
    network, vpc = ip_network(destination), ip_network(CIDRS[table.vpc_id])
    if network.version != 4 or not network.subnet_of(vpc):  # type: ignore[arg-type]  # both are of IPv4
        return True
    whole = any(one.cidr == destination and one.vpc_id == table.vpc_id for one in shelf.all(Subnet))
    return whole and target.startswith("nat-")
