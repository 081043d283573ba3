"""Real packets from a neighbour on the uplink's network to tasks with addresses of the operator's pools, and what is
left of it on the host. The host and the neighbour are played by namespaces."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.hostnet import netlink
from neargate.hostnet.namespaces import read_sysctl, write_sysctl
from neargate.hostnet.netlink import Netlink
from neargate.hostnet.uplink.announcing import Announcing
from neargate.hostnet.uplink.record import UplinkFiles
from neargate.interfaces.hostnet import HostError
from neargate.model.network import (
    POOL_ANNOUNCED,
    POOL_LOCAL,
    POOL_ROUTED,
    PlannedNat,
    PublicPool,
    SecurityGroup,
    VpcPlan,
)
from neargate.testing.netlab import connect, eni, entered, is_cut_off, listener_in, plan, reaches, rule, seen_source

from .test_uplink_nat import FIREWALLS
from .uplink_lab import OPEN, UplinkLab, run

pytestmark = pytest.mark.root

# A private network, as most are: what finds tasks there is not what an internet gateway leads to.
LAN, HERE, NEIGHBOUR = "192.168.77.0/24", "192.168.77.1", "192.168.77.50"
POOL, PUBLIC, OTHER, UNUSED = "192.168.77.192/28", "192.168.77.195", "192.168.77.196", "192.168.77.197"
ALLOWED = ((LAN, POOL_ANNOUNCED), ("100.99.7.0/24", POOL_ROUTED))
CLOSED = SecurityGroup(group_id="sg-0shut", egress=(rule("-1", peer="0.0.0.0/0"),))
Trace = tuple[Any, list[str], str | None]


class Lan:
    """The lab's host has one more interface, with a neighbour who knows nobody but by asking."""

    def __init__(self, lab: UplinkLab) -> None:
        self.lab = lab
        lab.allowed_pools = tuple(PublicPool(cidr=cidr, way=way) for cidr, way in ALLOWED)
        lab.second_network("lan0", HERE, NEIGHBOUR)
        with entered(lab.host), Netlink() as host:
            host.run([netlink.route(LAN, host.existing("lan0").index)])
        with entered(lab.second), Netlink() as other:
            other.run([netlink.route_gone("0.0.0.0/0"), netlink.route(LAN, other.existing("eth0").index)])

    @property
    def neighbour(self) -> str:
        return self.lab.second

    async def begin(self, way: str = POOL_ANNOUNCED, cidr: str = POOL, public: str = PUBLIC) -> str:
        """The path of a task's namespace, which has the address."""
        await self.lab.network.start()
        await self.lab.network.apply_vpc(pooled(1, cidr, way))
        self.lab.task = (await self.lab.attach("a", eni(1, "sg-0open", public=public))).netns_path
        return self.lab.task

    def trace(self) -> Trace:
        """All that may be left on the host."""
        with entered(self.lab.host), Netlink() as host:
            answered = [address for _, address in netlink.proxied(host)]
            return self.lab.footprint(), sorted(answered), read_sysctl("ipv4/neigh/lan0/proxy_delay")

    async def is_announced(self, *addresses: str) -> None:
        async def announced() -> bool:
            return self.trace()[1] == sorted(addresses)

        await self.lab.until(announced, f"{addresses} are not what is answered for")


def pooled(generation: int, *cidrs_and_way: str, base: VpcPlan | None = None) -> VpcPlan:
    *cidrs, way = cidrs_and_way
    pools = tuple(PublicPool(cidr=cidr, way=way) for cidr in cidrs)
    return replace(base or plan(generation, OPEN, CLOSED), generation=generation, pools=pools)


@pytest.mark.parametrize("forwards", [True, False])
def test_a_neighbour_reaches_a_task_and_nothing_is_left(tmp_path: Path, forwards: bool) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        before = lan.trace()
        task = await lan.begin()
        shut = (await lab.attach("b", eni(2, "sg-0shut", public=OTHER))).netns_path
        await lan.is_announced(PUBLIC, OTHER)
        with listener_in(task, "0.0.0.0", 80) as listener, listener_in(shut, "0.0.0.0", 80):
            assert await seen_source(lan.neighbour, PUBLIC, 80, listener) == NEIGHBOUR
            assert await is_cut_off(lan.neighbour, OTHER, 80), "its group lets nobody in"
            assert await is_cut_off(lan.neighbour, UNUSED, 80), "nobody has it"
            assert await reaches(lab.host, PUBLIC, 80)
        with listener_in(lan.neighbour, NEIGHBOUR, 80):
            assert await reaches(lab.host, NEIGHBOUR, 80)
            assert await is_cut_off(task, NEIGHBOUR, 80), "an internet gateway leads to no private network"
        await lab.network.detach_eni("b")
        await lan.is_announced(PUBLIC)
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario, forwards=forwards)


