"""The window in which the kernel moves processes between cgroups without a wait: open while asked for."""

import asyncio
import os
from pathlib import Path

from neargate.sandbox.attach_window import AttachWindow, own_procs_file
from neargate.world import OsWorld


async def _written(procs: Path) -> None:
    async with asyncio.timeout(10):
        while procs.read_text() != str(os.getpid()):
            await asyncio.sleep(0)


def test_this_process_is_moved_to_its_own_cgroup_while_the_window_is_open(tmp_path: Path) -> None:
    procs = tmp_path / "cgroup.procs"
    procs.touch()

    async def story() -> None:
        window = AttachWindow(OsWorld(), procs)
        async with window.open(), window.open():
            await _written(procs)
            os.truncate(procs, 0)
            await _written(procs)  # again and again
        loops = asyncio.all_tasks() - {asyncio.current_task()}
        assert len(loops) == 1  # for two users
        await asyncio.wait_for(asyncio.gather(*loops), 10)  # ends with the last of them

    asyncio.run(story())


def test_a_cgroup_that_cannot_be_written_is_given_up_silently(tmp_path: Path) -> None:
    async def story() -> None:
        window = AttachWindow(OsWorld(), tmp_path / "missing")
        async with window.open():
            loops = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.wait_for(asyncio.gather(*loops), 10)

    asyncio.run(story())


def test_own_cgroup_is_found_on_both_versions(tmp_path: Path) -> None:
    for directory in ("pids/a", "b"):
        (tmp_path / directory).mkdir(parents=True)
        (tmp_path / directory / "cgroup.procs").touch()
    membership = tmp_path / "membership"
    membership.write_text("12:memory:/x\n5:pids:/a\n1:name=systemd:/a\n0::/b\n")
    assert own_procs_file(tmp_path, membership) == tmp_path / "pids/a/cgroup.procs"
    membership.write_text("0::/b\n")
    assert own_procs_file(tmp_path, membership) == tmp_path / "b/cgroup.procs"
    membership.write_text("0::/elsewhere\n")
    assert own_procs_file(tmp_path, membership) is None
