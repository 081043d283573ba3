"""Delta debugging of a failing seed's faults: the smallest list found that still fails in the same way.

Each candidate runs in a child of its own. Must not know what faults mean.
"""

from collections.abc import Callable, Sequence

from .batch import forked
from .faults import Fault
from .run import SeedResult


def shrink(
    faults: Sequence[Fault], kind: str | None, run: Callable[[Sequence[Fault]], SeedResult], runs_max: int = 60
) -> tuple[Fault, ...]:
    """`run` runs the seed with the given faults; `kind` is the first word of the failure that must stay."""
    kept = list(faults)
    runs = 0
    parts = 2
    while len(kept) > 1 and parts <= len(kept) and runs < runs_max:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            runs += 1
            if forked(lambda fewer=fewer: run(fewer)).kind == kind:  # type: ignore[misc]
                kept = fewer
                parts = max(2, parts - 1)
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), 2 * parts)
    if len(kept) == 1 and runs < runs_max and forked(lambda: run([])).kind == kind:
        return ()
    return tuple(kept)
