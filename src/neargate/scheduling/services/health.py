"""Who counts as healthy: one word for each task, and the instant at which time alone would change it.

Owns the 40 seconds of tasks without a check, the grace period, and that container and target health both count. Must
not know deployments or limits. Invariant: `standing` changes by the passing of time only at `settles_at`.
"""

from enum import IntEnum

from ...model.knobs import Knobs
from .state import ContainerHealth, Service, ServiceTask, TargetHealth

_ON_THE_WAY = frozenset({"PROVISIONING", "PENDING", "ACTIVATING"})
_NOT_AGAINST = frozenset({ContainerHealth.NONE, ContainerHealth.HEALTHY})
_REGISTERED = frozenset({TargetHealth.HEALTHY, TargetHealth.DRAINING, TargetHealth.UNUSED})


class Standing(IntEnum):
    """In the order in which tasks are given up when there are too many."""

    UNHEALTHY = 0
    COMING = 1  # on its way to RUNNING
    SETTLING = 2  # RUNNING, and it does not count yet
    HEALTHY = 3
    LEAVING = 4  # asked to stop, or stopping by itself: no limit counts it, but its deployment has it still
    GONE = 5


def standing(task: ServiceTask, service: Service, knobs: Knobs) -> Standing:
    if task.last_status == "STOPPED":
        return Standing.GONE
    if task.desired_status != "RUNNING":
        return Standing.LEAVING
    if task.last_status != "RUNNING":
        return Standing.COMING if task.last_status in _ON_THE_WAY else Standing.LEAVING
    if is_failing(task):
        return Standing.UNHEALTHY if service.now >= _grace_ends(task, service) else Standing.SETTLING
    if _passes_checks(task):
        return Standing.HEALTHY
    if _has_check(task) or service.now < _proven_at(task, knobs):
        return Standing.SETTLING
    return Standing.HEALTHY


def settles_at(task: ServiceTask, service: Service, knobs: Knobs) -> float | None:
    """When a task that is SETTLING will be something else without anything happening to it; None: never by itself."""
    if is_failing(task):
        return _grace_ends(task, service)
    return None if _has_check(task) else _proven_at(task, knobs)


def is_failing(task: ServiceTask) -> bool:
    """A check of it says so now, the grace period apart."""
    return task.container_health is ContainerHealth.UNHEALTHY or task.target_health is TargetHealth.UNHEALTHY


def was_healthy(task: ServiceTask, service: Service, knobs: Knobs) -> bool:
    """Of a task that stopped: had it counted as healthy? By what is known of its end."""
    if task.running_since is None or is_failing(task):
        return False
    if task.target_health is not TargetHealth.NONE:  # one that was healthy may have left them by its end
        return task.target_health in _REGISTERED and task.container_health in _NOT_AGAINST
    if task.container_health is not ContainerHealth.NONE:
        return task.container_health is ContainerHealth.HEALTHY
    ended_at = service.now if task.stopped_at is None else task.stopped_at
    return ended_at >= _proven_at(task, knobs)


def _has_check(task: ServiceTask) -> bool:
    return task.target_health is not TargetHealth.NONE or task.container_health is not ContainerHealth.NONE


def _passes_checks(task: ServiceTask) -> bool:
    """It has one check at least, and each that it has is passed."""
    if task.container_health not in _NOT_AGAINST:
        return False
    if task.target_health is not TargetHealth.NONE:
        return task.target_health is TargetHealth.HEALTHY
    return task.container_health is ContainerHealth.HEALTHY


def _proven_at(task: ServiceTask, knobs: Knobs) -> float:
    return _running_since(task) + knobs.service_healthy_after_s


def _grace_ends(task: ServiceTask, service: Service) -> float:
    return _running_since(task) + service.grace_period_s


def _running_since(task: ServiceTask) -> float:
    """A report of RUNNING without its time: the task was made before it ran."""
    return task.created_at if task.running_since is None else task.running_since
