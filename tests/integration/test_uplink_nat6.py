"""What `--uplink nat` adds to the host for IPv6: forwarding for tasks alone, and nothing that outlives it."""

import asyncio
import socket
from pathlib import Path

import pytest

from neargate.hostnet import netlink
from neargate.hostnet.namespaces import read_sysctl, write_sysctl
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.uplink import nat6
from neargate.testing.netlab import REFUSED_AFTER_S, entered, listener_in, reaches, socket_in

from .test_uplink_ipv6 import GATEWAY6, HOST6, gets_out, give_ipv6, start_with_ipv6
from .uplink_lab import HOST_ADDRESS, WITHIN_S, UplinkLab, run

BEHIND6, SECOND6 = "2001:db8:bb::1", "2001:db8:bb::7"
KERNEL_CAN = Path("/proc/sys/net/ipv6/conf/all/force_forwarding").exists()
pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not KERNEL_CAN, reason="before Linux 6.17 all links forward IPv6, or none"),
]


def _footprint(lab: UplinkLab) -> tuple[dict[str, str], list[str]]:
    with entered(lab.host), Netlink() as links:
        switches = {
            str(path): path.read_text()
            for name in ("forwarding", "force_forwarding", "accept_ra", "autoconf")
            for path in Path("/proc/sys/net/ipv6/conf").glob(f"*/{name}")
            if f"/{lab.link}/" not in str(path)
        }
        return switches, sorted(set(links.routes(6)))


def _second_network(lab: UplinkLab) -> None:
    """A machine on another link of the host, which takes it for its router, as the internet does for that machine."""
    lab.second_network("lan0", "192.0.2.1", "192.0.2.7")
    with entered(lab.host), Netlink() as host, entered(lab.second), Netlink() as other:
        here, there = host.existing("lan0").index, other.existing("eth0").index
        host.run([netlink.address(here, BEHIND6), netlink.route(f"{SECOND6}/128", here)])
        other.run([netlink.address(there, SECOND6), netlink.route(f"{BEHIND6}/128", there)])
        other.run([netlink.route("::/0", there, via=BEHIND6)])
    with entered(lab.internet), Netlink() as internet:
        internet.run([netlink.route(f"{SECOND6}/128", internet.existing("net0").index, via=HOST6)])


async def _first_that_arrives(lab: UplinkLab, sender: str, receiver: str, address: str) -> bytes:
    """Of two datagrams: one through the host, then one of its own, by the same link."""
    loop = asyncio.get_running_loop()
    with socket_in(receiver, socket.AF_INET6, socket.SOCK_DGRAM) as there:
        there.bind((address, 5353))
        for place, said in ((sender, b"through the machine"), (lab.host, b"of the machine itself")):
            with socket_in(place, socket.AF_INET6, socket.SOCK_DGRAM) as one:
                one.sendto(said, (address, 5353))
        return await asyncio.wait_for(loop.sock_recv(there, 64), WITHIN_S)


def test_a_host_that_forwards_nothing_forwards_for_tasks_alone(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        _second_network(lab)
        give_ipv6(lab)
        before = _footprint(lab)
        task = await start_with_ipv6(lab)
        assert await gets_out(lab, task) == HOST6
        with entered(lab.host):
            assert read_sysctl("ipv6/conf/all/forwarding") == "0"
            assert read_sysctl("ipv6/conf/eth0/forwarding") == "0", "it goes on to hear router advertisements"
            assert read_sysctl("ipv6/conf/eth0/force_forwarding") == "1"
        assert await _first_that_arrives(lab, lab.internet, lab.second, SECOND6) == b"of the machine itself"
        assert await _first_that_arrives(lab, lab.second, lab.internet, GATEWAY6) == b"of the machine itself"
        await lab.network.remove_all()
        assert _footprint(lab) == before

    run(tmp_path, "nat", scenario)


def test_another_mode_undoes_it(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        task = await start_with_ipv6(lab)
        with entered(lab.host), Netlink() as links:
            assert any(route.startswith("fd6e:6761:7465:1:") for route in links.routes(6))
        assert await gets_out(lab, task) == HOST6
        await lab.again("none")
        assert await gets_out(lab, task, REFUSED_AFTER_S) == ""
        with entered(lab.host), Netlink() as links:
            assert not any(route.startswith("fd6e:") for route in links.routes(6))
            assert read_sysctl("ipv6/conf/eth0/force_forwarding") == "0"
            assert read_sysctl(f"ipv6/conf/{lab.link}/force_forwarding") == "0"

    run(tmp_path, "nat", scenario)


def test_of_a_host_that_forwards_nothing_is_switched(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        _second_network(lab)
        with entered(lab.host):
            write_sysctl("ipv6/conf/all/forwarding", "1")
        task = await start_with_ipv6(lab)
        assert await gets_out(lab, task) == HOST6
        with entered(lab.host):
            assert read_sysctl("ipv6/conf/eth0/force_forwarding") == "0"
        with listener_in(lab.second, SECOND6, 80):
            assert await reaches(lab.internet, SECOND6, 80), "it forwards as before"
        await lab.network.remove_all()
        with entered(lab.host):
            assert read_sysctl("ipv6/conf/all/forwarding") == "1"

    run(tmp_path, "nat", scenario)


def test_an_older_kernel_says_why_not_and_ipv4_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nat6, "_forced", lambda _: None)

    async def scenario(lab: UplinkLab) -> None:
        task = await start_with_ipv6(lab)
        assert await lab.gets_out() == HOST_ADDRESS
        assert await gets_out(lab, task, REFUSED_AFTER_S) == ""
        assert nat6.CANNOT in lab.state().notes
        with entered(lab.host):
            assert read_sysctl("ipv6/conf/all/forwarding") == "0"

    run(tmp_path, "nat", scenario)


@pytest.mark.parametrize(
    "firewall",
    [
        "table ip6 filter { chain FORWARD { type filter hook forward priority 0; policy drop; }\n}",
        "table inet filter { chain forward { type filter hook forward priority 0; policy accept; drop\n}\n}",
    ],
    ids=["ip6tables", "nftables"],
)
def test_behind_a_firewall_that_drops(tmp_path: Path, firewall: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.rules(firewall)
        before = lab.ruleset()
        task = await start_with_ipv6(lab)
        assert await gets_out(lab, task) == HOST6
        assert await lab.gets_out() == HOST_ADDRESS
        assert lab.state().notes
        await lab.network.remove_all()
        assert lab.ruleset() == before

    run(tmp_path, "nat", scenario)
