"""Small filesystems in memory: for root's secrets, where the run directory is not one itself, for tasks', and for the
few files that a process without privileges makes.

Owns mounting and unmounting them. Must not know what lies in them. All calls may be repeated.
"""

import errno
from pathlib import Path

from .libc import MNT_DETACH, MS_NODEV, MS_NOSUID, mount, umount
from .mounts import is_mounted

_MS_NOEXEC = 8
_FLAGS = MS_NOSUID | MS_NODEV | _MS_NOEXEC
_SIZE_MIB = 64
_OWNED_KIB, _OWNED_FILES_MAX = 64, 64


def mount_secret(directory: Path, size_mib: int = _SIZE_MIB) -> None:
    """The directory exists. Never swapped to a disk where the kernel can promise that (6.4). Raises OSError."""
    if is_mounted(directory):
        return
    options = f"mode=0700,size={size_mib}m"
    try:
        mount("tmpfs", str(directory), "tmpfs", _FLAGS, f"{options},noswap")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("tmpfs", str(directory), "tmpfs", _FLAGS, options)


def mount_owned(directory: Path, uid: int, gid: int) -> None:
    """Its owner's alone, who fills no other's with it: there is room for some sockets, and for no tree of any depth.
    The directory exists. Raises OSError."""
    if not is_mounted(directory):
        options = f"mode=0700,uid={uid},gid={gid},size={_OWNED_KIB}k,nr_inodes={_OWNED_FILES_MAX}"
        mount("tmpfs", str(directory), "tmpfs", _FLAGS, options)


def unmount_secret(directory: Path) -> None:
    """What lies there is gone with it. Raises OSError."""
    while is_mounted(directory):
        umount(str(directory), MNT_DETACH)
