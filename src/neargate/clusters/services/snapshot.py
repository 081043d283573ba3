"""One service as the decision sees it, read with few statements; and its revisions, which never change, from memory.

Only reads. Invariant: a snapshot holds the `rev` that it was read under, and what is read after it may be newer but
never older: a decision that rests on a mixture is refused by the guard or is one that the next turn makes too.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.services import RevisionTemplate, ServiceNetworks
from ...interfaces.store import Row, Store
from ...model.capacity import SubnetView
from ...model.knobs import Knobs
from ...scheduling.services.state import (
    ContainerHealth,
    Deployment,
    RolloutState,
    Service,
    ServiceStatus,
    ServiceTask,
)
from ...world import World
from .records import breaker_of
from .tables import (
    DeploymentRow,
    Key,
    ServiceRow,
    ServiceState,
    deployments_of,
    service_of,
    templates_of,
)
from .target_rows import verdict_of

_TEMPLATES_MAX = 2_000
_TASKS = (
    "SELECT s.task, s.deployment, t.zone, t.last_status, t.desired_status, t.created_at, t.started_at, t.health, "
    "t.stop_code, t.stop_reason, t.stopped_at, p.until, s.target, r.due_at, "
    "EXISTS (SELECT 1 FROM spot WHERE task = s.task) "
    "FROM service_tasks s JOIN tasks t ON t.id = s.task LEFT JOIN protections p ON p.task = s.task "
    "LEFT JOIN retirements r ON r.task = s.task "
    "WHERE s.service = ? ORDER BY t.n"
)


class Snapshot(Struct, frozen=True, kw_only=True):
    """`deployments`: those that are not over, the PRIMARY first. `on_spot`: ids of tasks that are."""

    row: ServiceRow
    settings: Mapping[str, Any]
    remembered: ServiceState
    deployments: tuple[DeploymentRow, ...]
    templates: Mapping[str, RevisionTemplate]
    service: Service
    on_spot: frozenset[str]

    def template(self, deployment_id: str) -> RevisionTemplate:
        return next(self.templates[row.revision] for row in self.deployments if row.id == deployment_id)


class Templates:
    """Revisions that were asked for lately."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, RevisionTemplate] = {}

    async def of(self, arns: Sequence[str]) -> dict[str, RevisionTemplate]:
        """All of them are there: a revision outlives what is made of it."""
        wanted = dict.fromkeys(arns)
        known = {arn: self._known[arn] for arn in wanted if arn in self._known}
        found = await templates_of(self._store, [arn for arn in wanted if arn not in known])
        if len(self._known) + len(found) > _TEMPLATES_MAX:
            self._known.clear()
        self._known |= found
        known |= found
        return {arn: known[arn] for arn in wanted}


