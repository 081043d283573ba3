"""The planner of machines that wait: within the budget, no more than were wanted, and at rest once it is followed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.sandbox.microvm.pool_plan import Targets, Want, cost_mib, peaks, plan_pool
from neargate.sandbox.microvm.shapes import Shape

NOW = 10_000.0
TARGETS = Targets(budget_mib=1000, overhead_mib=64, kept_s=900.0, burst_s=10.0)
SMALL = Shape(accelerator="kvm", vcpus=1, memory_mib=586)
LARGE = Shape(accelerator="kvm", vcpus=4, memory_mib=16_771)

shapes = st.builds(
    Shape, accelerator=st.sampled_from(["kvm", "tcg"]), vcpus=st.integers(1, 4), memory_mib=st.sampled_from([586, 8419])
)
wants = st.lists(st.builds(Want, shape=shapes, at=st.floats(NOW - 1000, NOW)), max_size=30)
waitings = st.dictionaries(shapes, st.integers(1, 6), max_size=5)
budgets = st.integers(0, 4000).map(lambda mib: replace(TARGETS, budget_mib=mib))


def cost(waiting: Counter[Shape], targets: Targets) -> int:
    return sum(cost_mib(shape, targets) * count for shape, count in waiting.items())


def followed(waiting: Counter[Shape], made: tuple[Shape, ...], ended: tuple[Shape, ...]) -> Counter[Shape]:
    after = waiting.copy()
    after.subtract(ended)
    after.update(made)
    return +after


@given(wants, waitings, st.frozensets(shapes), budgets)
def test_who_follows_it_is_never_over_the_budget_and_then_at_rest(
    found: list[Want], there: dict[Shape, int], savable: frozenset[Shape], targets: Targets
) -> None:
    waiting = Counter(there)
    plan = plan_pool(found, waiting, savable, targets, NOW)
    assert all(waiting[shape] >= count for shape, count in Counter(plan.end).items())
    waiting = followed(waiting, (), plan.end)
    assert cost(waiting, targets) <= targets.budget_mib, "what is too much ends first"
    for shape in plan.make:
        waiting[shape] += 1
        assert cost(waiting, targets) <= targets.budget_mib
    again = plan_pool(found, waiting, savable, targets, NOW)
    assert (again.make, again.end) == ((), ())


@given(wants, waitings, st.frozensets(shapes), budgets)
def test_it_makes_what_was_wanted_and_can_be_made_and_no_more(
    found: list[Want], there: dict[Shape, int], savable: frozenset[Shape], targets: Targets
) -> None:
    plan = plan_pool(found, there, savable, targets, NOW)
    after = followed(Counter(there), plan.make, plan.end)
    wanted = peaks(found, targets, NOW)
    assert all(shape in savable and count <= wanted[shape] for shape, count in after.items())


@given(wants, st.frozensets(shapes))
def test_with_room_for_all_everything_that_was_wanted_waits(found: list[Want], savable: frozenset[Shape]) -> None:
    targets = replace(TARGETS, budget_mib=1_000_000)
    plan = plan_pool(found, {}, savable, targets, NOW)
    assert Counter(plan.make) == {
        shape: count for shape, count in peaks(found, targets, NOW).items() if shape in savable
    }


@given(wants, waitings, budgets)
def test_one_step_after_the_other_comes_to_the_same_rest(
    found: list[Want], there: dict[Shape, int], targets: Targets
) -> None:
    waiting = Counter(there)
    savable = {want.shape for want in found}
    whole = plan_pool(found, waiting, savable, targets, NOW)
    aim = followed(waiting, whole.make, whole.end)
    for _ in range(len(whole.make) + len(whole.end)):
        plan = plan_pool(found, waiting, savable, targets, NOW)
        waiting = followed(waiting, plan.make[:1] if not plan.end else (), plan.end[:1])
    assert waiting == aim


def burst(shape: Shape, count: int, at: float) -> list[Want]:
    return [Want(shape=shape, at=at + number / 10) for number in range(count)]


def test_as_many_wait_as_were_wanted_at_once() -> None:
    found = burst(SMALL, 3, NOW - 500) + burst(SMALL, 2, NOW - 100)
    assert plan_pool(found, {SMALL: 1}, [SMALL], TARGETS, NOW).make == (SMALL, SMALL)


def test_what_was_wanted_long_ago_is_forgotten() -> None:
    plan = plan_pool(burst(SMALL, 3, NOW - 2000), {SMALL: 2}, [SMALL], TARGETS, NOW)
    assert (plan.make, plan.end) == ((), (SMALL, SMALL))


def test_a_small_budget_goes_round_and_leaves_nobody_without() -> None:
    found = burst(SMALL, 9, NOW - 50) + burst(LARGE, 1, NOW - 50)
    targets = replace(TARGETS, budget_mib=cost_mib(LARGE, TARGETS) + 3 * cost_mib(SMALL, TARGETS))
    assert Counter(plan_pool(found, {}, [SMALL, LARGE], targets, NOW).make) == {SMALL: 3, LARGE: 1}


@pytest.mark.parametrize("budget_mib", [0, 50])
def test_without_room_for_one_none_waits(budget_mib: int) -> None:
    targets = replace(TARGETS, budget_mib=budget_mib)
    plan = plan_pool(burst(SMALL, 3, NOW - 5), {SMALL: 1}, [SMALL], targets, NOW)
    assert (plan.make, plan.end) == ((), (SMALL,))
