"""A guest's kernel for tests of the network, without a machine: a namespace whose eth0 is a tap.

Needs root. Owns one namespace, and copies frames between its tap and the one that the task's network gave, from the
test's own event loop, as a machine monitor would: with the offloads that such a one asks for. It knows of the task what
a guest is told: the messages.
"""

import asyncio
import errno
import fcntl
import os
import socket
import struct

from ..hostnet import netlink
from ..hostnet.namespaces import Namespaces
from ..hostnet.netlink import RTM_NEWLINK, Message, Netlink, attribute
from ..interfaces.hostnet import GuestInterface
from .netlab import NetLab, entered

_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETIFINDEX = 0x400454CA, 0x400454D0, 0x400454DA
_TAP_WITH_HEADER = 0x0002 | 0x1000 | 0x4000
OFFLOADS = 0x01 | 0x02 | 0x04  # checksums, and TCP of both families in long pieces
_FRAME_MAX = 1 << 17
_FRAMES_AT_ONCE = 64
_GUESTS_INTERFACE = 2
_ERROR = 2
HEADER = 10


class GuestStack:
    """`netns_path`: where the guest's programs are. `frames`: (to the guest, frame without header) if asked to keep."""

    def __init__(self, namespaces: Namespaces, name: str, descriptor: int, *, keep: bool) -> None:
        self._namespaces = namespaces
        self._name = name
        self.descriptor = descriptor  # of the task's tap
        self.netns_path = str(namespaces.path(name))
        self.frames: list[tuple[bool, bytes]] | None = [] if keep else None
        self.longest = 0  # frame of the guest's, in bytes
        self._own = -1

    @classmethod
    def boot(cls, lab: NetLab, name: str, guest: GuestInterface, *, keep: bool = False) -> "GuestStack":
        """To be called in the event loop that copies frames from then on."""
        assert guest.descriptor is not None
        namespaces = Namespaces(lab.directory.with_name(f"{lab.directory.name}-guests"), lab.world.die)
        namespaces.ensure(name)
        made = cls(namespaces, name, guest.descriptor, keep=keep)
        with namespaces.inside(name):
            made._own = _own_tap()
            with Netlink() as links:
                index = links.existing("eth0").index
                links.run([_hardware(index, guest.mac)])
        for descriptor in (made._own, guest.descriptor):
            fcntl.ioctl(descriptor, _TUNSETOFFLOAD, OFFLOADS)
        made.tell(guest.messages)
        loop = asyncio.get_running_loop()
        loop.add_reader(made._own, made._copy, made._own, made.descriptor)
        loop.add_reader(made.descriptor, made._copy, made.descriptor, made._own)
        return made

    def tell(self, messages: tuple[bytes, ...]) -> None:
        """Give its kernel the messages, as its first process would."""
        with entered(self.netns_path):
            kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETLINK_ROUTE)
        with kernel:
            kernel.settimeout(10)
            for message in messages:
                kernel.send(message)
                answer = kernel.recv(1 << 16)
                assert struct.unpack_from("=H", answer, 4) == (_ERROR,), "each is answered"
                number = -struct.unpack_from("=i", answer, 16)[0]
                assert number == 0, f"the guest's kernel refuses {message.hex()}: {os.strerror(number)}"

    def inject(self, frame: bytes) -> None:
        """A frame of a guest that does as it likes, past its kernel."""
        os.write(self.descriptor, bytes(HEADER) + frame)

    def close(self) -> None:
        """As when the machine dies."""
        loop = asyncio.get_running_loop()
        for descriptor in (self._own, self.descriptor):
            loop.remove_reader(descriptor)
            os.close(descriptor)
        self._namespaces.delete(self._name)

    def __enter__(self) -> "GuestStack":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy(self, source: int, target: int) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            try:
                frame = os.read(source, _FRAME_MAX)
            except BlockingIOError:
                return
            if source == self._own:
                self.longest = max(self.longest, len(frame) - HEADER)
            if self.frames is not None:
                self.frames.append((target == self._own, frame[HEADER:]))
            try:
                os.write(target, frame)
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EBADFD):  # it is down, or gone: a wire says nothing
                    raise


def _own_tap() -> int:
    """The calling thread's namespace's eth0, with the number that a guest's has."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFINDEX, struct.pack("=I", _GUESTS_INTERFACE))
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("=16sH22x", b"eth0", _TAP_WITH_HEADER))
    return descriptor


def _hardware(index: int, mac: str) -> Message:
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + attribute(1, bytes.fromhex(mac.replace(":", "")))
    return Message(what="set the guest's MAC", kind=RTM_NEWLINK, flags=0, body=body)
