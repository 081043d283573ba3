"""What the service scheduler decides on, and what it decides: frozen inputs, `now` included, and a plan of named sets.

Owns these types only. Must not know tables, hosts or protocols. Invariant: a plan says everything that the write which
carries it out makes durable, so that deciding twice on the same state does the same thing twice, or nothing.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class RolloutState(StrEnum):
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class ServiceStatus(StrEnum):
    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"
    INACTIVE = "INACTIVE"


class ContainerHealth(StrEnum):
    """Of a task: NONE when no container of it has a check."""

    NONE = "NONE"
    UNKNOWN = "UNKNOWN"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"


class TargetHealth(StrEnum):
    """Of a task in the target groups of its deployment, the worst of them: NONE when that has none."""

    NONE = "NONE"
    INITIAL = "INITIAL"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    DRAINING = "DRAINING"
    UNUSED = "UNUSED"


class ServiceTask(Struct, frozen=True, kw_only=True):
    """A task of the service that lives, or that stopped and was not counted yet. Times are epoch seconds.

    `retires_by`: what is below it is to go, and another takes its place; a protection holds no longer than that. None:
    it stays.
    """

    task_id: str
    deployment_id: str
    zone: str
    last_status: str  # a LastStatus
    desired_status: str  # a DesiredStatus
    created_at: float
    running_since: float | None = None  # None: it never was RUNNING
    container_health: ContainerHealth = ContainerHealth.NONE
    target_health: TargetHealth = TargetHealth.NONE
    protected_until: float | None = None
    retires_by: float | None = None
    stop_code: str | None = None  # a StopCode
    stopped_reason: str | None = None
    stopped_at: float | None = None
    # Where `target_health` is the worst: the group's ARN, the container's port, and why.
    target_group: str | None = None
    target_port: int = 0
    target_reason: str = ""

    @property
    def is_live(self) -> bool:
        return self.last_status != "STOPPED"

    @property
    def is_wanted(self) -> bool:
        """Lives, and nobody has asked it to stop: what the limits of a deployment count."""
        return self.is_live and self.desired_status == "RUNNING"


class Threshold(Struct, frozen=True, kw_only=True):
    """Of the circuit breaker. `value`: a count, or per cent of the desired count."""

    kind: str = "BOUNDED_PERCENT"  # COUNT, BOUNDED_PERCENT (3 to 200), UNBOUNDED_PERCENT
    value: int = 50


class Breaker(Struct, frozen=True, kw_only=True):
    enable: bool = False
    rollback: bool = False
    threshold: Threshold = Threshold()
    reset_on_healthy_task: bool = True


class Deployment(Struct, frozen=True, kw_only=True):
    """One deployment that still has tasks, or is the PRIMARY: the newest, or the one that is rolled back to. The others
    are ACTIVE.

    `failed_tasks`: DescribeServices' failedTasks, which the breaker counts; `healthy_when_failed`: how many of its
    tasks were healthy when the last of them was counted. `start_failures`: rounds of starts in a row in which a task
    stopped before it was RUNNING, which the back-off counts; no task is started before `retry_at`. One that FAILED
    starts none at all, and is left out no earlier than at `retry_at`: others should see it.
    """

    deployment_id: str
    revision: str  # ARN of the service revision
    created_at: float
    is_primary: bool
    rollout_state: RolloutState = RolloutState.IN_PROGRESS
    rollout_state_reason: str = ""
    failed_tasks: int = 0
    healthy_when_failed: int = 0
    start_failures: int = 0
    retry_at: float | None = None
    impaired_told: bool = False  # "is unable to consistently start tasks successfully." was said of it
    is_rollback: bool = False  # the breaker made it the PRIMARY: it does not roll back again


class Service(Struct, frozen=True, kw_only=True):
    """One service, its deployments (the PRIMARY first, then newest first) and its tasks.

    `desired_count` is 0 while the service drains. `zones`: of the PRIMARY's subnets. `is_steady`: its steady state was
    told since anything last changed. `rebalancing`: tasks beyond the desired count are there to take the place of
    others in fuller zones. `told`: message -> when it was told last, of those that are not repeated. `rollback_to`: the
    revision of the last deployment that was COMPLETED, None when there is none.
    """

    name: str
    status: ServiceStatus
    desired_count: int
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    breaker: Breaker = Breaker()
    grace_period_s: int = 0
    zones: tuple[str, ...]
    zone_rebalancing: bool = False
    deployments: tuple[Deployment, ...]
    tasks: tuple[ServiceTask, ...]
    is_steady: bool = False
    rebalancing: bool = False
    told: Mapping[str, float] = {}
    rollback_to: str | None = None
    now: float


class Start(Struct, frozen=True, kw_only=True):
    """`count` more tasks of this deployment, spread by the launch itself over the zones: where the fewest wanted tasks
    of the same deployment are. With `zone` there only, and for the sake of balance. `replaces`: how many of them are
    there because a task is unhealthy; both are said by the event of the start."""

    deployment_id: str
    count: int
    zone: str | None = None
    replaces: int = 0


class Stop(Struct, frozen=True, kw_only=True):
    """A task to stop, with code ServiceSchedulerInitiated. `why`: its stoppedReason."""

    task_id: str
    why: str


class ServicePlan(Struct, frozen=True, kw_only=True):
    """What is to be done now. All but the starts is made durable in one write; the starts are made against the state
    that this write leaves.

    `deployments`: as they become, the PRIMARY first; one that is left out is INACTIVE from now on. `counted`: tasks
    that stopped and are part of these counts now. `rollback_to`: a revision that a new deployment is to be made of,
    since none of it is left; the events of that, and of the starts, are told by whoever makes them.
    `wake_at`: when the decision is asked for again at the latest, though nothing happened; None: not before something
    happens.
    """

    starts: tuple[Start, ...] = ()
    stops: tuple[Stop, ...] = ()
    counted: tuple[str, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    rollback_to: str | None = None
    events: tuple[str, ...] = ()  # messages, whole, in the order of their happening
    status: ServiceStatus
    is_steady: bool = False
    rebalancing: bool = False
    told: Mapping[str, float] = {}
    wake_at: float | None = None
