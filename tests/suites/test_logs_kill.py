"""kill -9 of the process that stores logs, in the middle of appends: what is sent again is neither lost nor doubled."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from neargate.interfaces.roles import EventRange, LogTarget
from neargate.logs.store import Logs
from neargate.model.knobs import Knobs
from neargate.store.sqlite import SqliteStores
from neargate.world import OsWorld

ACCOUNT, REGION = "123456789012", "us-east-1"
TARGET = LogTarget(account=ACCOUNT, region=REGION, group="/g", stream="s", create_group=True)
LINES = 400

# Sends lines 0..LINES in small chunks from what is stored on, and prints a dot per acknowledgement.
SENDER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_logs_kill import LINES, Knobs, Logs, OsWorld, REGION, SqliteStores, TARGET

async def main():
    world = OsWorld()
    logs = await Logs.open(world, SqliteStores(world, Path(sys.argv[1]), Knobs()), Knobs(), REGION)
    source = b"".join(b"line %06d\\n" % number for number in range(LINES))
    opened = await logs.open_source(TARGET, "task/web")
    at = opened.offset
    while at < len(source):
        end = min(at + 12 * 3, len(source))
        at = await logs.append(opened.stream_key, "task/web", at, end, [(1, (end - at) // 12)], source[at : end - 1])
        os.write(1, b".")

asyncio.run(main())
"""


def test_every_line_is_stored_once_whatever_is_killed(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", SENDER, str(tmp_path / "data"), str(Path(__file__).parent)]
    for acknowledged in (1, 7, 23, 40):
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as sender:
            assert sender.stdout is not None
            assert len(sender.stdout.read(acknowledged)) == acknowledged
            os.kill(sender.pid, signal.SIGKILL)
    assert subprocess.run(arguments, stdout=subprocess.DEVNULL, timeout=60, check=False).returncode == 0
    asyncio.run(_check(tmp_path / "data"))


async def _check(directory: Path) -> None:
    world = OsWorld()
    stores = SqliteStores(world, directory, Knobs())
    logs = await Logs.open(world, stores, Knobs(), REGION)
    answer = json.loads(await logs.get_events(ACCOUNT, "/g", "s", EventRange(from_head=True)))
    assert [event["message"] for event in answer["events"]] == [f"line {number:06d}" for number in range(LINES)]
    await stores.close()
