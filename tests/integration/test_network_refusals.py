"""A host that refuses a step: what was asked for says why, nothing of it is left, and the next one works."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from neargate.hostnet.netlink import Netlink
from neargate.hostnet.nftables import Nftables
from neargate.interfaces.hostnet import HostError
from neargate.model.network import SecurityGroup, VpcPlan
from neargate.testing.netlab import NetLab, eni, entered, is_cut_off, listener_in, plan, reaches, rule

from .own_network import Run

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"),)
OPEN = SecurityGroup(group_id="sg-0open", ingress=OUT, egress=OUT)


@contextmanager
def locked_table(lab: NetLab) -> Iterator[None]:
    """The router's table is somebody else's: the kernel refuses every change, and takes the table away afterwards."""
    with entered(lab.router()):
        owner = Nftables()
    owner.run("delete table inet neargate\nadd table inet neargate { flags owner; }\n")
    try:
        yield
    finally:
        owner.close()


def test_an_interface_that_was_refused_is_not_let_in_by_the_next_one(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        with locked_table(lab), pytest.raises(HostError, match=r"cannot attach eni-.*Operation not permitted"):
            await lab.attach("refused", eni(1, "sg-0open"))
        b = await lab.attach("b", eni(2, "sg-0open"))
        namespace = str(lab.directory / "netns" / "task-refused")
        with listener_in(b.netns_path, "0.0.0.0", 80):
            assert await is_cut_off(namespace, "172.31.1.2", 80)
            again = await lab.attach("refused", eni(1, "sg-0open"))
            assert await reaches(again.netns_path, "172.31.1.2", 80)

    run(scenario)


def test_a_detach_that_was_refused_is_done_by_the_next(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        await lab.attach("a", eni(1, "sg-0open"))
        with locked_table(lab), pytest.raises(HostError, match="cannot detach"):
            await lab.network.detach_eni("a")
        await lab.network.detach_eni("a")
        with entered(lab.router()):
            rules = Nftables()
        listed = rules.run("list table inet neargate\n")
        rules.close()
        assert "chain c_raw" in listed and "172.31.1.1" not in listed

    run(scenario)


def test_a_plan_that_was_refused_closes_no_network(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        with pytest.raises(HostError, match="cannot apply the rules of vpc-0a"):
            await lab.network.apply_vpc(_refused(plan(2, OPEN)))
        assert _black_holes(lab) == {"172.31.0.0/16", "2001:db8::/56"}
        await lab.network.apply_vpc(replace(plan(3, OPEN), cidrs=("172.31.0.0/16", "100.64.0.0/16")))
        assert _black_holes(lab) == {"172.31.0.0/16", "100.64.0.0/16"}

    run(scenario)


def test_an_interface_of_another_task_is_refused_and_its_owner_keeps_it(run: Run) -> None:
    async def scenario(lab: NetLab) -> None:
        await lab.network.apply_vpc(plan(1, OPEN))
        a, b = await lab.attach("a", eni(1, "sg-0open")), await lab.attach("b", eni(2, "sg-0open"))
        with pytest.raises(HostError, match="still belongs to task a"):
            await lab.attach("c", replace(eni(3, "sg-0open"), eni_id=eni(1).eni_id))
        await lab.network.detach_eni("c")
        with listener_in(b.netns_path, "0.0.0.0", 80):
            assert await reaches(a.netns_path, "172.31.1.2", 80)

    run(scenario)


def _refused(asked: VpcPlan) -> VpcPlan:
    """With a network that is new, and two subnets that overlap."""
    (subnet,) = asked.subnets
    return replace(
        asked,
        cidrs=(*asked.cidrs, "198.51.0.0/16"),
        subnets=(subnet, replace(subnet, subnet_id="subnet-0b", cidr="172.31.0.0/24")),
    )


def _black_holes(lab: NetLab) -> set[str]:
    with entered(lab.router()), Netlink() as links:
        return set(links.blackholes())
