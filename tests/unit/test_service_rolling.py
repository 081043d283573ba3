"""Rolling updates and scaling by AWS's own worked examples: which tasks stop, how many start, what is told."""

import pytest
from msgspec import structs

from neargate.model.knobs import DEFAULT_KNOBS
from neargate.scheduling.services import limits
from neargate.scheduling.services.health import Standing
from neargate.scheduling.services.reconcile import changes, reconcile
from neargate.scheduling.services.state import Breaker, RolloutState, ServicePlan, ServiceStatus
from neargate.testing.service_world import ServiceWorld

NO_WAY = (
    "(service web) was unable to stop or start tasks during a deployment because of the service deployment "
    "configuration. Update the minimumHealthyPercent or maximumPercent value and try again."
)


def steady(desired: int, minimum: int = 100, maximum: int = 200, *, has_checks: bool = False) -> ServiceWorld:
    world = ServiceWorld(desired, minimum, maximum, has_checks=has_checks)
    world.converge()
    assert world.service.is_steady
    world.events.clear()
    return world


def counts(plan: ServicePlan) -> tuple[int, int]:
    return len(plan.stops), sum(start.count for start in plan.starts)


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "floor", "ceiling"),
    [
        (4, 50, 200, 2, 8),  # AWS: may stop two, may start four
        (2, 75, 200, 2, 4),  # AWS: can't stop any, the resulting value also being two
        (3, 0, 125, 0, 3),  # AWS: can't start any, the resulting value also being three
        (1, 100, 200, 1, 2),
        (1, 50, 150, 1, 1),
        (3, 34, 134, 2, 4),
        (0, 100, 200, 0, 0),
        (4, 150, 50, 4, 4),  # never more than the desired count, never less
    ],
)
def test_limits_are_rounded_as_on_aws(desired: int, minimum: int, maximum: int, floor: int, ceiling: int) -> None:
    service = ServiceWorld(desired, minimum, maximum).service
    assert (limits.floor(service), limits.ceiling(service)) == (floor, ceiling)


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "first"),
    [
        (1, 100, 200, (0, 1)),  # the new one first, the old one when that is healthy
        (4, 100, 200, (0, 4)),
        (4, 50, 100, (2, 2)),  # room is made by stopping
        (4, 50, 200, (2, 4)),
        (4, 0, 100, (4, 4)),
        (4, 100, 150, (0, 2)),
        (3, 100, 125, (0, 0)),  # no way
        (1, 50, 100, (0, 0)),
    ],
)
def test_a_deployment_begins_with_what_both_limits_allow(
    desired: int, minimum: int, maximum: int, first: tuple[int, int]
) -> None:
    world = steady(desired, minimum, maximum)
    world.deploy()
    assert counts(world.decide()) == first


def test_old_tasks_stop_one_for_each_new_one_that_is_healthy() -> None:
    world = steady(4)
    old = {task.task_id for task in world.service.tasks}
    world.deploy()
    world.settle()
    new = world.of(Standing.COMING)
    for number, task in enumerate(new):
        world.run(task.task_id)
        assert world.settle().wake_at == world.service.now + 40
        world.pass_time(40)
        world.settle()
        assert len([task for task in world.of(Standing.LEAVING) if task.task_id in old]) == number + 1


def test_the_story_of_a_deployment_is_told_as_by_aws() -> None:
    world = steady(1)
    (old,) = world.service.tasks
    deployment_id = world.deploy()
    assert not world.service.is_steady
    world.converge()
    (new,) = world.service.tasks
    assert world.events == [
        f"(service web) has started 1 tasks: (task {new.task_id}).",
        f"(service web) has stopped 1 running tasks: (task {old.task_id}).",
        f"(service web) (deployment {deployment_id}) deployment completed.",
        "(service web) has reached a steady state.",
    ]
    assert world.primary.rollout_state_reason == f"ECS deployment {deployment_id} completed."
    assert not changes(world.service, world.decide()) and world.decide().wake_at is None  # and then it costs nothing


