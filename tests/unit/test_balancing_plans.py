"""What hosts hear of a load balancer: its listeners, rules and groups as records say them, and nothing else."""

from typing import Any

from msgspec.structs import replace

from neargate.frontend.balancing.actions import given_actions
from neargate.frontend.balancing.conditions import given_conditions
from neargate.frontend.balancing.limits import PLANNED_TARGETS_MAX
from neargate.frontend.balancing.objects import (
    Listener,
    LoadBalancer,
    Node,
    Rule,
    Target,
    TargetGroup,
)
from neargate.frontend.balancing.plans import balancer_plan
from neargate.frontend.regional.shelves import Kept, Shelf
from neargate.model.balancing import (
    BalancerPlan,
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    PlannedCertificate,
    PlannedTarget,
    Redirect,
    Stickiness,
    WeightedGroup,
)

ACCOUNT = "123456789012"
ELB = f"arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}"
BALANCER = f"{ELB}:loadbalancer/app/web/0000000000000001"
LISTENER = f"{ELB}:listener/app/web/0000000000000001/0000000000000002"
ONE, TWO = f"{ELB}:targetgroup/one/1", f"{ELB}:targetgroup/two/2"
FIXED = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
NODE = Node(place="elbnode-1", subnet_id="subnet-1", zone="us-east-1a")
THERE = replace(NODE, state="available", eni_id="eni-1", private_ip="10.0.0.4", public_ip="198.51.100.4", host_id="h")


def balancer(**more: Any) -> LoadBalancer:
    given = {"lb_type": "application", "scheme": "internal", **more}
    return LoadBalancer(
        account=ACCOUNT,
        name=BALANCER,
        label="web",
        number="0000000000000001",
        vpc_id="vpc-1",
        created_at=0.0,
        dns_name="web",
        **given,
    )


def listener(*actions: dict[str, Any], **more: Any) -> Listener:
    given: dict[str, Any] = {"name": LISTENER, "port": 80, "protocol": "HTTP", **more}
    return Listener(
        account=ACCOUNT, load_balancer=BALANCER, created_at=0.0, default=given_actions(actions or [FIXED]), **given
    )


def rule(name: str, priority: int, action: dict[str, Any], *conditions: dict[str, Any]) -> Rule:
    return Rule(
        account=ACCOUNT,
        name=name,
        listener=LISTENER,
        priority=priority,
        conditions=tuple(one.condition for one in given_conditions(conditions)),
        shown=b"[]",
        actions=given_actions([action]),
        created_at=0.0,
    )


def group(arn: str = ONE, **more: Any) -> TargetGroup:
    given = {"protocol": "HTTP", **more}
    return TargetGroup(account=ACCOUNT, name=arn, label="one", port=80, vpc_id="vpc-1", created_at=0.0, **given)


def forward(*arns: str, **more: Any) -> dict[str, Any]:
    groups = [{"TargetGroupArn": arn, "Weight": place} for place, arn in enumerate(arns, 1)]
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": groups, **more}}


def planned(*records: Kept, certificates: dict[str, PlannedCertificate] | None = None) -> BalancerPlan:
    shelf = Shelf(ACCOUNT)
    shelf.apply(records, ())
    found = shelf.find(LoadBalancer, BALANCER)
    assert found is not None
    return balancer_plan(shelf, found, (certificates or {}).get, generation=7)


def test_nodes_are_those_that_have_an_interface() -> None:
    plan = planned(balancer(nodes=(THERE, replace(NODE, place="elbnode-2"))))
    assert (plan.arn, plan.vpc_id, plan.name, plan.kind, plan.generation) == (
        BALANCER,
        "vpc-1",
        "web",
        "application",
        7,
    )
    (node,) = plan.nodes
    assert (node.place, node.eni_id, node.zone, node.private_ipv4, node.public_ipv4, node.host_id) == (
        "elbnode-1",
        "eni-1",
        "us-east-1a",
        "10.0.0.4",
        "198.51.100.4",
        "h",
    )


