"""The system calls that Python 3.11 does not offer: mount, umount2, syncfs, unshare, setns.

Raises OSError with errno and path.

Owns the ctypes handle to libc; knows nothing of what is mounted or entered.
"""

import ctypes
import os

CLONE_NEWNET = 0x40000000
MS_NOSUID = 2
MS_NODEV = 4
MS_NOATIME = 1024
MS_BIND = 4096
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    filesystem = kind.encode() if kind is not None else None
    options = data.encode() or None
    result = _libc.mount(os.fsencode(source), os.fsencode(target), filesystem, ctypes.c_ulong(flags), options)
    _check(result, target)


def umount(target: str, flags: int = 0) -> None:
    """umount2(2); a symbolic link as last component is never followed."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags | UMOUNT_NOFOLLOW)), target)


def sync_filesystem(descriptor: int) -> None:
    """syncfs(2)."""
    _check(_libc.syncfs(ctypes.c_int(descriptor)), "syncfs")


def unshare(flags: int) -> None:
    """unshare(2) of the calling thread."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """setns(2) of the calling thread."""
    _check(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def _check(result: int, subject: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
