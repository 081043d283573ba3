"""Real packets to tasks with IPv6 addresses of the operator's pools: from the machine, its neighbours and routers
beyond, without translation. The host, the neighbour and the internet are played by namespaces."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet import netlink
from neargate.hostnet.namespaces import read_sysctl, write_sysctl
from neargate.hostnet.netlink import Netlink
from neargate.interfaces.hostnet import HostError
from neargate.model.network import (
    POOL_ANNOUNCED,
    POOL_LOCAL,
    POOL_ROUTED,
    Eni,
    PublicPool,
    SecurityGroup,
    VpcPlan,
)
from neargate.testing.netlab import connect, eni, entered, is_cut_off, listener_in, plan, reaches, rule
from neargate.testing.plans import with_public_subnet

from .test_uplink_ipv6 import HOST6, OPEN6, gets_out, give_ipv6
from .uplink_lab import WITHIN_S, UplinkLab, run

pytestmark = pytest.mark.root

# The network on lan0 is larger than the pool, as where a provider has put a whole /48 on the wire.
LAN6, HERE6, NEIGHBOUR6 = "2001:db8:1::/48", "2001:db8:1::1", "2001:db8:1::50"
POOL6, SUBNET6 = "2001:db8:1:100::/56", "2001:db8:1:100::/64"
TASK6, OTHER6, UNUSED6 = "2001:db8:1:100::5", "2001:db8:1:100::6", "2001:db8:1:100::7"
FAR6, FAR_SUBNET6, FAR_TASK6 = "2001:db8:7::/48", "2001:db8:7:100::/64", "2001:db8:7:100::5"
SHUT = SecurityGroup(group_id="sg-0shut", egress=(rule("-1", peer="::/0"),))
SWITCHES = ("ipv6/conf/lan0/proxy_ndp", "ipv6/neigh/lan0/proxy_delay", "ipv6/conf/lan0/forwarding")


class Lan6:
    """The lab's host has IPv6, and one more interface with a neighbour who knows nobody but by asking."""

    def __init__(self, lab: UplinkLab, *, forwards: bool = True) -> None:
        self.lab = lab
        give_ipv6(lab)
        lab.second_network("lan0", "192.168.77.1", "192.168.77.50")
        with entered(lab.host), Netlink() as host:
            if forwards:
                write_sysctl("ipv6/conf/all/forwarding", "1")
            index = host.existing("lan0").index
            host.run([netlink.address(index, HERE6), netlink.route(LAN6, index)])
        with entered(lab.second), Netlink() as other:
            index = other.existing("eth0").index
            other.run([netlink.address(index, NEIGHBOUR6), netlink.route(LAN6, index)])
        lab.allowed_pools = tuple(PublicPool(cidr=cidr, way=POOL_ANNOUNCED) for cidr in (POOL6, FAR6))

    @property
    def neighbour(self) -> str:
        return self.lab.second

    def trace(self) -> Any:
        """All that may be left on the host. Of the lab's own links, not of the region's."""
        with entered(self.lab.host), Netlink() as host:
            answered = sorted(address for _, address in netlink.proxied(host))
            routes = sorted(one for one in host.routes(6) if not one.startswith(("fe80:", "ff")))
            return self.lab.ruleset(), answered, routes, [read_sysctl(name) for name in SWITCHES]

    async def is_announced(self, *addresses: str) -> None:
        async def announced() -> bool:
            return self.trace()[1] == sorted(addresses)

        await self.lab.until(announced, f"{addresses} are not what is answered for")


def six(number: int, group: str, address: str) -> Eni:
    return replace(eni(number, group), ipv6=address)


def pooled6(generation: int, way: str, *, cidr: str = POOL6, subnet: str = SUBNET6, route: bool = True) -> VpcPlan:
    """A VPC with a network of the pool, and one public subnet in it."""
    whole = VpcPlan(
        vpc_id="vpc-0a",
        generation=generation,
        cidrs=("172.31.0.0/16", str(subnet).replace("/64", "/56")),
        groups=(OPEN6, SHUT),
        pools=(PublicPool(cidr=cidr, way=way),),
    )
    made = with_public_subnet(whole, "subnet-0a", "172.31.0.0/20", subnet)
    (table,) = made.tables
    kept = tuple(one for one in table.routes if route or one.target == "local")
    return replace(made, tables=(replace(table, routes=kept),))


