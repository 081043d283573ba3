"""What every Store must do. `StoreSuite` is subclassed by a test class that says how to open and reopen one.

A subclass gives `factory`: a new one over the same databases each time it is called (as a restarted process would see
them), after `close` of the one before; and `loop`, which runs a coroutine to its end in an event loop of its own.
"""

import asyncio
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import pytest

from ...interfaces.store import Overloaded, Refused, Statement, Store, StoreFactory
from ...model.knobs import Knobs
from ...store.events import (
    EVENTS_SCHEMA,
    EventWatcher,
    Gap,
    NewEvent,
    advance_cursor,
    append_events,
    last_seq,
    read_cursor,
    read_events,
    trim_events,
)
from ...store.migrate import DatabaseRefused
from ...world import OsWorld, World, within

MIGRATIONS = (
    "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, rev INTEGER NOT NULL DEFAULT 1);",
    "CREATE TABLE rooms (id INTEGER PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0));"
    "INSERT INTO rooms VALUES (1, 10);",
    EVENTS_SCHEMA,
)


class ClosingFactory(StoreFactory, Protocol):
    """A factory that also lets its databases go, so that the next process can have them."""

    async def close(self) -> None: ...


def add(name: str) -> Statement:
    return Statement("INSERT INTO things (name) VALUES (?)", (name,), 1, f"new-{name}")


def take(amount: int) -> Statement:
    return Statement("UPDATE rooms SET free = free - ? WHERE id = 1 AND free >= ?", (amount, amount), 1, "room")


def event(key: str) -> NewEvent:
    return NewEvent(kind="thing", key=key, at=1.5, body=b"{}")


async def names(store: Store) -> list[str]:
    return [str(name) for (name,) in await store.read("SELECT name FROM things ORDER BY id")]


