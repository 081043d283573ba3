"""Packets of the interpreter as bytes on a link, and back, so that the kernel can be asked the same question.

Each carries a number of the sender's, by which it is known again whatever was translated on its way. Knows no sockets.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from .packets import TCP, UDP, Packet

_MAGIC = b"asks"
_SYN, _ACK = 0x02, 0x10
_IPV4, _IPV6 = 0x0800, 0x86DD


class Seen(Struct, frozen=True, kw_only=True):
    packet: Packet
    number: int


def frame(packet: Packet, number: int, *, source_mac: bytes, to_mac: bytes) -> bytes:
    """An Ethernet frame. The packet inside of an ICMP error has the number."""
    kind = _IPV4 if packet.version == 4 else _IPV6
    return to_mac + source_mac + struct.pack("!H", kind) + _internet(packet, number)


def seen(data: bytes) -> Seen | None:
    """From a frame; None for what this file did not make."""
    kind = struct.unpack_from("!H", data, 12)[0]
    return _read(data[14:]) if kind in (_IPV4, _IPV6) else None


def _internet(packet: Packet, number: int) -> bytes:
    if packet.version == 4:
        source, to = IPv4Address(packet.source).packed, IPv4Address(packet.to).packed
    else:
        source, to = IPv6Address(packet.source).packed, IPv6Address(packet.to).packed
    body = _transport(packet, number, source + to)
    if packet.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), packet.protocol, 64) + source + to + body
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 1, 0, 64, packet.protocol, 0, source, to)
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _transport(packet: Packet, number: int, ends: bytes) -> bytes:
    rest = _MAGIC + struct.pack("!I", number)
    if packet.protocol == TCP:
        flags = _SYN | (_ACK if packet.is_answer else 0)
        head = struct.pack("!HHIIBBHHH", packet.source_port, packet.port, 1, 1, 0x50, flags, 1024, 0, 0)
        return _summed(head + rest, 16, packet, ends)
    if packet.protocol == UDP:
        return _summed(struct.pack("!HHHH", packet.source_port, packet.port, 8 + len(rest), 0) + rest, 6, packet, ends)
    if packet.is_icmp:
        if packet.about is not None:
            rest = bytes(4) + _internet(packet.about, number)
        else:
            rest = struct.pack("!HH", packet.icmp_id, 1) + rest
        head = struct.pack("!BBH", packet.icmp_type, packet.icmp_code, 0)
        return _summed(head + rest, 2, packet, ends)
    return bytes(4) + rest


def _summed(body: bytes, at: int, packet: Packet, ends: bytes) -> bytes:
    pseudo = b"" if packet.is_icmp and packet.version == 4 else ends + struct.pack("!II", len(body), packet.protocol)
    return body[:at] + struct.pack("!H", _checksum(pseudo + body)) + body[at + 2 :]


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def _read(data: bytes) -> Seen | None:
    version = data[0] >> 4
    if version == 4:
        protocol, source, to, body = data[9], data[12:16], data[16:20], data[4 * (data[0] & 15) :]
    else:
        protocol, source, to, body = data[6], data[8:24], data[24:40], data[40:]
    plain = Packet(version=version, source=int.from_bytes(source), to=int.from_bytes(to), protocol=protocol)
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    if protocol in (TCP, UDP):
        fields["source_port"], fields["port"] = struct.unpack_from("!HH", body)
        fields["is_answer"] = protocol == TCP and bool(body[13] & _ACK)
        rest = body[20 if protocol == TCP else 8 :]
    elif plain.is_icmp:
        fields["icmp_type"], fields["icmp_code"] = body[0], body[1]
        inner = _read(body[8:]) if len(body) >= 28 and body[8] >> 4 == version else None
        if inner is not None:
            return Seen(packet=Packet(**fields | {"about": inner.packet}), number=inner.number)
        fields["icmp_id"] = struct.unpack_from("!H", body, 4)[0]
        rest = body[8:]
    else:
        rest = body[4:]
    if rest[:4] != _MAGIC:
        return None
    return Seen(packet=Packet(**fields), number=struct.unpack_from("!I", rest, 4)[0])