class Snapshots:
    def __init__(
        self, world: World, store: Store, knobs: Knobs, networks: ServiceNetworks, templates: Templates
    ) -> None:
        self._world = world
        self._knobs = knobs
        self._store = store
        self._networks = networks
        self._templates = templates
        self._ahead: dict[int, dict[str, float]] = {}  # service -> tasks that began in the future, and since when

    async def of(self, key: Key) -> Snapshot | None:
        """None when there is no such service, or it is over."""
        row = await service_of(self._store, key)
        if row is None:
            return None
        if row.status == ServiceStatus.INACTIVE:
            self._ahead.pop(row.n, None)
            return None
        deployments = await deployments_of(self._store, row.n)
        templates = await self._templates.of([deployment.revision for deployment in deployments])
        tasks = await self._store.read(_TASKS, (row.n,))
        settings, remembered = row.settings(), row.remembered()
        primary = templates[deployments[0].revision]
        zones = {subnet.zone for subnet in self.subnets(row.account, primary)}
        now = self._world.now()
        seen = self._running_since(row.n, tasks, now)
        is_checked = {d.id: _is_checked(templates[d.revision]) for d in deployments}
        return Snapshot(
            row=row,
            settings=settings,
            remembered=remembered,
            deployments=tuple(deployments),
            templates=templates,
            service=_service(
                row,
                settings,
                remembered,
                zones=tuple(sorted(zones)),
                deployments=tuple(_due(deployment.decided, now, self._knobs) for deployment in deployments),
                tasks=tuple(_task(task, seen[str(task[0])], is_checked.get(str(task[1]), False)) for task in tasks),
                now=now,
            ),
            on_spot=frozenset(str(task[0]) for task in tasks if task[-1]),
        )

    def _running_since(self, service: int, tasks: Sequence[Row], now: float) -> dict[str, float | None]:
        """Of each task. Its host's clock, or this one before it was set, may have been ahead: such a task runs since it
        was first seen so, else it would not be healthy before that time has come."""
        since: dict[str, float | None] = {str(task[0]): task[6] for task in tasks}
        known, now_monotonic = self._ahead.pop(service, {}), self._world.monotonic()
        ahead = {i: known.get(i, now_monotonic) for i, began in since.items() if began is not None and began > now}
        if ahead:
            self._ahead[service] = ahead
        return since | {i: now - (now_monotonic - first) for i, first in ahead.items()}

    def subnets(self, account: str, template: RevisionTemplate) -> tuple[SubnetView, ...]:
        """Those of the revision's network that are still there."""
        return self._networks.subnets(account, template.network.get("subnets") or ())


def _service(
    row: ServiceRow,
    settings: Mapping[str, Any],
    remembered: ServiceState,
    *,
    zones: tuple[str, ...],
    deployments: tuple[Deployment, ...],
    tasks: tuple[ServiceTask, ...],
    now: float,
) -> Service:
    configuration = settings.get("deploymentConfiguration") or {}
    return Service(
        name=row.name,
        status=ServiceStatus(row.status),
        desired_count=row.desired if row.status == ServiceStatus.ACTIVE else 0,
        minimum_healthy_percent=_or(configuration.get("minimumHealthyPercent"), 100),
        maximum_percent=_or(configuration.get("maximumPercent"), 200),
        breaker=breaker_of(settings),
        grace_period_s=settings.get("healthCheckGracePeriodSeconds") or 0,
        zones=zones,
        zone_rebalancing=settings.get("availabilityZoneRebalancing") == "ENABLED",
        deployments=deployments,
        tasks=tasks,
        is_steady=remembered.is_steady,
        rebalancing=remembered.rebalancing,
        told=remembered.told,
        rollback_to=remembered.completed,
        now=now,
    )


def _due(deployment: Deployment, now: float, knobs: Knobs) -> Deployment:
    """A wait that is longer than any comes of a clock that was set back: it is over."""
    is_failed = deployment.rollout_state is RolloutState.FAILED
    longest_s = knobs.service_failed_shown_s if is_failed else knobs.service_back_off_max_s
    if deployment.retry_at is None or deployment.retry_at <= now + longest_s:
        return deployment
    return replace(deployment, retry_at=now)


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _task(row: Row, running_since: float | None, is_checked: bool) -> ServiceTask:
    task, deployment, zone, last, desired, created, _, health, code, reason, stopped, until, target, retires_by, _ = row
    verdict = verdict_of(target)
    return ServiceTask(
        task_id=task,
        deployment_id=deployment,
        zone=zone,
        last_status=last,
        desired_status=desired,
        created_at=created,
        running_since=running_since,
        container_health=ContainerHealth(health or "UNKNOWN") if is_checked else ContainerHealth.NONE,
        protected_until=until,
        retires_by=retires_by,
        target_health=verdict.health,
        target_group=verdict.group,
        target_port=verdict.port,
        target_reason=verdict.reason,
        stop_code=code,
        stopped_reason=reason,
        stopped_at=stopped,
    )


def _is_checked(template: RevisionTemplate) -> bool:
    """Whether any container whose end ends the task has a check."""
    return any(
        container.get("essential", True)
        and container.get("healthCheck") is not None
        and container["healthCheck"]["command"][0] != "NONE"
        for container in template.definition["containerDefinitions"]
    )
