"""Loop devices by ioctl: attach an image, find what is attached. A device frees itself with its last user (autoclear).

Owns nothing that lasts: between `attached` and the mount only this process holds the device, so a kill frees it.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_FLAG_AUTOCLEAR = 4
# struct loop_config: fd, block_size, struct loop_info64, 8 reserved words.
_CONFIG = struct.Struct("=II QQQQQ IIII 64s64s32s QQ 8Q")
_ATTEMPTS = 64


@contextmanager
def attached(image: str) -> Iterator[str]:
    """The path of a loop device backed by the image; it stays after the block only if something mounted it."""
    with _opened(image) as backing:
        device, path = _configure(backing, image)
    try:
        yield path
    finally:
        os.close(device)


def _configure(backing: int, image: str) -> tuple[int, str]:
    # 64 bytes with their end; only shown by losetup.
    name = os.fsencode(image)[-63:]
    config = _CONFIG.pack(backing, 0, 0, 0, 0, 0, 0, 0, 0, 0, _FLAG_AUTOCLEAR, name, b"", b"", 0, 0, *([0] * 8))
    for _ in range(_ATTEMPTS):
        with _opened("/dev/loop-control") as control:
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
        device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(device, _LOOP_CONFIGURE, config)
        except OSError as error:
            os.close(device)
            # Another process took the free device first.
            if error.errno != errno.EBUSY:
                raise
            continue
        return device, path
    raise OSError(errno.EBUSY, "no free loop device", image)


@contextmanager
def _opened(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