def test_only_attributes_that_change_packets_are_told() -> None:
    changed = (("deletion_protection.enabled", "true"), ("idle_timeout.timeout_seconds", "9"))
    told = dict(planned(balancer(attributes=changed)).attributes)
    assert told["idle_timeout.timeout_seconds"] == "9" and told["routing.http2.enabled"] == "true"
    assert "deletion_protection.enabled" not in told and "access_logs.s3.enabled" not in told
    assert planned(balancer(attributes=changed)) == planned(
        balancer(attributes=changed[1:], tags=(("team", "a"),), state="active")
    )


def test_each_kind_of_action_in_order_of_priority() -> None:
    redirect = {"Type": "redirect", "RedirectConfig": {"Port": "443", "StatusCode": "HTTP_302"}}
    answer = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "503", "ContentType": "text/html", "MessageBody": "later"},
    }
    path = {"Field": "path-pattern", "Values": ["/a*"]}
    query = {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "k", "Value": "v"}, {"Value": "w"}]}}
    plan = planned(
        balancer(),
        listener(forward(ONE, TWO, TargetGroupStickinessConfig={"Enabled": True, "DurationSeconds": 60})),
        rule("a", 20, answer, path),
        rule("b", 3, redirect, path, query),
        group(ONE),
        group(TWO),
    )
    (made,) = plan.listeners
    assert made.default == Forward(groups=(WeightedGroup(arn=ONE), WeightedGroup(arn=TWO, weight=2)), stickiness_s=60)
    assert [(one.priority, one.action) for one in made.rules] == [
        (3, Redirect(code=302, port="443")),
        (20, FixedResponse(code=503, content_type="text/html", body="later")),
    ]
    assert made.rules[0].conditions == (
        Condition(field="path-pattern", values=("/a*",)),
        Condition(field="query-string", pairs=(("k", "v"), (None, "w"))),
    )
    assert [one.arn for one in plan.groups] == [ONE, TWO]


def test_a_group_that_nothing_leads_to_is_not_told() -> None:
    assert planned(balancer(), listener(), group()).groups == ()
    assert [one.arn for one in planned(balancer(), listener(forward(ONE)), group(), group(TWO)).groups] == [ONE]


def test_groups_with_their_targets() -> None:
    targets = (
        Target(ip="10.0.0.9", port=80, zone="us-east-1a", registered_at=1.0),
        Target(ip="192.168.0.9", port=81, zone="all", registered_at=1.0, draining_since=5.0),
    )
    attributes = (
        ("deregistration_delay.timeout_seconds", "5"),
        ("load_balancing.algorithm.type", "least_outstanding_requests"),
        ("slow_start.duration_seconds", "30"),
        ("stickiness.enabled", "true"),
        ("stickiness.lb_cookie.duration_seconds", "70"),
    )
    check = HealthCheck(path="/up", codes=((200, 299),))
    made = group(targets=targets, attributes=attributes, check=check, version="HTTP2")
    (told,) = planned(balancer(), listener(forward(ONE)), made).groups
    assert told.targets == (
        PlannedTarget(ip="10.0.0.9", port=80, zone="us-east-1a"),
        PlannedTarget(ip="192.168.0.9", port=81, is_draining=True),
    )
    assert (told.version, told.check, told.deregistration_delay_s, told.slow_start_s) == ("HTTP2", check, 5, 30)
    assert told.algorithm == "least_outstanding_requests"
    assert told.stickiness == Stickiness(kind="lb_cookie", duration_s=70)


def test_of_more_targets_than_a_host_takes_those_are_left_out_that_have_drained_longest() -> None:
    here = tuple(Target(ip=f"10.0.{n // 250}.{n % 250}", port=80, zone="all", registered_at=1.0) for n in range(9_999))
    leaving = tuple(
        Target(ip="10.9.0.1", port=port, zone="all", registered_at=1.0, draining_since=float(port))
        for port in range(1, 5)
    )
    (told,) = planned(balancer(), listener(forward(ONE)), group(targets=(*leaving, *here))).groups
    assert [one.port for one in told.targets if one.is_draining] == [4]
    assert len(told.targets) == PLANNED_TARGETS_MAX


