"""How much of the fleet Spot tasks may hold: the operator's word, durable in the region's database.

In percent of what the hosts offer, of CPU, memory and disk each. Must not know tasks. Invariant: what was answered is
durable. It bounds what is placed from then on; what runs stays until its room is needed or it is reclaimed.
"""

from ..interfaces.store import Overloaded, Statement, Store
from ..log import get_logger
from ..world import World

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE spot_share (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100)
    );
    """,
)
# On-demand tasks get their room back from Spot tasks, so whatever they leave free is spare until the operator objects.
PERCENT_UNSET = 100
_SET = "INSERT INTO spot_share (one, percent) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET percent = excluded.percent"
_log = get_logger(__name__)


class SpotShare:
    """In memory: asked for every Spot launch."""

    def __init__(self) -> None:
        self.percent = PERCENT_UNSET


async def open_spot_share(world: World, store: Store) -> "SpotSetting":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    setting = SpotSetting(world, store)
    await setting.load()
    return setting


class SpotSetting:
    """The durable side."""

    def __init__(self, world: World, store: Store) -> None:
        self.share = SpotShare()
        self._world = world
        self._store = store

    async def load(self) -> None:
        rows = await self._store.read("SELECT percent FROM spot_share WHERE one = 1")
        self.share.percent = int(rows[0][0]) if rows else PERCENT_UNSET

    async def follow(self, period_s: float) -> None:
        """With several servers: what the operator said at another one holds here too before long. Never returns."""
        while True:
            await self._world.sleep(period_s)
            try:
                await self.load()
            except Overloaded as busy:
                _log.warning("the share of Spot was not read again", why=str(busy))

    async def set(self, percent: int) -> None:
        """Raises Overloaded. The caller has checked that it is 0 to 100."""
        await self._store.write([Statement(_SET, (percent,))])
        self.share.percent = percent
