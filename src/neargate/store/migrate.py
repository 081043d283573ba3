"""Brings a database to the schema that this release knows, step by step, each step durable by itself.

`user_version` holds RELEASE * 10,000 + the number of migrations applied. A database of the next release is opened as it
is (its migrations must be such that this release can run on them); one of a later release is refused.
"""

import sqlite3
from collections.abc import Sequence

SCHEMA_RELEASE = 1  # raised by one with each release that changes any schema
APPLICATION_ID = 0x4E474154  # "NGAT" in the file's header: `file` and this module tell whose database it is
_STEP = 10_000


class DatabaseRefused(Exception):
    """The file is not ours, or of a release that we do not know. The sentence says what to do."""


def migrate(
    connection: sqlite3.Connection, shard: str, migrations: Sequence[str], release: int = SCHEMA_RELEASE
) -> None:
    """Raises DatabaseRefused; sqlite3.Error when a migration itself fails (then none of that step took effect)."""
    for number, script in enumerate(migrations, start=1):
        if "DEFERRED" in script.upper():
            raise ValueError(f"migration {number} of {shard} has a deferred constraint; it would fail at COMMIT")
    _claim(connection, shard)
    stored = int(connection.execute("PRAGMA user_version").fetchone()[0])
    their_release, applied = divmod(stored, _STEP)
    if their_release > release + 1 or (their_release <= release and applied > len(migrations)):
        raise DatabaseRefused(
            f"the database of shard {shard} was written by a newer Neargate (schema {their_release}.{applied}; this "
            f"one knows {release}.{len(migrations)}); start that release again, or restore a backup made before it"
        )
    if their_release > release:
        return  # one release ahead: its schema is made so that we can run on it
    for number in range(applied, len(migrations)):
        _apply(connection, migrations[number], release * _STEP + number + 1)


def _claim(connection: sqlite3.Connection, shard: str) -> None:
    """An empty file becomes ours; another program's database is left alone."""
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if application == APPLICATION_ID:
        return
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if application or tables:
        raise DatabaseRefused(f"the file of shard {shard} is not a Neargate database (application id {application})")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _apply(connection: sqlite3.Connection, script: str, version: int) -> None:
    """The script and its number are one transaction: a kill between them is impossible."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{script}\n;PRAGMA user_version = {version};\nCOMMIT;")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
