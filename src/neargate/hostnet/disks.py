"""One ephemeral disk per task: a sparse file with an ext4 of the task's size, on a loop device, mounted.

Owns its directory: `template-N.ext4` per size, `TASK.img` per task, `mnt/TASK`, and `mnt/TASK.memory`, which is a tmpfs
for those that hold something in memory; what an engine mounted beside `mnt/TASK` (`TWINS`) goes with it. A disk that a
machine has is `TASK.given.img`, and `TASK.charge` says what it was charged. An image gets its final name only when it
is complete, so a killed creation leaves something that is thrown away or mounted, never half a filesystem. There is no
journal because a disk dies with its task. Promised sizes are accounted: a full backing filesystem corrupts them all.
"""

import asyncio
import errno
import os
import subprocess
from pathlib import Path

from ..interfaces.hostnet import TWINS, DiskFull, DiskUsage, HostError, TaskDisk
from ..log import get_logger
from ..model.knobs import DEFAULT_KNOBS, Knobs
from ..world import World
from . import ext4, given_disks, libc, loops
from .attachments import safe_id
from .mounts import is_mounted, unmount_twins
from .secret_mount import mount_secret, unmount_secret

_LANE = "disks"
_LOOK_LANE = "disk-looks"  # never behind an unmount that still writes
_BLOCK = 512  # what st_blocks counts in
_GIB = 1 << 30
_COPY_MAX = 1 << 20
_RESERVED_NAME = ".reserved"
_MEMORY = ".memory"
_GIVEN = ".given"
_MKFS = (
    *("mkfs.ext4", "-q", "-F", "-m", "0", "-I", "256", "-i", "65536", "-G", "4096"),
    *("-O", "^has_journal,^resize_inode,sparse_super2"),
    *("-E", "lazy_itable_init=1,nodiscard,num_backup_sb=0,packed_meta_blocks=1,root_owner=0:0"),
)
log = get_logger(__name__)


