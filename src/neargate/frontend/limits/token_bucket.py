"""A token bucket: how many tokens are left, and whether so many may be taken now.

Pure. Tokens come back continuously; time that goes back gives none. Invariant: never more tokens than `burst`, so what
is admitted within any span is at most `burst` and `per_s` for each second of it.
"""

from typing import NamedTuple


class Rate(NamedTuple):
    """`burst` at once, `per_s` from then on."""

    burst: float
    per_s: float

    def shared(self, share: float, least: float = 1.0) -> "Rate":
        """Of one server process of several. A burst below `least` would never admit anything."""
        return Rate(max(self.burst * share, least), self.per_s * share)


class Level(NamedTuple):
    """What was left at an instant. A bucket without a level is full."""

    tokens: float
    at: float


def level_now(level: Level | None, rate: Rate, now: float) -> Level:
    if level is None:
        return Level(rate.burst, now)
    return Level(min(rate.burst, level.tokens + max(0.0, now - level.at) * rate.per_s), max(now, level.at))


def take(level: Level | None, rate: Rate, now: float, amount: float = 1.0) -> tuple[Level, bool]:
    """The new level, and whether the tokens were there. A refusal takes nothing: who is refused is not set back."""
    found = level_now(level, rate, now)
    if found.tokens + 1e-9 < amount:  # a sum of thousand small refills may lie a hair below the whole number
        return found, False
    return Level(found.tokens - amount, found.at), True
