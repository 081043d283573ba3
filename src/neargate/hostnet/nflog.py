"""Packets that rules show by `log group N`, read from the kernel: one socket of one namespace and group.

Owns the wire format of that netlink family. Invariant: what does not fit is dropped by the kernel, never waited for; a
reader that is slow or gone holds up no packet.
"""

import errno
import socket
import struct
from contextlib import suppress

from ..model.logged_packet import HEADER_BYTES, LoggedPacket, read_packet
from .netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_REQUEST, RECEIVE_TIMEOUT_S, NetlinkError, attribute, attributes

_PACKET, _CONFIG = 4 << 8, 4 << 8 | 1
_BIND = 1
_CMD, _MODE, _TIMEOUT, _THRESHOLD = 1, 2, 4, 5
_COPY_PACKET = 2
_MARK, _IN, _OUT, _PAYLOAD, _PREFIX = 2, 4, 5, 9, 10
_ERROR = 2
_HEADER = struct.Struct("=IHHII")
_WAIT_HUNDREDTHS = 10  # the kernel sends what it has gathered after so long
_AT_ONCE = 32  # packets gathered in one datagram
_BUFFER_BYTES = 1 << 20
_READS_MAX = 64


class PacketLog:
    """Of the calling thread's current namespace. Raises NetlinkError, EBUSY where another program has the group."""

    def __init__(self, group: int) -> None:
        self.lost = False  # whether the kernel had more than it could hold, since this was last set to false
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        try:
            self.socket.settimeout(RECEIVE_TIMEOUT_S)
            self.socket.bind((0, 0))
            with suppress(OSError):  # the usual size holds less, and what is lost is told
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._configure(group, attribute(_CMD, bytes((_BIND,))))
            mode = attribute(_MODE, struct.pack("!IBB", HEADER_BYTES, _COPY_PACKET, 0))
            gathering = attribute(_THRESHOLD, struct.pack("!I", _AT_ONCE))
            waiting = attribute(_TIMEOUT, struct.pack("!I", _WAIT_HUNDREDTHS))
            self._configure(group, mode + gathering + waiting)
        except BaseException:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    def close(self) -> None:
        """The group is another's to take; its rules go on without a reader."""
        self.socket.close()

    def read(self) -> list[LoggedPacket]:
        """All that are here now, which may be none."""
        found: list[LoggedPacket] = []
        for _ in range(_READS_MAX):
            try:
                found += parsed(self.socket.recv(1 << 17))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost = True
        return found

    def _configure(self, group: int, body: bytes) -> None:
        payload = struct.pack("!BBH", 0, 0, group) + body
        self.socket.send(_HEADER.pack(16 + len(payload), _CONFIG, NLM_F_REQUEST | NLM_F_ACK, 0, 0) + payload)
        while True:
            answer = self.socket.recv(1 << 17)
            if len(answer) >= 20 and _HEADER.unpack_from(answer)[1] == _ERROR:
                number = -int(struct.unpack_from("=i", answer, 16)[0])
                if number:
                    raise NetlinkError(number, f"listen to logged packets of group {group}")
                return


def parsed(datagram: bytes) -> list[LoggedPacket]:
    """The packets of one datagram of the kernel's."""
    found: list[LoggedPacket] = []
    offset = 0
    while offset + 20 <= len(datagram):
        length, kind = struct.unpack_from("=IH", datagram, offset)
        if length < 20:
            break
        if kind == _PACKET:
            found.append(_parsed(datagram[offset + 20 : offset + length]))
        offset += (length + 3) & ~3
    return found


def _parsed(body: bytes) -> LoggedPacket:
    facts = dict(attributes(body))
    return read_packet(
        facts.get(_PAYLOAD, b""),
        prefix=facts.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace"),
        mark=int.from_bytes(facts.get(_MARK, b""), "big"),
        in_link=int.from_bytes(facts.get(_IN, b""), "big"),
        out_link=int.from_bytes(facts.get(_OUT, b""), "big"),
    )
