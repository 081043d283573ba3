"""Every point of a small script, one kill each: effects and steps of every process, named points of the real agent."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from neargate.agent.points import Point
from neargate.testing.sim.batch import forked, in_order
from neargate.testing.sim.points import Kill, NamedKill, real, small
from neargate.testing.sim.run import SeedResult
from neargate.wire.shapes import Models

SERVER_STEPS_APART = 5  # it takes about a thousand
REAL_EFFECTS_APART = 29
TARGETS = (("agent",), ("server",), ("engine",), ("agent", "server"), ("agent", "engine"))


def counted(run: Callable[[Models, Kill | None], SeedResult], models: Models, what: str) -> dict[str, int]:
    """How many effects or steps each process takes in the script without a kill."""
    whole = forked(partial(run, models, None))
    assert whole.error is None
    return {name.partition(" ")[2]: n for name, n in whole.coverage.items() if name.startswith(f"{what} ")}


def check(run: Callable[[Models, Any], SeedResult], models: Models, kills: Sequence[Kill | NamedKill]) -> None:
    failed = [
        f"{kill}: {result.error}"
        for kill, result in zip(kills, in_order(partial(run, models, kill) for kill in kills), strict=True)
        if result.error
    ]
    assert failed == []


@pytest.mark.timeout(600)
def test_a_kill_at_every_effect(models: Models) -> None:
    effects = counted(small, models, "effects")
    kills = [Kill(target=name, effect=n + 1) for name, count in effects.items() for n in range(count)]
    assert len(kills) > 200
    check(small, models, kills)


@pytest.mark.timeout(600)
def test_a_kill_at_steps(models: Models) -> None:
    kills = [
        Kill(target=name, step=n + 1)
        for name, count in counted(small, models, "steps").items()
        for n in range(0, count, SERVER_STEPS_APART if name == "server" else 1)
    ]
    check(small, models, kills)


@pytest.mark.timeout(600)
def test_a_kill_at_effects_around_a_real_agent(models: Models) -> None:
    kills = [
        Kill(target=name, effect=n + 1)
        for name, count in counted(real, models, "effects").items()
        for n in range(0, count, REAL_EFFECTS_APART)
    ]
    check(real, models, kills)


@pytest.mark.timeout(600)
def test_kills_at_every_named_point_of_the_agent(models: Models) -> None:
    whole = forked(partial(real, models, None))
    assert whole.error is None
    assert [point for point in Point if f"point {point}" not in whole.coverage] == [], "the script must reach them all"
    check(real, models, [NamedKill(point=point, targets=targets) for point in Point for targets in TARGETS])
