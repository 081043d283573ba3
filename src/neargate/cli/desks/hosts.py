"""What the operator's socket answers about hosts: lists them, keeps one for somebody, shares it again, and takes the
operator's word that one is to be emptied, that it runs nothing any more, or what machines are to be made of.
"""

from typing import Any

import msgspec

from ...capacity.own_hosts import DRAINING, GIVEN_UP, NO_WORD, NOBODYS, pool_name
from ...model.capacity import HostPlatform
from ...placement.software import Software, software_of
from ...region import Region
from ..admin import Handler
from .hosts_seen import all_hosts

Answer = dict[str, Any]
_SHOWN = (
    *("host_id", "zone", "connected", "tasks", "nodes", "pool", "strays", "last_stray", "refused_pools"),
    *("architecture", "accounts", "software", "platform", "sandbox", "overhead", "machines", "used_memory_mib", "use"),
    *("reserved", "offered"),
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
        "hosts-rollout": desk.rollout,
        "hosts-rollout-off": desk.call_off,
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
        retiring = self._region.cell.retiring
        by_host, old = await retiring.by_host(), retiring.old_machines()
        said = [
            {
                **host,
                "word": pools.word(host["host_id"]),
                "retiring": by_host.get(host["host_id"]),
                "old_machines": old.get(host["host_id"], 0),
                "is_rolled_out": _machines_of(host) in self._region.rollouts.software,
            }
            for host in hosts
        ]
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

    async def rollout(self, _: Answer) -> Answer:
        """What machines get on the hosts that are connected is what all machines there are to have. Raises
        HostRefused."""
        hosts = [host for host in (await self.listed({}))["hosts"] if host["connected"]]
        software = {found for host in hosts if (found := _machines_of(host)) is not None}
        if not software:
            raise HostRefused("no connected host has microVMs, and what is below containers changes with their host")
        await self._region.rollouts.begin(software)
        return {
            "software": [", ".join(filter(None, one)) for one in sorted(software)],
            "old_machines": {host["host_id"]: host["old_machines"] for host in hosts if host["old_machines"]},
            "older_hosts": sorted(_older(hosts)),
        }

    async def call_off(self, _: Answer) -> Answer:
        await self._region.rollouts.begin(())
        return {}

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


def _machines_of(host: Answer) -> tuple[str, str] | None:
    """What its tasks' machines are made of now; None where they have none."""
    below = host.get("platform") or {}
    return (below["guest_image"], below["vmm"]) if below.get("guest_image") else None


def _older(hosts: list[Answer]) -> list[str]:
    """Ids of hosts whose software is older than another's of the same architecture."""
    newest: dict[str, Software] = {}
    for host in hosts:
        kind = host["architecture"]
        newest[kind] = max(newest.get(kind, ()), _software(host))
    return [host["host_id"] for host in hosts if _software(host) < newest[host["architecture"]]]


def _software(host: Answer) -> Software:
    below = host["platform"]
    return software_of(host["software"], None if below is None else HostPlatform(**below))
