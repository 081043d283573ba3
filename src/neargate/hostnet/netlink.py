"""A small rtnetlink: exactly the messages that links, addresses, routes and neighbours of tasks need, sent in batches.

Owns the wire format and one socket per namespace: a socket stays in the namespace where it was opened, whichever thread
uses it later. Every receive has a time limit. A batch is one datagram; the kernel works on all of its messages also
when one fails, each has its own acknowledgement, and the first refusal is raised after all were read.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from types import TracebackType

from msgspec import Struct

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
IFF_UP, IFF_NOARP = 0x1, 0x80
RECEIVE_TIMEOUT_S = 10.0
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_NEIGHBOUR_PERMANENT, _NEIGHBOUR_PROXY, _NEIGHBOUR_ROUTER = 0x80, 0x08, 0x80  # a state, then flags
_ROUTE_UNICAST, _ROUTE_BLACKHOLE = 1, 6
_SCOPE_UNIVERSE, _SCOPE_LINK = 0, 253
_GSO_MAX_SEGS, _GSO_IPV4_MAX_SIZE = 40, 63
_RTA_METRICS, _RTAX_MTU = 8, 2
_MAIN_TABLE, _LARGE_TABLE = 254, 252  # the latter in headers, for numbers that need an attribute
_RULE = struct.Struct("=BBBBBBBBI")
# What TCP may hand on as one packet over links inside the machine: fewer packets are asked by fewer rules. A link that
# leads out has its own, smaller limit, by which the kernel cuts what comes to it.
SEGMENT_BYTES = 192 * 1024


class NetlinkError(OSError):
    """The kernel refused a message. `what` names the message in words."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(number, f"{what}: {os.strerror(number)}")
        self.what = what


class Message(Struct, frozen=True, kw_only=True):
    """One request. An errno in `tolerate` means that the wanted state is already there."""

    what: str
    kind: int
    flags: int
    body: bytes
    tolerate: frozenset[int] = frozenset()


class Link(Struct, frozen=True, kw_only=True):
    index: int
    name: str
    stats: tuple[int, ...]


class MarkRule(Struct, frozen=True, kw_only=True):
    """Packets of this family with exactly this mark are routed by this table."""

    version: int
    mark: int
    table: int
    preference: int


