"""SQLite connections and their settings: one that writes a file, one that reads it.

It owns what every connection may and must do; it must not know tables, lanes or processes. Invariant: a file is
readable by its owner only before SQLite opens it, and no statement asks the database for time or randomness.
"""

import os
import sqlite3
from pathlib import Path

# SQL's own clock and dice: what they answer could not be repeated, and each server process would see its own time.
_BANNED_FUNCTIONS = frozenset(
    {"random", "randomblob", "date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"}
    | {"current_date", "current_time", "current_timestamp"}
)
_JOURNAL_MAX_BYTES = 64 * 1024 * 1024
_LOG_BYTES = 4 * 1024 * 1024


def connect(path: str, *, lock_wait_s: float) -> sqlite3.Connection:
    """Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=lock_wait_s,
        isolation_level=None,  # BEGIN and COMMIT are ours alone
        check_same_thread=False,  # a lane has one thread, but not always the same
        cached_statements=512,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.set_authorizer(_authorize)
    return connection


def connect_writer(path: Path, *, rebuildable: bool, checkpoint_pages: int, lock_wait_s: float) -> sqlite3.Connection:
    """Raises OSError, sqlite3.Error."""
    make_private(path)
    connection = connect(str(path), lock_wait_s=lock_wait_s)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # NORMAL leaves the log to the page cache between checkpoints: a kill loses nothing, a power cut the end.
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if rebuildable else 'FULL'}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
        connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_MAX_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path, *, lock_wait_s: float) -> sqlite3.Connection:
    connection = connect(str(path), lock_wait_s=lock_wait_s)
    connection.execute("PRAGMA query_only = ON")
    return connection


def checkpoint_and_close(connection: sqlite3.Connection) -> None:
    """The end of a writer: what is in the log goes into the file, so that the next start need not read it."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def lengthen_log(path: Path) -> None:
    """Give the write-ahead log of an open database room of its own. Called by its only writer. Raises OSError.

    A sync of a file that grew waits for the filesystem's journal, one of a file that is as long as before does not: a
    third of a commit's time. SQLite reads its log until the first frame that is not whole, and zeros are none.
    """
    # Appended: what another program (the sqlite3 shell) has just committed there is never written over.
    log = os.open(f"{path}-wal", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        length = os.fstat(log).st_size
        if length < _LOG_BYTES:
            os.write(log, bytes(_LOG_BYTES - length))  # synced with the next commit
    finally:
        os.close(log)


def has_room(directory: Path, free_min_bytes: int) -> bool:
    """COMMIT on a full disk leaves its outcome in doubt; refusing some MiB earlier is a failure that is known."""
    filesystem = os.statvfs(directory)
    return filesystem.f_bavail * filesystem.f_frsize >= free_min_bytes


def make_private(path: Path) -> None:
    """The file exists, readable by us only, before SQLite opens it; the WAL takes its mode from it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    os.close(descriptor)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """Asked when a statement is compiled, so it costs nothing when a cached one runs."""
    del first, database, trigger
    if action == sqlite3.SQLITE_FUNCTION and second is not None and second.lower() in _BANNED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
