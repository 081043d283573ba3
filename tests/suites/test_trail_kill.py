"""kill -9 of the process that records calls: what was recorded stays, in order and once; only the end may miss."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from neargate.interfaces.trail import TrailEntry, TrailQuery
from neargate.model.knobs import Knobs
from neargate.store.sqlite import SqliteStores
from neargate.trail.store import Trail
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
QUICK = Knobs(trail_flush_s=0.001, trail_chunk_max=16, trail_scan_max_chunks=1 << 20)

# Goes on where the record ends. Its loop writes in the background; a dot says that a whole flush was waited for.
CALLER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_trail_kill import OsWorld, QUICK, REGION, SqliteStores, Trail, entry, numbers

async def main():
    world = OsWorld()
    trail = await Trail.open(world, SqliteStores(world, Path(sys.argv[1]), QUICK), QUICK, REGION)
    world.spawn(trail.run(), "trail")
    at = len(await numbers(trail))
    while True:
        for _ in range(20):
            trail.submit("123456789012", 100, lambda number=at: entry(number))
            at += 1
            await asyncio.sleep(0)
        await trail.flush()
        os.write(1, b".")

asyncio.run(main())
"""


def entry(number: int) -> TrailEntry:
    return TrailEntry(
        at_ms=1_795_300_000_000 + number,
        event_id=f"event-{number}",
        name="RunTask",
        source="ecs.amazonaws.com",
        read_only=False,
        username="ann",
        access_key_id="AKIA",
        resources=(),
        management=True,
        document=f'{{"n":{number}}}',
    )


async def numbers(trail: Trail) -> list[int]:
    """All that is recorded, oldest first."""
    page = await trail.lookup(TrailQuery(account=ACCOUNT, limit=1 << 20, oldest_first=True), None)
    assert page.more is None
    return [int(one.event_id[6:]) for one in page.entries]


def test_what_was_flushed_is_there_whatever_is_killed(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", CALLER, str(tmp_path / "data"), str(Path(__file__).parent)]
    flushed = 0
    for dots in (1, 3, 5):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as caller:
            assert caller.stdout is not None
            assert len(caller.stdout.read(dots)) == dots
            os.kill(caller.pid, signal.SIGKILL)
        found = asyncio.run(_check(tmp_path / "data"))
        assert found >= flushed + dots * 20
        flushed = found


async def _check(directory: Path) -> int:
    """How many calls are recorded; each is found by its attributes too."""
    world = OsWorld()
    stores = SqliteStores(world, directory, QUICK)
    trail = await Trail.open(world, stores, QUICK, REGION)
    found = await numbers(trail)
    assert found == list(range(len(found)))
    last = TrailQuery(account=ACCOUNT, attribute=("EventId", f"event-{found[-1]}"))
    assert [one.event_id for one in (await trail.lookup(last, None)).entries] == [f"event-{found[-1]}"]
    await stores.close()
    return len(found)