async def seen6(caller: str, address: str, listener: Any) -> str:
    """Whom the listener sees; empty when the call does not come through."""
    client = await connect(caller, address, 80, 5.0)
    if client is None:
        return ""
    with client:
        accepted, peer = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(listener), WITHIN_S)
        accepted.close()
        return str(peer[0])


def test_neighbours_find_tasks_and_nothing_is_left(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab)
        before = lan.trace()
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_ANNOUNCED))
        task = (await lab.attach("a", six(1, "sg-0six", TASK6))).netns_path
        shut = (await lab.attach("b", six(2, "sg-0shut", OTHER6))).netns_path
        await lan.is_announced(TASK6, OTHER6)
        with listener_in(task, "::", 80) as listener, listener_in(shut, "::", 80):
            assert await seen6(lan.neighbour, TASK6, listener) == NEIGHBOUR6
            assert await is_cut_off(lan.neighbour, OTHER6, 80), "its group lets nobody in"
            assert await is_cut_off(lan.neighbour, UNUSED6, 80), "nobody has it"
        with listener_in(lan.neighbour, "::", 80) as listener:
            assert await seen6(task, NEIGHBOUR6, listener) == TASK6, "nothing is translated"
        with listener_in(lab.host, "::", 8080):
            assert await is_cut_off(task, HERE6, 8080), "the machine itself"
            assert await is_cut_off(task, HOST6, 8080)
        await lab.network.detach_eni("b")
        await lan.is_announced(TASK6)
        await lab.restart()
        with listener_in(task, "::", 80):
            assert await reaches(lan.neighbour, TASK6, 80)
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario)


@pytest.mark.parametrize("way", [POOL_ROUTED, POOL_LOCAL])
def test_a_pool_that_routers_lead_here_and_one_that_nobody_does(tmp_path: Path, way: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab)
        before = lan.trace()
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, way, cidr=FAR6, subnet=FAR_SUBNET6))
        task = (await lab.attach("a", six(1, "sg-0six", FAR_TASK6))).netns_path
        with entered(lab.internet), Netlink() as links:
            links.run([netlink.route(FAR6, links.existing("net0").index, via=HOST6)])
        with listener_in(task, "::", 80) as listener:
            assert await seen6(lab.host, FAR_TASK6, listener) != "", "the machine itself finds it"
            if way == POOL_ROUTED:
                assert await reaches(lab.internet, FAR_TASK6, 80)
                assert await gets_out(lab, task) == FAR_TASK6
            else:
                assert await is_cut_off(lab.internet, FAR_TASK6, 80)
                assert await gets_out(lab, task) == HOST6
            assert await is_cut_off(lab.internet, FAR_TASK6.replace("::5", "::9"), 80)
        assert lan.trace()[1] == [], "nobody is answered for it"
        await lab.network.detach_eni("a")
        await lab.network.apply_vpc(plan(2, OPEN6))
        with entered(lab.host), Netlink() as host:
            assert FAR6 not in host.routes(6)
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario)


def test_the_machine_finds_them_without_an_uplink(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.allowed_pools = (PublicPool(cidr=FAR6),)
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_LOCAL, cidr=FAR6, subnet=FAR_SUBNET6))
        task = (await lab.attach("a", six(1, "sg-0six", FAR_TASK6))).netns_path
        with listener_in(task, "::", 80) as listener:
            assert (await seen6(lab.host, FAR_TASK6, listener)).startswith("fd6e:6761:7465:3::")
            await lab.network.apply_vpc(pooled6(2, POOL_LOCAL, cidr=FAR6, subnet=FAR_SUBNET6, route=False))
            assert await is_cut_off(lab.host, FAR_TASK6, 80), "its table has no route to an internet gateway"

    run(tmp_path, "none", scenario)


