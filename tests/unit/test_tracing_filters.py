"""The reference model's filters: each fact of AWS's "Security groups" and "Network ACLs", as a case."""

from typing import Any

import pytest

from neargate.testing.vpc_regions.setups import (
    EVERYWHERE,
    EVERYWHERE6,
    OUTSIDE,
    OUTSIDE6,
    default_acl,
    entry,
    group,
    interface,
    permission,
    private_tasks,
    public_tasks,
    route,
    subnet,
    table,
    vpc,
)
from neargate.tracing.description import described
from neargate.tracing.flows import ICMP, ICMPV6, TCP, UDP, Answer, Flow, Kind
from neargate.tracing.model import ask

Json = dict[str, Any]
OPEN = permission(cidr=EVERYWHERE, cidr6=EVERYWHERE6)


def tcp(region: Json, sender: str, to: str, port: int = 80, source_port: int = 40000) -> Answer:
    return ask(described(region), Flow(sender=sender, to=to, port=port, source_port=source_port))


def grouped(region: Json, *groups: Json) -> Json:
    """The region with these groups in the place of those of the same id."""
    others = [each for each in region["SecurityGroups"] if each["GroupId"] not in {new["GroupId"] for new in groups}]
    return {**region, "SecurityGroups": [*others, *groups]}


def listed(region: Json, subnet_id: str, *entries: Json) -> Json:
    """The region with an ACL of its own for a subnet: what is not listed is denied."""
    acl = {
        "NetworkAclId": "acl-own",
        "VpcId": "vpc-1",
        "Associations": [{"SubnetId": subnet_id}],
        "Entries": list(entries),
    }
    return {**region, "NetworkAcls": [*region["NetworkAcls"], acl]}


def both(*ways: tuple[int, str, str, tuple[int, int] | None]) -> list[Json]:
    return [
        entry(number, action, protocol, ports, egress=egress)
        for number, action, protocol, ports in ways
        for egress in (False, True)
    ]


def stop(answer: Answer) -> tuple[str, ...] | None:
    return (answer.stop.kind, *answer.stop.object_ids, answer.stop.rule) if answer.stop else None


def reply_stop(answer: Answer) -> tuple[str, ...] | None:
    return (
        (answer.reply_stop.kind, *answer.reply_stop.object_ids, answer.reply_stop.rule) if answer.reply_stop else None
    )


NO_IN = (Kind.SECURITY_GROUP, "sg-task", "no inbound rule allows it")
NO_OUT = (Kind.SECURITY_GROUP, "sg-task", "no outbound rule allows it")


# Security groups


def test_a_group_without_rules_denies_both_ways() -> None:
    region = grouped(public_tasks(), group("sg-task", outbound=[]))
    assert stop(tcp(region, OUTSIDE, "198.18.0.5")) == NO_IN
    assert stop(tcp(region, "eni-task1", OUTSIDE)) == NO_OUT


def test_an_interface_without_groups_is_closed() -> None:
    region = public_tasks()
    region["NetworkInterfaces"][0]["Groups"] = []
    assert stop(tcp(region, OUTSIDE, "198.18.0.5")) == (
        Kind.SECURITY_GROUP,
        "eni-task1",
        "no inbound rule allows it",
    )


def test_groups_are_stateful() -> None:
    region = grouped(public_tasks(), group("sg-task", permission("tcp", 80, cidr=EVERYWHERE), outbound=[]))
    answer = tcp(region, OUTSIDE, "198.18.0.5")
    assert answer.delivered and answer.reply
    region = grouped(public_tasks(), group("sg-task", outbound=[permission("tcp", 443, cidr=EVERYWHERE)]))
    answer = tcp(region, "eni-task1", OUTSIDE, 443)
    assert answer.delivered and answer.reply


def test_rules_of_all_groups_are_one_set() -> None:
    region = grouped(private_tasks(), group("sg-more", permission("tcp", 22, cidr="10.0.0.0/24")))
    assert stop(tcp(region, "eni-alb", "10.0.1.5", 22)) == NO_IN
    region["NetworkInterfaces"][1]["Groups"].append({"GroupId": "sg-more"})
    assert tcp(region, "eni-alb", "10.0.1.5", 22).delivered and tcp(region, "eni-alb", "10.0.1.5", 8080).delivered


