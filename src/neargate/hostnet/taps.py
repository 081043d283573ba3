"""The kernel's taps: made in the calling thread's namespace, and opened.

A tap stays when nobody has it open, so that the rules which lead to it stay right; it has one opener at a time. It is
no interface of the namespace: it gets no address and asks for none.
"""

import errno
import fcntl
import os
import struct

from ..interfaces.hostnet import HostError
from . import netlink
from .namespaces import write_sysctl
from .netlink import Netlink

_DEVICE = "/dev/net/tun"
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454CB, 0x400454D0, 0x400454D8
_TUNGETDEVNETNS = 0x54E3
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_HEADER_SIZE = 10  # of a virtio_net_hdr without what came later


def open_tap(name: str, *, stays: bool = True) -> int | None:
    """A descriptor; the tap is made if need be, and down then. None: somebody has it open.

    `stays`: also when nobody has it open any more.

    Raises HostError and OSError.
    """
    try:
        descriptor = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HostError(f"cannot open {_DEVICE}: {error.strerror} (modprobe tun)") from error
    try:
        fcntl.ioctl(
            descriptor, _TUNSETIFF, struct.pack("=16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
        )
        fcntl.ioctl(descriptor, _TUNSETPERSIST, int(stays))
        # The last who had it may have said otherwise.
        fcntl.ioctl(descriptor, _TUNSETOFFLOAD, 0)
        fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("=i", _HEADER_SIZE))
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EBUSY:
            return None
        raise
    return descriptor


def home_of(descriptor: int) -> int:
    """A descriptor, the caller's to close, of the namespace that an opened tap is in. Raises OSError."""
    return fcntl.ioctl(descriptor, _TUNGETDEVNETNS, 0)


def keep(descriptor: int) -> None:
    """It stays also when nobody has it open."""
    fcntl.ioctl(descriptor, _TUNSETPERSIST, 1)


def bring_up(links: Netlink, name: str, *, mtu: int) -> None:
    """Frames pass from here on. The kernel itself says nothing on it."""
    write_sysctl(f"ipv6/conf/{name}/disable_ipv6", "1")
    index = links.existing(name).index
    links.run([netlink.link_mtu(index, mtu), netlink.link_up(index, arp=False)])
    links.settle(name)