def test_stopped_reasons_name_the_deployment_of_the_task() -> None:
    world = steady(1, 0, 100)
    (old,) = world.service.tasks
    world.deploy()
    (stop,) = world.decide().stops
    assert stop.task_id == old.task_id and stop.why == f"Scaling activity initiated by (deployment {old.deployment_id})"


def test_where_the_limits_leave_no_way_it_is_told_once_in_six_hours() -> None:
    world = steady(3, 100, 125)
    world.deploy()
    world.converge()
    assert world.events == [NO_WAY]
    world.pass_time(6 * 3600 - 1)
    world.settle()
    assert world.events == [NO_WAY]
    world.pass_time(1)
    world.settle()
    assert world.events == [NO_WAY, NO_WAY]
    world.change(maximum_percent=134)
    world.converge()
    assert world.service.is_steady and world.rollout_state() is RolloutState.COMPLETED
    world.change(maximum_percent=125)
    world.deploy()
    world.converge()
    assert world.events.count(NO_WAY) == 3  # it was over in between


def test_there_is_no_talk_of_no_way_before_it_is_known_how_all_tasks_are() -> None:
    world = steady(3, 100, 125)
    world.end(world.service.tasks[0].task_id)
    world.settle()
    world.run(world.of(Standing.COMING)[0].task_id)
    world.deploy()
    world.settle()
    assert NO_WAY not in world.events
    world.pass_time(40)
    world.settle()
    assert NO_WAY in world.events


def test_when_there_is_no_way_and_an_old_task_ends_a_new_one_takes_its_place() -> None:
    world = steady(1, 100, 100)
    (old,) = world.service.tasks
    new_id = world.deploy()
    world.end(old.task_id)
    world.converge()
    assert [task.deployment_id for task in world.service.tasks] == [new_id] and world.service.is_steady


def test_a_task_lost_during_a_deployment_comes_back_of_the_revision_that_works() -> None:
    world = steady(4)
    old_id = world.primary.deployment_id
    world.deploy()
    world.settle()
    world.end(world.of(Standing.HEALTHY)[0].task_id)
    (start,) = world.decide().starts
    assert (start.deployment_id, start.count) == (old_id, 1)


def test_the_last_task_lost_during_a_deployment_comes_back_too() -> None:
    world = steady(1)
    (old,) = world.service.tasks
    world.deploy()
    world.settle()
    world.end(old.task_id)
    world.settle()
    back = world.of(Standing.COMING, deployment_id=old.deployment_id)
    assert len(back) == 1 and len(world.service.deployments) == 2
    world.end(back[0].task_id, "UserInitiated")
    world.settle()
    assert len(world.of(Standing.COMING, deployment_id=old.deployment_id)) == 1
    world.converge()
    assert world.service.is_steady and world.service.tasks[0].deployment_id != old.deployment_id


def test_of_a_lost_task_comes_back_one_and_no_more() -> None:
    world = steady(1, 100, 400)
    (old,) = world.service.tasks
    world.deploy()
    world.settle()
    world.end(old.task_id)
    world.settle()
    assert len(world.of(Standing.COMING, deployment_id=old.deployment_id)) == 1


def test_two_deployments_before_it_keep_the_floor_together() -> None:
    world = steady(4, 50, 100)
    world.deploy()
    world.settle()
    for task in world.of(Standing.COMING):
        world.run(task.task_id)
    world.pass_time(40)
    assert len(world.of(Standing.HEALTHY)) == 4
    overtaken_id = world.primary.deployment_id
    world.deploy()
    plan = world.decide()
    assert {world.task(stop.task_id).deployment_id for stop in plan.stops} == {overtaken_id} and len(plan.stops) == 2


def test_pending_tasks_of_a_deployment_that_was_overtaken_stop_at_once() -> None:
    world = ServiceWorld(2)
    world.settle()
    world.deploy()
    plan = world.decide()
    assert counts(plan) == (2, 2) and plan.events == ("(service web) stopped 2 pending tasks.",)


