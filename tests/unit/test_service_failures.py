"""Tasks that fail: who counts as healthy, replacement, the back-off, the circuit breaker and its way back."""

import pytest

from neargate.model.knobs import DEFAULT_KNOBS as KNOBS
from neargate.scheduling.services import back_off, breaker
from neargate.scheduling.services.health import Standing
from neargate.scheduling.services.state import (
    Breaker,
    ContainerHealth,
    RolloutState,
    TargetHealth,
    Threshold,
)
from neargate.testing.service_world import ServiceWorld

PULL = "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref"
ROLLBACK = Breaker(enable=True, rollback=True)


def steady(desired: int, *, tries: Breaker | None = None, has_checks: bool = False, maximum: int = 200) -> ServiceWorld:
    world = ServiceWorld(desired, 100, maximum, breaker=tries or Breaker(), has_checks=has_checks)
    world.converge()
    assert world.service.is_steady
    world.events.clear()
    return world


def next_coming(world: ServiceWorld) -> str:
    """A task of the PRIMARY that is on its way, as soon as there is one."""
    plan = world.settle()
    while not (coming := world.of(Standing.COMING, deployment_id=world.primary.deployment_id)):
        assert plan.wake_at is not None
        world.pass_time(plan.wake_at - world.service.now)
        plan = world.settle()
    return coming[0].task_id


def fail_starts(world: ServiceWorld, times: int) -> None:
    """The tasks that the PRIMARY starts end before they run, one after the other."""
    for _ in range(times):
        world.end(next_coming(world), "TaskFailedToStart", PULL)
    world.settle()


# who counts as healthy
def test_without_checks_a_task_counts_40_seconds_after_it_ran() -> None:
    world = ServiceWorld(1)
    world.settle()
    task = world.service.tasks[0]
    world.run(task.task_id)
    assert world.settle().wake_at == world.service.now + 40
    world.pass_time(39.9)
    assert world.of(Standing.SETTLING)
    world.pass_time(0.1)
    assert world.of(Standing.HEALTHY)


def test_with_a_container_check_only_that_counts() -> None:
    world = ServiceWorld(1, has_checks=True)
    world.settle()
    task = world.service.tasks[0]
    world.run(task.task_id)
    world.pass_time(3600)
    assert world.settle().wake_at is None and world.of(Standing.SETTLING)
    world.update(task.task_id, container_health=ContainerHealth.HEALTHY)
    assert world.of(Standing.HEALTHY)


@pytest.mark.parametrize(
    ("container", "target", "standing"),
    [
        (ContainerHealth.NONE, TargetHealth.HEALTHY, Standing.HEALTHY),
        (ContainerHealth.HEALTHY, TargetHealth.HEALTHY, Standing.HEALTHY),
        (ContainerHealth.HEALTHY, TargetHealth.INITIAL, Standing.SETTLING),
        (ContainerHealth.UNKNOWN, TargetHealth.HEALTHY, Standing.SETTLING),
        (ContainerHealth.NONE, TargetHealth.NONE, Standing.HEALTHY),
        (ContainerHealth.NONE, TargetHealth.UNUSED, Standing.SETTLING),
        (ContainerHealth.HEALTHY, TargetHealth.UNHEALTHY, Standing.UNHEALTHY),
        (ContainerHealth.UNHEALTHY, TargetHealth.HEALTHY, Standing.UNHEALTHY),
    ],
)
def test_with_target_groups_both_count(container: ContainerHealth, target: TargetHealth, standing: Standing) -> None:
    world = ServiceWorld(1)
    world.settle()
    task = world.service.tasks[0]
    world.run(task.task_id)
    world.update(task.task_id, container_health=container, target_health=target)
    world.pass_time(3600)
    assert world.standing(world.service.tasks[0]) is standing


def test_within_the_grace_period_no_check_fails_a_task() -> None:
    world = ServiceWorld(1, has_checks=True, grace_period_s=60)
    world.settle()
    task = world.service.tasks[0]
    world.run(task.task_id)
    world.update(task.task_id, container_health=ContainerHealth.UNHEALTHY)
    plan = world.settle()
    assert not plan.starts and plan.wake_at == world.service.now + 60
    world.pass_time(60)
    assert world.of(Standing.UNHEALTHY) and world.decide().starts


# replacement
def test_an_unhealthy_task_is_replaced_first_and_stopped_then() -> None:
    world = steady(1, has_checks=True)
    sick = world.service.tasks[0]
    world.update(sick.task_id, container_health=ContainerHealth.UNHEALTHY)
    world.settle()
    (new,) = world.of(Standing.COMING)
    assert world.of(Standing.UNHEALTHY) and not world.of(Standing.LEAVING)
    world.converge()
    assert world.events == [
        f"(service web) has started 1 tasks: (task {new.task_id}). Amazon ECS replaced 1 tasks due to an unhealthy "
        "status.",
        f"(service web) (task {sick.task_id}) failed container health checks.",
        f"(service web) has stopped 1 running tasks: (task {sick.task_id}).",
        "(service web) has reached a steady state.",
    ]


