"""IPv6 from tasks to "the internet": through the machine's own address, by both kinds of gateway, and never inwards."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.hostnet import netlink
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.uplink.pasta import program
from neargate.model.network import Route, SecurityGroup
from neargate.testing.netlab import (
    REACHED_WITHIN_S,
    REFUSED_AFTER_S,
    connect,
    eni,
    entered,
    listener_in,
    plan,
    reaches,
    rule,
)

from .uplink_lab import HOST_ADDRESS, OPEN, SERVER, WITHIN_S, UplinkLab, address_in, run

USER = pytest.param("user", marks=pytest.mark.skipif(program() is None, reason="passt is not installed"))
pytestmark = [pytest.mark.root, pytest.mark.parametrize("mode", ["nat", USER])]
HOST6, GATEWAY6, SERVER6 = "2001:db8:ff::2", "2001:db8:ff::1", "2001:db8:5e::7"
TASK6, LATER6, PRIVATE6 = "2001:db8::2", "2001:db8:ff::99", "fd00:1::7"
EVERYWHERE6 = "::/0"
BOTH = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer=EVERYWHERE6))
OPEN6 = SecurityGroup(group_id="sg-0six", ingress=BOTH, egress=BOTH)


async def start_with_ipv6(lab: UplinkLab, *, gateway: str = "igw-00000001") -> str:
    """A task with a private IPv4 address and an IPv6 one, behind this gateway."""
    give_ipv6(lab)
    await lab.start()
    known = plan(2, OPEN, OPEN6)
    [table] = known.tables
    routes = tuple(
        Route(destination=EVERYWHERE6, target=gateway) if route.destination == EVERYWHERE6 else route
        for route in table.routes
    )
    await lab.network.apply_vpc(replace(known, tables=(replace(table, routes=routes),)))
    return (await lab.attach("b", eni(2, "sg-0six", ipv6=True))).netns_path


def give_ipv6(lab: UplinkLab) -> None:
    """To the host and to the internet, with a default route."""
    with entered(lab.host), Netlink() as host, entered(lab.internet), Netlink() as internet:
        here, there = host.existing("eth0").index, internet.existing("net0").index
        host.run([netlink.address(here, HOST6), netlink.route(f"{GATEWAY6}/128", here)])
        host.run([netlink.route(EVERYWHERE6, here, via=GATEWAY6)])
        internet.run([netlink.address(there, address) for address in (GATEWAY6, SERVER6, PRIVATE6)])
        internet.run([netlink.route(f"{address}/128", there) for address in (HOST6, LATER6)])


async def gets_out(lab: UplinkLab, task: str, within_s: float = REACHED_WITHIN_S) -> str:
    """The address that a server on the internet sees; empty when nothing arrives."""
    loop = asyncio.get_running_loop()
    with listener_in(lab.internet, SERVER6, 80) as listener:
        client = await connect(task, SERVER6, 80, within_s)
        if client is None:
            return ""
        with client:
            accepted, peer = await asyncio.wait_for(loop.sock_accept(listener), WITHIN_S)
            with accepted:
                await loop.sock_sendall(accepted, b"hello")
                assert await asyncio.wait_for(loop.sock_recv(client, 16), WITHIN_S) == b"hello"
        return str(peer[0])


@pytest.mark.parametrize("gateway", ["igw-00000001", "eigw-00000001"])
def test_it_leaves_with_the_machines_address_and_nothing_comes_in(tmp_path: Path, mode: str, gateway: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        task = await start_with_ipv6(lab, gateway=gateway)
        assert await gets_out(lab, task) == HOST6
        assert await gets_out(lab, task) == HOST6
        # A machine that takes this one for the way to tasks' networks, and one on the machine itself.
        with entered(lab.internet), Netlink() as links:
            links.run([netlink.route("2001:db8::/56", links.existing("net0").index, via=HOST6)])
        with listener_in(task, "::", 8080):
            assert await connect(lab.internet, TASK6, 8080, 0.5) is None
            assert await connect(lab.internet, HOST6, 8080, 0.5) is None
        await lab.restart()
        assert await gets_out(lab, task) == HOST6
        assert await lab.gets_out() == HOST_ADDRESS

    run(tmp_path, mode, scenario)


def test_the_machine_itself_and_private_networks_are_not_reached(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        task = await start_with_ipv6(lab)
        address_in(lab.host, "eth0", LATER6)
        with listener_in(lab.host, "::", 8080), listener_in(lab.internet, "::", 8080):
            assert await reaches(task, SERVER6, 8080), "or silence would be measured"

            async def both_are_told() -> bool:
                for address in (HOST6, LATER6):
                    assert await connect(task, address, 8080, 0.3) is None
                said = lab.flow_log.read_text() if lab.flow_log.exists() else ""
                return all(f"src={TASK6} dst={address} proto=tcp" in said for address in (HOST6, LATER6))

            await lab.until(both_are_told, "nobody is told")
            assert await reaches(lab.host, PRIVATE6, 8080)
            assert await connect(task, PRIVATE6, 8080, 0.5) is None
            assert await connect(task, "::1", 8080, 0.3) is None

    run(tmp_path, mode, scenario)


def test_a_machine_without_ipv6_has_ipv4_all_the_same(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        await lab.start()
        await lab.network.apply_vpc(plan(2, OPEN, OPEN6))
        task = (await lab.attach("b", eni(2, "sg-0six", ipv6=True))).netns_path
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.state().works and lab.state().notes == ()
        assert await connect(task, SERVER6, 80, 0.5) is None
        give_ipv6(lab)

        async def says_so() -> bool:
            return any("IPv6 stays on this machine" in note for note in lab.state().notes) or mode == "nat"

        await lab.until(says_so, "nothing is said of it")

    run(tmp_path, mode, scenario)


def test_a_route_is_still_what_decides(tmp_path: Path, mode: str) -> None:
    """Without a route to a gateway IPv6 leads nowhere, whatever the uplink."""

    async def scenario(lab: UplinkLab) -> None:
        task = await start_with_ipv6(lab, gateway="blackhole")
        assert await gets_out(lab, task, REFUSED_AFTER_S) == ""
        with listener_in(lab.internet, SERVER, 80):
            assert await connect(task, SERVER, 80, 0.5) is None, "it has no public IPv4 address"

    run(tmp_path, mode, scenario)
