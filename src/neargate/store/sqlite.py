"""The Store over SQLite: one file per shard, one lane that writes it, one that reads it.

It owns connections, their settings and the lock on the data directory; it must not know any table. Invariant: exactly
one process has a directory open, and a write is acknowledged only after its commit was synced to the disk.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ..interfaces.store import Row, Statement, Store, Value
from ..model.knobs import Knobs
from ..world import World
from .batching import BatchLane
from .migrate import migrate
from .writer import Write, WriteResult, apply_reads, apply_writes

# SQL's own clock and dice: what they answer could not be repeated, and each server process would see its own time.
_BANNED_FUNCTIONS = frozenset(
    {"random", "randomblob", "date", "time", "datetime", "julianday", "unixepoch", "strftime", "timediff"}
    | {"current_date", "current_time", "current_timestamp"}
)


class DirectoryInUse(Exception):
    """Another server process holds the data directory. The sentence names it."""


class SqliteStore:
    """Implements `Store`. Made by a factory below; `release` is called on the writing lane when all is written."""

    def __init__(
        self,
        world: World,
        shard: str,
        *,
        writing: sqlite3.Connection,
        reading: sqlite3.Connection,
        lanes: tuple[str, str],
        has_room: Callable[[], bool],
        release: Callable[[], None],
        knobs: Knobs,
    ) -> None:
        self._world = world
        self._shard = shard
        self._release = release
        self._write_lane, read_lane = lanes
        self._callbacks: list[Callable[[], None]] = []
        self._writes: BatchLane[Write, WriteResult] = BatchLane(
            world,
            self._write_lane,
            lambda batch: apply_writes(writing, batch, has_room),
            queue_max=knobs.write_queue_max,
            batch_max=knobs.write_batch_max,
            applied=self._committed,
            failed=self._lost,
        )
        self._reads: BatchLane[tuple[str, Sequence[Value]], list[Row]] = BatchLane(
            world,
            read_lane,
            partial(apply_reads, reading),
            queue_max=knobs.read_queue_max,
            batch_max=knobs.read_batch_max,
            applied=_nothing,
            failed=self._lost,
        )

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        return await self._writes.submit(tuple(statements))

    async def read(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        if not sql.lstrip().upper().startswith(("SELECT", "WITH")):
            raise ValueError(f"read takes a query, not {sql[:40]!r}")
        return await self._reads.submit((sql, params))

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    async def close(self) -> None:
        await self._writes.close()
        await self._reads.close()
        await self._world.offload(self._write_lane, self._release)

    def _committed(self) -> None:
        for callback in self._callbacks:
            callback()

    def _lost(self, error: Exception) -> None:
        self._world.die(
            f"the database of shard {self._shard} failed ({error!r}); its state is read again at the next start"
        )


def _nothing() -> None:
    """Reads change nothing that anyone waits for."""


class SqliteStores:
    """Implements `StoreFactory`: files `SHARD.sqlite3` in a directory that only this process may use."""

    def __init__(self, world: World, directory: Path, knobs: Knobs) -> None:
        self._world = world
        self._directory = directory
        self._knobs = knobs
        self._lock: int | None = None
        self._opened: list[SqliteStore] = []

    async def open(self, shard: str, migrations: Sequence[str], *, rebuildable: bool = False) -> Store:
        """Raises DirectoryInUse, DatabaseRefused, OSError, sqlite3.Error."""
        if not shard.replace("-", "").isalnum():
            raise ValueError(f"a shard's name is letters, digits and hyphens, not {shard!r}")
        if self._lock is None:
            self._lock = _lock_directory(self._directory)
        lanes = (f"store-{shard}-write", f"store-{shard}-read")
        writing, reading = await self._world.offload(lanes[0], self._connect, shard, tuple(migrations), rebuildable)
        store = SqliteStore(
            self._world,
            shard,
            writing=writing,
            reading=reading,
            lanes=lanes,
            has_room=self._has_room,
            release=partial(_close_both, writing, reading),
            knobs=self._knobs,
        )
        self._opened.append(store)
        return store

    async def close(self) -> None:
        """Close every store and let another process have the directory."""
        for store in self._opened:
            await store.close()
        self._opened.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connect(
        self, shard: str, migrations: tuple[str, ...], rebuildable: bool
    ) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        path = self._directory / f"{shard}.sqlite3"
        _make_private(path)
        writing = _connect(str(path), self._knobs)
        try:
            writing.execute("PRAGMA journal_mode = WAL")
            # NORMAL leaves the log to the page cache between checkpoints: a kill loses nothing, a power cut the end.
            writing.execute(f"PRAGMA synchronous = {'NORMAL' if rebuildable else 'FULL'}")
            writing.execute(f"PRAGMA wal_autocheckpoint = {self._knobs.store_checkpoint_pages}")
            writing.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
            migrate(writing, shard, migrations)
            reading = _connect(str(path), self._knobs)
        except BaseException:
            writing.close()
            raise
        reading.execute("PRAGMA query_only = ON")
        return writing, reading

    def _has_room(self) -> bool:
        """COMMIT on a full disk leaves its outcome in doubt; refusing some MiB earlier is a failure that is known."""
        filesystem = os.statvfs(self._directory)
        return filesystem.f_bavail * filesystem.f_frsize >= self._knobs.store_free_min_bytes


class MemoryDisk:
    """Databases in memory that outlive their process: what a machine's disk is to the simulator."""

    def __init__(self) -> None:
        self.databases: dict[str, sqlite3.Connection] = {}
        self.is_full = False

    def has_room(self) -> bool:
        return not self.is_full

    def crash(self) -> None:
        """What a kill does to a disk: open transactions are gone, what was committed stays."""
        for connection in self.databases.values():
            connection.rollback()


