"""Which tasks go first, and which zones get one more: so that zones stay balanced within one.

Pure counting over zones; must not know deployments or limits. Invariant: of tasks that stand alike, the next one to go
is always in the fullest zone, the newest there, since what has run longest has proven most.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .state import ServiceTask


def occupied(tasks: Iterable[ServiceTask]) -> Counter[str]:
    return Counter(task.zone for task in tasks)


def first_to_go(groups: Sequence[Sequence[ServiceTask]], occupancy: Mapping[str, int], count: int) -> list[ServiceTask]:
    """Up to `count` tasks. `groups`: all of an earlier one go before any of a later one. `occupancy`: zone -> tasks,
    these included."""
    left = dict(occupancy)
    gone: list[ServiceTask] = []
    for group in groups:
        by_zone: dict[str, list[ServiceTask]] = {}
        for task in sorted(group, key=lambda task: (task.created_at, task.task_id)):
            by_zone.setdefault(task.zone, []).append(task)
        while by_zone and len(gone) < count:
            zone = min(by_zone, key=lambda zone: (-left.get(zone, 0), zone))
            gone.append(by_zone[zone].pop())
            left[zone] = left.get(zone, 0) - 1
            if not by_zone[zone]:
                del by_zone[zone]
    return gone


def in_zones(zones: Sequence[str], occupancy: Mapping[str, int]) -> dict[str, int]:
    return {zone: occupancy.get(zone, 0) for zone in zones}


def is_balanced(counts: Mapping[str, int]) -> bool:
    return max(counts.values()) - min(counts.values()) <= 1


def moves(counts: Mapping[str, int], room: int) -> dict[str, int]:
    """Zone -> tasks to start there, at most `room` in all, that balance once as many have gone from the fullest."""
    after, more = dict(counts), Counter[str]()
    while not is_balanced(after) and more.total() < room:
        emptiest = min(after, key=lambda zone: (after[zone], zone))
        fullest = min(after, key=lambda zone: (-after[zone], zone))
        after[emptiest] += 1
        after[fullest] -= 1
        more[emptiest] += 1
    return dict(sorted(more.items()))
