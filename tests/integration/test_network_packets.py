"""Real packets between task namespaces: what security groups let through, and what nothing lets through."""

import asyncio
import socket
import struct
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.hostnet import netlink
from neargate.hostnet.conntrack import Conntrack
from neargate.hostnet.edge import EDGE_HOP
from neargate.hostnet.netlink import Netlink
from neargate.interfaces.hostnet import HostError
from neargate.model.network import AWS_RESOLVER_ADDRESS, RESOLVER_ADDRESS, SecurityGroup
from neargate.testing.netlab import (
    NetLab,
    connect,
    echo,
    eni,
    entered,
    is_cut_off,
    listener_in,
    neighbours,
    pings,
    plan,
    reaches,
    rule,
    seen_source,
    socket_in,
)

from .own_network import Run

pytestmark = pytest.mark.root
EVERYWHERE = "0.0.0.0/0"
OUT = (rule("-1", peer=EVERYWHERE), rule("-1", peer="::/0"))
WEB = SecurityGroup(group_id="sg-0web", ingress=(rule("tcp", 8080, 8090, peer="172.31.0.0/16"),), egress=OUT)
DB = SecurityGroup(group_id="sg-0db", ingress=(rule("tcp", 5432, 5432, peer="sg-0web"),), egress=())
SHUT = SecurityGroup(group_id="sg-0shut", ingress=(), egress=OUT)


def test_ingress_by_cidr_and_port_range(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, WEB))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        listeners = [listener_in(b.netns_path, "0.0.0.0", port) for port in (8079, 8080, 8090, 8091)]
        results = await asyncio.gather(*(is_cut_off(a.netns_path, "172.31.1.2", p) for p in (8079, 8080, 8090, 8091)))
        assert results == [True, False, False, True]
        for listener in listeners:
            listener.close()

    run(scenario)


def test_a_group_reference_admits_its_members_only_and_egress_is_the_senders(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, WEB, DB, SHUT))
        web, other = await lab.attach("web", eni(1, "sg-0web")), await lab.attach("other", eni(2, "sg-0shut"))
        db = await lab.attach("db", eni(3, "sg-0db"))
        with listener_in(db.netns_path, "0.0.0.0", 5432), listener_in(web.netns_path, "0.0.0.0", 8080):
            assert await reaches(web.netns_path, "172.31.1.3", 5432)
            assert await is_cut_off(other.netns_path, "172.31.1.3", 5432)
            # The receiver would allow it; the sender's group has no egress.
            assert await is_cut_off(db.netns_path, "172.31.1.1", 8080)
            # A member that joins later is a member.
            late = await lab.attach("late", eni(4, "sg-0web", "sg-0shut"))
            assert await reaches(late.netns_path, "172.31.1.3", 5432)
            # An address that left the group with its task is none any more, whoever has it next.
            await lab.network.detach_eni("late")
            again = await lab.attach("again", eni(4, "sg-0shut"))
            assert await is_cut_off(again.netns_path, "172.31.1.3", 5432)

    run(scenario)


