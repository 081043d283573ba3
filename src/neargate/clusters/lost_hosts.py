"""Tasks of hosts that their operator has given up: they ended with the machine, and no host will ever say so.

Owns who they are and what is said of them. Must not know sessions. Invariant: a task ends here only while its host is
away and given up, which is the operator's word that nothing runs there; silence alone ends nothing. Should the host
come back, it hears that they are over when it reports them.
"""

from collections.abc import Awaitable, Callable, Mapping

from ..interfaces.roles import CapacityManager
from ..interfaces.store import Store
from ..model.lifecycle import StopCode

_BATCH_MAX = 64
_LIVE = (
    "SELECT n, id FROM tasks WHERE host = ? AND last_status <> 'STOPPED' AND ordered <> 0 AND n > ? ORDER BY n LIMIT ?"
)

# Task, stop code, reason; False when the task was over before.
End = Callable[[str, StopCode, str], Awaitable[bool]]


def terminated(host_id: str) -> str:
    """ECS's words of a task whose machine is gone."""
    return f"Host EC2 (instance {host_id}) terminated."


class LostHosts:
    def __init__(self, store: Store, capacities: Mapping[str, CapacityManager], end: End) -> None:
        self._store = store
        self._capacities = capacities
        self._end = end

    async def sweep(self) -> str | None:
        """Repeatable: what a kill left is ended the next time. Raises ServiceUnavailable, Overloaded."""
        ended = 0
        for host_id in sorted(self._given_up()):
            after = 0
            while found := await self._store.read(_LIVE, (host_id, after, _BATCH_MAX)):
                after = int(found[-1][0])
                for _, task_id in found:
                    if host_id not in self._given_up():
                        break  # it has come back meanwhile, and speaks for itself
                    ended += await self._end(str(task_id), StopCode.TERMINATION_NOTICE, terminated(host_id))
        return f"ended {ended} tasks of hosts that were given up" if ended else None

    def _given_up(self) -> set[str]:
        known = [place for manager in self._capacities.values() for place in manager.host_places()]
        there = {place.host_id for place in known if place.is_connected}
        return {place.host_id for place in known if place.is_given_up} - there
