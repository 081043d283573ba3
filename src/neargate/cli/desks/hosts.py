"""What the operator's socket answers about hosts: lists them, keeps one for somebody, shares it again, and takes the
operator's word that one is to be emptied, or that it runs nothing any more.
"""

from typing import Any

import msgspec

from ...capacity.own_hosts import DRAINING, GIVEN_UP, NO_WORD, NOBODYS, pool_name
from ...region import Region
from ..admin import Handler
from .hosts_seen import all_hosts

Answer = dict[str, Any]
_SHOWN = (
    *("host_id", "zone", "connected", "tasks", "nodes", "pool", "strays", "last_stray", "refused_pools"),
    *("accounts", "software", "platform", "sandbox", "overhead", "machines", "used_memory_mib", "reserved", "offered"),
    "use",
)


class HostRefused(Exception):
    """No such host, account or cluster, or none of which this can be said; the message says what there is."""


def handlers(region: Region) -> dict[str, Handler]:
    desk = HostsDesk(region)
    return {
        "hosts-list": desk.listed,
        "hosts-keep": desk.keep,
        "hosts-share": desk.share,
        "hosts-drain": desk.drain,
        "hosts-give-up": desk.give_up,
        "hosts-resume": desk.resume,
    }


class HostsDesk:
    def __init__(self, region: Region) -> None:
        self._region = region

    async def listed(self, _: Answer) -> Answer:
        """Those that have joined, and those that are kept and were not seen since the zone's database was made."""
        hosts = [{name: host[name] for name in _SHOWN} for host in await all_hosts(self._region)]
        known = {host["host_id"] for host in hosts}
        pools = self._region.own_hosts.pools
        hosts += [
            {"host_id": host_id, "zone": None, "connected": False, "tasks": 0, "nodes": 0, "pool": pools.of(host_id)}
            for host_id in {**pools.kept, **pools.words}
            if host_id not in known
        ]
        said = [{**host, "word": pools.word(host["host_id"])} for host in hosts]
        return {"hosts": sorted(said, key=lambda host: str(host["host_id"]))}

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

    async def drain(self, request: Answer) -> Answer:
        """Raises HostRefused."""
        return await self._say(await self._host(request), DRAINING)

    async def give_up(self, request: Answer) -> Answer:
        """Raises HostRefused."""
        host = await self._host(request)
        if host["connected"]:
            raise HostRefused(f"{host['host_id']} is connected; to empty it: neargate hosts drain {host['host_id']}")
        said = await self._say(host, GIVEN_UP)
        if (await self._host(request))["connected"]:  # since it was looked at
            await self._say(host, DRAINING)
            raise HostRefused(f"{host['host_id']} has just connected; it is emptied instead")
        return said

    async def resume(self, request: Answer) -> Answer:
        """Raises HostRefused."""
        return await self._say(await self._host(request), NO_WORD)

    async def _say(self, host: Answer, word: str) -> Answer:
        await self._region.own_hosts.say(host["host_id"], word)
        return {"host": host["host_id"], "tasks": host["tasks"], "nodes": host["nodes"]}

    async def _assign(self, request: Answer, pool: str) -> Answer:
        host = await self._host(request)
        await self._region.own_hosts.keep(host["host_id"], pool)
        return {"host": host["host_id"], "pool": pool, "tasks": host["tasks"]}

    async def _host(self, request: Answer) -> Answer:
        given = str(request.get("host") or "")
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
