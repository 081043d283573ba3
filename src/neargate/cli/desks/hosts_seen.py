"""The hosts of a region, as its zones' capacity managers show them."""

from typing import Any

from ...interfaces.roles import CapacityManager
from ...region import Region

Answer = dict[str, Any]


async def all_hosts(region: Region) -> list[Answer]:
    """Each once, though zones may share a capacity manager."""
    shards: list[CapacityManager] = []
    for manager in region.capacities.values():
        if manager not in shards:
            shards.append(manager)
    return [host for manager in shards for host in await manager.hosts()]
