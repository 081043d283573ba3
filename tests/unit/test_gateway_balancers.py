"""Hosts are told of the load balancers whose nodes they run, after the VPC, and anew when they come back."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from msgspec.structs import replace

from neargate.agent.simulated import HostMemory
from neargate.link.messages import (
    PROTOCOL,
    BalancerPush,
    BalancerWithdraw,
    Hello,
    NodeReports,
    VpcPush,
    VpcWithdraw,
    Welcome,
)
from neargate.model.balancing import BalancerPlan, GroupVerdicts, NodeReport, PlannedNode, TargetVerdict
from neargate.model.network import PlannedBalancerNode, VpcPlan
from neargate.testing.cell_rig import ZONES, CellRig, in_cell
from neargate.testing.gateway_rig import AgentEnd, facts_of

from .test_gateway import KNOBS, Door
from .test_gateway_peers import Plans

VPC = "vpc-0main"
ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"
HOST = facts_of(ZONES[0]).host_id
NODE = PlannedBalancerNode(
    place="elbnode-1",
    balancer=ARN,
    eni_id="eni-1",
    mac="0a:00:00:00:00:01",
    subnet_id="subnet-1",
    private_ipv4="10.9.0.9",
    host_id=HOST,
)
MAIN = VpcPlan(vpc_id=VPC, generation=1, cidrs=("10.9.0.0/16",), groups=(), nodes=(NODE,))
PLAN = BalancerPlan(
    arn=ARN,
    vpc_id=VPC,
    name="web",
    kind="application",
    generation=3,
    nodes=(PlannedNode(place="elbnode-1", eni_id="eni-1", zone="a", private_ipv4="10.9.0.9", host_id=HOST),),
)


class Balancers:
    """Implements what the gateway asks of the region's load balancers; a test says which there are."""

    def __init__(self, *plans: BalancerPlan) -> None:
        self.plans = plans
        self.changed: asyncio.Queue[None] = asyncio.Queue()
        self.reported: list[tuple[str, NodeReport]] = []

    def of_host(self, host_id: str) -> Sequence[BalancerPlan]:
        return [plan for plan in self.plans if any(node.host_id == host_id for node in plan.nodes)]

    async def changes(self) -> AsyncIterator[None]:
        while True:
            yield await self.changed.get()

    def heard(self, host_id: str, reports: Sequence[NodeReport]) -> None:
        self.reported += [(host_id, one) for one in reports]

    def become(self, *plans: BalancerPlan) -> None:
        self.plans = plans
        self.changed.put_nowait(None)


def with_balancers(rig: CellRig, vpcs: Plans, *plans: BalancerPlan) -> tuple[Door, Balancers]:
    door, told = Door(rig), Balancers(*plans)
    door.gateway._plans = door.plans = vpcs
    door.gateway._balancers = told
    for watch in (door.gateway.watch_plans(), door.gateway.watch_balancers()):
        rig.world.spawn(watch, "watch")
    return door, told


async def greeted(door: Door, *, runs: bool = True, **held: Any) -> AgentEnd:
    pipe = door.link()
    balancers = held.pop("balancers", ()) if runs else None
    pipe.say(
        Hello(
            protocol=PROTOCOL,
            host=facts_of(ZONES[0]),
            reports=(),
            plans=held.pop("plans", ()),
            balancers=balancers,
        )
    )
    assert isinstance(await pipe.hear(), Welcome)
    return pipe


def test_a_host_without_a_task_is_told_the_vpc_and_then_the_load_balancer() -> None:
    async def body(rig: CellRig) -> None:
        door, _ = with_balancers(rig, Plans(MAIN), PLAN)
        pipe = await greeted(door)
        assert await pipe.hear() == VpcPush(plan=MAIN)
        assert await pipe.hear() == BalancerPush(plan=PLAN)
        await pipe.still_open()

    in_cell(body, knobs=KNOBS)


