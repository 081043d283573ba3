"""The deck's two set-ups, flow by flow: what was expected by hand, and what the reference model says."""

import pytest

from neargate.testing.vpc_regions.setups import OUTSIDE, OUTSIDE6, private_tasks, public_tasks
from neargate.tracing.description import described
from neargate.tracing.flows import ICMP, UDP, Answer, Flow, Kind
from neargate.tracing.model import ask

PRIVATE = described(private_tasks())
PUBLIC = described(public_tasks())


def stop_of(answer: Answer) -> tuple[Kind, str, str] | None:
    stop = answer.stop
    return (stop.kind, ",".join(stop.object_ids), stop.rule) if stop else None


# sender, to, port, what the target sees
DELIVERED = [
    (PRIVATE, "eni-task1", OUTSIDE, 443, "198.18.0.9"),
    (PRIVATE, OUTSIDE, "198.18.0.5", 80, OUTSIDE),
    (PRIVATE, "eni-alb", "10.0.1.5", 8080, "10.0.0.5"),
    (PRIVATE, "eni-alb", "10.0.1.6", 8080, "10.0.0.5"),
    (PRIVATE, "eni-alb", OUTSIDE, 443, "198.18.0.5"),
    (PRIVATE, "eni-task1", "10.0.0.5", 80, "10.0.1.5"),
    (PRIVATE, "eni-task1", "198.18.0.5", 80, "198.18.0.9"),
    (PRIVATE, "eni-alb", "198.18.0.5", 80, "198.18.0.5"),
    (PRIVATE, "eni-task1", "10.0.0.2", 53, "10.0.1.5"),
    (PRIVATE, "eni-task1", "169.254.170.2", 80, "10.0.1.5"),
    (PUBLIC, OUTSIDE, "198.18.0.5", 80, OUTSIDE),
    (PUBLIC, OUTSIDE6, "2001:db8:1::5", 80, OUTSIDE6),
    (PUBLIC, "eni-task1", OUTSIDE, 443, "198.18.0.5"),
    (PUBLIC, "eni-task1", OUTSIDE6, 443, "2001:db8:1::5"),
    (PUBLIC, "eni-task1", "10.0.0.6", 80, "10.0.0.5"),
    (PUBLIC, "eni-task1", "198.18.0.6", 80, "198.18.0.5"),
    (PUBLIC, "eni-task1", "2001:db8:1::6", 80, "2001:db8:1::5"),
    (PUBLIC, "eni-hidden", "10.0.0.6", 80, "10.0.0.7"),
]

# sender, to, port, the kind of object that stopped it, which, by what
STOPPED = [
    (PRIVATE, OUTSIDE, "198.18.0.9", 80, Kind.NAT_GATEWAY, "nat-1", "unsolicited"),
    (PRIVATE, OUTSIDE, "10.0.1.5", 8080, Kind.OUTSIDE, "", "10.0.1.5 is not routed on the internet"),
    (PRIVATE, OUTSIDE, "198.18.0.77", 80, Kind.NOWHERE, "", "nobody here has 198.18.0.77"),
    (PRIVATE, OUTSIDE, "198.18.0.5", 22, Kind.SECURITY_GROUP, "sg-alb", "no inbound rule allows it"),
    (PRIVATE, "eni-alb", "10.0.1.5", 22, Kind.SECURITY_GROUP, "sg-task", "no inbound rule allows it"),
    (PRIVATE, "eni-task1", "10.0.1.6", 8080, Kind.SECURITY_GROUP, "sg-task", "no inbound rule allows it"),
    (PRIVATE, "eni-task1", "10.0.1.99", 8080, Kind.NOWHERE, "", "nobody has 10.0.1.99 in vpc-1"),
    (PRIVATE, "eni-task1", "10.0.0.9", 80, Kind.NAT_GATEWAY, "nat-1", "nothing is sent to a NAT gateway itself"),
    (PRIVATE, "eni-task1", OUTSIDE6, 443, Kind.INTERFACE, "eni-task1", "no IPv6 address"),
    (PUBLIC, "eni-hidden", OUTSIDE, 443, Kind.INTERNET_GATEWAY, "igw-1", "10.0.0.7 has no public address"),
    (PUBLIC, "eni-hidden", "198.18.0.5", 80, Kind.INTERNET_GATEWAY, "igw-1", "10.0.0.7 has no public address"),
    (PUBLIC, OUTSIDE, "198.18.0.5", 443, Kind.SECURITY_GROUP, "sg-task", "no inbound rule allows it"),
    (PUBLIC, OUTSIDE6, "2001:db8:1::5", 443, Kind.SECURITY_GROUP, "sg-task", "no inbound rule allows it"),
    (PUBLIC, "eni-task1", "10.9.0.1", 80, Kind.OUTSIDE, "", "10.9.0.1 is not routed on the internet"),
]


@pytest.mark.parametrize(("region", "sender", "to", "port", "source"), DELIVERED)
def test_flows_that_arrive_show_this_source_and_are_answered(region, sender, to, port, source) -> None:
    answer = ask(region, Flow(sender=sender, to=to, port=port))
    assert (answer.delivered, answer.source, answer.reply) == (True, source, True), answer


@pytest.mark.parametrize(("region", "sender", "to", "port", "kind", "object_id", "rule"), STOPPED)
def test_flows_that_end_on_the_way_end_here(region, sender, to, port, kind, object_id, rule) -> None:
    answer = ask(region, Flow(sender=sender, to=to, port=port))
    assert stop_of(answer) == (kind, object_id, rule)
    assert (answer.delivered, answer.source, answer.reply) == (False, "", None)


def test_the_way_of_a_private_task_to_the_internet_names_each_object() -> None:
    answer = ask(PRIVATE, Flow(sender="eni-task1", to=OUTSIDE, port=443))
    assert [(str(step.kind), *step.object_ids, step.rule) for step in answer.path] == [
        ("network-interface", "eni-task1", ""),
        ("security-group", "sg-task", "all 0.0.0.0/0"),
        ("route-table", "rtb-private", "0.0.0.0/0 -> nat-1"),
        ("network-acl", "acl-default", "outbound 100"),
        ("network-acl", "acl-default", "inbound 100"),
        ("nat-gateway", "nat-1", ""),
        ("route-table", "rtb-public", "0.0.0.0/0 -> igw-1"),
        ("network-acl", "acl-default", "outbound 100"),
        ("internet-gateway", "igw-1", ""),
        ("outside", ""),
    ]
    assert [(str(step.kind), *step.object_ids, step.rule) for step in answer.reply_path] == [
        ("network-acl", "acl-default", "inbound 100"),
        ("route-table", "rtb-public", "10.0.0.0/16 -> local"),
        ("network-acl", "acl-default", "outbound 100"),
        ("network-acl", "acl-default", "inbound 100"),
    ]


def test_pings_leave_through_nat_but_do_not_come_in() -> None:
    assert ask(PRIVATE, Flow(sender="eni-task1", to=OUTSIDE, protocol=ICMP)).source == "198.18.0.9"
    answer = ask(PRIVATE, Flow(sender=OUTSIDE, to="198.18.0.5", protocol=ICMP))
    assert stop_of(answer) == (Kind.SECURITY_GROUP, "sg-alb", "no inbound rule allows it")


def test_names_are_asked_over_udp_too() -> None:
    answer = ask(PRIVATE, Flow(sender="eni-task1", to="169.254.169.253", protocol=UDP, port=53))
    assert answer.delivered and answer.reply and answer.receiver and answer.receiver.rule == "resolver"
