"""Services and tasks of none, while an operator empties hosts and lets them take tasks again, and changes his mind.

Owns the operator's choices. At the end every host takes tasks again: nothing retires then, and services come to rest.
"""

from collections.abc import Coroutine
from typing import Any

from ...capacity.own_hosts import DRAINING, NO_WORD
from ...frontend.regional.retirement import WAIT_PERIOD
from ...interfaces.store import Overloaded
from ...region import Region
from .region import at_once
from .service_clients import ServiceClients
from .workload import Workload

_EMPTIED_MAX = 3  # of all hosts at a time, so that others have room
_RETRY_S = 0.5


class RetiringClients(ServiceClients):
    """Hosts are known as the living server knows them."""

    async def _act(self, marker: str) -> None:
        choice = self._rng.random()
        if choice < 0.12:
            await self._say_something()
        elif choice < 0.2:
            wait = {"name": WAIT_PERIOD, "value": self._rng.choice(("0", "0", "7"))}
            await self._ask("PutAccountSettingDefault", wait, "wait-set")
        elif choice < 0.5:
            await Workload._act(self, marker)
        else:
            await super()._act(marker)

    async def _settle(self, name: str) -> None:
        while words := self._words():
            await self._say(min(words), NO_WORD)
        await super()._settle(name)

    def _words(self) -> dict[str, str]:
        """Of a server that does not live, what is said of an unknown host: it is asked again."""
        region = self._server.region
        return {"": ""} if region is None else dict(region.own_hosts.pools.words)

    async def _say_something(self) -> None:
        region, words = self._server.region, self._words()
        if region is None:
            return
        managers = region.capacities.values()
        hosts = sorted({host["host_id"] for manager in managers for host in at_once(manager.hosts())})
        if words and (len(words) >= _EMPTIED_MAX or self._rng.random() < 0.3):
            await self._say(self._rng.choice(sorted(words)), NO_WORD)
        elif hosts:
            await self._say(self._rng.choice(hosts), DRAINING)

    async def _say(self, host_id: str, word: str) -> None:
        """To the living server, which may die over it, or be too busy."""
        region, world = self._server.region, self._server.world
        if region is not None and world is not None and host_id:
            world.process.run(world.spawn, _said(region, host_id, word), "operator")
            self._sim.count("hosts-emptied" if word else "hosts-resumed")
        await self.world.sleep(_RETRY_S)


def _said(region: Region, host_id: str, word: str) -> Coroutine[Any, Any, None]:
    async def say() -> None:
        try:
            await region.own_hosts.say(host_id, word)
        except Overloaded:
            return

    return say()
