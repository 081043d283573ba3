"""Packets that a task makes by hand, with the raw sockets that every task has: none gets further than an honest one.

One network for all tests; in it one VPC, with the same addresses as every lab's.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

from neargate.hostnet.edge import EDGE_HOP, EDGE_HOP_IPV6, ROUTER_HOP, ROUTER_HOP_IPV6
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.network import ENI_MAC_GATEWAY, SecurityGroup
from neargate.testing.netlab import NetLab, eni, entered, plan, rule, socket_in

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
SHUT = SecurityGroup(group_id="sg-0shut", ingress=(), egress=OUT)
MUTE = SecurityGroup(group_id="sg-0mute", ingress=(), egress=())
A, B, C = "172.31.1.1", "172.31.1.2", "172.31.1.3"
D = "172.31.1.4"
A6, B6, C6, D6 = "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"
HERE = "169.254.170.2"  # of every router
# The machine's and routers' own, what is nobody's, what no gateway carries.
NOT_ITS_OWN = (
    *("127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", "169.254.169.254", HERE, "169.254.170.10"),
    *("169.254.170.11", EDGE_HOP, ROUTER_HOP, "169.254.251.1", "169.254.254.5"),
    *("172.31.0.1", "172.31.9.9", "172.31.255.255", "10.0.0.1", "192.168.1.1"),
)
NOT_ITS_OWN6 = (
    *("::1", "fe80::1", "fe80::2", EDGE_HOP_IPV6, ROUTER_HOP_IPV6, "ff02::1", "ff02::2", "ff05::1"),
    *("fd00:ec2::254", "2001:db8::99"),
)
ICMP, ICMPV6, UDP, FRAGMENT = 1, 58, 17, 44
PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}
PORT = 9000
REACHED_WITHIN_S = 10.0
MORE_FRAGMENTS = 0x2000
PACKET_OUTGOING = 4


class Lab:
    """A may send nothing, B receives nothing, C and D everything; C has a public address. A task in another VPC too."""

    def __init__(self, net: NetLab) -> None:
        self.net = net
        self.tasks: dict[str, TaskNetwork] = {}

    async def open(self) -> None:
        await self.net.network.apply_vpc(plan(1, OPEN, SHUT, MUTE))
        await self.net.network.apply_vpc(plan(1, OPEN, vpc="vpc-0b"))
        for name, number, group in (("a", 1, MUTE), ("b", 2, SHUT), ("c", 3, OPEN), ("d", 4, OPEN)):
            public = self.net.public(7) if name == "c" else None
            self.tasks[name] = await self.net.attach(name, eni(number, group.group_id, ipv6=True, public=public))
        self.tasks["other"] = await self.net.attach(
            "other", eni(9, "sg-0open", vpc="vpc-0b", public=self.net.public(8))
        )

    def path(self, name: str) -> str:
        return self.tasks[name].netns_path

    def send(self, name: str, packet: bytes) -> None:
        """A whole IP packet, as a frame to the router."""
        self.send_frame(name, 0x0800 if packet[0] >> 4 == 4 else 0x86DD, packet)

    def send_frame(self, name: str, ethernet_type: int, payload: bytes) -> None:
        with socket_in(self.path(name), socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            gateway = bytes.fromhex(ENI_MAC_GATEWAY.replace(":", ""))
            raw.send(gateway + bytes.fromhex("0a0000000099") + struct.pack("!H", ethernet_type) + payload)


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


def test_of_all_that_a_task_can_make_nothing_is_seen_anywhere(run: Run) -> None:
    """To everything that is not its own to reach, from everybody else, by ways that routers used to take orders by."""

    async def scenario(lab: Lab) -> None:
        namespaces = lab.net.directory / "netns"
        places = [str(namespaces / "edge"), lab.net.router("vpc-0b"), lab.path("other"), lab.path("a"), lab.path("b")]
        with ExitStack() as stack:
            sniffers = {path: stack.enter_context(_sniffer(path)) for path in places}
            arrives = stack.enter_context(_sniffer(lab.path("d")))
            for ethernet_type, payload in hostile_frames(lab.net):
                lab.send_frame("c", ethernet_type, payload)
            for to in (D, lab.net.pool_host_address()):
                lab.send("c", ip(C, to, UDP, udp(5555, PORT, b"honest")))
            assert b"honest" in await _arrived(arrives), "the first that d sees"
            edge = sniffers.pop(places[0])
            assert b"honest" in await _arrived(edge), "the first that the edge sees"
            for path, sniffer in sniffers.items():
                assert _seen(sniffer) is None, path

    run(scenario)


def hostile_frames(net: NetLab) -> Iterator[tuple[int, bytes]]:
    """(Ethernet type, payload), from C, which may send everything and has a public address."""
    datagram = udp(5555, PORT, b"hostile")
    host, other = net.pool_host_address(), net.public(8)
    for to in NOT_ITS_OWN:
        for source in (C, A, "127.0.0.1", "0.0.0.0", host, other, net.public(7)):
            if (source, to) != (C, C):
                yield 0x0800, ip(source, to, UDP, datagram)
        yield 0x0800, ip(C, to, ICMP, icmp(C, to, 8, 0, bytes(4)))
        # An envelope with another packet in it.
        yield from ((0x0800, ip(C, to, protocol, ip(A, D, UDP, datagram))) for protocol in (4, 41, 47, 94))
    for to in NOT_ITS_OWN6:
        yield 0x86DD, ip(C6, to, UDP, datagram)
        hop_by_hop = bytes((UDP, 0, 5, 2, 0, 0, 1, 0)) + datagram  # with a router alert
        yield 0x86DD, ip(C6, to, 0, hop_by_hop)
        for kind in (0, 4):  # the old routing header and that of segments
            yield 0x86DD, ip(C6, to, 43, bytes((UDP, 2, kind, 1, 0, 0, 0, 0)) + ip_address(D6).packed + datagram)
    for source in (A6, D6, "fe80::bad", "fe80::1", "::1", "::", f"::ffff:{A}"):
        yield 0x86DD, ip(source, D6, UDP, datagram)
        for kind in (133, 134, 135, 136, 137):  # neighbour discovery, announcements of routers, redirects
            yield 0x86DD, ip(source, "ff02::1", ICMPV6, icmp(source, "ff02::1", kind, 0, bytes(36)))
    spoofed = ip(A, D, UDP, datagram)
    for tag in (0x8100, 0x88A8):
        yield tag, struct.pack("!HH", 0, 0x0800) + spoofed
        yield tag, struct.pack("!HH", 5, 0x0800) + ip(C, D, UDP, datagram)
    yield 0x8847, b"\0\0\1\x40" + ip(C, D, UDP, datagram)
    yield 0x0800, ip(C6, D6, UDP, datagram)  # one family under the other's name
    for option in (131, 137):  # source routes, loose and strict
        for via, to in ((D, host), (HERE, D), (HERE, other)):
            yield 0x0800, with_option(C, via, bytes((option, 7, 4)) + ip_address(to).packed, datagram)


def with_option(source: str, to: str, option: bytes, payload: bytes) -> bytes:
    options = option + bytes(-len(option) % 4)
    words = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, 4 * words + len(payload), 1, 0, 64, UDP, 0)
    head += ip_address(source).packed + ip_address(to).packed + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


@contextmanager
def _sniffer(netns_path: str) -> Iterator[socket.socket]:
    """Of all IPv4 and IPv6 frames of a namespace."""
    every_protocol = 3
    with entered(netns_path):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(every_protocol))
    made.setblocking(False)
    with made:
        yield made


def _seen(sniffer: socket.socket) -> bytes | None:
    """The next frame that came in, if there is one; what the namespace itself sends is not asked for."""
    try:
        while True:
            data, (_, _, kind, *_) = sniffer.recvfrom(2048)
            if kind != PACKET_OUTGOING:
                return data
    except BlockingIOError:
        return None


async def _arrived(sniffer: socket.socket) -> bytes:
    async with asyncio.timeout(REACHED_WITHIN_S):
        while True:
            data, (_, _, kind, *_) = await asyncio.get_running_loop().sock_recvfrom(sniffer, 2048)
            if kind != PACKET_OUTGOING:
                return data


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
