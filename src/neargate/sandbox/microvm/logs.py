"""A container's log file as its stream's copy: what of the stream is in it is what the file is long. Blocking.

The agent's log shipper reads the file and gives blocks of it back, which keeps its length (`agent/logs/files.py`).
Invariant: only whole appends move the end, so that after a kill at any moment the length says where to go on.
"""

import os


def length(path: str | None) -> int:
    """0 for a log that is not there (any more), or discarded."""
    try:
        return 0 if path is None else os.stat(path).st_size
    except FileNotFoundError:
        return 0


def append(path: str, data: bytes) -> int:
    """How much was taken: less when the disk is full. All of it when the file is gone, since nobody waits for it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return len(data)
    try:
        return os.write(descriptor, data)
    except OSError:
        return 0
    finally:
        os.close(descriptor)
