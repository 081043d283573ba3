"""Which accounts' tasks may have what only a kernel of their own gives: the operator's word, durable.

In the region's database, read from memory. Must not know definitions or hosts. Invariants: what was told to the
operator is durable; an account of which nothing was said has nothing.
"""

from ...interfaces.store import Statement, Store
from ...world import World
from .turn import keep_up

MIGRATIONS: tuple[str, ...] = ("CREATE TABLE kernel_grants (account TEXT PRIMARY KEY);",)


class KernelGrantRegistry:
    """Implements model.own_kernel.KernelGrants."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._accounts: frozenset[str] = frozenset()
        self._changes = 0

    def has(self, account: str) -> bool:
        return account in self._accounts

    async def load(self) -> None:
        changes = self._changes
        rows = await self._store.read("SELECT account FROM kernel_grants")
        if changes == self._changes:  # else these rows may be older than what was said here meanwhile
            self._accounts = frozenset(account for (account,) in rows)

    async def follow(self, period_s: float) -> None:
        """With several servers: what the operator has said at another one. Never returns."""
        await keep_up(self._world, period_s, self.load, "grants of kernels")

    async def give(self, account: str) -> None:
        """Repeating it is safe. Raises Overloaded."""
        insert = "INSERT INTO kernel_grants (account) VALUES (?) ON CONFLICT (account) DO NOTHING"
        await self._store.write([Statement(insert, (account,))])
        self._accounts |= {account}
        self._changes += 1

    async def take_back(self, account: str) -> None:
        """Tasks that run go on; nothing new is placed. Repeating it is safe. Raises Overloaded."""
        await self._store.write([Statement("DELETE FROM kernel_grants WHERE account = ?", (account,))])
        self._accounts -= {account}
        self._changes += 1


async def open_kernel_grants(world: World, store: Store) -> KernelGrantRegistry:
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = KernelGrantRegistry(world, store)
    await registry.load()
    return registry
