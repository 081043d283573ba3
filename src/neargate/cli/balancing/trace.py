"""`neargate trace-path` to a load balancer: name, nodes, listener and rules, target groups, targets. Pure.

Each hop's packets go by AWS's rules over what EC2 describes (tracing); what a name leads to and how targets stand is
what the region says. Invariant: a line with a mark is one that stops every request, or those to one node or target.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...tracing.flows import Answer, Flow, NotModelled
from ...tracing.model import answer
from ...tracing.region import Region
from ..path_model import step_line, told
from ..problems import Problem
from ..stories.balancer import does, group_name, healthy_of_all, target_line
from .paths import reached_targets, target_way

Facts = Mapping[str, Any]
Traced = tuple[list[str], bool]
TARGETS_SHOWN = 4  # of each node and group
RULES_SHOWN = 10


def port_of(balancer: Facts) -> int:
    """Of its only listener. Raises Problem."""
    ports = [int(one["port"]) for one in balancer["listeners"]]
    if len(ports) == 1:
        return ports[0]
    listens = f"it listens at {', '.join(balancer['ports'])}" if ports else "it has no listener"
    raise Problem(f"write the port too, as --to {balancer['name']}:PORT; {listens}")


def traced_balancer(region: Region, sender: str, facts: Facts, port: int) -> Traced:
    """`facts`: of the operator's request `balancer`. Lines, and whether a request gets an answer. Raises Problem."""
    try:
        return _traced(region, sender, facts, port)
    except NotModelled as unknown:
        raise Problem(f"what becomes of these packets is not known: {unknown}") from None


def _traced(region: Region, sender: str, facts: Facts, port: int) -> Traced:
    one = facts["balancer"]
    listener = next((each for each in one["listeners"] if each["port"] == port), None)
    named = [node for node in one["nodes"] if node["is_named"] and _address(one, node)]
    lines = [_dns(one, named)]
    open_nodes = []
    for node in named:
        found, passes = _to_node(region, sender, one, node, port)
        lines += found
        open_nodes += [node] if passes and node["serves"] else []
    if listener is None:
        return [*lines, f"✗ listener: nobody listens at port {port}; it has {', '.join(one['ports']) or 'none'}"], False
    lines += _listener(listener)
    groups = [each for each in facts["groups"] if each["arn"] in _led_to(listener)]
    answers = any(rule["says"] for rule in listener["rules"])
    for group in groups:
        lines.append(_group(group))
        for node in open_nodes:
            found, passes = _to_targets(region, one, node, group)
            lines += found
            answers |= passes
    return lines, answers and bool(open_nodes)


def _address(balancer: Facts, node: Facts) -> str:
    """As its name says it, whoever asks."""
    return str(node["public_address"] if balancer["scheme"] == "internet-facing" else node["address"])


def _dns(one: Facts, named: Sequence[Facts]) -> str:
    if not named:
        return f"✗ dns {one['dns_name']}: no address, it has no node"
    addresses = (f"{_address(one, node)} ({node['zone']})" for node in named)
    return f"  dns {one['dns_name']}: {', '.join(addresses)}"


def _to_node(region: Region, sender: str, one: Facts, node: Facts, port: int) -> Traced:
    address = _address(one, node)
    found = answer(region, Flow(sender=sender, to=address, port=port))
    lines = [f"to its node in {node['zone']}, {address}:{port}:", *_steps(found)]
    if not node["serves"]:
        lines.append(f"✗ node in {node['zone']}: does not serve{': ' + node['why'] if node['why'] else ''}")
    return lines, bool(found.delivered and found.reply)


def _steps(found: Answer) -> Iterator[str]:
    """There; and back, where the answer does not come."""
    members = told(found)
    yield from map(step_line, members["path"])
    if found.delivered and not found.reply:
        yield from ("  the answer:", *map(step_line, members["reply_path"]))


def _listener(one: Facts) -> Iterator[str]:
    *rules, default = one["rules"]
    yield f"  listener {one['protocol']}:{one['port']}"
    yield from (f"  rule {rule['priority']}, {rule['when']}: {does(rule)}" for rule in rules[:RULES_SHOWN])
    more = len(rules[RULES_SHOWN:]) + one["more_rules"]
    if more:
        yield f"  ... and {more} more rules"
    yield f"  default rule: {does(default)}"


def _led_to(listener: Facts) -> list[str]:
    return [each["group"] for rule in listener["rules"] for each in rule["groups"]]


def _group(one: Facts) -> str:
    mark = " " if one["counts"] else "✗"
    return f"{mark} target group {group_name(one['arn'])}: {healthy_of_all(one)}"


def _to_targets(region: Region, one: Facts, node: Facts, group: Facts) -> Traced:
    """From a node; whether one of them is reached that gets requests."""
    targets = reached_targets(one, node, group)
    lines = []
    answers = False
    for target in targets[:TARGETS_SHOWN]:
        found = target_way(region, node, target["address"], target["port"])
        lines += [f"from its node in {node['zone']} to {target['address']}:{target['port']}:", *_steps(found)]
        lines.append(f"{' ' if target['state'] == 'healthy' else '✗'} target {target_line(target)}")
        answers |= bool(found.delivered and found.reply) and target["state"] == "healthy"
    if len(targets) > TARGETS_SHOWN:
        lines.append(f"  ... and {len(targets) - TARGETS_SHOWN} more targets")
    return lines, answers
