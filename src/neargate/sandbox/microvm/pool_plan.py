"""How many machines of which size wait for a task, and which one is made or ended next. Pure.

What was wanted lately is what will be: of each size as many as were wanted at once, at the worst moment that is
remembered. The operator's memory bounds them all together; where it is too small, it goes round by round to the size
that has the least of what it wants.
"""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from .shapes import Shape

_PAGES_PART = 64  # the kernel keeps a table of all its pages
_GUEST_MIB = 40  # what a guest changes of a saved one's memory until it waits


class Want(Struct, frozen=True, kw_only=True):
    """A task's machine was made. `at`: monotonic seconds."""

    shape: Shape
    at: float


class Targets(Struct, frozen=True, kw_only=True):
    """`kept_s`: how long a want is remembered. `burst_s`: wants that come within it come at once.

    `overhead_mib`: what a monitor's process takes; `budget_mib`: for all machines that wait.
    """

    budget_mib: int
    overhead_mib: int
    kept_s: float
    burst_s: float


class PoolPlan(Struct, frozen=True, kw_only=True):
    """`end` comes before `make`, which is in the order of need. Sizes appear as often as machines are meant."""

    make: tuple[Shape, ...] = ()
    end: tuple[Shape, ...] = ()


def plan_pool(
    wants: Iterable[Want], waiting: Mapping[Shape, int], savable: Iterable[Shape], targets: Targets, now: float
) -> PoolPlan:
    """`savable`: sizes of which one can be made: those that are saved."""
    wanted = {shape: count for shape, count in peaks(wants, targets, now).items() if shape in frozenset(savable)}
    aims = shared(wanted, targets)
    end = [shape for shape, count in waiting.items() for _ in range(count - aims.get(shape, 0))]
    missing = {shape: aim - waiting.get(shape, 0) for shape, aim in aims.items()}
    # Those of which the smallest part is there come first, one after the other.
    ranked = sorted(
        ((waiting.get(shape, 0) + number) / aims[shape], _order(shape), shape)
        for shape, count in missing.items()
        for number in range(count)
    )
    return PoolPlan(make=tuple(shape for *_, shape in ranked), end=tuple(end))


def peaks(wants: Iterable[Want], targets: Targets, now: float) -> dict[Shape, int]:
    """Of each size the most that were wanted within `burst_s`."""
    times: dict[Shape, list[float]] = {}
    for want in wants:
        if now - want.at < targets.kept_s:
            times.setdefault(want.shape, []).append(want.at)
    return {shape: _peak(sorted(found), targets.burst_s) for shape, found in times.items()}


def shared(wanted: Mapping[Shape, int], targets: Targets) -> dict[Shape, int]:
    """As many of each as its wish, or as the budget allows: never more than either."""
    aims: dict[Shape, int] = {}
    left_mib = targets.budget_mib
    while True:
        fitting = [
            shape
            for shape, count in wanted.items()
            if aims.get(shape, 0) < count and cost_mib(shape, targets) <= left_mib
        ]
        if not fitting:
            return aims
        poorest = min(fitting, key=lambda shape: (aims.get(shape, 0) / wanted[shape], _order(shape)))
        aims[poorest] = aims.get(poorest, 0) + 1
        left_mib -= cost_mib(poorest, targets)


def cost_mib(shape: Shape, targets: Targets) -> int:
    """Of one that waits: it has touched little of its memory, and stands still."""
    return targets.overhead_mib + _GUEST_MIB + shape.memory_mib // _PAGES_PART


def _peak(times: Sequence[float], burst_s: float) -> int:
    first, most = 0, 0
    for last, at in enumerate(times):
        while at - times[first] > burst_s:
            first += 1
        most = max(most, last - first + 1)
    return most


def _order(shape: Shape) -> tuple[int, int, str]:
    """The small ones first: they cost the least."""
    return shape.memory_mib, shape.vcpus, shape.accelerator
