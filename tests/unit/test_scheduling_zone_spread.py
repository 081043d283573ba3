"""Zone spread: tasks of a family differ by at most one between zones and ties do not favour one."""

from hypothesis import given
from hypothesis import strategies as st

from neargate.model.capacity import SubnetView
from neargate.scheduling.zone_spread import subnet_in_zone, zones_in_order


def subnet(zone: str, number: int = 0) -> SubnetView:
    return SubnetView(
        subnet_id=f"subnet-{zone}{number}", vpc_id="vpc-1", zone=zone, zone_id=zone, cidr=f"10.{number}.0.0/24"
    )


ZONE_NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True)


@given(zones=ZONE_NAMES, turns=st.lists(st.integers(0, 2**16), min_size=1, max_size=60))
def test_tasks_placed_one_by_one_differ_by_at_most_one(zones: list[str], turns: list[int]) -> None:
    subnets = [subnet(zone, n) for zone in zones for n in range(2)]
    live: dict[str, int] = {}
    for turn in turns:
        first = zones_in_order(subnets, live, turn)[0]
        live[first] = live.get(first, 0) + 1
        counts = [live.get(zone, 0) for zone in zones]
        assert max(counts) - min(counts) <= 1


@given(
    zones=ZONE_NAMES, live=st.dictionaries(st.sampled_from("abcdefxyz"), st.integers(0, 9)), turn=st.integers(0, 999)
)
def test_every_zone_is_tried_once_and_the_emptier_first(zones: list[str], live: dict[str, int], turn: int) -> None:
    order = zones_in_order([subnet(zone) for zone in zones], live, turn)
    assert sorted(order) == sorted(zones)
    counts = [live.get(zone, 0) for zone in order]
    assert counts == sorted(counts)


@given(
    start=st.dictionaries(st.sampled_from("abc"), st.integers(0, 30)), turns=st.lists(st.integers(0, 99), max_size=99)
)
def test_an_uneven_start_never_gets_worse(start: dict[str, int], turns: list[int]) -> None:
    subnets, live = [subnet(zone) for zone in "abc"], dict(start)
    spread = max(max(live.get(zone, 0) for zone in "abc") - min(live.get(zone, 0) for zone in "abc"), 1)
    for turn in turns:
        first = zones_in_order(subnets, live, turn)[0]
        live[first] = live.get(first, 0) + 1
        now = max(live.get(zone, 0) for zone in "abc") - min(live.get(zone, 0) for zone in "abc")
        assert now <= spread
        spread = max(now, 1)


def test_families_of_one_task_do_not_all_land_in_the_first_zone() -> None:
    subnets = [subnet(zone) for zone in "abc"]
    assert {zones_in_order(subnets, {}, turn)[0] for turn in range(3)} == {"a", "b", "c"}


def test_each_subnet_of_a_zone_gets_its_turn() -> None:
    subnets = [subnet("a", 2), subnet("b"), subnet("a", 1)]
    assert [subnet_in_zone(subnets, "a", turn).subnet_id for turn in range(3)] == [
        "subnet-a1",
        "subnet-a2",
        "subnet-a1",
    ]
