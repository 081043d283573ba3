"""Zones of a service: who goes first on scale-in, and AZ rebalancing, which starts before it stops."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from neargate.scheduling.services import zones
from neargate.scheduling.services.health import Standing
from neargate.scheduling.services.state import ContainerHealth, ServiceTask
from neargate.testing.service_world import ServiceWorld


def task(number: int, zone: str) -> ServiceTask:
    return ServiceTask(
        task_id=f"task-{number}",
        deployment_id="ecs-svc/1",
        zone=zone,
        last_status="RUNNING",
        desired_status="RUNNING",
        created_at=float(number),
    )


def in_zone_a_only(desired: int, maximum: int = 200) -> ServiceWorld:
    """A steady service, all of whose tasks were started while the other zones were full. Now it is to be balanced."""
    world = ServiceWorld(desired, 100, maximum)
    world.full_zones |= {"b", "c"}
    world.converge()
    assert world.service.is_steady
    world.full_zones.clear()
    world.change(zone_rebalancing=True, is_steady=True)
    world.events.clear()
    return world


def occupied(world: ServiceWorld) -> dict[str, int]:
    return dict(sorted(Counter(each.zone for each in world.service.tasks).items()))


@given(places=st.lists(st.sampled_from("abc"), min_size=1, max_size=30), count=st.integers(1, 30))
def test_tasks_go_from_the_fullest_zone_and_the_newest_there(places: list[str], count: int) -> None:
    tasks = [task(number, zone) for number, zone in enumerate(places)]
    gone = zones.first_to_go((tasks,), zones.occupied(tasks), count)
    assert len(gone) == min(count, len(tasks)) == len({each.task_id for each in gone})
    left = [each for each in tasks if each not in gone]
    before, after = Counter(places), Counter(each.zone for each in left)
    for zone in before:
        if after[zone] < before[zone]:  # a zone from which tasks went is as full as any other is, or one below
            assert after[zone] >= max(after.values(), default=0) - 1
        of_zone = [each for each in tasks if each.zone == zone]
        assert [each for each in left if each.zone == zone] == of_zone[: after[zone]]


def test_an_earlier_group_goes_whatever_its_zone() -> None:
    first, second = [task(1, "b")], [task(2, "a"), task(3, "a")]
    assert zones.first_to_go((first, second), zones.occupied((*first, *second)), 2) == [first[0], second[1]]


@given(counts=st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1), room=st.integers(0, 20))
def test_moves_balance_as_far_as_there_is_room(counts: dict[str, int], room: int) -> None:
    more = zones.moves(counts, room)
    after = {zone: counts[zone] + more.get(zone, 0) for zone in counts}
    tasks = [task(number, zone) for number, zone in enumerate(zone for zone in after for _ in range(after[zone]))]
    for each in zones.first_to_go((tasks,), after, sum(more.values())):
        after[each.zone] -= 1
    assert sum(after.values()) == sum(counts.values()) and sum(more.values()) <= room
    assert zones.is_balanced(after) or sum(more.values()) == room
    assert all(count > 0 for count in more.values())


def test_rebalancing_starts_first_stops_then_and_tells_it_as_aws_does() -> None:
    world = in_zone_a_only(3)
    world.settle()
    coming = world.of(Standing.COMING)
    assert sorted(each.zone for each in coming) == ["b", "c"] and not world.of(Standing.LEAVING)
    world.converge()
    assert occupied(world) == {"a": 1, "b": 1, "c": 1} and world.service.is_steady and not world.service.rebalancing
    assert world.events[0] == (
        "(service web) is not AZ balanced with 3 tasks in a, 0 tasks in b, 0 tasks in c. AZ Rebalancing in progress."
    )
    assert world.events[1] == f"(service web) has started 1 tasks in b to AZ Rebalance: (task {coming[0].task_id})."
    assert world.events[3].startswith("(service web) has stopped 2 running tasks in a due to AZ rebalancing: (task ")
    assert world.events[4:] == [
        "(service web) is AZ balanced with 1 tasks in a, 1 tasks in b, 1 tasks in c.",
        "(service web) has reached a steady state.",
    ]


def test_without_room_above_the_desired_count_nothing_is_moved() -> None:
    world = in_zone_a_only(3, maximum=100)
    world.converge()
    assert occupied(world) == {"a": 3} and world.service.is_steady and not any("AZ" in event for event in world.events)


def test_one_task_of_room_moves_them_one_by_one() -> None:
    world = in_zone_a_only(6, maximum=117)
    most = 0
    while not zones.is_balanced(zones.in_zones("abc", zones.occupied(world.service.tasks))):
        world.settle()
        most = max(most, len(world.of(Standing.COMING, Standing.SETTLING, Standing.HEALTHY)))
        world.converge()
    assert most == 7 and occupied(world) == {"a": 2, "b": 2, "c": 2}


def test_a_task_more_for_the_sake_of_balance_is_not_taken_for_surplus() -> None:
    world = in_zone_a_only(2)
    world.settle()
    assert len(world.of(Standing.COMING)) == 1
    world.pass_time(10)
    assert not world.decide().stops
    world.change(zone_rebalancing=False)
    assert [stop.task_id for stop in world.decide().stops] == [each.task_id for each in world.of(Standing.COMING)]


def test_who_becomes_unhealthy_meanwhile_comes_before_balance() -> None:
    world = in_zone_a_only(3)
    world.settle()
    for each in world.of(Standing.COMING):
        world.run(each.task_id)
    sick = world.of(Standing.HEALTHY)[0].task_id
    world.update(sick, container_health=ContainerHealth.UNHEALTHY)
    world.converge()
    assert world.service.is_steady and sick not in [each.task_id for each in world.service.tasks]
    assert occupied(world) == {"a": 1, "b": 1, "c": 1}


def test_a_deployment_comes_before_balance() -> None:
    world = in_zone_a_only(3)
    world.deploy()
    world.converge()
    assert occupied(world) == {"a": 1, "b": 1, "c": 1} and not any("AZ Rebalance" in event for event in world.events)


def test_a_round_that_found_no_room_is_not_begun_again_and_again() -> None:
    world = in_zone_a_only(3)
    world.full_zones |= {"b", "c"}
    world.converge()
    assert [event for event in world.events if "AZ" in event] == [
        "(service web) is not AZ balanced with 3 tasks in a, 0 tasks in b, 0 tasks in c. AZ Rebalancing in progress."
    ]
    assert world.settle().wake_at is None and occupied(world) == {"a": 3}


def test_balance_begins_when_the_service_is_steady() -> None:
    world = in_zone_a_only(3)
    world.change(is_steady=False)
    world.settle()
    assert world.events[0] == "(service web) has reached a steady state." and "is not AZ balanced" in world.events[1]


def test_scale_in_is_not_called_rebalancing() -> None:
    world = ServiceWorld(4, zone_rebalancing=True)
    world.converge()
    world.change(desired_count=3)
    plan = world.decide()
    assert plan.events == (f"(service web) has stopped 1 running tasks: (task {plan.stops[0].task_id}).",)
    assert world.task(plan.stops[0].task_id).zone == "a"  # where two are