def test_icmp_needs_its_own_rule(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        echo_rule = SecurityGroup(group_id="sg-0ping", ingress=(rule("icmp", 8, 0, peer=EVERYWHERE),))
        await lab.network.apply_vpc(plan(1, SHUT, echo_rule))
        a, _ = await lab.attach("a", eni(1, "sg-0shut")), await lab.attach("b", eni(2, "sg-0ping"))
        await lab.attach("c", eni(3, "sg-0shut"))
        assert await pings(a.netns_path, "172.31.1.2")
        assert not await pings(a.netns_path, "172.31.1.3")

    run(scenario)


def test_ipv6_is_filtered_like_ipv4(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        six = SecurityGroup(group_id="sg-0six", ingress=(rule("tcp", 80, 80, peer="2001:db8::/64"),), egress=OUT)
        await lab.network.apply_vpc(plan(1, six))
        a = await lab.attach("a", eni(1, "sg-0six", ipv6=True))
        b = await lab.attach("b", eni(2, "sg-0six", ipv6=True))
        with listener_in(b.netns_path, "::", 80), listener_in(b.netns_path, "::", 81):
            assert await reaches(a.netns_path, "2001:db8::2", 80)
            assert await is_cut_off(a.netns_path, "2001:db8::2", 81)
            # The rule speaks of IPv6 only.
            assert await is_cut_off(a.netns_path, "172.31.1.2", 80)

    run(scenario)


def test_an_established_flow_survives_a_revoke_and_a_new_one_is_denied(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, WEB))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        with listener_in(b.netns_path, "0.0.0.0", 8080) as listener:
            client = await connect(a.netns_path, "172.31.1.2", 8080)
            assert client is not None
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            with client, accepted:
                await lab.network.apply_vpc(plan(2, SecurityGroup(group_id="sg-0web", egress=OUT)))
                assert await echo(client, accepted, b"still here") == b"still here"
                assert await is_cut_off(a.netns_path, "172.31.1.2", 8080)
                # A plan that comes late is not obeyed.
                await lab.network.apply_vpc(plan(1, WEB))
                assert await is_cut_off(a.netns_path, "172.31.1.2", 8080)

    run(scenario)


def test_a_flow_that_was_open_to_everybody_both_ways_ends_with_its_rule(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        everybody = SecurityGroup(group_id="sg-0web", ingress=(rule("tcp", 8080, 8080, peer=EVERYWHERE),), egress=OUT)
        back = SecurityGroup(group_id="sg-0shut", ingress=(rule("tcp", peer=EVERYWHERE),), egress=OUT)
        await lab.network.apply_vpc(plan(1, everybody, back))
        a = await lab.attach("a", eni(1, "sg-0shut"))
        b = await lab.attach("b", eni(2, "sg-0web", "sg-0shut", public=lab.public(7)))
        with listener_in(b.netns_path, "0.0.0.0", 8080) as listener:
            ends = []
            for where, address in ((a.netns_path, "172.31.1.2"), (None, lab.public(7))):
                client = await connect(where, address, 8080)
                assert client is not None
                accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
                ends += [(client, accepted), (accepted, client)]
            # Others' rules are others' business.
            await lab.network.apply_vpc(plan(2, everybody, back, SecurityGroup(group_id="sg-0other")))
            for one, other in ends:
                assert await echo(one, other, b"open") == b"open"
            narrow = rule("tcp", 8080, 8080, peer="172.31.1.1/32")
            await lab.network.apply_vpc(plan(3, replace(everybody, ingress=(narrow,)), replace(back, ingress=())))
            for one, other in ends[:2]:
                assert await echo(one, other, b"a rule still says so") == b"a rule still says so"
            for one, other in ends[2:]:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(echo(one, other, b"whoever speaks first"), 0.4)
            for one, _ in ends:
                one.close()

    run(scenario)


def test_a_new_agent_adopts_tasks_and_their_connections(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, WEB))
        a = await lab.attach("a", eni(1, "sg-0web", public=lab.public(9)))
        b = await lab.attach("b", eni(2, "sg-0web"))
        with listener_in(b.netns_path, "0.0.0.0", 8080) as listener:
            client = await connect(a.netns_path, "172.31.1.2", 8080)
            assert client is not None
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            with client, accepted:
                await lab.restart()
                assert await echo(client, accepted, b"adopted") == b"adopted"
            assert await lab.network.list_tasks() == [a, b]
            assert await reaches(a.netns_path, "172.31.1.2", 8080)
            assert await reaches(a.netns_path, lab.pool_host_address(), _closed_port()) is False
            # The generation is remembered as well.
            await lab.network.apply_vpc(plan(0, SecurityGroup(group_id="sg-0web")))
            assert await reaches(a.netns_path, "172.31.1.2", 8080)
            await lab.network.detach_eni("a")
            assert await lab.network.list_tasks() == [b]

    run(scenario)


def test_a_spoofed_source_goes_nowhere(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, WEB))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        with entered(a.netns_path), Netlink() as links:
            links.run([netlink.address(links.existing("eth0").index, "172.31.1.77")])
        with socket_in(b.netns_path, kind=socket.SOCK_DGRAM) as receiver, await _metadata(lab) as metadata:
            await lab.network.apply_vpc(
                plan(2, SecurityGroup(group_id="sg-0web", ingress=(rule("udp", peer=EVERYWHERE),), egress=OUT))
            )
            receiver.bind(("0.0.0.0", 9000))
            for source in ("172.31.1.77", "172.31.1.1"):
                with socket_in(a.netns_path, kind=socket.SOCK_DGRAM) as sender:
                    sender.bind((source, 0))
                    sender.sendto(source.encode(), ("172.31.1.2", 9000))
            # The honest packet was sent second: had the spoofed one passed, it would be first.
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(receiver, 100), 10)
            assert data == b"172.31.1.1"
            with socket_in(a.netns_path) as liar:
                liar.bind(("172.31.1.77", 0))
                with entered(lab.router()):
                    table = Conntrack()
                before = table.count()
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(asyncio.get_running_loop().sock_connect(liar, metadata.getsockname()), 0.5)
                # Dropped before it could even be counted as a flow: a flood of them fills no table.
                assert table.count() == before
                table.close()

    run(scenario)


