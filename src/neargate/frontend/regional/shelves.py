"""Records of one service, by account: a durable table and the read model that operations are served from.

Owns how such records are stored, changed and read again; must not know what they mean. A service names its table and
its kinds of records. Invariants: one change of an account at a time, decided on what the database holds and guarded
by the account's generation; memory holds only what is durable; what `change` returned is durable.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Struct

from ...interfaces.store import Statement, Store
from ...world import World
from .turn import Turn, keep_up

T = TypeVar("T")
R = TypeVar("R", bound="Kept")


class Kept(Struct, frozen=True, kw_only=True):
    """A record. `name` is unique among the account's records of its kind; secrets in it are sealed."""

    kind: ClassVar[str]
    account: str
    name: str


class Change(Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision wants kept and gone, and what its caller hears."""

    result: T
    put: tuple[Kept, ...] = ()
    drop: tuple[Kept, ...] = ()


def migration(table: str) -> str:
    """The numbered line of a service's table; `table` is a literal of ours."""
    return f"""
    CREATE TABLE {table}_accounts (
        account TEXT NOT NULL PRIMARY KEY,
        generation INTEGER NOT NULL
    );
    CREATE TABLE {table} (
        n INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        doc BLOB NOT NULL,
        UNIQUE (account, kind, name)
    );
    """


class Shelf:
    """All records of one account, in memory. `generation` grows with every change."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.generation = 0
        self._by_kind: dict[str, dict[str, Kept]] = {}
        self._sorted: dict[str, list[str]] = {}

    def find(self, kind: type[R], name: str) -> R | None:
        found = self._by_kind.get(kind.kind, {}).get(name)
        return found if isinstance(found, kind) else None

    def all(self, kind: type[R]) -> Iterator[R]:
        """In order of names."""
        table = self._by_kind.get(kind.kind, {})
        names = self._sorted.get(kind.kind)
        if names is None:
            names = self._sorted[kind.kind] = sorted(table)
        return (one for one in map(table.__getitem__, names) if isinstance(one, kind))

    def count(self, kind: type[Kept]) -> int:
        return len(self._by_kind.get(kind.kind, {}))

    def everything(self) -> list[Kept]:
        return [record for table in self._by_kind.values() for record in table.values()]

    def apply(self, put: Sequence[Kept], drop: Sequence[Kept]) -> None:
        """By the registry only, of what is durable. Drops come first."""
        for record in drop:
            self._by_kind.get(record.kind, {}).pop(record.name, None)
        for record in put:
            self._by_kind.setdefault(record.kind, {})[record.name] = record
        self._sorted.clear()


Decide = Callable[[Shelf], Change[T]]


class Shelves:
    """Reads are from memory and never wait. `changed` is told an account whose shelf is another than before."""

    def __init__(
        self,
        world: World,
        store: Store,
        table: str,
        kinds: Sequence[type[Kept]],
        changed: Callable[[Shelf, Sequence[Kept], Sequence[Kept]], None] | None = None,
    ) -> None:
        """`changed` hears of each account what was put and what was dropped; after a re-read, all that is there."""
        self._world = world
        self._store = store
        self._table = table
        self._kinds = {kind.kind: kind for kind in kinds}
        self._shelves: dict[str, Shelf] = {}
        self._turns: dict[str, Turn] = {}
        self._changed = changed

    async def load(self) -> None:
        """Fill the read model from the database; once, before anything is served."""
        for account, _ in await self._generations():
            await self._reload(account)

    def shelf(self, account: str) -> Shelf:
        """Of an account that has nothing here: an empty one."""
        return self._shelves.get(account) or Shelf(account)

    def accounts(self) -> list[str]:
        return sorted(self._shelves)

    async def change(self, account: str, decide: Decide[T]) -> T:
        """`decide` is pure and may be asked more than once. What it raises, the caller gets."""
        return await self._turn(account).change(
            lambda: self._attempt(account, decide), read_again=lambda: self._reload(account)
        )

    def _turn(self, account: str) -> Turn:
        if account not in self._turns:
            self._turns[account] = Turn(self._world, self._table)
        return self._turns[account]

    async def _attempt(self, account: str, decide: Decide[T]) -> T:
        shelf = self.shelf(account)
        change = decide(shelf)
        if change.put or change.drop:
            await self._store.write(self._statements(shelf, change))
            shelf.apply(change.put, change.drop)
            shelf.generation += 1
            self._shelves[account] = shelf
            if self._changed is not None:
                self._changed(shelf, change.put, change.drop)
        return change.result

    def _statements(self, shelf: Shelf, change: Change[Any]) -> list[Statement]:
        table = self._table
        claim = Statement(
            f"INSERT INTO {table}_accounts (account, generation) VALUES (?, ?) ON CONFLICT (account) "  # noqa: S608  literals
            f"DO UPDATE SET generation = excluded.generation WHERE {table}_accounts.generation = ?",
            (shelf.account, shelf.generation + 1, shelf.generation),
            expect=1,
            name="account unchanged",
        )
        dropped = [
            Statement(
                f"DELETE FROM {table} WHERE account = ? AND kind = ? AND name = ?",  # noqa: S608  literals
                (record.account, record.kind, record.name),
                expect=1,
                name=f"{record.kind} is there",
            )
            for record in change.drop
        ]
        put = [
            Statement(
                f"INSERT INTO {table} (account, kind, name, doc) VALUES (?, ?, ?, ?) "  # noqa: S608  literals
                "ON CONFLICT (account, kind, name) DO UPDATE SET doc = excluded.doc",
                (record.account, record.kind, record.name, msgspec.json.encode(record)),
                expect=1,
                name=f"{record.kind} is kept",
            )
            for record in change.put
        ]
        return [claim, *dropped, *put]

    # -- changes by other processes

    async def follow(self, period_s: float) -> None:
        """With several servers. Never returns."""
        await keep_up(self._world, period_s, self.catch_up, self._table)

    async def catch_up(self) -> None:
        for account, generation in await self._generations():
            if self.shelf(account).generation != generation:
                async with self._turn(account):
                    await self._reload(account)

    async def _generations(self) -> list[tuple[str, int]]:
        rows = await self._store.read(f"SELECT account, generation FROM {self._table}_accounts ORDER BY account")  # noqa: S608
        return [(account, generation) for account, generation in rows]

    async def _reload(self, account: str) -> None:
        """The generation is read first: a change between the two reads is seen as one by the next look."""
        found = await self._store.read(
            f"SELECT generation FROM {self._table}_accounts WHERE account = ?",  # noqa: S608  literals
            (account,),
        )
        rows = await self._store.read(
            f"SELECT kind, doc FROM {self._table} WHERE account = ? ORDER BY n",  # noqa: S608  literals
            (account,),
        )
        shelf = Shelf(account)
        shelf.generation = found[0][0] if found else 0
        records = [msgspec.json.decode(doc, type=self._kinds[kind]) for kind, doc in rows]
        shelf.apply(records, ())
        before = self._shelves.get(account)
        gone = [] if before is None else before.everything()
        self._shelves[account] = shelf
        if self._changed is not None:
            self._changed(shelf, records, gone)


class OnShelves:
    """A registry whose records are on shelves: what all of them do alike."""

    def __init__(self, shelves: Shelves) -> None:
        self._shelves = shelves

    async def load(self) -> None:
        """Once, before anything is served."""
        await self._shelves.load()

    async def follow(self, period_s: float) -> None:
        """With several servers: what another one changed. Never returns."""
        await self._shelves.follow(period_s)

    async def catch_up(self) -> None:
        await self._shelves.catch_up()

    def shelf(self, account: str) -> Shelf:
        return self._shelves.shelf(account)

    async def change(self, account: str, decide: Decide[T]) -> T:
        """Durable when it returns. `decide` is pure and may be asked more than once. The caller gets what it raises."""
        return await self._shelves.change(account, decide)