class MemoryStores:
    """Implements `StoreFactory` over a `MemoryDisk`. Reads share the writer's connection, and therefore its lane."""

    def __init__(self, world: World, knobs: Knobs, disk: MemoryDisk | None = None) -> None:
        self._world = world
        self._knobs = knobs
        self._disk = disk or MemoryDisk()

    async def open(self, shard: str, migrations: Sequence[str], *, rebuildable: bool = False) -> Store:
        del rebuildable  # memory has no cache between it and the disk
        lane = f"store-{shard}"
        connection = await self._world.offload(lane, self._connect, shard, tuple(migrations))
        return SqliteStore(
            self._world,
            shard,
            writing=connection,
            reading=connection,
            lanes=(lane, lane),
            has_room=self._disk.has_room,
            release=_nothing,
            knobs=self._knobs,
        )

    async def close(self) -> None:
        """Nothing to let go: the disk keeps the databases."""

    def _connect(self, shard: str, migrations: tuple[str, ...]) -> sqlite3.Connection:
        connection = self._disk.databases.get(shard)
        if connection is None:
            connection = _connect(":memory:", self._knobs)
            self._disk.databases[shard] = connection
        connection.rollback()  # what the last owner had begun when it was killed
        migrate(connection, shard, migrations)
        return connection


def _connect(path: str, knobs: Knobs) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=knobs.store_lock_wait_s,
        isolation_level=None,  # BEGIN and COMMIT are ours alone
        check_same_thread=False,  # a lane has one thread, but not always the same
        cached_statements=512,
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.set_authorizer(_authorize)
    return connection


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """Asked when a statement is compiled, so it costs nothing when a cached one runs."""
    del first, database, trigger
    if action == sqlite3.SQLITE_FUNCTION and second is not None and second.lower() in _BANNED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    if action in (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _close_both(writing: sqlite3.Connection, reading: sqlite3.Connection) -> None:
    reading.close()
    writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    writing.close()


def _make_private(path: Path) -> None:
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


def _lock_directory(directory: Path) -> int:
    """An flock held for the life of the process; the kernel lets it go, however the process ends."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise DirectoryInUse(
            f"{directory} is in use by another Neargate server (pid {holder}); stop that one first, or give this one "
            f"a directory of its own with --data"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
