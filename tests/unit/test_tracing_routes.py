"""The reference model's routes: each fact of AWS's "Configure route tables" and of the targets, as a case."""

from typing import Any

import pytest

from neargate.testing.vpc_regions.setups import (
    EVERYWHERE,
    EVERYWHERE6,
    OUTSIDE,
    OUTSIDE6,
    default_acl,
    egress_only_gateway,
    group,
    interface,
    internet_gateway,
    nat_gateway,
    peering,
    permission,
    private_tasks,
    public_tasks,
    route,
    subnet,
    table,
    vpc,
)
from neargate.tracing.description import described
from neargate.tracing.flows import ICMP, UDP, Answer, Flow, Kind, NotModelled
from neargate.tracing.model import ask

Json = dict[str, Any]
OPEN = permission(cidr=EVERYWHERE, cidr6=EVERYWHERE6)


def tcp(region: Json, sender: str, to: str, port: int = 80) -> Answer:
    return ask(described(region), Flow(sender=sender, to=to, port=port))


def routed(region: Json, table_id: str, *routes: Json) -> Json:
    """The region with other routes in one table."""
    tables = [
        {**each, "Routes": list(routes)} if each["RouteTableId"] == table_id else each for each in region["RouteTables"]
    ]
    return {**region, "RouteTables": tables}


def stop(answer: Answer) -> tuple[Kind, tuple[str, ...]] | None:
    return (answer.stop.kind, answer.stop.object_ids) if answer.stop else None


def used(answer: Answer) -> list[str]:
    return [step.rule for step in answer.path if step.kind is Kind.ROUTE_TABLE]


def test_the_longest_prefix_wins_whatever_the_order() -> None:
    routes = [route(EVERYWHERE, "nat-1"), route("192.0.2.0/24", "igw-1"), route("192.0.0.0/16", "nat-1")]
    for order in (routes, routes[::-1]):
        answer = tcp(routed(private_tasks(), "rtb-private", *order), "eni-task1", OUTSIDE)
        assert answer.stop and answer.stop.rule == "10.0.1.5 has no public address"


def test_a_subnet_without_association_has_the_main_table() -> None:
    region = private_tasks()
    region["RouteTables"][2]["Associations"] = []
    answer = tcp(region, "eni-task1", OUTSIDE)
    assert stop(answer) == (Kind.ROUTE_TABLE, ("rtb-main",)) and answer.stop and answer.stop.rule == "no route"


def test_the_local_route_is_in_every_table() -> None:
    region = routed(private_tasks(), "rtb-public")
    assert tcp(region, "eni-alb", "10.0.1.5", 8080).delivered


def test_local_wins_over_a_default_route_and_a_second_range_is_local_too() -> None:
    region = private_tasks()
    region["Vpcs"] = [vpc("vpc-1", "10.0.0.0/16", "10.5.0.0/16")]
    region["Subnets"].append(subnet("subnet-late", "10.5.0.0/24"))
    region["NetworkInterfaces"].append(interface("eni-late", "subnet-late", "10.5.0.5", "sg-alb"))
    answer = tcp(region, "eni-task1", "10.5.0.5")
    assert answer.delivered and answer.reply and used(answer) == ["10.5.0.0/16 -> local"]


def test_a_range_that_was_taken_away_is_not_local() -> None:
    region = private_tasks()
    region["Vpcs"] = [vpc("vpc-1", "10.0.0.0/16", "10.5.0.0/16")]
    region["Vpcs"][0]["CidrBlockAssociationSet"][1]["CidrBlockState"] = {"State": "disassociated"}
    assert used(tcp(region, "eni-task1", "10.5.0.5"))[0] == "0.0.0.0/0 -> nat-1"


def test_a_route_longer_than_local_leads_to_an_appliance() -> None:
    region = private_tasks()
    region["NetworkInterfaces"].append(interface("eni-wall", "subnet-public", "10.0.0.20", "sg-alb"))
    region = routed(region, "rtb-private", route("10.0.0.0/24", "eni-wall"))
    answer = tcp(region, "eni-task1", "10.0.0.5")
    assert stop(answer) == (Kind.INTERFACE, ("eni-wall",)) and used(answer) == ["10.0.0.0/24 -> eni-wall"]


