"""A server's end of its writing process: what it makes of frames, however they arrive. No process, no socket."""

import asyncio
import sqlite3
from collections.abc import Coroutine
from typing import Any

import pytest

from neargate.store.writing_link import WritingLink, WritingLost
from neargate.store.writing_messages import HEAD_BYTES, Lost, frame_of_lost, frame_of_outcomes, outcomes_of


class Wire(asyncio.Transport):
    """Takes what is written, and nobody reads it."""

    def write(self, data: Any) -> None:
        del data


class Rig:
    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.link = WritingLink(self.failures.append, lambda: None)
        self.link.connection_made(Wire())

    async def apply(self) -> "asyncio.Task[list[Any]]":
        """A batch that waits for its outcomes."""
        waiting = asyncio.create_task(self.link.apply([b""]))
        await asyncio.sleep(0)
        return waiting


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 10))


def test_outcomes_that_come_byte_by_byte_are_heard_when_they_are_whole() -> None:
    async def main() -> None:
        rig = Rig()
        for turn in range(2):
            waiting = await rig.apply()
            frame = frame_of_outcomes([[[(turn, "x" * 300)]]])
            for place in range(len(frame)):
                assert not waiting.done()
                rig.link.data_received(frame[place : place + 1])
            assert await waiting == [[[(turn, "x" * 300)]]]
        assert rig.failures == []

    run(main())


def test_why_a_database_was_lost_is_told_also_when_it_comes_with_the_outcomes_before_it() -> None:
    async def main() -> None:
        rig = Rig()
        waiting = await rig.apply()
        rig.link.data_received(frame_of_outcomes([[]]) + frame_of_lost(OSError(5, "of the disk")))
        rig.link.connection_lost(None)
        assert await waiting == [[]]
        assert ["of the disk" in str(failure) for failure in rig.failures] == [True]
        with pytest.raises(WritingLost, match="of the disk"):
            await rig.link.apply([b""])

    run(main())


def test_why_a_database_was_lost_quotes_nothing_that_was_written() -> None:
    try:
        "the \ud800 secret".encode()
    except UnicodeEncodeError as error:
        quoting = error
    try:
        sqlite3.connect(":memory:").execute("SELECT * FROM nowhere")
    except sqlite3.OperationalError as error:
        of_sqlite = error
    told = [outcomes_of(frame_of_lost(error)[HEAD_BYTES:]) for error in (quoting, of_sqlite)]
    reasons = [one.reason for one in told if isinstance(one, Lost)]
    assert "UnicodeEncodeError" in reasons[0] and "test_store_writing_link.py" in reasons[0]
    assert "secret" in repr(quoting) and "secret" not in reasons[0]
    assert "no such table: nowhere" in reasons[1]


def test_who_waits_when_the_process_goes_is_told_that_nobody_knows() -> None:
    async def main() -> None:
        rig = Rig()
        waiting = await rig.apply()
        rig.link.data_received(frame_of_outcomes([[]])[:-1])
        rig.link.connection_lost(None)
        with pytest.raises(WritingLost, match="is gone"):
            await waiting
        assert rig.failures == []  # told once: whoever waited passes it on

    run(main())
