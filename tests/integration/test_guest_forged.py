"""Frames that a guest makes by hand, past its kernel: none gets where an honest one would not, nor is it the agent's.

And errors about packets, which reach whoever sent the packet: guest or agent.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from neargate.hostnet.namespaces import write_sysctl
from neargate.hostnet.netlink import Netlink, link_mtu
from neargate.hostnet.router import interface_name
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.network import AGENT_PORTS, ENI_MAC_GATEWAY, SecurityGroup
from neargate.testing.guest_stack import GuestStack
from neargate.testing.netlab import REACHED_WITHIN_S, NetLab, connect, eni, entered, listener_in, plan, rule, socket_in
from neargate.world import within

from .own_network import Run
from .test_network_forged import (
    FRAGMENT,
    ICMP,
    ICMPV6,
    MORE_FRAGMENTS,
    PORT,
    UDP,
    checksum,
    fragments,
    icmp,
    ip,
    pseudo_header,
    udp,
    with_option,
)

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
A, B, A6, B6 = "172.31.1.1", "172.31.1.2", "2001:db8::1", "2001:db8::2"
FIRST, LAST = AGENT_PORTS
MAC = eni(1).mac
TCP, DESTINATION_OPTIONS, SCTP = 6, 60, 132
IP, IP6 = 0x0800, 0x86DD
# Not among the socket module's names.
IP_MTU, IPV6_MTU, SO_ATTACH_FILTER = 14, 24, 26
PACKET_OUTGOING = 4
NARROW = 1400


def frame(kind: int, payload: bytes, *, to: str = ENI_MAC_GATEWAY, source: str = MAC) -> bytes:
    return bytes.fromhex((to + source).replace(":", "")) + struct.pack("!H", kind) + payload


def hostile_frames() -> Iterator[tuple[str, bytes]]:
    datagram = udp(5555, PORT, b"hostile")
    honest = ip(A, B, UDP, datagram)
    yield "of another", frame(IP, honest, source="0a:00:00:00:00:02")
    yield "as the gateway", frame(IP, honest, source=ENI_MAC_GATEWAY)
    for to in ("ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", MAC, "0a:00:00:00:00:02"):
        yield f"to {to}", frame(IP, honest, to=to)
    asked = struct.pack("!HHBBH", 1, IP, 6, 4, 1) + bytes.fromhex(MAC.replace(":", ""))
    yield "ARP", frame(0x0806, asked + ip_address(A).packed + bytes(6) + ip_address(B).packed)
    for tag in (0x8100, 0x88A8):
        for number in (0, 5):
            yield "tagged", frame(tag, struct.pack("!HH", number, IP) + honest)
    yield "MPLS", frame(0x8847, b"\0\0\1\x40" + honest)
    yield "IPv6 as IPv4", frame(IP, ip(A6, B6, UDP, datagram))
    yield "IPv4 as IPv6", frame(IP6, honest)
    yield "cut short", frame(IP, honest[:19])
    yield from hostile_ports()
    yield from hostile_errors()


def hostile_ports() -> Iterator[tuple[str, bytes]]:
    """As if they were the agent's, whatever is put in front of the port."""
    for port in (FIRST, LAST):
        datagram = udp(port, PORT, b"hostile")
        for protocol in (UDP, TCP):
            yield "the agent's port", frame(IP, ip(A, B, protocol, datagram + bytes(12)))
            yield "the agent's port", frame(IP6, ip(A6, B6, protocol, datagram + bytes(12)))
        yield "after an option", frame(IP, with_option(A, B, bytes((148, 4, 0, 0)), datagram))
        options = struct.pack("!BBHI", UDP, 0, 0x0104, 0)
        yield "after an option", frame(IP6, ip(A6, B6, DESTINATION_OPTIONS, options + datagram))
        yield "a first piece", frame(IP, ip(A, B, UDP, datagram[:8], fragment=MORE_FRAGMENTS))
        yield "a first piece", frame(IP6, ip(A6, B6, FRAGMENT, struct.pack("!BBHI", UDP, 0, 1, 7) + datagram[:8]))
        yield "without a port", frame(IP, ip(A, B, UDP, datagram[:1], fragment=MORE_FRAGMENTS))
        bare = struct.pack("!BBHI", DESTINATION_OPTIONS, 0, 1, 7) + options
        yield "without a port", frame(IP6, ip(A6, B6, FRAGMENT, bare))
        yield "without a port", frame(IP6, ip(A6, B6, FRAGMENT, struct.pack("!BBHI", UDP, 0, 1, 7)))