def test_metadata_is_reached_from_tasks_only_and_sees_who_asks(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, SHUT))
        a, b = await lab.attach("a", eni(1, "sg-0shut")), await lab.attach("b", eni(2))
        with await _metadata(lab) as metadata, await lab.network.listen("vpc-0a", "169.254.170.10", 4566) as endpoint:
            assert await seen_source(a.netns_path, "169.254.170.2", 80, metadata) == "172.31.1.1"
            # Without any group nothing else is reached, but the metadata is.
            assert await seen_source(b.netns_path, "169.254.170.2", 80, metadata) == "172.31.1.2"
            assert await seen_source(b.netns_path, "169.254.170.10", 4566, endpoint) == "172.31.1.2"
            assert await is_cut_off(a.netns_path, "169.254.170.10", 80)
        with pytest.raises(HostError, match="not open to tasks"):
            await lab.network.listen("vpc-0a", "169.254.170.2", 81)

    run(scenario)


def test_lookups_reach_the_resolvers_place_by_both_addresses_and_nothing_else_does(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, SHUT))
        a = await lab.attach("a", eni(1, "sg-0shut"))
        asked = await lab.network.listen("vpc-0a", RESOLVER_ADDRESS, 53, datagrams=True)
        with asked, await lab.network.listen("vpc-0a", RESOLVER_ADDRESS, 53) as streams:
            for address in ("172.31.0.2", AWS_RESOLVER_ADDRESS):
                with socket_in(a.netns_path, kind=socket.SOCK_DGRAM) as task:
                    task.settimeout(5.0)
                    task.sendto(b"who", (address, 53))
                    await asyncio.wait_for(_readable(asked), 5.0)
                    data, source = asked.recvfrom(64)
                    assert data == b"who" and source[0] == "172.31.1.1"
                    asked.sendto(b"nobody", source)
                    # As from where it was sent: a client takes an answer of nobody else.
                    assert task.recvfrom(64) == (b"nobody", (address, 53))
                assert await seen_source(a.netns_path, address, 53, streams) == "172.31.1.1"
            assert await is_cut_off(a.netns_path, "172.31.0.2", 80)
            assert await is_cut_off(a.netns_path, "172.31.0.3", 53)
        with pytest.raises(HostError, match="not open to tasks"):
            await lab.network.listen("vpc-0a", "169.254.170.2", 80, datagrams=True)

    run(scenario)


