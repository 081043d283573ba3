"""Elastic addresses that stay with a service: which of them its next tasks get.

Which addresses are a service's own is the region's to say; here is only kept which task has each. Invariants: the table
never has two live tasks with one address, whatever services they are of; a task is recorded with such an address only
if it was the service's after the zone had given it, so that who takes an address away first says so and then asks the
zones whether somebody has it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ...interfaces.services import ServiceNetworks
from ...interfaces.store import Statement, Store
from ...model.errors import ServiceUnavailable
from ...model.knobs import Knobs
from ...model.lifecycle import LastStatus
from ...world import World
from ..launching import Launching, Superseded
from ..recording import OWNER_GUARD, Placed
from .tables import ServiceRow

STOPPED = LastStatus.STOPPED.value
_HOLDERS = (
    "SELECT a.address, t.id, t.zone, t.last_status, t.desired_status, t.released "
    "FROM service_addresses a JOIN tasks t ON t.id = a.task WHERE a.address IN ({marks})"
)
_HOLD = (
    "INSERT INTO service_addresses (address, task) VALUES (?, ?) ON CONFLICT (address) DO UPDATE "
    "SET task = excluded.task WHERE NOT EXISTS "
    "(SELECT 1 FROM tasks t WHERE t.id = service_addresses.task AND t.last_status <> 'STOPPED')"
)


class _Holder(NamedTuple):
    task_id: str
    zone: str
    last_status: str
    desired_status: str
    released: int

    @property
    def is_leaving(self) -> bool:
        return self.desired_status == STOPPED != self.last_status


class OwnAddresses:
    def __init__(
        self, world: World, store: Store, knobs: Knobs, *, launching: Launching, networks: ServiceNetworks
    ) -> None:
        self._world = world
        self._store = store
        self._knobs = knobs
        self._launching = launching
        self._networks = networks
        self._leaving: dict[int, dict[str, float]] = {}  # service -> tasks that leave with an address, since when
        self._refused: dict[int, float] = {}  # service -> since when a zone has an address that no task has

    def forget(self, service: int) -> None:
        self._leaving.pop(service, None)
        self._refused.pop(service, None)

    async def free(self, row: ServiceRow, count: int) -> tuple[tuple[str, ...], int]:
        """Of the service's addresses at most so many that no live task has, and how many tasks may be started now: a
        task that leaves is waited for, else its replacement would come without its address. Raises ServiceUnavailable,
        Overloaded.

        What a stopped task had goes back to its zone here and now, for the same reason.
        """
        own = self._networks.addresses(row.account, row.cluster, row.name)
        if not own:
            return (), count
        marks = ", ".join("?" * len(own))
        rows = await self._store.read(_HOLDERS.format(marks=marks), own)
        holders = {str(address): _Holder(*held) for address, *held in rows}
        free = [one for one in own if one not in holders or holders[one].last_status == STOPPED][:count]
        for holder in (holders[one] for one in free if one in holders):
            if not holder.released:
                await self._launching.release(holder.task_id, holder.zone)
        waits = self._waits_for(row.n, [holder.task_id for holder in holders.values() if holder.is_leaving])
        return tuple(free), len(free) if waits else count

    def _waits_for(self, service: int, leaving: Sequence[str]) -> bool:
        """Not for ever: its host may be gone."""
        now, known = self._world.monotonic(), self._leaving.pop(service, {})
        since = {task_id: known.get(task_id, now) for task_id in leaving}
        if since:
            self._leaving[service] = since
        return any(now - at < self._knobs.service_address_wait_s for at in since.values())

    async def check(self, row: ServiceRow, placed: Sequence[Placed]) -> None:
        """Raises Superseded when an address is the service's no more; ServiceUnavailable while its zone says that
        somebody has one. That is what a crash between reserving and recording leaves, and a sweep takes away."""
        asked = {place.public_address for place in placed} - {None}
        if not asked.issubset(await self._networks.addresses_now(row.account, row.cluster, row.name)):
            raise Superseded
        if all(place.has_own_address for place in placed if place.public_address and place.reservation.eni is not None):
            self._refused.pop(row.n, None)
            return
        now = self._world.monotonic()
        if now - self._refused.setdefault(row.n, now) < self._knobs.service_address_wait_s:
            raise ServiceUnavailable


def holding(placed: Sequence[Placed]) -> list[Statement]:
    """Written with the tasks; refused when a live task has one of the addresses."""
    given = [(place.public_address, place.task_id) for place in placed if place.has_own_address]
    return [Statement(_HOLD, pair, 1, OWNER_GUARD) for pair in given]
