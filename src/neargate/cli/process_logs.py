"""Bounds the processes' own logs (server, agent, containerd, registry, up): the newest part stays, in NAME and NAME.1.

The processes write through descriptors that were opened for them (O_APPEND), some of them programs of others, and
outlive who opened these. So a full log is copied to NAME.1 and then cut to nothing where it is; they write on from its
start. Done by the agent, which runs whenever anything does, and by `up`, which sees an agent that cannot start.
Invariant: a kill at any moment leaves the newest lines in one of the two; a full disk costs old lines, never the bound.
"""

import os
from contextlib import suppress
from pathlib import Path

from . import locks

_ROUNDS_MAX = 16
_LOCK = ".rotate.lock"


def bound_all(directory: Path, max_bytes: int) -> None:
    """Cut every log of the directory that is larger. What cannot be cut now is met again at the next look."""
    full = [path for path in directory.glob("*.log") if _size(path) > max_bytes]
    if not full:
        return
    try:
        lock = locks.take(directory / _LOCK)
    except OSError:
        return  # the disk is full up to the last inode, or the directory is being removed
    if lock is None:
        return  # somebody else is at it
    try:
        for path in full:
            _cut(path, max_bytes)
    finally:
        os.close(lock)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _cut(path: Path, max_bytes: int) -> None:
    """Copy the end, then empty. Only what is written between the last read and the cut is lost: microseconds."""
    before = path.with_name(f"{path.name}.1")
    try:
        with path.open("r+b") as log:
            newest = _end(log.fileno(), max_bytes)
            kept = _keep(before, newest)
            if kept:
                _add_the_rest(before, log.fileno(), max_bytes)
            os.ftruncate(log.fileno(), 0)
        if not kept:
            # The disk was full; what was cut made room. The older part was given up for it.
            _keep(before, newest)
    except OSError:
        return  # removed meanwhile, or the disk fails: the next look meets it again


def _end(descriptor: int, max_bytes: int) -> bytes:
    """Whole lines: the first one is likely to be cut."""
    size = os.fstat(descriptor).st_size
    data = bytearray()
    os.lseek(descriptor, max(0, size - max_bytes), os.SEEK_SET)
    while piece := os.read(descriptor, max_bytes):  # also what is written meanwhile
        data += piece
        if len(data) > 2 * max_bytes:
            break
    data = data[-max_bytes:]
    return bytes(data[data.find(b"\n") + 1 :])


def _add_the_rest(before: Path, descriptor: int, max_bytes: int) -> None:
    """What was written while the copy was made, which takes a while; at most as much again."""
    try:
        with before.open("ab", buffering=0) as file:
            for _ in range(_ROUNDS_MAX):
                piece = os.read(descriptor, max_bytes // _ROUNDS_MAX)
                if not piece:
                    return
                file.write(piece)
    except OSError:
        return  # no room any more: the bound comes first


def _keep(before: Path, newest: bytes) -> bool:
    """Replace the older part whole. False when there was no room for it."""
    fresh = before.with_name(f"{before.name}.new")
    try:
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(newest)
        fresh.replace(before)
    except OSError:
        for path in (fresh, before):
            with suppress(OSError):  # the cut that follows must not fail for what could not be removed
                path.unlink(missing_ok=True)
        return False
    return True
