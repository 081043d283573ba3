"""Real disks of tasks: their size is a wall, what is reserved counts, and nothing stays behind."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from neargate.hostnet import libc, loops
from neargate.hostnet.disks import LinuxDisks
from neargate.hostnet.mounts import is_mounted
from neargate.interfaces.hostnet import DiskFull, HostError
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

pytestmark = pytest.mark.root
MIB = 1 << 20
GIB = 1 << 30
QUICK = Knobs(unmount_attempts=3, unmount_retry_s=0.01)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "disks"
    for mount in (tmp_path / "disks" / "mnt").glob("*"):
        while is_mounted(mount):
            libc.umount(str(mount), libc.MNT_DETACH)
    shutil.rmtree(tmp_path / "disks", ignore_errors=True)


def _disks(directory: Path, knobs: Knobs = QUICK) -> LinuxDisks:
    return LinuxDisks(OsWorld(), directory=directory, knobs=knobs)


def test_a_full_disk_is_its_tasks_affair_alone(directory: Path) -> None:
    async def scenario() -> None:
        disks = _disks(directory)
        full, other = await disks.create_disk("full", 1), await disks.create_disk("other", 1)
        with pytest.raises(OSError, match="No space left") as error:
            _allocate(Path(full.path) / "big", 2 * GIB)
        assert error.value.errno == errno.ENOSPC
        (Path(other.path) / "file").write_bytes(b"x" * MIB)
        assert (await disks.usage("other")).used_bytes >= MIB
        size = (await disks.usage("full")).size_bytes
        assert 0.95 * GIB < size <= GIB
        assert (Path(full.path).parent.stat().st_mode & 0o777) == 0o700

    asyncio.run(scenario())


def test_memory_is_bounded_outlives_the_agent_and_goes_while_somebody_reads_it(directory: Path) -> None:
    async def scenario() -> None:
        memory = Path(await _disks(directory).hold_in_memory("task", 1))
        assert _mounted_at(memory) == ["tmpfs"]
        with pytest.raises(OSError, match="No space left"):
            (memory / "big").write_bytes(b"x" * 2 * MIB)
        (memory / "big").unlink()
        (memory / "file").write_text("kept")
        after = _disks(directory)
        assert await after.hold_in_memory("task", 1) == str(memory) and (memory / "file").read_text() == "kept"
        with (memory / "file").open() as reader:
            await after.delete_disk("task")
            assert reader.read() == "kept" and await after.list_disks() == [] and _mounted_at(memory) == []

    asyncio.run(scenario())


def _mounted_at(place: Path) -> list[str]:
    """The kinds of file systems there."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split(" - ")[1].split(" ")[0] for line in lines if f" {place} " in line]


def test_a_reservation_takes_room_on_the_disk_but_not_on_the_host(directory: Path) -> None:
    async def scenario() -> None:
        disks = _disks(directory)
        disk = await disks.create_disk("task", 1)
        await disks.reserve("task", 900 * MIB)
        used = (await disks.usage("task")).used_bytes
        assert 900 * MIB <= used < 901 * MIB
        with pytest.raises(OSError, match="No space left"):
            _allocate(Path(disk.path) / "file", 200 * MIB)
        (Path(disk.path) / "file").unlink()
        assert (directory / "task.img").stat().st_blocks * 512 < 50 * MIB
        await disks.reserve("task", 100 * MIB)
        assert (await disks.usage("task")).used_bytes < 101 * MIB
        with pytest.raises(DiskFull, match="no space left on device"):
            await disks.reserve("task", 2 * GIB)
        assert (await disks.usage("task")).used_bytes < MIB

    asyncio.run(scenario())


def test_creation_is_repeated_safely_and_deletion_leaves_nothing(directory: Path) -> None:
    async def scenario() -> None:
        disks = _disks(directory)
        disk = await disks.create_disk("task", 1)
        (Path(disk.path) / "kept").write_text("kept")
        assert await disks.create_disk("task", 1) == disk
        assert (Path(disk.path) / "kept").read_text() == "kept"
        assert await disks.list_disks() == ["task"]
        assert _loops_of(directory) != []
        await disks.delete_disk("task")
        await disks.delete_disk("task")
        assert await disks.list_disks() == []
        assert _loops_of(directory) == []
        assert sorted(os.listdir(directory)) == ["mnt", "template-1.ext4"]
        with pytest.raises(HostError, match="has no disk"):
            await disks.usage("task")

    asyncio.run(scenario())


