"""The region shard's identity tables: records to rows and back.

Entities of all kinds share one table, for their columns are the same: the name that is unique among the kind, the
unique id, the document. An account's `generation` grows in the same commit as any change of its entities, and guards
every decision that was made on an older view of the account.
"""

from collections.abc import Iterable, Sequence

import msgspec

from ...interfaces.store import Statement, Store, Value
from .records import KINDS, AccountRecord, LastUsed, Record

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE iam_accounts (
        account TEXT NOT NULL PRIMARY KEY,
        name TEXT NOT NULL,
        alias TEXT UNIQUE,
        created INTEGER NOT NULL,
        generation INTEGER NOT NULL
    );
    CREATE TABLE iam_entities (
        n INTEGER PRIMARY KEY,
        account TEXT NOT NULL REFERENCES iam_accounts (account),
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        uid TEXT NOT NULL UNIQUE,
        doc BLOB NOT NULL,
        UNIQUE (account, kind, name)
    );
    CREATE TABLE iam_last_used (
        uid TEXT NOT NULL PRIMARY KEY,
        at INTEGER NOT NULL,
        service TEXT NOT NULL,
        region TEXT NOT NULL
    );
    """,
)

_BY_KIND = {kind.kind: kind for kind in KINDS}
_ACCOUNT_COLUMNS = "account, name, alias, created, generation"


async def read_accounts(store: Store, account: str | None = None) -> list[AccountRecord]:
    where, params = _only(account)
    rows = await store.read(f"SELECT {_ACCOUNT_COLUMNS} FROM iam_accounts{where} ORDER BY account", params)  # noqa: S608  literals
    return [AccountRecord(number=row[0], name=row[1], alias=row[2], created=row[3], generation=row[4]) for row in rows]


async def read_entities(store: Store, account: str | None = None) -> list[Record]:
    where, params = _only(account)
    rows = await store.read(f"SELECT kind, doc FROM iam_entities{where} ORDER BY n", params)  # noqa: S608  literals
    return [msgspec.json.decode(doc, type=_BY_KIND[kind]) for kind, doc in rows]


async def read_last_used(store: Store) -> dict[str, LastUsed]:
    rows = await store.read("SELECT uid, at, service, region FROM iam_last_used ORDER BY uid")
    return {uid: LastUsed(at=at, service=service, region=region) for uid, at, service, region in rows}


def _only(account: str | None) -> tuple[str, Sequence[Value]]:
    return ("", ()) if account is None else (" WHERE account = ?", (account,))


def insert_account(account: AccountRecord) -> Statement:
    return Statement(
        "INSERT INTO iam_accounts (account, name, alias, created, generation) VALUES (?, ?, ?, ?, ?)",
        (account.number, account.name, account.alias, account.created, account.generation),
        expect=1,
        name="account is new",
    )


def next_generation(account: AccountRecord, *, alias: str | None) -> Statement:
    """Holds only while the account is as it was when the change was decided."""
    return Statement(
        "UPDATE iam_accounts SET generation = generation + 1, alias = ? WHERE account = ? AND generation = ?",
        (alias, account.number, account.generation),
        expect=1,
        name="account unchanged",
    )


def insert(record: Record) -> Statement:
    return Statement(
        "INSERT INTO iam_entities (account, kind, name, uid, doc) VALUES (?, ?, ?, ?, ?)",
        (record.account, record.kind, record.key, record.uid, msgspec.json.encode(record)),
        expect=1,
        name=f"{record.kind} is new",
    )


def update(record: Record) -> Statement:
    return Statement(
        "UPDATE iam_entities SET name = ?, doc = ? WHERE uid = ? AND account = ? AND kind = ?",
        (record.key, msgspec.json.encode(record), record.uid, record.account, record.kind),
        expect=1,
        name=f"{record.kind} is there",
    )


def drop(record: Record) -> list[Statement]:
    return [
        Statement("DELETE FROM iam_entities WHERE uid = ?", (record.uid,), expect=1, name=f"{record.kind} is there"),
        Statement("DELETE FROM iam_last_used WHERE uid = ?", (record.uid,)),
    ]


def put_last_used(uses: Iterable[tuple[str, LastUsed]]) -> list[Statement]:
    """Only of entities that are still there: a key may be deleted while its last use waits to be written."""
    return [
        Statement(
            """INSERT INTO iam_last_used (uid, at, service, region)
            SELECT uid, ?, ?, ? FROM iam_entities WHERE uid = ?
            ON CONFLICT (uid) DO UPDATE SET at = excluded.at, service = excluded.service, region = excluded.region""",
            (use.at, use.service, use.region, uid),
        )
        for uid, use in uses
    ]