def test_a_change_is_told_once_and_what_is_gone_is_withdrawn() -> None:
    async def body(rig: CellRig) -> None:
        door, told = with_balancers(rig, Plans(MAIN))
        pipe = await greeted(door)
        told.become(PLAN)
        assert isinstance(await pipe.hear(), VpcPush)
        assert await pipe.hear() == BalancerPush(plan=PLAN)
        told.become(PLAN)
        changed = replace(PLAN, generation=4)
        told.become(changed)
        assert await pipe.hear() == BalancerPush(plan=changed)
        told.become()
        assert await pipe.hear() == BalancerWithdraw(arn=ARN, generation=4)

    in_cell(body, knobs=KNOBS)


def test_a_host_that_comes_back_hears_what_changed_meanwhile_and_no_more() -> None:
    async def body(rig: CellRig) -> None:
        other = replace(PLAN, arn=ARN + "2", generation=9)
        door, _ = with_balancers(rig, Plans(MAIN), PLAN, other)
        pipe = await greeted(door, plans=((VPC, 1),), balancers=((ARN, 3), (other.arn, 8), (ARN + "3", 5)))
        assert isinstance(await pipe.hear(), VpcPush)
        assert [await pipe.hear(), await pipe.hear()] == [
            BalancerWithdraw(arn=ARN + "3", generation=5),
            BalancerPush(plan=other),
        ]
        await pipe.still_open()

    in_cell(body, knobs=KNOBS)


def test_the_vpc_of_a_node_is_not_withdrawn_while_the_node_is_there() -> None:
    async def body(rig: CellRig) -> None:
        door, told = with_balancers(rig, Plans(MAIN), PLAN)
        pipe = await greeted(door, plans=((VPC, 1),))
        assert isinstance(await pipe.hear(), VpcPush) and isinstance(await pipe.hear(), BalancerPush)
        told.plans = ()
        await pipe.close("cut")
        again = await greeted(door, plans=((VPC, 1),), balancers=((ARN, 3),))
        assert await again.hear() == VpcWithdraw(vpc_id=VPC, generation=1)
        assert await again.hear() == BalancerWithdraw(arn=ARN, generation=3)

    in_cell(body, knobs=KNOBS)


def test_an_agent_that_can_run_none_is_told_of_none() -> None:
    async def body(rig: CellRig) -> None:
        door, told = with_balancers(rig, Plans(MAIN), PLAN)
        pipe = await greeted(door, runs=False)
        assert isinstance(await pipe.hear(), VpcPush)
        told.become(replace(PLAN, generation=4))
        await pipe.still_open()

    in_cell(body, knobs=KNOBS)


def test_what_nodes_say_comes_with_the_host_that_says_it_and_what_is_none_ends_the_link() -> None:
    async def body(rig: CellRig) -> None:
        door, told = with_balancers(rig, Plans(MAIN), PLAN)
        pipe = await greeted(door)
        verdict = TargetVerdict(key="10.9.0.5:80", state="healthy")
        groups = (GroupVerdicts(group="arn:tg", targets=(verdict,)),)
        report = NodeReport(arn=ARN, place="elbnode-1", generation=3, is_serving=True, groups=groups)
        pipe.say(NodeReports(reports=(report,)))
        await pipe.hear(BalancerPush)
        await pipe.still_open()
        assert told.reported == [(HOST, report)]
        odd = replace(report, groups=(replace(groups[0], targets=(replace(verdict, state="splendid"),)),))
        pipe.say(NodeReports(reports=(odd,)))
        assert await pipe.hear() is None and told.reported == [(HOST, report)]

    in_cell(body, knobs=KNOBS)


def test_a_simulated_host_says_that_all_is_healthy() -> None:
    async def body(rig: CellRig) -> None:
        door, told = with_balancers(rig, Plans(MAIN), PLAN)
        memory = HostMemory()
        door.connect(door.host(memory=memory))

        async def heard() -> bool:
            return bool(told.reported)

        await rig.until(heard)
        [(host_id, report)] = told.reported
        assert (host_id, report.place, report.is_serving, report.generation) == (HOST, "elbnode-1", True, 3)
        assert memory.violations == []

    in_cell(body, knobs=KNOBS)
