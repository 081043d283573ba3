"""Every point of a small script, one kill each: effects and steps of every process, named points of the real agent."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from neargate.agent.points import Point
from neargate.testing.sim.batch import forked, in_order
from neargate.testing.sim.points import Kill, NamedKill, Small, real
from neargate.testing.sim.run import SeedResult
from neargate.wire.shapes import Models

SERVER_STEPS_APART = 5  # it takes about a thousand
REAL_EFFECTS_APART = 29
TARGETS = (("agent",), ("server",), ("engine",), ("agent", "server"), ("agent", "engine"))


Play = Callable[[Any], SeedResult]


def counted(play: Play, what: str) -> dict[str, int]:
    """How many effects or steps each process takes in the script without a kill."""
    whole = forked(partial(play, None))
    assert whole.error is None
    return {name.partition(" ")[2]: n for name, n in whole.coverage.items() if name.startswith(f"{what} ")}


def check(play: Play, first: Callable[[], object], kills: Sequence[Kill | NamedKill]) -> None:
    results = in_order((partial(play, kill) for kill in kills), first)
    assert len(results) == len(kills), [result.error for result in results if result.error]
    failed = [f"{kill}: {result.error}" for kill, result in zip(kills, results, strict=True) if result.error]
    assert failed == []


@pytest.mark.timeout(600)
def test_a_kill_at_every_effect(models: Models) -> None:
    small = Small(models)
    effects = counted(small.play, "effects")
    kills = [Kill(target=name, effect=n + 1) for name, count in effects.items() for n in range(count)]
    assert len(kills) > 200
    check(small.play, small.begin, kills)


@pytest.mark.timeout(600)
def test_a_kill_at_every_effect_while_spot_tasks_are_interrupted(models: Models) -> None:
    small = Small(models, spot=True)
    whole = forked(partial(small.play, None))
    assert whole.coverage["interrupted"] == 2, "the script needs the room of two"
    kills = [
        Kill(target=name, effect=n + 1) for name, count in counted(small.play, "effects").items() for n in range(count)
    ]
    assert len(kills) > 80
    check(small.play, small.begin, kills)


@pytest.mark.timeout(600)
def test_a_kill_at_steps(models: Models) -> None:
    small = Small(models)
    kills = [
        Kill(target=name, step=n + 1)
        for name, count in counted(small.play, "steps").items()
        for n in range(0, count, SERVER_STEPS_APART if name == "server" else 1)
    ]
    check(small.play, small.begin, kills)


@pytest.mark.timeout(600)
def test_a_kill_at_effects_around_a_real_agent(models: Models) -> None:
    kills = [
        Kill(target=name, effect=n + 1)
        for name, count in counted(partial(real, models), "effects").items()
        for n in range(0, count, REAL_EFFECTS_APART)
    ]
    check(partial(real, models), partial(real, models, None), kills)


@pytest.mark.timeout(600)
def test_kills_at_every_named_point_of_the_agent(models: Models) -> None:
    whole = forked(partial(real, models, None))
    assert whole.error is None
    assert [point for point in Point if f"point {point}" not in whole.coverage] == [], "the script must reach them all"
    kills = [NamedKill(point=point, targets=targets) for point in Point for targets in TARGETS]
    check(partial(real, models), partial(real, models, None), kills)
