"""What machines of tasks are to run: the operator's word, durable in the region's database.

A rollout names releases of guest images and VMMs that hosts have already; tasks in machines of others on those hosts
retire. What is installed later is not part of it before the operator says so again. Must not know tasks or hosts.
Invariant: what was answered is durable; listeners hear of it after that.
"""

from collections.abc import Callable, Collection

from ..interfaces.retiring import Software
from ..interfaces.store import Overloaded, Statement, Store
from ..log import get_logger
from ..world import World

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE rollouts (
        guest_image TEXT NOT NULL, vmm TEXT NOT NULL, begun_at REAL NOT NULL, PRIMARY KEY (guest_image, vmm)
    );
    """,
)
_log = get_logger(__name__)
_INSERT = "INSERT INTO rollouts (guest_image, vmm, begun_at) VALUES (?, ?, ?)"


class Rollouts:
    """Read from memory."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._listeners: list[Callable[[], None]] = []
        self.software: frozenset[Software] = frozenset()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def load(self) -> None:
        rows = await self._store.read("SELECT guest_image, vmm FROM rollouts")
        found = frozenset((str(guest_image), str(vmm)) for guest_image, vmm in rows)
        if found != self.software:
            self.software = found
            for listener in self._listeners:
                listener()

    async def follow(self, period_s: float) -> None:
        """With several servers: what the operator said at another one. Never returns."""
        while True:
            await self._world.sleep(period_s)
            try:
                await self.load()
            except Overloaded as busy:
                _log.warning("rollouts were not read again yet", why=str(busy))

    async def begin(self, software: Collection[Software]) -> None:
        """In place of what was rolled out before; with nothing it is called off. Raises Overloaded."""
        now = self._world.now()
        inserts = [Statement(_INSERT, (*one, now), 1, "rollout") for one in sorted(software)]
        await self._store.write([Statement("DELETE FROM rollouts"), *inserts])
        await self.load()


async def open_rollouts(world: World, store: Store) -> Rollouts:
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    rollouts = Rollouts(world, store)
    await rollouts.load()
    return rollouts
