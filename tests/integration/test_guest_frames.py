"""A guest behind a tap is in its VPC as a container is, and cannot do more; the agent goes on speaking in its name."""

import asyncio
import hashlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet.namespaces import read_sysctl
from neargate.hostnet.netlink import RTM_GETNEIGH, RTM_GETROUTE, Netlink, attributes
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.network import AGENT_PORTS, AWS_RESOLVER_ADDRESS, RESOLVER_ADDRESS, Eni, SecurityGroup
from neargate.testing.guest_stack import GuestStack
from neargate.testing.netlab import (
    REACHED_WITHIN_S,
    NetLab,
    connect,
    echo,
    eni,
    entered,
    is_cut_off,
    listener_in,
    pings,
    plan,
    reaches,
    rule,
    seen_source,
    socket_in,
)
from neargate.world import within

from .own_network import Run

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
WEB = SecurityGroup(group_id="sg-0web", ingress=(rule("tcp", 8080, 8080, peer="sg-0open"),), egress=OUT)
MUTE = SecurityGroup(group_id="sg-0mute", ingress=OUT)
A, B = "172.31.1.1", "172.31.1.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
RTM_GETADDR, MAIN_TABLE, NUD_PERMANENT = 22, 254, 0x80
IP_MTU = 14
CHUNK = bytes(range(256)) * 4096  # 1 MiB


@asynccontextmanager
async def guest_of(lab: NetLab, task: TaskNetwork, **options: Any) -> AsyncIterator[GuestStack]:
    with GuestStack.boot(lab, task.task_id, await lab.network.open_tap(task.task_id), **options) as guest:
        yield guest


async def attached(lab: NetLab, group: str = "sg-0open", **of_a: Any) -> tuple[TaskNetwork, TaskNetwork]:
    """A, whose guest is tried, and B, a task in containers."""
    await lab.network.apply_vpc(plan(1, OPEN, WEB, MUTE))
    first: Eni = replace(eni(1, group, ipv6=True), **of_a)
    return await lab.attach("a", first), await lab.attach("b", eni(2, "sg-0open", ipv6=True))


@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_guest_and_task_reach_each_other_by_their_addresses(run: Run, a: str, b: str) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await attached(lab)
        async with guest_of(lab, task) as guest:
            with listener_in(other.netns_path, b, 80) as there, listener_in(guest.netns_path, a, 80) as here:
                assert await seen_source(guest.netns_path, b, 80, there) == a
                assert await seen_source(other.netns_path, a, 80, here) == b
            if a == A:
                assert await pings(guest.netns_path, b) and await pings(other.netns_path, a)

    run(scenario)


