"""What a host keeps of a VPC that it needs no longer, of flows of a task that ended, of a plan that failed half-way."""

import asyncio
import errno
import os

import pytest
from msgspec.structs import replace

from neargate.hostnet import peerings
from neargate.hostnet.conntrack import Conntrack
from neargate.hostnet.edge import Edge, router_port
from neargate.hostnet.netlink import Netlink, NetlinkError
from neargate.hostnet.router import Router
from neargate.interfaces.hostnet import HostError
from neargate.model.network import (
    TASK_METADATA_ADDRESS,
    Eni,
    PlannedNat,
    PlannedPeering,
    SecurityGroup,
    VpcPlan,
)
from neargate.testing.netlab import NetLab, connect, eni, entered, is_cut_off, listener_in, plan, reaches, rule
from neargate.testing.plans import table, with_public_subnet
from neargate.vpc.table import peering_link

from .own_network import Run

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"),)
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)
REMOVED_WITHIN_S = 10.0
HERE, THERE, TWIN = "vpc-0a", "vpc-0b", "vpc-0c"
TO_THERE, TO_TWIN = "pcx-0a", "pcx-0b"


def here(generation: int, *, nats: tuple[PlannedNat, ...] = ()) -> VpcPlan:
    """172.31.0.0/16, peered with THERE."""
    return _with_route(replace(plan(generation, OPEN), nats=nats), "10.5.0.0/16", TO_THERE, THERE)


def there(generation: int) -> VpcPlan:
    """10.5.0.0/16, peered with HERE; its second subnet with TWIN, which has the networks of HERE."""
    bare = VpcPlan(vpc_id=THERE, generation=generation, cidrs=("10.5.0.0/16",), groups=(OPEN,))
    first = _with_route(with_public_subnet(bare, "subnet-0a", "10.5.0.0/20"), "172.31.0.0/16", TO_THERE, HERE)
    other = with_public_subnet(bare, "subnet-0b", "10.5.16.0/20")
    own = table("rtb-0twin", ("172.31.0.0/16", TO_TWIN), local=bare.cidrs)
    return replace(
        first,
        subnets=(*first.subnets, replace(other.subnets[0], route_table="rtb-0twin")),
        tables=(*first.tables, own),
        peerings=(*first.peerings, PlannedPeering(peering_id=TO_TWIN, peer_vpc=TWIN)),
    )


def twin(generation: int) -> VpcPlan:
    return _with_route(plan(generation, OPEN, vpc=TWIN), "10.5.0.0/16", TO_TWIN, THERE)


def _with_route(made: VpcPlan, network: str, peering_id: str, peer: str) -> VpcPlan:
    route = table("rtb-x", (network, peering_id)).routes[-1]
    tables = tuple(replace(each, routes=(*each.routes, route)) for each in made.tables)
    return replace(made, tables=tables, peerings=(PlannedPeering(peering_id=peering_id, peer_vpc=peer),))


def far(number: int, subnet: int = 0) -> Eni:
    address = f"10.5.{16 * subnet}.{number}"
    return replace(
        eni(number, "sg-0open", vpc=THERE),
        eni_id=f"eni-0far{subnet}{number}",
        subnet_id=("subnet-0a", "subnet-0b")[subnet],
        subnet_cidr=f"10.5.{16 * subnet}.0/20",
        private_ipv4=address,
    )


def nat(lab: NetLab) -> PlannedNat:
    return PlannedNat(nat_id="nat-1", subnet_id="subnet-0a", private_ipv4="172.31.0.9", public_ipv4=lab.public(9))


async def nothing_left(lab: NetLab, vpc_id: str) -> None:
    assert f"vpc-{vpc_id}" not in os.listdir(lab.directory / "netns")
    assert vpc_id not in os.listdir(lab.directory / "vpcs")
    with entered(str(lab.directory / "netns" / "edge")), Netlink() as links:
        async with asyncio.timeout(REMOVED_WITHIN_S):  # what goes with its namespace goes when the kernel comes to it
            while links.link(router_port(vpc_id).edge_end) is not None:
                await lab.world.sleep(0.01)
        assert f"{lab.public(9)}/32" not in links.routes()
    with entered(lab.router(THERE)), Netlink() as links:
        assert links.link(peering_link(TO_THERE)) is None
        assert not links.mark_rules(4, peerings.PREFERENCE), "no packet is led over a link that is gone"


