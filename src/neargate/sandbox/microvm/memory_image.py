"""A saved machine's memory as all machines restored from it share it: pages that none of them can change.

QEMU opens its memory's file for writing even where it maps it privately, and would thereby get a file of the host that
other machines start from. So the file is copied once into memory that is sealed: it opens for writing, but is written
by nobody, and what a machine changes is its own copy. Blocking.
"""

import errno
import fcntl
import os

from .vmm import MachineRefused

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def sealed(path: str) -> int:
    """A descriptor, the caller's to close; the pages live as long as a machine or the caller has one.

    What the file has no pages for has none here. Raises MachineRefused.
    """
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise MachineRefused(f"{path}: {error.strerror}") from error
    made = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        size = os.fstat(source).st_size
        os.ftruncate(made, size)
        _copy(source, made, size)
        os.fchmod(made, 0o666)  # a machine's user is nobody else's: the seals keep it
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, _SEALS)
    except OSError as error:
        os.close(made)
        raise MachineRefused(f"{path} cannot be shared: {error.strerror}") from error
    finally:
        os.close(source)
    return made


def _copy(source: int, target: int, size: int) -> None:
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but holes to the end
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end:
            sent = os.sendfile(target, source, at, end - at)
            if not sent:
                return
            at += sent