def test_kinds_of_stickiness() -> None:
    def sticky(arn_protocol: str, *attributes: tuple[str, str]) -> Stickiness | None:
        made = group(protocol=arn_protocol, attributes=attributes)
        return planned(balancer(), listener(forward(ONE)), made).groups[0].stickiness

    on = ("stickiness.enabled", "true")
    cookie = (("stickiness.type", "app_cookie"), ("stickiness.app_cookie.cookie_name", "sid"))
    assert sticky("HTTP") is None
    assert sticky("HTTP", on, *cookie) == Stickiness(kind="app_cookie", cookie="sid")
    assert sticky("TCP", on) == Stickiness(kind="source_ip")


def test_crossing_zones_is_the_load_balancers_unless_the_group_says() -> None:
    key = "load_balancing.cross_zone.enabled"

    def crosses(kind: str, of_balancer: str | None, of_group: str | None) -> bool:
        mine = () if of_balancer is None else ((key, of_balancer),)
        its = () if of_group is None else ((key, of_group),)
        protocol = "TCP" if kind == "network" else "HTTP"
        made = listener(forward(ONE), protocol=protocol)
        plan = planned(balancer(lb_type=kind, attributes=mine), made, group(protocol=protocol, attributes=its))
        return plan.groups[0].cross_zone

    assert crosses("application", None, None)
    assert not crosses("application", None, "false")
    assert not crosses("network", None, None)
    assert crosses("network", "true", None)
    assert crosses("network", None, "true")
    assert not crosses("network", "true", "false")


def test_network_listeners_and_groups() -> None:
    attributes = (
        ("proxy_protocol_v2.enabled", "true"),
        ("deregistration_delay.connection_termination.enabled", "true"),
    )
    made = listener(forward(ONE), protocol="TCP", attributes=(("tcp.idle_timeout.seconds", "60"),))
    plan = planned(balancer(lb_type="network"), made, group(protocol="TCP", attributes=attributes))
    assert plan.listeners[0].idle_timeout_s == 60.0
    told = plan.groups[0]
    assert (told.protocol, told.version, told.proxy_protocol_v2, told.ends_on_deregistration) == ("TCP", "", True, True)
    assert told.ends_when_unhealthy


def test_certificates_are_told_once_the_default_one_first() -> None:
    known = {name: PlannedCertificate(arn=name, names=(name,), pem=name) for name in ("b", "a")}
    made = listener(
        protocol="HTTPS", certificates=("b", "a", "b", "gone"), ssl_policy="ELBSecurityPolicy-2016-08", alpn="None"
    )
    (told,) = planned(balancer(), made, certificates=known).listeners
    assert [one.arn for one in told.certificates] == ["b", "a"]
    assert (told.ssl_policy, told.alpn) == ("ELBSecurityPolicy-2016-08", "")
    tls = replace(made, protocol="TLS", alpn="HTTP2Only")
    assert planned(balancer(), tls, certificates=known).listeners[0].alpn == "HTTP2Only"


def test_a_listener_whose_certificates_have_gone_does_not_keep_the_others_from_beginning() -> None:
    made = listener(protocol="HTTPS", certificates=("gone",))
    plain = listener(name=f"{LISTENER}-2", port=81)
    assert [one.port for one in planned(balancer(), made, plain).listeners] == [81]


def test_a_host_hears_of_an_access_log_but_not_where_it_goes() -> None:
    logged = (("access_logs.cloudwatch.log_group", "/secret/group"),)
    assert planned(balancer(nodes=(THERE,))).access_log == ""
    plan = planned(balancer(nodes=(THERE,), attributes=logged))
    assert plan.access_log == "access-0000000000000001" and "/secret/group" not in repr(plan)
    assert planned(balancer(nodes=(THERE,), attributes=logged, lb_type="network")).access_log == ""
