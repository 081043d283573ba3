"""The region's repositories and images: durable tables and the read model that every request is served from.

Owns every change of them. Must not know operations, the registry protocol or where bytes rest. Invariants: one change
at a time, decided on what the database holds and guarded by the repository's generation; memory holds only what is
durable; what a change returned is durable.
"""

import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ...interfaces.store import Refused, Statement, Store
from ...model.ids import task_id
from ...world import World
from ..regional.turn import Turn, keep_up
from . import schema
from .book import RepositoryBook
from .errors import RepositoryAlreadyExists, RepositoryNotFound
from .records import Image, RegistrySettings, Repository

MIGRATIONS = schema.MIGRATIONS

T = TypeVar("T")


class Change(Struct, Generic[T], frozen=True, kw_only=True):
    """What a decision wants kept and gone, and what its caller hears. `drop`: digests.

    `settles`: the digest of a manifest that was noted before the keeper got it; the change holds only while it is.
    """

    result: T
    repository: Repository | None = None
    put: tuple[Image, ...] = ()
    drop: tuple[str, ...] = ()
    settles: str = ""

    @property
    def is_empty(self) -> bool:
        return self.repository is None and not self.put and not self.drop


Decide = Callable[[RepositoryBook], Change[T]]


async def open_images(world: World, store: Store) -> "ImageRegistry":
    """`store` is the region shard, opened with migrations that include MIGRATIONS."""
    registry = ImageRegistry(world, store)
    await registry.load()
    return registry


