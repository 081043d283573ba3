"""The Store suite over files, and what only files can show: locks, modes, and real kills."""

import asyncio
import io
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from neargate.cli import database_process
from neargate.interfaces.store import Statement, StoreFull
from neargate.model.knobs import Knobs
from neargate.store.migrate import APPLICATION_ID, SCHEMA_RELEASE, DatabaseRefused, migrate
from neargate.store.sqlite import DirectoryInUse, SqliteStores
from neargate.store.writing_process import STARTING_BATCHES
from neargate.testing.suites.store import MIGRATIONS, ClosingFactory, StoreSuite
from neargate.world import OsWorld, World

INSERT = "INSERT INTO things (name) VALUES (?)"

# Writes without end from 8 callers and prints each name once it was acknowledged; dies only by a signal.
WRITER = """
import asyncio, os, sys
from pathlib import Path
from neargate.cli import database_process
from neargate.interfaces.store import Statement
from neargate.model.knobs import Knobs
from neargate.store.sqlite import SqliteStores
from neargate.testing.suites.store import MIGRATIONS
from neargate.world import OsWorld

control = database_process.start() if sys.argv[2] == "process" else None

async def caller(store, number):
    for turn in range(1_000_000):
        name = f"{number}.{turn}"
        insert = Statement("INSERT INTO things (name) VALUES (?)", (name,), 1)
        await store.write([insert, Statement("UPDATE rooms SET free = free + 1", (), 1)])
        os.write(1, f"{name}\\n".encode())

async def main():
    stores = SqliteStores(OsWorld(), Path(sys.argv[1]), Knobs(store_checkpoint_pages=20), control)
    store = await stores.open("cell-0", MIGRATIONS)
    await asyncio.gather(*(caller(store, number) for number in range(8)))

asyncio.run(main())
"""


class TestSqliteStore(StoreSuite):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "data"

    def loop(self, main: Coroutine[Any, Any, None]) -> None:
        asyncio.run(main)

    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        return SqliteStores(world, self.directory, knobs)


class TestSqliteStoreOfTheWritingProcess(TestSqliteStore):
    """The same files, written by a process of their own, from the server's loop."""

    def loop(self, main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)

    @pytest.fixture(autouse=True)
    def _process(self, _directory: None) -> Iterator[None]:
        with database_process.start() as self.control:
            yield

    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        return SqliteStores(world, self.directory, knobs, self.control)


def test_a_second_server_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    async def main() -> None:
        first = SqliteStores(OsWorld(), tmp_path, Knobs())
        await first.open("region", MIGRATIONS)
        second = SqliteStores(OsWorld(), tmp_path, Knobs())
        with pytest.raises(DirectoryInUse, match=f"pid {os.getpid()}"):
            await second.open("region", MIGRATIONS)
        await first.close()
        await second.open("region", MIGRATIONS)
        await second.close()

    asyncio.run(main())


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    async def main() -> None:
        stores = SqliteStores(OsWorld(), tmp_path / "data", Knobs())
        store = await stores.open("region", MIGRATIONS)
        await store.write([Statement(INSERT, ("a",))])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
        assert {"region.sqlite3", "region.sqlite3-wal", "lock"} <= set(modes)
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        await stores.close()

    asyncio.run(main())


def test_a_full_filesystem_refuses_writes_before_they_begin_and_reads_go_on(tmp_path: Path) -> None:
    async def main() -> None:
        stores = SqliteStores(OsWorld(), tmp_path, Knobs(store_free_min_bytes=1 << 62))
        store = await stores.open("region", MIGRATIONS)
        with pytest.raises(StoreFull):
            await store.write([Statement(INSERT, ("a",))])
        assert await store.read("SELECT name FROM things") == []
        await stores.close()

    asyncio.run(main())


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "region.sqlite3")
    other.execute("CREATE TABLE theirs (id)")
    other.close()

    async def main() -> None:
        stores = SqliteStores(OsWorld(), tmp_path, Knobs())
        with pytest.raises(DatabaseRefused, match="not a Neargate database"):
            await stores.open("region", MIGRATIONS)
        await stores.close()

    asyncio.run(main())


def test_a_database_of_the_next_release_is_opened_as_it_is_and_a_later_one_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)
    migrate(connection, "x", [*MIGRATIONS, "CREATE TABLE added (id);"], release=SCHEMA_RELEASE + 1)
    version = connection.execute("PRAGMA user_version").fetchone()
    migrate(connection, "x", MIGRATIONS)
    assert connection.execute("PRAGMA user_version").fetchone() == version
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    migrate(connection, "x", [*MIGRATIONS, "CREATE TABLE added (id);", "SELECT 1;"], release=SCHEMA_RELEASE + 2)
    with pytest.raises(DatabaseRefused, match="newer Neargate"):
        migrate(connection, "x", MIGRATIONS)
    connection.close()


def test_a_deferred_constraint_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.sqlite3", isolation_level=None)
    script = "CREATE TABLE a (b REFERENCES c (d) DEFERRABLE INITIALLY DEFERRED);"
    with pytest.raises(ValueError, match="deferred"):
        migrate(connection, "x", [script])
    connection.close()


