"""Small filesystems in memory for secrets: root's, where the run directory is not one itself, and those of tasks.

Owns mounting and unmounting them. Must not know what lies in them. Both calls may be repeated.
"""

import errno
from pathlib import Path

from .libc import MNT_DETACH, MS_NODEV, MS_NOSUID, mount, umount
from .mounts import is_mounted

_MS_NOEXEC = 8
_SIZE_MIB = 64


def mount_secret(directory: Path, size_mib: int = _SIZE_MIB) -> None:
    """The directory exists. Never swapped to a disk where the kernel can promise that (6.4). Raises OSError."""
    if is_mounted(directory):
        return
    flags, options = MS_NOSUID | MS_NODEV | _MS_NOEXEC, f"mode=0700,size={size_mib}m"
    try:
        mount("tmpfs", str(directory), "tmpfs", flags, f"{options},noswap")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        mount("tmpfs", str(directory), "tmpfs", flags, options)


def unmount_secret(directory: Path) -> None:
    """What lies there is gone with it. Raises OSError."""
    while is_mounted(directory):
        umount(str(directory), MNT_DETACH)
