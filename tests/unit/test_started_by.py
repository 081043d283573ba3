"""Who belongs to a terminal, whatever name a process gives itself; and a host that has no room for one."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from neargate.interfaces.sandbox import SandboxError
from neargate.sandbox.started_by import Started, end_once, namespace_of
from neargate.sandbox.terminal import Terminals
from neargate.testing.virtual_time import VirtualWorld, run_virtual

CHILD = """
import sys
open("/proc/self/comm", "wb").write(bytes.fromhex(sys.argv[1]))
print("named", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("name", [b"plain", b"\xff\xfe", b") Z 1 1 1"])
@pytest.mark.parametrize("found_by", ["mark", "session"])
def test_no_name_hides_a_process(name: bytes, found_by: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, name.hex()],
        env={"NEARGATE_EXEC": f"test-{os.getpid()}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with child:
        assert child.stdout is not None and child.stdout.readline() == b"named\n"
        namespace = namespace_of(os.getpid())
        assert namespace is not None
        mark, leader = f"NEARGATE_EXEC=test-{os.getpid()}", child.pid
        try:
            assert end_once(Started(namespace=namespace, leader=0, mark=f"{mark}0")) == 0, "another terminal's"
            by_mark = Started(namespace=namespace, leader=0, mark=mark)
            by_session = Started(namespace=namespace, leader=leader, mark="NEARGATE_EXEC=none")
            assert end_once(by_mark if found_by == "mark" else by_session) == 1
            assert child.wait(60) == -9
        finally:
            child.kill()


def test_a_host_without_room_refuses_the_terminal_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def story() -> None:
        world = VirtualWorld()
        none = cast(Any, None)  # neither is asked before the directory is there
        terminals = Terminals(world=world, engine=none, exits=none, lane="test", directory=str(tmp_path / "file"))
        with pytest.raises(SandboxError, match="no room"):
            await terminals.open("runtime", "session", ("sh",))
        await asyncio.sleep(60)
        assert world.failures == []

    run_virtual(story())
