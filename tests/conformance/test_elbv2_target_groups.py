"""Target groups, their targets and tags as boto3 sees them, in AWS's words."""

import re
from typing import Any

import pytest

from neargate.frontend.balancing.objects import LoadBalancer
from neargate.model.balancing import GroupVerdicts, NodeReport, TargetVerdict

from .ec2_region import ACCOUNT, REGION, Region, ec2_region, refused
from .elbv2_parts import NO_ID, PLACES, Parts, told

__all__ = ("ec2_region",)
ELB = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}"
NOTHING = f"{ELB}:targetgroup/none/{NO_ID}"


@pytest.fixture
def parts(region: Region) -> Parts:
    return Parts(region)


def test_a_group_is_shown_with_aws_s_defaults(parts: Parts) -> None:
    made = parts.target_group()
    assert re.fullmatch(rf"{ELB}:targetgroup/tg/[0-9a-f]{{16}}", made["TargetGroupArn"])
    assert {name: made[name] for name in made.keys() - {"TargetGroupArn"}} == {
        "TargetGroupName": "tg",
        "Protocol": "HTTP",
        "ProtocolVersion": "HTTP1",
        "Port": 80,
        "VpcId": parts.vpc,
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPort": "traffic-port",
        "HealthCheckEnabled": True,
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
        "HealthCheckPath": "/",
        "Matcher": {"HttpCode": "200"},
        "TargetType": "ip",
        "IpAddressType": "ipv4",
    }
    for by in ({}, {"Names": ["tg"]}, {"TargetGroupArns": [made["TargetGroupArn"]]}):
        assert parts.elb.describe_target_groups(**by)["TargetGroups"] == [made | {"LoadBalancerArns": []}]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"Protocol": "TCP"},
            {"HealthCheckProtocol": "TCP", "HealthCheckTimeoutSeconds": 10, "HealthCheckIntervalSeconds": 30},
        ),
        (
            {"Protocol": "TLS", "HealthCheckProtocol": "HTTP"},
            {"HealthCheckTimeoutSeconds": 6, "HealthCheckPath": "/", "Matcher": {"HttpCode": "200-399"}},
        ),
        (
            {"ProtocolVersion": "GRPC"},
            {"HealthCheckPath": "/AWS.ALB/healthcheck", "Matcher": {"GrpcCode": "12"}, "ProtocolVersion": "GRPC"},
        ),
        ({"Protocol": "TLS", "HealthCheckIntervalSeconds": 10}, {"HealthCheckTimeoutSeconds": 10}),
        ({"Protocol": "TLS", "HealthCheckTimeoutSeconds": 40}, {"HealthCheckIntervalSeconds": 40}),
        ({"HealthCheckIntervalSeconds": 5}, {"HealthCheckTimeoutSeconds": 4}),
        ({"HealthCheckPort": "8081"}, {"HealthCheckPort": "8081"}),
        ({"Matcher": {"HttpCode": "200-299,301"}}, {"Matcher": {"HttpCode": "200-299,301"}}),
    ],
)
def test_health_checks_have_the_defaults_of_their_protocol(
    parts: Parts, given: dict[str, Any], shown: dict[str, Any]
) -> None:
    made = parts.target_group(**given)
    assert {name: made.get(name) for name in shown} == shown
    assert ("Matcher" in made) == (made["HealthCheckProtocol"] != "TCP") == ("HealthCheckPath" in made)


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (
            {"Name": "a" * 33},
            "ValidationError",
            f"Target group name '{'a' * 33}' cannot be longer than '32' characters",
        ),
        (
            {"Name": "a.b"},
            "ValidationError",
            "Target group name 'a.b' can only contain characters that are alphanumeric",
        ),
        ({"Name": "-a"}, "ValidationError", "(?!.*--)(?!^-)(?!.*-$)^[A-Za-z0-9-]+$"),
        ({"TargetType": "instance"}, "InvalidConfigurationRequest", "target type 'instance'"),
        ({"TargetType": "alb", "Protocol": "TCP"}, "InvalidConfigurationRequest", "target type 'alb'"),
        ({"TargetType": "lambda"}, "ValidationError", "Port cannot be specified for target groups with target type"),
        ({"Protocol": "UDP"}, "InvalidConfigurationRequest", "target groups with the UDP protocol"),
        ({"Protocol": "GENEVE"}, "InvalidConfigurationRequest", "target groups with the GENEVE protocol"),
        ({"IpAddressType": "ipv6"}, "InvalidConfigurationRequest", "IP address type 'ipv6'"),
        ({"ProtocolVersion": "HTTP3"}, "ValidationError", "must be one of [GRPC, HTTP1, HTTP2]"),
        ({"Protocol": "TCP", "ProtocolVersion": "HTTP1"}, "ValidationError", "Protocol version cannot be specified"),
        ({"Port": 0}, "ValidationError", "'port' failed"),
        ({"VpcId": "vpc-0"}, "ValidationError", "The VPC ID 'vpc-0' is not found"),
        ({"HealthCheckProtocol": "TCP"}, "InvalidConfigurationRequest", "Health check protocol 'TCP' is not supported"),
        ({"HealthCheckProtocol": "UDP"}, "InvalidConfigurationRequest", "Health check protocol 'UDP' is not supported"),
        ({"HealthCheckEnabled": False}, "ValidationError", "Health check enabled must be true"),
        ({"HealthCheckPort": "0"}, "ValidationError", "Health check port '0'"),
        ({"HealthCheckPath": "a"}, "ValidationError", "Health check path 'a' must begin with a '/' character"),
        ({"HealthCheckPath": "/a b"}, "ValidationError", "without spaces"),
        ({"HealthCheckIntervalSeconds": 4}, "ValidationError", "5"),
        ({"HealthyThresholdCount": 1}, "ValidationError", "2"),
        ({"Matcher": {"HttpCode": "500"}}, "ValidationError", "between '200' and '499'"),
        ({"Matcher": {"HttpCode": "299-200"}}, "ValidationError", "between '200' and '499'"),
        ({"Matcher": {"GrpcCode": "0"}}, "ValidationError", "an HTTP code"),
        ({"ProtocolVersion": "GRPC", "Matcher": {"GrpcCode": "100"}}, "ValidationError", "between '0' and '99'"),
        (
            {"Protocol": "TCP", "Matcher": {"HttpCode": "200"}},
            "InvalidConfigurationRequest",
            "matchers are not supported",
        ),
        ({"Protocol": "TCP", "HealthCheckPath": "/"}, "InvalidConfigurationRequest", "paths are not supported"),
        (
            {"HealthCheckTimeoutSeconds": 5, "HealthCheckIntervalSeconds": 5},
            "ValidationError",
            "Health check timeout '5' must be smaller than the interval '5'",
        ),
        (
            {"Protocol": "TCP", "HealthCheckTimeoutSeconds": 6, "HealthCheckIntervalSeconds": 5},
            "ValidationError",
            "Health check timeout '6' must be smaller than or equal to the interval '5'",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_made(
    parts: Parts, given: dict[str, Any], code: str, words: str
) -> None:
    found = refused(lambda: parts.target_group(**given))
    assert found[0] == code and words in found[1] and found[2] == 400
    assert parts.elb.describe_target_groups()["TargetGroups"] == []


def test_what_a_group_needs_is_named(parts: Parts) -> None:
    def make(**given: Any) -> tuple[str, str]:
        return refused(lambda: parts.elb.create_target_group(Name="a", TargetType="ip", **given))[:2]

    assert make() == ("ValidationError", "A protocol must be specified")
    assert make(Protocol="HTTP") == ("ValidationError", "A port must be specified")
    assert make(Protocol="HTTP", Port=80) == ("ValidationError", "A VPC ID must be specified")


def test_the_same_request_again_answers_the_same_group(parts: Parts) -> None:
    made = parts.target_group()
    assert parts.target_group()["TargetGroupArn"] == made["TargetGroupArn"]
    assert refused(lambda: parts.target_group(Port=81)) == (
        "DuplicateTargetGroupName",
        "A target group with the same name 'tg' exists, but with different settings",
        400,
    )


def test_a_group_is_modified_and_keeps_what_is_not_said(parts: Parts) -> None:
    arn = parts.target_group(HealthCheckPath="/up")["TargetGroupArn"]
    [changed] = parts.elb.modify_target_group(
        TargetGroupArn=arn,
        HealthCheckProtocol="HTTPS",
        HealthCheckPort="8081",
        HealthCheckIntervalSeconds=10,
        HealthCheckTimeoutSeconds=8,
        HealthyThresholdCount=10,
        UnhealthyThresholdCount=4,
        Matcher={"HttpCode": "200-399"},
    )["TargetGroups"]
    assert (changed["HealthCheckProtocol"], changed["HealthCheckPath"]) == ("HTTPS", "/up")
    [shown] = parts.elb.describe_target_groups()["TargetGroups"]
    assert shown == changed and shown["Matcher"] == {"HttpCode": "200-399"}
    assert refused(lambda: parts.elb.modify_target_group(TargetGroupArn=arn, HealthCheckIntervalSeconds=8)) == (
        "ValidationError",
        "Health check timeout '8' must be smaller than the interval '8'",
        400,
    )
    assert refused(lambda: parts.elb.modify_target_group(TargetGroupArn=NOTHING)) == (
        "TargetGroupNotFound",
        f"Target groups '{NOTHING}' not found",
        400,
    )


def test_groups_are_listed_by_name(parts: Parts) -> None:
    for name in ("c", "a", "b"):
        parts.target_group(name)
    pages = parts.elb.get_paginator("describe_target_groups").paginate(PaginationConfig={"PageSize": 2})
    assert [one["TargetGroupName"] for page in pages for one in page["TargetGroups"]] == ["a", "b", "c"]


def test_checks_of_a_tcp_group_become_http_and_tcp_again(parts: Parts) -> None:
    arn = parts.target_group(Protocol="TCP")["TargetGroupArn"]
    [http] = parts.elb.modify_target_group(TargetGroupArn=arn, HealthCheckProtocol="HTTP", HealthCheckPath="/up")[
        "TargetGroups"
    ]
    assert (http["HealthCheckPath"], http["Matcher"]) == ("/up", {"HttpCode": "200-399"})
    [tcp] = parts.elb.modify_target_group(TargetGroupArn=arn, HealthCheckProtocol="TCP")["TargetGroups"]
    assert "HealthCheckPath" not in tcp and "Matcher" not in tcp


def test_a_deleted_group_is_gone_and_asking_again_is_no_error(parts: Parts) -> None:
    arn = parts.target_group()["TargetGroupArn"]
    parts.elb.delete_target_group(TargetGroupArn=arn)
    parts.elb.delete_target_group(TargetGroupArn=arn)
    one_or_more = ("TargetGroupNotFound", "One or more target groups not found", 400)
    assert refused(lambda: parts.elb.describe_target_groups(TargetGroupArns=[arn])) == one_or_more
    assert refused(lambda: parts.elb.describe_target_groups(Names=["tg"])) == one_or_more
    assert refused(lambda: parts.elb.describe_target_groups(TargetGroupArns=["x"])) == (
        "ValidationError",
        "'x' is not a valid target group ARN",
        400,
    )
    both = {"Names": ["tg"], "TargetGroupArns": [arn]}
    assert refused(lambda: parts.elb.describe_target_groups(**both))[0] == "ValidationError"


# -- attributes


def modify(parts: Parts, arn: str, *pairs: tuple[str, str]) -> dict[str, str]:
    given = [{"Key": key, "Value": value} for key, value in pairs]
    return told(parts.elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=given)["Attributes"])