def test_a_refusal_names_all_groups_and_a_rule_its_id() -> None:
    region = grouped(private_tasks(), group("sg-more"))
    region["NetworkInterfaces"][1]["Groups"].append({"GroupId": "sg-more"})
    assert stop(tcp(region, "eni-alb", "10.0.1.5", 22)) == (
        Kind.SECURITY_GROUP,
        "sg-task",
        "sg-more",
        "no inbound rule allows it",
    )
    rule = {"SecurityGroupRuleId": "sgr-1", "GroupId": "sg-task", "IsEgress": False, "IpProtocol": "tcp"}
    referenced = {"ReferencedGroupInfo": {"GroupId": "sg-alb"}}
    region["SecurityGroupRules"] = [{**rule, "FromPort": 8080, "ToPort": 8080, **referenced}]
    rules = [step.rule for step in tcp(region, "eni-alb", "10.0.1.5", 8080).path if step.object_ids == ("sg-task",)]
    assert rules == ["sgr-1"]


@pytest.mark.parametrize(
    ("inbound", "flow", "passes"),
    [
        (permission("tcp", 80, 90, cidr=EVERYWHERE), {"port": 80}, True),
        (permission("tcp", 80, 90, cidr=EVERYWHERE), {"port": 90}, True),
        (permission("tcp", 80, 90, cidr=EVERYWHERE), {"port": 91}, False),
        (permission("tcp", 80, 90, cidr=EVERYWHERE), {"port": 79}, False),
        (permission("tcp", 80, cidr=EVERYWHERE), {"port": 80, "protocol": UDP}, False),
        (permission("udp", 80, cidr=EVERYWHERE), {"port": 80, "protocol": UDP}, True),
        (permission("tcp", 80, cidr="192.0.2.0/28"), {"port": 80}, True),
        (permission("tcp", 80, cidr="192.0.2.16/28"), {"port": 80}, False),
        (permission("tcp", 80, cidr6=EVERYWHERE6), {"port": 80}, False),
        (permission("tcp", 80), {"port": 80}, False),
        (OPEN, {"protocol": 47}, True),
        (permission("47", 5, 6, cidr=EVERYWHERE), {"protocol": 47}, True),
        (permission("50", cidr=EVERYWHERE), {"protocol": 47}, False),
        (permission("icmp", -1, -1, cidr=EVERYWHERE), {"protocol": ICMP}, True),
        (permission("icmp", 8, -1, cidr=EVERYWHERE), {"protocol": ICMP}, True),
        (permission("icmp", 8, 0, cidr=EVERYWHERE), {"protocol": ICMP}, True),
        (permission("icmp", 3, 4, cidr=EVERYWHERE), {"protocol": ICMP}, False),
        (permission("icmp", 3, 4, cidr=EVERYWHERE), {"protocol": ICMP, "icmp_type": 3, "icmp_code": 4}, True),
        (permission("icmp", 3, 4, cidr=EVERYWHERE), {"protocol": ICMP, "icmp_type": 3, "icmp_code": 1}, False),
        (permission("icmp", -1, -1, cidr=EVERYWHERE), {"port": 80}, False),
    ],
)
def test_what_a_permission_covers(inbound: Json, flow: Json, passes: bool) -> None:
    region = grouped(public_tasks(), group("sg-task", inbound))
    answer = ask(described(region), Flow(sender=OUTSIDE, to="198.18.0.5", **flow))
    assert answer.delivered is passes and (passes or stop(answer) == NO_IN)


def test_icmp_of_ipv6_is_a_protocol_of_its_own() -> None:
    flow = Flow(sender=OUTSIDE6, to="2001:db8:1::5", protocol=ICMPV6, icmp_type=128)
    four = permission("icmp", -1, -1, cidr6=EVERYWHERE6)
    assert not ask(described(grouped(public_tasks(), group("sg-task", four))), flow).delivered
    six = permission("icmpv6", 128, -1, cidr6=EVERYWHERE6)
    answer = ask(described(grouped(public_tasks(), group("sg-task", six))), flow)
    assert answer.delivered and answer.reply


