"""Applies a batch of writes to a SQLite connection as one durable transaction (group commit).

It owns BEGIN, savepoints and COMMIT; it must not know queues, threads or the loop. Invariant: when `apply_writes`
returns, the outcomes are true and durable; when it raises, the outcome is unknown and the process must end.

What a failing write means: a guard that does not hold and a violated constraint (unique, foreign key, check) are
`Refused`; a statement that cannot run at all (syntax, wrong number of parameters) is the caller's programming error and
is raised to that caller alone. Constraints are immediate: `migrate` refuses deferred ones, which would fail at COMMIT.
"""

import sqlite3
from collections.abc import Callable, Sequence

from ..interfaces.store import Overloaded, Refused, Row, Statement, StoreFull

Write = Sequence[Statement]
WriteResult = list[list[Row]]

# Primary result codes of SQLite after which the database itself cannot be trusted by this process any more.
_FATAL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_NOMEM})


def apply_writes(
    connection: sqlite3.Connection, batch: Sequence[Write], has_room: Callable[[], bool]
) -> list[WriteResult | Exception]:
    """One outcome per write, in order. `has_room` says whether the filesystem can take more; asked once."""
    if not has_room():
        return [StoreFull("the filesystem of the database is full") for _ in batch]
    try:
        _begin(connection)
        outcomes = _apply_all(connection, batch)
    except _Locked:
        # Some other program (a backup, the sqlite3 shell) holds the lock longer than we wait. Nothing was begun.
        return [Overloaded("the database is locked by another program") for _ in batch]
    except _BatchFull:
        return [StoreFull("the filesystem of the database is full") for _ in batch]
    connection.execute("COMMIT")
    return outcomes


class _Locked(Exception):
    """No transaction could be begun."""


class _BatchFull(Exception):
    """SQLite ran out of space before COMMIT: the transaction was rolled back, so the failure is a known one."""


def _begin(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if _primary_code(error) != sqlite3.SQLITE_BUSY:
            raise
        raise _Locked from error


def _apply_all(connection: sqlite3.Connection, batch: Sequence[Write]) -> list[WriteResult | Exception]:
    """Refusals are rare: writes first run without savepoints, and once more with one each if any is refused."""
    try:
        return [[_run(connection, statement, index) for index, statement in enumerate(write)] for write in batch]
    except Exception as error:
        _raise_if_batch_is_lost(connection, error)
    connection.execute("ROLLBACK")
    _begin(connection)
    return [_apply_one(connection, write) for write in batch]


def _apply_one(connection: sqlite3.Connection, write: Write) -> WriteResult | Exception:
    connection.execute("SAVEPOINT one")
    results: WriteResult = []
    failure: Exception
    for index, statement in enumerate(write):
        try:
            results.append(_run(connection, statement, index))
            continue
        except sqlite3.IntegrityError:
            failure = Refused(statement.name, index)
        except Exception as error:
            _raise_if_batch_is_lost(connection, error)
            failure = error
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return failure
    connection.execute("RELEASE one")
    return results


def _run(connection: sqlite3.Connection, statement: Statement, index: int) -> list[Row]:
    cursor = connection.execute(statement.sql, statement.params)
    returned = cursor.description is not None
    rows = cursor.fetchall() if returned else []
    if statement.expect is not None:
        touched = len(rows) if returned else cursor.rowcount
        if touched != statement.expect:
            raise Refused(statement.name, index)
    return rows


def _raise_if_batch_is_lost(connection: sqlite3.Connection, error: Exception) -> None:
    """Refusals and programming errors return; an error of the disk takes the whole batch with it."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise _BatchFull from error
    if code in _FATAL or not connection.in_transaction:
        raise error


def _primary_code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def apply_reads(
    connection: sqlite3.Connection, batch: Sequence[tuple[str, Sequence[object]]]
) -> list[list[Row] | Exception]:
    """Rows of each query. Every cursor is drained: an open one would keep the WAL from being checkpointed."""
    outcomes: list[list[Row] | Exception] = []
    for sql, params in batch:
        try:
            outcomes.append(connection.execute(sql, tuple(params)).fetchall())
        except Exception as error:
            outcomes.append(error)  # raised to the one who asked; a failed read harms nobody else
    return outcomes
