"""Which hosts an account or a cluster has to itself: the operator's word, durable in the region's database.

Every host is of one pool, and every task goes to the hosts of one pool: its cluster's if that has hosts, else its
account's if that has, else those that are nobody's. So others stay off a kept host, and who has hosts stays on them.
Beside it what the operator says of a host's own state: that it is to be emptied, or that it is gone for good.
Must not know tasks or room. Invariant: what was answered is durable; the zones hear of it after that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from ..interfaces.store import Overloaded, Statement, Store
from ..log import get_logger
from ..world import World

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE own_hosts (
        host TEXT PRIMARY KEY,
        pool TEXT NOT NULL CHECK (pool <> '')
    );
    """,
    """
    CREATE TABLE host_words (
        host TEXT PRIMARY KEY,
        word TEXT NOT NULL CHECK (word IN ('draining', 'given-up'))
    );
    """,
)
NOBODYS = ""
DRAINING, GIVEN_UP, NO_WORD = "draining", "given-up", ""  # what is said of a host; nothing of most
_NOTHING: Mapping[str, str] = MappingProxyType({})
_log = get_logger(__name__)
_KEEP = "INSERT INTO own_hosts (host, pool) VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET pool = excluded.pool"
_SAY = "INSERT INTO host_words (host, word) VALUES (?, ?) ON CONFLICT (host) DO UPDATE SET word = excluded.word"

# Called with the id of a host of which something else is said. Raises Overloaded.
Listener = Callable[[str], Awaitable[None]]


def pool_name(account: str, cluster: str = "") -> str:
    """Of the account's own hosts, or of one of its clusters'."""
    return f"{account}/{cluster}" if cluster else account


class HostPools:
    """Who has which hosts, in memory: asked for every launch."""

    def __init__(self) -> None:
        self.kept = _NOTHING  # host -> pool
        self.words = _NOTHING  # host -> DRAINING or GIVEN_UP
        self._pools: frozenset[str] = frozenset()
        self._listeners: list[Listener] = []
        self._returned: Listener | None = None
        self._untold: set[str] = set()  # hosts that changed and whose zone was not told yet
        self._telling = asyncio.Lock()

    def of(self, host_id: str) -> str:
        return self.kept.get(host_id, NOBODYS)

    def word(self, host_id: str) -> str:
        return self.words.get(host_id, NO_WORD)

    def is_left(self, host_id: str) -> bool:
        """Nothing new comes to it."""
        return host_id in self.words

    def said(self, word: str) -> frozenset[str]:
        """Hosts of which that was said."""
        return frozenset(host for host, said in self.words.items() if said == word)

    def wanted_by(self, account: str, cluster: str) -> str:
        """The pool whose hosts take the cluster's tasks."""
        if not self._pools:
            return NOBODYS
        names = (pool_name(account, cluster), account)
        return next((name for name in names if name in self._pools), NOBODYS)

    def on_return(self, returned: Listener) -> None:
        """What hears of a host that was given up and is there all the same, before it is let in."""
        self._returned = returned

    async def came_back(self, host_id: str) -> None:
        """It may run something: what its operator said of it does not hold any more, whenever it goes again. Raises
        Overloaded."""
        if self.word(host_id) == GIVEN_UP and self._returned is not None:
            _log.warning("a host that was given up has come back; it takes nothing new", host=host_id)
            await self._returned(host_id)

    def on_change(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def become(self, kept: Mapping[str, str], words: Mapping[str, str] = _NOTHING) -> None:
        """Tells of every host that changes, and again of one that could not be told before. Raises Overloaded then."""
        for before, now in ((self.kept, kept), (self.words, words)):
            self._untold.update(host for host in {**before, **now} if before.get(host) != now.get(host))
        self.kept, self.words = MappingProxyType(dict(kept)), MappingProxyType(dict(words))
        self._pools = frozenset(kept.values())
        async with self._telling:  # who says what another is just telling waits to see whether that goes well
            late: Overloaded | None = None
            for host_id in sorted(self._untold):
                self._untold.discard(host_id)  # first: it may change once more while it is told
                try:
                    await self._tell(host_id)
                except BaseException as error:
                    self._untold.add(host_id)
                    if not isinstance(error, Overloaded):
                        raise
                    late = error
            if late is not None:
                raise late

    async def _tell(self, host_id: str) -> None:
        for listener in self._listeners:
            await listener(host_id)


async def open_own_hosts(world: World, store: Store) -> "OwnHosts":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    own_hosts = OwnHosts(world, store, HostPools())
    await own_hosts.load()
    return own_hosts


class OwnHosts:
    """The durable side."""

    def __init__(self, world: World, store: Store, pools: HostPools) -> None:
        self._world = world
        self._store = store
        self.pools = pools
        pools.on_return(lambda host_id: self.say(host_id, DRAINING))

    async def load(self) -> None:
        kept = await self._store.read("SELECT host, pool FROM own_hosts ORDER BY host")
        words = await self._store.read("SELECT host, word FROM host_words ORDER BY host")
        await self.pools.become(dict(kept), dict(words))

    async def follow(self, period_s: float) -> None:
        """With several servers: what the operator said at another one holds here too before long. Never returns."""
        while True:
            await self._world.sleep(period_s)
            try:
                await self.load()
            except Overloaded as busy:
                _log.warning("a zone has not written yet whose own its hosts are", why=str(busy))

    async def keep(self, host_id: str, pool: str) -> None:
        """`pool` NOBODYS gives the host back to all. Repeating it is safe. Raises Overloaded."""
        if pool == NOBODYS:
            await self._store.write([Statement("DELETE FROM own_hosts WHERE host = ?", (host_id,))])
        else:
            await self._store.write([Statement(_KEEP, (host_id, pool))])
        await self.load()

    async def say(self, host_id: str, word: str) -> None:
        """`word` NO_WORD takes back what was said. Repeating it is safe. Raises Overloaded."""
        if word == NO_WORD:
            await self._store.write([Statement("DELETE FROM host_words WHERE host = ?", (host_id,))])
        else:
            await self._store.write([Statement(_SAY, (host_id, word))])
        await self.load()