def test_a_vpc_that_is_withdrawn_leaves_nothing_and_comes_back_whole(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        for made in (here(1, nats=(nat(lab),)), there(1)):
            await lab.network.apply_vpc(made)
        a, b = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", far(5))
        for _ in range(2):
            with listener_in(b.netns_path, "0.0.0.0", 80), listener_in(a.netns_path, "0.0.0.0", 80):
                assert await reaches(a.netns_path, "10.5.0.5", 80)
                with pytest.raises(HostError, match="tasks of this host are in vpc-0a"):
                    await lab.network.remove_vpc(HERE, 1)
                assert await reaches(b.netns_path, "172.31.1.1", 80)
            await lab.network.detach_eni("a")
            await lab.network.remove_vpc(HERE, 0)
            assert f"vpc-{HERE}" in os.listdir(lab.directory / "netns"), "what was withdrawn is an older plan"
            for _ in range(2):
                await lab.network.remove_vpc(HERE, 1)
            await nothing_left(lab, HERE)
            with pytest.raises(HostError, match="no plan of vpc-0a"):
                await lab.network.listen(HERE, TASK_METADATA_ADDRESS, 80)
            await lab.network.apply_vpc(here(1, nats=(nat(lab),)))
            a = await lab.attach("a", eni(1, "sg-0open"))

    run(scenario)


STEPS: tuple[tuple[type, str], ...] = (
    (Edge, "remove_public"),
    (Router, "leave"),
    (Edge, "leave_router"),
    (Router, "close"),
    (Router, "reload"),
    (Router, "settle_peerings"),
)


@pytest.mark.parametrize("then", ["again", "another agent"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step[1]))
def test_one_that_is_removed_half_way(run: Run, step: tuple[type, str], then: str) -> None:
    async def scenario(lab: NetLab) -> None:
        for made in (here(1, nats=(nat(lab),)), there(1)):
            await lab.network.apply_vpc(made)
        await lab.attach("b", far(5))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(*step, _failing)
            with pytest.raises(HostError, match="cannot remove the router"):
                await lab.network.remove_vpc(HERE, 1)
        if then == "again":
            await lab.network.remove_vpc(HERE, 1)
        else:
            await lab.restart()
        await nothing_left(lab, HERE)

    run(scenario)


def test_a_peers_flows_end_with_the_address_and_another_peers_go_on(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        for made in (here(1), there(1), twin(1)):
            await lab.network.apply_vpc(made)
        await lab.attach("a", eni(1, "sg-0open"))
        c = await lab.attach("c", eni(1, "sg-0open", vpc=TWIN))
        one, other = await lab.attach("b", far(5)), await lab.attach("d", far(5, subnet=1))
        with entered(lab.router(THERE)):
            flows = Conntrack()
        a = str(lab.directory / "netns" / "task-a")
        with (
            listener_in(a, "0.0.0.0", 80),
            listener_in(c.netns_path, "0.0.0.0", 80),
            listener_in(one.netns_path, "0.0.0.0", 80),
        ):
            clients = [
                await connect(one.netns_path, "172.31.1.1", 80),
                await connect(a, "10.5.0.5", 80),
                await connect(other.netns_path, "172.31.1.1", 80),
            ]
            assert all(clients) and flows.count() == 3
        await lab.network.detach_eni("a")
        left = flows.flows()
        assert [str(flow.source) for flow in left] == ["10.5.16.5"], "the flow with who has that address elsewhere"
        flows.cut_one_by_one("172.31.1.1", [left[0].mark + 1])
        assert flows.count() == 1
        flows.cut_one_by_one("172.31.1.1", [left[0].mark])
        assert flows.count() == 0
        flows.close()
        for client in clients:
            if client is not None:
                client.close()

    run(scenario)


def _closed() -> SecurityGroup:
    return SecurityGroup(group_id="sg-0open", ingress=(), egress=OUT)


@pytest.mark.parametrize("failing", ["cut_flows", "flows"])
def test_flows_that_could_not_be_forgotten_are_by_the_next_attempt(run: Run, failing: str) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a, b = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", eni(2, "sg-0open"))
        with entered(lab.router()):
            flows = Conntrack()
        with listener_in(b.netns_path, "0.0.0.0", 80):
            client = await connect(a.netns_path, "172.31.1.2", 80)
            assert client is not None and flows.count() == 1
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Conntrack, failing, _refusing)
                for generation, groups in ((2, (_closed(),)), (2, (_closed(),)), (3, (_closed(), _other()))):
                    with pytest.raises(HostError, match="cannot apply the rules"):
                        await lab.network.apply_vpc(plan(generation, *groups))
            assert await is_cut_off(a.netns_path, "172.31.1.2", 80), "the rules are in force all the same"
            await lab.network.apply_vpc(plan(3, _closed(), _other()))
            assert flows.count() == 0
            client.close()
        flows.close()

    run(scenario)


def test_while_nothing_can_be_forgotten_only_so_many_plans_are_taken(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Conntrack, "flows", _refusing)
            for generation in range(2, 20):
                with pytest.raises(HostError, match="cannot apply the rules"):
                    await lab.network.apply_vpc(plan(generation, _closed()))
        router = lab.network._vpcs.routers[HERE]
        assert router.plan.generation == 9 and len(router._owed) == 8
        await lab.network.apply_vpc(plan(20, _closed()))
        a, b = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", eni(2, "sg-0open"))
        assert not router._owed and router.plan.generation == 20
        with listener_in(b.netns_path, "0.0.0.0", 80):
            assert await is_cut_off(a.netns_path, "172.31.1.2", 80)

    run(scenario)


def test_a_peering_that_could_not_be_undone_is_by_the_next_attempt(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        for made in (here(1), there(1)):
            await lab.network.apply_vpc(made)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Router, "settle_peerings", _failing)
            with pytest.raises(HostError, match="cannot apply the rules"):
                await lab.network.apply_vpc(replace(plan(2, OPEN)))
        await lab.network.apply_vpc(plan(2, OPEN))
        with entered(lab.router(THERE)), Netlink() as links:
            assert links.link(peering_link(TO_THERE)) is None
            assert not links.mark_rules(4, peerings.PREFERENCE)

    run(scenario)


def test_a_public_address_that_could_not_be_taken_back_is_by_the_next_attempt(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(replace(plan(1, OPEN), nats=(nat(lab),)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Edge, "remove_public", _failing)
            with pytest.raises(HostError, match="cannot apply the rules"):
                await lab.network.apply_vpc(plan(2, OPEN))
        await lab.network.apply_vpc(plan(2, OPEN))
        with entered(str(lab.directory / "netns" / "edge")), Netlink() as links:
            assert f"{lab.public(9)}/32" not in links.routes()

    run(scenario)


def _other() -> SecurityGroup:
    return SecurityGroup(group_id="sg-0other", ingress=OUT, egress=OUT)


def _failing(*_: object, **__: object) -> None:
    raise OSError(errno.EBUSY, "not now")


def _refusing(*_: object, **__: object) -> None:
    raise NetlinkError(errno.EBUSY, "forget flows")
