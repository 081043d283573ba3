"""The region's parameters: durable tables and the read model that every decision is made from.

Owns every change of an account's parameters, and the sealing of values that no KMS key seals. Must not know operations.
Invariants: one change at a time, decided on what the database holds and guarded by the account's generation; memory
holds only what is durable; values are read when asked for, and rest sealed.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from msgspec import Struct

from ...interfaces.store import Statement, Store
from ...model.knobs import DEFAULT_KNOBS
from ...world import World
from ..identity.registry import Sealer
from ..regional.turn import Turn, keep_up
from . import schema
from .book import ParameterBook
from .errors import ParameterLimitExceeded
from .public import PublicParameters
from .records import Parameter, StoredVersion, rooted

MIGRATIONS = schema.MIGRATIONS

T = TypeVar("T")


class Change(Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision wants kept and gone, and what its caller hears. `version`: the new one of the `put` parameter."""

    result: T
    put: Parameter | None = None
    version: StoredVersion | None = None
    drop: tuple[Parameter, ...] = ()


Decide = Callable[[ParameterBook], Change[T]]


async def open_parameters(world: World, store: Store, sealer: Sealer, public: PublicParameters) -> "ParameterRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = ParameterRegistry(world, store, sealer, public)
    await registry.catch_up()
    return registry


class ParameterRegistry:
    """Reads of anything but values are from memory and never wait; what a change returned is durable."""

    def __init__(self, world: World, store: Store, sealer: Sealer, public: PublicParameters) -> None:
        self.public = public
        self._world = world
        self._store = store
        self._sealer = sealer
        self._books: dict[str, ParameterBook] = {}
        self._turn = Turn(world, "parameter")

    # -- reads

    def book(self, account: str) -> ParameterBook:
        """Of an account without parameters: an empty one."""
        return self._books.get(account) or ParameterBook(account)

    async def versions(self, parameter: Parameter, first: int, last: int) -> list[StoredVersion]:
        """From `first` to `last`; none of a parameter that was deleted meanwhile."""
        return await schema.read_versions(self._store, parameter, first, last)

    def seal(self, account: str, name: str, value: str) -> bytes:
        return self._sealer.seal(value.encode(), context=_context(account, name))

    def open(self, account: str, name: str, sealed: bytes) -> str:
        return self._sealer.open(sealed, context=_context(account, name)).decode()

    # -- changes

    async def change(self, account: str, decide: Decide[T]) -> T:
        """`decide` is pure and may be asked more than once. What it raises, the caller gets."""
        return await self._turn.change(lambda: self._attempt(account, decide), read_again=self._reload)

    async def _attempt(self, account: str, decide: Decide[T]) -> T:
        book = self.book(account)
        change = decide(book)
        if change.put is not None or change.drop:
            if change.put is not None:
                check_bytes(book, change.put)
            await self._store.write(_statements(book, change))
            book.apply(() if change.put is None else (change.put,), change.drop)
            self._books[account] = book
        return change.result

    # -- changes by other processes

    async def follow(self, period_s: float) -> None:
        """With several servers. Never returns."""
        await keep_up(self._world, period_s, self.catch_up, "parameters")

    async def catch_up(self) -> None:
        async with self._turn:
            await self._reload()

    async def _reload(self) -> None:
        """Read again the accounts whose generation is another than here."""
        for account, generation in (await schema.read_generations(self._store)).items():
            if self.book(account).generation != generation:
                parameters = await schema.read_parameters(self._store, account)
                self._books[account] = ParameterBook(account, generation, parameters)


def check_bytes(book: ParameterBook, put: Parameter) -> None:
    """Memory holds all records, and one account may not fill it; what makes one smaller always may.

    Raises ParameterLimitExceeded.
    """
    if book.size_with((put,)) > max(book.size, DEFAULT_KNOBS.parameters_max_bytes):
        raise ParameterLimitExceeded(
            f"The descriptions, tags and labels of the parameters of this account have more than "
            f"{DEFAULT_KNOBS.parameters_max_bytes} bytes. Delete one or more parameters and try again."
        )


def _context(account: str, name: str) -> bytes:
    """Binds a sealed value to its place: copied to another parameter's row, it does not open."""
    return f"ssm-parameter/{account}{rooted(name)}".encode()


def _statements(book: ParameterBook, change: Change[Any]) -> list[Statement]:
    statements = [schema.next_generation(book.account, book.generation), *schema.drop(change.drop)]
    if change.put is not None:
        statements.append(schema.put(change.put))
        if change.version is not None:
            statements += schema.add_version(change.put, change.version)
    return statements
