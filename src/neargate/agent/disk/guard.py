"""When this host takes no tasks for want of disk, and which task is frozen before the disk behind all is full. Pure.

A full backing filesystem corrupts every task's disk, so one task is stopped before that: the one that wrote the most to
the host within a short window. One at a time: the room of the one that was frozen is waited for, unless free room goes
on to fall. Must not know how anything is measured or done.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from ...model.knobs import Knobs

_MIB = 1 << 20


class Look(Struct, frozen=True, kw_only=True):
    """One look at the disks. `at`: monotonic seconds. `allocated`: bytes of the host's disk by task id."""

    at: float
    free_fraction: float
    allocated: Mapping[str, int]


class Freeze(Struct, frozen=True, kw_only=True):
    """`reason` is read by the task's owner."""

    task_id: str
    reason: str


class Frozen(Struct, frozen=True, kw_only=True):
    """The last task that was frozen, while its room has not come back."""

    task_id: str
    at: float
    free_fraction: float


class Watch(Struct, frozen=True, kw_only=True):
    """What is remembered between looks. `looks`: those of the window, oldest first, none from before a freeze."""

    looks: tuple[Look, ...] = ()
    accepts_tasks: bool = True
    frozen: Frozen | None = None


class DiskPlan(Struct, frozen=True, kw_only=True):
    """`refusal`: why no task is taken; None: tasks are. `next_look_s`: seconds until the disks are looked at again."""

    watch: Watch
    refusal: str | None
    freeze: Freeze | None
    next_look_s: float


def decide(watch: Watch, look: Look, knobs: Knobs) -> DiskPlan:
    mark = knobs.disk_low_fraction if watch.accepts_tasks else knobs.disk_recovered_fraction
    accepts = look.free_fraction >= mark
    frozen = watch.frozen if _still_counts(watch.frozen, look, knobs) else None
    freeze = _fastest_writer(watch.looks, look, knobs) if frozen is None else None
    if freeze is not None:
        frozen = Frozen(task_id=freeze.task_id, at=look.at, free_fraction=look.free_fraction)
    return DiskPlan(
        watch=replace(
            watch,
            looks=(look,) if freeze is not None else _window(watch.looks, look, knobs),
            accepts_tasks=accepts,
            frozen=frozen,
        ),
        refusal=None if accepts else f"only {look.free_fraction:.0%} of the disk is free",
        freeze=freeze,
        next_look_s=_next_look_s(watch.looks, look, knobs),
    )


def _still_counts(frozen: Frozen | None, look: Look, knobs: Knobs) -> bool:
    """Its room is still on its way back. Half of what was free then is gone too: somebody else writes as well."""
    return (
        frozen is not None
        and look.allocated.get(frozen.task_id, 0) > 0
        and look.at - frozen.at < knobs.disk_recovery_s
        and look.free_fraction > frozen.free_fraction / 2
    )


def _fastest_writer(looks: tuple[Look, ...], look: Look, knobs: Knobs) -> Freeze | None:
    """None also when no task wrote: then something else fills the disk, and stopping a task would not end it."""
    if look.free_fraction >= knobs.disk_floor_fraction or not looks:
        return None
    base = looks[0]
    # A disk that was not there at the first look of the window was written within it.
    grown, task_id = max(
        ((held - base.allocated.get(task_id, 0), task_id) for task_id, held in look.allocated.items()),
        default=(0, ""),
    )
    # A little is written by everybody; only when the rest runs out as well is a little too much.
    least = knobs.disk_blame_min_bytes if look.free_fraction >= knobs.disk_floor_fraction / 2 else 1
    if grown < least:
        return None
    reason = (
        f"Host disk exhausted: {look.free_fraction:.1%} of the disk behind this host's tasks was free and this task "
        f"was its fastest writer ({_mib(grown)} MiB in the last {look.at - base.at:.1f} s)"
    )
    return Freeze(task_id=task_id, reason=reason)


def _mib(size: int) -> str:
    return f"{size / _MIB:.0f}" if size >= 10 * _MIB else f"{size / _MIB:.1f}"


def _window(looks: tuple[Look, ...], look: Look, knobs: Knobs) -> tuple[Look, ...]:
    """What the next look is compared with: never empty, so that also after a long pause writers are told apart."""
    since = look.at - knobs.disk_blame_window_s
    return (*(item for item in looks if item.at >= since), look)


def _next_look_s(looks: tuple[Look, ...], look: Look, knobs: Knobs) -> float:
    """Often when little is free, and already when the ordinary pause would be long enough to come to that."""
    if look.free_fraction < knobs.disk_low_fraction:
        return knobs.disk_watch_period_s
    if looks and look.at > looks[-1].at:
        fall_per_s = (looks[-1].free_fraction - look.free_fraction) / (look.at - looks[-1].at)
        if look.free_fraction - fall_per_s * knobs.host_check_period_s < knobs.disk_low_fraction:
            return knobs.disk_watch_period_s
    return knobs.host_check_period_s
