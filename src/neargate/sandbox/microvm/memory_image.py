"""A saved machine's memory: how it gets to a file, and how all machines restored from it share it without changing it.

QEMU opens its memory's file for writing even where it maps it privately, and would thereby get a file of the host that
other machines start from. So the file is copied once into memory that is sealed: it opens for writing, but is written
by nobody, and what a machine changes is its own copy. Both copies leave out what is zero, and tell the digest of the
rest, so that a file that was cut or changed on its disk is known. Blocking.
"""

import errno
import fcntl
import os
from hashlib import sha256

from .vmm import MachineRefused

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_BLOCK = 64 * 1024
_ZERO = bytes(_BLOCK)


def stored(source: str, target: str) -> str:
    """Copied to a new file of root alone, which is on its disk when this returns. The digest."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            digest = _copy(reading, writing)
            os.fsync(writing)
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return digest


def digest_of(path: str) -> str:
    reading = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _copy(reading, None)
    finally:
        os.close(reading)


def sealed(path: str, digest: str) -> int:
    """A descriptor, the caller's to close; the pages live as long as a machine or the caller has one.

    Raises MachineRefused, also where the content is not that of the digest.
    """
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise MachineRefused(f"{path}: {error.strerror}") from error
    made = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        if _copy(source, made) != digest:
            raise MachineRefused(f"{path} is not what was saved")
        os.fchmod(made, 0o666)  # a machine's user is nobody else's: the seals keep it
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        os.close(made)
        raise MachineRefused(f"{path} cannot be shared: {error.strerror}") from error
    except MachineRefused:
        os.close(made)
        raise
    finally:
        os.close(source)
    return made


def _copy(source: int, target: int | None) -> str:
    """Block by block, whatever the file system says of holes: one content has one digest. None: only that."""
    size = os.fstat(source).st_size
    if target is not None:
        os.ftruncate(target, size)
    told = sha256(b"%d" % size)
    at = 0
    while (begin := _next_data(source, at)) is not None:
        at = begin - begin % _BLOCK
        block = os.pread(source, _BLOCK, at)
        if not block:
            break
        if block != _ZERO[: len(block)]:
            told.update(b"%d" % at)
            told.update(block)
            if target is not None:
                _write(target, block, at)
        at += _BLOCK
    return told.hexdigest()


def _next_data(source: int, at: int) -> int | None:
    try:
        return os.lseek(source, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but holes to the end
            return None
        raise


def _write(target: int, block: bytes, at: int) -> None:
    left = memoryview(block)
    while left:
        written = os.pwrite(target, left, at)
        left, at = left[written:], at + written