def test_scale_out_and_scale_in() -> None:
    world = steady(2)
    world.change(desired_count=5)
    assert counts(world.decide()) == (0, 3)
    world.converge()
    world.change(desired_count=1)
    assert counts(world.decide()) == (4, 0)
    world.converge()
    assert world.service.is_steady and world.events.count("(service web) has reached a steady state.") == 2


def test_scale_in_is_steady_when_the_last_of_it_is_gone() -> None:
    world = steady(2)
    world.change(desired_count=1)
    world.settle()
    assert not world.service.is_steady
    world.end(world.of(Standing.LEAVING)[0].task_id)
    world.settle()
    assert world.service.is_steady


def test_scale_in_leaves_the_floor_when_what_does_not_serve_yet_is_protected() -> None:
    world = steady(2)
    world.change(desired_count=3)
    world.settle()
    new = world.of(Standing.COMING)[0].task_id
    world.run(new)
    world.update(new, protected_until=world.service.now + 600)
    world.change(desired_count=2)
    assert not world.decide().stops
    world.pass_time(40)
    assert len(world.decide().stops) == 1


def test_scale_in_takes_first_what_does_not_serve_yet() -> None:
    world = steady(2)
    world.change(desired_count=4)
    world.settle()
    coming = {task.task_id for task in world.of(Standing.COMING)}
    world.change(desired_count=2)
    assert {stop.task_id for stop in world.decide().stops} == coming


def test_protected_tasks_are_not_stopped_before_their_protection_ends() -> None:
    world = steady(2)
    first, second = world.service.tasks
    until = world.service.now + 600
    for task in (first, second):
        world.update(task.task_id, protected_until=until)
    world.change(desired_count=0)
    plan = world.settle()
    told = (
        f"(service web) was unable to reach steady state because (taskSet {first.deployment_id}) was unable to "
        "scale in due to (reason 2 tasks under protection)"
    )
    assert world.events == [told] and plan.wake_at == until
    world.pass_time(600)
    world.converge()
    assert not world.service.tasks and world.service.is_steady


def test_a_protected_task_holds_a_deployment_up_until_its_protection_ends() -> None:
    world = steady(2, 50, 100)
    held = world.service.tasks[0].task_id
    until = world.service.now + 600
    world.update(held, protected_until=until)
    world.deploy()
    world.converge(until)
    assert world.task(held).desired_status == "RUNNING" and world.settle().wake_at == until
    assert world.rollout_state() is RolloutState.IN_PROGRESS
    world.converge()
    assert world.service.is_steady and held not in [task.task_id for task in world.service.tasks]


def test_a_deployment_of_nothing_is_completed() -> None:
    world = ServiceWorld(0)
    world.converge()
    assert world.rollout_state() is RolloutState.COMPLETED and world.service.is_steady


def test_a_deleted_service_stops_everything_and_is_inactive_when_nothing_lives() -> None:
    world = steady(3)
    world.update(world.service.tasks[0].task_id, protected_until=world.service.now + 3600)
    world.delete()
    assert len(world.decide().stops) == 3
    world.settle()
    assert world.status() is ServiceStatus.DRAINING
    for task in world.service.tasks[1:]:
        world.end(task.task_id)
    world.settle()
    assert world.status() is ServiceStatus.DRAINING and len(world.service.tasks) == 1
    world.converge()
    assert world.status() is ServiceStatus.INACTIVE and not world.service.deployments
    plan = reconcile(world.service, DEFAULT_KNOBS)
    assert plan.status is ServiceStatus.INACTIVE and not changes(world.service, plan)


def test_a_service_that_is_deleted_in_the_middle_of_a_deployment_stops_both() -> None:
    world = steady(2)
    world.deploy()
    world.settle()
    world.delete()
    assert len(world.decide().stops) == 4


def test_a_plan_stops_no_more_than_one_write_carries() -> None:
    world = steady(120)
    world.change(desired_count=0)
    assert len(world.decide().stops) == DEFAULT_KNOBS.service_stops_max
    world.converge()
    assert not world.service.tasks


