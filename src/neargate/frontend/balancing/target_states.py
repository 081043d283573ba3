"""What DescribeTargetHealth says of targets: what is kept of them with what nodes said of them, in AWS's words. Pure.

A target counts as healthy when all nodes that send it requests find it so: a node that has not seen it answer yet would
refuse requests that another one takes. Nodes that said nothing, or do not serve, are not asked.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from ...model.balancing import (
    CODE_MISMATCH,
    DEREGISTERING,
    DRAINING,
    FAILED_CHECKS,
    HEALTHY,
    INITIAL,
    INITIAL_CHECKS,
    NOT_IN_USE,
    NOT_REGISTERED,
    REGISTRATION_IN_PROGRESS,
    TIMED_OUT,
    UNHEALTHY,
    UNUSED,
    TargetVerdict,
)
from ..network.nodes import balancer_nodes as nodes
from ..regional.shelves import Shelf
from . import attributes
from .health import Verdicts
from .lookup import find_balancer, users_of
from .objects import LoadBalancer, Target, TargetGroup
from .registration import ALL

CROSS_ZONE = "load_balancing.cross_zone.enabled"
_DESCRIPTIONS: Mapping[str, str] = {
    CODE_MISMATCH: "Health checks failed",
    DEREGISTERING: "Target deregistration is in progress",
    FAILED_CHECKS: "Health checks failed",
    INITIAL_CHECKS: "Initial health checks in progress",
    NOT_REGISTERED: "Target is not registered to the target group",
    REGISTRATION_IN_PROGRESS: "Target registration is in progress",
    TIMED_OUT: "Request timed out",
}
_NO_LISTENER = "Target group is not configured to receive traffic from the load balancer"
_NO_ZONE = "Target is in an Availability Zone that is not enabled for the load balancer"


class State(Struct, frozen=True, kw_only=True):
    """Of one target. `reason` and `description` are empty for a healthy one."""

    state: str
    reason: str = ""
    description: str = ""


NOT_A_TARGET = State(state=UNUSED, reason=NOT_REGISTERED, description=_DESCRIPTIONS[NOT_REGISTERED])
_UNLED = State(state=UNUSED, reason=NOT_IN_USE, description=_NO_LISTENER)
_ELSEWHERE = State(state=UNUSED, reason=NOT_IN_USE, description=_NO_ZONE)
_LEAVING = State(state=DRAINING, reason=DEREGISTERING, description=_DESCRIPTIONS[DEREGISTERING])


def states(shelf: Shelf, group: TargetGroup, verdicts: Verdicts) -> dict[str, State]:
    """Of all its targets, by key (`IP:PORT`)."""
    found = (find_balancer(shelf, arn) for arn in users_of(shelf, group.name))
    balancers = [one for one in found if one is not None]
    return {one.key: state_of(group, one, balancers, verdicts) for one in group.targets}


def state_of(group: TargetGroup, target: Target, balancers: list[LoadBalancer], verdicts: Verdicts) -> State:
    """`balancers`: those that lead to the group."""
    if target.draining_since is not None:
        return _LEAVING
    if not balancers:
        return _UNLED
    asked = [one for one in balancers if _reaches(one, target)]
    if not asked:
        return _ELSEWHERE
    places = {place for one in asked for place in _places(one, group, target)}
    said = dict(verdicts.of_target(group.name, target.key))
    heard = [said.get(one) for one in sorted(places) if _is_serving(verdicts, one)]
    return _together(heard)


def _together(heard: list[TargetVerdict | None]) -> State:
    """None: a node that serves, and does not know the target yet."""
    ill = next((one for one in heard if one is not None and one.state == UNHEALTHY), None)
    if ill is not None:
        reason = ill.reason or FAILED_CHECKS
        return State(state=UNHEALTHY, reason=reason, description=ill.detail or _DESCRIPTIONS.get(reason, ""))
    if not heard or any(one is None for one in heard):
        return _initial(REGISTRATION_IN_PROGRESS)
    if all(one is not None and one.state == HEALTHY for one in heard):
        return State(state=HEALTHY)
    return _initial(INITIAL_CHECKS)


def _initial(reason: str) -> State:
    return State(state=INITIAL, reason=reason, description=_DESCRIPTIONS[reason])


def is_across(balancer: LoadBalancer, group: TargetGroup) -> bool:
    """Whether nodes send requests to targets in other zones than their own."""
    own = attributes.of_group(group)[CROSS_ZONE]
    return (attributes.of_balancer(balancer)[CROSS_ZONE] if own not in ("true", "false") else own) == "true"


def _reaches(balancer: LoadBalancer, target: Target) -> bool:
    return target.zone == ALL or any(one.zone == target.zone for one in nodes.wanted(balancer))


def _places(balancer: LoadBalancer, group: TargetGroup, target: Target) -> Iterator[str]:
    """Of the nodes that send the target requests."""
    is_near = target.zone != ALL and not is_across(balancer, group)
    return (one.place for one in nodes.wanted(balancer) if not is_near or one.zone == target.zone)


def _is_serving(verdicts: Verdicts, place: str) -> bool:
    report = verdicts.report(place)
    return report is not None and report.is_serving