async def _readable(asked: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(asked, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(asked)


def test_a_public_address_works_both_ways_and_a_private_task_stays_private(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        shown = SecurityGroup(group_id="sg-0pub", ingress=(rule("tcp", 80, 80, peer=EVERYWHERE),), egress=OUT)
        await lab.network.apply_vpc(plan(1, shown))
        pub = await lab.attach("pub", eni(1, "sg-0pub", public=lab.public(7)))
        two = await lab.attach("two", eni(2, "sg-0pub", public=lab.public(8)))
        private = await lab.attach("private", eni(3, "sg-0pub"))
        host = lab.pool_host_address()
        with (
            listener_in(pub.netns_path, "0.0.0.0", 80) as inside,
            listener_in(pub.netns_path, "0.0.0.0", 81),
            listener_in(None, host, 0) as outside,
        ):
            assert await seen_source(None, lab.public(7), 80, inside) == host
            assert await is_cut_off(None, lab.public(7), 81)
            assert await is_cut_off(None, lab.public(99), 80)
            port = outside.getsockname()[1]
            assert await seen_source(pub.netns_path, host, port, outside) == lab.public(7)
            assert await is_cut_off(private.netns_path, host, port)
            assert await is_cut_off(private.netns_path, lab.public(7), 80)
            # Between tasks by public address: the sender is seen by its own, also when it calls itself.
            assert await seen_source(two.netns_path, lab.public(7), 80, inside) == lab.public(8)
            assert await seen_source(pub.netns_path, lab.public(7), 80, inside) == lab.public(7)
            await lab.network.detach_eni("pub")
            assert await is_cut_off(None, lab.public(7), 80)

    run(scenario)


def test_a_task_reaches_no_other_address_of_the_host(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, SHUT))
        pub = await lab.attach("pub", eni(1, "sg-0shut", public=lab.public(7)))
        own = [address for address in _host_addresses() if not address.startswith(("127.", "169.254."))]
        with listener_in(None, "0.0.0.0", 0) as outside:
            port = outside.getsockname()[1]
            assert await reaches(pub.netns_path, lab.pool_host_address(), port)
            others = [address for address in own if address != lab.pool_host_address()]
            assert all(await asyncio.gather(*(is_cut_off(pub.netns_path, address, port) for address in others)))

    run(scenario)


def test_vpcs_with_the_same_addresses_are_apart(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, WEB))
        await lab.network.apply_vpc(plan(1, WEB, vpc="vpc-0b"))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(1, "sg-0web", vpc="vpc-0b"))
        c = await lab.attach("c", eni(2, "sg-0web", vpc="vpc-0b"))
        with listener_in(c.netns_path, "0.0.0.0", 8080):
            assert await reaches(b.netns_path, "172.31.1.2", 8080)
            assert await is_cut_off(a.netns_path, "172.31.1.2", 8080)

    run(scenario)


def test_forged_arp_and_neighbour_discovery_add_nothing(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, SHUT))
        a = await lab.attach("a", eni(1, "sg-0shut", ipv6=True))
        before = neighbours(lab.router())
        with socket_in(a.netns_path, socket.AF_PACKET, socket.SOCK_RAW) as raw:
            raw.bind(("eth0", 0))
            for number in range(300):
                raw.send(_arp_request(number))
                raw.send(_neighbour_solicitation(number))
        # Frames through a veth are handled before the sender's next one; this round trip is behind all of them.
        with await _metadata(lab) as metadata:
            assert await seen_source(a.netns_path, "169.254.170.2", 80, metadata) == "172.31.1.1"
        assert neighbours(lab.router()) == before

    run(scenario)


def test_the_router_itself_answers_nothing_else(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, SHUT))
        a = await lab.attach("a", eni(1, "sg-0shut", public=lab.public(7)))
        with (
            listener_in(lab.router(), "0.0.0.0", 9999),
            listener_in(str(lab.directory / "netns/edge"), "0.0.0.0", 9999),
        ):
            for address in ("169.254.170.2", "169.254.170.10", EDGE_HOP):
                assert await is_cut_off(a.netns_path, address, 9999)
                assert not await pings(a.netns_path, address)

    run(scenario)


