"""How many addresses of subnets nobody has: their zones are asked. Must not know requests."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ....vpc.addresses import subnet_range
from ...regional.shelves import Shelf
from ..records.objects import Subnet
from .cidr_reservations import kept_count, kept_networks


class Zone(Protocol):
    """As much of a capacity manager as is asked here."""

    async def subnet_usage(
        self, subnet_ids: Sequence[str], kept: Mapping[str, tuple[str, ...]]
    ) -> Mapping[str, int]: ...


async def free_addresses(zones: Mapping[str, Zone], shelf: Shelf, subnets: Sequence[Subnet]) -> dict[str, int]:
    """By subnet. What is reserved is not free, whether anybody has it or not. Raises what a zone raises."""
    kept = {one.name: kept_networks(shelf, one.name) for one in subnets}
    by_zone: dict[str, list[str]] = {}
    for one in subnets:
        by_zone.setdefault(one.zone, []).append(one.name)
    used: dict[str, int] = {}
    for zone, names in by_zone.items():
        capacity = zones.get(zone)
        if capacity is not None:
            used.update(await capacity.subnet_usage(names, kept))
    return {
        one.name: max(0, subnet_range(one.cidr).size - used.get(one.name, 0) - kept_count(one, kept[one.name]))
        for one in subnets
    }
