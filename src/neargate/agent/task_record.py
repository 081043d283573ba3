"""What a host knows of one task, as a value: saved in the local state, reported to the cell.

Owns the shape and its translation into a `TaskReport`. Must not know how anything is done. Invariant: `report_seq` of a
task only grows, also when the local state was lost: it is at least the wall clock in milliseconds.
"""

from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from ..model.launch import ContainerReport, MemoryAtKill, TaskLaunch, TaskReport
from ..model.lifecycle import REASON_MAX_CHARS, LastStatus

_REASONS = frozenset({"reason", "stopped_reason"})


class Phase(StrEnum):
    """Which part of the runner's program the task is in; it only moves down this list."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class ContainerRecord(Struct, frozen=True, kw_only=True):
    """`known_status`: PENDING, RUNNING, STOPPED. A container that was given up is STOPPED without `started_at`."""

    name: str
    runtime_id: str
    known_status: str = "PENDING"
    image_digest: str | None = None
    stop_signal: str = ""
    exit_code: int | None = None
    reason: str | None = None
    health_status: str = "UNKNOWN"
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    log_bytes_dropped: int = 0
    memory_at_kill: MemoryAtKill | None = None
    restart_count: int = 0
    restarting: bool = False  # decided and durable; done when it is false again
    restarted_at: float | None = None  # when its run of now began; None: it is the first
    ended_at: float | None = None  # when the run before ended, and with what, as the engine told
    ended_with: int | None = None

    @property
    def is_stopped(self) -> bool:
        return self.known_status == "STOPPED"


class TaskRecord(Struct, frozen=True, kw_only=True):
    """One task on this host. Times are epoch seconds."""

    launch: TaskLaunch
    phase: Phase = Phase.STARTING
    known_status: str = LastStatus.PROVISIONING.value
    report_seq: int = 0
    containers: tuple[ContainerRecord, ...] = ()
    accepted_at: float = 0.0
    eni_attached: bool = False
    connectivity_at: float | None = None
    pull_started_at: float | None = None
    pull_stopped_at: float | None = None
    started_at: float | None = None
    stopping_at: float | None = None
    execution_stopped_at: float | None = None
    stopped_at: float | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    kill_at_once: bool = False  # it stops without a grace: what it would do with one is the harm
    stages_ms: dict[str, float] = field(default_factory=dict)
    # What a container must name to get its role's credentials; empty for tasks without a task role.
    credentials_id: str = ""
    # Found running without a record: the launch was rebuilt from labels and knows only what they say.
    adopted_from_labels: bool = False

    @property
    def task_id(self) -> str:
        return self.launch.task_id

    def container(self, name: str) -> ContainerRecord:
        return next(container for container in self.containers if container.name == name)

    def with_container(self, name: str, **changes: Any) -> "TaskRecord":
        containers = tuple(
            replace(container, **changes) if container.name == name else container for container in self.containers
        )
        return replace(self, containers=containers)

    def next_seq(self, now: float) -> int:
        return max(self.report_seq + 1, int(now * 1000))


def bounded_reasons(fields: dict[str, Any]) -> dict[str, Any]:
    """Members as they may enter a record: names in an image or a registry's answer can make a reason of any length."""
    return {
        name: value[:REASON_MAX_CHARS] if name in _REASONS and isinstance(value, str) else value
        for name, value in fields.items()
    }


def report_of(record: TaskRecord) -> TaskReport:
    """The full known state, as sent over the link."""
    return TaskReport(
        task_id=record.task_id,
        incarnation=record.launch.incarnation,
        capacity_id=record.launch.capacity_id,
        report_seq=record.report_seq,
        known_status=record.known_status,
        eni_attached=record.eni_attached,
        containers=tuple(_container_report(container) for container in record.containers),
        pull_started_at=record.pull_started_at,
        pull_stopped_at=record.pull_stopped_at,
        connectivity_at=record.connectivity_at,
        started_at=record.started_at,
        stopping_at=record.stopping_at,
        execution_stopped_at=record.execution_stopped_at,
        stopped_at=record.stopped_at,
        stop_code=record.stop_code,
        stopped_reason=record.stopped_reason,
        stages_ms=dict(record.stages_ms),
    )


def _container_report(container: ContainerRecord) -> ContainerReport:
    return ContainerReport(
        name=container.name,
        known_status=container.known_status,
        runtime_id=container.runtime_id,
        image_digest=container.image_digest,
        exit_code=container.exit_code,
        reason=container.reason,
        health_status=container.health_status,
        created_at=container.created_at,
        started_at=container.started_at,
        finished_at=container.finished_at,
        log_bytes_dropped=container.log_bytes_dropped,
        memory_at_kill=container.memory_at_kill,
    )
