"""The hosts of a region, as its zones' capacity managers show them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...definitions.own_kernel import needs_own_kernel
from ...interfaces.roles import CapacityManager
from ...placement.tenancy import GIVES_KERNEL, ONE_TASK, may_share
from ...region import Region

Answer = dict[str, Any]


async def all_hosts(region: Region) -> list[Answer]:
    """Each once, though zones may share a capacity manager."""
    shards: list[CapacityManager] = []
    for manager in region.capacities.values():
        if manager not in shards:
            shards.append(manager)
    return [host for manager in shards for host in await manager.hosts()]


def held_off(hosts: Sequence[Answer], account: str, definition: Mapping[str, Any] | None = None) -> Answer:
    """How many hosts that are connected take no task of the account for the sake of those that they have, or none of
    the definition since all their tasks share a kernel."""
    others = [host["tenant"] for host in hosts if host["connected"] and not may_share(host["tenant"], account)]
    counts = {"accounts": len(others) - others.count(ONE_TASK), "tasks": others.count(ONE_TASK)}
    if definition is not None and needs_own_kernel(definition):
        counts["kernels"] = sum(host["connected"] and host["sandbox"] not in GIVES_KERNEL for host in hosts)
    return counts