def test_a_start_replaces_only_whom_no_other_replaces_yet() -> None:
    world = steady(2, has_checks=True)
    sick, other = world.service.tasks
    world.update(sick.task_id, container_health=ContainerHealth.UNHEALTHY)
    world.settle()
    world.end(other.task_id)
    (start,) = world.decide().starts
    assert (start.count, start.replaces) == (1, 0)


def test_without_room_unhealthy_tasks_are_stopped_one_by_one() -> None:
    world = steady(3, has_checks=True, maximum=100)
    for task in world.service.tasks[:2]:
        world.update(task.task_id, container_health=ContainerHealth.UNHEALTHY)
    plan = world.decide()
    assert [stop.why for stop in plan.stops] == ["Task failed container health checks"]
    assert sum(start.count for start in plan.starts) == 1
    world.settle()
    assert len(world.of(Standing.UNHEALTHY)) == 1  # until the replacement is healthy
    world.converge()
    assert world.service.is_steady


def test_the_reason_of_a_failed_target_names_its_group() -> None:
    world = steady(1, maximum=100)
    task = world.service.tasks[0]
    world.update(task.task_id, target_health=TargetHealth.UNHEALTHY, target_group="arn:aws:x:targetgroup/web/1")
    (stop,) = world.decide().stops
    assert stop.why == "Task failed ELB health checks in (target-group arn:aws:x:targetgroup/web/1)"


def test_a_protected_task_that_is_unhealthy_is_replaced_all_the_same() -> None:
    world = steady(1, has_checks=True)
    task = world.service.tasks[0]
    world.update(task.task_id, container_health=ContainerHealth.UNHEALTHY, protected_until=world.service.now + 3600)
    world.converge()
    assert world.service.is_steady and world.service.tasks[0].task_id != task.task_id


# back-off
def test_the_back_off_doubles_to_a_quarter_of_an_hour() -> None:
    assert [back_off.pause_s(rounds, KNOBS) for rounds in (0, 1, 2, 3, 8, 9, 1000)] == [5, 5, 10, 20, 640, 900, 900]


def test_tasks_that_never_run_are_started_more_and_more_seldom_and_never_given_up() -> None:
    world = ServiceWorld(1)
    waits = []
    for _ in range(12):
        fail_starts(world, 1)
        at = world.decide().wake_at
        assert at is not None
        waits.append(at - world.service.now)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]
    told = [event for event in world.events if "started" not in event]
    assert told == [
        f"(service web) was unable to place a task. Reason: {PULL}.",
        "(service web) is unable to consistently start tasks successfully.",
    ]
    world.converge()
    assert world.service.is_steady and world.primary.start_failures == 0


def test_many_tasks_that_fail_together_are_one_round() -> None:
    world = ServiceWorld(6)
    world.settle()
    for task in world.service.tasks[:4]:
        world.end(task.task_id, "TaskFailedToStart", PULL)
    world.settle()
    world.end(world.of(Standing.COMING)[0].task_id, "TaskFailedToStart", PULL)
    world.settle()
    assert world.primary.start_failures == 1 and world.primary.failed_tasks == 5


def test_a_new_deployment_starts_at_once() -> None:
    world = ServiceWorld(1)
    fail_starts(world, 5)
    world.deploy()
    assert world.decide().starts


def test_what_crashes_after_it_ran_waits_the_first_step_only() -> None:
    world = ServiceWorld(1)
    for _ in range(5):
        world.settle()
        while not world.of(Standing.COMING):
            world.pass_time(1)
            world.settle()
        task = world.of(Standing.COMING)[0]
        world.run(task.task_id)
        world.pass_time(1)
        world.end(task.task_id)
        plan = world.settle()
        assert plan.wake_at == world.service.now + KNOBS.service_back_off_first_s
    assert world.primary.start_failures == 0 and not any("consistently" in event for event in world.events)


def test_a_healthy_task_that_ends_is_replaced_at_once() -> None:
    world = steady(2)
    world.end(world.service.tasks[0].task_id)
    assert sum(start.count for start in world.decide().starts) == 1


