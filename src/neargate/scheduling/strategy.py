"""How the tasks of one call are divided among the capacity providers of a strategy: base first, then by weight.

Pure; must not know clusters or room. Invariants: every task gets a provider that has a base or a weight; a provider's
part of what the base leaves is less than one task away from its exact share.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate

from msgspec import Struct


class StrategyItem(Struct, frozen=True, kw_only=True):
    """One capacity provider of a strategy. `weight` and `base` are 0 or more."""

    provider: str
    base: int = 0
    weight: int = 0


def split(strategy: Sequence[StrategyItem], count: int, turn: float) -> tuple[str, ...]:
    """The provider of each of `count` tasks, in the strategy's order. At least one weight is above zero.

    `turn` in [0, 1) is drawn for the call: a remainder goes to each provider as often as its weight says, so that
    tasks that are run one by one come to the same proportions as ten of one call.
    """
    base = [item.provider for item in strategy for _ in range(min(item.base, count))][:count]
    left = count - len(base)
    weighted = [item for item in strategy if item.weight]
    bounds = list(accumulate(item.weight for item in weighted))
    points = [(n + turn) * bounds[-1] / left for n in range(left)]
    shares = [next((n for n, bound in enumerate(bounds) if point < bound), len(bounds) - 1) for point in points]
    return (*base, *(weighted[n].provider for n in shares))


def split_beside(
    strategy: Sequence[StrategyItem], running: Mapping[str, int], count: int, turn: float
) -> tuple[str, ...]:
    """The provider of each of `count` more tasks, beside those that run: together they come to the strategy's parts.

    `running`: provider -> tasks. What a provider has too many of is not taken away; the new ones go to the others.
    """
    total = count + sum(running.values())
    wanted = Counter(split(strategy, total, turn))
    wanted.subtract(running)
    missing = [item.provider for item in strategy for _ in range(max(wanted[item.provider], 0))]
    return tuple(missing[:count])