def test_a_prefix_list_is_each_of_its_entries() -> None:
    region = grouped(public_tasks(), group("sg-task", permission("tcp", 80, prefix_list="pl-1")))
    entries = [{"Cidr": "198.51.100.0/24"}, {"Cidr": "192.0.2.0/24"}]
    region["ManagedPrefixLists"] = [{"PrefixListId": "pl-1", "Entries": entries}]
    assert tcp(region, OUTSIDE, "198.18.0.5").delivered
    assert stop(tcp(region, "203.0.113.7", "198.18.0.5")) == NO_IN


def test_a_reference_is_to_private_addresses_not_to_public_ones() -> None:
    region = grouped(public_tasks(), group("sg-task", permission("tcp", 80, group="sg-task")))
    assert tcp(region, "eni-task1", "10.0.0.6").delivered
    assert stop(tcp(region, "eni-task1", "198.18.0.6")) == NO_IN
    outbound = [permission("tcp", 80, group="sg-task")]
    region = grouped(public_tasks(), group("sg-task", OPEN, outbound=outbound))
    assert tcp(region, "eni-task1", "10.0.0.6").delivered
    assert stop(tcp(region, "eni-task1", "198.18.0.6")) == NO_OUT


def test_a_reference_is_to_ipv6_addresses_inside_too() -> None:
    region = grouped(public_tasks(), group("sg-task", permission("tcp", 80, group="sg-task")))
    assert tcp(region, "eni-task1", "2001:db8:1::6").delivered


def test_a_reference_does_not_hold_through_a_nat_gateway() -> None:
    region = grouped(private_tasks(), group("sg-alb", permission("tcp", 80, group="sg-task")))
    assert tcp(region, "eni-task1", "10.0.0.5").delivered
    region["Subnets"].append(subnet("subnet-other", "10.0.2.0/24"))
    region["NetworkInterfaces"].append(interface("eni-other", "subnet-other", "10.0.2.5", "sg-alb"))
    region["RouteTables"][2]["Routes"].append(route("10.0.2.0/24", "nat-1"))
    assert stop(tcp(region, "eni-task1", "10.0.2.5")) == (Kind.SECURITY_GROUP, "sg-alb", "no inbound rule allows it")


def test_a_group_of_a_vpc_that_is_not_peered_is_nobodys_even_with_the_same_addresses() -> None:
    region = grouped(
        private_tasks(), group("sg-task", permission("tcp", 8080, group="sg-far")), group("sg-far", vpc="vpc-2")
    )
    region["Vpcs"].append(vpc("vpc-2", "10.0.0.0/16"))
    region["Subnets"].append(subnet("subnet-far", "10.0.0.0/24", "vpc-2"))
    region["RouteTables"].append(table("rtb-far", "vpc-2", main=True))
    region["NetworkAcls"].append(default_acl("vpc-2", "acl-far"))
    region["NetworkInterfaces"].append(interface("eni-far", "subnet-far", "10.0.0.5", "sg-far", vpc="vpc-2"))
    assert stop(tcp(region, "eni-alb", "10.0.1.5", 8080)) == NO_IN


def test_the_senders_group_is_asked_and_the_receivers_too() -> None:
    region = grouped(private_tasks(), group("sg-alb", outbound=[permission("tcp", 8080, group="sg-task")]))
    assert tcp(region, "eni-alb", "10.0.1.5", 8080).delivered
    assert stop(tcp(region, "eni-alb", OUTSIDE)) == (Kind.SECURITY_GROUP, "sg-alb", "no outbound rule allows it")


# Network ACLs


def test_the_lowest_number_that_matches_decides() -> None:
    denied = listed(public_tasks(), "subnet-1", *both((100, "deny", "6", (80, 80)), (200, "allow", "-1", None)))
    assert stop(tcp(denied, OUTSIDE, "198.18.0.5")) == (Kind.NETWORK_ACL, "acl-own", "inbound 100")
    allowed = listed(public_tasks(), "subnet-1", *both((300, "deny", "6", (80, 80)), (200, "allow", "-1", None)))
    assert tcp(allowed, OUTSIDE, "198.18.0.5").reply