class Netlink:
    """A netlink socket of the calling thread's current namespace."""

    def __init__(self, protocol: int = NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(RECEIVE_TIMEOUT_S)
        self._socket.bind((0, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def run(self, messages: Sequence[Message]) -> None:
        """Send all in one datagram. Raises NetlinkError for the first refusal that is not tolerated."""
        waiting: dict[int, Message] = {}
        parts = []
        for message in messages:
            self._sequence += 1
            waiting[self._sequence] = message
            parts.append(_packed(message.kind, message.flags | NLM_F_REQUEST | NLM_F_ACK, self._sequence, message.body))
        if not parts:
            return
        self._socket.send(b"".join(parts))
        refusal: NetlinkError | None = None
        while waiting:
            for kind, sequence, payload in self._receive():
                answered = waiting.pop(sequence, None) if kind == _NLMSG_ERROR else None
                if answered is None:
                    continue
                number = -int(struct.unpack_from("=i", payload)[0])
                if number and number not in answered.tolerate and refusal is None:
                    refusal = NetlinkError(number, answered.what)
        if refusal is not None:
            raise refusal

    def ask(self, kind: int, body: bytes, *, dump: bool, what: str) -> list[bytes]:
        """The payloads answered to one request, headers stripped. Raises NetlinkError."""
        self._sequence += 1
        # Whether the answer is a dump is the caller's word: NLM_F_DUMP shares bits with EXCL and CREATE.
        flags = NLM_F_REQUEST | (NLM_F_DUMP if dump else NLM_F_ACK)
        self._socket.send(_packed(kind, flags, self._sequence, body))
        found: list[bytes] = []
        while True:
            for answer, sequence, payload in self._receive():
                if sequence != self._sequence:
                    continue
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    number = -int(struct.unpack_from("=i", payload)[0])
                    if number:
                        raise NetlinkError(number, what)
                    return found
                found.append(payload)

    def first(self, kind: int, body: bytes, count_max: int, *, what: str) -> list[bytes]:
        """The first answers of a dump; the socket is of no use afterwards. Raises NetlinkError."""
        self._sequence += 1
        self._socket.send(_packed(kind, NLM_F_REQUEST | NLM_F_DUMP, self._sequence, body))
        found: list[bytes] = []
        while len(found) < count_max:
            for answer, _, payload in self._receive():
                if answer == _NLMSG_DONE:
                    return found
                if answer == _NLMSG_ERROR:
                    raise NetlinkError(-int(struct.unpack_from("=i", payload)[0]), what)
                found.append(payload)
        return found

    def link(self, name: str) -> Link | None:
        try:
            answers = self.ask(RTM_GETLINK, _link_body() + _name(name), dump=False, what=f"look up link {name}")
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _parse_link(answers[0])

    def existing(self, name: str) -> Link:
        """The link, or NetlinkError where there is none."""
        found = self.link(name)
        if found is None:
            raise NetlinkError(errno.ENODEV, f"find link {name}")
        return found

    def settle(self, name: str) -> None:
        """Packets pass from here on. A link whose other end came up later sends nothing until the kernel's own worker
        has noticed; asking for the link makes it notice now (Linux 6.8; before, it is a matter of milliseconds)."""
        self.existing(name)

    def links(self) -> list[Link]:
        return [_parse_link(body) for body in self.ask(RTM_GETLINK, _link_body(), dump=True, what="list links")]

    def routes(self, version: int = 4) -> list[str]:
        """Destinations of the main table, as CIDRs; a default route is 0.0.0.0/0, or ::/0."""
        return [destination for destination, _ in self._routes(version)]

    def blackholes(self) -> list[str]:
        """Destinations of both families, as CIDRs, that the main table drops."""
        return [found for version in (4, 6) for found, _ in self._routes(version, _ROUTE_BLACKHOLE)]

    def links_to(self, destination: str, version: int = 4) -> list[int]:
        """Indexes of the links of the routes with exactly this destination; 0 for one that has several links."""
        return [index for found, index in self._routes(version) if found == destination]

    def mark_rules(self, version: int, preference: int) -> set[MarkRule]:
        found = set()
        body = _RULE.pack(_family(version), 0, 0, 0, 0, 0, 0, 0, 0)
        for answer in self.ask(RTM_GETRULE, body, dump=True, what="list routing rules"):
            facts = {kind: payload for kind, payload in attributes(answer[_RULE.size :]) if len(payload) == 4}
            numbers = {kind: int(struct.unpack("=I", payload)[0]) for kind, payload in facts.items()}
            if answer[0] == _family(version) and numbers.get(6) == preference:
                made = MarkRule(version=version, mark=numbers.get(10, 0), table=numbers[15], preference=preference)
                found.add(made)
        return found

    def _routes(self, version: int = 4, kind: int = _ROUTE_UNICAST) -> Iterator[tuple[str, int]]:
        body = struct.pack("=BBBBBBBBI", _family(version), 0, 0, 0, 0, 0, 0, 0, 0)
        for answer in self.ask(RTM_GETROUTE, body, dump=True, what="list routes"):
            family, length, table, route_type = answer[0], answer[1], answer[4], answer[7]
            if family == _family(version) and table == _MAIN_TABLE and route_type == kind:
                facts = dict(attributes(answer[12:]))
                network = facts.get(1, bytes(4 if version == 4 else 16))
                yield f"{ip_address(network)}/{length}", struct.unpack("=I", facts.get(4, bytes(4)))[0]

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        data = self._socket.recv(1 << 17)
        offset = 0
        while offset + 16 <= len(data):
            length, kind, _flags, sequence, _port = _HEADER.unpack_from(data, offset)
            if length < 16:
                raise NetlinkError(errno.EPROTO, "read the kernel's answer")
            yield kind, sequence, data[offset + 16 : offset + length]
            offset += (length + 3) & ~3


def complete(messages: Iterable[Message]) -> tuple[bytes, ...]:
    """Each with its header, for a kernel that somebody else speaks to; numbered from 1."""
    flags = NLM_F_REQUEST | NLM_F_ACK
    return tuple(_packed(one.kind, one.flags | flags, number, one.body) for number, one in enumerate(messages, 1))


def veth(
    name: str,
    mac: str,
    *,
    peer: str,
    peer_mac: str,
    peer_namespace: int,
    mtu: int,
    segment_bytes: int = SEGMENT_BYTES,
    peer_packets: int | None = None,
) -> Message:
    """A pair with one end here and the other, `peer`, in the namespace of the descriptor. Fails if either exists.

    `segment_bytes`: of TCP over IPv4, both ends; kernels before 6.3 do not know it and stay at 64 KiB. `peer_packets`:
    of how many packets of a link outside what the peer sends as one may be.
    """
    both = _mtu(mtu) + attribute(_GSO_IPV4_MAX_SIZE, struct.pack("=I", segment_bytes))
    other = attribute(28, struct.pack("=I", peer_namespace)) + _name(peer) + _hardware(peer_mac) + both
    if peer_packets is not None:
        other += attribute(_GSO_MAX_SEGS, struct.pack("=I", peer_packets))
    data = attribute(2, attribute(1, _link_body() + other))
    body = _link_body() + _name(name) + _hardware(mac) + both + attribute(18, attribute(1, b"veth\0") + data)
    return Message(what=f"create link {name}", kind=RTM_NEWLINK, flags=NLM_F_CREATE | NLM_F_EXCL, body=body)


def no_autoconf(index: int) -> Message:
    """No IPv6 link-local address of the kernel's own making. Must come before the link is up."""
    body = _link_body(index) + attribute(26, attribute(socket.AF_INET6, attribute(8, b"\x01")))
    tolerate = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})  # a kernel without IPv6 configures nothing by itself
    return Message(what="switch off autoconfiguration", kind=RTM_NEWLINK, flags=0, body=body, tolerate=tolerate)


def link_up(index: int, *, arp: bool = True) -> Message:
    """Without ARP it must come before permanent neighbours are added: the change of the flag flushes them."""
    flags = IFF_UP | (0 if arp else IFF_NOARP)
    return Message(
        what="set link up", kind=RTM_NEWLINK, flags=0, body=_link_body(index, flags=flags, change=IFF_UP | IFF_NOARP)
    )


def link_mtu(index: int, mtu: int) -> Message:
    """Of IPv6's routes by the link, those with its MTU get the new one, too: before such routes are made."""
    return Message(what="set MTU", kind=RTM_NEWLINK, flags=0, body=_link_body(index) + _mtu(mtu))


def link_hardware(index: int, mac: str) -> Message:
    body = _link_body(index) + _hardware(mac)
    return Message(what="set hardware address", kind=RTM_NEWLINK, flags=0, body=body)


def link_moved(index: int, namespace: int) -> Message:
    """To the namespace of the descriptor; it is down there."""
    body = _link_body(index) + attribute(28, struct.pack("=I", namespace))
    return Message(what="move link", kind=RTM_NEWLINK, flags=0, body=body)


def link_gone(name: str) -> Message:
    body = _link_body() + _name(name)
    gone = frozenset({errno.ENODEV})
    return Message(what=f"delete link {name}", kind=RTM_DELLINK, flags=0, body=body, tolerate=gone)


def address(index: int, text: str) -> Message:
    """A host address (/32 or /128) without duplicate detection: who has which address is decided elsewhere."""
    value = ip_address(text)
    family = socket.AF_INET if value.version == 4 else socket.AF_INET6
    body = struct.pack("=BBBBI", family, value.max_prefixlen, 0x02, 0, index)
    body += attribute(2, value.packed) + attribute(1, value.packed)
    return Message(what=f"add address {text}", kind=RTM_NEWADDR, flags=NLM_F_CREATE | NLM_F_REPLACE, body=body)


def route(
    destination: str,
    index: int,
    *,
    via: str | None = None,
    source: str | None = None,
    replace: bool = True,
    table: int = _MAIN_TABLE,
    mtu: int | None = None,
) -> Message:
    """`via` is taken as on link; it needs a permanent neighbour. Without `replace` it is EEXIST where there is one.
    `mtu`: smaller than the link's."""
    scope = _SCOPE_LINK if via is None else _SCOPE_UNIVERSE
    body = _route_body(destination, _ROUTE_UNICAST, scope, onlink=via is not None, table=table) + attribute(
        4, struct.pack("=I", index)
    )
    if via is not None:
        body += attribute(5, ip_address(via).packed)
    if source is not None:
        body += attribute(7, ip_address(source).packed)
    if mtu is not None:
        body += attribute(_RTA_METRICS, attribute(_RTAX_MTU, struct.pack("=I", mtu)))
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    return Message(what=f"add route {destination}", kind=RTM_NEWROUTE, flags=flags, body=body)


def blackhole(destination: str) -> Message:
    """Addresses nobody has are dropped silently."""
    body = _route_body(destination, _ROUTE_BLACKHOLE, _SCOPE_UNIVERSE)
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Message(what=f"add blackhole {destination}", kind=RTM_NEWROUTE, flags=flags, body=body)


def route_gone(destination: str, index: int = 0) -> Message:
    """Whatever kind of route it is; with `index` only one over that link."""
    body = _route_body(destination, 0, 255)  # 255: any scope
    body += attribute(4, struct.pack("=I", index)) if index else b""
    gone = frozenset({errno.ESRCH})
    return Message(what=f"delete route {destination}", kind=RTM_DELROUTE, flags=0, body=body, tolerate=gone)


def mark_rule(rule: MarkRule) -> Message:
    there = frozenset({errno.EEXIST})
    flags = NLM_F_CREATE | NLM_F_EXCL
    return Message(what="add routing rule", kind=RTM_NEWRULE, flags=flags, body=_rule_body(rule), tolerate=there)


def mark_rule_gone(rule: MarkRule) -> Message:
    gone = frozenset({errno.ENOENT})
    return Message(what="delete routing rule", kind=RTM_DELRULE, flags=0, body=_rule_body(rule), tolerate=gone)


def neighbour(index: int, text: str, mac: str) -> Message:
    """A permanent entry: nothing that a task sends can change it.

    Of IPv6 it is called a router: what a kernel learns of the path behind a gateway that is none (how long packets may
    be), it forgets at its next look, half a minute later at most.
    """
    value = ip_address(text)
    family, what = (socket.AF_INET, 0) if value.version == 4 else (socket.AF_INET6, _NEIGHBOUR_ROUTER)
    body = struct.pack("=BxHiHBB", family, 0, index, _NEIGHBOUR_PERMANENT, what, 0)
    body += attribute(1, value.packed) + attribute(2, _mac(mac))
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return Message(what=f"add neighbour {text}", kind=RTM_NEWNEIGH, flags=flags, body=body)


def proxy(index: int, text: str) -> Message:
    """Who asks on the link for this address is answered with the link's own hardware address."""
    body = _proxy_body(index, text)
    return Message(what=f"answer for {text}", kind=RTM_NEWNEIGH, flags=NLM_F_CREATE, body=body)


def proxy_gone(index: int, text: str) -> Message:
    gone = frozenset({errno.ENOENT, errno.ENODEV})
    body = _proxy_body(index, text)
    return Message(what=f"answer no more for {text}", kind=RTM_DELNEIGH, flags=0, body=body, tolerate=gone)


def proxied(links: Netlink) -> list[tuple[int, str]]:
    """(link, address of either family) that is answered for there."""
    found = []
    for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        body = struct.pack("=BxHiHBB", family, 0, 0, 0, _NEIGHBOUR_PROXY, 0)
        for answer in links.ask(RTM_GETNEIGH, body, dump=True, what="list what is answered for"):
            there, flags = struct.unpack_from("=iHB", answer, 4)[::2]
            facts = dict(attributes(answer[12:]))
            if answer[0] == family and flags & _NEIGHBOUR_PROXY and len(facts.get(1, b"")) == size:
                found.append((there, str(ip_address(facts[1]))))
    return found


def _proxy_body(index: int, text: str) -> bytes:
    value = ip_address(text)
    header = struct.pack("=BxHiHBB", _family(value.version), 0, index, 0, _NEIGHBOUR_PROXY, 0)
    return header + attribute(1, value.packed)


def address_gone(index: int, text: str) -> Message:
    value = ip_address(text)
    body = struct.pack("=BBBBI", _family(value.version), value.max_prefixlen, 0, 0, index) + attribute(2, value.packed)
    gone = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})
    return Message(what=f"delete address {text}", kind=RTM_DELADDR, flags=0, body=body, tolerate=gone)


