"""What the operator's socket answers about pools of public addresses: lists them, takes one in, lets one go."""

from typing import Any

from ...frontend.network.pools import operator as operator_pools
from ...frontend.network.pools.ipv6 import pool_id
from ...frontend.network.pools.operator import OperatorPool, PoolRefused
from ...frontend.network.pools.public import POOL
from ...interfaces.roles import CapacityManager
from ...model.network import POOL_LOCAL
from ...region import Region
from ...vpc.addresses import elastic_ranges, operator_elastic, operator_range, pool_range, pool_share
from ..admin import Handler

Answer = dict[str, Any]


def handlers(region: Region) -> dict[str, Handler]:
    desk = IpPoolDesk(region)
    return {"ip-pool-list": desk.listed, "ip-pool-add": desk.add, "ip-pool-remove": desk.remove}


class IpPoolDesk:
    def __init__(self, region: Region) -> None:
        self._world = region.services.world
        self._network = region.services.network
        self._managers: list[CapacityManager] = []
        for manager in region.capacities.values():
            if manager not in self._managers:
                self._managers.append(manager)

    async def listed(self, _: Answer) -> Answer:
        """The region's own block first. Of each: how many addresses tasks and elastic ones may have, and have."""
        shelf, built_in = self._network.shelf(POOL), self._network.public_pool
        shown = [self._shown(pool) for pool in operator_pools.pools(shelf)]
        if not built_in:
            return {"pools": shown}
        shares = self._network.pool_shares
        ranges = [pool_range(pool_share(built_in, index, shares)) for index in range(shares)]
        own: Answer = {
            "cidr": built_in,
            "way": "built-in",
            "gives": not operator_pools.giving(shelf),
            "tasks_max": sum(one.size for one in ranges),
            "elastic_max": sum(one.size for one in elastic_ranges(built_in, shares)),
            **self._used(built_in),
        }
        return {"pools": [own, *shown]}

    async def add(self, request: Answer) -> Answer:
        """`way`: of model.network.POOL_WAYS. Raises PoolRefused."""
        networks = {
            block.cidr: f"a network of {vpc.vpc_id} of account {account}"
            for account in self._network.accounts()
            for vpc in self._network.vpcs(account)
            for block in (*vpc.blocks, *vpc.ipv6)
        }
        cidr, way = str(request.get("cidr") or ""), str(request.get("way") or POOL_LOCAL)
        now = self._world.now()
        pool = await self._network.change(
            POOL,
            lambda shelf: operator_pools.add(
                shelf,
                cidr,
                way,
                built_in=self._network.public_pool,
                networks=networks,
                shares=self._network.pool_shares,
                now=now,
            ),
        )
        return self._shown(pool)

    async def remove(self, request: Answer) -> Answer:
        """`drain`: it gives nothing more while somebody has an address of it, and the answer says who; without, it
        stays as it was. Raises PoolRefused, naming who has addresses."""
        async with self._network.ipv6_turn:
            return await self._remove(request)

    async def _remove(self, request: Answer) -> Answer:
        cidr, drain = str(request.get("cidr") or ""), bool(request.get("drain"))
        if cidr and cidr == self._network.public_pool:
            raise PoolRefused(f"{cidr} is the region's own and stays; it gives no address while a pool of yours does")
        if not drain:  # what is refused anyway is not closed for that: the process may end before it is open again
            known = operator_pools.find(self._network.shelf(POOL), cidr)
            operator_pools.check_unheld(self._network.shelf(POOL), cidr, self._holders(known.name))
        # Closed first: whoever was faster has his address by now, and nobody gets one while it is looked who has any.
        before = await self._network.change(POOL, lambda shelf: operator_pools.close(shelf, cidr))
        holders = self._holders(before.name)
        try:
            await self._network.change(POOL, lambda shelf: operator_pools.take_away(shelf, cidr, holders))
        except PoolRefused as refused:
            if drain:
                return {"cidr": before.name, "kept": str(refused)}
            if not before.is_closed:
                await self._network.change(POOL, lambda shelf: operator_pools.close(shelf, cidr, closed=False))
            raise
        return {"cidr": before.name, "kept": ""}

    def _holders(self, cidr: str) -> dict[str, str]:
        if ":" in cidr:
            return {
                block.cidr: f"of {vpc.vpc_id} of account {account}"
                for account in self._network.accounts()
                for vpc in self._network.vpcs(account)
                for block in vpc.ipv6
                if block.pool == pool_id(cidr)
            }
        return {
            address: f"task {task_id}"
            for manager in self._managers
            for address, task_id in manager.public_holders(cidr).items()
        }

    def _shown(self, pool: OperatorPool) -> Answer:
        if pool.is_ipv6:
            used = {"vpcs": len(self._holders(pool.name)), "id": pool_id(pool.name)}
            return {"cidr": pool.name, "way": pool.way, "gives": not pool.is_closed, **used}
        shares = self._network.pool_shares
        ranges = [operator_range(pool_share(pool.name, index, shares)) for index in range(shares)]
        return {
            "cidr": pool.name,
            "way": pool.way,
            "gives": not pool.is_closed,
            "tasks_max": sum(one.size for one in ranges),
            "elastic_max": sum(one.size for one in operator_elastic(pool.name, shares)),
            **self._used(pool.name),
        }

    def _used(self, cidr: str) -> Answer:
        elastic = operator_pools.elastic_holders(self._network.shelf(POOL), cidr)
        return {"tasks": len(self._holders(cidr)), "elastic": len(elastic)}