def test_attributes_have_aws_s_defaults_by_protocol(parts: Parts) -> None:
    http, tcp = parts.target_group()["TargetGroupArn"], parts.target_group("tcp", Protocol="TCP")["TargetGroupArn"]
    of_http = told(parts.elb.describe_target_group_attributes(TargetGroupArn=http)["Attributes"])
    of_tcp = told(parts.elb.describe_target_group_attributes(TargetGroupArn=tcp)["Attributes"])
    assert of_http["deregistration_delay.timeout_seconds"] == of_tcp["deregistration_delay.timeout_seconds"] == "300"
    assert (of_http["stickiness.type"], of_tcp["stickiness.type"]) == ("lb_cookie", "source_ip")
    assert "proxy_protocol_v2.enabled" in of_tcp and "proxy_protocol_v2.enabled" not in of_http
    assert of_http["load_balancing.cross_zone.enabled"] == "use_load_balancer_configuration"
    health = "target_group_health"
    for one in (of_http, of_tcp):
        assert {key: value for key, value in one.items() if key.startswith(health)} == {
            f"{health}.dns_failover.minimum_healthy_targets.count": "1",
            f"{health}.dns_failover.minimum_healthy_targets.percentage": "off",
            f"{health}.unhealthy_state_routing.minimum_healthy_targets.count": "1",
            f"{health}.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
        }