def hostile_errors() -> Iterator[tuple[str, bytes]]:
    """About what the agent was sent, or others were."""
    to_agent = udp(443, LAST, b"hostile")
    for kind, code in ((3, 3), (3, 4), (4, 0), (5, 1), (11, 0), (12, 0)):
        yield "an error", frame(IP, ip(A, B, ICMP, icmp(A, B, kind, code, bytes(4) + ip(B, A, UDP, to_agent))))
    for kind, code in ((1, 4), (2, 0), (3, 0), (4, 0)):
        told = icmp(A6, B6, kind, code, bytes(4) + ip(B6, A6, TCP, to_agent))
        yield "an error", frame(IP6, ip(A6, B6, ICMPV6, told))
    quotes = (
        with_option(B, A, bytes((148, 4, 0, 0)), to_agent),
        ip(A, B, UDP, udp(LAST, 443, b"")),  # of the agent's own, as from underway
        ip(B, "172.31.1.9", UDP, udp(443, 5555, b"")),
        ip(B, A, UDP, b"\0\x50"),
        ip(B, A, UDP, to_agent)[:19],
    )
    for quote in quotes:
        yield "an error that quotes", frame(IP, ip(A, B, ICMP, icmp(A, B, 3, 3, bytes(4) + quote)))
    options = struct.pack("!BBHI", UDP, 0, 0x0104, 0)
    quotes6 = (
        ip(B6, A6, DESTINATION_OPTIONS, options + to_agent),
        ip(A6, B6, UDP, udp(LAST, 443, b"")),
        ip(B6, "2001:db8::9", UDP, udp(443, 5555, b"")),
        ip(B6, A6, UDP, b"\0\x50"),
    )
    for quote in quotes6:
        yield "an error that quotes", frame(IP6, ip(A6, B6, ICMPV6, icmp(A6, B6, 1, 4, bytes(4) + quote)))
    whole = icmp(A, B, 3, 3, bytes(4) + ip(B, A, UDP, to_agent))
    yield "a piece of an error", frame(IP, ip(A, B, ICMP, whole[:8], fragment=MORE_FRAGMENTS))
    yield "a piece of an error", frame(IP, ip(A, B, ICMP, whole[:32], fragment=MORE_FRAGMENTS))
    whole = icmp(A6, B6, 1, 4, bytes(4) + ip(B6, A6, UDP, udp(443, 5555, b"")))
    yield "a piece of an error", frame(IP6, ip(A6, B6, FRAGMENT, struct.pack("!BBHI", ICMPV6, 0, 1, 7) + whole))


