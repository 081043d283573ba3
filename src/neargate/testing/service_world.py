"""A small world for the service scheduler's decision: it carries plans out, and lets things happen to tasks.

Time moves only when it is told to. Invariant: every plan is checked against what the scheduler promises before it is
carried out (`Broken` says which promise it breaks).
"""

from collections import Counter

import msgspec

from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..scheduling.services import health, limits, messages
from ..scheduling.services.health import Standing
from ..scheduling.services.reconcile import changes, reconcile
from ..scheduling.services.state import (
    Breaker,
    ContainerHealth,
    Deployment,
    RolloutState,
    Service,
    ServicePlan,
    ServiceStatus,
    ServiceTask,
    TargetHealth,
)

_TURNS_MAX = 200
_STEPS_MAX = 400
_NO_BREAKER = Breaker()
_UNDECIDED = (TargetHealth.INITIAL, TargetHealth.UNUSED, TargetHealth.DRAINING)


class Broken(AssertionError):
    """A promise of the scheduler that a plan does not keep."""


class ServiceWorld:
    def __init__(
        self,
        desired_count: int = 2,
        minimum: int = 100,
        maximum: int = 200,
        zones: tuple[str, ...] = ("a", "b", "c"),
        *,
        breaker: Breaker = _NO_BREAKER,
        has_checks: bool = False,
        has_targets: bool = False,
        zone_rebalancing: bool = False,
        grace_period_s: int = 0,
        knobs: Knobs = DEFAULT_KNOBS,
    ) -> None:
        self.knobs = knobs
        self.has_checks = has_checks
        self.has_targets = has_targets  # tasks that are launched from now on
        self.full_zones: set[str] = set()
        self.events: list[str] = []
        self.plans = 0
        self._counted: set[str] = set()
        self._ids = 0
        self.service = Service(
            name="web",
            status=ServiceStatus.ACTIVE,
            desired_count=desired_count,
            minimum_healthy_percent=minimum,
            maximum_percent=maximum,
            breaker=breaker,
            grace_period_s=grace_period_s,
            zones=zones,
            zone_rebalancing=zone_rebalancing,
            deployments=(),
            tasks=(),
            now=1_000_000.0,
        )
        self.deploy()

    # what users do
    def deploy(self) -> str:
        """A new deployment of a new revision becomes the PRIMARY."""
        deployment = self._deployment(f"revision-{self._ids + 1}", is_rollback=False)
        self._put_primary(deployment)
        return deployment.deployment_id

    def change(self, **members: object) -> None:
        self.service = msgspec.structs.replace(self.service, **{"is_steady": False, **members})

    def delete(self) -> None:
        self.change(status=ServiceStatus.DRAINING, desired_count=0)

    # what happens to tasks
    def pass_time(self, seconds: float) -> None:
        self.service = msgspec.structs.replace(self.service, now=self.service.now + seconds)

    def update(self, task_id: str, **members: object) -> None:
        tasks = tuple(
            msgspec.structs.replace(task, **members) if task.task_id == task_id else task for task in self.service.tasks
        )
        self.service = msgspec.structs.replace(self.service, tasks=tasks)

    def run(self, task_id: str) -> None:
        health_now = ContainerHealth.UNKNOWN if self.has_checks else ContainerHealth.NONE
        self.update(task_id, last_status="RUNNING", running_since=self.service.now, container_health=health_now)

    def end(self, task_id: str, stop_code: str = "EssentialContainerExited", reason: str = "") -> None:
        """STOPPED, whatever the way. One that was asked to stop has its code and reason already."""
        task = self.task(task_id)
        self.update(
            task_id,
            last_status="STOPPED",
            desired_status="STOPPED",
            stop_code=task.stop_code or stop_code,
            stopped_reason=task.stopped_reason or reason,
            stopped_at=self.service.now,
        )

    # what is seen
    def task(self, task_id: str) -> ServiceTask:
        return next(task for task in self.service.tasks if task.task_id == task_id)

    def of(self, *standings: Standing, deployment_id: str | None = None) -> list[ServiceTask]:
        return [
            task
            for task in self.service.tasks
            if self.standing(task) in standings and deployment_id in (None, task.deployment_id)
        ]

    def standing(self, task: ServiceTask) -> Standing:
        return health.standing(task, self.service, self.knobs)

    @property
    def primary(self) -> Deployment:
        return next(deployment for deployment in self.service.deployments if deployment.is_primary)

    def rollout_state(self) -> RolloutState:
        return self.primary.rollout_state

    def status(self) -> ServiceStatus:
        return self.service.status

    # the loop
    def settle(self) -> ServicePlan:
        """Decides and does until nothing is left to do now. Returns the last plan."""
        for _ in range(_TURNS_MAX):
            plan = self.decide()
            if not changes(self.service, plan):
                return plan
            if not self.carry_out(plan) and not changes(
                self.service, msgspec.structs.replace(plan, starts=(), events=())
            ):
                return plan  # only starts that find no room
        raise Broken("the scheduler does not come to rest")

    def decide(self) -> ServicePlan:
        plan = reconcile(self.service, self.knobs)
        self.plans += 1
        check(self.service, plan, self.knobs)
        if self._counted.intersection(plan.counted):
            raise Broken("a stopped task is counted twice")
        return plan

    def carry_out(self, plan: ServicePlan) -> bool:
        """Whether anything of it found its way."""
        before = self.service
        stops = {stop.task_id: stop for stop in plan.stops}
        tasks = []
        for task in before.tasks:
            if stop := stops.get(task.task_id):
                task = msgspec.structs.replace(
                    task, desired_status="STOPPED", stop_code="ServiceSchedulerInitiated", stopped_reason=stop.why
                )
            if task.task_id not in plan.counted:
                tasks.append(task)
        self._counted.update(plan.counted)
        self.events += plan.events
        self.service = msgspec.structs.replace(
            before,
            tasks=tuple(tasks),
            deployments=plan.deployments,
            status=plan.status,
            is_steady=plan.is_steady,
            rebalancing=plan.rebalancing,
            told=plan.told,
            rollback_to=self._last_completed(plan),
        )
        if plan.rollback_to:
            deployment = self._deployment(plan.rollback_to, is_rollback=True)
            self._put_primary(deployment)
            self.events.append(messages.rolling_back(before.name, deployment.deployment_id))
        for start in plan.starts:
            placed = [self._launch(start.deployment_id, start.zone) for _ in range(start.count)]
            task_ids = [task_id for task_id in placed if task_id]
            if task_ids:
                self.events.append(messages.started(before.name, task_ids, start.replaces, start.zone))
        return self.service != before

    def converge(self, until: float | None = None) -> None:
        """In a friendly world: what is on its way comes up, what is asked to stop ends, time passes when it must, but
        not to `until`."""
        for _ in range(_STEPS_MAX):
            plan = self.settle()
            if self._help():
                continue
            if plan.wake_at is None or (until is not None and plan.wake_at >= until):
                return
            self.pass_time(plan.wake_at - self.service.now)
        raise Broken("the service does not come to rest")

    def _help(self) -> bool:
        helped = False
        for task in self.service.tasks:
            standing = self.standing(task)
            if standing is Standing.COMING:
                self.run(task.task_id)
            elif standing is Standing.SETTLING and task.container_health is ContainerHealth.UNKNOWN:
                self.update(task.task_id, container_health=ContainerHealth.HEALTHY)
            elif standing in (Standing.SETTLING, Standing.HEALTHY) and task.target_health in _UNDECIDED:
                self.update(task.task_id, target_health=TargetHealth.HEALTHY)
            elif standing is Standing.LEAVING:
                self.end(task.task_id)
            else:
                continue
            helped = True
        return helped

    def _launch(self, deployment_id: str, zone: str | None) -> str | None:
        open_zones = [each for each in self.service.zones if each not in self.full_zones and zone in (None, each)]
        if not open_zones:
            return None
        occupied = Counter(
            task.zone
            for task in self.service.tasks
            if task.is_wanted and task.retires_by is None and task.deployment_id == deployment_id
        )
        task = ServiceTask(
            task_id=f"task-{self._next_id()}",
            deployment_id=deployment_id,
            zone=min(open_zones, key=lambda each: (occupied[each], each)),
            last_status="PROVISIONING",
            desired_status="RUNNING",
            created_at=self.service.now,
            target_health=TargetHealth.INITIAL if self.has_targets else TargetHealth.NONE,
        )
        self.service = msgspec.structs.replace(self.service, tasks=(*self.service.tasks, task))
        return task.task_id

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _deployment(self, revision: str, *, is_rollback: bool) -> Deployment:
        deployment_id = f"ecs-svc/{self._next_id()}"
        reason = messages.rolling_back_reason if is_rollback else messages.in_progress
        return Deployment(
            deployment_id=deployment_id,
            revision=revision,
            created_at=self.service.now + self._ids / 1000,
            is_primary=True,
            rollout_state_reason=reason(deployment_id),
            is_rollback=is_rollback,
        )

    def _put_primary(self, deployment: Deployment) -> None:
        others = tuple(msgspec.structs.replace(other, is_primary=False) for other in self.service.deployments)
        self.change(deployments=(deployment, *others))

    def _last_completed(self, plan: ServicePlan) -> str | None:
        for deployment in plan.deployments:
            if deployment.is_primary and deployment.rollout_state is RolloutState.COMPLETED:
                return deployment.revision
        return self.service.rollback_to


