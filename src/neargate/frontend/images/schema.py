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
    """
    -- Manifests that the keeper may have and no record names: noted before they are given to it, and with every image
    -- that leaves the records. `claimed`: when somebody began to take it away, 0 while nobody does.
    CREATE TABLE ecr_unsettled (
        repository TEXT NOT NULL,
        account TEXT NOT NULL,
        digest TEXT NOT NULL,
        noted REAL NOT NULL,
        claimed REAL NOT NULL,
        PRIMARY KEY (repository, digest)
    ) WITHOUT ROWID;
    """,
)

_IS_RECORDED = (
    "EXISTS (SELECT 1 FROM ecr_image WHERE ecr_image.repository = ecr_unsettled.repository "
    "AND ecr_image.digest = ecr_unsettled.digest)"
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


def delete_repository(repository: Repository, generation: int, now: float) -> list[Statement]:
    return [
        Statement(
            "INSERT INTO ecr_unsettled (repository, account, digest, noted, claimed) "
            "SELECT repository, CAST(? AS TEXT), digest, CAST(? AS REAL), 0 FROM ecr_image WHERE repository = ? "
            "ON CONFLICT DO NOTHING",
            (repository.account, now, repository.uid),
        ),
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


def note(repository: Repository, digest: str, now: float, stale: float) -> Statement:
    """The keeper may have it from now on. Refused while somebody takes it away, who began after `stale`."""
    return Statement(
        "INSERT INTO ecr_unsettled (repository, account, digest, noted, claimed) VALUES (?, ?, ?, ?, 0) "
        "ON CONFLICT (repository, digest) DO UPDATE SET noted = excluded.noted, claimed = 0 "
        "WHERE ecr_unsettled.claimed <= ?",
        (repository.uid, repository.account, digest, now, stale),
        expect=1,
        name="manifest is not being taken away",
    )


def settle(repository: Repository, digest: str) -> Statement:
    """A record names it now: only while nobody takes its bytes away."""
    return Statement(
        "DELETE FROM ecr_unsettled WHERE repository = ? AND digest = ? AND claimed = 0",
        (repository.uid, digest),
        expect=1,
        name="manifest is noted",
    )


def claim(uid: str, digest: str, now: float, stale: float) -> Statement:
    return Statement(
        "UPDATE ecr_unsettled SET claimed = ? WHERE repository = ? AND digest = ? AND claimed <= ? "  # noqa: S608  a literal
        f"AND NOT {_IS_RECORDED}",
        (now, uid, digest, stale),
        expect=1,
        name="manifest is nobody's",
    )


def forget_claimed(uid: str, digest: str, claimed: float) -> Statement:
    return Statement(
        "DELETE FROM ecr_unsettled WHERE repository = ? AND digest = ? AND claimed = ?", (uid, digest, claimed)
    )


def forget_recorded(before: float) -> Statement:
    """Two pushed the same at once: the second one's note is left."""
    return Statement(
        f"DELETE FROM ecr_unsettled WHERE noted < ? AND claimed = 0 AND {_IS_RECORDED}",  # noqa: S608  a literal
        (before,),
    )


async def read_unsettled(store: Store, before: float, most: int) -> list[tuple[str, str, str]]:
    """(repository's uid, account, digest) of those that were noted before a time."""
    found = await store.read(
        "SELECT repository, account, digest FROM ecr_unsettled WHERE noted < ? ORDER BY noted, repository, digest "
        "LIMIT ?",
        (before, most),
    )
    return [(uid, account, digest) for uid, account, digest in found]


def put_settings(settings: RegistrySettings, generation: int) -> Statement:
    """`generation`: that the decision was made on; 0 when there was no row."""
    return Statement(
        "INSERT INTO ecr_registry (account, generation, doc) VALUES (?, 1, ?) ON CONFLICT (account) DO UPDATE "
        "SET generation = generation + 1, doc = excluded.doc WHERE ecr_registry.generation = ?",
        (settings.account, msgspec.json.encode(settings), generation),
        expect=1,
        name="registry unchanged",
    )
