"""What is wrong with load balancers, as `neargate doctor` reports it: an account's records in, troubles out. Pure.

A trouble is JSON-ready members: `kind`, one of KINDS, and what its sentence (balancing/findings.py) names. Owns what
counts as one; must not know sentences.
"""

from collections.abc import Iterator

from ...frontend.balancing.objects import FAILED, LoadBalancer, TargetGroup
from ...frontend.network.nodes import balancer_nodes as nodes
from ...frontend.network.records.balancers import balancers
from .facts import Facts, View, certificate_facts, counts, has_healthy, node_facts

KINDS = (
    "failed",
    "unplanned",
    "no-host",
    "away",
    "not-serving",
    "kept-back",
    "no-certificate",
    "expired",
    "expires",
    "no-target",
    "no-healthy-target",
)
EXPIRES_SOON_S = 14 * 86_400.0  # what is renewed here is renewed long before


def troubles(view: View, now: float) -> Iterator[Facts]:
    """Of all of an account's load balancers, and of the target groups that they lead to."""
    for one in balancers(view.shelf):
        yield from (_named(one, trouble) for trouble in _of_balancer(view, one, now))
    for group in view.shelf.all(TargetGroup):
        leading = view.leading.get(group.arn, ())
        if leading and not has_healthy(view, group):
            kind = "no-healthy-target" if group.targets else "no-target"
            yield {"kind": kind, "group": group.label, "arn": group.arn, "counts": counts(view, group)}


def _named(balancer: LoadBalancer, trouble: Facts) -> Facts:
    return {"name": balancer.label, "arn": balancer.arn, **trouble}


def _of_balancer(view: View, one: LoadBalancer, now: float) -> Iterator[Facts]:
    if one.state == FAILED:
        yield {"kind": "failed", "why": one.reason}
        return
    if one.arn in view.unplanned:
        yield {"kind": "unplanned", "why": view.unplanned[one.arn]}
    for node in nodes.wanted(one):
        kind = _of_node(facts := node_facts(view, one, node))
        if kind:
            yield {"kind": kind, **{name: facts[name] for name in ("zone", "host", "why")}}
    for listener in view.listeners.get(one.arn, ()):
        yield from _of_certificates(certificate_facts(view, listener), listener.port, now)


def _of_node(node: Facts) -> str:
    """Its kind, if it has one."""
    if not node["interface"]:
        return "no-host"
    if node["is_away"]:
        return "away"
    if node["why"]:
        return "kept-back" if node["serves"] else "not-serving"
    return ""


def _of_certificates(certificates: list[Facts], port: int, now: float) -> Iterator[Facts]:
    for one in certificates:
        told = {"port": port, "certificate": one["arn"], "domain": one["domain"], "not_after": one["not_after"]}
        if one["not_after"] is None:
            yield {"kind": "no-certificate", **told}
        elif one["not_after"] < now:
            yield {"kind": "expired", **told, "is_own": one["is_own"]}
        elif one["not_after"] < now + EXPIRES_SOON_S:
            yield {"kind": "expires", **told, "is_own": one["is_own"]}