def check(service: Service, plan: ServicePlan, knobs: Knobs) -> None:
    """What the scheduler promises of each plan."""
    tasks = {task.task_id: task for task in service.tasks}
    stops = [tasks[stop.task_id] for stop in plan.stops if stop.task_id in tasks]
    if len(stops) != len(plan.stops) or len({task.task_id for task in stops}) != len(stops):
        raise Broken("a task is stopped that is not there, or twice")
    known = {deployment.deployment_id for deployment in plan.deployments}
    if not known <= {deployment.deployment_id for deployment in service.deployments}:
        raise Broken("a deployment is named that is not there")
    if not {start.deployment_id for start in plan.starts} <= known or any(start.count < 1 for start in plan.starts):
        raise Broken("tasks are started of nothing")
    if any(tasks[task_id].is_live for task_id in plan.counted):
        raise Broken("a task that lives is counted")
    if plan.wake_at is not None and plan.wake_at <= service.now:
        raise Broken("the scheduler is to be woken in the past")
    if plan.status is ServiceStatus.ACTIVE:
        _check_limits(service, plan, stops, knobs)


def _check_limits(service: Service, plan: ServicePlan, stops: list[ServiceTask], knobs: Knobs) -> None:
    standings = {task.task_id: health.standing(task, service, knobs) for task in service.tasks}
    if any(standings[task.task_id] >= Standing.LEAVING for task in stops):
        raise Broken("a task is stopped again")
    healthy = sum(standing is Standing.HEALTHY for standing in standings.values())
    healthy_stops = sum(standings[task.task_id] is Standing.HEALTHY for task in stops)
    if healthy_stops and healthy - healthy_stops < limits.floor(service):
        raise Broken(f"{healthy} healthy tasks less {healthy_stops} are fewer than {limits.floor(service)}")
    _check_serving(service, stops)
    _check_retiring(service, plan, stops, standings)
    wanted = sum(standing < Standing.LEAVING for standing in standings.values())
    after = wanted - len(stops) + sum(start.count for start in plan.starts)
    if plan.starts and after > limits.ceiling(service):
        raise Broken(f"{after} tasks are more than {limits.ceiling(service)}")
    for task in stops:
        is_protected = task.protected_until is not None and service.now < task.protected_until
        is_protected = is_protected and (task.retires_by is None or service.now < task.retires_by)
        if is_protected and standings[task.task_id] is not Standing.UNHEALTHY:
            raise Broken("a protected task is stopped")