def test_attributes_change_and_keep_what_is_not_said(parts: Parts) -> None:
    arn = parts.target_group()["TargetGroupArn"]
    modify(parts, arn, ("deregistration_delay.timeout_seconds", "0"))
    found = modify(parts, arn, ("stickiness.enabled", "true"), ("stickiness.lb_cookie.duration_seconds", "60"))
    assert (found["deregistration_delay.timeout_seconds"], found["stickiness.enabled"]) == ("0", "true")
    assert told(parts.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]) == found


@pytest.mark.parametrize(
    ("protocol", "pairs", "code", "words"),
    [
        ("HTTP", (("x", "y"),), "ValidationError", "Target group attribute key 'x' is not recognized"),
        ("HTTP", (("proxy_protocol_v2.enabled", "true"),), "ValidationError", "is not recognized"),
        ("HTTP", (("deregistration_delay.timeout_seconds", "3601"),), "ValidationError", "between '0' and '3600'"),
        ("HTTP", (("slow_start.duration_seconds", "10"),), "ValidationError", "between '30' and '900'"),
        (
            "HTTP",
            (("stickiness.type", "source_ip"),),
            "InvalidConfigurationRequest",
            "Stickiness type 'source_ip' is not supported for target groups with the HTTP protocol",
        ),
        (
            "TLS",
            (("stickiness.enabled", "true"), ("stickiness.type", "source_ip")),
            "InvalidConfigurationRequest",
            "You cannot enable stickiness on target groups with the TLS protocol",
        ),
        (
            "TCP",
            (("stickiness.type", "app_cookie"), ("stickiness.app_cookie.cookie_name", "a")),
            "InvalidConfigurationRequest",
            "Stickiness type 'app_cookie' is not supported for target groups with the TCP protocol",
        ),
        (
            "TCP",
            (("stickiness.type", "source_ip_dest_ip"),),
            "ValidationError",
            "'Stickiness type' must be one of [app_cookie, lb_cookie, source_ip]",
        ),
        (
            "HTTP",
            (("stickiness.enabled", "true"), ("stickiness.type", "app_cookie")),
            "InvalidConfigurationRequest",
            "",
        ),
        ("HTTP", (("stickiness.app_cookie.cookie_name", "AWSALB"),), "InvalidConfigurationRequest", "not valid"),
        ("HTTP", (("stickiness.app_cookie.cookie_name", "a b"),), "InvalidConfigurationRequest", "not valid"),
        ("TCP", (("preserve_client_ip.enabled", "true"),), "InvalidConfigurationRequest", "proxy_protocol_v2.enabled"),
        (
            "HTTP",
            (("target_group_health.dns_failover.minimum_healthy_targets.count", "2"),),
            "InvalidConfigurationRequest",
            "does not support the value '2'",
        ),
        (
            "HTTP",
            (("slow_start.duration_seconds", "30"), ("load_balancing.algorithm.type", "weighted_random")),
            "InvalidConfigurationRequest",
            "round_robin",
        ),
    ],
)
def test_attributes_that_cannot_be_are_refused_whole(
    parts: Parts, protocol: str, pairs: tuple[tuple[str, str], ...], code: str, words: str
) -> None:
    arn = parts.target_group(Protocol=protocol)["TargetGroupArn"]
    before = parts.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
    found = refused(lambda: modify(parts, arn, ("load_balancing.cross_zone.enabled", "true"), *pairs))
    assert found[0] == code and words in found[1]
    assert parts.elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"] == before


