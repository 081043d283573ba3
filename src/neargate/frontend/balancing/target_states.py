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
    return states_of(group, [one for one in found if one is not None], verdicts)


def states_of(group: TargetGroup, balancers: list[LoadBalancer], verdicts: Verdicts) -> dict[str, State]:
    """As `states`. `balancers`: those that lead to the group. Who is asked is found once for each zone: there may be
    thousands of targets."""
    asked = {zone: _asked(group, zone, balancers, verdicts) for zone in {one.zone for one in group.targets}}
    return {one.key: _state(group, one, asked[one.zone], verdicts) for one in group.targets}


def state_of(group: TargetGroup, target: Target, balancers: list[LoadBalancer], verdicts: Verdicts) -> State:
    """`balancers`: those that lead to the group."""
    return _state(group, target, _asked(group, target.zone, balancers, verdicts), verdicts)


def _state(group: TargetGroup, target: Target, asked: State | list[str], verdicts: Verdicts) -> State:
    if target.draining_since is not None:
        return _LEAVING
    if isinstance(asked, State):
        return asked
    said = dict(verdicts.of_target(group.name, target.key))
    return _together([said.get(one) for one in asked])


def _asked(group: TargetGroup, zone: str, balancers: list[LoadBalancer], verdicts: Verdicts) -> State | list[str]:
    """Places of the nodes whose word counts for targets of a zone; or what these are, where nobody's does."""
    if not balancers:
        return _UNLED
    asked = [one for one in balancers if _reaches(one, zone)]
    if not asked:
        return _ELSEWHERE
    places = {place for one in asked for place in _places(one, group, zone)}
    return [one for one in sorted(places) if _is_serving(verdicts, one)]


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


def _reaches(balancer: LoadBalancer, zone: str) -> bool:
    return zone == ALL or any(one.zone == zone for one in nodes.wanted(balancer))


def _places(balancer: LoadBalancer, group: TargetGroup, zone: str) -> Iterator[str]:
    """Of the nodes that send targets of the zone requests."""
    is_near = zone != ALL and not is_across(balancer, group)
    return (one.place for one in nodes.wanted(balancer) if not is_near or one.zone == zone)


def _is_serving(verdicts: Verdicts, place: str) -> bool:
    report = verdicts.report(place)
    return report is not None and report.is_serving