# circuit breaker
@pytest.mark.parametrize(
    ("desired", "threshold", "failures"),
    [
        (1, Threshold(), 3),  # AWS's table
        (25, Threshold(), 13),
        (400, Threshold(), 200),
        (800, Threshold(), 200),
        (800, Threshold(kind="UNBOUNDED_PERCENT", value=50), 400),
        (1, Threshold(kind="UNBOUNDED_PERCENT", value=50), 1),
        (0, Threshold(kind="UNBOUNDED_PERCENT", value=50), 1),
        (10, Threshold(kind="COUNT", value=5), 5),
        (100, Threshold(kind="BOUNDED_PERCENT", value=7), 7),
    ],
)
def test_thresholds(desired: int, threshold: Threshold, failures: int) -> None:
    assert breaker.threshold(Breaker(enable=True, threshold=threshold), desired) == failures


def test_three_failed_starts_roll_back_to_the_deployment_that_is_still_there() -> None:
    world = steady(1, tries=ROLLBACK)
    good = world.primary
    bad_id = world.deploy()
    fail_starts(world, 3)
    assert world.events[-2:] == [
        f"(service web) (deployment {bad_id}) deployment failed: tasks failed to start.",
        f"(service web) rolling back to deployment {good.deployment_id}.",
    ]
    assert world.primary.deployment_id == good.deployment_id
    assert world.rollout_state() is RolloutState.IN_PROGRESS
    assert world.settle().wake_at == world.service.now + KNOBS.service_failed_shown_s
    world.converge()
    assert [task.deployment_id for task in world.service.tasks] == [good.deployment_id]
    assert world.rollout_state() is RolloutState.COMPLETED and world.service.is_steady
    assert not any("consistently" in event for event in world.events)


def test_while_it_rolls_back_both_deployments_say_so() -> None:
    world = steady(2, tries=ROLLBACK)
    good = world.primary
    bad_id = world.deploy()
    world.run(next_coming(world))
    fail_starts(world, 3)
    assert len(world.of(Standing.LEAVING, deployment_id=bad_id)) == 1
    plan = world.decide()
    primary, failed = plan.deployments
    assert primary.is_primary and primary.is_rollback and primary.rollout_state is RolloutState.IN_PROGRESS
    assert primary.deployment_id == good.deployment_id
    assert primary.rollout_state_reason == (
        f"ECS deployment circuit breaker: rolling back to deploymentId {good.deployment_id}."
    )
    assert (failed.deployment_id, failed.is_primary) == (bad_id, False)
    assert failed.rollout_state_reason == "ECS deployment circuit breaker: tasks failed to start."


def test_when_nothing_of_it_is_left_a_new_deployment_of_its_revision_is_asked_for() -> None:
    world = ServiceWorld(2, 0, 100, breaker=ROLLBACK)
    world.converge()
    good = world.primary
    world.deploy()
    world.settle()
    for task in world.of(Standing.LEAVING):
        world.end(task.task_id)
    fail_starts(world, 3)
    assert world.primary.revision == good.revision and world.primary.deployment_id != good.deployment_id
    assert world.primary.is_rollback
    world.converge()
    assert world.service.is_steady and world.rollout_state() is RolloutState.COMPLETED


def test_what_was_rolled_back_to_does_not_roll_back() -> None:
    world = ServiceWorld(2, 0, 100, breaker=ROLLBACK)
    world.converge()
    world.deploy()
    world.settle()
    for task in world.of(Standing.LEAVING):
        world.end(task.task_id)
    fail_starts(world, 6)
    assert world.primary.is_rollback
    assert world.rollout_state() is RolloutState.FAILED
    assert not world.decide().starts


def test_what_is_being_rolled_back_to_is_no_goal_for_the_next_deployment() -> None:
    world = steady(1, tries=ROLLBACK)
    good_id = world.primary.deployment_id
    world.deploy()
    fail_starts(world, 3)
    assert world.primary.deployment_id == good_id
    third_id = world.deploy()
    fail_starts(world, 3)
    assert world.primary.deployment_id == third_id and world.rollout_state() is RolloutState.FAILED


def test_without_rollback_a_failed_deployment_stays_where_it_is() -> None:
    world = steady(2, tries=Breaker(enable=True))
    old = {task.task_id for task in world.service.tasks}
    world.deploy()
    world.settle()
    fail_starts(world, 3)
    assert world.rollout_state() is RolloutState.FAILED
    for task in world.of(Standing.COMING):
        world.end(task.task_id, "TaskFailedToStart", PULL)
    world.converge()
    assert {task.task_id for task in world.service.tasks} == old and not world.service.is_steady
    world.deploy()
    world.converge()
    assert world.service.is_steady and not old.intersection(task.task_id for task in world.service.tasks)


