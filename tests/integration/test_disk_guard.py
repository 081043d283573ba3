"""The guard over real disks on a small filesystem: the writer is stopped before the disk behind all of them is full."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.agent.disk.watch import DiskWatch
from neargate.hostnet import libc, loops
from neargate.hostnet.disks import LinuxDisks
from neargate.hostnet.mounts import is_mounted
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

pytestmark = pytest.mark.root
MIB = 1 << 20
LOOKS_MAX = 1200
# Marks as far apart, against this disk's size and speed, as the real ones are on a real one.
KNOBS = Knobs(
    disk_overcommit=100.0,
    disk_low_fraction=0.6,
    disk_recovered_fraction=0.7,
    disk_floor_fraction=0.3,
    disk_watch_period_s=0.05,
    host_check_period_s=0.2,
    unmount_retry_s=0.01,
)
# Steady, and no faster than the looks above can follow on a busy machine.
WRITER = """
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
while True:
    os.write(file, bytes(1 << 20))
    os.fsync(file)
    time.sleep(0.02)
"""


@pytest.fixture
def backing() -> Iterator[Path]:
    """300 MiB, mounted; not in pytest's own directory, since there will be mounts in it."""
    base = Path(tempfile.mkdtemp(prefix="neargate-test-"))
    image, mount = base / "backing.ext4", base / "backing"
    with image.open("wb") as file:
        file.truncate(300 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    mount.mkdir()
    with loops.attached(str(image)) as device:
        libc.mount(device, str(mount), "ext4", 0)
    try:
        yield mount
    finally:
        for each in [*(mount / "disks" / "mnt").glob("*"), mount]:
            while is_mounted(each):
                libc.umount(str(each), libc.MNT_DETACH)
        mount.rmdir()
        image.unlink()
        base.rmdir()


def test_the_writer_is_found_and_stopped_and_the_others_disks_stay_whole(backing: Path) -> None:
    async def scenario() -> None:
        world = OsWorld()
        disks = LinuxDisks(world, directory=backing / "disks", knobs=KNOBS)
        quiet, busy = await disks.create_disk("quiet", 1), await disks.create_disk("busy", 1)
        frozen: list[tuple[str, str]] = []
        watch = DiskWatch(
            world,
            KNOBS,
            disks=disks,
            task_ids=lambda: ["quiet", "busy"],
            freeze=lambda task_id, reason: frozen.append((task_id, reason)),
            note=lambda _: None,
        )
        writer = _writer(f"{busy.path}/file")
        try:
            refused = await _until_frozen(watch, disks, Path(quiet.path) / "file", frozen)
            assert refused, "long before it, the host refuses tasks"
            assert [task_id for task_id, _ in frozen] == ["busy"], frozen
            assert frozen[0][1].startswith("Host disk exhausted: ") and " MiB in the last " in frozen[0][1]
            await disks.cut_off("busy")
            writer.send_signal(signal.SIGSTOP)
            at_freeze = await disks.free_fraction()
            assert at_freeze > 0.1
            for _ in range(5):
                assert await watch.look() is not None
                assert len(frozen) == 1, "one at a time"
        finally:
            writer.kill()
            writer.wait()
        await disks.delete_disk("busy")
        assert await disks.free_fraction() > 0.9, "its blocks are the host's again"
        assert await watch.look() is None and len(frozen) == 1
        _healthy(backing / "disks" / "quiet.img", Path(quiet.path))
        await disks.delete_disk("quiet")

    asyncio.run(scenario())


def test_what_waits_in_memory_never_arrives_on_a_disk_that_was_cut_off(backing: Path) -> None:
    async def scenario() -> None:
        disks = LinuxDisks(OsWorld(), directory=backing / "disks", knobs=KNOBS)
        disk = await disks.create_disk("busy", 1)
        file = os.open(Path(disk.path) / "file", os.O_WRONLY | os.O_CREAT)
        for _ in range(60):
            os.write(file, bytes(MIB))
        await disks.cut_off("busy")
        held = await disks.allocated("busy")
        with pytest.raises(OSError, match="Input/output error"):
            os.fsync(file)
        with pytest.raises(OSError, match="Input/output error"):
            os.write(file, b"x")
        os.close(file)
        assert await disks.allocated("busy") - held < 16 * MIB, "nothing but what was on its way at that moment"
        await disks.delete_disk("busy")
        assert await disks.free_fraction() > 0.9

    asyncio.run(scenario())


def test_the_host_s_own_filesystem_is_never_cut_off(backing: Path) -> None:
    async def scenario() -> None:
        disks = LinuxDisks(OsWorld(), directory=backing / "disks", knobs=KNOBS)
        disk = await disks.create_disk("task", 1)
        libc.umount(disk.path)
        await disks.cut_off("task")  # now the path lies on the host's own
        await disks.cut_off("unknown")
        (backing / "file").write_text("still works")
        await disks.delete_disk("task")

    asyncio.run(scenario())


def _writer(path: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", WRITER, path])


async def _until_frozen(watch: DiskWatch, disks: LinuxDisks, beside: Path, frozen: list[tuple[str, str]]) -> list[str]:
    """The refusals on the way there; another task writes a little all the while."""
    refusals = []
    for _ in range(LOOKS_MAX):
        refusal = await watch.look()
        assert await disks.free_fraction() > 0.02, "the disk behind all tasks is full"
        if frozen:
            return refusals
        if refusal is not None:
            refusals.append(refusal)
        with beside.open("ab") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
        await asyncio.sleep(watch.next_look_s)
    raise AssertionError("nobody was frozen")


def _healthy(image: Path, mount: Path) -> None:
    assert set((mount / "file").read_bytes()) == {ord("x")}
    libc.umount(str(mount))
    found = subprocess.run(["e2fsck", "-fn", str(image)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
