"""Shuts a mounted ext4 down: nothing that is written there reaches its device any more, not even what waits in memory.

Invariant: only a filesystem that is mounted exactly at the path is touched, never the one the path would lie on.
"""

import fcntl
import os
import struct
from pathlib import Path

_EXT4_IOC_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSH = struct.pack("=I", 2)


def shut_down(mount: Path) -> None:
    """Writers get EIO from now on. Nothing happens where nothing is mounted. Raises OSError (ENOTTY: an old kernel)."""
    try:
        descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        # Asked of what is open: a mount that vanished meanwhile would have uncovered the host's own filesystem.
        if os.fstat(descriptor).st_dev != mount.parent.stat().st_dev:
            fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, _WITHOUT_FLUSH)
    finally:
        os.close(descriptor)