def test_a_reply_that_a_longer_route_takes_elsewhere_is_lost() -> None:
    region = private_tasks()
    region["NetworkInterfaces"].append(interface("eni-wall", "subnet-public", "10.0.0.20", "sg-alb"))
    region = routed(region, "rtb-private", route("10.0.0.0/24", "eni-wall"))
    answer = tcp(region, "eni-alb", "10.0.1.5", 8080)
    assert answer.delivered and answer.reply is False
    assert answer.reply_stop and answer.reply_stop.object_ids == ("rtb-private",)


def test_a_route_longer_than_local_to_a_nat_gateway_shows_its_private_address() -> None:
    region = private_tasks()
    region["Subnets"].append(subnet("subnet-other", "10.0.2.0/24"))
    region["NetworkInterfaces"].append(interface("eni-other", "subnet-other", "10.0.2.5", "sg-alb"))
    region = routed(region, "rtb-private", route("10.0.2.0/24", "nat-1"))
    answer = tcp(region, "eni-task1", "10.0.2.5")
    assert (answer.source, answer.reply) == ("10.0.0.9", True)


def test_inside_one_subnet_nothing_is_routed() -> None:
    region = private_tasks()
    region["SecurityGroups"][1] = group("sg-task", OPEN)
    region = routed(region, "rtb-private", route("10.0.1.0/24", "nat-1"))
    answer = tcp(region, "eni-task1", "10.0.1.6")
    assert answer.delivered and answer.reply and used(answer) == [] and answer.source == "10.0.1.5"


def test_inside_one_subnet_ipv6_is_not_routed_either() -> None:
    answer = tcp(public_tasks(), "eni-task1", "2001:db8:1::6")
    assert answer.reply and used(answer) == []


def test_a_cidr_wins_over_a_prefix_list_of_the_same_length_and_loses_to_a_longer_one() -> None:
    region = private_tasks()
    region["ManagedPrefixLists"] = [{"PrefixListId": "pl-1", "Entries": [{"Cidr": "192.0.2.0/24"}]}]
    same = routed(region, "rtb-private", route("pl-1", "igw-1"), route("192.0.2.0/24", "nat-1"))
    assert tcp(same, "eni-task1", OUTSIDE).source == "198.18.0.9"
    longer = routed(region, "rtb-private", route("pl-1", "igw-1"), route(EVERYWHERE, "nat-1"))
    assert used(tcp(longer, "eni-task1", OUTSIDE)) == ["pl-1 -> igw-1"]


def test_what_is_gone_is_a_blackhole_and_hides_shorter_routes() -> None:
    region = routed(private_tasks(), "rtb-private", route(EVERYWHERE, "nat-1"), route("192.0.2.0/24", "nat-gone"))
    answer = tcp(region, "eni-task1", OUTSIDE)
    assert answer.stop and answer.stop.rule == "192.0.2.0/24 -> nat-gone is a blackhole"


def test_a_deleted_nat_gateway_and_a_detached_internet_gateway_are_blackholes() -> None:
    deleted = private_tasks()
    deleted["NatGateways"][0]["State"] = "deleted"
    assert stop(tcp(deleted, "eni-task1", OUTSIDE)) == (Kind.ROUTE_TABLE, ("rtb-private",))
    assert stop(tcp(deleted, OUTSIDE, "198.18.0.9")) == (Kind.NOWHERE, ())
    detached = private_tasks()
    detached["InternetGateways"] = [internet_gateway("igw-1", None)]
    assert stop(tcp(detached, "eni-task1", OUTSIDE)) == (Kind.ROUTE_TABLE, ("rtb-public",))
    assert stop(tcp(detached, OUTSIDE, "198.18.0.5")) == (Kind.OUTSIDE, ("vpc-1",))


def test_a_route_that_is_described_as_a_blackhole_is_one_and_so_is_a_detaching_gateways() -> None:
    described_so = routed(private_tasks(), "rtb-public", {**route(EVERYWHERE, "igw-1"), "State": "blackhole"})
    assert stop(tcp(described_so, "eni-alb", OUTSIDE)) == (Kind.ROUTE_TABLE, ("rtb-public",))
    detaching = private_tasks()
    detaching["InternetGateways"][0]["Attachments"][0]["State"] = "detaching"
    assert stop(tcp(detaching, "eni-alb", OUTSIDE)) == (Kind.ROUTE_TABLE, ("rtb-public",))


