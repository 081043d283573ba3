"""A packet as a rule's `log group` shows it to a program: headers alone, read from its first bytes. Pure.

Knows nothing of sockets, nor of what the packet did. Every byte may have been forged: what cannot be read is zero or
empty, never an error.
"""

from ipaddress import ip_address

from msgspec import Struct

TCP, UDP, SCTP, UDPLITE = 6, 17, 132, 136
_WITH_PORTS = frozenset({TCP, UDP, SCTP, UDPLITE})
_FRAGMENT = 44
_EXTENSIONS = frozenset({0, 43, _FRAGMENT, 60})  # IPv6's headers before the one that says what it carries
_EXTENSIONS_MAX = 8
HEADER_BYTES = 128  # enough of a packet to read them
_LENGTH_UNSAID = 1 << 16  # the least that it can be


class LoggedPacket(Struct, frozen=True, kw_only=True):
    """`in_link`, `out_link`: indexes, 0 for none. `length`: bytes of the whole packet, as its header says;
    65536 where it is longer than that can be.

    Ports are 0 for protocols without any, and for a fragment that is not the first.
    """

    prefix: str = ""
    mark: int = 0
    in_link: int = 0
    out_link: int = 0
    source: str = ""
    destination: str = ""
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    tcp_flags: int = 0
    length: int = 0


def read_packet(data: bytes, *, prefix: str = "", mark: int = 0, in_link: int = 0, out_link: int = 0) -> LoggedPacket:
    """`data`: what begins with an IP header."""
    version = data[0] >> 4 if data else 0
    ends, length, protocol, carried = (b"", b""), len(data), 0, b""
    if version == 4 and len(data) >= 20:
        ends, protocol = (data[12:16], data[16:20]), data[9]
        # Of what the kernel passes on whole and the field cannot say, it says nothing.
        length = int.from_bytes(data[2:4], "big") or _LENGTH_UNSAID
        is_later = int.from_bytes(data[6:8], "big") & 0x1FFF != 0
        carried = b"" if is_later else data[max((data[0] & 15) * 4, 20) :]
    elif version == 6 and len(data) >= 40:
        ends, length = (data[8:24], data[24:40]), 40 + int.from_bytes(data[4:6], "big")
        protocol, carried = _past_extensions(data)
    ports = carried[:4] if protocol in _WITH_PORTS and len(carried) >= 4 else bytes(4)
    return LoggedPacket(
        prefix=prefix,
        mark=mark,
        in_link=in_link,
        out_link=out_link,
        source=str(ip_address(ends[0])) if ends[0] else "",
        destination=str(ip_address(ends[1])) if ends[1] else "",
        protocol=protocol,
        source_port=int.from_bytes(ports[:2], "big"),
        destination_port=int.from_bytes(ports[2:], "big"),
        tcp_flags=carried[13] if protocol == TCP and len(carried) > 13 else 0,
        length=length,
    )


def _past_extensions(data: bytes) -> tuple[int, bytes]:
    """What an IPv6 packet carries, and its bytes; none of a fragment that is not the first."""
    following, offset = data[6], 40
    for _ in range(_EXTENSIONS_MAX):
        if following not in _EXTENSIONS or len(data) < offset + 8:
            break
        if following == _FRAGMENT and int.from_bytes(data[offset + 2 : offset + 4], "big") & 0xFFF8:
            return data[offset], b""
        size = 8 if following == _FRAGMENT else (data[offset + 1] + 1) * 8
        following, offset = data[offset], offset + size
    return following, data[offset:]
