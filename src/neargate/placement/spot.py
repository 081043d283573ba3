"""Spot's two decisions: is there spare room for one more, and who goes when an on-demand task needs its room.

Pure. Room is taken back on one host, from as few tasks as possible, the newest first: they have the least to lose.
Invariant: what is chosen suffices together with what is free and what is leaving already, and no task of it is idle.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from .feasible import HostView, Wanted, memory_on, refusal
from .reserve import Room

Key = tuple[str, str]  # task id, zone


class SpotTask(Struct, frozen=True, kw_only=True):
    """A Spot task that holds room. `is_leaving`: somebody waits for its end already."""

    key: Key
    host_id: str
    room: Room
    created_at: float
    is_leaving: bool = False


class Reclaim(Struct, frozen=True, kw_only=True):
    """`victims` are to be interrupted now; `waits_for` is all that must be gone first, `coming` the room of these."""

    host_id: str
    victims: tuple[Key, ...]
    waits_for: tuple[Key, ...]
    coming: Room


def is_spare(offered: Room, held: Room, wanted: Wanted, percent: int) -> bool:
    """May a Spot task be added? `offered` by the hosts that could take it, `held` there by Spot tasks.

    Which host it will be is open yet, and so is what that needs beside the task.
    """
    return all(
        (has + more) * 100 <= all_of_it * percent
        for has, more, all_of_it in (
            (held.cpu_units, wanted.cpu_units, offered.cpu_units),
            (held.memory_mib, wanted.memory_mib, offered.memory_mib),
            (held.disk_gib, wanted.disk_gib, offered.disk_gib),
        )
    )


def reclaim(hosts: Iterable[HostView], spot: Iterable[SpotTask], wanted: Wanted) -> Reclaim | None:
    """The host that can be cleared for the task at the least cost. None: no host would have room without Spot tasks."""
    of_host: dict[str, list[SpotTask]] = {}
    for task in spot:
        of_host.setdefault(task.host_id, []).append(task)
    plans = [
        _plan(host, of_host[host.host_id], wanted)
        for host in hosts
        if host.host_id in of_host and _could_take(host, of_host[host.host_id], wanted)
    ]
    return min(plans, key=lambda plan: plan[0])[1] if plans else None


def _could_take(host: HostView, tasks: Sequence[SpotTask], wanted: Wanted) -> bool:
    room = _sum(tasks)
    cleared = replace(
        host,
        free_cpu_units=host.free_cpu_units + room.cpu_units,
        free_memory_mib=host.free_memory_mib + room.memory_mib,
        free_disk_gib=host.free_disk_gib + room.disk_gib,
    )
    return refusal(cleared, wanted) is None


def _plan(host: HostView, tasks: Sequence[SpotTask], wanted: Wanted) -> tuple[tuple[int, int, float, str], Reclaim]:
    """With what it costs: tasks, their memory, how long the oldest has run (an older one is worse), the host's id."""
    leaving = [task for task in tasks if task.is_leaving]
    victims: list[SpotTask] = []
    for task in sorted(tasks, key=lambda task: (-task.created_at, task.key)):
        if not task.is_leaving and not _fits(host, [*leaving, *victims], wanted):
            victims.append(task)
    for task in sorted(victims, key=lambda task: (task.created_at, task.key)):
        others = [other for other in victims if other is not task]
        if _fits(host, [*leaving, *others], wanted):
            victims = others
    gone = [*leaving, *victims]
    plan = Reclaim(
        host_id=host.host_id,
        victims=tuple(task.key for task in victims),
        waits_for=tuple(task.key for task in gone),
        coming=_sum(gone),
    )
    oldest = min((task.created_at for task in victims), default=0.0)
    return (len(victims), _sum(victims).memory_mib, -oldest, host.host_id), plan


def _fits(host: HostView, gone: Sequence[SpotTask], wanted: Wanted) -> bool:
    room = _sum(gone)
    return (
        host.free_cpu_units + room.cpu_units >= wanted.cpu_units
        and host.free_memory_mib + room.memory_mib >= memory_on(host, wanted)
        and host.free_disk_gib + room.disk_gib >= wanted.disk_gib
    )


def _sum(tasks: Iterable[SpotTask]) -> Room:
    total = Room()
    for task in tasks:
        total = total.plus(task.room)
    return total
