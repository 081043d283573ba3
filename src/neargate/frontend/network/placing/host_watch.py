"""For how long hosts have been connected or away, counted by this process's own looks.

A process that begins, or that stood still itself, knows nothing of how long they were away, nor whether those that
are connected have heard in time what they were told: it begins to count anew. Must not know what is on hosts.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from ....interfaces.roles import CapacityManager
from ....model.capacity import HostPlace
from ....world import World
from ..nodes.node_moves import HostSeen


class _Since(Struct, frozen=True, kw_only=True):
    is_connected: bool
    at: float


class HostWatch:
    """`stall_s`: between two looks, after which nobody knows what happened in between."""

    def __init__(self, world: World, capacities: Mapping[str, CapacityManager], stall_s: float) -> None:
        self._world = world
        self._capacities = list(dict.fromkeys(capacities.values()))
        self._stall_s = stall_s
        self._known: dict[str, _Since] = {}
        self._looked_at = world.monotonic()

    def look(self) -> list[HostSeen]:
        now = self._world.monotonic()
        places = [place for manager in self._capacities for place in manager.host_places()]
        self._known = since_now(self._known, places, now, stood_still=now - self._looked_at > self._stall_s)
        self._looked_at = now
        return [HostSeen(place=place, for_s=now - self._known[place.host_id].at) for place in places]


def since_now(
    before: Mapping[str, _Since], places: Iterable[HostPlace], now: float, *, stood_still: bool
) -> dict[str, _Since]:
    """One that is seen first is as it is from now on: nobody knows since when."""
    found: dict[str, _Since] = {}
    for place in places:
        known = before.get(place.host_id)
        if known is None or known.is_connected != place.is_connected or stood_still:
            known = _Since(is_connected=place.is_connected, at=now)
        found[place.host_id] = known
    return found
