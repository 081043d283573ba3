"""The machines of a driver: how the ends of their monitors are told."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from neargate.sandbox.microvm.machines import MachineRecord, Machines
from neargate.sandbox.microvm.vmm import MachineEnd
from neargate.sandbox.process_handle import start_ticks
from neargate.world import OsWorld, within

WAIT_S = 20.0


def ended_by(number: int) -> int:
    """A child of ours that was not collected yet."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {}, setsigdef=[number])
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def record_of(pid: int, *, began_later: int = 0) -> MachineRecord:
    ticks = start_ticks(pid, or_ended=True) + began_later
    return MachineRecord(machine_id="m-1", cgroup_path="/m-1", uid=1, pid=pid, start_ticks=ticks)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGRTMIN + 1], ids=["named", "nameless"])
def test_the_end_by_any_signal_is_told(tmp_path: Path, number: int) -> None:
    """Who got into a monitor chooses by which it ends."""

    async def story() -> MachineEnd:
        machines = Machines(OsWorld(), tmp_path, tmp_path)
        machines._gone(record_of(ended_by(number)))
        return await within(WAIT_S, anext(aiter(machines.ended())))

    end = asyncio.run(story())
    assert end.kind == "killed" and end.machine_id == "m-1"
    assert end.detail.startswith("SIGKILL" if number == signal.SIGKILL else f"signal {int(number)}")


def host(base: Path) -> Machines:
    """On a host whose control groups are of version 2, as far as files show it."""
    (base / "cgroup" / "m-1").mkdir(parents=True)
    (base / "cgroup" / "cgroup.controllers").touch()
    return Machines(OsWorld(), base / "machines", base / "cgroup")


def test_the_end_of_another_child_that_has_a_machines_number_by_now_is_not_taken(tmp_path: Path) -> None:
    """Whoever waits for that one would hear that it ended well."""

    async def story() -> None:
        machines = host(tmp_path)
        record = record_of(child, began_later=-1)
        machines.directory("m-1").mkdir(parents=True)
        machines._write(record)
        machines._gone(record)
        await machines.destroy("m-1")
        await machines.close()

    child = ended_by(signal.SIGTERM)
    asyncio.run(story())
    assert os.waitpid(child, 0) == (child, signal.SIGTERM)


def test_a_machine_that_is_destroyed_is_collected_and_its_successor_of_that_number_is_not_watched(
    tmp_path: Path,
) -> None:
    async def story() -> MachineEnd:
        machines = host(tmp_path)
        record = record_of(child)
        machines.directory("m-1").mkdir(parents=True)
        machines._write(record)
        await machines.destroy("m-1")
        assert start_ticks(child, or_ended=True) == 0, "it was collected"
        machines._watch(record_of(other, began_later=-1))
        end = await within(WAIT_S, anext(aiter(machines.ended())))
        await machines.close()
        return end

    child, other = ended_by(signal.SIGKILL), os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
    try:
        assert asyncio.run(story()).detail == "its process is gone"
    finally:
        os.kill(other, signal.SIGKILL)
        os.waitpid(other, 0)