def test_nothing_comes_in_without_a_route_to_the_internet_gateway() -> None:
    answer = tcp(routed(private_tasks(), "rtb-public"), OUTSIDE, "198.18.0.5")
    assert stop(answer) == (Kind.ROUTE_TABLE, ("rtb-public",))
    elsewhere = routed(private_tasks(), "rtb-public", route("203.0.113.0/24", "igw-1"))
    assert not tcp(elsewhere, OUTSIDE, "198.18.0.5").delivered
    assert tcp(elsewhere, "203.0.113.7", "198.18.0.5").delivered


def test_a_nat_gateway_needs_a_subnet_with_an_internet_gateway() -> None:
    answer = tcp(routed(private_tasks(), "rtb-public"), "eni-task1", OUTSIDE)
    assert stop(answer) == (Kind.ROUTE_TABLE, ("rtb-public",)) and answer.stop and answer.stop.rule == "no route"


def test_an_internet_gateway_drops_what_a_private_nat_gateway_sends() -> None:
    region = private_tasks()
    region["NatGateways"] = [nat_gateway("nat-1", "subnet-public", "10.0.0.9")]
    answer = tcp(region, "eni-task1", OUTSIDE)
    assert answer.stop and answer.stop.rule == "10.0.0.9 has no public address"


def test_of_several_addresses_a_nat_gateway_shows_the_primary_one() -> None:
    region = private_tasks()
    more = {"PrivateIp": "10.0.0.10", "PublicIp": "198.18.0.10", "IsPrimary": False}
    region["NatGateways"][0]["NatGatewayAddresses"].append(more)
    assert tcp(region, "eni-task1", OUTSIDE).source == "198.18.0.9"
    region["NatGateways"][0]["NatGatewayAddresses"].reverse()
    assert tcp(region, "eni-task1", OUTSIDE).source == "198.18.0.9"


def test_a_nat_gateway_that_routes_to_itself_is_a_loop() -> None:
    answer = tcp(routed(private_tasks(), "rtb-public", route(EVERYWHERE, "nat-1")), "eni-task1", OUTSIDE)
    assert answer.stop and answer.stop.rule == "a loop of routes"


@pytest.mark.parametrize("protocol", [47, 132])
def test_a_nat_gateway_carries_tcp_udp_and_icmp_only(protocol: int) -> None:
    flow = Flow(sender="eni-task1", to=OUTSIDE, protocol=protocol)
    assert stop(ask(described(private_tasks()), flow)) == (Kind.NAT_GATEWAY, ("nat-1",))


def test_an_elastic_ip_is_an_address_as_soon_as_describe_addresses_has_it() -> None:
    region = public_tasks()
    region["Addresses"] = [{"PublicIp": "198.18.0.7", "NetworkInterfaceId": "eni-hidden"}]
    assert tcp(region, "eni-hidden", OUTSIDE).source == "198.18.0.7"
    receiver = tcp(region, OUTSIDE, "198.18.0.7").receiver
    assert receiver and receiver.object_ids == ("eni-hidden",)


def test_a_second_private_address_has_a_public_one_of_its_own() -> None:
    region = public_tasks()
    region["NetworkInterfaces"][0]["PrivateIpAddresses"].append(
        {"PrivateIpAddress": "10.0.0.50", "Association": {"PublicIp": "198.18.0.50"}}
    )
    flow = Flow(sender="eni-task1", to=OUTSIDE, port=443, sender_address="10.0.0.50")
    assert ask(described(region), flow).source == "198.18.0.50"
    assert tcp(region, OUTSIDE, "198.18.0.50").delivered

    region["Addresses"] = [
        {"PublicIp": "198.18.0.60", "NetworkInterfaceId": "eni-task2", "PrivateIpAddress": "10.0.0.60"}
    ]
    region["NetworkInterfaces"][1]["PrivateIpAddresses"].append({"PrivateIpAddress": "10.0.0.60"})
    flow = Flow(sender="eni-task2", to=OUTSIDE, port=443, sender_address="10.0.0.60")
    assert ask(described(region), flow).source == "198.18.0.60"


def test_another_ones_address_is_not_sent_from_an_interface() -> None:
    flow = Flow(sender="eni-task1", to="10.0.0.6", port=80, sender_address="10.0.0.7")
    region = public_tasks()
    assert stop(ask(described(region), flow)) == (Kind.INTERFACE, ("eni-task1",))
    region["NetworkInterfaces"][0]["SourceDestCheck"] = False
    assert ask(described(region), flow).delivered


