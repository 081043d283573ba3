"""A task as a target of its deployment's groups: what is to be done about it now, and how its targets stand.

Pure. Owns the order of AWS's lifecycle around load balancers: containers run, the task becomes a target, it is RUNNING;
it is to stop, it is no target any more, what is in flight ends, and only then its containers are signalled. Must not
know tables or load balancers. Invariant: whoever ended by itself, or may not wait, waits for nothing.
"""

from collections.abc import Sequence
from enum import Enum

from msgspec import Struct

from ...model.balancing import DRAINING, HEALTHY, INITIAL, UNHEALTHY
from ...model.lifecycle import LastStatus, StopCode, is_later
from .state import TargetHealth

_NOT_ENABLED = "Availability Zone that is not enabled"  # of AWS's description: such a target counts as unhealthy
_HEALTH = {
    INITIAL: TargetHealth.INITIAL,
    HEALTHY: TargetHealth.HEALTHY,
    UNHEALTHY: TargetHealth.UNHEALTHY,
    DRAINING: TargetHealth.DRAINING,
}
_WORST_FIRST = (
    TargetHealth.UNHEALTHY,
    TargetHealth.DRAINING,
    TargetHealth.UNUSED,
    TargetHealth.INITIAL,
    TargetHealth.HEALTHY,
)
# A machine that goes, or room that is given back, does not wait for clients.
_DRAINS = frozenset({StopCode.USER_INITIATED.value, StopCode.SERVICE_SCHEDULER_INITIATED.value})


class Step(Enum):
    """What comes next for a task with targets."""

    NONE = "none"
    REGISTER = "register"  # its containers run: it becomes a target, then it is RUNNING
    DRAIN = "drain"  # it is to stop: it is no target any more, and its containers run on
    WAIT = "wait"  # for what its clients have under way
    SIGNAL = "signal"  # nothing of theirs is left: its host is told to stop it
    LEAVE = "leave"  # it ends already, or must: it is no target any more, and nothing is waited for


class TaskVerdict(Struct, frozen=True, kw_only=True):
    """How a task stands in its groups: the worst, and where that is."""

    health: TargetHealth
    group: str | None = None
    port: int = 0
    reason: str = ""


def next_step(last_status: str, desired_status: str, stop_code: str | None, *, is_over: bool) -> Step:
    """`is_over`: no group has anything of it any more, or the longest delay that there is has passed."""
    status = LastStatus(last_status)
    if is_later(status, LastStatus.DEACTIVATING):
        return Step.LEAVE
    if desired_status == "RUNNING":
        return Step.REGISTER if status is LastStatus.ACTIVATING else Step.NONE
    if stop_code not in _DRAINS or is_later(LastStatus.ACTIVATING, status):
        return Step.LEAVE
    if status is not LastStatus.DEACTIVATING:
        return Step.DRAIN
    return Step.SIGNAL if is_over else Step.WAIT


def health_of(state: str, description: str) -> TargetHealth:
    """`state`: as DescribeTargetHealth says it."""
    if _NOT_ENABLED in description:
        return TargetHealth.UNHEALTHY
    return _HEALTH.get(state, TargetHealth.UNUSED)


def worst(verdicts: Sequence[TaskVerdict], before: TaskVerdict) -> TaskVerdict:
    """Of a task's targets, one at least. `before`: what was known of it. A region that has begun again knows nothing
    until its load balancers have said it: who was healthy is healthy until it is said otherwise."""
    now = min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.health))
    is_kept = now.health is TargetHealth.INITIAL and before.health is TargetHealth.HEALTHY
    return before if is_kept else now