def honest_frames() -> Iterator[tuple[str, bytes]]:
    to_guest, to_guest6 = ip(B, A, UDP, udp(LAST, FIRST - 1, b"x")), ip(B6, A6, UDP, udp(LAST, FIRST - 1, b"x"))
    options = struct.pack("!BBHI", UDP, 0, 0x0104, 0)
    for protocol in (UDP, TCP):
        datagram = udp(FIRST - 1, LAST, b"honest") + bytes(12)
        yield "to such a port of others", frame(IP, ip(A, B, protocol, datagram))
        yield "to such a port of others", frame(IP6, ip(A6, B6, protocol, datagram))
    yield "after an option", frame(IP6, ip(A6, B6, DESTINATION_OPTIONS, options + udp(5555, PORT, b"honest")))
    # What they hold is no port.
    yield "a later piece", frame(IP, ip(A, B, UDP, b"\xff" * 16, fragment=2))
    yield "a later piece", frame(IP6, ip(A6, B6, FRAGMENT, struct.pack("!BBHI", UDP, 0, 2 << 3, 7) + b"\xff" * 16))
    yield "a later piece", frame(IP6, ip(A6, B6, FRAGMENT, struct.pack("!BBHI", ICMPV6, 0, 2 << 3, 7) + b"\xff" * 16))
    yield "another protocol", frame(IP, ip(A, B, SCTP, b"\xff" * 16))
    yield "another protocol", frame(IP6, ip(A6, B6, SCTP, b"\xff" * 16))
    yield "a question", frame(IP, ip(A, B, ICMP, icmp(A, B, 8, 0, b"\xff" * 64)))
    yield "a question", frame(IP6, ip(A6, B6, ICMPV6, icmp(A6, B6, 128, 0, b"\xff" * 64)))
    yield "an error", frame(IP, ip(A, B, ICMP, icmp(A, B, 3, 3, bytes(4) + to_guest)))
    yield "an error", frame(IP6, ip(A6, B6, ICMPV6, icmp(A6, B6, 1, 4, bytes(4) + to_guest6)))
    pinged = ip(B, A, ICMP, icmp(B, A, 8, 0, b"\xff" * 8))
    yield "an error about a question", frame(IP, ip(A, B, ICMP, icmp(A, B, 3, 1, bytes(4) + pinged)))
    pinged = ip(B6, A6, ICMPV6, icmp(B6, A6, 128, 0, b"\xff" * 8))
    yield "an error about a question", frame(IP6, ip(A6, B6, ICMPV6, icmp(A6, B6, 1, 4, bytes(4) + pinged)))


