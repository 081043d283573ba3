"""A small filesystem in memory for secrets of root, where the run directory is not one itself (machines in containers).

Owns mounting and unmounting it. Must not know what lies in it. Both calls may be repeated.
"""

from pathlib import Path

from .libc import MNT_DETACH, MS_NODEV, MS_NOSUID, mount, umount
from .mounts import is_mounted

_MS_NOEXEC = 8
_OPTIONS = "mode=0700,size=64m"


def mount_secret(directory: Path) -> None:
    """The directory exists. Raises OSError."""
    if not is_mounted(directory):
        mount("tmpfs", str(directory), "tmpfs", MS_NOSUID | MS_NODEV | _MS_NOEXEC, _OPTIONS)


def unmount_secret(directory: Path) -> None:
    """What lies there is gone with it. Raises OSError."""
    while is_mounted(directory):
        umount(str(directory), MNT_DETACH)