# -- targets


def health(parts: Parts, arn: str, *targets: dict[str, Any]) -> list[tuple[Any, ...]]:
    more = {"Targets": list(targets)} if targets else {}
    found = parts.elb.describe_target_health(TargetGroupArn=arn, **more)["TargetHealthDescriptions"]
    return [
        (one["Target"]["Id"], one["Target"]["Port"], one["TargetHealth"]["State"], one["TargetHealth"].get("Reason"))
        for one in found
    ]


def test_targets_are_registered_with_their_subnets_zone(parts: Parts) -> None:
    arn = parts.target_group()["TargetGroupArn"]
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}, {"Id": "10.1.1.9", "Port": 8080}])
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9", "AvailabilityZone": PLACES[0]}])
    [one, two] = parts.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert one == {
        "Target": {"Id": "10.1.0.9", "Port": 80, "AvailabilityZone": PLACES[0]},
        "HealthCheckPort": "80",
        "TargetHealth": {
            "State": "unused",
            "Reason": "Target.NotInUse",
            "Description": "Target group is not configured to receive traffic from the load balancer",
        },
    }
    assert two["Target"] == {"Id": "10.1.1.9", "Port": 8080, "AvailabilityZone": PLACES[1]}
    assert health(parts, arn, {"Id": "10.1.0.77"}) == [("10.1.0.77", 80, "unused", "Target.NotRegistered")]
    parts.elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}, {"Id": "10.1.0.77"}])
    assert health(parts, arn) == [("10.1.1.9", 8080, "unused", "Target.NotInUse")]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"Id": "8.8.8.8"}, "InvalidTarget"),
        ({"Id": "8.8.8.8", "AvailabilityZone": "all"}, "InvalidTarget"),
        ({"Id": "10.1.200.1"}, "InvalidTarget"),
        ({"Id": "10.1.0.9", "AvailabilityZone": PLACES[1]}, "InvalidTarget"),
        ({"Id": "192.168.0.1"}, "ValidationError"),
        ({"Id": "i-0123456789abcdef0"}, "ValidationError"),
    ],
)
def test_addresses_that_are_no_targets_are_refused(parts: Parts, target: dict[str, Any], code: str) -> None:
    arn = parts.target_group()["TargetGroupArn"]
    given = [{"Id": "10.1.0.9"}, target]
    assert refused(lambda: parts.elb.register_targets(TargetGroupArn=arn, Targets=given))[0] == code
    assert health(parts, arn) == []