def test_it_goes_out_by_its_own_address(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        await lan.begin()
        lab.takes_host_for_its_router(POOL)
        assert await lab.gets_out() == PUBLIC

    run(tmp_path, "nat", scenario)


def test_tasks_find_each_other_by_such_addresses(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        task = await lan.begin()
        other = (await lab.attach("b", eni(2, "sg-0open", public=OTHER))).netns_path
        with listener_in(other, "0.0.0.0", 80) as listener:
            assert await seen_source(task, OTHER, 80, listener) == PUBLIC

    run(tmp_path, "nat", scenario)


def test_the_internet_gateway_decides(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        task = await lan.begin()
        whole = plan(2, OPEN, CLOSED)
        (main,) = whole.tables
        inside = replace(main, routes=tuple(one for one in main.routes if one.target == "local"))
        with listener_in(task, "0.0.0.0", 80):
            await lan.is_announced(PUBLIC)
            assert await reaches(lan.neighbour, PUBLIC, 80)
            await lab.network.apply_vpc(pooled(2, POOL, POOL_ANNOUNCED, base=replace(whole, tables=(inside,))))
            assert await is_cut_off(lan.neighbour, PUBLIC, 80)
            await lab.network.apply_vpc(pooled(3, POOL, POOL_ANNOUNCED))
            assert await reaches(lan.neighbour, PUBLIC, 80)

    run(tmp_path, "nat", scenario)


@pytest.mark.parametrize("firewall", ["docker", "ufw", "legacy"])
def test_behind_a_firewall_that_drops(tmp_path: Path, firewall: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        for line in filter(None, map(str.strip, FIREWALLS[firewall].splitlines())):
            lab.command(line)
        lan = Lan(lab)
        before = lan.trace()
        task = await lan.begin()
        await lan.is_announced(PUBLIC)
        with listener_in(task, "0.0.0.0", 80):
            assert await reaches(lan.neighbour, PUBLIC, 80)
        # Nothing else came open: the host is no way into a task that is found by nobody.
        hidden = (await lab.attach("b", eni(2, "sg-0open", public="198.18.7.9"))).netns_path
        lab.takes_host_for_its_router("198.18.7.0/24")
        with listener_in(hidden, "0.0.0.0", 80):
            assert await reaches(lab.host, "198.18.7.9", 80)
            assert await connect(lab.internet, "198.18.7.9", 80, 0.5) is None
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario)


def test_repaired_after_somebody_removed_it(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        task = await lan.begin()
        await lan.is_announced(PUBLIC)
        whole = lan.trace()
        lab.command(f"ip neigh del proxy {PUBLIC} dev lan0")
        lab.command("nft flush ruleset")
        with entered(lab.host):
            write_sysctl("ipv4/neigh/lan0/proxy_delay", "80")

        async def is_as_before() -> bool:
            return lan.trace() == whole

        await lab.until(is_as_before, "it is not as it was")
        with listener_in(task, "0.0.0.0", 80):
            assert await reaches(lan.neighbour, PUBLIC, 80)

    run(tmp_path, "nat", scenario)


def test_what_others_answer_for_stays_theirs(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        for address in (PUBLIC, "192.168.77.60"):
            lab.command(f"ip neigh add proxy {address} dev lan0")
        before = lan.trace()
        await lan.begin()
        await lab.attach("b", eni(2, "sg-0shut", public=OTHER))
        await lan.is_announced(PUBLIC, OTHER, "192.168.77.60")
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario)


@pytest.mark.parametrize("killed_at", ["written", "delayed", "answering", "withdrawn"])
def test_killed_between_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: str) -> None:
    """Whatever was made so far is removed by the next one, which knows nothing but what lies on the host."""

    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        before = lan.trace()
        with monkeypatch.context() as patch:
            if killed_at != "withdrawn":
                _killed_at(patch, killed_at)
            await lan.begin()

            async def killed() -> bool:
                return lab.state().why == "killed" if killed_at != "withdrawn" else bool(lan.trace()[1])

            await lab.until(killed, "it lives on")
            if killed_at == "withdrawn":
                _killed_at(patch, "written")
                await lab.network.detach_eni("a")
            await lab.network.close()
        assert UplinkFiles(lab.directory).record() is not None
        lab.network = lab.another_agent()
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario, forwards=False)


def _killed_at(patch: pytest.MonkeyPatch, step: str) -> None:
    """From the end of that step on nothing is announced or withdrawn any more."""
    names = {"written": "_settled", "delayed": "_set_delays", "answering": "_write"}
    done, dead = getattr(Announcing, names[step]), list[bool]()

    def and_then_killed(*arguments: Any, **more: Any) -> None:
        if not dead:
            done(*arguments, **more)
        dead.append(True)
        raise OSError("killed")

    patch.setattr(Announcing, names[step], and_then_killed)


def test_the_next_agent_goes_on_and_withdraws(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        task = await lan.begin()
        await lab.attach("b", eni(2, "sg-0open", public=OTHER))
        await lan.is_announced(PUBLIC, OTHER)
        await lab.restart()
        with listener_in(task, "0.0.0.0", 80):
            assert await reaches(lan.neighbour, PUBLIC, 80)
        await lab.network.detach_eni("b")
        await lan.is_announced(PUBLIC)
        await lab.again("none")
        await lan.is_announced()
        assert await is_cut_off(lan.neighbour, PUBLIC, 80)
        assert lab.state().notes == (f"{POOL} is found by nobody beyond this machine: that takes --uplink nat",)
        await lab.again("nat")
        await lan.is_announced(PUBLIC)

    run(tmp_path, "nat", scenario)


@pytest.mark.parametrize("way", [POOL_ROUTED, POOL_LOCAL])
def test_a_pool_that_routers_lead_here_and_one_that_nobody_does(tmp_path: Path, way: str) -> None:
    cidr, public, unused = "100.99.7.0/28", "100.99.7.3", "100.99.7.4"

    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        before = lan.trace()
        task = await lan.begin(way, cidr, public)
        lab.takes_host_for_its_router(cidr)
        with listener_in(task, "0.0.0.0", 80):
            assert await reaches(lab.host, public, 80)
            if way == POOL_ROUTED:
                assert await reaches(lab.internet, public, 80)
                assert await lab.gets_out() == public
            else:
                assert await is_cut_off(lab.internet, public, 80)
                assert await lab.gets_out() == "203.0.113.2"
            assert await is_cut_off(lab.internet, unused, 80)
        assert lan.trace()[1] == [], "nobody is answered for it"
        # The pool goes when the region has it no more, and nobody has an address of it.
        await lab.network.detach_eni("a")
        await lab.network.apply_vpc(plan(2, OPEN, CLOSED))
        with entered(lab.host), Netlink() as host:
            assert cidr not in host.routes()
        await lab.network.remove_all()
        assert lan.trace() == before

    run(tmp_path, "nat", scenario, forwards=False)


def test_by_pasta_tasks_of_a_pool_get_out_too(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        await lan.begin(POOL_LOCAL, "100.99.7.0/28", "100.99.7.3")

        async def gets_out() -> bool:
            return await lab.gets_out() == "203.0.113.2"

        await lab.until(gets_out, "nothing gets out")

    run(tmp_path, "user", scenario)


def test_the_address_of_a_gateway_is_nobodys_when_its_vpc_leaves(tmp_path: Path) -> None:
    """Another host may have the gateway by then, and its neighbours are to find it there."""

    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        await lab.network.start()
        before = lan.trace()
        whole = plan(1, OPEN, CLOSED)
        gateway = PlannedNat(
            nat_id="nat-0a",
            subnet_id=whole.subnets[0].subnet_id,
            private_ipv4="172.31.1.200",
            public_ipv4=PUBLIC,
        )
        await lab.network.apply_vpc(pooled(1, POOL, POOL_ANNOUNCED, base=replace(whole, nats=(gateway,))))
        await lan.is_announced(PUBLIC)
        await lab.network.remove_vpc(whole.vpc_id, 1)
        await lan.is_announced()
        assert lan.trace()[1:] == before[1:]
        with entered(lab.host), Netlink() as host:
            assert POOL not in host.routes(), "nor is the pool led to tasks"

    run(tmp_path, "nat", scenario)


def test_a_pool_that_would_take_from_the_host_is_not_led_to_tasks(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        before = lan.trace()
        await lan.begin(POOL_ANNOUNCED, "192.168.77.0/26", "192.168.77.30")
        with listener_in(lan.neighbour, NEIGHBOUR, 80):
            assert await reaches(lab.host, NEIGHBOUR, 80)
        assert (lan.trace()[0][2], lan.trace()[1]) == (before[0][2], [])

    run(tmp_path, "nat", scenario)


def test_the_host_decides_what_it_gives_away(tmp_path: Path) -> None:
    """A server names a part of the network and a block as pools: this host's operator has allowed neither, then one."""

    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        before = lan.trace()
        lab.allowed_pools = ()
        await lab.network.start()
        await lab.network.apply_vpc(pooled(1, POOL, "100.99.7.0/28", POOL_ANNOUNCED))
        with pytest.raises(HostError, match=rf"{PUBLIC} cannot be given: .*neargate ip-pool allow {POOL} --announce"):
            await lab.attach("a", eni(1, "sg-0open", public=PUBLIC))
        lab.task = (await lab.attach("b", eni(2, "sg-0open", public="198.18.7.9"))).netns_path
        with listener_in(lan.neighbour, NEIGHBOUR, 80):
            assert await is_cut_off(lab.task, NEIGHBOUR, 80), "the network is none of tasks', whatever its name"

        async def told() -> bool:
            return len(lab.state().refused) == 2

        await lab.until(told, "nothing is said")
        assert "100.99.7.0/28 (announced) is not allowed on this host" in lab.network.refused_pools
        assert (lan.trace()[0][2], lan.trace()[1:]) == (before[0][2], before[1:])

        lab.allowed_pools = (PublicPool(cidr=POOL, way=POOL_ANNOUNCED),)
        await lab.network.consider_pools()
        task = (await lab.attach("a", eni(1, "sg-0open", public=PUBLIC))).netns_path
        await lan.is_announced(PUBLIC)
        with listener_in(task, "0.0.0.0", 80):
            assert await reaches(lan.neighbour, PUBLIC, 80)
        lab.allowed_pools = ()
        await lab.network.consider_pools()
        await lan.is_announced()
        with entered(lab.host), Netlink() as host:
            assert POOL not in host.routes()
        assert await is_cut_off(lan.neighbour, PUBLIC, 80)

    run(tmp_path, "nat", scenario)


def test_a_pool_that_is_forbidden_is_led_nowhere_also_where_a_vpc_takes_no_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError("the kernel takes no rules")

    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        await lan.begin()
        await lan.is_announced(PUBLIC)
        lab.allowed_pools = ()
        monkeypatch.setattr(lab.network._vpcs, "apply", refuses)
        with pytest.raises(HostError, match="takes no rules"):
            await lab.network.consider_pools()
        await lan.is_announced()
        with entered(lab.host), Netlink() as host:
            assert POOL not in host.routes()

    run(tmp_path, "nat", scenario)


def test_an_address_that_becomes_the_hosts_or_its_gateways_is_announced_no_more(tmp_path: Path) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lan = Lan(lab)
        await lan.begin()
        await lab.attach("b", eni(2, "sg-0open", public=OTHER))
        await lan.is_announced(PUBLIC, OTHER)
        lab.command(f"ip address add {PUBLIC}/32 dev lan0")
        lab.command(f"ip route add 203.0.114.0/24 via {OTHER} dev lan0 onlink")
        await lan.is_announced()
        assert f"{PUBLIC} is this machine's own or its gateway's, and not announced" in lab.state().notes
        lab.command("ip route del 203.0.114.0/24")
        await lan.is_announced(OTHER)
        await lab.network.apply_vpc(pooled(2, POOL, POOL_ANNOUNCED))
        assert f"{POOL} holds {PUBLIC}, which is this machine's own" in lab.network.refused_pools

    run(tmp_path, "nat", scenario)