def test_a_guest_sends_nothing_but_its_own_packets(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        task, _ = await _attached(lab)
        interface = eni(1)
        with (
            GuestStack.boot(lab, "a", await lab.network.open_tap("a")) as guest,
            _everything(lab.router(), interface_name(interface.eni_id)) as arrives,
            _everything(task.netns_path, "eth0") as leaves,
        ):
            for what, hostile in hostile_frames():
                guest.inject(hostile)
                assert _seen(arrives) is None and _seen(leaves, outgoing=True) is None, (what, hostile.hex())
            for what, honest in honest_frames():
                guest.inject(honest)
                assert (_seen(arrives), _seen(leaves, outgoing=True)) == (honest, honest), what

    run(scenario)


def test_an_address_that_is_not_the_tasks_goes_nowhere(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        _, other = await _attached(lab)
        with GuestStack.boot(lab, "a", await lab.network.open_tap("a")) as guest:
            for family, own, to, stolen in (
                (socket.AF_INET, A, B, ("172.31.1.77", B, "127.0.0.1", "169.254.170.2")),
                (socket.AF_INET6, A6, B6, ("2001:db8::77", B6, "::1", "fe80::1")),
            ):
                with socket_in(other.netns_path, family, socket.SOCK_DGRAM) as server:
                    server.bind((to, PORT))
                    for source in (*stolen, own):
                        guest.inject(frame(IP6 if ":" in to else IP, ip(source, to, UDP, _udp(source, to))))
                    data, came_from = await _received_from(server)
                    assert (data, came_from) == (b"from " + own.encode(), own), "the honest one is the first to arrive"

    run(scenario)


@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_a_guest_does_not_speak_to_the_agent_by_way_of_the_router(run: Run, a: str, b: str) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await _attached(lab)
        # What its kernel knows for its own address it might take: a task may ask for that.
        await lab.network.set_controls("a", [("net.ipv4.conf.all.accept_local", "1")])
        family, kind = (socket.AF_INET6, IP6) if ":" in a else (socket.AF_INET, IP)
        with (
            GuestStack.boot(lab, "a", await lab.network.open_tap("a")) as guest,
            socket_in(task.netns_path, family, socket.SOCK_DGRAM) as agent,
            socket_in(other.netns_path, family, socket.SOCK_DGRAM) as honest,
            _everything(task.netns_path, "eth0") as back,
        ):
            agent.bind((a, LAST))
            guest.inject(frame(kind, ip(a, a, UDP, _udp(a, a, LAST))))
            assert _seen(back) is not None, "the router sends it back, since the task's groups allow it"
            honest.bind((b, PORT))
            honest.sendto(b"honest", (a, LAST))
            assert await _received_from(agent) == (b"honest", b)

    run(scenario)


@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_pieces_of_datagrams_are_the_guests(run: Run, a: str, b: str) -> None:
    """Whatever port the first one names: the others name none."""

    async def scenario(lab: NetLab) -> None:
        _, other = await _attached(lab)
        with (
            GuestStack.boot(lab, "a", await lab.network.open_tap("a"), keep=True) as guest,
            socket_in(other.netns_path, socket.AF_PACKET, socket.SOCK_RAW) as sender,
        ):
            sender.bind(("eth0", 0))
            datagram = _udp(b, a, LAST, b"x" * 24)
            for piece in fragments(b, a, datagram):
                sender.send(frame(IP6 if ":" in a else IP, piece, source="0a:00:00:00:00:02"))
            frames = guest.frames
            assert frames is not None
            await _until(lab, lambda: sum(to_guest for to_guest, _ in frames) == 2)
            told = [came for to_guest, came in frames if to_guest]
            assert [datagram[:16] in told[0], datagram[16:] in told[1]] == [True, True]

    run(scenario)


@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_an_error_is_told_to_whom_it_concerns(run: Run, a: str, b: str) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await _attached(lab)
        family = socket.AF_INET6 if ":" in a else socket.AF_INET
        with (
            ExitStack() as stack,
            GuestStack.boot(lab, "a", await lab.network.open_tap("a"), keep=True) as guest,
            socket_in(other.netns_path, family, socket.SOCK_DGRAM) as server,
            socket_in(other.netns_path, socket.AF_PACKET, socket.SOCK_RAW) as underway,
        ):
            server.bind((b, PORT))
            underway.bind(("eth0", 0))
            assert guest.frames is not None
            ends = {}
            for who, netns_path in (("agent", task.netns_path), ("guest", guest.netns_path)):
                ends[who] = stack.enter_context(socket_in(netns_path, family, socket.SOCK_DGRAM))
                ends[who].connect((b, PORT))
                ends[who].send(b"long")
                await _received_from(server)
            assert [_mtu(end) for end in ends.values()] == [9001, 9001]
            for who, expected in (("agent", [NARROW, 9001]), ("guest", [NARROW, NARROW])):
                quote = ip(a, b, UDP, udp(ends[who].getsockname()[1], PORT, b"long"))
                rest = struct.pack("!I", NARROW)
                told = icmp(b, a, 2, 0, rest + quote) if ":" in a else icmp(b, a, 3, 4, rest + quote)
                error = ip(b, a, ICMPV6 if ":" in a else ICMP, told)
                underway.send(frame(IP6 if ":" in a else IP, error, source="0a:00:00:00:00:02"))
                await _until(lab, lambda end=ends[who]: _mtu(end) == NARROW)
                assert [_mtu(end) for end in ends.values()] == expected
                came = [told for to_guest, told in guest.frames if to_guest and told.endswith(quote)]
                assert len(came) == (who == "guest")

    run(scenario)


def test_how_long_packets_may_be_is_not_forgotten_while_it_holds(run: Run) -> None:
    """The kernel looks now and then what of IPv6 is of no use any more; here it finds one thing that is not."""

    async def scenario(lab: NetLab) -> None:
        task, other = await _attached(lab)
        beside = await lab.attach("c", eni(3, "sg-0open", ipv6=True))
        with ExitStack() as stack:
            _write_sysctl(task.netns_path, "gc_interval", "1")
            for number, there, expires_s in ((2, other, "600"), (3, beside, "1")):
                _write_sysctl(task.netns_path, "mtu_expires", expires_s)
                to = f"2001:db8::{number}"
                server = stack.enter_context(socket_in(there.netns_path, socket.AF_INET6, socket.SOCK_DGRAM))
                server.bind((to, PORT))
                underway = stack.enter_context(socket_in(there.netns_path, socket.AF_PACKET, socket.SOCK_RAW))
                underway.bind(("eth0", 0))
                end = stack.enter_context(socket_in(task.netns_path, socket.AF_INET6, socket.SOCK_DGRAM))
                end.connect((to, PORT))
                end.send(b"long")
                await _received_from(server)
                quote = ip(A6, to, UDP, udp(end.getsockname()[1], PORT, b"long"))
                told = icmp(to, A6, 2, 0, struct.pack("!I", NARROW) + quote)
                underway.send(frame(IP6, ip(to, A6, ICMPV6, told), source=f"0a:00:00:00:00:0{number}"))
                await _until(lab, lambda end=end: _mtu(end) == NARROW)
            await _until(lab, lambda: _learned(task.netns_path) < 2)
            with socket_in(task.netns_path, socket.AF_INET6, socket.SOCK_DGRAM) as later:
                later.connect((B6, PORT))
                assert _mtu(later) == NARROW

    run(scenario)


def _learned(netns_path: str) -> int:
    """How much the kernel knows of paths, of IPv6."""
    with entered(netns_path):
        return int(Path("/proc/thread-self/net/rt6_stats").read_text().split()[4], 16)


def _write_sysctl(netns_path: str, name: str, value: str) -> None:
    with entered(netns_path):
        write_sysctl(f"ipv6/route/{name}", value)


def test_agent_and_guest_learn_how_long_packets_may_be(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await _attached(lab)
        with entered(lab.router()), Netlink() as links:
            links.run([link_mtu(links.existing(interface_name(eni(2).eni_id)).index, NARROW)])
        with GuestStack.boot(lab, "a", await lab.network.open_tap("a")) as guest:
            for netns_path in (task.netns_path, guest.netns_path):
                with listener_in(other.netns_path, B, 443) as listener:
                    client = await connect(netns_path, B, 443)
                    assert client is not None
                    taken, _ = await asyncio.get_running_loop().sock_accept(listener)
                    with client, taken:
                        await within(REACHED_WITHIN_S, asyncio.gather(_sent(client), _all_of(taken)))
                        assert _mtu(client) == NARROW

    run(scenario)


async def _attached(lab: NetLab) -> tuple[TaskNetwork, TaskNetwork]:
    await lab.network.apply_vpc(plan(1, OPEN))
    return await lab.attach("a", eni(1, "sg-0open", ipv6=True)), await lab.attach("b", eni(2, "sg-0open", ipv6=True))


async def _until(lab: NetLab, is_so: Callable[[], bool]) -> None:
    deadline = lab.world.monotonic() + REACHED_WITHIN_S
    while not is_so():
        assert lab.world.monotonic() < deadline
        await lab.world.sleep(0.01)


async def _sent(client: socket.socket) -> None:
    await asyncio.get_running_loop().sock_sendall(client, bytes(1 << 20))
    client.shutdown(socket.SHUT_WR)


async def _all_of(taken: socket.socket) -> None:
    size = 0
    while data := await asyncio.get_running_loop().sock_recv(taken, 1 << 20):
        size += len(data)
    assert size == 1 << 20


async def _received_from(server: socket.socket) -> tuple[bytes, str]:
    data, source = await within(REACHED_WITHIN_S, asyncio.get_running_loop().sock_recvfrom(server, 2048))
    return data, str(source[0])


def _udp(source: str, to: str, port: int = PORT, data: bytes | None = None) -> bytes:
    """With a checksum, which IPv6 asks for."""
    plain = udp(5555, port, f"from {source}".encode() if data is None else data)
    return plain[:6] + struct.pack("!H", checksum(pseudo_header(source, to, UDP, plain) + plain)) + plain[8:]


def _mtu(end: socket.socket) -> int:
    if end.family == socket.AF_INET6:
        return end.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)
    return end.getsockopt(socket.IPPROTO_IP, IP_MTU)


@contextmanager
def _everything(netns_path: str, interface: str) -> Iterator[socket.socket]:
    """What an interface receives or sends."""
    with entered(netns_path):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        made.bind((interface, 3))
    made.setblocking(False)
    with made:
        yield made


def _seen(watch: socket.socket, *, outgoing: bool = False) -> bytes | None:
    """What went this way since the last call, one frame at a time."""
    try:
        while True:
            data, (_, _, kind, *_) = watch.recvfrom(1 << 16)
            if (kind == PACKET_OUTGOING) is outgoing:
                return data
    except BlockingIOError:
        return None