def test_what_no_rule_names_is_denied() -> None:
    region = listed(public_tasks(), "subnet-1", *both((100, "allow", "17", None)))
    assert stop(tcp(region, OUTSIDE, "198.18.0.5")) == (Kind.NETWORK_ACL, "acl-own", "inbound 32767")


def test_acls_are_stateless_the_reply_needs_the_ephemeral_port() -> None:
    web = entry(100, "allow", "6", (80, 80))
    closed = tcp(listed(public_tasks(), "subnet-1", web), OUTSIDE, "198.18.0.5")
    assert closed.delivered and closed.reply is False
    assert reply_stop(closed) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")
    region = listed(public_tasks(), "subnet-1", web, entry(100, "allow", "6", (32768, 65535), egress=True))
    assert tcp(region, OUTSIDE, "198.18.0.5").reply is True
    assert tcp(region, OUTSIDE, "198.18.0.5", source_port=1500).reply is False


def test_replies_to_what_a_task_asked_need_an_inbound_rule() -> None:
    out = entry(100, "allow", "6", (443, 443), egress=True)
    answer = tcp(listed(public_tasks(), "subnet-1", out), "eni-task1", OUTSIDE, 443)
    assert answer.delivered and reply_stop(answer) == (Kind.NETWORK_ACL, "acl-own", "inbound 32767")
    back = entry(100, "allow", "6", (1024, 65535))
    assert tcp(listed(public_tasks(), "subnet-1", out, back), "eni-task1", OUTSIDE, 443).reply is True


def test_inside_a_subnet_no_acl_is_asked() -> None:
    region = listed(public_tasks(), "subnet-1")
    answer = tcp(region, "eni-task1", "10.0.0.6")
    assert answer.delivered and answer.reply
    assert not [step for step in answer.path if step.kind is Kind.NETWORK_ACL]


def test_to_a_public_address_in_the_same_subnet_a_packet_leaves_the_subnet() -> None:
    region = listed(public_tasks(), "subnet-1")
    assert stop(tcp(region, "eni-task1", "198.18.0.6")) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")


def test_acls_see_private_addresses_on_the_inner_side_of_an_internet_gateway() -> None:
    own = entry(100, "allow", cidr="10.0.0.0/16", egress=True)
    assert not tcp(listed(public_tasks(), "subnet-1", own), "eni-task1", OUTSIDE).delivered
    everywhere = entry(100, "allow", cidr="192.0.2.0/24", egress=True)
    assert tcp(listed(public_tasks(), "subnet-1", everywhere), "eni-task1", OUTSIDE).delivered


def test_acl_rules_of_ipv4_say_nothing_of_ipv6() -> None:
    four = listed(public_tasks(), "subnet-1", *both((100, "allow", "-1", None)))
    assert tcp(four, "eni-task1", OUTSIDE).reply
    assert stop(tcp(four, "eni-task1", OUTSIDE6)) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")
    six = [entry(101, "allow", cidr=EVERYWHERE6, egress=egress) for egress in (False, True)]
    assert tcp(listed(public_tasks(), "subnet-1", *six), "eni-task1", OUTSIDE6).reply


def test_the_acl_of_a_nat_gateways_subnet_is_asked_both_ways_twice() -> None:
    inner = entry(100, "allow", cidr="10.0.1.0/24")
    outer = entry(100, "allow", "6", (443, 443), egress=True)
    back_in, back = entry(200, "allow", "6", (1024, 65535)), entry(200, "allow", cidr="10.0.1.0/24", egress=True)
    whole = [inner, outer, back_in, back]

    def asked(*without: Json) -> Answer:
        kept = [each for each in whole if each not in without]
        return tcp(listed(private_tasks(), "subnet-public", *kept), "eni-task1", OUTSIDE, 443)

    assert asked().reply is True
    assert stop(asked(outer)) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")
    assert reply_stop(asked(back_in)) == (Kind.NETWORK_ACL, "acl-own", "inbound 32767")
    assert reply_stop(asked(back)) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")
    assert stop(asked(inner, back_in)) == (Kind.NETWORK_ACL, "acl-own", "inbound 32767")


