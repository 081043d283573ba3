"""Rules as boto3 sees them: conditions in both forms, their bounds, priorities, the default rule, and who may."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from .balancer_clients import FIXED, GET, Balancing, forward
from .door_clients import Door, allow, refused


@pytest.fixture
def on() -> Iterator[Balancing]:
    with asyncio.Runner() as runner:
        yield Balancing(Door(runner))


@pytest.fixture
def listener(on: Balancing) -> str:
    return str(on.listen(on.balancer())["ListenerArn"])


def described(on: Balancing, listener: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = on.elb.describe_rules(ListenerArn=listener)["Rules"]
    return found


def test_rules_are_shown_in_order_and_the_default_one_last(on: Balancing, listener: str) -> None:
    later, sooner = on.rule(listener, 20), on.rule(listener, 3)
    found = described(on, listener)
    assert found[:2] == [sooner, later]
    assert sooner["RuleArn"].startswith(listener.replace(":listener/", ":listener-rule/") + "/")
    assert (sooner["Priority"], sooner["IsDefault"]) == ("3", False)
    default = found[2]
    assert (default["Priority"], default["IsDefault"], default["Conditions"]) == ("default", True, [])
    assert default["Actions"] == [FIXED]
    arns = [default["RuleArn"], later["RuleArn"]]
    assert on.elb.describe_rules(RuleArns=arns)["Rules"] == [default, later]
    pages = on.elb.get_paginator("describe_rules").paginate(ListenerArn=listener, PaginationConfig={"PageSize": 2})
    assert [one["Priority"] for page in pages for one in page["Rules"]] == ["3", "20", "default"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (
            {"Field": "host-header", "Values": ["*.example.com"]},
            {
                "Field": "host-header",
                "Values": ["*.example.com"],
                "HostHeaderConfig": {"Values": ["*.example.com"]},
            },
        ),
        (
            {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a/*", "/b"]}},
            {"Field": "path-pattern", "Values": ["/a/*", "/b"], "PathPatternConfig": {"Values": ["/a/*", "/b"]}},
        ),
        ({"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["b*", "c"]}}, None),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET", "M-SEARCH"]}}, None),
        (
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "a", "Value": "b"}, {"Value": "c"}]}},
            None,
        ),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["192.0.2.0/24", "2001:db8::/32"]}}, None),
    ],
)
def test_conditions_are_shown_in_the_forms_that_aws_shows(
    on: Balancing, listener: str, given: dict[str, Any], shown: dict[str, Any] | None
) -> None:
    made = on.rule(listener, Conditions=[given])
    assert made["Conditions"] == [given if shown is None else shown]
    assert described(on, listener)[0] == made


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"Field": "host-header", "Values": ["x" * 129]}, "The 'host-header' value is too long; the limit is '128'"),
        (
            {"Field": "host-header", "Values": ["one", "two"]},
            "The 'host-header' field contains too many values; the limit is '1'",
        ),
        ({"Field": "host-header"}, "A condition value must be specified"),
        ({"Field": "host-header", "HostHeaderConfig": {"Values": []}}, "A condition value must be specified"),
        (
            {"Field": "host-header", "Values": ["a b"]},
            "The 'host-header' value 'a b' has a character that it cannot have",
        ),
        ({"Field": "path-pattern", "Values": ["/" * 129]}, "The 'path-pattern' value is too long; the limit is '128'"),
        (
            {"Field": "path-pattern", "Values": ["/a\n"]},
            "The 'path-pattern' value '/a\n' has a character that it cannot have",
        ),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x" * 41, "Values": ["y"]}},
            "The 'HttpHeaderName' value is too long; the limit is '40'",
        ),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "Host", "Values": ["y"]}},
            "The 'HttpHeaderName' cannot be 'Host'; use a 'host-header' condition",
        ),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "a:b", "Values": ["y"]}},
            "The 'HttpHeaderName' value 'a:b' is not a header's name",
        ),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "x", "Values": ["y\r\nz"]}},
            "The 'http-header' value has a character that it cannot have",
        ),
        (
            {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["get"]}},
            "The 'http-request-method' value is invalid; the allowed characters are A-Z, hyphen and underscore",
        ),
        (
            {"Field": "http-request-method"},
            "A 'HttpRequestMethodConfig' must be specified with 'http-request-method'",
        ),
        (
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "hello"}]}},
            "A 'Value' must be specified in 'QueryStringKeyValuePair'",
        ),
        (
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Value": "x" * 129}]}},
            "The 'Value' value is too long; the limit is '128'",
        ),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": []}}, "A 'source-ip' value must be specified"),
        ({"Field": "source-ip"}, "A 'SourceIpConfig' must be specified with 'source-ip'"),
        (
            {"Field": "source-ip", "SourceIpConfig": {"Values": ["192.0.2.1"]}},
            "The 'source-ip' value '192.0.2.1' is not a valid CIDR block",
        ),
        ({"Values": ["a"]}, "A condition field must be specified"),
    ],
)
def test_what_a_condition_cannot_be(on: Balancing, listener: str, condition: dict[str, Any], message: str) -> None:
    assert refused(lambda: on.rule(listener, Conditions=[condition])) == ("ValidationError", message)


def test_bounds_of_one_rule(on: Balancing, listener: str) -> None:
    def paths(*values: str) -> dict[str, Any]:
        return {"Field": "path-pattern", "PathPatternConfig": {"Values": list(values)}}

    def header(*values: str) -> dict[str, Any]:
        return {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X", "Values": list(values)}}

    def refusal(*conditions: dict[str, Any]) -> str:
        code, message = refused(lambda: on.rule(listener, Conditions=list(conditions)))
        assert code == "ValidationError"
        return message

    assert refusal(paths("/1", "/2", "/3"), header("4", "5", "6")) == "A rule can only have '5' condition values"
    assert refusal(paths("/*?*?"), header("*?*")) == "A rule can only have '6' condition wildcards"
    assert refusal(paths("/1"), paths("/2")) == "A rule can only have one 'path-pattern' condition"
    assert refusal() == "A condition must be specified"
    assert on.rule(listener, Conditions=[paths("/*?*"), header("?", "?"), header("*")])["Priority"] == "10"


def test_expressions_and_rewrites_are_refused(on: Balancing, listener: str) -> None:
    regex = {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/a"]}}
    assert refused(lambda: on.rule(listener, Conditions=[regex]))[0] == "InvalidConfigurationRequest"
    rewrite = {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "a", "Replace": "b"}]}}
    assert refused(lambda: on.rule(listener, Transforms=[rewrite]))[0] == "InvalidConfigurationRequest"


def test_a_priority_is_one_rules(on: Balancing, listener: str) -> None:
    one, two = on.rule(listener, 1)["RuleArn"], on.rule(listener, 2)["RuleArn"]
    assert refused(lambda: on.rule(listener, 1)) == ("PriorityInUse", "Priority '1' is currently in use")
    assert refused(lambda: on.rule(listener, 50001))[0] == "ValidationError"

    def order(**given: int) -> Any:
        named = {"one": one, "two": two}
        priorities = [{"RuleArn": named[name], "Priority": value} for name, value in given.items()]
        return on.elb.set_rule_priorities(RulePriorities=priorities)["Rules"]

    assert [(rule["RuleArn"], rule["Priority"]) for rule in order(one=2, two=1)] == [(one, "2"), (two, "1")]
    assert [rule["RuleArn"] for rule in described(on, listener)[:2]] == [two, one]
    assert refused(lambda: order(one=1)) == ("PriorityInUse", "Priority '1' is currently in use")
    assert refused(lambda: order(one=5, two=5))[0] == "PriorityInUse"
    assert [rule["RuleArn"] for rule in described(on, listener)[:2]] == [two, one]


def test_the_default_rule_is_the_listeners(on: Balancing, listener: str) -> None:
    (default,) = described(on, listener)
    arn = default["RuleArn"]
    assert refused(on.elb.delete_rule, RuleArn=arn) == (
        "OperationNotPermitted",
        f"Default rule '{arn}' cannot be deleted",
    )
    assert refused(on.elb.modify_rule, RuleArn=arn, Actions=[FIXED])[0] == "OperationNotPermitted"
    given = [{"RuleArn": arn, "Priority": 1}]
    assert refused(on.elb.set_rule_priorities, RulePriorities=given)[0] == "OperationNotPermitted"
    group = on.group()
    on.elb.modify_listener(ListenerArn=listener, DefaultActions=[forward(group)])
    (after,) = described(on, listener)
    assert after["RuleArn"] == arn and after["Actions"][0]["TargetGroupArn"] == group


def test_a_rule_changes_in_what_is_said(on: Balancing, listener: str) -> None:
    made, group = on.rule(listener), on.group()
    arn = {"RuleArn": made["RuleArn"]}
    (led,) = on.elb.modify_rule(**arn, Actions=[forward(group)])["Rules"]
    assert led["Conditions"] == made["Conditions"] and led["Actions"][0]["TargetGroupArn"] == group
    method = [{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT"]}}]
    (after,) = on.elb.modify_rule(**arn, Conditions=method)["Rules"]
    assert after["Conditions"] == method and after["Actions"] == led["Actions"]
    assert on.elb.describe_rules(RuleArns=[made["RuleArn"]])["Rules"] == [after]


def test_a_rule_leads_to_groups_of_its_load_balancer(on: Balancing, listener: str) -> None:
    group, other = on.group(), on.listen(on.balancer("other"))["ListenerArn"]
    on.rule(listener, Actions=[forward(group)])
    assert refused(lambda: on.rule(other, Actions=[forward(group)]))[0] == "TargetGroupAssociationLimit"
    assert refused(lambda: on.elb.delete_target_group(TargetGroupArn=group))[0] == "ResourceInUse"
    groups = [on.group(f"g{number}") for number in range(6)]
    assert refused(lambda: on.rule(listener, 11, Actions=[forward(*groups)]))[0] == "InvalidLoadBalancerAction"
    assert on.rule(listener, 11, Actions=[forward(*groups[:5])])["Priority"] == "11"


def test_network_load_balancers_have_no_rules(on: Balancing) -> None:
    made = on.listen(on.network(), forward(on.group("tcp", "TCP")), Protocol="TCP")
    assert refused(lambda: on.rule(made["ListenerArn"])) == (
        "UnsupportedProtocol",
        "Rules are not supported for listeners of protocol 'TCP'",
    )


def test_a_rule_goes_alone_and_with_its_listener(on: Balancing, listener: str) -> None:
    arn, group = on.rule(listener)["RuleArn"], on.group()
    on.elb.delete_rule(RuleArn=arn)
    assert refused(on.elb.delete_rule, RuleArn=arn) == ("RuleNotFound", "One or more rules not found")
    assert refused(on.elb.describe_rules, RuleArns=[arn])[0] == "RuleNotFound"
    on.rule(listener, Actions=[forward(group)])
    on.elb.delete_listener(ListenerArn=listener)
    assert refused(on.elb.describe_rules, ListenerArn=listener)[0] == "ListenerNotFound"
    on.elb.delete_target_group(TargetGroupArn=group)
    assert refused(on.elb.describe_rules) == (
        "ValidationError",
        "You must specify either listener rule ARNs or a listener ARN",
    )


def test_there_are_a_hundred_rules_at_most(on: Balancing, listener: str) -> None:
    other = on.listen(on.elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["LoadBalancerArn"], Port=81)
    for priority in range(1, 100):
        on.rule(listener, priority)
    on.rule(other["ListenerArn"], 1)
    assert refused(lambda: on.rule(listener, 100))[0] == "TooManyRules"


def test_who_may_change_which_rule(on: Balancing, listener: str) -> None:
    mine = on.rule(listener, 1, Tags=[{"Key": "team", "Value": "a"}])["RuleArn"]
    other = on.rule(listener, 2, Conditions=GET)["RuleArn"]
    actions = "elasticloadbalancing:ModifyRule", "elasticloadbalancing:SetRulePriorities"
    al = Balancing(on.door, on.door.user("al", allow(*actions, StringEquals={"aws:ResourceTag/team": "a"})))
    al.elb.modify_rule(RuleArn=mine, Actions=[FIXED])
    assert refused(al.elb.modify_rule, RuleArn=other, Actions=[FIXED])[0] == "AccessDenied"
    both = [{"RuleArn": mine, "Priority": 5}, {"RuleArn": other, "Priority": 6}]
    al.elb.set_rule_priorities(RulePriorities=both[:1])
    assert refused(al.elb.set_rule_priorities, RulePriorities=both)[0] == "AccessDenied"
    assert refused(al.elb.delete_rule, RuleArn=mine)[0] == "AccessDenied"
