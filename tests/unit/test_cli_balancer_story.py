"""`neargate why` of load balancers and target groups: what each thing that is in a client's way is told like."""

from typing import Any

import pytest

from neargate.cli.stories.balancer import balancer_story, group_story

NOW = 1_790_000_000.0
ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/shop/0123456789abcdef"
GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef"
Facts = dict[str, Any]


def node(**members: Any) -> Facts:
    return {
        "zone": "us-east-1a",
        "subnet": "subnet-1",
        "host": "h-1",
        "is_away": False,
        "interface": "eni-1",
        "address": "10.0.0.4",
        "public_address": "",
        "serves": True,
        "is_named": True,
        "why": "",
        **members,
    }


def rule(priority: str = "default", **members: Any) -> Facts:
    return {"priority": priority, "when": "", "groups": [{"group": GROUP, "weight": 1}], "says": "", **members}


def listener(**members: Any) -> Facts:
    own = {"port": 80, "protocol": "HTTP", "rules": [rule()], "more_rules": 0, "ends_tls": False, "certificates": []}
    return {**own, **members}


def target(state: str = "healthy", **members: Any) -> Facts:
    own = {"address": "10.0.1.7", "port": 80, "zone": "us-east-1a", "state": state, "reason": "", "description": ""}
    return {**own, **members}


def group(*targets: Facts, **members: Any) -> Facts:
    counts: dict[str, int] = {}
    for one in targets:
        counts[one["state"]] = counts.get(one["state"], 0) + 1
    return {
        "arn": GROUP,
        "name": "web",
        "account": "123456789012",
        "protocol": "HTTP",
        "port": 80,
        "vpc": "vpc-1",
        "check": {"protocol": "HTTP", "port": None, "path": "/", "codes": "200"},
        "counts": counts,
        "targets": list(targets),
        "balancers": [ARN],
        "is_across": [ARN],
        **members,
    }


def balancer(**members: Any) -> Facts:
    return {
        "arn": ARN,
        "name": "shop",
        "account": "123456789012",
        "kind": "application",
        "scheme": "internal",
        "state": "active",
        "reason": "",
        "nodes": [node()],
        "ports": ["HTTP:80"],
        "dns_name": "internal-shop-1.us-east-1.elb.amazonaws.com",
        "local_name": "",
        "security_groups": ["sg-1"],
        "unplanned": "",
        "listeners": [listener()],
        **members,
    }


def told(one: Facts, *groups: Facts, stops: tuple[str, ...] = (), **members: Any) -> list[str]:
    return balancer_story({"balancer": one, "groups": list(groups), **members}, stops, NOW, " --data D")


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (
            balancer(state="failed", reason="Not enough IP space available in subnet-1.", nodes=[]),
            "It failed: Not enough IP space available in subnet-1. It is not tried again",
        ),
        (
            balancer(state="provisioning", nodes=[node(interface="", host="", address="", serves=False)]),
            "No host has taken its node in us-east-1a yet: one of that zone must be connected (neargate status --data",
        ),
        (balancer(nodes=[node(is_away=True)]), "stands on host h-1, which is away: names pass it by"),
        (
            balancer(nodes=[node(serves=False, why="The proxy does not live long.")]),
            "The node in us-east-1a on host h-1 does not serve: The proxy does not live long (the agent's log",
        ),
        (balancer(nodes=[node(serves=False)]), "does not serve; its host has said nothing of it yet"),
        (
            balancer(nodes=[node(why="The proxy refuses its configuration: x")]),
            "goes on by what it had before: The proxy refuses its configuration: x.",
        ),
        (balancer(unplanned="its plan has 20001 targets"), "Its last changes are not in force"),
        (balancer(listeners=[], ports=[]), "It has no listener, so that nobody answers at any port"),
        (
            balancer(listeners=[listener(protocol="HTTPS", port=443, ends_tls=True)]),
            "Listener HTTPS:443 has no certificate any more and is closed",
        ),
        (
            balancer(
                listeners=[
                    listener(certificates=[{"arn": "c", "domain": "a.b", "not_after": NOW - 86400, "is_own": False}])
                ]
            ),
            "The certificate of a.b at HTTP:80 expired on 2026-09-20, so that clients refuse it.",
        ),
    ],
)
def test_what_is_in_a_clients_way_is_a_sentence(one: Facts, sentence: str) -> None:
    last = told(one, group(target()))[-1]
    assert sentence in last and "Nothing that Neargate knows of" not in last


