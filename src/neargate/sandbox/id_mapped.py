"""A task's files as its user namespace sees them: mounts that give each file's owner its place among the task's ids.

Owns the two that a task has beside its disk (`interfaces.hostnet.TWINS`), which the disk's deletion takes away: of the
disk, and of the directory with the layers of images, read-only. On the disk itself owners are as the image says, so
that whoever works there as the host's root finds nothing else. Blocking; may be repeated. Must not know containers.
"""

import ctypes
import errno
import os
from collections.abc import Sequence

from ..interfaces.hostnet import TWIN_OF_DISK, TWIN_OF_IMAGES
from ..model.host_ids import UserNamespace

# The same numbers on every architecture.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_AT_EMPTY_PATH = 0x1000
_AT_FDCWD = -100
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_RDONLY, _NOSUID, _NODEV, _IDMAP = 0x1, 0x2, 0x4, 0x100000

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace"))


class Twins:
    """`disk_path`: of the task's disk, as in ContainerConfig."""

    def __init__(self, disk_path: str) -> None:
        self._disk = disk_path
        self._twin = f"{disk_path}{TWIN_OF_DISK}"
        self._images = f"{disk_path}{TWIN_OF_IMAGES}"

    def attach(self, users: UserNamespace, lowers: Sequence[str]) -> None:
        """Raises OSError: this kernel or filesystem cannot do it."""
        for source, target, more in ((self._disk, self._twin, 0), (_home(lowers), self._images, _RDONLY | _NOSUID)):
            os.makedirs(target, mode=0o700, exist_ok=True)
            if not _is_mount(target):
                _attach(source, target, users.mounts_path, _NODEV | more)

    def detach(self) -> None:
        """For disks that nobody deletes. Lazily; may be repeated."""
        for target in (self._twin, self._images):
            while _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW) == 0:
                pass
            try:
                os.rmdir(target)
            except FileNotFoundError:
                pass  # a repeat

    def on_disk(self, path: str) -> str:
        """The path in the twin for the disk's or one below it; others as they are."""
        is_below = path == self._disk or path.startswith(f"{self._disk}/")
        return self._twin + path.removeprefix(self._disk) if is_below else path

    def of_images(self, lowers: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{self._images}/{os.path.relpath(lower, _home(lowers))}" for lower in lowers)


def _home(lowers: Sequence[str]) -> str:
    """The directory of all layers: containerd's are HOME/NUMBER/fs. Raises OSError for any other arrangement."""
    homes = {os.path.dirname(os.path.dirname(lower)) for lower in lowers}
    if len(homes) != 1:
        raise OSError(errno.EINVAL, "the layers of the image are not in one directory", lowers[0])
    return homes.pop()


def _attach(source: str, target: str, namespace: str, attributes: int) -> None:
    """What a kill leaves of it is at most the directory: the mount comes to its place at one instant, complete."""
    users = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
        tree = _call(_SYS_OPEN_TREE, source, _AT_FDCWD, os.fsencode(source), flags)
        try:
            wanted = _MountAttr(set=attributes | _IDMAP, namespace=users)
            size = ctypes.sizeof(wanted)
            _call(_SYS_MOUNT_SETATTR, source, tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.c_size_t(size))
            _call(_SYS_MOVE_MOUNT, target, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
        finally:
            os.close(tree)
    finally:
        os.close(users)


def _call(number: int, subject: str, *arguments: object) -> int:
    """The subject: a path for the error."""
    typed = [ctypes.c_int(item) if isinstance(item, int) else item for item in arguments]
    result = _libc.syscall(ctypes.c_long(number), *typed)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), subject)
    return int(result)


def _is_mount(path: str) -> bool:
    """By the kernel's number of the mount: both may be of one filesystem."""
    return _mount_id(path) != _mount_id(os.path.dirname(path))


def _mount_id(path: str) -> int:
    handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("mnt_id:"))
    finally:
        os.close(handle)
