"""The Store seam: one database of one shard. SQLite and PostgreSQL implement it; one suite judges them.

A write is a list of plain statements with `?` parameters, committed together or not at all. Decisions are made before
the write; each statement guards what was decided (`WHERE rev = ?`, `WHERE free >= ?`) and says how many rows it must
touch. No statement asks the database for time or randomness. Several writes share one commit (group commit); a write
that is refused does not harm its neighbours.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

Value = int | float | str | bytes | None
Row = tuple[Any, ...]


class Statement(NamedTuple):
    """`expect`: rows that must be changed or returned; None for any number. `name` tells the reader of a refusal."""

    sql: str
    params: tuple[Value, ...] = ()
    expect: int | None = None
    name: str = ""


class Refused(Exception):
    """A guard did not hold; nothing of this write took effect. `name` is the guard's, `index` its place."""

    def __init__(self, name: str, index: int) -> None:
        super().__init__(f"write refused by guard {name or index}")
        self.name = name
        self.index = index


class Overloaded(Exception):
    """The queue of writes, or of reads, is full. The caller answers with throttling; nothing was queued."""


class StoreFull(Overloaded):
    """The filesystem of the database has no room; nothing of this write took effect. Reads go on."""


class Store(Protocol):
    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        """Commit durably; returns the RETURNING rows of each statement (empty lists for the others).

        Raises Refused (also for a violated constraint), Overloaded, StoreFull. An unknown outcome of the commit ends
        the process (`world.die`). A caller that is cancelled does not know whether its write took effect.
        """

    async def read(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        """Rows of a SELECT that sees every write acknowledged before. Callers order them. Raises Overloaded."""

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back in the event loop after each commit (no arguments: the reader asks the `events` table)."""

    async def close(self) -> None:
        """Finish what is queued, checkpoint, close."""


class StoreFactory(Protocol):
    """Opens the database of a shard (`region`, `cell-0`, `zone-a`, `logs`), running its numbered migrations."""

    async def open(self, shard: str, migrations: Sequence[str], *, rebuildable: bool = False) -> Store:
        """`rebuildable`: the owner can make again what the last commits before a crash of the *machine* had written.

        They may then be lost (never some without those before them). A kill of processes loses nothing in any store.
        """
