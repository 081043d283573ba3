"""Load balancers and target groups as the operator's commands tell of them: records and reports in, facts out. Pure.

Facts are JSON-ready members. Owns what is told, and how much of it; must not know sentences, nor who asks.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from ...frontend.balancing import lookup
from ...frontend.balancing.health import Verdicts
from ...frontend.balancing.listeners import ENDS_TLS
from ...frontend.balancing.objects import Action, Listener, LoadBalancer, Node, TargetGroup
from ...frontend.balancing.target_states import State, is_across, state_of, states_of
from ...frontend.certificates.records import IMPORTED, Certificate
from ...frontend.network.nodes import balancer_nodes as nodes
from ...frontend.network.records.balancers import balancers
from ...frontend.regional.shelves import Shelf
from ...model.balancing import DRAINING, HEALTHY, INITIAL, UNHEALTHY, UNUSED, Condition

Facts = dict[str, Any]
RULES_MAX, TARGETS_MAX = 20, 50  # of one thing, as they are told
_WORST_FIRST = (UNHEALTHY, INITIAL, UNUSED, DRAINING, HEALTHY)


class View(Struct, frozen=True, kw_only=True):
    """What is known of one account's load balancers now. `unplanned`: ARN -> why its last changes are in no plan.
    `connected`: hosts that are."""

    shelf: Shelf
    verdicts: Verdicts
    unplanned: Mapping[str, str]
    connected: frozenset[str]
    certificate: Callable[[str], Certificate | None]
    leading: Mapping[str, tuple[str, ...]]  # group -> ARNs of the load balancers that lead to it
    listeners: Mapping[str, Sequence[Listener]]  # load balancer -> its own, in order of ports


def by_balancer(shelf: Shelf) -> dict[str, list[Listener]]:
    """All listeners, looked through once: a region may have thousands."""
    found: dict[str, list[Listener]] = {}
    for one in sorted(shelf.all(Listener), key=lambda one: one.port):
        found.setdefault(one.load_balancer, []).append(one)
    return found


def named(shelf: Shelf, name: str) -> Iterator[LoadBalancer | TargetGroup]:
    """By name, ARN, or a name that leads to it; load balancers first."""
    wanted = name.lower()
    for one in balancers(shelf):
        if name in (one.label, one.arn) or wanted in (one.dns_name.lower(), local_name(one)):
            yield one
    yield from (one for one in shelf.all(TargetGroup) if name in (one.label, one.arn))


def local_name(balancer: LoadBalancer) -> str:
    """On the machine itself, of one that faces the internet."""
    return f"{balancer.label}.{balancer.arn.split(':')[3]}.elb.localhost".lower()


def balancer_facts(view: View, one: LoadBalancer) -> Facts:
    """All that is told of it, but for its target groups: their ARNs are `groups`."""
    return {
        **brief(view, one),
        "dns_name": one.dns_name,
        "local_name": local_name(one) if one.scheme == "internet-facing" else "",
        "vpc": one.vpc_id,
        "security_groups": list(one.groups),
        "unplanned": view.unplanned.get(one.arn, ""),
        "listeners": [_listener(view, each) for each in view.listeners.get(one.arn, ())],
    }


def brief(view: View, one: LoadBalancer) -> Facts:
    return {
        "arn": one.arn,
        "name": one.label,
        "account": one.account,
        "kind": one.lb_type,
        "scheme": one.scheme,
        "state": one.state,
        "reason": one.reason,
        "nodes": [node_facts(view, one, each) for each in nodes.wanted(one)],
        "ports": [f"{each.protocol}:{each.port}" for each in view.listeners.get(one.arn, ())],
        "groups": list(lookup.groups_of(view.shelf, one.arn)),
    }


def node_facts(view: View, balancer: LoadBalancer, one: Node) -> Facts:
    """`is_named`: names lead to it. `is_away`: its host is. `why`: its own words."""
    report = view.verdicts.report(one.place)
    return {
        "zone": one.zone,
        "subnet": one.subnet_id,
        "host": one.host_id or "",
        "is_away": bool(one.host_id) and one.host_id not in view.connected,
        "interface": one.eni_id or "",
        "address": one.private_ip or "",
        "public_address": one.public_ip or "",
        "serves": one.serves,
        "is_named": one in nodes.led_to(balancer),
        "why": "" if report is None else report.why,
    }


def counts(view: View, group: TargetGroup) -> dict[str, int]:
    """State -> targets."""
    return dict(Counter(state.state for state in _states(view, group).values()))


def group_facts(view: View, group: TargetGroup) -> Facts:
    """The worst of its targets first. `is_across`: load balancers whose nodes send to targets of all zones."""
    states, check = _states(view, group), group.check
    told = sorted(states.items(), key=lambda item: (_WORST_FIRST.index(item[1].state), item[0]))
    zones = {one.key: one.zone for one in group.targets}
    leading = _leading(view, group)
    return {
        "arn": group.arn,
        "name": group.label,
        "account": group.account,
        "protocol": group.protocol,
        "port": group.port,
        "vpc": group.vpc_id,
        "check": {"protocol": check.protocol, "port": check.port, "path": check.path, "codes": group.matcher or ""},
        "counts": dict(Counter(state.state for state in states.values())),
        "targets": [_target(key, zones[key], state) for key, state in told[:TARGETS_MAX]],
        "balancers": [one.arn for one in leading],
        "is_across": [one.arn for one in leading if is_across(one, group)],
    }


def has_healthy(view: View, group: TargetGroup) -> bool:
    leading = _leading(view, group)
    return any(state_of(group, one, leading, view.verdicts).state == HEALTHY for one in group.targets)


def certificate_facts(view: View, listener: Listener) -> list[Facts]:
    """`not_after`: epoch seconds; None for one that is gone. `is_own`: the region's authority renews it."""
    found = ((arn, view.certificate(arn)) for arn in dict.fromkeys(listener.certificates))
    return [
        {
            "arn": arn,
            "domain": "" if one is None else one.facts.domain,
            "not_after": None if one is None else one.facts.not_after,
            "is_own": one is not None and one.origin != IMPORTED,
        }
        for arn, one in found
    ]