def neighbour_gone(index: int, text: str) -> Message:
    value = ip_address(text)
    family = socket.AF_INET if value.version == 4 else socket.AF_INET6
    body = struct.pack("=BxHiHBB", family, 0, index, 0, 0, 0) + attribute(1, value.packed)
    gone = frozenset({errno.ENOENT, errno.ENODEV})
    return Message(what=f"delete neighbour {text}", kind=RTM_DELNEIGH, flags=0, body=body, tolerate=gone)


def attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type without flags, payload) of each attribute; ends at the first malformed one."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def _packed(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    padding = b"\0" * (-len(body) % 4)
    return _HEADER.pack(16 + len(body), kind, flags, sequence, 0) + body + padding


def _link_body(index: int = 0, *, flags: int = 0, change: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, change)


def _route_body(destination: str, kind: int, scope: int, *, onlink: bool = False, table: int = _MAIN_TABLE) -> bytes:
    network = ip_network(destination)
    short, protocol_static = table if table < 256 else _LARGE_TABLE, 4
    header = (_family(network.version), network.prefixlen, 0, 0, short, protocol_static, scope, kind)
    packed = struct.pack("=BBBBBBBBI", *header, 4 if onlink else 0)
    packed += attribute(15, struct.pack("=I", table)) if short == _LARGE_TABLE else b""
    return packed + (attribute(1, network.network_address.packed) if network.prefixlen else b"")


