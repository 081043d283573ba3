"""The task's lifecycle as a table: `(status, input) -> status`. A pair that is missing is an error, never ignored.

`LastStatus` is the last reported fact, `desired_status` the intent. The agent reports a known status; a report may
skip statuses (it is level-triggered), and `walk` gives each status passed on the way, since each of them is an event.
"""

from enum import StrEnum

REASON_MAX_CHARS = 1024  # of why a task stopped or a container ended: AWS cuts its sentences here


class LastStatus(StrEnum):
    PROVISIONING = "PROVISIONING"
    PENDING = "PENDING"
    ACTIVATING = "ACTIVATING"
    RUNNING = "RUNNING"
    DEACTIVATING = "DEACTIVATING"
    STOPPING = "STOPPING"
    DEPROVISIONING = "DEPROVISIONING"
    STOPPED = "STOPPED"


class DesiredStatus(StrEnum):
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"


class TaskInput(StrEnum):
    """What can happen to a task."""

    ENI_ATTACHED = "ENI_ATTACHED"
    CONTAINERS_STARTED = "CONTAINERS_STARTED"
    ACTIVATED = "ACTIVATED"
    STOP_BEGUN = "STOP_BEGUN"
    DEREGISTERED = "DEREGISTERED"
    CONTAINERS_STOPPED = "CONTAINERS_STOPPED"
    RELEASED = "RELEASED"


class StopCode(StrEnum):
    TASK_FAILED_TO_START = "TaskFailedToStart"
    ESSENTIAL_CONTAINER_EXITED = "EssentialContainerExited"
    USER_INITIATED = "UserInitiated"
    SERVICE_SCHEDULER_INITIATED = "ServiceSchedulerInitiated"
    SPOT_INTERRUPTION = "SpotInterruption"
    TERMINATION_NOTICE = "TerminationNotice"
    INFRASTRUCTURE_HEALTH = "InfrastructureHealth"


_S = LastStatus
_I = TaskInput

TASK_TRANSITIONS: dict[tuple[LastStatus, TaskInput], LastStatus] = {
    # bringing up
    (_S.PROVISIONING, _I.ENI_ATTACHED): _S.PENDING,
    (_S.PENDING, _I.CONTAINERS_STARTED): _S.ACTIVATING,
    (_S.ACTIVATING, _I.ACTIVATED): _S.RUNNING,
    # a stop may begin in any phase of bringing up; what was never started needs no SIGTERM but passes the same way
    (_S.PROVISIONING, _I.STOP_BEGUN): _S.DEPROVISIONING,
    (_S.PENDING, _I.STOP_BEGUN): _S.DEACTIVATING,
    (_S.ACTIVATING, _I.STOP_BEGUN): _S.DEACTIVATING,
    (_S.RUNNING, _I.STOP_BEGUN): _S.DEACTIVATING,
    # taking down
    (_S.DEACTIVATING, _I.DEREGISTERED): _S.STOPPING,
    (_S.STOPPING, _I.CONTAINERS_STOPPED): _S.DEPROVISIONING,
    (_S.DEPROVISIONING, _I.RELEASED): _S.STOPPED,
}


class IllegalTransition(Exception):
    """A programmer's error or a hostile report: the pair is not in the table."""


def next_status(status: LastStatus, given: TaskInput) -> LastStatus:
    try:
        return TASK_TRANSITIONS[status, given]
    except KeyError:
        raise IllegalTransition(f"{status} cannot take {given}") from None


_ORDER = {status: rank for rank, status in enumerate(LastStatus)}


def is_later(status: LastStatus, than: LastStatus) -> bool:
    """The chain only moves forward; a task never goes back."""
    return _ORDER[status] > _ORDER[than]


def walk(status: LastStatus, target: LastStatus) -> list[LastStatus]:
    """The statuses passed from `status` (exclusive) to `target` (inclusive) by the shortest legal way.

    Empty when the target is the present status or an earlier one (an old report is not an error).
    """
    return [] if not is_later(target, status) else _ways(status)[target]


def _ways(start: LastStatus) -> dict[LastStatus, list[LastStatus]]:
    """Breadth first over the table: the shortest path to each status that can be reached."""
    ways: dict[LastStatus, list[LastStatus]] = {start: []}
    frontier = [start]
    while frontier:
        at = frontier.pop(0)
        for (status, _), reached in TASK_TRANSITIONS.items():
            if status is at and reached not in ways:
                ways[reached] = [*ways[at], reached]
                frontier.append(reached)
    return ways
