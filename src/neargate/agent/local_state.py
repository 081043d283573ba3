"""The agent's small SQLite file: task records, tombstones of stopped tasks, plans of VPCs and load balancers, boot id.

Owns what must survive kill -9 of the agent. WAL without a sync per commit: a process that dies loses nothing; a machine
that dies loses the last commits, and then the changed boot id says that no task is left anyway. Invariants: a task is
in `records` or in `tombstones`, never in both; a tombstone goes only after its report was acknowledged; what a disk
does not take now is written when it does, before anything later.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ..log import get_logger
from ..model.balancing import BalancerPlan
from ..model.launch import TaskReport
from ..model.network import VpcPlan
from ..world import World
from .task_record import TaskRecord

T = TypeVar("T")
LANE = "agent-state"
_RETRY_S, _RETRY_MAX_S = 1.0, 30.0
_PASSING = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
)
_log = get_logger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records (task_id TEXT PRIMARY KEY, doc BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tombstones (
    task_id TEXT PRIMARY KEY, report_seq INTEGER NOT NULL, acknowledged_at REAL, doc BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS plans (vpc_id TEXT PRIMARY KEY, generation INTEGER NOT NULL, doc BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS balancers (arn TEXT PRIMARY KEY, generation INTEGER NOT NULL, doc BLOB NOT NULL);
"""

_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(TaskRecord).decode
_decode_report = msgspec.msgpack.Decoder(TaskReport).decode
_decode_balancer = msgspec.msgpack.Decoder(BalancerPlan).decode
_decode_plan = msgspec.msgpack.Decoder(VpcPlan).decode


class Tombstone(Struct, frozen=True, kw_only=True):
    """The last report of a task that ended here (or must never begin). `acknowledged_at` None: still to be told."""

    report: TaskReport
    acknowledged_at: float | None = None


class Loaded(Struct, frozen=True, kw_only=True):
    boot_id: str | None
    records: tuple[TaskRecord, ...]
    tombstones: tuple[Tombstone, ...]
    plans: tuple[VpcPlan, ...]
    balancers: tuple[BalancerPlan, ...] = ()


class LocalState:
    """All methods return when the change would survive kill -9, however long a full or failing disk makes them wait.

    An agent that ended instead would find the disk as it was, and nobody would care for the host's tasks meanwhile.
    """

    def __init__(self, world: World, path: Path) -> None:
        self._world = world
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._turn = asyncio.Lock()

    async def load(self) -> Loaded:
        return await self._until_done(self._load)

    async def save(self, record: TaskRecord) -> None:
        doc = _encode(record)
        await self._do(
            lambda db: db.execute("INSERT OR REPLACE INTO records VALUES (?, ?)", (record.task_id, doc)),
        )

    async def bury(self, report: TaskReport) -> None:
        """The task ended: its record becomes a tombstone, at once."""
        doc = _encode(report)

        def change(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM records WHERE task_id = ?", (report.task_id,))
            db.execute(
                "INSERT OR REPLACE INTO tombstones VALUES (?, ?, NULL, ?)", (report.task_id, report.report_seq, doc)
            )

        await self._do(change)

    async def acknowledge(self, task_id: str, report_seq: int, now: float) -> None:
        await self._do(
            lambda db: db.execute(
                "UPDATE tombstones SET acknowledged_at = ? "
                "WHERE task_id = ? AND report_seq <= ? AND acknowledged_at IS NULL",
                (now, task_id, report_seq),
            ),
        )

    async def trim(self, acknowledged_before: float) -> None:
        await self._do(
            lambda db: db.execute("DELETE FROM tombstones WHERE acknowledged_at < ?", (acknowledged_before,))
        )

    async def save_plan(self, plan: VpcPlan) -> None:
        row = (plan.vpc_id, plan.generation, _encode(plan))
        await self._do(lambda db: db.execute("INSERT OR REPLACE INTO plans VALUES (?, ?, ?)", row))

    async def forget_plan(self, vpc_id: str) -> None:
        await self._do(lambda db: db.execute("DELETE FROM plans WHERE vpc_id = ?", (vpc_id,)))

    async def save_balancer(self, plan: BalancerPlan) -> None:
        """Without private keys: this file is on a disk."""
        row = (plan.arn, plan.generation, _encode(plan))
        await self._do(lambda db: db.execute("INSERT OR REPLACE INTO balancers VALUES (?, ?, ?)", row))

    async def forget_balancer(self, arn: str) -> None:
        await self._do(lambda db: db.execute("DELETE FROM balancers WHERE arn = ?", (arn,)))

    async def wipe_once(self) -> str:
        """What an earlier release replaced or deleted is in no file any more: it kept private keys here.

        Returns what kept it from that, for as long as it does. It takes as much disk again as the file has, and a full
        disk is to end no agent that would make room.
        """
        return await self._world.offload(LANE, self._wipe_once)

    async def set_boot_id(self, boot_id: str) -> None:
        await self._do(lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES ('boot_id', ?)", (boot_id,)))

    async def close(self) -> None:
        await self._world.offload(LANE, self._close)

    async def _do(self, change: Callable[[sqlite3.Connection], object]) -> None:
        await self._until_done(self._commit, change)

    async def _until_done(self, work: Callable[..., T], *arguments: object) -> T:
        """In the order of the calls, whichever of them are repeated."""
        pause_s = _RETRY_S
        async with self._turn:
            while True:
                try:
                    return await self._world.offload(LANE, work, *arguments)
                except (sqlite3.OperationalError, OSError) as error:
                    if isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF not in _PASSING:
                        raise
                    _log.warning("what must be durable here waits for the disk", file=str(self._path), error=str(error))
                await self._world.sleep(pause_s)
                pause_s = min(pause_s * 2, _RETRY_MAX_S)

    def _commit(self, change: Callable[[sqlite3.Connection], object]) -> None:
        database = self._open()
        with database:
            database.execute("BEGIN IMMEDIATE")
            change(database)

    def _wipe_once(self) -> str:
        database = self._open()
        if database.execute("SELECT 1 FROM meta WHERE key = 'is_wiped'").fetchone():
            return ""
        try:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            database.execute("INSERT INTO meta VALUES ('is_wiped', 'yes')")
        except sqlite3.Error as error:
            return str(error)
        return ""

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            database = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=30.0)
            try:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = NORMAL")
                database.executescript(_SCHEMA)
            except BaseException:
                database.close()
                raise
            self._database = database
        return self._database

    def _load(self) -> Loaded:
        database = self._open()
        boot = database.execute("SELECT value FROM meta WHERE key = 'boot_id'").fetchone()
        records = database.execute("SELECT doc FROM records ORDER BY task_id").fetchall()
        tombstones = database.execute("SELECT doc, acknowledged_at FROM tombstones ORDER BY task_id").fetchall()
        plans = database.execute("SELECT doc FROM plans ORDER BY vpc_id").fetchall()
        balancers = database.execute("SELECT doc FROM balancers ORDER BY arn").fetchall()
        return Loaded(
            boot_id=boot[0] if boot else None,
            records=tuple(_decode_record(doc) for (doc,) in records),
            tombstones=tuple(Tombstone(report=_decode_report(doc), acknowledged_at=at) for doc, at in tombstones),
            plans=tuple(_decode_plan(doc) for (doc,) in plans),
            balancers=tuple(_decode_balancer(doc) for (doc,) in balancers),
        )

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
