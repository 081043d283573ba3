"""What the service scheduler promises, whatever happens: a world of random events around the real decision.

`ServiceWorld` checks each plan: limits, protection, known names, a wake-up in the future, nothing counted twice.
Here it is shown that deciding again gives nothing new, and that a friendly world always ends in a steady state.
"""

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from neargate.scheduling.services import limits, zones
from neargate.scheduling.services.health import Standing
from neargate.scheduling.services.reconcile import changes
from neargate.scheduling.services.state import (
    Breaker,
    ContainerHealth,
    Deployment,
    RolloutState,
    Service,
    ServiceStatus,
    ServiceTask,
    TargetHealth,
    Threshold,
)
from neargate.testing.service_world import ServiceWorld

ZONES = ("a", "b", "c")
LIMITS = st.sampled_from([(100, 200), (50, 100), (50, 200), (0, 100), (100, 150), (75, 125), (100, 100), (34, 134)])
BREAKERS = st.builds(
    Breaker,
    enable=st.booleans(),
    rollback=st.booleans(),
    threshold=st.sampled_from([Threshold(), Threshold(kind="COUNT", value=2)]),
    reset_on_healthy_task=st.booleans(),
)
LIVE = (Standing.UNHEALTHY, Standing.COMING, Standing.SETTLING, Standing.HEALTHY, Standing.LEAVING)


def must_be_steady(world: ServiceWorld) -> None:
    """What a friendly world ends in, unless the limits leave no way or a failed deployment waits for its user."""
    service = world.service
    if world.rollout_state() is RolloutState.FAILED:
        return
    has_way = limits.floor(service) < limits.ceiling(service) or service.desired_count == 0
    if not has_way and any(task.deployment_id != world.primary.deployment_id for task in service.tasks):
        return
    if not has_way and any(task.retires_by is not None for task in service.tasks):
        return
    assert not any(task.retires_by is not None for task in service.tasks), "all of them were replaced"
    assert service.is_steady, (service, world.events[-5:])
    assert world.rollout_state() is RolloutState.COMPLETED
    assert [task.deployment_id for task in service.tasks] == [world.primary.deployment_id] * service.desired_count
    assert len(world.of(Standing.HEALTHY)) == service.desired_count
    assert [deployment.deployment_id for deployment in service.deployments] == [world.primary.deployment_id]
    if service.zone_rebalancing and not world.full_zones and limits.ceiling(service) > service.desired_count > 0:
        assert zones.is_balanced(zones.in_zones(service.zones, zones.occupied(service.tasks))), service.tasks