def test_a_chain_of_nat_gateways_shows_the_last_one() -> None:
    region = private_tasks()
    region["Subnets"].append(subnet("subnet-middle", "10.0.2.0/24"))
    region["NatGateways"].append(nat_gateway("nat-middle", "subnet-middle", "10.0.2.9"))
    region["RouteTables"].append(table("rtb-middle", "vpc-1", route(EVERYWHERE, "nat-1"), subnets=("subnet-middle",)))
    region = routed(region, "rtb-private", route(EVERYWHERE, "nat-middle"))
    answer = tcp(region, "eni-task1", OUTSIDE)
    assert (answer.source, answer.reply) == ("198.18.0.9", True)


# Egress-only internet gateways


def egress_only() -> Json:
    region = routed(public_tasks(), "rtb-main", route(EVERYWHERE6, "eigw-1"))
    return {**region, "EgressOnlyInternetGateways": [egress_only_gateway("eigw-1", "vpc-1")]}


def test_an_egress_only_gateway_lets_out_and_answers_in_but_nothing_else_in() -> None:
    answer = tcp(egress_only(), "eni-task1", OUTSIDE6)
    assert (answer.source, answer.reply) == ("2001:db8:1::5", True)
    refused = tcp(egress_only(), OUTSIDE6, "2001:db8:1::5")
    assert refused.stop and refused.stop.rule == "::/0 -> eigw-1: the answer would not go back"


def test_an_egress_only_gateway_carries_no_ipv4() -> None:
    region = routed(egress_only(), "rtb-main", route(EVERYWHERE, "eigw-1"))
    assert stop(tcp(region, "eni-task1", OUTSIDE)) == (Kind.EGRESS_ONLY, ("eigw-1",))


def test_ipv4_and_ipv6_routes_are_independent() -> None:
    answer = tcp(egress_only(), "eni-task1", OUTSIDE)
    assert answer.stop and answer.stop.rule == "no route"


# The way out and back in to a public address of one's own


def test_a_call_to_ones_own_public_address_comes_from_the_public_address() -> None:
    answer = tcp(public_tasks(), "eni-task1", "198.18.0.5")
    assert (answer.source, answer.reply) == ("198.18.0.5", True)
    assert [step.object_ids for step in answer.path if step.kind is Kind.INTERNET_GATEWAY] == [("igw-1",), ("igw-1",)]


def test_a_call_to_ones_own_private_address_never_leaves() -> None:
    region = public_tasks()
    region["SecurityGroups"] = [group("sg-task", outbound=[])]
    assert tcp(region, "eni-task1", "10.0.0.5", 9999).delivered


# Peering


def peered(code: str = "active", there: bool = True, back: bool = True) -> Json:
    """vpc-1 and vpc-2 peered; vpc-2 and vpc-3 too; vpc-2 has an internet and a NAT gateway."""
    to_two, to_one = [route("10.2.0.0/16", "pcx-12")], [route("10.1.0.0/16", "pcx-12")]
    return {
        "Vpcs": [vpc(f"vpc-{n}", f"10.{n}.0.0/16") for n in (1, 2, 3)],
        "Subnets": [subnet(f"subnet-{n}", f"10.{n}.0.0/24", f"vpc-{n}") for n in (1, 2, 3)],
        "RouteTables": [
            table("rtb-1", "vpc-1", *(to_two if there else []), main=True),
            table(
                "rtb-2",
                "vpc-2",
                *(to_one if back else []),
                route("10.3.0.0/16", "pcx-23"),
                route(EVERYWHERE, "igw-2"),
                main=True,
            ),
            table("rtb-3", "vpc-3", route("10.2.0.0/16", "pcx-23"), route("10.1.0.0/16", "pcx-23"), main=True),
        ],
        "InternetGateways": [internet_gateway("igw-2", "vpc-2")],
        "NatGateways": [nat_gateway("nat-2", "subnet-2", "10.2.0.9", "198.18.0.9", "vpc-2")],
        "SecurityGroups": [
            group("sg-1", vpc="vpc-1"),
            group("sg-2", permission("tcp", 80, group="sg-1"), vpc="vpc-2"),
            group("sg-3", OPEN, vpc="vpc-3"),
        ],
        "NetworkAcls": [default_acl(f"vpc-{n}", f"acl-{n}") for n in (1, 2, 3)],
        "NetworkInterfaces": [
            interface(f"eni-{n}", f"subnet-{n}", f"10.{n}.0.5", f"sg-{n}", vpc=f"vpc-{n}") for n in (1, 2, 3)
        ],
        "VpcPeeringConnections": [peering("pcx-12", "vpc-1", "vpc-2", code), peering("pcx-23", "vpc-2", "vpc-3")],
    }


