"""What neighbours are told unasked: each frame to the byte, and how much of it."""

import struct
from ipaddress import IPv6Address

from neargate.uplink.heralds import HERALDED_MAX, TIMES, due, frame

MAC = bytes.fromhex("0a0000000f01")


def test_a_gratuitous_arp_is_a_question_and_then_an_answer() -> None:
    asked, answered = frame(MAC, "192.0.2.7", 0), frame(MAC, "192.0.2.7", 1)
    address = "c0000207"
    assert asked.hex() == f"ffffffffffff0a0000000f01{'0806'}0001080006040001{MAC.hex()}{address}{'00' * 6}{address}"
    assert answered.hex() == f"ffffffffffff0a0000000f01{'0806'}0001080006040002{MAC.hex()}{address}{MAC.hex()}{address}"


def test_an_advertisement_takes_the_place_of_what_is_known() -> None:
    made = frame(MAC, "2001:db8::7", 0)
    assert made[:14].hex() == f"333300000001{MAC.hex()}86dd"
    version, length, following, hops = struct.unpack("!IHBB", made[14:22])
    assert (version >> 28, length, following, hops) == (6, 32, 58, 255)
    source, destination, body = made[22:38], made[38:54], made[54:]
    assert (IPv6Address(source), IPv6Address(destination)) == (IPv6Address("2001:db8::7"), IPv6Address("ff02::1"))
    assert len(body) == 32 and body[:2] == b"\x88\x00" and body[4:8] == b"\x20\0\0\0"
    assert body[8:24] == IPv6Address("2001:db8::7").packed and body[24:] == b"\x02\x01" + MAC
    words = struct.unpack("!36H", source + destination + struct.pack("!I3xB", 32, 58) + body)
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF, "the checksum"


def test_what_is_told_at_once_is_bounded_and_new_ones_come_first() -> None:
    wanted = {("lan0", f"10.0.{n // 256}.{n % 256}") for n in range(1000)}
    told: dict[tuple[str, str], int] = {}
    looks = 0
    while found := due(wanted, told):
        assert len(found) <= HERALDED_MAX
        assert len({told.get(entry, 0) for entry in found}) <= 2
        told |= {entry: told.get(entry, 0) + 1 for entry in found}
        looks += 1
    assert looks == -(-1000 * TIMES // HERALDED_MAX) and set(told.values()) == {TIMES}
    assert due([("lan0", "10.9.9.9"), *wanted], told) == [("lan0", "10.9.9.9")]