def test_a_pool_that_the_host_has_not_allowed_or_that_holds_its_own(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab)
        lab.allowed_pools = (PublicPool(cidr=LAN6, way=POOL_ANNOUNCED),)
        before = lan.trace()
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_ANNOUNCED, cidr="2001:db8:1::/56", subnet="2001:db8:1::/64"))
        await lab.attach("a", six(1, "sg-0six", "2001:db8:1::51"))
        assert "2001:db8:1::1, which is this machine's own" in lab.network.refused_pools
        await lab.network.apply_vpc(pooled6(2, POOL_ANNOUNCED, cidr=FAR6, subnet=FAR_SUBNET6))
        assert f"{FAR6} (announced) is not allowed on this host" in lab.network.refused_pools
        assert (lan.trace()[1], lan.trace()[2]) == (before[1], before[2])
        with pytest.raises(HostError, match="cannot be given"):
            await lab.attach("b", replace(eni(2, "sg-0six"), public_ipv4="203.0.113.9"))

    run(tmp_path, "none", scenario)


def test_a_host_that_is_no_router_says_that_it_cannot_answer(tmp_path: Path) -> None:
    """What it forwards by link is forwarded; answers for others the kernel gives as a router only."""

    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab, forwards=False)
        before = lan.trace()
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_ANNOUNCED))
        task = (await lab.attach("a", six(1, "sg-0six", TASK6))).netns_path

        async def says_so() -> bool:
            return any("net.ipv6.conf.lan0.forwarding is off" in note for note in lab.state().notes)

        await lab.until(says_so, "nothing is said")
        assert lan.trace()[1] == [] and lan.trace()[3] == before[3]
        with entered(lab.host):
            can = read_sysctl("ipv6/conf/lan0/force_forwarding") is not None
        with entered(lab.second), Netlink() as other:
            other.run([netlink.route(POOL6, other.existing("eth0").index, via=HERE6)])
        with listener_in(task, "::", 80):
            assert await reaches(lan.neighbour, TASK6, 80) == can, "who has a route comes through"
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario)


def test_the_internet_gateway_decides(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab)
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_ANNOUNCED))
        task = (await lab.attach("a", six(1, "sg-0six", TASK6))).netns_path
        await lan.is_announced(TASK6)
        with listener_in(task, "::", 80):
            assert await reaches(lan.neighbour, TASK6, 80)
            await lab.network.apply_vpc(pooled6(2, POOL_ANNOUNCED, route=False))
            assert await is_cut_off(lan.neighbour, TASK6, 80)

    run(tmp_path, "nat", scenario)


def test_an_egress_only_gateway_lets_out_and_nobody_in(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan6(lab)
        await lab.network.start()
        known = pooled6(1, POOL_ANNOUNCED)
        (table,) = known.tables
        only = tuple(replace(one, target="eigw-00000001") if one.target != "local" else one for one in table.routes)
        await lab.network.apply_vpc(replace(known, tables=(replace(table, routes=only),)))
        task = (await lab.attach("a", six(1, "sg-0six", TASK6))).netns_path
        await lan.is_announced(TASK6)
        with listener_in(lan.neighbour, "::", 80) as listener:
            assert await seen6(task, NEIGHBOUR6, listener) == TASK6
        with listener_in(task, "::", 80):
            assert await is_cut_off(lan.neighbour, TASK6, 80)

    run(tmp_path, "nat", scenario)


def test_behind_a_firewall_that_drops(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.rules("add table ip6 filter")
        lab.rules("add chain ip6 filter FORWARD { type filter hook forward priority 0; policy drop; }")
        lan = Lan6(lab)
        before = lan.trace()
        await lab.network.start()
        await lab.network.apply_vpc(pooled6(1, POOL_ANNOUNCED))
        task = (await lab.attach("a", six(1, "sg-0six", TASK6))).netns_path
        hidden = (await lab.attach("b", six(2, "sg-0six", "2001:db8:2::5"))).netns_path
        await lan.is_announced(TASK6)
        with listener_in(task, "::", 80) as listener:
            assert await seen6(lan.neighbour, TASK6, listener) == NEIGHBOUR6
        with entered(lan.neighbour), Netlink() as links:
            links.run([netlink.route("2001:db8:2::/48", links.existing("eth0").index, via=HERE6)])
        with listener_in(hidden, "::", 80):
            assert await is_cut_off(lan.neighbour, "2001:db8:2::5", 80), "nothing else came open"
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario)
