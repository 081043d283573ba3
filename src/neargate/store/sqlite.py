"""The Store over SQLite: one file per shard, one writer, one lane that reads it.

It owns the lock on the data directory and who writes a file: a lane of this process, or the writing process that it was
given. It must not know any table. Invariant: exactly one server has a directory open, and a write is acknowledged only
after its commit was synced to the disk.
"""

import fcntl
import os
import socket
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..interfaces.store import Row, Statement, Store, Value
from ..model.knobs import Knobs
from ..world import World
from .batching import BatchLane
from .connections import checkpoint_and_close, connect, connect_reader, connect_writer, has_room
from .migrate import migrate
from .writer import Write, WriteResult, apply_reads, apply_writes
from .writing_link import open_link
from .writing_messages import Open


class DirectoryInUse(Exception):
    """Another server process holds the data directory. The sentence names it."""


class Writer(Protocol):
    """Applies batches of one database's writes, in order."""

    def prepared(self, statements: Sequence[Statement]) -> Any:
        """One write as `apply` takes it. What it raises is its caller's error."""

    async def apply(self, batch: list[Any]) -> Sequence[WriteResult | Exception]:
        """One outcome per write. What it raises leaves the outcome of the whole batch unknown."""

    async def close(self) -> None:
        """When all is written: let the database go."""