class LinuxDisks:
    """HostDisks on loop devices. `directory` should lie apart from databases and containerd's root."""

    def __init__(self, world: World, *, directory: Path, knobs: Knobs = DEFAULT_KNOBS) -> None:
        self._world = world
        self._directory = directory
        self._mounts = directory / "mnt"
        self._knobs = knobs
        self._template_lock = asyncio.Lock()

    async def create_disk(self, task_id: str, size_gib: int) -> TaskDisk:
        safe_id(task_id)
        if not 1 <= size_gib <= self._knobs.disk_size_max_gib:
            raise HostError(f"{size_gib} GiB is no size of a task's disk")
        try:
            if self._is_given(task_id):
                return self._disk(task_id, size_gib, is_given=True)
            # One at a time, or two first disks of a size would make the same template.
            async with self._template_lock:
                await self._world.offload(_LANE, self._ensure_template, size_gib)
            await self._world.offload(_LANE, self._create, task_id, size_gib)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"the host's disk is full: {error}") from error
            raise HostError(f"cannot make the disk of task {task_id}: {error}") from error
        return self._disk(task_id, size_gib, is_given=False)

    def _disk(self, task_id: str, size_gib: int, *, is_given: bool) -> TaskDisk:
        return TaskDisk(task_id=task_id, path=str(self._mounts / task_id), size_gib=size_gib, is_given=is_given)

    async def hand_over(self, task_id: str) -> str:
        safe_id(task_id)
        for attempt in range(self._knobs.unmount_attempts):
            try:
                return await self._world.offload(_LANE, self._hand_over, task_id)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise HostError(f"cannot hand the disk of task {task_id} over: {error}") from error
                if attempt + 1 < self._knobs.unmount_attempts:
                    await self._world.sleep(self._knobs.unmount_retry_s)
        raise HostError(f"cannot hand the disk of task {task_id} over: somebody still uses it")

    async def hold_in_memory(self, task_id: str, size_mib: int) -> str:
        place = self._memory(safe_id(task_id))
        try:
            await self._world.offload(_LANE, _mount_memory, place, size_mib)
        except OSError as error:
            raise HostError(f"cannot mount a filesystem in memory for task {task_id}: {error}") from error
        return str(place)

    async def reserve(self, task_id: str, reserved_bytes: int) -> None:
        if self._is_given(task_id):
            return
        try:
            await self._world.offload(_LANE, _reserve, self._mounted(task_id) / _RESERVED_NAME, reserved_bytes)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DiskFull(f"no space left on device: {reserved_bytes} bytes on the disk of {task_id}") from error
            raise HostError(f"cannot reserve space on the disk of {task_id}: {error}") from error

    async def usage(self, task_id: str) -> DiskUsage:
        if self._is_given(task_id):
            return await self._world.offload(_LANE, self._usage_of_given, task_id)
        found = await self._world.offload(_LANE, os.statvfs, self._mounted(task_id))
        size = found.f_blocks * found.f_frsize
        return DiskUsage(used_bytes=size - found.f_bfree * found.f_frsize, size_bytes=size)

    async def allocated(self, task_id: str) -> int:
        return await self._world.offload(_LOOK_LANE, self._allocated, safe_id(task_id))

    async def cut_off(self, task_id: str) -> None:
        if self._is_given(task_id):
            await self._world.offload(_LOOK_LANE, given_disks.freeze, self._given(task_id))
        else:
            await self._world.offload(_LOOK_LANE, ext4.shut_down, self._mounts / task_id)

    async def delete_disk(self, task_id: str) -> None:
        """Unmount, waiting for late users; who still holds something after that gets errors."""
        mount = self._mounts / safe_id(task_id)
        try:
            await self._world.offload(_LANE, _unmount_memory, self._memory(task_id))
        except OSError as error:
            raise HostError(f"cannot unmount the memory of {task_id}: {error}") from error
        for attempt in range(self._knobs.unmount_attempts):
            try:
                await self._world.offload(_LANE, _unmount, mount, 0)
                break
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise HostError(f"cannot unmount the disk of {task_id}: {error}") from error
                if attempt + 1 < self._knobs.unmount_attempts:
                    await self._world.sleep(self._knobs.unmount_retry_s)
        else:
            log.warning("disk still in use: unmounted lazily", task_id=task_id, path=str(mount))
            try:
                await self._world.offload(_LANE, ext4.shut_down, mount)
            except OSError as error:
                # Its users may still write; it goes away with the last of them all the same.
                log.warning("its late users are not cut off", task_id=task_id, error=str(error))
            await self._world.offload(_LANE, _unmount, mount, libc.MNT_DETACH)
        await self._world.offload(_LANE, self._unlink, task_id)

    async def list_disks(self) -> list[str]:
        """Also half-made ones: `create_disk` completes and `delete_disk` removes them."""
        return await self._world.offload(_LANE, self._task_ids)

    async def free_fraction(self) -> float:
        return await self._world.offload(_LOOK_LANE, self._free)

    def _free(self) -> float:
        self._prepare()
        found = os.statvfs(self._directory)
        return found.f_bavail / found.f_blocks

    def _hand_over(self, task_id: str) -> str:
        image, given, mount = self._image(task_id), self._given(task_id), self._mounts / task_id
        if not self._is_given(task_id):
            if not image.exists():
                raise HostError(f"task {task_id} has no disk on this host")
            if is_mounted(mount):
                given_disks.write_charge(self._charge(task_id), _size(mount / _RESERVED_NAME))
            given_disks.take_out(image, mount)
            given_disks.give(image, given)
        _remove_directory(mount)  # what is made by mistake at its path shall not lie on the host's own filesystem
        return str(given)

    def _usage_of_given(self, task_id: str) -> DiskUsage:
        """As nobody asks the filesystem in it: its blocks here, and the charge, which takes none."""
        found = self._given(task_id).stat()
        used = found.st_blocks * _BLOCK + given_disks.read_charge(self._charge(task_id))
        return DiskUsage(used_bytes=min(used, found.st_size), size_bytes=found.st_size)

    def _allocated(self, task_id: str) -> int:
        """In this order: it may be given at this moment."""
        return _allocated(self._image(task_id)) or _allocated(self._given(task_id))

    def _create(self, task_id: str, size_gib: int) -> None:
        image, mount = self._image(task_id), self._mounts / task_id
        mounted = is_mounted(mount)
        if mounted and image.exists():
            return
        if mounted:
            # Its image was unlinked: a deletion was cut short.
            _unmount(mount, libc.MNT_DETACH)
        if not image.exists():
            self._account(size_gib)
            _copy_sparse(self._template(size_gib), image)
        elif given_disks.is_attached(image):
            # Unmounted for a machine, and still mounted elsewhere: two mounts of it would destroy it.
            raise HostError(f"the disk of task {task_id} is still in use")
        mount.mkdir(mode=0o700, exist_ok=True)
        with loops.attached(str(image)) as device:
            # noinit_itable: the kernel would otherwise write all inode tables in the background and fill the sparse
            # file. nodev: device nodes that a task plants here mean nothing.
            libc.mount(device, str(mount), "ext4", libc.MS_NODEV | libc.MS_NOATIME, "noinit_itable")

    def _account(self, size_gib: int) -> None:
        """Raises DiskFull when the promises would exceed the overcommitted size, or the floor is reached."""
        promised = sum(image.stat().st_size for image in self._directory.glob("*.img")) + size_gib * _GIB
        backing = os.statvfs(self._directory)
        limit = backing.f_blocks * backing.f_frsize * self._knobs.disk_overcommit
        if promised > limit:
            raise DiskFull(
                f"{promised // _GIB} GiB of task disks would be promised and this host may promise {int(limit) // _GIB}"
            )
        if backing.f_bavail < backing.f_blocks * self._knobs.disk_floor_fraction:
            raise DiskFull(f"less than {self._knobs.disk_floor_fraction:.0%} of {self._directory} is free")

    def _template(self, size_gib: int) -> Path:
        return self._directory / f"template-{size_gib}.ext4"

    def _ensure_template(self, size_gib: int) -> None:
        """An empty filesystem of the size, made by the only external command, once per size."""
        self._prepare()
        template = self._template(size_gib)
        if template.exists():
            return
        fresh = template.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with fresh.open("xb") as file:
            file.truncate(size_gib * _GIB)
        made = subprocess.run(
            [*_MKFS, str(fresh)], capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        if made.returncode != 0:
            raise HostError(f"mkfs.ext4 failed: {made.stderr.decode(errors='replace').strip()[:500]}")
        fresh.rename(template)

    def _unlink(self, task_id: str) -> None:
        _remove_directory(self._mounts / task_id)
        if self._is_given(task_id):
            given_disks.thaw(self._given(task_id))
        charge = self._charge(task_id)
        for note in (_unfinished(charge), charge):
            note.unlink(missing_ok=True)
        for image in (self._image(task_id), self._given(task_id)):
            try:
                # Under this name nobody takes it for a disk when the next line was the last one.
                image.rename(_unfinished(image))
                # A late user holds the file itself: only this gives its blocks back.
                os.truncate(_unfinished(image), 0)
            except FileNotFoundError:
                pass  # a repeated delete, or the other of the two
            _unfinished(image).unlink(missing_ok=True)

    def _task_ids(self) -> list[str]:
        if not self._directory.is_dir():
            return []
        images = (path.name.removesuffix(".new").removesuffix(".img") for path in self._directory.glob("*.img*"))
        names = {name.removesuffix(_GIVEN) for name in images}
        if self._mounts.is_dir():
            names |= {_owner(name) for name in os.listdir(self._mounts)}
        return sorted(names)

    def _mounted(self, task_id: str) -> Path:
        path = self._mounts / safe_id(task_id)
        if not is_mounted(path):
            raise HostError(f"task {task_id} has no disk on this host")
        return path

    def _memory(self, task_id: str) -> Path:
        """No task's id has a dot."""
        return self._mounts / f"{task_id}{_MEMORY}"

    def _image(self, task_id: str) -> Path:
        return self._directory / f"{task_id}.img"

    def _given(self, task_id: str) -> Path:
        return self._directory / f"{task_id}{_GIVEN}.img"

    def _is_given(self, task_id: str) -> bool:
        return self._given(safe_id(task_id)).exists()

    def _charge(self, task_id: str) -> Path:
        return self._directory / f"{task_id}.charge"

    def _prepare(self) -> None:
        # Others must not reach the files of tasks: set-user-ID programs in a volume are the task's affair only.
        self._mounts.mkdir(mode=0o700, parents=True, exist_ok=True)


def _allocated(image: Path) -> int:
    try:
        return image.stat().st_blocks * _BLOCK
    except FileNotFoundError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _remove_directory(mount: Path) -> None:
    try:
        mount.rmdir()
    except FileNotFoundError:
        pass  # a repeat


def _unfinished(image: Path) -> Path:
    return image.with_name(f"{image.name}.new")


def _copy_sparse(source: Path, target: Path) -> None:
    """Copies the few written extents; the rest stays a hole. The target appears complete or not at all."""
    fresh = _unfinished(target)
    fresh.unlink(missing_ok=True)
    with source.open("rb") as template, fresh.open("xb") as copy:
        size = os.fstat(template.fileno()).st_size
        os.fchmod(copy.fileno(), 0o600)
        copy.truncate(size)
        offset = 0
        while offset < size:
            try:
                start = os.lseek(template.fileno(), offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break  # only a hole is left
                raise
            offset = os.lseek(template.fileno(), start, os.SEEK_HOLE)
            while start < offset:
                start += os.pwrite(
                    copy.fileno(), os.pread(template.fileno(), min(_COPY_MAX, offset - start), start), start
                )
    fresh.rename(target)


def _reserve(path: Path, reserved_bytes: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, reserved_bytes)
        if reserved_bytes:
            os.posix_fallocate(descriptor, 0, reserved_bytes)
    except OSError:
        # A refused charge takes nothing: the task will be stopped with the reason.
        os.ftruncate(descriptor, 0)
        raise
    finally:
        os.close(descriptor)


def _mount_memory(place: Path, size_mib: int) -> None:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    mount_secret(place, size_mib)


def _unmount_memory(place: Path) -> None:
    """Lazily: whoever still runs keeps his files to his end, and nobody else finds them. May be repeated."""
    unmount_secret(place)
    try:
        place.rmdir()
    except FileNotFoundError:
        pass  # most tasks have none


def _unmount(mount: Path, flags: int) -> None:
    unmount_twins(mount, flags)
    while is_mounted(mount):
        libc.umount(str(mount), flags)


def _owner(name: str) -> str:
    """The task whose mount has this name."""
    beside = next((suffix for suffix in (_MEMORY, *TWINS) if name.endswith(suffix)), "")
    return name.removesuffix(beside)