def test_a_late_user_is_waited_for_and_then_left_behind(directory: Path) -> None:
    async def scenario() -> None:
        disks = _disks(directory)
        disk = await disks.create_disk("task", 1)
        held = os.open(Path(disk.path) / "held", os.O_WRONLY | os.O_CREAT)
        os.write(held, b"x" * 64 * MIB)
        os.fsync(held)
        assert await disks.allocated("task") > 64 * MIB
        image = os.open(directory / "task.img", os.O_RDONLY)
        await disks.delete_disk("task")
        assert await disks.list_disks() == []
        assert not is_mounted(Path(disk.path))
        assert os.fstat(image).st_blocks * 512 < MIB, "its room is the host's again while it is held"
        with pytest.raises(OSError, match="Input/output error"):
            os.write(held, b"x")
        os.close(held)
        os.close(image)

    asyncio.run(scenario())


@pytest.mark.parametrize("left", ["half copy", "image", "image and directory", "mount without image", "directory"])
@pytest.mark.parametrize("then", ["create", "delete"])
def test_what_a_killed_agent_left_is_completed_or_removed(directory: Path, left: str, then: str) -> None:
    async def scenario() -> None:
        disks = _disks(directory)
        await disks.create_disk("other", 1)
        mount = directory / "mnt" / "task"
        if left == "half copy":
            (directory / "task.img.new").write_bytes(b"half")
        elif left == "directory":
            mount.mkdir()
        else:
            disk = await disks.create_disk("task", 1)
            if left == "mount without image":
                (directory / "task.img").unlink()
            else:
                libc.umount(disk.path)
            if left == "image":
                mount.rmdir()
        again = _disks(directory)
        assert await again.list_disks() == ["other", "task"]
        if then == "create":
            disk = await again.create_disk("task", 1)
            (Path(disk.path) / "file").write_text("works")
        await again.delete_disk("task")
        assert await again.list_disks() == ["other"]
        assert sorted(os.listdir(directory)) == ["mnt", "other.img", "template-1.ext4"]

    asyncio.run(scenario())


def test_a_kill_between_loop_and_mount_frees_the_loop(directory: Path) -> None:
    async def scenario() -> None:
        await _disks(directory).create_disk("task", 1)
        libc.umount(str(directory / "mnt" / "task"))
        with loops.attached(str(directory / "task.img")):
            assert len(_loops_of(directory)) == 1
        assert _loops_of(directory) == []

    asyncio.run(scenario())


def test_promises_are_bounded(directory: Path) -> None:
    async def scenario() -> None:
        found = os.statvfs(directory.parent)
        total_gib = found.f_blocks * found.f_frsize / GIB
        disks = _disks(directory, Knobs(disk_overcommit=2.5 / total_gib))
        await disks.create_disk("a", 1)
        await disks.create_disk("b", 1)
        with pytest.raises(DiskFull, match="3 GiB of task disks would be promised and this host may promise 2"):
            await disks.create_disk("c", 1)
        await disks.delete_disk("a")
        await disks.create_disk("c", 1)
        full = _disks(directory, Knobs(disk_floor_fraction=1.0))
        with pytest.raises(DiskFull, match="less than 100%"):
            await full.create_disk("d", 1)
        assert await full.list_disks() == ["b", "c"]
        assert 0 < await full.free_fraction() < 1

    asyncio.run(scenario())


@pytest.mark.parametrize(("task_id", "size"), [("task", 0), ("task", 201), ("../task", 20), ("", 20), ("a/b", 20)])
def test_a_nonsense_disk_is_refused(directory: Path, task_id: str, size: int) -> None:
    with pytest.raises(HostError):
        asyncio.run(_disks(directory).create_disk(task_id, size))
    assert not directory.exists()


def test_a_link_planted_as_the_reserved_file_is_not_followed(directory: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        disks = _disks(directory)
        disk = await disks.create_disk("task", 1)
        victim = tmp_path / "victim"
        victim.write_text("untouched")
        (Path(disk.path) / ".reserved").symlink_to(victim)
        with pytest.raises(HostError):
            await disks.reserve("task", MIB)
        assert victim.read_text() == "untouched"

    asyncio.run(scenario())


def test_many_at_once_have_loops_of_their_own(directory: Path) -> None:
    async def scenario() -> None:
        disks = LinuxDisks(OsWorld(lanes={"disks": 4}), directory=directory, knobs=QUICK)
        await asyncio.gather(*(disks.create_disk(f"task{n}", 1) for n in range(8)))
        assert len(_loops_of(directory)) == 8
        for n in range(8):
            (directory / "mnt" / f"task{n}" / "me").write_text(str(n))
        assert [(directory / "mnt" / f"task{n}" / "me").read_text() for n in range(8)] == [str(n) for n in range(8)]

    asyncio.run(scenario())


def _allocate(path: Path, size: int) -> None:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def _loops_of(directory: Path) -> list[str]:
    listed = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(directory)[-30:] in line]