class SqliteStore:
    """Implements `Store`. Made by a factory below, which also gives it its writer."""

    def __init__(
        self, world: World, shard: str, *, writer: Writer, reading: sqlite3.Connection, read_lane: str, knobs: Knobs
    ) -> None:
        self._world = world
        self.shard = shard
        self._writer = writer
        self._callbacks: list[Callable[[], None]] = []
        self._writes: BatchLane[Any, WriteResult] = BatchLane(
            world,
            f"store-{shard}-write",
            writer.apply,
            queue_max=knobs.write_queue_max,
            batch_max=knobs.write_batch_max,
            applied=self._committed,
            failed=self._lost,
        )
        self._reads: BatchLane[tuple[str, Sequence[Value]], list[Row]] = BatchLane(
            world,
            read_lane,
            partial(world.offload, read_lane, apply_reads, reading),
            queue_max=knobs.read_queue_max,
            batch_max=knobs.read_batch_max,
            applied=_nothing,
            failed=self._lost,
        )

    async def write(self, statements: Sequence[Statement]) -> list[list[Row]]:
        return await self._writes.submit(self._writer.prepared(statements))

    async def read(self, sql: str, params: Sequence[Value] = ()) -> list[Row]:
        if not sql.lstrip().upper().startswith(("SELECT", "WITH")):
            raise ValueError(f"read takes a query, not {sql[:40]!r}")
        return await self._reads.submit((sql, params))

    def on_commit(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    @property
    def waiting(self) -> tuple[int, int]:
        """(writes, reads) in its queues."""
        return self._writes.waiting, self._reads.waiting

    async def close(self) -> None:
        await self._writes.close()
        await self._reads.close()
        await self._writer.close()

    def _committed(self) -> None:
        for callback in self._callbacks:
            callback()

    def _lost(self, error: Exception) -> None:
        _end(self._world, self.shard, error)


def _end(world: World, shard: str, error: Exception) -> None:
    world.die(f"the database of shard {shard} failed ({error!r}); its state is read again at the next start")


def _nothing() -> None:
    """Reads change nothing that anyone waits for."""


class _LaneWriter:
    """Writes on a lane of this process. `release` is called there at the end."""

    def __init__(
        self,
        world: World,
        lane: str,
        connection: sqlite3.Connection,
        *,
        room: Callable[[], bool],
        release: Callable[[], None],
    ) -> None:
        self._apply = partial(world.offload, lane, apply_writes, connection)
        self._release = partial(world.offload, lane, release)
        self._has_room = room

    def prepared(self, statements: Sequence[Statement]) -> Write:
        return tuple(statements)

    async def apply(self, batch: list[Write]) -> list[WriteResult | Exception]:
        return await self._apply(batch, self._has_room)

    async def close(self) -> None:
        await self._release()


class SqliteStores:
    """Implements `StoreFactory`: files `SHARD.sqlite3` in a directory that only this process may use."""

    def __init__(
        self, world: World, directory: Path, knobs: Knobs, writing_process: socket.socket | None = None
    ) -> None:
        """`writing_process`: the control socket of one that runs `writing_process.serve`; else lanes write."""
        self._world = world
        self._directory = directory
        self._knobs = knobs
        self._control = writing_process
        self._lock: int | None = None
        self._opened: list[SqliteStore] = []

    async def open(self, shard: str, migrations: Sequence[str], *, rebuildable: bool = False) -> Store:
        """Raises DirectoryInUse, DatabaseRefused, OSError, sqlite3.Error."""
        if not shard.replace("-", "").isalnum():
            raise ValueError(f"a shard's name is letters, digits and hyphens, not {shard!r}")
        if self._lock is None:
            self._lock = _lock_directory(self._directory)
        lane = f"store-{shard}-write"
        writing, reading = await self._world.offload(lane, self._connect, shard, tuple(migrations), rebuildable)
        writer: Writer
        if self._control is None:
            release = partial(_close_both, writing, reading)
            writer = _LaneWriter(self._world, lane, writing, room=self._has_room, release=release)
        else:
            await self._world.offload(lane, writing.close)
            writer = await self._link(self._control, self._lock, shard, reading, rebuildable=rebuildable)
        store = SqliteStore(
            self._world, shard, writer=writer, reading=reading, read_lane=f"store-{shard}-read", knobs=self._knobs
        )
        self._opened.append(store)
        return store

    def waiting(self) -> dict[str, tuple[int, int]]:
        """Shard -> (writes, reads) in its queues."""
        return {store.shard: store.waiting for store in self._opened}

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
        path, wait_s = self._path(shard), self._knobs.store_lock_wait_s
        pages = self._knobs.store_checkpoint_pages
        writing = connect_writer(path, rebuildable=rebuildable, checkpoint_pages=pages, lock_wait_s=wait_s)
        try:
            migrate(writing, shard, migrations)
            return writing, connect_reader(path, lock_wait_s=wait_s)
        except BaseException:
            writing.close()
            raise

    async def _link(
        self, control: socket.socket, lock: int, shard: str, reading: sqlite3.Connection, *, rebuildable: bool
    ) -> Writer:
        order = Open(
            path=str(self._path(shard)),
            rebuildable=rebuildable,
            checkpoint_pages=self._knobs.store_checkpoint_pages,
            lock_wait_s=self._knobs.store_lock_wait_s,
            free_min_bytes=self._knobs.store_free_min_bytes,
        )
        return await open_link(control, order, lock, failed=partial(_end, self._world, shard), closing=reading.close)

    def _path(self, shard: str) -> Path:
        return self._directory / f"{shard}.sqlite3"

    def _has_room(self) -> bool:
        return has_room(self._directory, self._knobs.store_free_min_bytes)


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
        writer = _LaneWriter(self._world, lane, connection, room=self._disk.has_room, release=_nothing)
        return SqliteStore(self._world, shard, writer=writer, reading=connection, read_lane=lane, knobs=self._knobs)

    async def close(self) -> None:
        """Nothing to let go: the disk keeps the databases."""

    def _connect(self, shard: str, migrations: tuple[str, ...]) -> sqlite3.Connection:
        connection = self._disk.databases.get(shard)
        if connection is None:
            connection = connect(":memory:", lock_wait_s=self._knobs.store_lock_wait_s)
            self._disk.databases[shard] = connection
        connection.rollback()  # what the last owner had begun when it was killed
        migrate(connection, shard, migrations)
        return connection


def _close_both(writing: sqlite3.Connection, reading: sqlite3.Connection) -> None:
    reading.close()
    checkpoint_and_close(writing)


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
