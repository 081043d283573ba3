"""Token buckets against a naive second reckoning, and the places of calls under way."""

from hypothesis import given
from hypothesis import strategies as st

from neargate.frontend.limits.admission import Admission
from neargate.frontend.limits.token_bucket import Level, Rate, take

RATE = Rate(100, 20)


def admitted(rate: Rate, times: list[float], amount: float = 1.0) -> list[bool]:
    level: Level | None = None
    outcomes = []
    for now in times:
        level, is_admitted = take(level, rate, now, amount)
        outcomes.append(is_admitted)
    return outcomes


def test_the_burst_at_once_then_the_refill() -> None:
    outcomes = admitted(RATE, [0.0] * 150 + [1.0] * 30 + [100.0] * 150)
    assert [sum(outcomes[:150]), sum(outcomes[150:180]), sum(outcomes[180:])] == [100, 20, 100]


def test_a_refusal_takes_nothing() -> None:
    level, is_admitted = take(Level(5.0, 0.0), RATE, 0.0, 10)
    assert not is_admitted and level == Level(5.0, 0.0)


def test_time_that_goes_back_gives_nothing() -> None:
    level, _ = take(Level(0.0, 50.0), RATE, 10.0)
    assert level == Level(0.0, 50.0)
    assert take(level, RATE, 50.0)[1] is False


def test_a_share_is_a_part_of_both_and_never_shuts_out() -> None:
    assert RATE.shared(0.5) == Rate(50, 10)
    assert Rate(5, 1).shared(0.1) == Rate(1, 0.1)
    assert RATE.shared(0.01, least=10) == Rate(10, 0.2)


@given(
    st.integers(1, 50),
    st.floats(0.1, 50),
    st.lists(st.floats(0, 3, allow_subnormal=False), min_size=1, max_size=120),
)
def test_no_span_admits_more_than_burst_and_refill(burst: int, per_s: float, gaps: list[float]) -> None:
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    outcomes = admitted(Rate(burst, per_s), times)
    taken = [now for now, is_admitted in zip(times, outcomes, strict=True) if is_admitted]
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + (taken[last] - taken[first]) * per_s + 1e-6


@given(st.floats(0.5, 20), st.integers(1, 20), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_as_one_who_counts_in_whole_steps(per_s: float, burst: int, gaps: list[int]) -> None:
    """Counting in ticks of 1/per_s gives back one token a tick: the same outcomes for calls at whole ticks."""
    ticks = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    tokens, before, naive = burst, 0, []
    for tick in ticks:
        tokens, before = min(burst, tokens + tick - before), tick
        naive.append(tokens > 0)
        tokens -= tokens > 0
    assert admitted(Rate(burst, per_s), [tick / per_s for tick in ticks]) == naive


def test_alone_half_of_the_places_and_a_newcomer_always_finds_one() -> None:
    places = Admission(80)
    assert sum(places.enter("greedy") for _ in range(1000)) == 35
    assert sum(places.enter("second") for _ in range(1000)) == 18
    for n in range(20):
        for _ in range(100):
            places.enter(f"greedy-{n}")
        if places.under_way < 80:
            assert places.enter(f"newcomer-{n}")
    assert places.under_way == 80 and not places.enter("one too many")
    for _ in range(35):
        places.leave("greedy")
    assert places.under_way == 45
    assert places.enter("greedy"), "what was left is free again"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=300))
def test_places_are_never_overrun_and_all_given_back(steps: list[tuple[bool, int]]) -> None:
    places, held = Admission(20), [0] * 10
    for enters, account in steps:
        if enters and places.enter(str(account)):
            held[account] += 1
        elif not enters and held[account]:
            places.leave(str(account))
            held[account] -= 1
        assert places.under_way == sum(held) <= 20
    for account, count in enumerate(held):
        for _ in range(count):
            places.leave(str(account))
    assert places.under_way == 0
    assert places.enter("anybody")
