"""Cutting the flows of an address: what conntrack still calls established must not outlive the address's owner.

Owns a netfilter netlink socket of one namespace. One filtered delete per direction; kernels that cannot filter a delete
get a dump and exact deletes.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from ..vpc.flows import Flow
from .netlink import NETLINK_NETFILTER, Message, Netlink, NetlinkError, attribute, attributes

_CT_GET, _CT_DELETE, _CT_GET_STATS = 0x101, 0x102, 0x105
_TUPLE_ORIG, _TUPLE_REPLY, _MARK, _MARK_MASK, _FILTER = 1, 2, 8, 21, 25
_BATCH = 500  # messages in one datagram
_NESTED = 0x8000
_EVERY_BIT = attribute(_MARK_MASK, b"\xff\xff\xff\xff")


class KernelFlow(Flow, frozen=True, kw_only=True):
    """`original`: its first packet's addresses and ports, as the kernel wrote them."""

    original: bytes


class Conntrack:
    """The connection table of the calling thread's current namespace."""

    def __init__(self) -> None:
        self._netlink = Netlink(NETLINK_NETFILTER)

    def close(self) -> None:
        self._netlink.close()

    def cut(self, text: str) -> None:
        """Forget every flow in which the address is source or destination, before or after translation."""
        self._cut(text, [None])

    def cut_marked(self, text: str, marks: Iterable[int]) -> None:
        """The same of flows with one of these marks."""
        self._cut(text, list(marks))

    def _cut(self, text: str, marks: Sequence[int | None]) -> None:
        value = ip_address(text)
        ends = [(reply, source) for reply in (0, 1) for source in (0, 1)]
        try:
            self._netlink.run([_filtered(value, mark, reply=r, source=s) for mark in marks for r, s in ends])
        except NetlinkError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            self.cut_one_by_one(text, marks)

    def cut_one_by_one(self, text: str, marks: Sequence[int | None] = (None,)) -> None:
        """The same by a dump of the table: for kernels that know no filter."""
        value = ip_address(text)
        self._netlink.run([_exact(value.version, original) for original in self._flows_of(value, marks)])

    def flows(self) -> list["KernelFlow"]:
        """All of them. A dump: for what happens seldom."""
        return [
            flow
            for version in (4, 6)
            for answer in self._netlink.ask(_CT_GET, _header(version), dump=True, what="list flows")
            if (flow := _parsed(answer, version)) is not None
        ]

    def cut_flows(self, flows: Iterable["KernelFlow"]) -> None:
        messages = [_exact(flow.source.version, flow.original) for flow in flows]
        for start in range(0, len(messages), _BATCH):
            self._netlink.run(messages[start : start + _BATCH])

    def fill(self) -> tuple[int, int]:
        """(flows there are, flows there may be; 0 for no bound)."""
        (answer,) = self._netlink.ask(_CT_GET_STATS, _header(0), dump=False, what="count flows")
        facts = dict(attributes(answer[4:]))
        return int.from_bytes(facts.get(1, b""), "big"), int.from_bytes(facts.get(2, b""), "big")

    def sample(self, flows_max: int) -> list["KernelFlow"]:
        """Some of them, of no order that anybody could choose: the kernel keeps them by a secret hash.

        For a socket of its own, which is closed then: the kernel would go on with the rest.
        """
        answers = self._netlink.first(_CT_GET, _header(0), flows_max, what="list some flows")
        return [flow for answer in answers if (flow := _parsed(answer, _version(answer))) is not None]

    def count(self) -> int:
        found = 0
        for version in (4, 6):
            found += len(self._netlink.ask(_CT_GET, _header(version), dump=True, what="list flows"))
        return found

    def _flows_of(self, value: IPv4Address | IPv6Address, marks: Sequence[int | None]) -> Iterator[bytes]:
        for answer in self._netlink.ask(_CT_GET, _header(value.version), dump=True, what="list flows"):
            tuples = dict(attributes(answer[4:]))
            addresses = []
            for side in (_TUPLE_ORIG, _TUPLE_REPLY):
                ip_part = dict(attributes(tuples.get(side, b""))).get(1, b"")
                addresses += [payload for _, payload in attributes(ip_part)]
            is_marked = None in marks or int.from_bytes(tuples.get(_MARK, b""), "big") in marks
            if is_marked and value.packed in addresses:
                yield tuples[_TUPLE_ORIG]


def _parsed(answer: bytes, version: int) -> KernelFlow | None:
    facts = dict(attributes(answer[4:]))
    original, reply = facts.get(_TUPLE_ORIG, b""), facts.get(_TUPLE_REPLY, b"")
    sent, answered = _addresses(original, version), _addresses(reply, version)
    if sent is None or answered is None:
        return None
    protocol = dict(attributes(dict(attributes(original)).get(2, b"")))  # number, source port, destination port
    return KernelFlow(
        source=sent[0],
        destination=sent[1],
        receiver=answered[0],
        seen_source=answered[1],
        mark=int.from_bytes(facts.get(_MARK, b""), "big"),
        protocol=int.from_bytes(protocol.get(1, b""), "big"),
        port=int.from_bytes(protocol.get(3, b""), "big"),
        original=original,
    )


def _addresses(side: bytes, version: int) -> tuple[IPv4Address | IPv6Address, IPv4Address | IPv6Address] | None:
    """(source, destination) of one direction's tuple."""
    found = dict(attributes(dict(attributes(side)).get(1, b"")))
    first = 1 if version == 4 else 3
    if first not in found or first + 1 not in found:
        return None
    return ip_address(found[first]), ip_address(found[first + 1])


def _header(version: int) -> bytes:
    """0: of both families."""
    return struct.pack("=BBH", {0: 0, 4: socket.AF_INET, 6: socket.AF_INET6}[version], 0, 0)


def _version(answer: bytes) -> int:
    return 6 if answer[0] == socket.AF_INET6 else 4


def _filtered(value: IPv4Address | IPv6Address, mark: int | None, *, reply: int, source: int) -> Message:
    first = 1 if value.version == 4 else 3  # CTA_IP_V4_SRC or CTA_IP_V6_SRC; the destination is the next number
    address_part = attribute(first if source else first + 1, value.packed)
    tuple_part = attribute((_TUPLE_REPLY if reply else _TUPLE_ORIG) | _NESTED, attribute(1 | _NESTED, address_part))
    flags = [0, 0]
    flags[reply] = 1 if source else 2
    filter_part = b"".join(attribute(side + 1, struct.pack("=I", flags[side])) for side in (0, 1))
    marked = b"" if mark is None else attribute(_MARK, struct.pack(">I", mark)) + _EVERY_BIT
    body = _header(value.version) + tuple_part + marked + attribute(_FILTER | _NESTED, filter_part)
    return Message(
        what=f"cut flows of {value}", kind=_CT_DELETE, flags=0, body=body, tolerate=frozenset({errno.ENOENT})
    )


def _exact(version: int, original: bytes) -> Message:
    body = _header(version) + attribute(_TUPLE_ORIG | _NESTED, original)
    # A flow may end by itself between the dump and its delete.
    return Message(what="cut a flow", kind=_CT_DELETE, flags=0, body=body, tolerate=frozenset({errno.ENOENT}))