class AnyHistory(RuleBasedStateMachine):
    """Users, tasks, zones and time, in any order; the scheduler decides after each."""

    world: ServiceWorld

    @initialize(
        desired=st.integers(0, 6),
        percents=LIMITS,
        breaker=BREAKERS,
        has_checks=st.booleans(),
        has_targets=st.booleans(),
        rebalancing=st.booleans(),
        grace=st.sampled_from([0, 30]),
    )
    def begin(
        self,
        desired: int,
        percents: tuple[int, int],
        breaker: Breaker,
        has_checks: bool,
        has_targets: bool,
        rebalancing: bool,
        grace: int,
    ) -> None:
        self.world = ServiceWorld(
            desired,
            *percents,
            breaker=breaker,
            has_checks=has_checks,
            has_targets=has_targets,
            zone_rebalancing=rebalancing,
            grace_period_s=grace,
        )
        self.decide()

    def decide(self) -> None:
        self.world.settle()
        plan = self.world.decide()
        assert not changes(self.world.service, plan) or (plan.starts and self.world.full_zones)

    def task(self, data: st.DataObject, *standings: Standing) -> str | None:
        tasks = self.world.of(*standings)
        return data.draw(st.sampled_from(tasks)).task_id if tasks else None

    @rule(data=st.data())
    def a_task_comes_up(self, data: st.DataObject) -> None:
        if task_id := self.task(data, Standing.COMING):
            self.world.run(task_id)
            self.decide()

    @rule(data=st.data(), how=st.sampled_from(["PENDING", "ACTIVATING"]))
    def a_task_is_on_its_way(self, data: st.DataObject, how: str) -> None:
        if task_id := self.task(data, Standing.COMING):
            self.world.update(task_id, last_status=how)
            self.decide()

    @rule(data=st.data(), health=st.sampled_from([ContainerHealth.HEALTHY, ContainerHealth.UNHEALTHY]))
    def a_check_says(self, data: st.DataObject, health: ContainerHealth) -> None:
        task_id = self.task(data, Standing.SETTLING, Standing.HEALTHY, Standing.UNHEALTHY)
        if task_id and self.world.has_checks:
            self.world.update(task_id, container_health=health)
            self.decide()

    @rule(data=st.data(), health=st.sampled_from([one for one in TargetHealth if one is not TargetHealth.NONE]))
    def a_load_balancer_says(self, data: st.DataObject, health: TargetHealth) -> None:
        task_id = self.task(data, Standing.SETTLING, Standing.HEALTHY, Standing.UNHEALTHY)
        if task_id and self.world.task(task_id).target_health is not TargetHealth.NONE:
            self.world.update(task_id, target_health=health, target_group="arn:web", target_port=80)
            self.decide()

    @rule(data=st.data())
    def a_task_drains(self, data: st.DataObject) -> None:
        if task_id := self.task(data, Standing.LEAVING):
            self.world.update(task_id, last_status="DEACTIVATING", target_health=TargetHealth.DRAINING)
            self.decide()

    @rule()
    def a_user_deploys_behind_other_groups_or_none(self) -> None:
        self.world.has_targets = not self.world.has_targets
        self.world.deploy()
        self.decide()

    @rule(
        data=st.data(),
        code=st.sampled_from(["TaskFailedToStart", "EssentialContainerExited", "UserInitiated", "SpotInterruption"]),
    )
    def a_task_ends(self, data: st.DataObject, code: str) -> None:
        if task_id := self.task(data, *LIVE):
            self.world.end(task_id, code, "CannotPullContainerError: no such image")
            self.decide()

    @rule(data=st.data())
    def a_task_begins_to_stop_by_itself(self, data: st.DataObject) -> None:
        if task_id := self.task(data, Standing.HEALTHY, Standing.SETTLING):
            self.world.update(task_id, last_status="DEACTIVATING")
            self.decide()

    @rule(data=st.data(), seconds=st.integers(1, 500))
    def a_task_is_protected(self, data: st.DataObject, seconds: int) -> None:
        if task_id := self.task(data, Standing.HEALTHY, Standing.SETTLING):
            self.world.update(task_id, protected_until=self.world.service.now + seconds)
            self.decide()

    @rule(data=st.data(), seconds=st.sampled_from([0.0, 50.0, 1000.0]))
    def a_task_is_to_retire_or_may_stay(self, data: st.DataObject, seconds: float) -> None:
        if task_id := self.task(data, *LIVE):
            is_told = self.world.task(task_id).retires_by is not None
            self.world.update(task_id, retires_by=None if is_told else self.world.service.now + seconds)
            self.decide()

    @rule(zone=st.sampled_from(ZONES))
    def a_zone_s_host_is_emptied(self, zone: str) -> None:
        for task in self.world.of(*LIVE):
            if task.zone == zone:
                self.world.update(task.task_id, retires_by=self.world.service.now + 1000.0)
        self.decide()

    @rule(desired=st.integers(0, 6))
    def a_user_scales(self, desired: int) -> None:
        self.world.change(desired_count=desired)
        self.decide()

    @rule(percents=LIMITS)
    def a_user_changes_the_limits(self, percents: tuple[int, int]) -> None:
        self.world.change(minimum_healthy_percent=percents[0], maximum_percent=percents[1])
        self.decide()

    @rule()
    def a_user_deploys(self) -> None:
        self.world.deploy()
        self.decide()

    @rule(zone=st.sampled_from(ZONES))
    def a_zone_fills_or_has_room(self, zone: str) -> None:
        self.world.full_zones ^= {zone}
        self.decide()

    @rule()
    def time_comes(self) -> None:
        plan = self.world.decide()
        if plan.wake_at is not None:
            self.world.pass_time(plan.wake_at - self.world.service.now)
            self.decide()

    @rule(seconds=st.floats(0.1, 100))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        self.decide()

    @precondition(lambda self: self.world.status() is ServiceStatus.ACTIVE)
    @rule()
    def the_world_is_friendly(self) -> None:
        self.world.full_zones.clear()
        self.world.converge()
        must_be_steady(self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.the_world_is_friendly()
            self.world.delete()
            self.world.converge()
            assert self.world.status() is ServiceStatus.INACTIVE
            assert not self.world.service.tasks and not self.world.service.deployments


AnyHistory.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyHistory = AnyHistory.TestCase


DEPLOYMENTS = st.lists(
    st.tuples(
        st.sampled_from(list(RolloutState)),
        st.integers(0, 9),
        st.integers(0, 8),
        st.one_of(st.none(), st.integers(-900, 900)),
    ),
    min_size=1,
    max_size=4,
)
TASKS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.sampled_from(ZONES),
        st.sampled_from(["PROVISIONING", "PENDING", "RUNNING", "DEACTIVATING", "STOPPING", "STOPPED"]),
        st.sampled_from(["RUNNING", "RUNNING", "STOPPED"]),
        st.sampled_from(list(ContainerHealth)),
        st.integers(0, 100),
        st.one_of(st.none(), st.integers(1, 300)),
    ),
    max_size=14,
)


