"""Where the time of a launch went: the chain of steps that each waited for the one before. Pure.

Steps run side by side, so their durations do not add up to the launch's; those along this chain do, but for the gaps
between a step's end and the next one's begin. A gap is time that nothing explains, and is not hidden.
"""

from collections.abc import Mapping

from msgspec import Struct

# From the order's arrival to RUNNING, by stamps that the steps' own times have no part in.
WHOLE_LAUNCH = "launch.whole"


class Span(Struct, frozen=True, kw_only=True):
    """Seconds of one clock."""

    begun: float
    ended: float


def longest_way(spans: Mapping[str, Span], after: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Milliseconds of each step of the chain, in order; `after` names, in the list's order, what each waits for."""
    order = list(after)
    way: list[str] = []
    waited = tuple(after)
    while waited:
        # Of two that ended at one instant, the later in the list is the one that waited for more.
        way.append(max(waited, key=lambda name: (spans[name].ended, order.index(name))))
        waited = after[way[-1]]
    return {name: round((spans[name].ended - spans[name].begun) * 1000, 3) for name in reversed(way)}