def _rule_body(rule: MarkRule) -> bytes:
    to_table = 1
    body = _RULE.pack(_family(rule.version), 0, 0, 0, _LARGE_TABLE, 0, 0, to_table, 0)
    numbers = ((6, rule.preference), (10, rule.mark), (16, 0xFFFF_FFFF), (15, rule.table))
    return body + b"".join(attribute(kind, struct.pack("=I", number)) for kind, number in numbers)


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _name(name: str) -> bytes:
    return attribute(3, name.encode() + b"\0")


def _hardware(mac: str) -> bytes:
    return attribute(1, _mac(mac))


def _mtu(mtu: int) -> bytes:
    return attribute(4, struct.pack("=I", mtu))


def _mac(text: str) -> bytes:
    packed = bytes.fromhex(text.replace(":", ""))
    if len(packed) != 6:
        raise ValueError(f"{text} is no MAC address")
    return packed


def _parse_link(payload: bytes) -> Link:
    index = struct.unpack_from("=i", payload, 4)[0]
    found = dict(attributes(payload[16:]))
    counters = found.get(23, bytes(64))
    return Link(
        index=index,
        name=found.get(3, b"").rstrip(b"\0").decode("ascii", "replace"),
        stats=struct.unpack_from("=8Q", counters),
    )