class ImageRegistry:
    """Reads are from memory and never wait."""

    def __init__(self, world: World, store: Store) -> None:
        self._world = world
        self._store = store
        self._books: dict[str, dict[str, RepositoryBook]] = {}  # account -> name -> book
        self._settings: dict[str, tuple[RegistrySettings, int]] = {}
        self._turn = Turn(world, "image")

    async def load(self) -> None:
        """Fill the read model from the database; once, before anything is served."""
        for book in await schema.read_books(self._store):
            self._keep(book)
        await self._reload_settings()

    # -- reads

    def find(self, account: str, name: str) -> RepositoryBook | None:
        return self._books.get(account, {}).get(name)

    def book(self, account: str, name: str) -> RepositoryBook:
        """Raises RepositoryNotFound."""
        found = self.find(account, name)
        if found is None:
            raise RepositoryNotFound(name, account)
        return found

    def books(self, account: str) -> list[RepositoryBook]:
        """In order of names."""
        return [book for _, book in sorted(self._books.get(account, {}).items())]

    def count(self, account: str) -> int:
        return len(self._books.get(account, {}))

    def all_books(self) -> list[RepositoryBook]:
        return [book for books in self._books.values() for book in books.values()]

    def settings(self, account: str) -> RegistrySettings:
        found = self._settings.get(account)
        return RegistrySettings(account=account) if found is None else found[0]

    async def deleted(self) -> list[tuple[str, str]]:
        """(uid, account) of repositories that were deleted, whichever process did it, and whose bytes are not gone."""
        return await schema.read_deleted(self._store)

    async def forget_deleted(self, uid: str) -> None:
        """Its bytes are gone."""
        await self._store.write([schema.forget_deleted(uid)])

    # -- manifests that the keeper may have and no record names

    async def note(self, repository: Repository, digest: str, stale: float) -> bool:
        """Before the keeper gets it. False while somebody takes it away, who began after `stale`."""
        return await self._holds(schema.note(repository, digest, self._world.now(), stale))

    async def claim(self, uid: str, digest: str, stale: float) -> float | None:
        """To take it away: nothing records it meanwhile. None: it is settled, or somebody else is at it."""
        now = self._world.now()
        return now if await self._holds(schema.claim(uid, digest, now, stale)) else None

    async def forget_claimed(self, uid: str, digest: str, claimed: float) -> None:
        """The keeper has it no more."""
        await self._store.write([schema.forget_claimed(uid, digest, claimed)])

    async def unsettled(self, before: float, most: int) -> list[tuple[str, str, str]]:
        """(repository's uid, account, digest), whichever process noted them."""
        await self._store.write([schema.forget_recorded(before)])
        return await schema.read_unsettled(self._store, before, most)

    async def _holds(self, statement: Statement) -> bool:
        try:
            await self._store.write([statement])
        except Refused:
            return False
        return True

    # -- changes

    async def create(self, repository: Repository) -> Repository:
        """`repository.uid` is given here. Raises RepositoryAlreadyExists."""
        return await self._turn.change(
            lambda: self._create(repository), read_again=lambda: self._reload(repository.account, repository.name)
        )

    async def delete(self, account: str, name: str, check: Callable[[RepositoryBook], None]) -> Repository:
        """`check` raises what speaks against it. Raises RepositoryNotFound."""
        return await self._turn.change(
            lambda: self._delete(account, name, check), read_again=lambda: self._reload(account, name)
        )

    async def change(self, account: str, name: str, decide: Decide[T]) -> T:
        """Raises RepositoryNotFound and what `decide` raises."""
        return await self._turn.change(
            lambda: self._change(account, name, decide), read_again=lambda: self._reload(account, name)
        )

    async def change_settings(self, account: str, decide: Callable[[RegistrySettings], RegistrySettings]) -> None:
        await self._turn.change(lambda: self._change_settings(account, decide), read_again=self._reload_settings)

    async def _create(self, wanted: Repository) -> Repository:
        if self.find(wanted.account, wanted.name) is not None:
            raise RepositoryAlreadyExists(wanted.name, wanted.account)
        repository = replace(wanted, uid=task_id(self._world.random.getrandbits))
        await self._store.write([schema.insert_repository(repository)])
        self._keep(RepositoryBook(repository, 1))
        return repository

    async def _delete(self, account: str, name: str, check: Callable[[RepositoryBook], None]) -> Repository:
        book = self.book(account, name)
        check(book)
        await self._store.write(schema.delete_repository(book.repository, book.generation, self._world.now()))
        self._books[account].pop(name, None)
        return book.repository

    async def _change(self, account: str, name: str, decide: Decide[T]) -> T:
        book = self.book(account, name)
        change = decide(book)
        if not change.is_empty:
            repository = change.repository or book.repository
            await self._store.write(_statements(book, repository, change, self._world.now()))
            book.repository = repository
            book.generation += 1
            book.apply(change.put, change.drop)
        return change.result

    async def _change_settings(self, account: str, decide: Callable[[RegistrySettings], RegistrySettings]) -> None:
        before, generation = self._settings.get(account, (RegistrySettings(account=account), 0))
        settings = decide(before)
        await self._store.write([schema.put_settings(settings, generation)])
        self._settings[account] = settings, generation + 1

    async def _reload_settings(self) -> None:
        self._settings = await schema.read_settings(self._store)

    # -- changes by other processes

    async def follow(self, period_s: float) -> None:
        """With several servers. Never returns."""
        await keep_up(self._world, period_s, self.catch_up, "images")

    async def catch_up(self) -> None:
        """Read again the repositories whose generation is another than here."""
        there = await schema.read_generations(self._store)
        here = {
            (book.repository.account, book.repository.name): (book.repository.uid, book.generation)
            for book in self.all_books()
        }
        for account, name in [key for key in there.keys() | here.keys() if there.get(key) != here.get(key)]:
            async with self._turn:
                await self._reload(account, name)
        settings = await schema.read_settings(self._store)
        async with self._turn:
            for account, (found, generation) in settings.items():
                if generation > self._settings.get(account, (found, 0))[1]:
                    self._settings[account] = found, generation

    async def _reload(self, account: str, name: str) -> None:
        found = await schema.read_books(self._store, account, name)
        self._books.get(account, {}).pop(name, None)
        for book in found:
            self._keep(book)

    def _keep(self, book: RepositoryBook) -> None:
        repository = book.repository
        self._books.setdefault(repository.account, {})[repository.name] = book


def _statements(book: RepositoryBook, repository: Repository, change: Change[Any], now: float) -> list[Statement]:
    return [
        schema.update_repository(repository, book.generation),
        *([schema.settle(repository, change.settles)] if change.settles else []),
        *(schema.drop_image(repository, digest) for digest in change.drop),
        *(schema.note(repository, digest, now, math.inf) for digest in change.drop),
        *(schema.put_image(repository, image) for image in change.put),
    ]