def test_the_sentences_come_in_the_order_in_which_a_request_finds_it() -> None:
    last = told(
        balancer(nodes=[node(is_away=True)], listeners=[]), group(), stops=("Its groups let nobody in.",), also=[]
    )[-1]
    parts = ["which is away", "has no listener", "Target group web has no target", "Its groups let nobody in."]
    assert sorted(parts, key=last.index) == parts


def test_targets_that_are_not_healthy_come_with_their_reasons() -> None:
    ill = target("unhealthy", reason="Target.ResponseCodeMismatch", description="Health checks failed with [404]")
    lines = told(balancer(), group(ill, target(address="10.0.1.8")))
    assert "  web: 1 of 2 targets are healthy" in lines
    reason = "Target.ResponseCodeMismatch: Health checks failed with [404]"
    assert f"    10.0.1.7:80 in us-east-1a is unhealthy ({reason})" in lines
    assert lines[-1] == f"In target group web not all of 2 targets are healthy: 1 unhealthy ({reason})."
    elsewhere = target(
        "unused",
        reason="Target.NotInUse",
        description="Target is in an Availability Zone that is not enabled for the load balancer",
    )
    last = told(balancer(), group(elsewhere))[-1]
    assert last.startswith("In target group web none of 1 targets is healthy: 1 unused (Target.NotInUse: Target is in")


def test_rules_are_told_with_their_conditions_and_what_they_do() -> None:
    rules = [
        rule("10", when="path-pattern /api/*", groups=[{"group": GROUP, "weight": 3}, {"group": GROUP, "weight": 1}]),
        *(rule(str(n), when="host-header a.b", says="answers 404") for n in range(20, 40)),
        rule(says="redirects to HTTPS://#{host}:443/#{path}"),
    ]
    lines = told(balancer(listeners=[listener(rules=rules, more_rules=5)]), group(target()))
    at = lines.index("  HTTP:80: redirects to HTTPS://#{host}:443/#{path}")
    assert lines[at + 1] == "    rule 10, path-pattern /api/*: forwards to web (3), web (1)"
    assert lines[at + 2] == "    rule 20, host-header a.b: answers 404"
    assert lines[at + 11] == "    ... and 16 more rules"


def test_one_that_answers_by_itself_says_so() -> None:
    [last] = told(balancer(listeners=[listener(rules=[rule(says="answers 404", groups=[])])]))[-1:]
    assert last.endswith("it forwards nothing and answers by itself.")


def test_what_else_has_the_name_is_told() -> None:
    assert told(balancer(), group(target()), also=[GROUP])[-1] == f"the same name has: neargate why {GROUP} --data D"


def test_a_target_group_tells_of_the_load_balancers_that_lead_to_it() -> None:
    facts = {"target_group": group(target()), "balancers": [balancer(listeners=[])]}
    lines = group_story(facts, {ARN: ["Its groups let nobody in."]}, NOW)
    assert lines[0] == "target group web (HTTP, port 80) of vpc-1" and "  shop: active" in lines
    assert "Load balancer shop: It has no listener" in lines[-1]
    assert lines[-1].endswith("Load balancer shop: Its groups let nobody in.")
    alone = {"target_group": group(target(), balancers=[], is_across=[]), "balancers": []}
    assert "No listener and no rule leads to it" in group_story(alone, {}, NOW)[-1]
