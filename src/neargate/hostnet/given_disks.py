"""A task's disk on its way from this host to the task's machine: nothing of it is mounted, nobody writes its image.

Owns how a disk is taken out of use and what stands for its filesystem afterwards. Blocking. Must not know tasks.
Invariant: what a machine has written is never looked into: no mount, no check, no read of a byte of it.
"""

import errno
import fcntl
import glob
import os
import re
import struct
from pathlib import Path

from . import libc
from .mounts import is_mounted

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_IMMUTABLE = 0x10
_FLAGS = struct.Struct("=l")
_OCTAL = re.compile(rb"\\([0-7]{3})")


def take_out(image: Path, mount: Path) -> None:
    """Write everything out, unmount what lies in it and itself. May be repeated.

    Raises OSError: EBUSY while somebody uses it, here or by another mount of it; never leaves a late user behind, who
    would write under the machine's hands.
    """
    if is_mounted(mount):
        # Before the unmount, which tells nobody that something could not be written.
        _write_out(mount)
        for inner in reversed(_mounts_below(mount)):
            libc.umount(inner)
        while is_mounted(mount):
            libc.umount(str(mount))
    if is_attached(image):
        raise OSError(errno.EBUSY, "a mount of it is left in another namespace", str(image))


def give(image: Path, given: Path) -> None:
    """From here on it is the machine's, also after the host lost its power."""
    image.rename(given)
    directory = os.open(given.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def is_attached(image: Path) -> bool:
    """Whether a loop device has it: somebody has it mounted, or is about to."""
    path = os.path.realpath(image)
    for name in glob.glob("/sys/block/loop*/loop/backing_file"):
        try:
            with open(name, encoding="utf-8", errors="surrogateescape") as file:
                if file.read().removesuffix("\n") == path:
                    return True
        except (FileNotFoundError, OSError):
            continue  # detached at this moment
    return False


def freeze(given: Path) -> None:
    """Whoever writes to the image gets an error, also by a descriptor that he has. Raises OSError where the filesystem
    behind cannot do it."""
    _set_flags(given, _IMMUTABLE, 0)


def thaw(given: Path) -> None:
    """So that it can be deleted. Raises OSError."""
    try:
        _set_flags(given, 0, _IMMUTABLE)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            raise  # else it cannot have been frozen


def write_charge(note: Path, size: int) -> None:
    fresh = note.with_name(f"{note.name}.new")
    fresh.write_text(str(size))
    fresh.rename(note)


def read_charge(note: Path) -> int:
    try:
        return int(note.read_text())
    except FileNotFoundError:
        return 0


def _set_flags(path: Path, wanted: int, unwanted: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        (flags,) = _FLAGS.unpack(fcntl.ioctl(descriptor, _GET_FLAGS, _FLAGS.pack(0)))
        changed = flags & ~unwanted | wanted
        if changed != flags:
            fcntl.ioctl(descriptor, _SET_FLAGS, _FLAGS.pack(changed))
    finally:
        os.close(descriptor)


def _write_out(mount: Path) -> None:
    descriptor = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        libc.sync_filesystem(descriptor)
    finally:
        os.close(descriptor)


def _mounts_below(mount: Path) -> list[str]:
    """Outer before inner, earlier before later."""
    prefix = os.fsencode(os.path.realpath(mount)) + b"/"
    with open("/proc/self/mountinfo", "rb") as file:
        places = [_OCTAL.sub(lambda found: bytes((int(found.group(1), 8),)), line.split(b" ")[4]) for line in file]
    return [os.fsdecode(place) for place in places if place.startswith(prefix)]
