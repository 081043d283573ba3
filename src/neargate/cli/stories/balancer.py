"""`neargate why` of a load balancer or a target group: how it stands, and what is between a client and an answer.

Pure: from what the operator's socket answers, and what the network lets pass (balancing/paths.py), to lines. Reasons
are AWS's, as DescribeLoadBalancers and DescribeTargetHealth give them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Facts = Mapping[str, Any]
TARGETS_SHOWN = 10
RULES_SHOWN = 10


def balancer_story(facts: Facts, stops: Sequence[str], now: float, option: str = "") -> list[str]:
    """`facts`: of the request `why`. `stops`: sentences of what the network does not let pass. `now`: epoch seconds."""
    one, groups = facts["balancer"], facts["groups"]
    lines = [
        f"load balancer {one['name']} ({one['kind']}, {one['scheme']}) is {_state(one)}",
        f"  {one['arn']}",
        f"  {', '.join(filter(None, (one['dns_name'], one['local_name'])))}",
    ]
    for title, part in (
        ("nodes", [_node(node) for node in one["nodes"]]),
        ("listeners", [line for each in one["listeners"] for line in _listener(each)]),
        ("target groups", [line for each in groups for line in _group(each)]),
    ):
        if part:
            lines += ["", title, *(f"  {line}" for line in part)]
    told = [*_own(one, now, option), *_of_groups(groups), *stops]
    lines += ["", " ".join(told or [_nothing(one)])]
    return [*lines, *also(facts, option)]


def group_story(facts: Facts, stops: Mapping[str, Sequence[str]], now: float, option: str = "") -> list[str]:
    """As `balancer_story`, of a target group and the load balancers that lead to it. `stops`: by their ARNs."""
    one = facts["target_group"]
    lines = [f"target group {one['name']} ({one['protocol']}, port {one['port']}) of {one['vpc']}", f"  {one['arn']}"]
    leading = [f"{each['name']}: {_state(each)}" for each in facts["balancers"]]
    for title, part in (
        ("load balancers that lead to it", leading),
        ("targets", _group(one)),
        ("health check", [_check(one)]),
    ):
        if part:
            lines += ["", title, *(f"  {line}" for line in part)]
    own = [
        f"Load balancer {each['name']}: {text}"
        for each in facts["balancers"]
        for text in (*_own(each, now, option), *stops.get(each["arn"], ()))
    ]
    if not one["balancers"]:
        own.append(
            "No listener and no rule leads to it, so nobody sends it requests and its targets are not checked: "
            "aws elbv2 create-listener."
        )
    told = [*_of_groups([one]), *own]
    lines += ["", " ".join(told or ["Nothing that Neargate knows of is in the way of requests to its targets."])]
    return [*lines, *also(facts, option)]


def also(facts: Facts, option: str) -> list[str]:
    """What else has the name that was given."""
    found = facts.get("also") or []
    return ["", *(f"the same name has: neargate why {arn}{option}" for arn in found)] if found else []


def _state(one: Facts) -> str:
    return f"{one['state']}: {one['reason']}" if one["reason"] else str(one["state"])


def _node(one: Facts) -> str:
    if not one["interface"]:
        return f"{one['zone']}: waits for a host"
    host = f"on {one['host']}{' (away)' if one['is_away'] else ''}"
    public = f", public {one['public_address']}" if one["public_address"] else ""
    serves = "serves" if one["serves"] else "does not serve"
    named = "" if one["is_named"] else ", names do not lead to it"
    return f"{one['zone']}: {serves}, {host}, {one['address']}{public}{named}"


def _listener(one: Facts) -> Iterator[str]:
    *rules, default = one["rules"]
    yield f"{one['protocol']}:{one['port']}: {does(default)}"
    for rule in rules[:RULES_SHOWN]:
        yield f"  rule {rule['priority']}, {rule['when']}: {does(rule)}"
    more = len(rules[RULES_SHOWN:]) + one["more_rules"]
    if more:
        yield f"  ... and {more} more rules"


def does(rule: Facts) -> str:
    if rule["says"]:
        return str(rule["says"])
    names = [group_name(each["group"]) for each in rule["groups"]]
    weights = [f" ({each['weight']})" if len(names) > 1 else "" for each in rule["groups"]]
    return f"forwards to {', '.join(map(str.__add__, names, weights))}"


def group_name(arn: str) -> str:
    return arn.split("/")[-2]


def _group(one: Facts) -> Iterator[str]:
    yield f"{one['name']}: {healthy_of_all(one)}"
    ill = [target for target in one["targets"] if target["state"] != "healthy"]
    yield from (f"  {target_line(target)}" for target in ill[:TARGETS_SHOWN])
    more = sum(one["counts"].values()) - one["counts"].get("healthy", 0) - len(ill[:TARGETS_SHOWN])
    if more:
        yield f"  ... and {more} more that are not healthy"


def healthy_of_all(one: Facts) -> str:
    return f"{one['counts'].get('healthy', 0)} of {sum(one['counts'].values())} targets are healthy"


def target_line(one: Facts) -> str:
    reason = ": ".join(filter(None, (one["reason"], one["description"])))
    return f"{one['address']}:{one['port']} in {one['zone']} is {one['state']}{f' ({reason})' if reason else ''}"


def _check(one: Facts) -> str:
    check = one["check"]
    path = f" {check['path']}" if check["protocol"] != "TCP" else ""
    codes = f", healthy with {check['codes']}" if check["codes"] else ""
    port = f"port {check['port']}" if check["port"] else "their own port"
    return f"{check['protocol']}{path} at {port}{codes}"


# -- what is between a client and an answer


def _own(one: Facts, now: float, option: str) -> Iterator[str]:
    """Of its records and nodes, in the order in which a request would find it."""
    if one["state"] == "failed":
        yield f"It failed: {one['reason']} It is not tried again: mend that, delete it and create it anew."
        return
    for node in one["nodes"]:
        yield from _of_node(node, option)
    if one["unplanned"]:
        yield (
            f"Its last changes are not in force, its nodes go on by what was before: {one['unplanned']}. Take rules or "
            "targets out of it."
        )
    if not one["listeners"]:
        yield "It has no listener, so that nobody answers at any port: aws elbv2 create-listener."
    for listener in one["listeners"]:
        yield from _of_certificates(listener, now)


def _of_node(node: Facts, option: str) -> Iterator[str]:
    zone, host = node["zone"], node["host"]
    if not node["interface"]:
        yield f"No host has taken its node in {zone} yet: one of that zone must be connected (neargate status{option})."
    elif node["is_away"]:
        yield (
            f"The node in {zone} stands on host {host}, which is away: names pass it by, and it goes on when the host "
            "is back."
        )
    elif node["serves"] and node["why"]:
        yield f"The node in {zone} goes on by what it had before: {node['why']}."
    elif not node["serves"]:
        why = f": {node['why'].rstrip('.')}" if node["why"] else "; its host has said nothing of it yet"
        yield f"The node in {zone} on host {host} does not serve{why} (the agent's log there has more)."


def _of_certificates(listener: Facts, now: float) -> Iterator[str]:
    name = f"{listener['protocol']}:{listener['port']}"
    if listener["ends_tls"] and not any(one["not_after"] for one in listener["certificates"]):
        yield f"Listener {name} has no certificate any more and is closed: aws elbv2 modify-listener --certificates."
    for one in listener["certificates"]:
        if one["not_after"] and one["not_after"] < now:
            day = datetime.fromtimestamp(one["not_after"], UTC).strftime("%Y-%m-%d")
            yield f"The certificate of {one['domain']} at {name} expired on {day}, so that clients refuse it."


def _of_groups(groups: Sequence[Facts]) -> Iterator[str]:
    for one in groups:
        count = sum(one["counts"].values())
        if not count:
            yield (
                f"Target group {one['name']} has no target: a service whose loadBalancers name it registers its tasks "
                "when they run; else aws elbv2 register-targets."
            )
        elif one["counts"].get("healthy", 0) == count or not one["balancers"]:
            continue
        else:
            yield _ill(one, is_none=not one["counts"].get("healthy"))


def _ill(one: Facts, *, is_none: bool) -> str:
    reasons = Counter(
        (target["state"], ": ".join(filter(None, (target["reason"], target["description"]))))
        for target in one["targets"]
        if target["state"] != "healthy"
    )
    told = "; ".join(f"{count} {state} ({reason})" for (state, reason), count in reasons.most_common(3))
    count = sum(one["counts"].values())
    if not is_none:
        return f"In target group {one['name']} not all of {count} targets are healthy: {told}."
    return (
        f"In target group {one['name']} none of {count} targets is healthy: {told}. While that is so, requests go to "
        "all that are not unused, as on AWS."
    )


def _nothing(one: Facts) -> str:
    if all(rule["says"] for listener in one["listeners"] for rule in listener["rules"]):
        return "Nothing that Neargate knows of is in the way of its clients; it forwards nothing and answers by itself."
    return "Nothing that Neargate knows of is between its clients and an answer of its targets."
