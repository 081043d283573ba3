"""How a call's tasks are divided among capacity providers."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from neargate.scheduling.strategy import StrategyItem, split

WEIGHTS = st.lists(st.integers(0, 1000), min_size=1, max_size=5).filter(any)
TURNS = st.floats(0, 1, exclude_max=True)


def items(*weights: int, base: int = 0, based: int = 0) -> list[StrategyItem]:
    return [
        StrategyItem(provider=f"p{n}", weight=weight, base=base if n == based else 0)
        for n, weight in enumerate(weights)
    ]


def test_base_comes_first_and_the_rest_goes_by_weight() -> None:
    assert split(items(1, 4), 10, 0.0) == ("p0",) * 2 + ("p1",) * 8
    assert split(items(1, 1, base=4), 10, 0.5) == ("p0",) * 7 + ("p1",) * 3
    assert split(items(0, 1, base=2), 5, 0.5) == ("p0",) * 2 + ("p1",) * 3
    assert split(items(0, 1, base=100_000), 3, 0.5) == ("p0",) * 3


def test_single_tasks_follow_the_weights_as_often_as_they_say() -> None:
    turns = [n / 100 for n in range(100)]
    counts = Counter(split(items(1, 3), 1, turn)[0] for turn in turns)
    assert counts == {"p0": 25, "p1": 75}


@given(weights=WEIGHTS, count=st.integers(1, 10), turn=TURNS)
def test_each_part_is_less_than_one_task_from_its_share(weights: list[int], count: int, turn: float) -> None:
    given_to = Counter(split(items(*weights), count, turn))
    assert sum(given_to.values()) == count
    for n, weight in enumerate(weights):
        assert abs(given_to[f"p{n}"] - count * weight / sum(weights)) < 1 + 1e-9
        assert weight or not given_to[f"p{n}"], "who has no weight gets nothing"


@given(weights=WEIGHTS, base=st.integers(0, 20), count=st.integers(1, 10), turn=TURNS, based=st.integers(0, 4))
def test_the_base_is_met_before_anything_else(
    weights: list[int], base: int, count: int, turn: float, based: int
) -> None:
    based %= len(weights)
    got = split(items(*weights, base=base, based=based), count, turn)
    assert len(got) == count
    first = min(base, count)
    assert got[:first] == (f"p{based}",) * first
