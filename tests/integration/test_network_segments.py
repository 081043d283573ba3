"""Within a VPC packets are long, and TCP sends more than 64 KiB as one. What leaves the machine is not larger."""

import asyncio
import ctypes
import hashlib
import platform
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from neargate.hostnet.netlink import RTM_NEWLINK, Message, Netlink, attribute, link_mtu
from neargate.hostnet.router import interface_name
from neargate.model.network import SecurityGroup
from neargate.testing.internet import Internet
from neargate.testing.netlab import NetLab, connect, eni, entered, listener_in, plan, rule, socket_in

from .own_network import Run

KERNEL = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
pytestmark = pytest.mark.root
large = pytest.mark.skipif(KERNEL < (6, 3), reason="the kernel's segments are 64 KiB, whatever it is asked for")
EVERYTHING = rule("-1", peer="0.0.0.0/0")
OPEN = SecurityGroup(group_id="sg-0open", ingress=(EVERYTHING,), egress=(EVERYTHING,))
OUTSIDE, PORT = "203.0.113.7", 5201
ETHERNET, USUAL = 14, 65536
CHUNK = bytes(range(256)) * 4096
CHUNKS, CHUNKS_MAX = 32, 1024  # of 1 MiB: at least, and until a large segment must have been seen
# Not among the socket module's names.
SO_ATTACH_FILTER, IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU, IPV6_MTU, GSO_MAX_SEGS = 26, 10, 2, 14, 24, 40


@contextmanager
def oversized_in(netns_path: str) -> Iterator[Callable[[], bool]]:
    """Whether eth0 there has seen a packet, in or out, that is longer than 64 KiB."""
    # In the kernel, so that none is lost among many: accept what is longer, of all else nothing.
    steps = ((0x80, 0, 0, 0), (0x25, 0, 1, USUAL + ETHERNET), (0x06, 0, 0, 96), (0x06, 0, 0, 0))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    with entered(netns_path):
        watch = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with watch:
        watch.setblocking(False)
        watch.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(steps), ctypes.addressof(program)))
        with entered(netns_path):
            watch.bind(("eth0", 3))  # every protocol
        seen: list[bool] = []

        def is_seen() -> bool:
            with suppress(BlockingIOError):
                seen.append(bool(watch.recv(1)))
            return bool(seen)

        yield is_seen


async def sent(here: str | None, there: str, address: str, is_enough: Callable[[], bool]) -> None:
    """A stream, whole and in order, until there is enough of it."""
    loop = asyncio.get_running_loop()
    listener = listener_in(there, "0.0.0.0", PORT)
    client = await connect(here, address, PORT)
    assert client is not None, f"{address} cannot be reached"
    taken, _ = await loop.sock_accept(listener)
    told, heard = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        with client:
            for number in range(CHUNKS_MAX):
                if number >= CHUNKS and is_enough():
                    return
                told.update(CHUNK)
                await loop.sock_sendall(client, CHUNK)

    async def receive() -> None:
        while data := await loop.sock_recv(taken, 1 << 20):
            heard.update(data)

    with listener, taken:
        await asyncio.wait_for(asyncio.gather(send(), receive()), 60)
    assert told.digest() == heard.digest()


@large
def test_tasks_of_a_vpc_send_each_other_large_segments(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a, b = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", eni(2, "sg-0open"))
        with oversized_in(b.netns_path) as is_seen:
            await sent(a.netns_path, b.netns_path, "172.31.1.2", is_seen)
            assert is_seen()

    run(scenario)


@large
def test_what_goes_to_the_internet_is_of_a_size_that_links_outside_take(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        beyond = Internet.beyond(lab, OUTSIDE)
        try:
            await lab.network.apply_vpc(plan(1, OPEN))
            a = await lab.attach("a", eni(1, "sg-0open", public=lab.public(10)))
            with oversized_in(a.netns_path) as is_sent, oversized_in(beyond.netns_path) as is_out:
                await sent(a.netns_path, beyond.netns_path, OUTSIDE, lambda: True)
                assert not is_sent()
                # Whoever may change its interface can send more at once all the same.
                with entered(a.netns_path), Netlink() as links:
                    links.run([segments_as_they_come(links.existing("eth0").index)])
                await sent(a.netns_path, beyond.netns_path, OUTSIDE, is_sent)
                assert is_sent()
                assert not is_out(), "it is cut where it leaves"
        finally:
            beyond.close()

    run(scenario)


def segments_as_they_come(index: int) -> Message:
    body = struct.pack("=BxHiII", 0, 0, index, 0, 0) + attribute(GSO_MAX_SEGS, struct.pack("=I", 65535))
    return Message(what="send more at once", kind=RTM_NEWLINK, flags=0, body=body)


def test_packets_are_long_within_the_vpc_only(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a = await lab.attach("a", eni(1, "sg-0open", public=lab.public(10), ipv6=True))
        b = await lab.attach("b", eni(2, "sg-0open", public=lab.public(11), ipv6=True))
        for address, longest in (
            ("172.31.1.2", 9001),
            ("172.31.255.2", 9001),
            (lab.public(11), 1500),
            (OUTSIDE, 1500),
            ("2001:db8::2", 9001),
            ("2001:db9::2", 1500),
        ):
            is_six = ":" in address
            with socket_in(a.netns_path, socket.AF_INET6 if is_six else socket.AF_INET, socket.SOCK_DGRAM) as asks:
                asks.connect((address, PORT))
                level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if is_six else (socket.IPPROTO_IP, IP_MTU)
                assert (address, asks.getsockopt(level, option)) == (address, longest)
        with (
            socket_in(a.netns_path, kind=socket.SOCK_DGRAM) as sender,
            socket_in(b.netns_path, kind=socket.SOCK_DGRAM) as receiver,
        ):
            receiver.bind(("0.0.0.0", PORT))
            sender.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
            sender.sendto(bytes(9001 - 28), ("172.31.1.2", PORT))
            got = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(receiver, 1 << 16), 10)
            assert len(got) == 9001 - 28

    run(scenario)


def test_a_task_of_a_release_with_shorter_packets_takes_long_ones_when_the_agent_begins(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        both = (EVERYTHING, rule("-1", peer="::/0"))
        await lab.network.apply_vpc(plan(1, SecurityGroup(group_id="sg-0open", ingress=both, egress=both)))
        old, new = eni(1, "sg-0open", ipv6=True), eni(2, "sg-0open", ipv6=True)
        a, b = await lab.attach("a", old), await lab.attach("b", new)
        for namespace, link in ((a.netns_path, "eth0"), (lab.router(), interface_name(old.eni_id))):
            with entered(namespace), Netlink() as links:
                links.run([link_mtu(links.existing(link).index, 1500)])
        await lab.restart()
        for family, address, beyond in (
            (socket.AF_INET, "172.31.1.1", OUTSIDE),
            (socket.AF_INET6, "2001:db8::1", "2001:db9::2"),
        ):
            with (
                socket_in(b.netns_path, family, socket.SOCK_DGRAM) as sender,
                socket_in(a.netns_path, family, socket.SOCK_DGRAM) as receiver,
            ):
                receiver.bind(("", PORT))
                sender.sendto(bytes(5000), (address, PORT))
                got = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(receiver, 1 << 16), 10)
                assert len(got) == 5000
                receiver.connect((beyond, PORT))
                level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if ":" in beyond else (socket.IPPROTO_IP, IP_MTU)
                assert receiver.getsockopt(level, option) == 1500, "outside they stay as they were"

    run(scenario)
