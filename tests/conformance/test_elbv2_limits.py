"""Limits of load balancers as boto3 meets them: AWS's numbers and words, and what the operator has set instead."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from neargate.model import quotas
from neargate.model.quotas import Quota
from neargate.testing.front_door import ACCOUNT

from .balancer_clients import FIXED, GET, Balancing, forward
from .door_clients import Door, refused


@pytest.fixture
def on() -> Iterator[Balancing]:
    with asyncio.Runner() as runner:
        yield Balancing(Door(runner))


def most(on: Balancing, quota: Quota, value: int) -> None:
    """As `neargate quota set` does it."""
    on.door.run(on.door.door.region.quotas.set_value(ACCOUNT, quota.key, value))


def targets(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"Id": f"10.{200 + n // 250}.9.{n % 250 + 1}", "AvailabilityZone": "all"} for n in range(first, first + count)
    ]


def register(on: Balancing, group: str, first: int, count: int) -> None:
    """A call has room for some hundreds."""
    for begin in range(first, first + count, 500):
        on.elb.register_targets(TargetGroupArn=group, Targets=targets(begin, min(500, first + count - begin)))


def states(on: Balancing, group: str) -> list[str]:
    found = on.elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return [one["TargetHealth"]["State"] for one in found]


def told(on: Balancing) -> dict[str, str]:
    return {one["Name"]: one["Max"] for one in on.elb.describe_account_limits()["Limits"]}


def test_account_limits_are_aws_s_and_follow_what_the_operator_sets(on: Balancing) -> None:
    assert told(on) == {
        "application-load-balancers": "50",
        "certificates-per-application-load-balancer": "25",
        "certificates-per-network-load-balancer": "25",
        "condition-values-per-alb-rule": "5",
        "condition-wildcards-per-alb-rule": "6",
        "listeners-per-application-load-balancer": "50",
        "listeners-per-network-load-balancer": "50",
        "network-load-balancers": "50",
        "rules-per-application-load-balancer": "100",
        "target-groups": "3000",
        "target-groups-per-action-on-application-load-balancer": "5",
        "target-groups-per-action-on-network-load-balancer": "1",
        "target-groups-per-application-load-balancer": "100",
        "targets-per-application-load-balancer": "1000",
        "targets-per-availability-zone-per-network-load-balancer": "500",
        "targets-per-network-load-balancer": "3000",
        "targets-per-target-group": "1000",
    }
    most(on, quotas.RULES_PER_APPLICATION_BALANCER, 3)
    most(on, quotas.TARGETS_PER_APPLICATION_BALANCER, 10**9)
    assert told(on)["rules-per-application-load-balancer"] == "3"
    assert told(on)["targets-per-application-load-balancer"] == "10000", "more fit no message to a host"


def test_the_targets_of_all_groups_of_a_load_balancer_are_counted_together(on: Balancing) -> None:
    one, other, balancer = on.group("one"), on.group("two"), on.balancer()
    register(on, one, 0, 1000)
    on.listen(balancer, forward(one))
    register(on, other, 0, 1)
    full = (
        "TooManyTargets",
        f"The maximum number of targets per load balancer '1000' has been reached on load balancer '{balancer}'",
    )
    assert refused(lambda: on.listen(balancer, forward(other), Port=81)) == full
    on.elb.deregister_targets(TargetGroupArn=one, Targets=targets(0, 1))
    on.listen(balancer, forward(other), Port=81)
    assert refused(lambda: register(on, other, 1, 1)) == full
    most(on, quotas.TARGETS_PER_APPLICATION_BALANCER, 1001)
    register(on, other, 1, 1)
    assert refused(lambda: register(on, other, 2, 1))[0] == "TooManyTargets"


def test_targets_that_drain_do_not_count_and_others_take_their_place_at_once(on: Balancing) -> None:
    group, balancer = on.group(), on.balancer()
    on.listen(balancer, forward(group))
    most(on, quotas.TARGETS_PER_GROUP, 3)
    register(on, group, 0, 3)
    assert refused(lambda: register(on, group, 3, 1)) == (
        "TooManyTargets",
        f"The maximum number of targets of the target group '{group}' has been reached",
    )
    on.elb.deregister_targets(TargetGroupArn=group, Targets=targets(0, 3))
    register(on, group, 3, 3)
    assert sorted(states(on, group)) == ["draining"] * 3 + ["initial"] * 3
    on.elb.deregister_targets(TargetGroupArn=group, Targets=targets(3, 2))
    assert sorted(states(on, group)) == ["draining"] * 3 + ["initial"], "as many drain as may be registered"


def test_a_lowered_limit_takes_nothing_away_and_lets_targets_leave(on: Balancing) -> None:
    group, balancer = on.group(), on.balancer()
    on.listen(balancer, forward(group))
    register(on, group, 0, 3)
    most(on, quotas.TARGETS_PER_GROUP, 2)
    register(on, group, 0, 2)
    on.elb.deregister_targets(TargetGroupArn=group, Targets=targets(0, 1))
    assert sorted(states(on, group)) == ["draining", "initial", "initial"]
    assert refused(lambda: register(on, group, 5, 1))[0] == "TooManyTargets"


def test_a_network_load_balancer_has_so_many_targets_a_zone_or_in_all_if_it_crosses_them(on: Balancing) -> None:
    group, balancer = on.group("tcp", "TCP"), on.network()
    on.listen(balancer, forward(group), Protocol="TCP")
    register(on, group, 0, 500)
    assert refused(lambda: register(on, group, 500, 1)) == (
        "TooManyTargets",
        f"The maximum number of targets per Availability Zone '500' has been reached on load balancer '{balancer}'",
    )
    crossing = [{"Key": "load_balancing.cross_zone.enabled", "Value": "true"}]
    on.elb.modify_load_balancer_attributes(LoadBalancerArn=balancer, Attributes=crossing)
    assert refused(lambda: register(on, group, 500, 1)) == (
        "TooManyTargets",
        "You cannot have more than 500 targets per network load balancer with cross-zone load balancing enabled.",
    )


def test_groups_of_an_action_and_of_a_load_balancer_are_as_many_as_the_operator_allows(on: Balancing) -> None:
    groups = [on.group(f"group-{n}") for n in range(6)]
    balancer = on.balancer()
    assert refused(lambda: on.listen(balancer, forward(*groups))) == (
        "InvalidLoadBalancerAction",
        "A forward action can have up to '5' target groups",
    )
    most(on, quotas.GROUPS_PER_ACTION, 6)
    listener = on.listen(balancer, forward(*groups))["ListenerArn"]
    most(on, quotas.GROUPS_PER_APPLICATION_BALANCER, 6)
    more = on.group("one-more")
    assert refused(lambda: on.rule(listener, Actions=[forward(more)])) == (
        "TooManyUniqueTargetGroupsPerLoadBalancer",
        f"The maximum number of target groups has been reached on load balancer '{balancer}'",
    )
    on.rule(listener, Actions=[forward(groups[0])])


def test_rules_listeners_and_certificates_are_as_many_as_the_operator_allows(on: Balancing) -> None:
    balancer = on.balancer()
    for quota in (quotas.RULES_PER_APPLICATION_BALANCER, quotas.LISTENERS_PER_APPLICATION_BALANCER):
        most(on, quota, 2)
    most(on, quotas.CERTIFICATES_PER_APPLICATION_BALANCER, 1)
    certificates = [{"CertificateArn": on.certificate(f"{n}.example.com")} for n in range(3)]
    plain = on.listen(balancer)["ListenerArn"]
    secure = on.listen(balancer, Port=443, Protocol="HTTPS", Certificates=certificates[:1])["ListenerArn"]
    assert refused(lambda: on.listen(balancer, Port=82))[0] == "TooManyListeners"
    on.rule(plain, 1)
    on.rule(secure, 1)
    assert refused(lambda: on.rule(plain, 2))[0] == "TooManyRules"
    on.elb.add_listener_certificates(ListenerArn=secure, Certificates=certificates[1:2])
    full = refused(lambda: on.elb.add_listener_certificates(ListenerArn=secure, Certificates=certificates[2:]))
    assert full == ("TooManyCertificates", "The maximum number of certificates per load balancer has been reached")
    most(on, quotas.CERTIFICATES_PER_APPLICATION_BALANCER, 2)
    on.elb.add_listener_certificates(ListenerArn=secure, Certificates=certificates[2:])


def test_rules_that_are_too_long_together_are_refused_before_any_host_is_told(on: Balancing) -> None:
    listener = on.listen(on.balancer())["ListenerArn"]
    most(on, quotas.RULES_PER_APPLICATION_BALANCER, 2000)
    body = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200", "MessageBody": "x" * 1024}}
    paths = [f"/{n}" + "y" * 120 for n in range(5)]
    long = [{"Field": "path-pattern", "PathPatternConfig": {"Values": paths}}]
    for priority in range(1, 251):
        on.rule(listener, priority, Conditions=long, Actions=[body])
    assert refused(lambda: [on.rule(listener, 251 + n, Conditions=long, Actions=[body]) for n in range(99)])[0] == (
        "TooManyRules"
    )
    on.rule(listener, 5000)
    assert refused(lambda: on.elb.create_rule(ListenerArn=listener, Priority=1, Conditions=GET, Actions=[FIXED])) == (
        "PriorityInUse",
        "Priority '1' is currently in use",
    )


def test_priorities_are_set_for_so_many_rules_at_a_time(on: Balancing) -> None:
    rule = on.rule(on.listen(on.balancer())["ListenerArn"])["RuleArn"]
    asked = [{"RuleArn": f"{rule[:-4]}{n:04x}", "Priority": n + 1} for n in range(101)]
    assert refused(lambda: on.elb.set_rule_priorities(RulePriorities=asked)) == (
        "ValidationError",
        "Up to '100' rule priorities can be specified at a time",
    )


def test_a_load_balancer_whose_nodes_cannot_be_told_of_its_changes_says_so(on: Balancing) -> None:
    arn, other = on.balancer(), on.balancer("other")
    on.door.door.region.services.verdicts.unplanned[arn] = "its plan is too large"
    one, two = (on.elb.describe_load_balancers(LoadBalancerArns=[each])["LoadBalancers"][0] for each in (arn, other))
    reason = "Its last changes have not reached its nodes: they cannot be told of them. The operator's log says why."
    assert one["State"]["Reason"] == reason
    assert "Reason" not in two["State"]


def subnet(on: Balancing, cidr: str, zone: int) -> str:
    zones = sorted({one["AvailabilityZone"] for one in on.ec2.describe_subnets()["Subnets"]})
    made = on.ec2.create_subnet(VpcId=on.vpc, CidrBlock=cidr, AvailabilityZone=zones[zone])
    return str(made["Subnet"]["SubnetId"])


def test_an_application_load_balancer_stands_where_it_has_room(on: Balancing) -> None:
    wide = [subnet(on, "172.31.240.0/27", 0), subnet(on, "172.31.241.0/27", 1)]
    small = subnet(on, "172.31.242.0/28", 1)
    code, message = refused(lambda: on.elb.create_load_balancer(Name="small", Subnets=[wide[0], small]))
    assert code == "InvalidSubnet" and f"'{small}' is too small" in message
    for _ in range(20):
        on.ec2.create_network_interface(SubnetId=wide[1])
    full = (
        "InvalidSubnet",
        f"Not enough IP space available in {wide[1]}. ELB requires at least 8 free IP addresses in each subnet.",
    )
    assert refused(lambda: on.elb.create_load_balancer(Name="full", Subnets=wide)) == full
    on.elb.create_load_balancer(Name="net", Type="network", Subnets=[small])
    assert refused(lambda: on.elb.create_load_balancer(Name="net2", Type="network", Subnets=[wide[1]])) == full
    arn = on.balancer("moves")
    assert refused(lambda: on.elb.set_subnets(LoadBalancerArn=arn, Subnets=wide)) == full


def test_the_zone_of_names_is_the_region_s(on: Balancing) -> None:
    found = on.elb.create_load_balancer(Name="app", Subnets=on.subnets)["LoadBalancers"][0]
    assert found["CanonicalHostedZoneId"] == "Z35SXDOTRQ7X7K"
    found = on.elb.create_load_balancer(Name="net", Type="network", Subnets=on.subnets)["LoadBalancers"][0]
    assert found["CanonicalHostedZoneId"] == "Z26RNL4JYFTOTI"