# -- tasks that retire


def retire(world: ServiceWorld, count: int, by_s: float = 1000.0) -> list[str]:
    """The oldest ones that live."""
    task_ids = [task.task_id for task in world.service.tasks][:count]
    for task_id in task_ids:
        world.update(task_id, retires_by=world.service.now + by_s)
    return task_ids


def test_another_task_is_healthy_before_one_that_retires_is_stopped() -> None:
    world = steady(2)
    [gone] = retire(world, 1)
    assert counts(world.decide()) == (0, 1)
    world.settle()
    [fresh] = world.of(Standing.COMING)
    world.run(fresh.task_id)
    assert counts(world.decide()) == (0, 0), "it does not count yet"
    world.pass_time(40)
    plan = world.decide()
    assert [(stop.task_id, stop.why) for stop in plan.stops] == [
        (gone, "Service web: ECS is performing maintenance on the underlying infrastructure hosting the task")
    ]
    world.converge()
    assert world.service.is_steady and world.rollout_state() is RolloutState.COMPLETED
    assert world.events[-2:] == [
        f"(service web) has stopped 1 running tasks: (task {gone}).",
        "(service web) has reached a steady state.",
    ]


def test_a_low_minimum_does_not_make_retiring_tasks_stop_before_others_run() -> None:
    world = steady(4, 25, 200)
    retire(world, 4)
    assert counts(world.decide()) == (0, 4)


def test_where_no_task_may_be_beside_it_one_at_a_time_goes() -> None:
    world = steady(4, 25, 100)
    retire(world, 4)
    seen = 0
    while any(task.retires_by is not None for task in world.service.tasks):
        world.settle()
        assert len(world.of(Standing.HEALTHY)) >= 3
        for task in world.of(Standing.LEAVING):
            world.end(task.task_id)
            seen += 1
        world.settle()
        for task in world.of(Standing.COMING):
            world.run(task.task_id)
        world.pass_time(40)
    assert seen == 4


def test_where_the_limits_leave_no_way_it_stays_and_that_is_told() -> None:
    world = steady(2, 100, 100)
    retire(world, 1, by_s=0.0)
    world.settle()
    assert len(world.of(Standing.HEALTHY)) == 2 and world.events == [NO_WAY]


def test_its_protection_holds_until_its_account_s_wait_is_over() -> None:
    world = steady(1)
    [held] = retire(world, 1, by_s=500.0)
    world.update(held, protected_until=world.service.now + 1000)
    world.settle()
    [fresh] = world.of(Standing.COMING)
    world.run(fresh.task_id)
    world.pass_time(40)
    plan = world.settle()
    assert world.task(held).desired_status == "RUNNING" and plan.wake_at is not None
    assert plan.wake_at == world.task(held).retires_by
    world.pass_time(plan.wake_at - world.service.now)
    assert [stop.task_id for stop in world.decide().stops] == [held]


def test_a_task_that_may_stay_after_all_stays_and_the_one_too_many_goes() -> None:
    world = steady(1)
    [kept] = retire(world, 1)
    world.settle()
    world.update(kept, retires_by=None)
    world.converge()
    assert [task.task_id for task in world.service.tasks] == [kept] and world.service.is_steady


def test_of_a_failed_deployment_nothing_retires() -> None:
    """Nothing would be started in its place."""
    world = ServiceWorld(2, breaker=Breaker(enable=True))
    for _ in range(20):
        world.settle()
        for task in world.of(Standing.COMING)[:1]:
            world.end(task.task_id, "TaskFailedToStart")
        world.pass_time(900)
    assert world.rollout_state() is RolloutState.FAILED
    retire(world, 2)
    assert counts(world.decide()) == (0, 0)


def test_a_failed_deployment_scales_in_as_if_nothing_of_it_retired() -> None:
    world = steady(3)
    world.change(deployments=(structs.replace(world.primary, rollout_state=RolloutState.FAILED),), desired_count=1)
    retire(world, 1)
    assert counts(world.decide()) == (2, 0)
