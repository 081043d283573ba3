"""The named points of a launch and of a stop: where a test kills the agent, and what a reader may expect to be durable.

A point is reached *after* the thing it names took effect on the host. `reached` is a callback of the composition root;
production passes one that does nothing.
"""

from collections.abc import Callable
from enum import StrEnum


class Point(StrEnum):
    # a launch, in order
    ACCEPTED = "accepted"
    CGROUP_MADE = "cgroup-made"
    NAMESPACE_MADE = "namespace-made"
    ENI_ATTACHED = "eni-attached"
    DISK_MADE = "disk-made"
    IMAGES_PULLED = "images-pulled"
    SECRETS_HELD = "secrets-held"
    LOGS_OPENED = "logs-opened"
    CREDENTIALS_HELD = "credentials-held"
    DISK_CHARGED = "disk-charged"
    VOLUMES_MADE = "volumes-made"
    ETC_WRITTEN = "etc-written"
    FILES_GIVEN = "files-given"
    PAUSE_STARTED = "pause-started"
    CONTAINER_CREATED = "container-created"
    FIRST_CREATED = "first-created"
    CONTAINER_STARTED = "container-started"
    CONTAINERS_STARTED = "containers-started"
    RUNNING_SAVED = "running-saved"
    # a container ends and begins again
    RESTART_SAVED = "restart-saved"
    CONTAINER_RESTARTED = "container-restarted"
    # a container ends
    EXIT_SEEN = "exit-seen"
    EXIT_SAVED = "exit-saved"
    # a stop, in order
    STOP_SAVED = "stop-saved"
    TERM_SENT = "term-sent"
    KILL_SENT = "kill-sent"
    CONTAINERS_STOPPED = "containers-stopped"
    CONTAINERS_DELETED = "containers-deleted"
    FIRST_DELETED = "first-deleted"
    PAUSE_DELETED = "pause-deleted"
    FILES_REMOVED = "files-removed"
    ETC_REMOVED = "etc-removed"
    VOLUMES_REMOVED = "volumes-removed"
    CHARGE_REMOVED = "charge-removed"
    CREDENTIALS_REMOVED = "credentials-removed"
    LOGS_DRAINED = "logs-drained"
    SECRETS_FORGOTTEN = "secrets-forgotten"
    IMAGES_RELEASED = "images-released"
    DISK_DELETED = "disk-deleted"
    ENI_DETACHED = "eni-detached"
    NAMESPACE_DELETED = "namespace-deleted"
    CGROUP_DELETED = "cgroup-deleted"
    STOPPED_SAVED = "stopped-saved"


Reached = Callable[[Point, str], None]


def nothing(_point: Point, _task_id: str) -> None:
    """Production's answer to a reached point."""
