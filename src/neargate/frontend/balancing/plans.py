"""What the hosts of a load balancer's nodes must know of it. Pure: a shelf and certificates with keys in, a plan out.

Must not know hosts or links. Invariants: of one shelf, plans differ only where something a node does differs; what is
shown by the API alone is in none; no more targets are in one than a host takes, since of those that drain the ones that
have drained longest are left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from ...model.balancing import (
    BalancerPlan,
    FixedResponse,
    Forward,
    PlannedAction,
    PlannedCertificate,
    PlannedGroup,
    PlannedListener,
    PlannedNode,
    PlannedRule,
    PlannedTarget,
    Redirect,
    Stickiness,
    WeightedGroup,
)
from ..network.nodes import balancer_nodes as nodes
from ..regional.shelves import Shelf
from . import access_logs, lookup
from .actions import FIXED, FORWARD
from .attributes import of_balancer, of_group
from .limits import PLANNED_TARGETS_MAX
from .listener_attributes import IDLE_TIMEOUT, of_listener
from .listeners import ENDS_TLS
from .objects import Action, Listener, LoadBalancer, Node, Target, TargetGroup

Certificates = Callable[[str], PlannedCertificate | None]
# Attributes of load balancers that change what nodes do with packets.
_TOLD = ("idle_timeout.timeout_seconds", "client_keep_alive.seconds")
_TOLD_BEFORE = ("routing.http",)
_CROSS_ZONE = "load_balancing.cross_zone.enabled"
_TRUE = "true"


def balancer_plan(shelf: Shelf, balancer: LoadBalancer, certificates: Certificates, generation: int) -> BalancerPlan:
    """`certificates`: by ARN. Who calls keeps the generation of a plan that says the same as the one before."""
    said = of_balancer(balancer)
    cross_zone = said[_CROSS_ZONE] == _TRUE
    groups = [one for arn in lookup.groups_of(shelf, balancer.arn) if (one := shelf.find(TargetGroup, arn)) is not None]
    listeners = (_listener(shelf, one, certificates) for one in lookup.listeners_of(shelf, balancer.arn))
    return BalancerPlan(
        arn=balancer.arn,
        vpc_id=balancer.vpc_id,
        name=balancer.label,
        kind=balancer.lb_type,
        generation=generation,
        nodes=tuple(_node(one) for one in nodes.there(balancer)),
        listeners=tuple(filter(_can_listen, listeners)),
        groups=tuple(_group(one, cross_zone) for one in _bounded(groups)),
        attributes=tuple(
            (key, value) for key, value in sorted(said.items()) if key in _TOLD or key.startswith(_TOLD_BEFORE)
        ),
        cross_zone=cross_zone,
        access_log=access_logs.name_of(balancer),
    )


def _bounded(groups: Sequence[TargetGroup]) -> Iterator[TargetGroup]:
    """How many may be registered the API sees to."""
    more = sum(len(group.targets) for group in groups) - PLANNED_TARGETS_MAX
    if more <= 0:
        yield from groups
        return
    since = sorted(one.draining_since for group in groups for one in group.targets if one.draining_since is not None)
    last = since[min(more, len(since)) - 1] if since else 0.0
    for group in groups:
        kept = (one for one in group.targets if one.draining_since is None or one.draining_since > last)
        yield replace(group, targets=tuple(kept))


def _node(one: Node) -> PlannedNode:
    return PlannedNode(
        place=one.place,
        eni_id=one.eni_id or "",
        zone=one.zone,
        private_ipv4=one.private_ip or "",
        public_ipv4=one.public_ip,
        host_id=one.host_id or "",
    )


def _can_listen(one: PlannedListener) -> bool:
    """One that ends TLS and whose certificates have all gone would keep the others from beginning."""
    return bool(one.certificates) or one.protocol not in ENDS_TLS


def _listener(shelf: Shelf, one: Listener, certificates: Certificates) -> PlannedListener:
    shown = (certificates(arn) for arn in dict.fromkeys(one.certificates))
    return PlannedListener(
        arn=one.arn,
        port=one.port,
        protocol=one.protocol,
        default=_action(one.default),
        rules=tuple(
            PlannedRule(priority=rule.priority, conditions=rule.conditions, action=_action(rule.actions))
            for rule in lookup.rules_of(shelf, one.arn)
        ),
        certificates=tuple(found for found in shown if found is not None),
        ssl_policy=one.ssl_policy or "",
        alpn="" if one.alpn in (None, "None") else one.alpn,
        idle_timeout_s=float(of_listener(one).get(IDLE_TIMEOUT, "350")),
    )


def _action(actions: Sequence[Action]) -> PlannedAction:
    """The one that answers or forwards: no other kind is kept."""
    action = actions[-1]
    if action.kind == FORWARD:
        groups = tuple(WeightedGroup(arn=one.arn, weight=one.weight) for one in action.groups)
        return Forward(groups=groups, stickiness_s=action.sticky_s if action.sticky else None)
    if action.kind == FIXED:
        said = dict(action.fixed)
        content_type = said.get("ContentType", "text/plain")
        return FixedResponse(code=int(said["StatusCode"]), content_type=content_type, body=said.get("MessageBody", ""))
    said = dict(action.redirect)
    return Redirect(
        code=int(said["StatusCode"].removeprefix("HTTP_")),
        protocol=said["Protocol"],
        host=said["Host"],
        port=said["Port"],
        path=said["Path"],
        query=said["Query"],
    )


def _group(one: TargetGroup, balancer_crosses: bool) -> PlannedGroup:
    said = of_group(one)
    crossing = said[_CROSS_ZONE]
    return PlannedGroup(
        arn=one.arn,
        protocol=one.protocol,
        version=one.version if one.protocol in ("HTTP", "HTTPS") else "",
        check=one.check,
        targets=tuple(_target(target) for target in one.targets),
        stickiness=_stickiness(said),
        algorithm=said.get("load_balancing.algorithm.type", "round_robin"),
        slow_start_s=int(said.get("slow_start.duration_seconds", "0")),
        deregistration_delay_s=int(said["deregistration_delay.timeout_seconds"]),
        cross_zone=crossing == _TRUE or (crossing != "false" and balancer_crosses),
        proxy_protocol_v2=said.get("proxy_protocol_v2.enabled") == _TRUE,
        ends_on_deregistration=said.get("deregistration_delay.connection_termination.enabled") == _TRUE,
        ends_when_unhealthy=said.get("target_health_state.unhealthy.connection_termination.enabled", _TRUE) == _TRUE,
    )


def _target(one: Target) -> PlannedTarget:
    zone = None if one.zone == "all" else one.zone
    return PlannedTarget(ip=one.ip, port=one.port, zone=zone, is_draining=one.draining_since is not None)


def _stickiness(said: Mapping[str, str]) -> Stickiness | None:
    if said["stickiness.enabled"] != _TRUE:
        return None
    kind = said["stickiness.type"]
    if kind == "source_ip":
        return Stickiness(kind=kind)
    cookie = said["stickiness.app_cookie.cookie_name"] if kind == "app_cookie" else ""
    return Stickiness(kind=kind, duration_s=int(said[f"stickiness.{kind}.duration_seconds"]), cookie=cookie)
