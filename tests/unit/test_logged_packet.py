"""What is read of a packet that a rule shows: forged bytes are read as far as they go, and never raise."""

import random
import struct
from ipaddress import ip_address

import pytest

from neargate.hostnet.netlink import attribute
from neargate.hostnet.nflog import parsed
from neargate.model.logged_packet import TCP, UDP, LoggedPacket, read_packet

A, B, A6, B6 = "198.18.7.5", "203.0.113.2", "2001:db8::1", "2001:db8::2"


def ipv4(protocol: int, carried: bytes, *, fragment: int = 0, options: bytes = b"") -> bytes:
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, words * 4 + len(carried), 1, fragment, 64, protocol, 0)
    return head + ip_address(A).packed + ip_address(B).packed + options + carried


def ipv6(following: int, carried: bytes) -> bytes:
    head = struct.pack("!IHBB", 0x6000_0000, len(carried), following, 64)
    return head + ip_address(A6).packed + ip_address(B6).packed + carried


def udp(source: int, destination: int) -> bytes:
    return struct.pack("!HHHH", source, destination, 8, 0)


def tcp(source: int, destination: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source, destination, 1, 0, 0x50, flags, 100, 0, 0)


def test_ends_ports_and_length() -> None:
    read = read_packet(ipv4(TCP, tcp(1234, 80, 2), options=bytes(8)), mark=7, in_link=3, out_link=4, prefix="x")
    assert read == LoggedPacket(
        prefix="x",
        mark=7,
        in_link=3,
        out_link=4,
        source=A,
        destination=B,
        protocol=TCP,
        source_port=1234,
        destination_port=80,
        tcp_flags=2,
        length=48,
    )


def test_a_segment_that_is_longer_than_its_header_can_say_is_as_long_as_that_at_least() -> None:
    whole = ipv4(TCP, tcp(1234, 80, 16))
    read = read_packet(whole[:2] + bytes(2) + whole[4:])
    assert (read.length, read.destination_port) == (65536, 80)


@pytest.mark.parametrize(
    ("packet", "protocol", "ports"),
    [
        (ipv4(UDP, udp(5, 4789)), UDP, (5, 4789)),
        (ipv4(UDP, udp(5, 4789), fragment=2), UDP, (0, 0)),
        (ipv4(UDP, udp(5, 4789), fragment=0x2000), UDP, (5, 4789)),
        (ipv4(47, bytes(8)), 47, (0, 0)),
        (ipv4(1, bytes((8, 0, 1, 2))), 1, (0, 0)),
        (ipv6(UDP, udp(5, 53)), UDP, (5, 53)),
        (ipv6(0, bytes((60, 0)) + bytes(6) + bytes((UDP, 1)) + bytes(14) + udp(5, 53)), UDP, (5, 53)),
        (ipv6(44, struct.pack("!BBHI", UDP, 0, 1, 9) + udp(5, 53)), UDP, (5, 53)),
        (ipv6(44, struct.pack("!BBHI", UDP, 0, 2 << 3, 9) + udp(5, 53)), UDP, (0, 0)),
    ],
)
def test_what_a_packet_carries(packet: bytes, protocol: int, ports: tuple[int, int]) -> None:
    read = read_packet(packet)
    assert (read.protocol, (read.source_port, read.destination_port)) == (protocol, ports)
    assert read.length == len(packet)


def test_forged_bytes_are_read_as_far_as_they_go() -> None:
    dice = random.Random(5)
    for _ in range(2000):
        data = dice.randbytes(dice.randrange(0, 90))
        data = (
            bytes(
                (dice.choice((0x45, 0x60, 0x40, 0x4F, 0))),
            )
            + data
        )
        read_packet(data)
        parsed(data)
    assert read_packet(b"") == LoggedPacket()


def test_several_packets_of_one_datagram() -> None:
    def message(kind: int, body: bytes) -> bytes:
        whole = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
        return whole + b"\0" * (-len(whole) % 4)

    body = struct.pack("!BBH", 2, 0, 43)
    body += attribute(4, struct.pack("!I", 6)) + attribute(5, struct.pack("!I", 7)) + attribute(10, b"edge\0")
    packets = [attribute(9, ipv4(UDP, udp(port, 53))) for port in (1, 2)]
    done = message(3, bytes(4))
    found = parsed(message(0x400, body + packets[0]) + message(0x400, body + packets[1]) + done)
    assert [(one.source_port, one.in_link, one.out_link, one.prefix) for one in found] == [
        (1, 6, 7, "edge"),
        (2, 6, 7, "edge"),
    ]
