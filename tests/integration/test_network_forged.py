"""Packets that a task makes by hand, with the raw sockets that every task has: none gets further than an honest one.

One network for all tests; in it one VPC, with the same addresses as every lab's.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.network import ENI_MAC_GATEWAY, SecurityGroup
from neargate.testing.netlab import NetLab, eni, plan, rule, socket_in

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
SHUT = SecurityGroup(group_id="sg-0shut", ingress=(), egress=OUT)
MUTE = SecurityGroup(group_id="sg-0mute", ingress=(), egress=())
A, B, C = "172.31.1.1", "172.31.1.2", "172.31.1.3"
A6, B6, C6 = "2001:db8::1", "2001:db8::2", "2001:db8::3"
ICMP, ICMPV6, UDP, FRAGMENT = 1, 58, 17, 44
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
PORT = 9000
REACHED_WITHIN_S = 10.0
MORE_FRAGMENTS = 0x2000


class Lab:
    """A may send nothing, B receives nothing, C everything."""

    def __init__(self, net: NetLab) -> None:
        self.net = net
        self.tasks: dict[str, TaskNetwork] = {}

    async def open(self) -> None:
        await self.net.network.apply_vpc(plan(1, OPEN, SHUT, MUTE))
        for name, number, group in (("a", 1, MUTE), ("b", 2, SHUT), ("c", 3, OPEN)):
            self.tasks[name] = await self.net.attach(name, eni(number, group.group_id, ipv6=True))

    def path(self, name: str) -> str:
        return self.tasks[name].netns_path

    def send(self, name: str, packet: bytes) -> None:
        """A whole IP packet, as a frame to the router."""
        ethernet_type = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        own = f"0a0000000{'abc'.index(name):01x}"
        with socket_in(self.path(name), socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            gateway = bytes.fromhex(ENI_MAC_GATEWAY.replace(":", ""))
            raw.send(gateway + bytes.fromhex(own.ljust(12, "0")) + struct.pack("!H", ethernet_type) + packet)


Run = Callable[[Callable[[Lab], Coroutine[Any, Any, None]]], None]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with asyncio.Runner() as runner:
        net = runner.run(NetLab.open(tmp_path_factory.mktemp("forged") / "run"))
        try:
            lab = Lab(net)
            runner.run(lab.open())
            yield lambda scenario: runner.run(scenario(lab))
        finally:
            runner.run(net.close())


@pytest.mark.parametrize(("a", "b", "c"), [(A, B, C), (A6, B6, C6)], ids=["IPv4", "IPv6"])
def test_an_error_about_others_flow_is_not_delivered(run: Run, a: str, b: str, c: str) -> None:
    """The kernel calls it related to the flow of B and C. A, which may send nothing, has no part in that."""

    async def scenario(lab: Lab) -> None:
        version = ip_address(a).version
        family, protocol = (socket.AF_INET, ICMP) if version == 4 else (socket.AF_INET6, ICMPV6)
        with (
            socket_in(lab.path("b"), family, socket.SOCK_RAW, protocol) as hears,
            socket_in(lab.path("b"), family, socket.SOCK_DGRAM) as client,
            socket_in(lab.path("c"), family, socket.SOCK_DGRAM) as server,
        ):
            server.bind((c, PORT))
            client.connect((c, PORT))
            client.send(b"x")
            await _received(server)
            inner = ip(b, c, UDP, udp(client.getsockname()[1], PORT, b"forged"))
            lab.send("a", ip(a, b, protocol, icmp(a, b, *PORT_UNREACHABLE[version], bytes(4) + inner)))
            server.close()
            try:
                client.send(b"nobody listens")
            except ConnectionRefusedError:  # the forged one said so
                client.send(b"nobody listens")
            # In order: had the forged one passed, it would come first. C's own error is an honest one.
            while True:
                _, source = await _received_from(hears)
                if version == 4 or not ip_address(source).is_link_local:
                    break
            assert source == c

    run(scenario)


@pytest.mark.parametrize(("b", "c"), [(B, C), (B6, C6)], ids=["IPv4", "IPv6"])
def test_a_fragment_of_somebody_else_is_not_put_into_a_senders_datagram(run: Run, b: str, c: str) -> None:
    """A router puts datagrams together before any rule sees them, by addresses and a number of 16 bits alone."""

    async def scenario(lab: Lab) -> None:
        family = socket.AF_INET if ip_address(b).version == 4 else socket.AF_INET6
        with socket_in(lab.path("c"), family, socket.SOCK_DGRAM) as server:
            server.bind((c, PORT))
            datagram = udp(40_000, PORT, b"honest--" * 2)
            check = checksum(pseudo_header(b, c, UDP, datagram) + datagram)
            datagram = datagram[:6] + struct.pack("!H", check) + datagram[8:]
            first, second = fragments(b, c, datagram)
            # The checksum is the same: of the same words in another order.
            _, forged = fragments(b, c, datagram[:16] + b"st--hone")
            lab.send("a", forged)
            lab.send("b", first)
            lab.send("b", second)
            assert await _received(server) == b"honest--" * 2

    run(scenario)


def fragments(source: str, to: str, datagram: bytes, number: int = 77) -> tuple[bytes, bytes]:
    """Cut after 16 bytes."""
    if ":" not in to:
        first = ip(source, to, UDP, datagram[:16], number=number, fragment=MORE_FRAGMENTS)
        return first, ip(source, to, UDP, datagram[16:], number=number, fragment=2)
    heads = (struct.pack("!BBHI", UDP, 0, part, number) for part in (1, 2 << 3))
    one, other = (head + data for head, data in zip(heads, (datagram[:16], datagram[16:]), strict=True))
    return ip(source, to, FRAGMENT, one), ip(source, to, FRAGMENT, other)


def ip(source: str, to: str, protocol: int, payload: bytes, *, number: int = 1, fragment: int = 0) -> bytes:
    """`fragment`: IPv4's field of that name. An IPv6 packet has no extension headers."""
    one, other = ip_address(source).packed, ip_address(to).packed
    if len(one) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + one + other + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), number, fragment, 64, protocol, 0) + one + other
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source_port: int, port: int, data: bytes) -> bytes:
    """Without checksum, which is inside of errors only, or IPv4's."""
    return struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data


def icmp(source: str, to: str, kind: int, code: int, rest: bytes) -> bytes:
    message = struct.pack("!BBH", kind, code, 0) + rest
    pseudo = pseudo_header(source, to, ICMPV6, message) if ":" in to else b""
    return struct.pack("!BBH", kind, code, checksum(pseudo + message)) + rest


def pseudo_header(source: str, to: str, protocol: int, message: bytes) -> bytes:
    """As IPv6 has it; for IPv4 the sum is the same."""
    return ip_address(source).packed + ip_address(to).packed + struct.pack("!II", len(message), protocol)


def checksum(data: bytes) -> int:
    padded = data + bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


async def _received(server: socket.socket) -> bytes:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(server, 2048), REACHED_WITHIN_S)


async def _received_from(server: socket.socket) -> tuple[bytes, str]:
    loop = asyncio.get_running_loop()
    data, source = await asyncio.wait_for(loop.sock_recvfrom(server, 2048), REACHED_WITHIN_S)
    return data, str(source[0])
