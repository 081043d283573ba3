"""A tap for a machine of a test, in the namespace of the test, without an address; gone when it is closed."""

import fcntl
import os
import struct

_TUNSETIFF = 0x400454CA
_TAP_WITH_HEADERS = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR


def own_tap() -> int:
    """Its descriptor."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", b"ngvmm%d", _TAP_WITH_HEADERS))
    return tap