def _check_serving(service: Service, stops: list[ServiceTask]) -> None:
    """The floor once more, in targets to which load balancers send requests."""
    if any(task.target_health is TargetHealth.NONE for task in service.tasks if task.is_wanted):
        return
    serving = {
        task.task_id
        for task in service.tasks
        if task.is_wanted
        and task.last_status == "RUNNING"
        and task.target_health is TargetHealth.HEALTHY
        and task.container_health in (ContainerHealth.NONE, ContainerHealth.HEALTHY)
    }
    left = serving.difference(task.task_id for task in stops)
    if left != serving and len(left) < limits.floor(service):
        raise Broken(f"{len(left)} healthy targets are fewer than {limits.floor(service)}")


def _check_retiring(
    service: Service, plan: ServicePlan, stops: list[ServiceTask], standings: dict[str, Standing]
) -> None:
    """Others come first, where the service may have more tasks than it wants; else one at a time goes."""
    reasons = {stop.task_id: stop.why for stop in plan.stops}
    primary = next(deployment for deployment in service.deployments if deployment.is_primary)
    retired = [task for task in stops if reasons[task.task_id] == messages.maintenance(service.name)]
    retired = [task for task in retired if task.deployment_id == primary.deployment_id]
    if any(task.retires_by is None for task in retired):
        raise Broken("a task is retired that was not to retire")
    if any(task.deployment_id != primary.deployment_id for task in service.tasks if task.is_wanted):
        return  # a rolling update goes down to the floor by itself
    stopped = {task.task_id for task in stops}
    healthy = {task_id for task_id, standing in standings.items() if standing is Standing.HEALTHY}
    least = service.desired_count - (limits.ceiling(service) == service.desired_count)
    if healthy.intersection(task.task_id for task in retired) and len(healthy - stopped) < least:
        raise Broken("a healthy task is retired before another has its place")