def test_a_nat_gateways_reply_needs_every_port_that_it_may_take() -> None:
    inner, outer = entry(100, "allow", cidr="10.0.1.0/24"), entry(100, "allow", "6", (443, 443), egress=True)
    back = entry(200, "allow", cidr="10.0.1.0/24", egress=True)
    few = entry(200, "allow", "6", (32768, 65535))
    answer = tcp(listed(private_tasks(), "subnet-public", inner, outer, back, few), "eni-task1", OUTSIDE, 443)
    assert answer.delivered and reply_stop(answer) == (Kind.NETWORK_ACL, "acl-own", "inbound 32767")
    last = [entry(150, "deny", "6", (65535, 65535)), entry(200, "allow", "6", (1024, 65535))]
    answer = tcp(listed(private_tasks(), "subnet-public", inner, outer, back, *last), "eni-task1", OUTSIDE, 443)
    assert reply_stop(answer) == (Kind.NETWORK_ACL, "acl-own", "inbound 150")
    most = entry(200, "allow", "6", (1024, 50000))
    answer = tcp(listed(private_tasks(), "subnet-public", inner, outer, back, most), "eni-task1", OUTSIDE, 443)
    assert reply_stop(answer) == (Kind.NETWORK_ACL, "acl-own", "inbound 32767")
    hole = [entry(150, "deny", "6", (3389, 3389)), entry(200, "allow", "6", (1024, 65535))]
    answer = tcp(listed(private_tasks(), "subnet-public", inner, outer, back, *hole), "eni-task1", OUTSIDE, 443)
    assert reply_stop(answer) == (Kind.NETWORK_ACL, "acl-own", "inbound 150")


def test_a_ping_needs_echo_there_and_echo_reply_back() -> None:
    echo = entry(100, "allow", "1", egress=True, icmp=(8, -1))
    flow = Flow(sender="eni-task1", to=OUTSIDE, protocol=ICMP)
    one_way = ask(described(listed(public_tasks(), "subnet-1", echo, entry(100, "allow", "1", icmp=(8, -1)))), flow)
    assert one_way.delivered and one_way.reply is False
    both_ways = listed(public_tasks(), "subnet-1", echo, entry(100, "allow", "1", icmp=(0, -1)))
    assert ask(described(both_ways), flow).reply is True
    unreachable = Flow(sender="eni-task1", to=OUTSIDE, protocol=ICMP, icmp_type=3, icmp_code=4)
    assert not ask(described(both_ways), unreachable).delivered


def test_a_ping_over_ipv6_needs_echo_there_and_echo_reply_back() -> None:
    echo = entry(100, "allow", "58", egress=True, icmp=(128, -1), cidr=EVERYWHERE6)
    flow = Flow(sender="eni-task1", to=OUTSIDE6, protocol=ICMPV6, icmp_type=128)
    for kind, passes in ((128, False), (129, True)):
        back = entry(100, "allow", "58", icmp=(kind, -1), cidr=EVERYWHERE6)
        assert ask(described(listed(public_tasks(), "subnet-1", echo, back)), flow).reply is passes


def test_acl_protocols_are_numbers() -> None:
    region = listed(public_tasks(), "subnet-1", *both((100, "allow", "47", None)))
    assert ask(described(region), Flow(sender="eni-task1", to=OUTSIDE, protocol=47)).reply is True
    assert not ask(described(region), Flow(sender="eni-task1", to=OUTSIDE, protocol=TCP, port=80)).delivered


def test_a_subnet_without_association_has_the_default_acl() -> None:
    region = public_tasks()
    region["NetworkAcls"][0]["Entries"] = []
    assert stop(tcp(region, "eni-task1", OUTSIDE)) == (Kind.NETWORK_ACL, "acl-default", "outbound 32767")


def test_both_subnets_acls_are_asked_between_subnets() -> None:
    region = listed(private_tasks(), "subnet-private", entry(100, "allow", "6", (8080, 8080)))
    answer = tcp(region, "eni-alb", "10.0.1.5", 8080)
    assert answer.delivered and reply_stop(answer) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")
    assert stop(tcp(region, "eni-task1", "10.0.0.5")) == (Kind.NETWORK_ACL, "acl-own", "outbound 32767")
