"""A disk handed over to a machine: written out, nowhere mounted, and never looked into again."""

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neargate.hostnet import disks as disks_module
from neargate.hostnet import given_disks, libc
from neargate.hostnet.disks import LinuxDisks
from neargate.hostnet.mounts import is_mounted
from neargate.interfaces.hostnet import HostError
from neargate.model.knobs import Knobs
from neargate.world import OsWorld

pytestmark = pytest.mark.root
MIB = 1 << 20
QUICK = Knobs(unmount_attempts=3, unmount_retry_s=0.01)


class Killed(BaseException):
    """In place of SIGKILL: nothing of the step is undone."""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "disks"
    yield directory
    for place in reversed(_mounts_in(directory)):
        libc.umount(place.replace("\\040", " "), libc.MNT_DETACH)
    shutil.rmtree(directory, ignore_errors=True)


def _mounts_in(directory: Path) -> list[str]:
    places = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [place for place in places if place.startswith(f"{directory}/")]


def _disks(directory: Path) -> LinuxDisks:
    return LinuxDisks(OsWorld(), directory=directory, knobs=QUICK)


def _loops_of(directory: Path) -> list[str]:
    listed = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(directory)[-30:] in line]


async def _prepared(directory: Path) -> Path:
    """A disk as the engine leaves it, with mounts in it, one above the other."""
    disk = Path((await _disks(directory).create_disk("task", 1)).path)
    for name in ("upper", "work", "root", "bound with blank"):
        (disk / name).mkdir()
    (disk / "upper" / "file").write_bytes(b"written" * MIB)
    libc.mount("overlay", str(disk / "root"), "overlay", 0, f"lowerdir=/etc,upperdir={disk}/upper,workdir={disk}/work")
    libc.mount(str(disk / "root"), str(disk / "bound with blank"), None, libc.MS_BIND)
    libc.mount("tmpfs", str(disk / "root"), "tmpfs", 0)
    await _disks(directory).reserve("task", 100 * MIB)
    return disk


def _is_whole(image: str) -> bool:
    """What the machine will find: a filesystem that was unmounted in order, with what was written."""
    checked = subprocess.run(["e2fsck", "-f", "-n", image], capture_output=True, check=False, timeout=60)
    shown = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, check=True, timeout=60).stdout
    read = subprocess.run(["debugfs", "-R", "cat /upper/file", image], capture_output=True, check=True, timeout=60)
    clean = next(line.split()[-1] for line in shown.splitlines() if line.startswith("Filesystem state"))
    return checked.returncode == 0 and clean == "clean" and read.stdout == b"written" * MIB


def test_it_is_written_out_and_nowhere_mounted(directory: Path) -> None:
    async def scenario() -> None:
        disk = await _prepared(directory)
        assert len(_loops_of(directory)) == 1
        image = await _disks(directory).hand_over("task")
        assert _loops_of(directory) == [] and not _mounts_in(directory)
        assert image == str(directory / "task.given.img") and _is_whole(image)
        assert sorted(os.listdir(directory)) == ["mnt", "task.charge", "task.given.img", "template-1.ext4"]
        with pytest.raises(FileNotFoundError):
            (disk / "file").touch()

    asyncio.run(scenario())