class StoreSuite(ABC):
    """The subclass says which store is meant."""

    @abstractmethod
    def loop(self, main: Coroutine[Any, Any, None]) -> None:
        """Usually `asyncio.run`."""

    @abstractmethod
    def factory(self, world: World, knobs: Knobs) -> ClosingFactory:
        """A factory over this test's databases."""

    def run(self, body: Callable[[Store], Awaitable[None]], knobs: Knobs | None = None) -> None:
        async def main() -> None:
            factory = self.factory(OsWorld(), knobs or Knobs())
            try:
                await body(await factory.open("cell-0", MIGRATIONS))
            finally:
                await factory.close()

        self.loop(main())

    def test_what_was_acknowledged_is_there_after_reopening(self) -> None:
        async def first(store: Store) -> None:
            await store.write([add("a"), add("b")])

        async def second(store: Store) -> None:
            assert await names(store) == ["a", "b"]

        self.run(first)
        self.run(second)

    def test_a_read_sees_every_write_acknowledged_before(self) -> None:
        async def body(store: Store) -> None:
            for number in range(20):
                await store.write([add(str(number))])
                assert len(await names(store)) == number + 1

        self.run(body)

    def test_a_guard_that_fails_undoes_its_whole_write_and_names_itself(self) -> None:
        async def body(store: Store) -> None:
            with pytest.raises(Refused) as refused:
                await store.write([add("a"), take(11), add("b")])
            assert (refused.value.name, refused.value.index) == ("room", 1)
            assert await names(store) == []
            assert await store.read("SELECT free FROM rooms") == [(10,)]

        self.run(body)

    def test_neighbours_in_one_batch_are_unharmed_and_none_takes_more_than_there_is(self) -> None:
        async def body(store: Store) -> None:
            writes = [store.write([take(3), add(str(number))]) for number in range(8)]
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
            assert [isinstance(outcome, Refused) for outcome in outcomes] == [False] * 3 + [True] * 5
            assert await names(store) == ["0", "1", "2"]
            assert await store.read("SELECT free FROM rooms") == [(1,)]

        self.run(body)

    def test_a_violated_constraint_is_a_refusal(self) -> None:
        async def body(store: Store) -> None:
            await store.write([add("a")])
            with pytest.raises(Refused) as refused:
                await store.write([add("b"), add("a")])
            assert (refused.value.name, refused.value.index) == ("new-a", 1)
            assert await names(store) == ["a"]

        self.run(body)

    def test_a_programming_error_reaches_its_caller_alone(self) -> None:
        async def body(store: Store) -> None:
            broken = store.write([add("x"), Statement("INSERT INTO nowhere VALUES (1)")])
            outcomes = await asyncio.gather(
                store.write([add("a")]), broken, store.write([add("b")]), return_exceptions=True
            )
            assert isinstance(outcomes[1], sqlite3.OperationalError)
            assert await names(store) == ["a", "b"]

        self.run(body)

    def test_returned_rows_come_back_by_statement_and_count_for_the_guard(self) -> None:
        async def body(store: Store) -> None:
            insert = "INSERT INTO things (name) VALUES (?) RETURNING id, name"
            rows = await store.write([Statement(insert, ("a",), 1), take(1), Statement(insert, ("b",), 1)])
            assert rows == [[(1, "a")], [], [(2, "b")]]
            with pytest.raises(Refused):
                await store.write([Statement("SELECT 1 FROM things WHERE name = ?", ("c",), 1, "exists")])

        self.run(body)

    def test_writes_take_effect_in_the_order_of_the_calls(self) -> None:
        async def body(store: Store) -> None:
            await asyncio.gather(*(store.write([add(str(number))]) for number in range(700)))
            assert await names(store) == [str(number) for number in range(700)]

        self.run(body)

    def test_a_full_queue_is_overloaded_and_queues_nothing(self) -> None:
        async def body(store: Store) -> None:
            writes = [store.write([add(str(number))]) for number in range(9)]
            outcomes = await asyncio.gather(*writes, return_exceptions=True)
            refused = [isinstance(outcome, Overloaded) for outcome in outcomes]
            assert refused == [False] * 5 + [True] * 4
            assert len(await names(store)) == 5

        self.run(body, Knobs(write_queue_max=5, write_batch_max=2))

    def test_commits_are_announced_after_they_can_be_read(self) -> None:
        async def body(store: Store) -> None:
            announced = asyncio.Event()
            store.on_commit(announced.set)
            await store.write([add("a")])
            await within(10, announced.wait())

        self.run(body)

    def test_sql_has_neither_clock_nor_dice(self) -> None:
        async def body(store: Store) -> None:
            for query in (
                "SELECT random()",
                "SELECT datetime('now')",
                "SELECT CURRENT_TIMESTAMP",
                "SELECT strftime('%s', 'now')",
                "SELECT hex(randomblob(4))",
            ):
                with pytest.raises(sqlite3.DatabaseError):
                    await store.read(query)
                with pytest.raises(sqlite3.DatabaseError):
                    await store.write([Statement(f"INSERT INTO things (name) {query}")])

        self.run(body)

    def test_a_read_cannot_write(self) -> None:
        async def body(store: Store) -> None:
            with pytest.raises(ValueError, match="takes a query"):
                await store.read("DELETE FROM rooms")

        self.run(body)

    def test_migrations_are_added_to_a_database_that_has_data(self) -> None:
        async def first(store: Store) -> None:
            await store.write([add("a")])

        async def second() -> None:
            factory = self.factory(OsWorld(), Knobs())
            more = "ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';"
            store = await factory.open("cell-0", (*MIGRATIONS, more))
            assert await store.read("SELECT name, colour FROM things") == [("a", "grey")]
            await factory.close()

        self.run(first)
        self.loop(second())

    def test_a_migration_that_fails_leaves_the_database_as_it_was(self) -> None:
        async def broken() -> None:
            factory = self.factory(OsWorld(), Knobs())
            try:
                await factory.open("cell-0", (*MIGRATIONS, "CREATE TABLE extra (id); INSERT INTO nowhere VALUES (1);"))
            finally:
                await factory.close()

        async def after(store: Store) -> None:
            assert await store.read("SELECT name FROM sqlite_master WHERE name = 'extra'") == []

        with pytest.raises(sqlite3.OperationalError):
            self.loop(broken())
        self.run(after)

    def test_a_database_of_a_later_schema_is_refused(self) -> None:
        async def newer() -> None:
            factory = self.factory(OsWorld(), Knobs())
            await factory.open("cell-0", (*MIGRATIONS, "CREATE TABLE future (id);"))
            await factory.close()

        async def nothing(store: Store) -> None:
            del store

        self.loop(newer())
        with pytest.raises(DatabaseRefused, match="newer Neargate"):
            self.run(nothing)

    def test_events_are_numbered_without_gaps_also_between_refused_writes(self) -> None:
        async def body(store: Store) -> None:
            writes = [
                store.write([take(3), *append_events([event(f"{number}a"), event(f"{number}b")])])
                for number in range(6)
            ]
            await asyncio.gather(*writes, return_exceptions=True)
            await store.write(append_events([event("last")]))
            events = await read_events(store, 0)
            assert [found.seq for found in events] == [1, 2, 3, 4, 5, 6, 7]
            assert [found.key for found in events] == ["0a", "0b", "1a", "1b", "2a", "2b", "last"]
            assert [found.seq for found in await read_events(store, 3, limit=2)] == [4, 5]
            assert await read_events(store, await last_seq(store)) == []

        self.run(body)

    def test_trimming_waits_for_the_slowest_cursor_and_late_watchers_meet_a_gap(self) -> None:
        async def body(store: Store) -> None:
            await store.write(append_events([event(str(number)) for number in range(10)]))
            await store.write([advance_cursor("fast", 9), advance_cursor("slow", 4), advance_cursor("fast", 2)])
            assert await read_cursor(store, "fast") == 9
            await store.write(trim_events(keep=0, hard_max=100))
            assert [found.seq for found in await read_events(store, 4)] == [5, 6, 7, 8, 9, 10]
            with pytest.raises(Gap) as gap:
                await read_events(store, 3)
            assert gap.value.resume == 10
            await store.write(trim_events(keep=0, hard_max=3))
            with pytest.raises(Gap):
                await read_events(store, 4)
            assert [found.seq for found in await read_events(store, 7)] == [8, 9, 10]

        self.run(body)

    def test_trimming_spares_the_last_events_when_nobody_has_a_cursor(self) -> None:
        async def body(store: Store) -> None:
            await store.write(append_events([event(str(number)) for number in range(10)]))
            await store.write(trim_events(keep=4, hard_max=100))
            assert [found.seq for found in await read_events(store, 6)] == [7, 8, 9, 10]
            with pytest.raises(Gap):
                await read_events(store, 5)

        self.run(body)

    def test_a_watcher_beyond_the_end_meets_a_gap(self) -> None:
        async def body(store: Store) -> None:
            with pytest.raises(Gap):
                await read_events(store, 1)

        self.run(body)

    def test_a_watcher_is_woken_by_a_commit_and_misses_nothing(self) -> None:
        async def body(store: Store) -> None:
            watcher = EventWatcher(store, 0)

            async def make() -> None:
                await store.write([add("a")])
                await store.write(append_events([event("a")]))

            seen, _ = await within(10, asyncio.gather(watcher.next_events(), make()))
            for number in range(5):
                await store.write(append_events([event(str(number))]))
            while len(seen) < 6:
                seen += await within(10, watcher.next_events())
            assert [found.seq for found in seen] == [1, 2, 3, 4, 5, 6]

        self.run(body)