def test_private_addresses_beyond_the_vpc_are_targets_of_all_zones(parts: Parts) -> None:
    arn = parts.target_group()["TargetGroupArn"]
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "192.168.0.1", "AvailabilityZone": "all"}])
    [one] = parts.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert one["Target"]["AvailabilityZone"] == "all"


def forwarding(parts: Parts, balancer: dict[str, Any], group: str) -> str:
    made = parts.elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    return str(made["Listeners"][0]["ListenerArn"])


def test_health_is_what_all_nodes_say(parts: Parts) -> None:
    balancer, arn = parts.balancer(), parts.target_group()["TargetGroupArn"]
    forwarding(parts, balancer, arn)
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}])
    assert health(parts, arn) == [("10.1.0.9", 80, "initial", "Elb.RegistrationInProgress")]
    [record] = parts.region.network.shelf(ACCOUNT).all(LoadBalancer)
    places = [one.place for one in record.nodes]

    def say(place: str, state: str, reason: str = "", detail: str = "") -> None:
        verdict = TargetVerdict(key="10.1.0.9:80", state=state, reason=reason, detail=detail)
        groups = (GroupVerdicts(group=arn, targets=(verdict,)),)
        parts.region.services.verdicts.heard(
            NodeReport(arn=record.arn, place=place, generation=1, is_serving=True, groups=groups)
        )

    say(places[0], "healthy")
    assert health(parts, arn) == [("10.1.0.9", 80, "healthy", None)]
    say(places[1], "initial")
    assert health(parts, arn) == [("10.1.0.9", 80, "initial", "Elb.InitialHealthChecking")]
    say(places[1], "unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [502]")
    [one] = parts.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert one["TargetHealth"] == {
        "State": "unhealthy",
        "Reason": "Target.ResponseCodeMismatch",
        "Description": "Health checks failed with these codes: [502]",
    }