def test_a_failed_deployment_still_scales_in_and_is_not_seen_any_longer_for_what_fails_later() -> None:
    world = steady(4, tries=Breaker(enable=True))
    world.deploy()
    for _ in range(2):
        world.run(next_coming(world))
    world.pass_time(40)
    fail_starts(world, 3)
    failed = world.primary
    assert failed.rollout_state is RolloutState.FAILED
    world.pass_time(60)
    for task in world.of(Standing.COMING):
        world.end(task.task_id, "TaskFailedToStart", PULL)
    world.converge()
    assert world.primary.retry_at == failed.retry_at
    assert len(world.of(Standing.HEALTHY)) == 4
    world.change(desired_count=1)
    world.converge()
    left = [task.deployment_id == failed.deployment_id for task in world.of(Standing.HEALTHY)]
    assert sorted(left) == [False, True]  # the desired count of the old, and what fits beside it


def test_a_first_deployment_that_fails_stalls() -> None:
    world = ServiceWorld(1, breaker=ROLLBACK)
    fail_starts(world, 3)
    plan = world.settle()
    assert world.rollout_state() is RolloutState.FAILED and not plan.starts
    world.pass_time(3600)
    assert not world.decide().starts
    world.change(desired_count=0)
    world.converge()
    assert world.service.is_steady


def test_a_healthy_task_ends_the_row_of_failures() -> None:
    assert failures_after(resets=True) == 1
    assert failures_after(resets=False) == 3


def failures_after(*, resets: bool) -> int:
    """Two failures, then a task that is healthy, then one more."""
    tries = Breaker(enable=True, threshold=Threshold(kind="COUNT", value=9), reset_on_healthy_task=resets)
    world = ServiceWorld(2, breaker=tries)
    fail_starts(world, 2)
    world.run(next_coming(world))
    world.pass_time(40)
    fail_starts(world, 1)
    return world.primary.failed_tasks


@pytest.mark.parametrize(
    ("code", "is_counted"),
    [
        ("TaskFailedToStart", True),
        ("EssentialContainerExited", True),
        ("UserInitiated", False),
        ("SpotInterruption", False),
        ("TerminationNotice", False),
        ("InfrastructureHealth", False),
    ],
)
def test_only_its_own_fault_counts_against_a_deployment(code: str, is_counted: bool) -> None:
    world = ServiceWorld(1)
    world.settle()
    world.end(world.service.tasks[0].task_id, code)
    world.settle()
    assert world.primary.failed_tasks == int(is_counted) and len(world.of(Standing.COMING)) == int(not is_counted)


@pytest.mark.parametrize(
    ("ran_s", "container", "target", "is_counted"),
    [
        (39.0, ContainerHealth.NONE, TargetHealth.NONE, True),
        (40.0, ContainerHealth.NONE, TargetHealth.NONE, False),
        (90.0, ContainerHealth.UNKNOWN, TargetHealth.NONE, True),
        (90.0, ContainerHealth.UNHEALTHY, TargetHealth.NONE, True),
        (5.0, ContainerHealth.HEALTHY, TargetHealth.NONE, False),
        (90.0, ContainerHealth.NONE, TargetHealth.INITIAL, True),
        (90.0, ContainerHealth.NONE, TargetHealth.DRAINING, False),
        (90.0, ContainerHealth.HEALTHY, TargetHealth.UNUSED, False),
        (90.0, ContainerHealth.UNKNOWN, TargetHealth.HEALTHY, True),
    ],
)
def test_who_was_healthy_once_did_not_fail_its_deployment(
    ran_s: float, container: ContainerHealth, target: TargetHealth, is_counted: bool
) -> None:
    world = ServiceWorld(1)
    world.settle()
    task_id = world.service.tasks[0].task_id
    world.run(task_id)
    world.update(task_id, container_health=container, target_health=target)
    world.pass_time(ran_s)
    world.end(task_id)
    world.pass_time(100)  # it is counted late
    assert breaker.is_failure(world.task(task_id), world.service, KNOBS) == is_counted


def test_tasks_that_fail_their_checks_trip_the_breaker() -> None:
    world = steady(1, tries=ROLLBACK, has_checks=True)
    good_id = world.primary.deployment_id
    bad_id = world.deploy()
    for _ in range(60):
        plan = world.settle()
        if world.primary.deployment_id != bad_id:
            break
        for task in world.of(Standing.COMING, Standing.LEAVING):
            if world.standing(task) is Standing.LEAVING:
                world.end(task.task_id)
            else:
                world.run(task.task_id)
                world.update(task.task_id, container_health=ContainerHealth.UNHEALTHY)
        if plan.wake_at:
            world.pass_time(plan.wake_at - world.service.now)
    assert world.primary.deployment_id == good_id
    assert sum("failed container health checks" in event for event in world.events) >= 3