def test_a_guests_kernel_knows_what_its_task_does(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        task, _ = await attached(lab)
        async with guest_of(lab, task) as guest:
            known = known_in(guest.netns_path)
            assert known == known_in(task.netns_path)
            assert [
                len([one for one in known if one[0] == kind]) for kind in (RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH)
            ] == [2, 5, 2], "IPv6 has a route to its own address as well"
            assert [mtu_to(guest.netns_path, address) for address in (B, "203.0.113.7")] == [9001, 1500]

    run(scenario)


def known_in(netns_path: str) -> set[tuple[Any, ...]]:
    """Addresses, routes and permanent neighbours of eth0, without when they were made."""
    found = set()
    with entered(netns_path), Netlink() as links:
        index = links.existing("eth0").index
        for kind, header, volatile in ((RTM_GETADDR, 8, 6), (RTM_GETROUTE, 12, 12), (RTM_GETNEIGH, 12, 3)):
            for family in (socket.AF_INET, socket.AF_INET6):
                body = struct.pack("=B", family) + bytes(header - 1)
                for answer in links.ask(kind, body, dump=True, what="look"):
                    facts = dict(attributes(answer[header:]))
                    if kind == RTM_GETADDR and struct.unpack_from("=I", answer, 4)[0] != index:
                        continue
                    if kind == RTM_GETROUTE and (answer[4] != MAIN_TABLE or facts.get(4) != struct.pack("=I", index)):
                        continue
                    if kind == RTM_GETNEIGH and struct.unpack_from("=iH", answer, 4) != (index, NUD_PERMANENT):
                        continue
                    told = frozenset(item for item in facts.items() if item[0] != volatile)
                    found.add((kind, answer[:2] if kind != RTM_GETNEIGH else answer[:1], told))
    return found


def mtu_to(netns_path: str, address: str) -> int:
    with socket_in(netns_path, kind=socket.SOCK_DGRAM) as asks:
        asks.connect((address, 9))
        return asks.getsockopt(socket.IPPROTO_IP, IP_MTU)


def test_security_groups_hold_for_a_guest_both_ways(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await attached(lab, "sg-0web")
        async with guest_of(lab, task) as guest:
            with listener_in(guest.netns_path, A, 8080), listener_in(guest.netns_path, A, 8081):
                assert await reaches(other.netns_path, A, 8080)
                assert await is_cut_off(other.netns_path, A, 8081)
            with listener_in(other.netns_path, B, 80):
                assert await reaches(guest.netns_path, B, 80)
                await lab.network.attach_eni("a", eni(1, "sg-0mute", ipv6=True))
                assert await is_cut_off(guest.netns_path, B, 80)

    run(scenario)


def test_metadata_and_names_answer_the_guest_as_its_task(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        task, _ = await attached(lab)
        async with guest_of(lab, task) as guest:
            with await lab.network.listen("vpc-0a", "169.254.170.2", 80) as metadata:
                assert await seen_source(guest.netns_path, "169.254.170.2", 80, metadata) == A
            with (
                await lab.network.listen("vpc-0a", RESOLVER_ADDRESS, 53, datagrams=True) as names,
                socket_in(guest.netns_path, kind=socket.SOCK_DGRAM) as client,
            ):
                loop = asyncio.get_running_loop()
                client.connect((AWS_RESOLVER_ADDRESS, 53))
                client.send(b"who")
                question, asker = await within(REACHED_WITHIN_S, loop.sock_recvfrom(names, 64))
                assert (question, asker[0]) == (b"who", A)
                names.sendto(b"nobody", asker)
                assert await within(REACHED_WITHIN_S, loop.sock_recv(client, 64)) == b"nobody"

    run(scenario)


def test_the_agent_speaks_in_the_tasks_name_while_its_guest_does(run: Run) -> None:
    """To the same server: neither gets what is the other's."""

    async def scenario(lab: NetLab) -> None:
        task, other = await attached(lab)
        loop = asyncio.get_running_loop()
        async with guest_of(lab, task) as guest:
            with listener_in(other.netns_path, B, 443) as server:
                ends = []
                for _ in range(3):
                    agent = await lab.network.task_socket("a")
                    agent.setblocking(False)
                    await within(REACHED_WITHIN_S, loop.sock_connect(agent, (B, 443)))
                    taken, peer = await within(REACHED_WITHIN_S, loop.sock_accept(server))
                    assert peer[0] == A and AGENT_PORTS[0] <= peer[1] <= AGENT_PORTS[1]
                    ends.append((agent, taken))
                    client = await connect(guest.netns_path, B, 443)
                    assert client is not None
                    taken, peer = await within(REACHED_WITHIN_S, loop.sock_accept(server))
                    assert peer[0] == A and peer[1] < AGENT_PORTS[0]
                    ends.append((client, taken))
                for number, (one, other_end) in enumerate(ends):
                    for sender, receiver in ((one, other_end), (other_end, one)):
                        assert await echo(sender, receiver, f"of {number}".encode()) == f"of {number}".encode()
                for pair in ends:
                    for end in pair:
                        end.close()

    run(scenario)


def test_parameters_of_a_task_leave_the_agent_its_ports(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await attached(lab)
        async with guest_of(lab, task):
            await lab.network.set_controls("a", [("net.ipv4.ip_local_port_range", "20000 20100")])
            with await lab.network.task_socket("a") as agent, listener_in(other.netns_path, B, 443) as server:
                agent.setblocking(False)
                await within(REACHED_WITHIN_S, asyncio.get_running_loop().sock_connect(agent, (B, 443)))
                taken, peer = await within(REACHED_WITHIN_S, asyncio.get_running_loop().sock_accept(server))
                taken.close()
                assert peer[1] >= AGENT_PORTS[0]
            await lab.network.set_controls("b", [("net.ipv4.ip_local_port_range", "20000 20100")])
            with entered(other.netns_path):
                asked_for = read_sysctl("ipv4/ip_local_port_range")
            assert asked_for == "20000\t20100", "a task in containers has what it asked for"

    run(scenario)


def test_nobody_reaches_what_listens_in_the_tasks_namespace(run: Run) -> None:
    """Neither at the ports that are the agent's, nor at others; neither the guest nor another task."""

    async def scenario(lab: NetLab) -> None:
        task, other = await attached(lab, public_ipv4=lab.public(7))
        async with guest_of(lab, task) as guest:
            ports = (80, AGENT_PORTS[0], AGENT_PORTS[1])
            listeners = [listener_in(task.netns_path, "::", port) for port in ports]
            for netns_path, address in (
                (guest.netns_path, A),
                (guest.netns_path, A6),
                (guest.netns_path, lab.public(7)),
                (other.netns_path, A),
                (other.netns_path, A6),
            ):
                # Of another namespace's kernel: it must ask the network.
                asked = await asyncio.gather(*(is_cut_off(netns_path, address, port) for port in ports))
                assert asked == [True, True, True], address
            for listener in listeners:
                with pytest.raises(BlockingIOError):
                    listener.accept()
                listener.close()
            with listener_in(guest.netns_path, "0.0.0.0", AGENT_PORTS[0] - 1):
                assert await reaches(other.netns_path, A, AGENT_PORTS[0] - 1), "one below is the guest's"

    run(scenario)


@pytest.mark.parametrize(("a", "b"), [(A, B), (A6, B6)], ids=["IPv4", "IPv6"])
def test_a_large_transfer_arrives_whole_in_long_pieces(run: Run, a: str, b: str) -> None:
    async def scenario(lab: NetLab) -> None:
        task, other = await attached(lab)
        async with guest_of(lab, task) as guest:
            before = await lab.network.interface_stats("a")
            await sent(guest.netns_path, other.netns_path, b)
            assert guest.longest > 30_000, "a segment is handed over as one"
            middle = await lab.network.interface_stats("a")
            assert middle.tx_bytes - before.tx_bytes > 64 * len(CHUNK) > middle.rx_bytes - before.rx_bytes
            await sent(other.netns_path, guest.netns_path, a)
            after = await lab.network.interface_stats("a")
            assert after.rx_bytes - middle.rx_bytes > 64 * len(CHUNK)

    run(scenario)


async def sent(here: str, there: str, address: str) -> None:
    """64 MiB, whole and in order."""
    loop = asyncio.get_running_loop()
    with listener_in(there, address, 5201) as listener:
        client = await connect(here, address, 5201)
        assert client is not None, f"{address} cannot be reached"
        taken, _ = await loop.sock_accept(listener)
    told, heard = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        with client:
            for _ in range(64):
                told.update(CHUNK)
                await loop.sock_sendall(client, CHUNK)

    async def receive() -> None:
        with taken:
            while data := await loop.sock_recv(taken, 1 << 20):
                heard.update(data)

    await within(120, asyncio.gather(send(), receive()))
    assert told.digest() == heard.digest()
