"""Whether a task's disk is mounted, and the end of what is mounted beside it. Owns no state."""

import errno
from pathlib import Path

from ..interfaces.hostnet import TWINS
from . import libc


def is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly here: one stat, not a walk through mountinfo, as it is asked per start."""
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def unmount_twins(disk: Path, flags: int = 0) -> None:
    """What an engine mounted at `TWINS` beside the path of a disk. May be repeated. Raises OSError."""
    for suffix in TWINS:
        _unmount_all(disk.with_name(f"{disk.name}{suffix}"), flags)


def _unmount_all(path: Path, flags: int) -> None:
    """It may be of the filesystem that its directory is on, so that only the kernel can say whether it is mounted."""
    while True:
        try:
            libc.umount(str(path), flags)
        except FileNotFoundError:
            return None  # most tasks have none
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return path.rmdir()