STEPS: dict[str, tuple[object, str, int]] = {
    "the charge is noted": (given_disks, "write_charge", 1),
    "it is written out": (libc, "sync_filesystem", 1),
    "the first mount in it is gone": (libc, "umount", 1),
    "all mounts in it are gone": (libc, "umount", 3),
    "it is unmounted": (libc, "umount", 4),
    "it has its new name": (given_disks, "give", 1),
    "its directory is gone": (disks_module, "_remove_directory", 1),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("then", ["hand over", "create", "delete"])
def test_a_kill_at_any_step_is_completed_by_a_repeat(
    directory: Path, monkeypatch: pytest.MonkeyPatch, step: str, when: str, then: str
) -> None:
    async def scenario() -> None:
        disk = await _prepared(directory)
        module, name, number = STEPS[step]
        with monkeypatch.context() as patched:
            patched.setattr(module, name, _killing(getattr(module, name), number, when))
            with pytest.raises(Killed):
                await _disks(directory).hand_over("task")
        again = _disks(directory)
        assert await again.list_disks() == ["task"]
        was_given = (directory / "task.given.img").exists()
        if then == "create":  # an agent that begins anew repeats all its steps
            made = await again.create_disk("task", 1)
            assert made.is_given == was_given and is_mounted(disk) != was_given
        if then == "delete":
            await again.delete_disk("task")
            assert await again.list_disks() == [] and _loops_of(directory) == []
            assert sorted(os.listdir(directory)) == ["mnt", "template-1.ext4"]
            return
        image = await again.hand_over("task")
        assert _is_whole(image) and _loops_of(directory) == [] and not disk.exists()
        assert 107 * MIB < (await again.usage("task")).used_bytes < 112 * MIB
        assert (await again.create_disk("task", 1)).is_given and not disk.exists()
        await again.delete_disk("task")
        assert sorted(os.listdir(directory)) == ["mnt", "template-1.ext4"]

    asyncio.run(scenario())


def _killing(step: Callable[..., object], number: int, when: str) -> Callable[..., object]:
    calls = 0

    def killed(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number and when == "before":
            raise Killed
        result = step(*arguments)
        if calls == number:
            raise Killed
        return result

    return killed


def test_nobody_is_left_behind_who_would_write_under_the_machines_hands(directory: Path) -> None:
    async def scenario() -> None:
        disk = await _prepared(directory)
        disks = _disks(directory)
        held = os.open(disk / "upper" / "held", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(HostError, match="somebody still uses it"):
            await disks.hand_over("task")
        assert (directory / "task.img").exists() and is_mounted(disk)
        os.close(held)
        assert _is_whole(await disks.hand_over("task"))

    asyncio.run(scenario())


def test_a_mount_of_another_namespace_is_waited_for_and_nothing_mounts_it_meanwhile(directory: Path) -> None:
    async def scenario() -> None:
        await _prepared(directory)
        disks = _disks(directory)
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as other:  # noqa: ASYNC220
            assert other.stdout is not None and other.stdout.read(1)
            with pytest.raises(HostError, match="somebody still uses it"):
                await disks.hand_over("task")
            with pytest.raises(HostError, match="still in use"):
                await disks.create_disk("task", 1)
            assert (directory / "task.img").exists() and len(_loops_of(directory)) == 1
            other.kill()
        assert _is_whole(await disks.hand_over("task"))

    asyncio.run(scenario())


def test_a_given_disk_is_charged_by_its_blocks_and_its_writer_can_be_stopped(directory: Path) -> None:
    async def scenario() -> None:
        await _prepared(directory)
        disks = _disks(directory)
        image = os.open(await disks.hand_over("task"), os.O_RDWR)
        held, used = await disks.allocated("task"), await disks.usage("task")
        assert used.used_bytes == held + 100 * MIB
        os.pwrite(image, b"x" * MIB, 500 * MIB)
        os.fsync(image)
        assert await disks.allocated("task") == held + MIB
        await disks.cut_off("task")
        await disks.cut_off("task")
        with pytest.raises(OSError, match="Operation not permitted") as error:
            os.pwrite(image, b"x" * MIB, 600 * MIB)
        assert error.value.errno == errno.EPERM
        await disks.delete_disk("task")
        assert await disks.list_disks() == [] and os.fstat(image).st_blocks == 0, "its room is the host's again"
        os.close(image)

    asyncio.run(scenario())


def test_the_next_disk_has_no_byte_of_one_that_was_thrown_away(directory: Path) -> None:
    async def scenario() -> None:
        await _prepared(directory)
        disks = _disks(directory)
        _overwrite(await disks.hand_over("task"), b"its guest wrote this" * MIB)
        await disks.delete_disk("task")
        assert not [name for name in os.listdir(directory) if name.startswith("task")]
        await disks.create_disk("another", 1)
        image = await disks.hand_over("another")
        assert not _has(image, b"its guest wrote this")
        await disks.delete_disk("another")

    asyncio.run(scenario())


def test_a_given_disk_is_never_mounted_whatever_is_asked(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await _prepared(directory)
        disks = _disks(directory)
        image = await disks.hand_over("task")
        _overwrite(image, b"no filesystem at all")
        monkeypatch.setattr(libc, "mount", _never)
        monkeypatch.setattr(subprocess, "run", _never)
        assert (await disks.create_disk("task", 1)).is_given
        assert await disks.hand_over("task") == image
        await disks.reserve("task", 5 * MIB)
        assert (await disks.usage("task")).used_bytes == len("no filesystem at all")
        assert 0 < await disks.free_fraction() < 1
        await disks.cut_off("task")
        await disks.delete_disk("task")

    asyncio.run(scenario())


def _has(image: str, content: bytes) -> bool:
    with open(image, "rb") as file:
        return any(content in piece for piece in iter(lambda: file.read(16 * MIB), b""))


def _overwrite(image: str, content: bytes) -> None:
    with open(image, "wb") as file:
        file.write(content)


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a machine's disk is nobody else's")
