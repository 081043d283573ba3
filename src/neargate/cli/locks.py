"""Locks of whole processes: held until the process ends, however it ends, and looked at without taking them.

Open-file-description locks: a look (F_OFD_GETLK) never makes somebody else's attempt fail, as a short flock would, and
a second descriptor of the same file in the holder does not free them, as with POSIX locks.
"""

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = "@hhqqi4x"  # struct flock: type, whence, start, length (0: all), pid
_UNLOCKED = fcntl.F_UNLCK


def take(path: Path) -> int | None:
    """A descriptor to keep open, or None when another process holds the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def is_taken(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[0] != _UNLOCKED)


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
