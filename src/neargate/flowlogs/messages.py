"""What the kernel says of flows and of dropped packets: bytes of netlink in, facts out.

Owns the two formats: ctnetlink's entries, and packets by nflog, which are a task's own bytes. Invariant: whatever the
bytes are, the answer is numbers and addresses of the right length, or None; nothing raises, nothing is text.
"""

import struct

from msgspec import Struct

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
# What the rules that log say in their prefix; see vpc/rejections.py.
EGRESS, INGRESS, INGRESS_KNOWN = "o", "i", "I"
EGRESS_OVER, INGRESS_OVER = "x", "y"
_PREFIXES = {prefix.encode(): prefix for prefix in (EGRESS, INGRESS, INGRESS_KNOWN, EGRESS_OVER, INGRESS_OVER)}
_WITH_PORTS = frozenset({TCP, UDP, 33, 132, 136})  # and DCCP, SCTP, UDP-Lite, whose ports are at the same place
_HEADER = struct.Struct("=HH")
_EXTENSIONS = frozenset({0, 43, 60})  # of IPv6, that say their length in the same way
_EXTENSIONS_MAX = 8
_FRAGMENT = 44
_FLAGS = 0x07  # FIN, SYN, RST: those that flow logs know
_ACK, _SYN = 0x10, 0x02


class Ends(Struct, frozen=True):
    """Addresses packed, 4 or 16 bytes; ports 0 where the protocol has none."""

    source: bytes
    destination: bytes
    source_port: int
    destination_port: int


class Counts(Struct, frozen=True):
    """Of the direction in which the flow began, and of the other."""

    packets: int
    bytes: int
    packets_back: int
    bytes_back: int


class Flow(Struct, frozen=True, kw_only=True):
    """A connection the kernel knows or knew. `sent`: its first packet as it came to the router; `received`: as it left,
    after translation. Times: epoch nanoseconds, 0 where the kernel says none."""

    key: bytes
    protocol: int
    sent: Ends
    received: Ends
    counts: Counts
    mark: int
    started_ns: int
    stopped_ns: int


class Rejection(Struct, frozen=True, kw_only=True):
    """A packet that a rule dropped. `size`: of the whole IP packet. `flags`: of TCP, as flow logs have them."""

    prefix: str
    protocol: int
    ends: Ends
    size: int
    flags: int
    mark: int


def flow(body: bytes) -> Flow | None:
    """Of a message's payload; None for one without counters: it began before anything was counted."""
    facts = _attributes(body, 4)
    original, reply = _tuple(facts.get(1, b"")), _tuple(facts.get(2, b""))
    if original is None or reply is None or 9 not in facts or 10 not in facts:
        return None
    sent, answered = original[1], reply[1]
    forward, back = _counters(facts[9]), _counters(facts[10])
    times = _attributes(facts.get(20, b""))
    return Flow(
        key=facts.get(12, b"") + facts[1],
        protocol=original[0],
        sent=sent,
        received=Ends(answered.destination, answered.source, answered.destination_port, answered.source_port),
        counts=Counts(*forward, *back),
        mark=int.from_bytes(facts.get(8, b"")[:4], "big"),
        started_ns=int.from_bytes(times.get(1, b"")[:8], "big"),
        stopped_ns=int.from_bytes(times.get(2, b"")[:8], "big"),
    )


def rejection(body: bytes) -> Rejection | None:
    facts = _attributes(body, 4)
    prefix = _PREFIXES.get(facts.get(10, b"").rstrip(b"\0"))
    packet = facts.get(9, b"")
    if prefix is None or not packet:
        return None
    read = _ipv4(packet) if packet[0] >> 4 == 4 else _ipv6(packet) if packet[0] >> 4 == 6 else None
    if read is None:
        return None
    protocol, source, destination, size, rest = read
    ports = (0, 0)
    if protocol in _WITH_PORTS and len(rest) >= 4:
        ports = struct.unpack_from("!HH", rest)
    return Rejection(
        prefix=prefix,
        protocol=protocol,
        ends=Ends(source, destination, *ports),
        size=size,
        flags=tcp_flags(rest[13]) if protocol == TCP and len(rest) >= 14 else 0,
        mark=int.from_bytes(facts.get(2, b"")[:4], "big"),
    )


def tcp_flags(raw: int) -> int:
    """Of a header's flags those that flow logs have; ACK only together with SYN."""
    known = raw & _FLAGS
    return known | _ACK if raw & (_SYN | _ACK) == _SYN | _ACK else known


def _attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """By type, without flags; ends at the first malformed one."""
    found: dict[int, bytes] = {}
    offset, end = start, len(data)
    while offset + 4 <= end:
        length, kind = _HEADER.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def _tuple(side: bytes) -> tuple[int, Ends] | None:
    parts = _attributes(side)
    addresses, protocol = _attributes(parts.get(1, b"")), _attributes(parts.get(2, b""))
    if len(addresses.get(1, b"")) == 4 == len(addresses.get(2, b"")):
        source, destination = addresses[1], addresses[2]
    elif len(addresses.get(3, b"")) == 16 == len(addresses.get(4, b"")):
        source, destination = addresses[3], addresses[4]
    else:
        return None
    number = int.from_bytes(protocol.get(1, b"")[:1], "big")
    ports = (int.from_bytes(protocol.get(kind, b"")[:2], "big") for kind in (2, 3))
    return number, Ends(source, destination, *ports)


def _counters(data: bytes) -> tuple[int, int]:
    found = _attributes(data)
    return int.from_bytes(found.get(1, b"")[:8], "big"), int.from_bytes(found.get(2, b"")[:8], "big")


def _ipv4(packet: bytes) -> tuple[int, bytes, bytes, int, bytes] | None:
    """(protocol, source, destination, size, what follows the header; nothing in a later fragment)."""
    header = (packet[0] & 15) * 4
    if len(packet) < 20 or header < 20:
        return None
    is_first = int.from_bytes(packet[6:8], "big") & 0x1FFF == 0
    size = int.from_bytes(packet[2:4], "big")
    return packet[9], packet[12:16], packet[16:20], size, packet[header:] if is_first else b""


def _ipv6(packet: bytes) -> tuple[int, bytes, bytes, int, bytes] | None:
    if len(packet) < 40:
        return None
    protocol, rest = _after_extensions(packet[6], packet[40:])
    return protocol, packet[8:24], packet[24:40], 40 + int.from_bytes(packet[4:6], "big"), rest


def _after_extensions(protocol: int, rest: bytes) -> tuple[int, bytes]:
    """What cannot be read ends the way through the headers."""
    for _ in range(_EXTENSIONS_MAX):
        if len(rest) < 8 or protocol not in _EXTENSIONS | {_FRAGMENT}:
            break
        if protocol == _FRAGMENT:
            is_first = int.from_bytes(rest[2:4], "big") & 0xFFF8 == 0
            protocol, rest = rest[0], rest[8:] if is_first else b""
        else:
            protocol, rest = rest[0], rest[(rest[1] + 1) * 8 :]
    return protocol, rest