def test_peered_vpcs_reach_each_other_by_private_addresses_and_groups_may_name_each_other() -> None:
    answer = tcp(peered(), "eni-1", "10.2.0.5")
    assert (answer.source, answer.reply) == ("10.1.0.5", True)


def test_a_group_is_named_over_the_peering_that_the_packet_took_only() -> None:
    """vpc-3 has the addresses of vpc-1, and is peered with vpc-2 as well: its members are not those of vpc-1."""
    region = peered()
    region["Vpcs"][2] = vpc("vpc-3", "10.1.0.0/16")
    region["Subnets"][2] = subnet("subnet-3", "10.1.0.0/24", "vpc-3")
    region["NetworkInterfaces"][2] = interface("eni-3", "subnet-3", "10.1.0.5", "sg-3", vpc="vpc-3")
    assert tcp(region, "eni-1", "10.2.0.5").delivered
    region = grouped_for(region, "sg-2", permission("tcp", 80, group="sg-3"))
    assert stop(tcp(region, "eni-1", "10.2.0.5")) == (Kind.SECURITY_GROUP, ("sg-2",))
    answer = tcp(region, "eni-3", "10.2.0.5")
    assert answer.delivered and answer.reply is False, "vpc-2 sends the answer to vpc-1"


def test_nobody_has_the_addresses_of_an_interface_that_is_attached_to_nothing() -> None:
    region = peered()
    assert tcp(region, "eni-1", "10.2.0.5").delivered
    region["NetworkInterfaces"][1]["Status"] = "available"
    assert stop(tcp(region, "eni-1", "10.2.0.5")) == (Kind.NOWHERE, ())


@pytest.mark.parametrize(
    ("way", "status", "passes"),
    [("pcx-12", "active", True), ("pcx-old", "deleted", False), ("pcx-old", "active", False)],
)
def test_a_stale_rule_lets_nobody_in_though_another_connection_leads_there(way: str, status: str, passes: bool) -> None:
    region = peered()
    named = permission("tcp", 80, group="sg-1")
    named["UserIdGroupPairs"][0] |= {"VpcId": "vpc-1", "VpcPeeringConnectionId": way, "PeeringStatus": status}
    region["SecurityGroups"][1] = group("sg-2", named, vpc="vpc-2")
    answer = tcp(region, "eni-1", "10.2.0.5")
    assert answer.delivered if passes else stop(answer) == (Kind.SECURITY_GROUP, ("sg-2",))


def test_the_senders_rules_may_name_a_group_of_the_peer() -> None:
    region = peered()
    region["SecurityGroups"][0] = group("sg-1", outbound=[permission("tcp", 80, group="sg-2")])
    assert tcp(region, "eni-1", "10.2.0.5").delivered
    region["SecurityGroups"][0] = group("sg-1", outbound=[permission("tcp", 80, group="sg-3")])
    assert stop(tcp(region, "eni-1", "10.2.0.5")) == (Kind.SECURITY_GROUP, ("sg-1",))


def grouped_for(region: Json, group_id: str, inbound: Json) -> Json:
    others = [each for each in region["SecurityGroups"] if each["GroupId"] != group_id]
    return {**region, "SecurityGroups": [*others, group(group_id, inbound, vpc=f"vpc-{group_id[-1]}")]}


def test_without_a_route_there_nothing_arrives_and_without_one_back_nothing_is_answered() -> None:
    assert stop(tcp(peered(there=False), "eni-1", "10.2.0.5")) == (Kind.ROUTE_TABLE, ("rtb-1",))
    answer = tcp(peered(back=False), "eni-1", "10.2.0.5")
    assert answer.delivered and answer.reply is False
    assert answer.reply_stop and answer.reply_stop.rule == "0.0.0.0/0 -> igw-2: not the way the flow came"


