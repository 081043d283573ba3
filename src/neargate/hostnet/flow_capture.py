"""What the kernel counts of a VPC's flows and tells of dropped packets, as netlink payloads, for flow logs.

Owns three sockets of one router's namespace: ends of flows (events), packets that rules log, and one to ask for all
flows. Used by one thread. Nothing here waits but `dump`, whose every receive has a time limit. Invariant: what the
kernel could not deliver is said (`lost`), so that no reader takes what it got for everything.
"""

import errno
import socket
import struct
from collections.abc import Iterator

from ..interfaces.hostnet import FlowNews
from .netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, RECEIVE_TIMEOUT_S, NetlinkError, attribute

_CT_GET, _CT_DELETE_EVENT, _LOG_PACKET, _LOG_CONFIG = 0x101, 0x102, 0x400, 0x401
_DESTROYED = 1 << 2  # the group of ends
_RECEIVE_BUFFER_BYTES = 16 * 1024 * 1024
_DATAGRAM_MAX_BYTES = 1 << 17
_BIND = b"\x01"
_COPY_PACKET = 2
_FLUSH_CENTISECONDS = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_RCVBUFFORCE = 33


class LinuxFlowCapture:
    """Of the calling thread's current namespace. `group`: where rules log to; `snap_bytes` of each packet.

    `is_adopted`: flows were counted here before, by an agent that is gone.
    """

    def __init__(self, group: int, snap_bytes: int, *, is_adopted: bool) -> None:
        self.is_adopted = is_adopted
        self._sockets: list[socket.socket] = []
        try:
            self._ends = self._opened(_DESTROYED)
            self._rejected = self._opened(0)
            self._asking = self._opened(0)
            self._asking.settimeout(RECEIVE_TIMEOUT_S)
            self._listen(group, snap_bytes)
        except OSError:
            self.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def read(self, most: int) -> FlowNews:
        """What waits, at most so many datagrams of each kind."""
        ended, ends_lost = _drained(self._ends, _CT_DELETE_EVENT, most)
        rejected, rejected_lost = _drained(self._rejected, _LOG_PACKET, most)
        return FlowNews(ended=ended, rejected=rejected, lost=ends_lost or rejected_lost)

    def dump(self) -> Iterator[bytes]:
        """All flows. Those that are over but not yet forgotten by the kernel are so now, and their ends are told."""
        for family in (socket.AF_INET, socket.AF_INET6):
            self._sequence += 1
            body = struct.pack("=BBH", family, 0, 0)
            flags = NLM_F_REQUEST | NLM_F_DUMP
            self._asking.send(_HEADER.pack(16 + len(body), _CT_GET, flags, self._sequence, 0) + body)
            yield from self._answers()

    def _answers(self) -> Iterator[bytes]:
        while True:
            for kind, sequence, payload in _messages(self._asking.recv(_DATAGRAM_MAX_BYTES)):
                if sequence != self._sequence:
                    continue  # of a dump that was given up
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    raise NetlinkError(-int(struct.unpack_from("=i", payload)[0]), "list flows")
                yield payload

    def _opened(self, groups: int) -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._sockets.append(made)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
        made.bind((0, groups))
        return made

    def _listen(self, group: int, snap_bytes: int) -> None:
        """Take packets that rules log to the group. Raises NetlinkError."""
        mode = struct.pack(">IBx", snap_bytes, _COPY_PACKET)
        flush = struct.pack(">I", _FLUSH_CENTISECONDS)
        for sequence, what in enumerate((attribute(1, _BIND), attribute(2, mode) + attribute(4, flush)), 1):
            body = struct.pack(">BBH", socket.AF_UNSPEC, 0, group) + what
            flags = NLM_F_REQUEST | NLM_F_ACK
            self._rejected.settimeout(RECEIVE_TIMEOUT_S)
            self._rejected.send(_HEADER.pack(16 + len(body), _LOG_CONFIG, flags, sequence, 0) + body)
            self._acknowledged(sequence)
        self._rejected.setblocking(False)

    def _acknowledged(self, wanted: int) -> None:
        while True:
            for kind, sequence, payload in _messages(self._rejected.recv(_DATAGRAM_MAX_BYTES)):
                if kind == _NLMSG_ERROR and sequence == wanted:
                    number = -int(struct.unpack_from("=i", payload)[0])
                    if number:
                        raise NetlinkError(number, "take packets that rules log")
                    return


def _drained(source: socket.socket, wanted: int, most: int) -> tuple[tuple[bytes, ...], bool]:
    """(payloads, whether the kernel had more than it could keep)."""
    found: list[bytes] = []
    lost = False
    for _ in range(most):
        try:
            data = source.recv(_DATAGRAM_MAX_BYTES)
        except BlockingIOError:
            break
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            lost = True
            continue
        found += [payload for kind, _, payload in _messages(data) if kind == wanted]
    return tuple(found), lost


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(type, sequence, payload)."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < 16:
            return
        yield kind, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3
