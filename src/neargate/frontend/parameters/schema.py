"""The region shard's tables of Parameter Store: records to rows and back.

An account's `generation` grows in the same commit as any change of its parameters, and guards every decision that was
made on an older view of the account. A version's row is written once and never changed.
"""

from collections.abc import Sequence

import msgspec

from ...interfaces.store import Statement, Store
from .records import Parameter, StoredVersion, Version

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE ssm_accounts (
        account TEXT NOT NULL PRIMARY KEY,
        generation INTEGER NOT NULL
    );
    CREATE TABLE ssm_parameters (
        account TEXT NOT NULL,
        key TEXT NOT NULL,
        doc BLOB NOT NULL,
        PRIMARY KEY (account, key)
    );
    CREATE TABLE ssm_versions (
        account TEXT NOT NULL,
        key TEXT NOT NULL,
        number INTEGER NOT NULL,
        doc BLOB NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (account, key, number)
    );
    """,
)


async def read_generations(store: Store) -> dict[str, int]:
    return dict(await store.read("SELECT account, generation FROM ssm_accounts ORDER BY account"))


async def read_parameters(store: Store, account: str) -> list[Parameter]:
    rows = await store.read("SELECT doc FROM ssm_parameters WHERE account = ? ORDER BY key", (account,))
    return [msgspec.json.decode(doc, type=Parameter) for (doc,) in rows]


async def read_versions(store: Store, parameter: Parameter, first: int, last: int) -> list[StoredVersion]:
    """From `first` to `last`, both included, the oldest first."""
    rows = await store.read(
        "SELECT doc, sealed FROM ssm_versions WHERE account = ? AND key = ? AND number BETWEEN ? AND ? ORDER BY number",
        (parameter.account, parameter.key, first, last),
    )
    return [StoredVersion(version=msgspec.json.decode(doc, type=Version), sealed=sealed) for doc, sealed in rows]


def next_generation(account: str, generation: int) -> Statement:
    """Holds only while the account is as it was when the change was decided."""
    if generation == 0:
        sql, params = "INSERT INTO ssm_accounts (generation, account) VALUES (1, ?)", (account,)
        return Statement(sql, params, expect=1, name="account has no parameters yet")
    return Statement(
        "UPDATE ssm_accounts SET generation = generation + 1 WHERE account = ? AND generation = ?",
        (account, generation),
        expect=1,
        name="account unchanged",
    )


def put(parameter: Parameter) -> Statement:
    return Statement(
        "INSERT INTO ssm_parameters (account, key, doc) VALUES (?, ?, ?) "
        "ON CONFLICT (account, key) DO UPDATE SET doc = excluded.doc",
        (parameter.account, parameter.key, msgspec.json.encode(parameter)),
    )


def add_version(parameter: Parameter, stored: StoredVersion) -> list[Statement]:
    """With the new version those that are older than the parameter's oldest go."""
    place = (parameter.account, parameter.key)
    return [
        Statement(
            "INSERT INTO ssm_versions (account, key, number, doc, sealed) VALUES (?, ?, ?, ?, ?)",
            (*place, stored.version.number, msgspec.json.encode(stored.version), stored.sealed),
            expect=1,
            name="version is new",
        ),
        Statement("DELETE FROM ssm_versions WHERE account = ? AND key = ? AND number < ?", (*place, parameter.oldest)),
    ]


def drop(parameters: Sequence[Parameter]) -> list[Statement]:
    return [
        Statement(f"DELETE FROM {table} WHERE account = ? AND key = ?", (one.account, one.key))  # noqa: S608  literals
        for one in parameters
        for table in ("ssm_parameters", "ssm_versions")
    ]