def _leading(view: View, group: TargetGroup) -> list[LoadBalancer]:
    found = (lookup.find_balancer(view.shelf, arn) for arn in view.leading.get(group.arn, ()))
    return [one for one in found if one is not None]


def _states(view: View, group: TargetGroup) -> dict[str, State]:
    return states_of(group, _leading(view, group), view.verdicts)


def _target(key: str, zone: str, state: State) -> Facts:
    address, _, port = key.rpartition(":")
    said = {"state": state.state, "reason": state.reason, "description": state.description}
    return {"address": address, "port": int(port), "zone": zone, **said}


def _listener(view: View, one: Listener) -> Facts:
    rules = lookup.rules_of(view.shelf, one.arn)
    told = [_rule(str(each.priority), each.conditions, each.actions) for each in rules[:RULES_MAX]]
    return {
        "arn": one.arn,
        "port": one.port,
        "protocol": one.protocol,
        "rules": [*told, _rule("default", (), one.default)],
        "more_rules": max(0, len(rules) - RULES_MAX),
        "ends_tls": one.protocol in ENDS_TLS,
        "certificates": certificate_facts(view, one),
    }


def _rule(priority: str, conditions: Sequence[Condition], actions: Sequence[Action]) -> Facts:
    """`says`: what it answers by itself, where it does not forward."""
    action = actions[-1]
    groups = [{"group": one.arn, "weight": one.weight} for one in action.groups]
    when = " and ".join(map(_condition, conditions))
    return {"priority": priority, "when": when, "groups": groups, "says": _answer(action)}


def _condition(one: Condition) -> str:
    pairs = (f"{key}={value}" if key else value for key, value in one.pairs)
    return " ".join(filter(None, (one.field, one.name, " or ".join((*one.values, *pairs)))))


def _answer(action: Action) -> str:
    if action.fixed:
        return f"answers {dict(action.fixed)['StatusCode']}"
    if not action.redirect:
        return ""
    said = dict(action.redirect)
    return f"redirects to {said['Protocol']}://{said['Host']}:{said['Port']}{said['Path']}"