@given(
    deployments=DEPLOYMENTS,
    tasks=TASKS,
    desired=st.integers(0, 6),
    percents=LIMITS,
    breaker=BREAKERS,
    rebalancing=st.booleans(),
    is_rebalancing=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_state_becomes_steady(
    deployments: list[tuple[RolloutState, int, int, int | None]],
    tasks: list[tuple[int, str, str, str, ContainerHealth, int, int | None]],
    desired: int,
    percents: tuple[int, int],
    breaker: Breaker,
    rebalancing: bool,
    is_rebalancing: bool,
) -> None:
    world = ServiceWorld(desired, *percents, breaker=breaker, zone_rebalancing=rebalancing)
    world.service = any_service(world.service, deployments, tasks, is_rebalancing)
    assume(world.rollout_state() is not RolloutState.FAILED)
    world.converge()
    must_be_steady(world)


def any_service(
    service: Service,
    deployments: list[tuple[RolloutState, int, int, int | None]],
    tasks: list[tuple[int, str, str, str, ContainerHealth, int, int | None]],
    is_rebalancing: bool,
) -> Service:
    now = service.now
    made = tuple(
        Deployment(
            deployment_id=f"ecs-svc/{number}",
            revision=f"revision-{number}",
            created_at=now - number,
            is_primary=number == 0,
            rollout_state=state,
            failed_tasks=failed,
            start_failures=rounds,
            retry_at=None if retry is None else now + retry,
        )
        for number, (state, failed, rounds, retry) in enumerate(deployments)
    )
    return Service(
        name=service.name,
        status=service.status,
        desired_count=service.desired_count,
        minimum_healthy_percent=service.minimum_healthy_percent,
        maximum_percent=service.maximum_percent,
        breaker=service.breaker,
        zones=service.zones,
        zone_rebalancing=service.zone_rebalancing,
        deployments=made,
        tasks=tuple(
            ServiceTask(
                task_id=f"old-{number}",
                deployment_id=f"ecs-svc/{of}",  # also of one that is not there
                zone=zone,
                last_status=last,
                desired_status=desired_status,
                created_at=now - age - 5,
                running_since=None if last in ("PROVISIONING", "PENDING") else now - age,
                container_health=health,
                protected_until=None if protected is None else now + protected,
            )
            for number, (of, zone, last, desired_status, health, age, protected) in enumerate(tasks)
        ),
        rebalancing=is_rebalancing,
        rollback_to=next((one.revision for one in made[1:] if one.rollout_state is RolloutState.COMPLETED), None),
        now=now,
    )
