"""`neargate trace-path` to a load balancer, where the way ends before a packet is sent, or behind the listener."""

from typing import Any

import pytest

from neargate.cli.balancing.trace import port_of, traced_balancer
from neargate.cli.problems import Problem
from neargate.testing.vpc_regions.setups import private_tasks
from neargate.tracing.description import described
from neargate.tracing.region import Region

from .test_cli_balancer_story import balancer, group, listener, node, rule, target

Facts = dict[str, Any]


def traced(one: Facts, *groups: Facts, port: int = 80) -> tuple[list[str], bool]:
    """From a task to itself: nothing of AWS is on that way."""
    described_as = private_tasks()
    sender = described_as["NetworkInterfaces"][0]
    here = {"address": sender["PrivateIpAddress"], "interface": sender["NetworkInterfaceId"]}
    nodes = [one_node | here for one_node in one["nodes"]]
    targets = [each | {"targets": [to | {"address": here["address"]} for to in each["targets"]]} for each in groups]
    facts = {"balancer": one | {"nodes": nodes}, "groups": targets}
    return traced_balancer(Region(described(described_as)), sender["NetworkInterfaceId"], facts, port)


def test_without_a_node_its_name_leads_nowhere() -> None:
    lines, is_reached = traced(balancer(nodes=[]), group(target()))
    assert lines[0] == "✗ dns internal-shop-1.us-east-1.elb.amazonaws.com: no address, it has no node"
    assert not is_reached


def test_a_node_that_does_not_serve_or_is_not_named_answers_nobody() -> None:
    lines, is_reached = traced(balancer(nodes=[node(serves=False, why="It died.")]), group(target()))
    assert "✗ node in us-east-1a: does not serve: It died." in lines and not is_reached
    assert not any(line.startswith("from its node") for line in lines)
    lines, is_reached = traced(balancer(nodes=[node(is_named=False), node(zone="us-east-1b")]), group(target()))
    assert is_reached and not any("us-east-1a, " in line for line in lines)


def test_targets_that_are_not_healthy_are_marked_and_do_not_answer() -> None:
    ill = target("unhealthy", reason="Target.Timeout", description="Request timed out")
    lines, is_reached = traced(balancer(), group(ill))
    assert lines[-1].startswith("✗ target ") and lines[-1].endswith("is unhealthy (Target.Timeout: Request timed out)")
    assert not is_reached
    assert traced(balancer(), group(target()))[1]


def test_targets_in_other_zones_are_reached_only_across_zones() -> None:
    far = group(target(zone="us-east-1b"))
    assert traced(balancer(), far)[1]
    lines, is_reached = traced(balancer(), far | {"is_across": []})
    assert not is_reached and not any(line.startswith("from its node") for line in lines)


def test_of_many_targets_and_rules_the_first_are_shown() -> None:
    rules = [*(rule(str(n), when="host-header a.b") for n in range(15)), rule()]
    lines, _ = traced(balancer(listeners=[listener(rules=rules)]), group(*(target(port=n) for n in range(80, 90))))
    assert "  ... and 5 more rules" in lines and "  ... and 6 more targets" in lines


def test_one_that_answers_by_itself_needs_no_target() -> None:
    lines, is_reached = traced(balancer(listeners=[listener(rules=[rule(says="answers 404", groups=[])])]))
    assert lines[-1] == "  default rule: answers 404" and is_reached


def test_a_port_has_to_be_said_where_there_are_several_or_none() -> None:
    assert port_of(balancer()) == 80
    several = balancer(listeners=[listener(), listener(port=443)], ports=["HTTP:80", "HTTPS:443"])
    with pytest.raises(Problem, match="write the port too, as --to shop:PORT; it listens at HTTP:80, HTTPS:443"):
        port_of(several)
    with pytest.raises(Problem, match="it has no listener"):
        port_of(balancer(listeners=[]))