def test_a_target_where_the_load_balancer_has_no_zone_is_unused(parts: Parts) -> None:
    balancer = parts.network_balancer()
    arn = parts.target_group(Protocol="TCP")["TargetGroupArn"]
    parts.elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="TCP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}, {"Id": "10.1.1.9"}])
    assert [one[2:] for one in health(parts, arn)] == [
        ("initial", "Elb.RegistrationInProgress"),
        ("unused", "Target.NotInUse"),
    ]
    [_, far] = parts.elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    assert far["TargetHealth"]["Description"] == (
        "Target is in an Availability Zone that is not enabled for the load balancer"
    )


def test_a_target_in_use_drains_and_can_come_back(parts: Parts) -> None:
    arn = parts.target_group()["TargetGroupArn"]
    forwarding(parts, parts.balancer(), arn)
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}, {"Id": "10.1.0.10"}])
    parts.elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}, {"Id": "10.1.0.10"}])
    assert {one[2:] for one in health(parts, arn)} == {("draining", "Target.DeregistrationInProgress")}
    parts.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}])
    modify(parts, arn, ("deregistration_delay.timeout_seconds", "0"))
    parts.elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": "10.1.0.9"}])
    assert [one[0] for one in health(parts, arn)] == ["10.1.0.10"]


def test_a_group_that_is_led_to_stays(parts: Parts) -> None:
    balancer, arn = parts.balancer(), parts.target_group()["TargetGroupArn"]
    listener = forwarding(parts, balancer, arn)
    assert refused(lambda: parts.elb.delete_target_group(TargetGroupArn=arn)) == (
        "ResourceInUse",
        f"Target group '{arn}' is currently in use by a listener or a rule",
        400,
    )
    [shown] = parts.elb.describe_target_groups(LoadBalancerArn=balancer["LoadBalancerArn"])["TargetGroups"]
    assert shown["LoadBalancerArns"] == [balancer["LoadBalancerArn"]]
    parts.elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
    assert refused(lambda: parts.elb.describe_listeners(ListenerArns=[listener]))[0] == "ListenerNotFound"
    parts.elb.delete_target_group(TargetGroupArn=arn)


# -- tags


def test_tags_of_load_balancers_and_groups_come_and_go(parts: Parts) -> None:
    named = [
        parts.balancer()["LoadBalancerArn"],
        parts.target_group(Tags=[{"Key": "b", "Value": "2"}])["TargetGroupArn"],
    ]
    parts.elb.add_tags(ResourceArns=named, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}])

    def tags() -> list[dict[str, str]]:
        found = parts.elb.describe_tags(ResourceArns=named)["TagDescriptions"]
        assert [one["ResourceArn"] for one in found] == named
        return [told(one["Tags"]) for one in found]

    assert tags() == [{"a": "1", "b": ""}, {"b": "", "a": "1"}]
    parts.elb.remove_tags(ResourceArns=named[:1], TagKeys=["a", "c"])
    assert tags() == [{"b": ""}, {"b": "", "a": "1"}]


def test_tags_are_changed_of_all_or_of_none(parts: Parts) -> None:
    arn = parts.balancer()["LoadBalancerArn"]

    def add(*named: str, **tags: str) -> tuple[str, str]:
        given = [{"Key": key, "Value": value} for key, value in tags.items()]
        return refused(lambda: parts.elb.add_tags(ResourceArns=list(named), Tags=given))[:2]

    assert add(arn, NOTHING, a="1") == ("TargetGroupNotFound", "One or more target groups not found")
    assert add(arn, **{f"k{n}": "" for n in range(51)})[0] == "TooManyTags"
    assert add(arn, "x", a="1") == ("ValidationError", "'x' is not a valid ELB resource ARN")
    listener = arn.replace(":loadbalancer/", ":listener/") + "/" + NO_ID
    assert add(listener, a="1") == ("ListenerNotFound", "The specified listener does not exist.")
    rule = listener.replace(":listener/", ":listener-rule/") + "/" + NO_ID
    assert add(rule, a="1") == ("RuleNotFound", "The specified rule does not exist.")
    store = f"{ELB}:truststore/a/{NO_ID}"
    assert add(store, a="1")[0] == "TrustStoreNotFound"
    assert parts.elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"] == []