def test_interface_counters_are_the_tasks(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        only_nine = SecurityGroup(group_id="sg-0web", ingress=(rule("udp", 9, 9, peer=EVERYWHERE),), egress=OUT)
        await lab.network.apply_vpc(plan(1, only_nine))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        with (
            socket_in(a.netns_path, kind=socket.SOCK_DGRAM) as sender,
            socket_in(b.netns_path, kind=socket.SOCK_DGRAM) as receiver,
        ):
            receiver.bind(("0.0.0.0", 9))
            for port in (9, 9, 9, 10, 10):
                sender.sendto(b"x" * 1000, ("172.31.1.2", port))
            for _ in range(3):
                await asyncio.wait_for(asyncio.get_running_loop().sock_recv(receiver, 2000), 10)
        sent, received = await lab.network.interface_stats("a"), await lab.network.interface_stats("b")
        # Nothing else was on the links: the kernel announces nothing of its own there.
        assert (sent.tx_packets, sent.tx_bytes) == (5, 5 * 1042)
        assert (sent.rx_packets, sent.rx_bytes) == (0, 0)
        # Two were not admitted by the group.
        assert (received.rx_packets, received.rx_bytes) == (3, 3 * 1042)
        assert (received.tx_packets, received.tx_bytes) == (0, 0)
        with pytest.raises(HostError, match="no interface"):
            await lab.network.interface_stats("c")

    run(scenario)


def test_the_kernel_announces_nothing_of_its_own_on_a_tasks_link(run: Run) -> None:
    """Who is in no group but that of all nodes sends no listener reports; also after the agent started again."""

    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, SHUT))
        a = await lab.attach("a", eni(1, "sg-0shut"))
        await lab.restart()
        await lab.attach("b", eni(2, "sg-0shut"))
        for namespace in (lab.router(), a.netns_path):
            assert set(_groups(namespace)) <= {"ff01" + "0" * 27 + "1", "ff02" + "0" * 27 + "1"}

    run(scenario)


def _groups(netns_path: str) -> list[str]:
    """IPv6 multicast groups that the namespace's links are members of."""
    with entered(netns_path):
        lines = Path("/proc/thread-self/net/igmp6").read_text().splitlines()
    assert len(lines) >= 4, "loopback and a link have groups"
    return [line.split()[2] for line in lines]


async def _metadata(lab: NetLab) -> socket.socket:
    return await lab.network.listen("vpc-0a", "169.254.170.2", 80)


def _closed_port() -> int:
    with listener_in(None, "127.0.0.1", 0) as probe:
        return int(probe.getsockname()[1])


def _host_addresses() -> list[str]:
    """The host's own IPv4 addresses, from its local routing table."""
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    return sorted({lines[i - 1].split()[-1] for i, line in enumerate(lines) if "/32 host LOCAL" in line})


def _arp_request(number: int) -> bytes:
    sender = struct.pack("!I", 0x0A000000 + number)
    ethernet = b"\xff" * 6 + b"\x0a\0\0\0\0\x01" + struct.pack("!H", 0x0806)
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + b"\x0a\0\0\0\0\x01" + sender + b"\0" * 6
    return ethernet + body + socket.inet_aton("169.254.170.2")


def _neighbour_solicitation(number: int) -> bytes:
    source = socket.inet_pton(socket.AF_INET6, f"fe80::bad:{number:x}")
    target = socket.inet_pton(socket.AF_INET6, "fe80::1")
    icmp = struct.pack("!BBHI", 135, 0, 0, 0) + target + b"\x01\x01\x0a\0\0\0\0\x01"
    pseudo = source + target + struct.pack("!II", len(icmp), 58)
    total = sum(struct.unpack(f"!{len(pseudo + icmp) // 2}H", pseudo + icmp))
    total = (total & 0xFFFF) + (total >> 16)
    icmp = icmp[:2] + struct.pack("!H", 0xFFFF - ((total & 0xFFFF) + (total >> 16))) + icmp[4:]
    ethernet = b"\x0e\xee\xee\xee\xee\xee" + b"\x0a\0\0\0\0\x01" + struct.pack("!H", 0x86DD)
    return ethernet + struct.pack("!IHBB", 6 << 28, len(icmp), 58, 255) + source + target + icmp
