"""The machines of a driver: how the ends of their monitors are told."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from neargate.sandbox.microvm.machines import MachineRecord, Machines
from neargate.sandbox.microvm.vmm import MachineEnd
from neargate.world import OsWorld, within

WAIT_S = 20.0


def ended_by(number: int) -> int:
    """A child of ours that was not collected yet."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {}, setsigdef=[number])
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGRTMIN + 1], ids=["named", "nameless"])
def test_the_end_by_any_signal_is_told(tmp_path: Path, number: int) -> None:
    """Who got into a monitor chooses by which it ends."""

    async def story() -> MachineEnd:
        machines = Machines(OsWorld(), tmp_path, tmp_path)
        machines._gone(MachineRecord(machine_id="m-1", cgroup_path="/m-1", uid=1, pid=ended_by(number)))
        return await within(WAIT_S, anext(aiter(machines.ended())))

    end = asyncio.run(story())
    assert end.kind == "killed" and end.machine_id == "m-1"
    assert end.detail.startswith("SIGKILL" if number == signal.SIGKILL else f"signal {int(number)}")
