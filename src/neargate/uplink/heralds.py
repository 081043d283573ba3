"""What a host tells its neighbours, unasked, when an address comes to it: gratuitous ARP, unsolicited advertisements of
IPv6. Frames, and which of them are due. Pure.

Invariant: however many addresses come at once, a look sends a bounded number; an address is told of twice, the second
time for those who missed the first or take only the other form of ARP.
"""

import struct
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

HERALDED_MAX = 64  # frames of one look; the rest comes with the next
TIMES = 2
Entry = tuple[str, str]  # link, address
_ARP, _IPV6, _ICMPV6 = 0x0806, 0x86DD, 58
_REQUEST, _REPLY, _ADVERTISEMENT = 1, 2, 136
_EVERYBODY, _ALL_NODES_MAC, _ALL_NODES = b"\xff" * 6, b"\x33\x33\0\0\0\x01", IPv6Address("ff02::1").packed
_OVERRIDE = 0x2000_0000


def due(wanted: Collection[Entry], told: Mapping[Entry, int]) -> list[Entry]:
    """Those that come next, new ones first. `told`: how often each was."""
    owed = [entry for entry in wanted if told.get(entry, 0) < TIMES]
    return sorted(owed, key=lambda entry: (told.get(entry, 0), entry))[:HERALDED_MAX]


def frame(mac: bytes, address: str, turn: int) -> bytes:
    """Of Ethernet: `address` is at `mac` now. `turn`: how often that was told before."""
    value = ip_address(address)
    if isinstance(value, IPv4Address):
        return _arp(mac, value, _REPLY if turn % 2 else _REQUEST)
    return _advertisement(mac, value)


def _arp(mac: bytes, address: IPv4Address, operation: int) -> bytes:
    """Both ends are the address. An answer names its own hardware address as the asker's, else it is none to itself."""
    asker = mac if operation == _REPLY else bytes(6)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + mac + address.packed + asker + address.packed
    return _EVERYBODY + mac + struct.pack("!H", _ARP) + body


def _advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """From the address itself; takes the place of what neighbours know (override)."""
    body = struct.pack("!BBHI", _ADVERTISEMENT, 0, 0, _OVERRIDE) + address.packed + b"\x02\x01" + mac
    pseudo = address.packed + _ALL_NODES + struct.pack("!I3xB", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + address.packed + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack("!H", _IPV6) + header + body


def _checksum(data: bytes) -> int:
    """Of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
