"""The region shard's image tables: records to rows and back.

A repository's `generation` grows in the same commit as any change of it or of its images, and guards every decision
that was made on an older view of it.
"""

from collections.abc import Sequence

import msgspec

from ...interfaces.store import Statement, Store, Value
from .book import RepositoryBook
from .records import Image, RegistrySettings, Repository

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE ecr_repository (
        n INTEGER PRIMARY KEY,
        account TEXT NOT NULL,
        name TEXT NOT NULL,
        uid TEXT NOT NULL UNIQUE,
        generation INTEGER NOT NULL,
        doc BLOB NOT NULL,
        UNIQUE (account, name)
    );
    CREATE TABLE ecr_image (
        n INTEGER PRIMARY KEY,
        repository TEXT NOT NULL REFERENCES ecr_repository (uid) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        doc BLOB NOT NULL,
        UNIQUE (repository, digest)
    );
    -- Repositories that were deleted, until their bytes are gone too.
    CREATE TABLE ecr_deleted (uid TEXT NOT NULL PRIMARY KEY, account TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE ecr_registry (
        account TEXT NOT NULL PRIMARY KEY,
        generation INTEGER NOT NULL,
        doc BLOB NOT NULL
    );
    """,
)


async def read_books(store: Store, account: str = "", name: str = "") -> list[RepositoryBook]:
    """All, or the one of this name."""
    where, params = _only(account, name)
    rows = await store.read(f"SELECT doc, generation FROM ecr_repository{where} ORDER BY n", params)  # noqa: S608  literals
    books = {
        repository.uid: RepositoryBook(repository, generation)
        for repository, generation in ((msgspec.json.decode(row[0], type=Repository), row[1]) for row in rows)
    }
    chosen = f" WHERE repository IN (SELECT uid FROM ecr_repository{where})" if where else ""  # noqa: S608  literals
    for uid, document in await store.read(f"SELECT repository, doc FROM ecr_image{chosen} ORDER BY n", params):  # noqa: S608  literals
        if uid in books:
            books[uid].apply((msgspec.json.decode(document, type=Image),), ())
    return list(books.values())


async def read_generations(store: Store) -> dict[tuple[str, str], tuple[str, int]]:
    """(account, name) -> (uid, generation)."""
    rows = await store.read("SELECT account, name, uid, generation FROM ecr_repository ORDER BY n")
    return {(account, name): (uid, generation) for account, name, uid, generation in rows}


async def read_settings(store: Store) -> dict[str, tuple[RegistrySettings, int]]:
    rows = await store.read("SELECT account, doc, generation FROM ecr_registry ORDER BY account")
    return {
        account: (msgspec.json.decode(document, type=RegistrySettings), generation)
        for account, document, generation in rows
    }


def _only(account: str, name: str) -> tuple[str, Sequence[Value]]:
    return (" WHERE account = ? AND name = ?", (account, name)) if account else ("", ())


def insert_repository(repository: Repository) -> Statement:
    return Statement(
        "INSERT INTO ecr_repository (account, name, uid, generation, doc) VALUES (?, ?, ?, 1, ?)",
        (repository.account, repository.name, repository.uid, msgspec.json.encode(repository)),
        expect=1,
        name="repository is new",
    )


def update_repository(repository: Repository, generation: int) -> Statement:
    """Holds only while the repository is as it was when the change was decided."""
    return Statement(
        "UPDATE ecr_repository SET generation = generation + 1, doc = ? WHERE uid = ? AND generation = ?",
        (msgspec.json.encode(repository), repository.uid, generation),
        expect=1,
        name="repository unchanged",
    )


def delete_repository(repository: Repository, generation: int) -> list[Statement]:
    return [
        Statement(
            "DELETE FROM ecr_image WHERE repository IN "
            "(SELECT uid FROM ecr_repository WHERE uid = ? AND generation = ?)",
            (repository.uid, generation),
        ),
        Statement(
            "DELETE FROM ecr_repository WHERE uid = ? AND generation = ?",
            (repository.uid, generation),
            expect=1,
            name="repository unchanged",
        ),
        Statement("INSERT INTO ecr_deleted (uid, account) VALUES (?, ?)", (repository.uid, repository.account)),
    ]


async def read_deleted(store: Store) -> list[tuple[str, str]]:
    """(uid, account)"""
    return [(uid, account) for uid, account in await store.read("SELECT uid, account FROM ecr_deleted ORDER BY uid")]


def forget_deleted(uid: str) -> Statement:
    return Statement("DELETE FROM ecr_deleted WHERE uid = ?", (uid,))


def put_image(repository: Repository, image: Image) -> Statement:
    return Statement(
        "INSERT INTO ecr_image (repository, digest, doc) VALUES (?, ?, ?) "
        "ON CONFLICT (repository, digest) DO UPDATE SET doc = excluded.doc",
        (repository.uid, image.digest, msgspec.json.encode(image)),
        expect=1,
        name="image is written",
    )


def drop_image(repository: Repository, digest: str) -> Statement:
    return Statement(
        "DELETE FROM ecr_image WHERE repository = ? AND digest = ?",
        (repository.uid, digest),
        expect=1,
        name="image is there",
    )


def put_settings(settings: RegistrySettings, generation: int) -> Statement:
    """`generation`: that the decision was made on; 0 when there was no row."""
    return Statement(
        "INSERT INTO ecr_registry (account, generation, doc) VALUES (?, 1, ?) ON CONFLICT (account) DO UPDATE "
        "SET generation = generation + 1, doc = excluded.doc WHERE ecr_registry.generation = ?",
        (settings.account, msgspec.json.encode(settings), generation),
        expect=1,
        name="registry unchanged",
    )