@pytest.mark.parametrize("who", ["lane", "process"])
def test_kill_9_in_the_middle_of_writes_loses_nothing_that_was_acknowledged(tmp_path: Path, who: str) -> None:
    for turn in range(3):
        directory = tmp_path / str(turn)
        with _writer(directory, who) as writer:
            acknowledged = _acknowledged_until_killed(writer, 300 + 37 * turn, writer.pid)
        asyncio.run(_check_all_there(directory, acknowledged))


def test_a_killed_writing_process_ends_the_server_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for turn in range(3):
        directory = tmp_path / str(turn)
        with _writer(directory, "process") as writer:
            assert isinstance(writer.stdout, io.BufferedReader)
            assert writer.stdout.peek(1)  # it writes, so its process is there
            children = Path(f"/proc/{writer.pid}/task/{writer.pid}/children").read_text()
            acknowledged = _acknowledged_until_killed(writer, 300 + 37 * turn, int(children))
            assert writer.wait(20) == 70
        asyncio.run(_check_all_there(directory, acknowledged))


def test_the_writing_process_holds_the_directory_as_long_as_it_may_write(tmp_path: Path) -> None:
    async def main() -> None:
        with database_process.start() as control:
            first = SqliteStores(OsWorld(), tmp_path, Knobs(), control)
            store = await first.open("region", MIGRATIONS)
            assert first._lock is not None
            os.close(first._lock)  # as the server's death does
            first._lock = None
            second = SqliteStores(OsWorld(), tmp_path, Knobs())
            with pytest.raises(DirectoryInUse):
                await second.open("region", MIGRATIONS)
            await store.close()
            await second.open("region", MIGRATIONS)
            await second.close()

    asyncio.run(main())


def test_commits_of_the_writing_process_do_not_lengthen_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        with database_process.start() as control:
            stores = SqliteStores(OsWorld(), tmp_path, Knobs(), control)
            store = await stores.open("region", MIGRATIONS)
            log = tmp_path / "region.sqlite3-wal"
            for number in range(STARTING_BATCHES):
                await store.write([Statement(INSERT, (f"start {number}",))])
            await store.write([Statement(INSERT, ("first",))])
            before = log.stat().st_size
            for number in range(50):
                await store.write([Statement(INSERT, (str(number),))])
            assert log.stat().st_size == before > 0
            await stores.close()
            assert not log.exists()

    asyncio.run(main())


class Unending(OsWorld):
    """Says what it would have ended of."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: list[str] = []

    def die(self, reason: str) -> None:
        self.reasons.append(reason)


def test_a_log_that_cannot_be_lengthened_harms_no_write(tmp_path: Path) -> None:
    async def main() -> None:
        world = Unending()
        with database_process.start() as control:
            stores = SqliteStores(world, tmp_path, Knobs(), control)
            store = await stores.open("region", MIGRATIONS)
            log = tmp_path / "region.sqlite3-wal"
            for number in range(STARTING_BATCHES - 1):
                await store.write([Statement(INSERT, (str(number),))])
            hidden = log.rename(tmp_path / "hidden")  # SQLite has it open, and finds it where it is
            for number in range(2):
                await asyncio.wait_for(store.write([Statement(INSERT, (f"after {number}",))]), 20)
            hidden.rename(log)
            assert world.reasons == []
            assert len(await store.read("SELECT name FROM things")) == STARTING_BATCHES + 1
            await stores.close()

    asyncio.run(main())


def test_a_database_that_fails_ends_the_server_which_says_why(tmp_path: Path) -> None:
    async def main() -> None:
        world = Unending()
        with database_process.start() as control:
            stores = SqliteStores(world, tmp_path, Knobs(), control)
            store = await stores.open("region", MIGRATIONS)
            write = asyncio.create_task(store.write([Statement("COMMIT")]))  # its batch has nothing to commit then
            while not world.reasons:
                await world.sleep(0.01)
            assert "shard region failed" in world.reasons[0] and "no transaction is active" in world.reasons[0]
            assert not write.done()  # neither done nor not done: nobody knows
            write.cancel()

    asyncio.run(asyncio.wait_for(main(), 20))


def _writer(directory: Path, who: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(directory), who], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def _acknowledged_until_killed(writer: "subprocess.Popen[bytes]", lines: int, pid: int) -> set[str]:
    assert writer.stdout is not None
    seen = [writer.stdout.readline() for _ in range(lines)]
    os.kill(pid, signal.SIGKILL)
    rest = writer.stdout.read().split(b"\n")[:-1]
    return {line.decode().strip() for line in (*seen, *rest)}


async def _check_all_there(directory: Path, acknowledged: set[str]) -> None:
    stores = SqliteStores(OsWorld(), directory, Knobs())
    store = await stores.open("cell-0", MIGRATIONS)
    stored = {name for (name,) in await store.read("SELECT name FROM things")}
    assert len(acknowledged) >= 300
    assert acknowledged <= stored
    # A write is whole or absent: as many rows as the counter moved.
    assert await store.read("SELECT free - 10 FROM rooms") == [(len(stored),)]
    assert await store.read("SELECT integrity_check FROM pragma_integrity_check") == [("ok",)]
    await stores.close()