@pytest.mark.parametrize("code", ["pending-acceptance", "deleted", "rejected", "expired"])
def test_a_peering_connection_that_is_not_active_is_a_blackhole(code: str) -> None:
    assert stop(tcp(peered(code), "eni-1", "10.2.0.5")) == (Kind.ROUTE_TABLE, ("rtb-1",))


def test_over_peering_a_nat_gateway_shows_its_private_address() -> None:
    region = peered()
    region["Subnets"].append(subnet("subnet-4", "10.2.4.0/24", "vpc-2"))
    region["NetworkInterfaces"].append(interface("eni-4", "subnet-4", "10.2.4.5", "sg-2", vpc="vpc-2"))
    region["RouteTables"].append(table("rtb-4", "vpc-2", route("10.3.0.0/16", "nat-2"), subnets=("subnet-4",)))
    answer = tcp(region, "eni-4", "10.3.0.5")
    assert (answer.source, answer.reply) == ("10.2.0.9", True)


def test_peering_is_not_transitive() -> None:
    region = routed(peered(), "rtb-1", route("10.2.0.0/16", "pcx-12"), route("10.3.0.0/16", "pcx-12"))
    assert stop(tcp(region, "eni-1", "10.3.0.5")) == (Kind.PEERING, ("pcx-12",))


def test_no_gateway_of_the_peer_is_reached_through_it() -> None:
    region = routed(peered(), "rtb-1", route(EVERYWHERE, "pcx-12"))
    assert stop(tcp(region, "eni-1", OUTSIDE)) == (Kind.PEERING, ("pcx-12",))
    assert stop(tcp(region, "eni-1", "10.2.0.9")) == (Kind.NAT_GATEWAY, ("nat-2",))
    direct = routed(peered(), "rtb-1", route(EVERYWHERE, "nat-2"))
    assert stop(tcp(direct, "eni-1", OUTSIDE)) == (Kind.ROUTE_TABLE, ("rtb-1",))


def test_the_resolver_of_a_peer_is_not_ours() -> None:
    assert stop(tcp(peered(), "eni-1", "10.2.0.2", 53)) == (Kind.NOWHERE, ())


# Endpoints


def with_gateway_endpoint() -> Json:
    region = private_tasks()
    region["ManagedPrefixLists"] = [{"PrefixListId": "pl-s3", "Cidrs": ["203.0.113.0/24"]}]
    region["VpcEndpoints"] = [{"VpcEndpointId": "vpce-s3", "VpcId": "vpc-1", "VpcEndpointType": "Gateway"}]
    return routed(region, "rtb-private", route("pl-s3", "vpce-s3"))


def test_a_gateway_endpoint_needs_no_gateway_to_the_internet_and_serves_its_list_only() -> None:
    answer = tcp(with_gateway_endpoint(), "eni-task1", "203.0.113.7", 443)
    assert (answer.source, answer.reply) == ("10.0.1.5", True)
    assert answer.receiver and answer.receiver.object_ids == ("vpce-s3",)
    assert stop(tcp(with_gateway_endpoint(), "eni-task1", OUTSIDE, 443)) == (Kind.ROUTE_TABLE, ("rtb-private",))


def test_a_gateway_endpoint_that_is_deleted_is_a_blackhole_and_one_of_an_appliance_not_modelled() -> None:
    region = with_gateway_endpoint()
    region["VpcEndpoints"][0]["State"] = "deleted"
    assert stop(tcp(region, "eni-task1", "203.0.113.7", 443)) == (Kind.ROUTE_TABLE, ("rtb-private",))
    region["VpcEndpoints"][0] |= {"State": "available", "VpcEndpointType": "GatewayLoadBalancer"}
    assert stop(tcp(region, "eni-task1", "203.0.113.7", 443)) == (Kind.ENDPOINT, ("vpce-s3",))


def test_groups_filter_what_goes_to_a_gateway_endpoint_by_its_list() -> None:
    region = with_gateway_endpoint()
    region["SecurityGroups"][1] = group("sg-task", outbound=[permission("tcp", 443, prefix_list="pl-s3")])
    assert tcp(region, "eni-task1", "203.0.113.7", 443).delivered
    assert stop(tcp(region, "eni-task1", "203.0.113.7", 80)) == (Kind.SECURITY_GROUP, ("sg-task",))


