"""Plans of VPCs with the zones of their private namespaces: the network's plan, and the names beside it.

Implements interfaces.roles.VpcPlans over another one. Must not know what either is made of. Invariant: a plan of a
generation never differs from another of that generation: it is the network's, and how often names had changed when
these were found; both only grow, over restarts too.
"""

from collections.abc import AsyncIterator, Callable

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.roles import VpcPlans
from ...model.network import DnsZone, VpcPlan
from ...world import World
from .registry import CloudMapRegistry


class _Names(Struct, frozen=True):
    zones: tuple[DnsZone, ...]
    generation: int  # of all names, when these were found


class NamedPlans:
    def __init__(self, world: World, network: VpcPlans, cloud_map: CloudMapRegistry) -> None:
        """`cloud_map` is loaded."""
        self._world = world
        self._network = network
        self._map = cloud_map
        self._names: dict[str, _Names] = {}
        self._changed: set[str] = set()  # looked at again when they are asked for: many changes are one look
        cloud_map.listen(lambda _account, vpc_id: self._changed.add(vpc_id))

    def plan(self, vpc_id: str) -> VpcPlan:
        """Raises KeyError for a VPC that does not exist."""
        plan = self._network.plan(vpc_id)
        names = self._names.get(vpc_id)
        if names is None or vpc_id in self._changed:
            names = self._look(vpc_id, names)
        dns = plan.dns if plan.dns is None or not names.zones else replace(plan.dns, zones=names.zones)
        return replace(plan, generation=plan.generation + names.generation, dns=dns)

    def _look(self, vpc_id: str, before: _Names | None) -> _Names:
        self._changed.discard(vpc_id)
        zones = self._map.zones_of(vpc_id)
        if before is not None and before.zones == zones:
            return before
        names = self._names[vpc_id] = _Names(zones, self._map.generation)
        return names

    def changes(self) -> AsyncIterator[str]:
        """VPC ids whose plan got a new generation after this call; several changes may be told as one."""
        feed = self._map.changes()
        self._world.spawn(_pass_on(self._network.changes(), feed.tell), "vpc-plans-named")
        return feed


async def _pass_on(changes: AsyncIterator[str], tell: Callable[[str], None]) -> None:
    async for vpc_id in changes:
        tell(vpc_id)
