"""How many live tasks each family has in each zone: counted in memory, rebuilt from the tasks table at start.

Without tasks of services: those are spread by their service, which counts them itself. The numbers steer placement and
nothing else; they include tasks that are being placed right now, which no table shows.
"""

from collections.abc import Mapping
from types import MappingProxyType

from ..interfaces.store import Store

Key = tuple[str, str, str]  # account, cluster, family

_EMPTY: Mapping[str, int] = MappingProxyType({})


class LiveSpread:
    def __init__(self) -> None:
        self._counts: dict[Key, dict[str, int]] = {}

    async def load(self, store: Store) -> None:
        rows = await store.read(
            "SELECT account, cluster, family, zone, count(*) FROM tasks WHERE last_status <> 'STOPPED' "
            "AND service IS NULL GROUP BY account, cluster, family, zone ORDER BY account, cluster, family, zone"
        )
        self._counts = {}
        for account, cluster, family, zone, count in rows:
            self._counts.setdefault((account, cluster, family), {})[zone] = count

    def begin(self, key: Key, counts: Mapping[str, int]) -> None:
        """As counted by somebody else."""
        self._counts[key] = dict(counts)

    def of(self, key: Key) -> Mapping[str, int]:
        return self._counts.get(key, _EMPTY)

    def add(self, key: Key, zone: str) -> None:
        counts = self._counts.setdefault(key, {})
        counts[zone] = counts.get(zone, 0) + 1

    def remove(self, key: Key, zone: str) -> None:
        counts = self._counts.get(key, {})
        left = counts.get(zone, 0) - 1
        if left > 0:
            counts[zone] = left
            return
        counts.pop(zone, None)
        if not counts:
            self._counts.pop(key, None)
