"""What the operator's socket answers about hosts of one's own: lists hosts, keeps one for somebody, shares it again."""

from typing import Any

import msgspec

from ..capacity.own_hosts import NOBODYS, pool_name
from ..region import Region
from .admin import Handler
from .hosts_seen import all_hosts

Answer = dict[str, Any]


class HostRefused(Exception):
    """No such host, account or cluster; the message says what there is."""


def handlers(region: Region) -> dict[str, Handler]:
    desk = HostsDesk(region)
    return {"hosts-list": desk.listed, "hosts-keep": desk.keep, "hosts-share": desk.share}


class HostsDesk:
    def __init__(self, region: Region) -> None:
        self._region = region

    async def listed(self, _: Answer) -> Answer:
        """Those that have joined, and those that are kept and were not seen since the zone's database was made."""
        shown = ("host_id", "zone", "connected", "tasks", "pool", "strays", "last_stray", "refused_pools")
        hosts = [{name: host[name] for name in shown} for host in await all_hosts(self._region)]
        known = {host["host_id"] for host in hosts}
        kept = self._region.own_hosts.pools.kept
        hosts += [
            {"host_id": host_id, "zone": None, "connected": False, "tasks": 0, "pool": pool}
            for host_id, pool in kept.items()
            if host_id not in known
        ]
        return {"hosts": sorted(hosts, key=lambda host: str(host["host_id"]))}

    async def keep(self, request: Answer) -> Answer:
        """`cluster` empty: for the whole account. Raises HostRefused."""
        account, cluster = str(request.get("account") or ""), str(request.get("cluster") or "")
        accounts = [known.number for known in self._region.services.identity.accounts()]
        if account not in accounts:
            raise HostRefused(f"there is no account {account!r}; those that are: neargate account list")
        if cluster and not await self._is_active(account, cluster):
            raise HostRefused(f"account {account} has no active cluster {cluster!r}")
        return await self._assign(request, pool_name(account, cluster))

    async def share(self, request: Answer) -> Answer:
        """Raises HostRefused."""
        return await self._assign(request, NOBODYS)

    async def _assign(self, request: Answer, pool: str) -> Answer:
        host = await self._host(str(request.get("host") or ""))
        await self._region.own_hosts.keep(host["host_id"], pool)
        return {"host": host["host_id"], "pool": pool, "tasks": host["tasks"]}

    async def _host(self, given: str) -> Answer:
        hosts = (await self.listed({}))["hosts"]
        found = [host for host in hosts if host["host_id"] == given]
        found = found or [host for host in hosts if given and host["host_id"].startswith(given)]
        if len(found) == 1:
            return dict(found[0])
        raise HostRefused(
            f"several hosts begin with {given!r}; give more of the id"
            if found
            else f"no host begins with {given!r}; those that are: neargate hosts"
        )

    async def _is_active(self, account: str, cluster: str) -> bool:
        found = await self._region.cell.describe_clusters(account, [cluster], frozenset())
        return any(msgspec.json.decode(doc)["status"] == "ACTIVE" for doc in found.documents)