def test_an_interface_endpoint_is_an_interface_with_groups() -> None:
    region = private_tasks()
    endpoint = {"VpcEndpointId": "vpce-1", "VpcId": "vpc-1", "VpcEndpointType": "Interface"}
    region["VpcEndpoints"] = [{**endpoint, "State": "available", "NetworkInterfaceIds": ["eni-vpce"]}]
    region["SecurityGroups"].append(group("sg-vpce", permission("tcp", 443, group="sg-task")))
    region["NetworkInterfaces"].append(interface("eni-vpce", "subnet-private", "10.0.1.50", "sg-vpce"))
    assert tcp(region, "eni-task1", "10.0.1.50", 443).delivered
    assert stop(tcp(region, "eni-alb", "10.0.1.50", 443)) == (Kind.SECURITY_GROUP, ("sg-vpce",))
    region["VpcEndpoints"][0]["State"] = "deleting"
    assert stop(tcp(region, "eni-task1", "10.0.1.50", 443)) == (Kind.ENDPOINT, ("vpce-1",))


def test_the_regions_own_endpoint_needs_no_route() -> None:
    region = {**routed(private_tasks(), "rtb-private"), "RegionEndpoint": {"Address": "198.18.255.1", "Port": 4566}}
    assert tcp(region, "eni-task1", "198.18.255.1", 4566).delivered
    assert stop(tcp(region, "eni-task1", "198.18.255.1", 22)) == (Kind.SERVICE, ())


# Services of the VPC


@pytest.mark.parametrize("to", ["10.0.0.2", "169.254.169.253", "169.254.170.2", "169.254.169.254"])
def test_no_filter_and_no_route_touches_resolver_and_metadata(to: str) -> None:
    region = routed(private_tasks(), "rtb-private", route("169.254.0.0/16", "nat-1"))
    region["SecurityGroups"] = [group("sg-alb"), group("sg-task", outbound=[])]
    region["NetworkAcls"] = [{**default_acl("vpc-1", "acl-default"), "Entries": []}]
    answer = tcp(region, "eni-task1", to, 53 if to in ("10.0.0.2", "169.254.169.253") else 80)
    assert answer.delivered and answer.reply


def test_the_time_is_served_over_udp() -> None:
    flow = Flow(sender="eni-task1", to="169.254.169.123", protocol=UDP, port=123)
    assert ask(described(private_tasks()), flow).reply


def test_a_vpc_without_dns_support_has_no_resolver() -> None:
    region = private_tasks()
    region["Vpcs"][0]["EnableDnsSupport"] = False
    assert stop(tcp(region, "eni-task1", "10.0.0.2", 53)) == (Kind.SERVICE, ("vpc-1",))


def test_reserved_addresses_without_a_service_are_not_forwarded() -> None:
    assert stop(tcp(private_tasks(), "eni-task1", "169.254.168.7")) == (Kind.SERVICE, ())


def test_what_would_be_a_guess_is_refused() -> None:
    with pytest.raises(NotModelled, match="transit"):
        tcp(routed(private_tasks(), "rtb-private", route(EVERYWHERE, "tgw-1")), "eni-task1", OUTSIDE)
    assert stop(tcp(routed(private_tasks(), "rtb-private", route(EVERYWHERE, "vgw-1")), "eni-task1", OUTSIDE)) == (
        Kind.ROUTE_TABLE,
        ("rtb-private",),
    )
    region = private_tasks()
    region["RouteTables"][0]["Associations"].append({"Main": False, "GatewayId": "igw-1"})
    with pytest.raises(NotModelled, match="gateway route tables"):
        tcp(region, "eni-task1", OUTSIDE)
    six = routed(public_tasks(), "rtb-main", route("64:ff9b::/96", "nat-1"))
    six["NatGateways"] = private_tasks()["NatGateways"]
    six["NatGateways"][0]["SubnetId"] = "subnet-1"
    with pytest.raises(NotModelled, match="NAT64"):
        tcp(six, "eni-task1", "64:ff9b::c000:20a")


def test_a_ping_is_answered_by_an_echo_reply_and_other_messages_by_nothing() -> None:
    region = described(private_tasks())
    assert ask(region, Flow(sender="eni-task1", to=OUTSIDE, protocol=ICMP)).reply is True
    assert ask(region, Flow(sender="eni-task1", to=OUTSIDE, protocol=ICMP, icmp_type=3, icmp_code=4)).reply is None
