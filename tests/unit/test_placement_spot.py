"""Is there spare room for a Spot task, and which Spot tasks go when an on-demand task needs theirs."""

from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from neargate.model.capacity import TaskOverhead
from neargate.placement.feasible import HostView, Wanted
from neargate.placement.reserve import Room
from neargate.placement.spot import SpotTask, is_spare, reclaim

ZONE, ACCOUNT = "a", "123456789012"


def host(host_id: str = "h", free: int = 0, **changes: Any) -> HostView:
    """`free` is MiB of memory; CPU and disk are enough unless they are given."""
    values = {"host_id": host_id, "free_memory_mib": free, "free_cpu_units": 10**6, "free_disk_gib": 10**6}
    return HostView(**(values | changes))


def wanted(memory: int) -> Wanted:
    return Wanted(zone=ZONE, account=ACCOUNT, cpu_units=1, memory_mib=memory, disk_gib=1)


def spot(name: str, memory: int, at: float, host_id: str = "h", *, leaving: bool = False) -> SpotTask:
    room = Room(cpu_units=1, memory_mib=memory, disk_gib=1)
    return SpotTask(key=(name, ZONE), host_id=host_id, room=room, created_at=at, is_leaving=leaving)


def names(keys: tuple[tuple[str, str], ...]) -> list[str]:
    return [name for name, _ in keys]


def test_the_newest_go_first_and_no_more_than_needed() -> None:
    tasks = [spot("old", 512, 1), spot("mid", 512, 2), spot("new", 512, 3)]
    plan = reclaim([host(free=256)], tasks, wanted(512))
    assert plan is not None and names(plan.victims) == ["new"] and plan.coming.memory_mib == 512
    plan = reclaim([host()], tasks, wanted(1024))
    assert plan is not None and names(plan.victims) == ["new", "mid"]


def test_room_is_taken_back_also_for_what_the_host_needs_beside_the_task() -> None:
    machines = host(free=512, overhead=TaskOverhead(memory_mib=100, memory_part=50))
    plan = reclaim([machines], [spot("old", 110, 1), spot("new", 109, 2)], wanted(512))
    assert plan is not None and names(plan.victims) == ["old"]
    assert reclaim([machines], [spot("new", 109, 2)], wanted(512)) is None


def test_a_small_task_that_would_not_help_stays() -> None:
    plan = reclaim([host()], [spot("large", 1024, 1), spot("small", 128, 2)], wanted(1024))
    assert plan is not None and names(plan.victims) == ["large"]


def test_the_host_where_fewest_must_go_is_cleared() -> None:
    tasks = [spot("a1", 256, 9, "a"), spot("a2", 256, 8, "a"), spot("b1", 512, 1, "b")]
    plan = reclaim([host("a"), host("b")], tasks, wanted(512))
    assert plan is not None and plan.host_id == "b" and names(plan.victims) == ["b1"]


def test_who_is_leaving_already_is_waited_for_and_nobody_else() -> None:
    tasks = [spot("leaves", 512, 1, leaving=True), spot("stays", 512, 2)]
    plan = reclaim([host()], tasks, wanted(512))
    assert plan is not None and plan.victims == () and names(plan.waits_for) == ["leaves"]
    # Its room is promised: what is free is below zero by as much.
    plan = reclaim([host(free=-512)], tasks, wanted(512))
    assert plan is not None and names(plan.victims) == ["stays"] and names(plan.waits_for) == ["leaves", "stays"]


def test_no_plan_where_spot_is_not_what_is_in_the_way() -> None:
    task = spot("one", 512, 1)
    assert reclaim([host()], [], wanted(512)) is None
    assert reclaim([host()], [task], wanted(1024)) is None
    assert reclaim([host(connected=False)], [task], wanted(512)) is None
    assert reclaim([host(tenant="210987654321")], [task], wanted(512)) is None
    assert reclaim([host(pool="210987654321")], [task], wanted(512)) is None


def test_spare_room_is_a_share_of_each_resource() -> None:
    offered = Room(cpu_units=1000, memory_mib=1000, disk_gib=1000)
    held = Room(cpu_units=100, memory_mib=200, disk_gib=100)
    one = Wanted(zone=ZONE, account=ACCOUNT, cpu_units=100, memory_mib=100, disk_gib=100)
    assert is_spare(offered, held, one, 30)
    assert not is_spare(offered, held, one, 29)
    assert not is_spare(Room(), Room(), one, 100), "no host, no room"
    assert not is_spare(offered, Room(), one, 0)


TASKS = st.lists(st.tuples(st.sampled_from([128, 256, 512, 1024]), st.integers(0, 5), st.booleans()), max_size=6)


@given(tasks=TASKS, free=st.integers(-1024, 512), need=st.integers(1, 3072))
def test_a_plan_suffices_spares_whom_it_can_and_is_found_when_there_is_one(
    tasks: list[tuple[int, int, bool]], free: int, need: int
) -> None:
    held = [spot(f"t{n}", size, at, leaving=leaving) for n, (size, at, leaving) in enumerate(tasks)]
    plan = reclaim([host(free=free)], held, wanted(need))
    if plan is None:
        assert not held or free + sum(task.room.memory_mib for task in held) < need
        return
    size = {task.key: task.room.memory_mib for task in held}
    leaving = sum(task.room.memory_mib for task in held if task.is_leaving)
    freed = free + leaving + sum(size[key] for key in plan.victims)
    assert freed >= need and free + plan.coming.memory_mib == freed
    assert set(plan.waits_for) == {task.key for task in held if task.is_leaving} | set(plan.victims)
    if plan.victims:
        for fewer in combinations(plan.victims, len(plan.victims) - 1):
            assert free + leaving + sum(size[key] for key in fewer) < need, "each of them is needed"
