"""What calls make of routes, gateways, peerings and endpoints, decided on a shelf; a VPC's plan follows each."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.frontend.network.endpoints import changes as endpoints
from neargate.frontend.network.endpoints.changes import WantedEndpoint
from neargate.frontend.network.errors.common import InvalidParameterValue
from neargate.frontend.network.errors.routing import (
    EgressOnlyGatewayLimitExceeded,
    EndpointLimitExceeded,
    PeeringNotFound,
    PeeringsActive,
    PeeringsOutstanding,
    RouteAlreadyExists,
    RouteLimitExceeded,
    RouteTableLimitExceeded,
)
from neargate.frontend.network.peering import peerings
from neargate.frontend.network.records.aws_prefix_lists import aws_prefix_lists, find_aws_prefix_list, list_of_service
from neargate.frontend.network.records.objects import (
    CidrBlock,
    NatGateway,
    Peering,
    PrefixList,
    PrefixListEntry,
    RouteTable,
    Subnet,
    TableAssociation,
    Vpc,
)
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.frontend.network.routing import gateways, route_tables, routes, vpn_gateways
from neargate.frontend.network.routing.routes import IPV4, IPV6, LIST
from neargate.frontend.regional.shelves import Change, Kept, Shelf
from neargate.model.knobs import Knobs
from neargate.model.network import BLACKHOLE, LOCAL, Route, VpcPlan
from neargate.store.sqlite import MemoryStores
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
VPC, PEER, THIRD = "vpc-0aaaaaaaaaaaaaaa1", "vpc-0aaaaaaaaaaaaaaa2", "vpc-0aaaaaaaaaaaaaaa3"
MAIN, NAT = "rtb-0aaaaaaaaaaaaaaa1", "nat-0aaaaaaaaaaaaaaa1"
S3 = f"com.amazonaws.{REGION}.s3"
NUMBERS = count(1)
MANY = 1000.0


def bits(_: int) -> int:
    return next(NUMBERS)


def shelf_of(*records: Kept) -> Shelf:
    shelf = Shelf(ACCOUNT)
    shelf.apply(records, ())
    return shelf


def vpcs() -> list[Kept]:
    return [
        Vpc(account=ACCOUNT, name=VPC, cidr="10.0.0.0/16"),
        Vpc(account=ACCOUNT, name=PEER, cidr="10.1.0.0/16"),
        Vpc(account=ACCOUNT, name=THIRD, cidr="10.2.0.0/16"),
        RouteTable(
            account=ACCOUNT, name=MAIN, vpc_id=VPC, associations=(TableAssociation(association_id="rtbassoc-1"),)
        ),
        Subnet(account=ACCOUNT, name="subnet-1", vpc_id=VPC, zone="us-east-1a", zone_id="use1-az1", cidr="10.0.0.0/24"),
        nat(),
    ]


def nat(state: str = "available") -> NatGateway:
    return NatGateway(
        account=ACCOUNT,
        name=NAT,
        vpc_id=VPC,
        subnet_id="subnet-1",
        zone="us-east-1a",
        state=state,
        created_at=1.0,
        private_ip="10.0.0.9",
        public_ip="198.18.0.9",
    )


def done(shelf: Shelf, change: Change[object]) -> None:
    shelf.apply(change.put, change.drop)


# -- destinations


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_destination_is_canonical(address: object, prefix: int) -> None:
    made = routes.destination(f"{address}/{prefix}", IPV4)
    assert routes.destination(made.text, IPV4) == made
    assert made.text.endswith(f"/{prefix}")


@given(st.ip_addresses(v=6), st.integers(0, 128))
def test_an_ipv6_destination_is_canonical(address: object, prefix: int) -> None:
    made = routes.destination(f"{address}/{prefix}", IPV6)
    assert routes.destination(made.text, IPV6) == made and made.text == made.text.lower()


@given(st.text(max_size=40), st.sampled_from([IPV4, IPV6]))
def test_no_text_breaks_a_destination(text: str, parameter: str) -> None:
    try:
        made = routes.destination(text, parameter).text
    except InvalidParameterValue:
        return
    assert "/" in made and routes.destination(made, parameter).text == made


@pytest.mark.parametrize("text", ["10.0.0.0/٣", "10.0.0.0/33", "::ffff:10.0.0.1/200", "fe80::1%1/64", " 10.0.0.0/8"])
def test_what_only_looks_like_a_network_is_none(text: str) -> None:
    for parameter in (IPV4, IPV6):
        with pytest.raises(InvalidParameterValue):
            routes.destination(text, parameter)


# -- quotas


def test_tables_and_routes_have_quotas() -> None:
    shelf = shelf_of(*vpcs())
    done(shelf, route_tables.create_table(shelf, VPC, (), None, 2, bits))
    with pytest.raises(RouteTableLimitExceeded):
        route_tables.create_table(shelf, VPC, (), None, 2, bits)
    route_tables.create_table(shelf, PEER, (), None, 2, bits)  # counted by VPC
    for number in (1, 2):
        to = routes.destination(f"192.0.{number}.0/24", IPV4)
        done(shelf, routes.create_route(shelf, MAIN, to, NAT, 2, REGION))
    with pytest.raises(RouteLimitExceeded):
        routes.create_route(shelf, MAIN, routes.destination("192.0.3.0/24", IPV4), NAT, 2, REGION)
    with pytest.raises(RouteAlreadyExists):
        routes.create_route(shelf, MAIN, routes.destination("192.0.2.0/24", IPV4), NAT, 2, REGION)


def test_gateways_and_endpoints_have_quotas() -> None:
    shelf = shelf_of(*vpcs())
    done(shelf, gateways.create_egress_only(shelf, VPC, (), None, 1, bits))
    with pytest.raises(EgressOnlyGatewayLimitExceeded):
        gateways.create_egress_only(shelf, PEER, (), None, 1, bits)
    done(shelf, endpoints.create_endpoint(shelf, WantedEndpoint(vpc_id=VPC, service_name=S3), REGION, 1.0, 1, bits))
    with pytest.raises(EndpointLimitExceeded):
        endpoints.create_endpoint(shelf, WantedEndpoint(vpc_id=PEER, service_name=S3), REGION, 1.0, 1, bits)


def test_peerings_have_quotas() -> None:
    shelf = shelf_of(*vpcs())
    first = peerings.request_peering(shelf, VPC, PEER, (), 0.0, 1, bits)
    done(shelf, first)
    with pytest.raises(PeeringsOutstanding):
        peerings.request_peering(shelf, VPC, THIRD, (), 0.0, 1, bits)
    done(shelf, peerings.accept(shelf, first.result.name, 1.0, 1))
    second = peerings.request_peering(shelf, VPC, THIRD, (), 2.0, 1, bits)
    done(shelf, second)
    with pytest.raises(PeeringsActive, match=VPC):
        peerings.accept(shelf, second.result.name, 3.0, 1)
    later = peerings.request_peering(shelf, PEER, THIRD, (), 2.0 + peerings.EXPIRES_AFTER_S, 1, bits)
    assert later.result.status == peerings.PENDING  # what expired is outstanding no longer


# -- peering


def test_networks_that_overlap_are_never_peered() -> None:
    shelf = shelf_of(*vpcs())
    made = peerings.request_peering(shelf, VPC, PEER, (), 0.0, MANY, bits)
    done(shelf, made)
    peer = shelf.find(Vpc, PEER)
    assert peer is not None
    shelf.apply([replace(peer, others=(CidrBlock(association_id="a", cidr="10.0.128.0/17"),))], ())
    accepted = peerings.accept(shelf, made.result.name, 1.0, MANY)
    assert accepted.result.status == peerings.FAILED
    done(shelf, accepted)
    assert peerings.request_peering(shelf, VPC, PEER, (), 0.0, MANY, bits).result.status == peerings.FAILED


@pytest.mark.parametrize("status", ["failed", "deleted", "rejected", "expired"])
def test_what_ended_is_seen_for_a_while_and_revived_by_nothing(status: str) -> None:
    ended = None if status == "expired" else 0.0
    created = -peerings.EXPIRES_AFTER_S if status == "expired" else 0.0
    peering = Peering(
        account=ACCOUNT,
        name="pcx-1",
        requester_vpc=VPC,
        accepter_vpc=PEER,
        status="pending-acceptance" if status == "expired" else status,
        created_at=created,
        ended_at=ended,
    )
    shelf = shelf_of(*vpcs(), peering)
    assert peerings.status_at(peering, 0.0) == status
    for move in (peerings.reject, peerings.delete, lambda s, p, n: peerings.accept(s, p, n, MANY)):
        with pytest.raises(Exception, match=f"from {status} to"):
            move(shelf, "pcx-1", 1.0)
    assert [one.name for one in peerings.visible(shelf, 7199.0)] == ["pcx-1"]
    assert list(peerings.visible(shelf, 2 * 86400.0)) == []
    with pytest.raises(PeeringNotFound):
        peerings.delete(shelf, "pcx-1", 2 * 86400.0)


# -- AWS's lists


def test_aws_lists_are_each_regions_own_and_stay() -> None:
    [dynamodb, s3] = aws_prefix_lists(REGION)
    assert (dynamodb.list_name, s3.list_name) == (f"com.amazonaws.{REGION}.dynamodb", S3)
    # Configurations hold these ids: another release must not make others.
    assert (dynamodb.list_id, s3.list_id) == ("pl-99b8acd1", "pl-6855ce84")
    assert find_aws_prefix_list(REGION, s3.list_id) == s3 == list_of_service(REGION, S3)
    assert find_aws_prefix_list("eu-west-1", s3.list_id) is None
    assert list_of_service(REGION, "com.amazonaws.eu-west-1.s3") is None


# -- the plan follows


class Planned:
    """A VPC of a registry over a store in memory, and what its plan becomes."""

    def __init__(self, network: NetworkRegistry) -> None:
        self.network = network

    @property
    def plan(self) -> VpcPlan:
        return self.network.plan(VPC)

    def routes(self, table_id: str = MAIN) -> dict[str, str]:
        [table] = [one for one in self.plan.tables if one.table_id == table_id]
        return {route.destination: route.target for route in table.routes}

    async def becomes_another(self, decide: Callable[[Shelf], Change[object]]) -> None:
        """The plan differs, and its generation is higher."""
        before = self.plan
        await self.network.change(ACCOUNT, decide)
        assert self.plan.generation > before.generation
        assert replace(self.plan, generation=before.generation) != before

    async def stays(self, decide: Callable[[Shelf], Change[object]]) -> None:
        """Something is recorded that no host needs: the plan keeps its generation."""
        before, generation = self.plan, self.network.shelf(ACCOUNT).generation
        await self.network.change(ACCOUNT, decide)
        assert self.network.shelf(ACCOUNT).generation == generation + 1
        assert self.plan == before


def run(story: Callable[[Planned], Awaitable[None]]) -> None:
    async def bounded() -> None:
        world = OsWorld()
        store = await MemoryStores(world, Knobs()).open("region", MIGRATIONS)
        zones = (("us-east-1a", "use1-az1"),)
        network = await open_network(world, store, region=REGION, account=ACCOUNT, zones=zones)
        await network.change(ACCOUNT, lambda _: Change(result=None, put=tuple(vpcs())))
        await asyncio.wait_for(story(Planned(network)), 60)

    asyncio.run(bounded())


ANYWHERE, ANYWHERE_IPV6 = routes.destination("0.0.0.0/0", IPV4), routes.destination("::/0", IPV6)


def test_the_plan_follows_tables_and_their_associations() -> None:
    async def story(vpc: Planned) -> None:
        await vpc.becomes_another(lambda shelf: route_tables.create_table(shelf, VPC, (), None, MANY, bits))
        [made] = [one.table_id for one in vpc.plan.tables if one.table_id != MAIN]
        assert vpc.routes(made) == {"10.0.0.0/16": LOCAL} and vpc.plan.subnets[0].route_table == MAIN
        await vpc.becomes_another(lambda shelf: route_tables.associate(shelf, made, "subnet-1", bits))
        assert vpc.plan.subnets[0].route_table == made
        [table] = [one for one in vpc.network.shelf(ACCOUNT).all(RouteTable) if one.name == made]
        association = table.associations[0].association_id
        await vpc.becomes_another(lambda shelf: route_tables.replace_association(shelf, association, MAIN, bits))
        assert vpc.plan.subnets[0].route_table == MAIN
        # The main table is in force now by an association of its own: without it nothing differs.
        [table] = [one for one in vpc.network.shelf(ACCOUNT).all(RouteTable) if one.name == MAIN]
        own = next(one.association_id for one in table.associations if one.subnet_id is not None)
        await vpc.stays(lambda shelf: route_tables.disassociate(shelf, own))
        await vpc.becomes_another(lambda shelf: route_tables.replace_association(shelf, "rtbassoc-1", made, bits))
        assert vpc.plan.subnets[0].route_table == made
        await vpc.becomes_another(lambda shelf: route_tables.delete_table(shelf, MAIN))

    run(story)


def test_the_plan_follows_routes_and_gateways() -> None:
    async def story(vpc: Planned) -> None:
        await vpc.stays(lambda shelf: gateways.create_gateway(shelf, (), MANY, bits))
        igw = next(one.name for one in vpc.network.shelf(ACCOUNT).all(gateways.InternetGateway) if one.vpc_id is None)
        await vpc.stays(lambda shelf: gateways.attach(shelf, igw, VPC))
        await vpc.becomes_another(lambda shelf: routes.create_route(shelf, MAIN, ANYWHERE, igw, MANY, REGION))
        assert vpc.routes() == {"10.0.0.0/16": LOCAL, "0.0.0.0/0": igw}
        await vpc.becomes_another(lambda shelf: gateways.detach(shelf_without_nat(shelf), igw, VPC, has_public=False))
        assert vpc.routes()["0.0.0.0/0"] == BLACKHOLE
        await vpc.becomes_another(lambda shelf: gateways.attach(shelf, igw, VPC))
        await vpc.becomes_another(lambda shelf: routes.replace_route(shelf, MAIN, ANYWHERE, NAT, REGION))
        assert vpc.routes()["0.0.0.0/0"] == NAT
        await vpc.becomes_another(lambda _: Change(result=None, put=(nat("deleted"),)))
        assert vpc.routes()["0.0.0.0/0"] == BLACKHOLE and vpc.plan.nats == ()
        await vpc.becomes_another(lambda shelf: routes.delete_route(shelf, MAIN, ANYWHERE, REGION))
        await vpc.stays(lambda shelf: gateways.create_egress_only(shelf, VPC, (), None, MANY, bits))
        [eigw] = [one.name for one in vpc.network.shelf(ACCOUNT).all(gateways.EgressOnlyGateway)]
        await vpc.becomes_another(lambda shelf: routes.create_route(shelf, MAIN, ANYWHERE_IPV6, eigw, MANY, REGION))
        assert vpc.routes() == {"10.0.0.0/16": LOCAL, "::/0": eigw}
        await vpc.becomes_another(lambda shelf: gateways.delete_egress_only(shelf, eigw))
        assert vpc.routes()["::/0"] == BLACKHOLE

    run(story)


def test_what_is_routed_to_a_virtual_private_gateway_is_dropped_and_not_led_elsewhere() -> None:
    async def story(vpc: Planned) -> None:
        await vpc.stays(lambda shelf: vpn_gateways.create_gateway(shelf, 64512, None, (), 0.0, bits))
        [vgw] = [one.name for one in vpc.network.shelf(ACCOUNT).all(vpn_gateways.VpnGateway)]
        await vpc.stays(lambda shelf: vpn_gateways.attach(shelf, vgw, VPC, 0.0))
        office = routes.destination("192.168.0.0/16", IPV4)
        await vpc.becomes_another(lambda shelf: routes.create_route(shelf, MAIN, ANYWHERE, NAT, MANY, REGION))
        await vpc.becomes_another(lambda shelf: routes.create_route(shelf, MAIN, office, vgw, MANY, REGION))
        assert vpc.routes() == {"10.0.0.0/16": LOCAL, "0.0.0.0/0": NAT, "192.168.0.0/16": BLACKHOLE}
        await vpc.stays(lambda shelf: vpn_gateways.propagate(shelf, vgw, MAIN, 0.0))
        await vpc.stays(lambda shelf: vpn_gateways.detach(shelf, vgw, VPC, 0.0))
        await vpc.stays(lambda shelf: vpn_gateways.delete_gateway(shelf, vgw, 0.0))

    run(story)


def shelf_without_nat(shelf: Shelf) -> Shelf:
    """What a detachment sees once the NAT gateway is gone."""
    seen = Shelf(shelf.account)
    seen.apply([one for one in shelf.everything() if not isinstance(one, NatGateway)], ())
    return seen


def test_the_plan_follows_peerings() -> None:
    async def story(vpc: Planned) -> None:
        await vpc.stays(lambda shelf: peerings.request_peering(shelf, VPC, PEER, (), 0.0, MANY, bits))
        [pcx] = [one.name for one in vpc.network.shelf(ACCOUNT).all(Peering)]
        to = routes.destination("10.1.0.0/16", IPV4)
        await vpc.becomes_another(lambda shelf: routes.create_route(shelf, MAIN, to, pcx, MANY, REGION))
        assert vpc.routes()["10.1.0.0/16"] == BLACKHOLE
        peers_before = vpc.network.plan(PEER)
        await vpc.becomes_another(lambda shelf: peerings.accept(shelf, pcx, 1.0, MANY))
        assert vpc.routes()["10.1.0.0/16"] == pcx
        assert [one.peer_vpc for one in vpc.plan.peerings] == [PEER]
        assert [one.peer_vpc for one in vpc.network.plan(PEER).peerings] == [VPC]
        assert vpc.network.plan(PEER).generation > peers_before.generation
        await vpc.becomes_another(lambda shelf: peerings.delete(shelf, pcx, 2.0))
        assert vpc.routes()["10.1.0.0/16"] == BLACKHOLE and vpc.plan.peerings == ()

    run(story)


def test_the_plan_follows_prefix_lists_and_not_gateway_endpoints() -> None:
    async def story(vpc: Planned) -> None:
        known = PrefixList(
            account=ACCOUNT,
            name="pl-0aaaaaaaaaaaaaaa1",
            list_name="a",
            family="IPv4",
            entries_max=5,
            versions=((PrefixListEntry(cidr="192.0.2.0/24"), PrefixListEntry(cidr="10.0.0.0/16")),),
        )
        await vpc.stays(lambda _: Change(result=None, put=(known,)))
        to = routes.destination(known.name, LIST)
        await vpc.becomes_another(lambda shelf: routes.create_route(shelf, MAIN, to, NAT, MANY, REGION))
        assert vpc.routes() == {"10.0.0.0/16": LOCAL, "192.0.2.0/24": NAT}
        more = replace(known, versions=(*known.versions, (PrefixListEntry(cidr="198.51.100.0/24"),)))
        await vpc.becomes_another(lambda _: Change(result=None, put=(more,)))
        assert vpc.plan.tables[0].routes == (
            Route(destination="10.0.0.0/16", target=LOCAL),
            Route(destination="198.51.100.0/24", target=NAT),
        )
        wanted = WantedEndpoint(vpc_id=VPC, service_name=S3, route_tables=(MAIN,))
        await vpc.stays(lambda shelf: endpoints.create_endpoint(shelf, wanted, REGION, 1.0, MANY, bits))

    run(story)
