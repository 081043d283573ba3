"""Hosts have the VPCs whose endpoints their tasks reach over a peering, with tasks of their own in them or without."""

from msgspec.structs import replace

from neargate.link.messages import PROTOCOL, Hello, RunOrder, VpcPush, VpcWithdraw, Welcome
from neargate.model.network import PlannedEndpoint, PlannedPeering, VpcPlan, kept_plans
from neargate.testing.cell_rig import ZONES, CellRig, in_cell, subnet
from neargate.testing.gateway_rig import AgentEnd, VpcPlans, facts_of

from .test_gateway import KNOBS, ONE_ZONE, Door

MAIN, SHARED, BEYOND = "vpc-0main", "vpc-0shared", "vpc-0beyond"
ENDPOINT = PlannedEndpoint(
    endpoint_id="vpce-1",
    service="ecs",
    eni_id="eni-1",
    mac="0a:00:00:00:00:01",
    subnet_id="subnet-1",
    private_ipv4="10.9.0.5",
)


def plan(vpc_id: str, *peers: str, endpoints: tuple[PlannedEndpoint, ...] = (), generation: int = 1) -> VpcPlan:
    return VpcPlan(
        vpc_id=vpc_id,
        generation=generation,
        cidrs=("10.9.0.0/16",),
        groups=(),
        peerings=tuple(PlannedPeering(peering_id=f"pcx-{peer}", peer_vpc=peer) for peer in peers),
        endpoints=endpoints,
    )


class Plans(VpcPlans):
    """Those that a test says."""

    def __init__(self, *plans: VpcPlan) -> None:
        super().__init__()
        self.known = {one.vpc_id: one for one in plans}

    def plan(self, vpc_id: str) -> VpcPlan:
        return self.known[vpc_id]


def before(rig: CellRig, *plans: VpcPlan) -> tuple[Door, Plans]:
    door = Door(rig)
    told = Plans(*plans)
    door.gateway._plans = told
    door.plans = told
    return door, told


async def pushed(pipe: AgentEnd) -> str:
    """The next VPC that the host is given."""
    while not isinstance(message := await pipe.hear(), VpcPush):
        assert isinstance(message, RunOrder), message
    return message.plan.vpc_id


async def greeted(door: Door, *held: tuple[str, int]) -> AgentEnd:
    pipe = door.link()
    pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), plans=held))
    assert isinstance(await pipe.hear(), Welcome)
    return pipe


def test_a_peer_with_endpoints_comes_before_the_first_task() -> None:
    async def body(rig: CellRig) -> None:
        shared = plan(SHARED, MAIN, BEYOND, endpoints=(ENDPOINT,))
        beyond = plan(BEYOND, SHARED, endpoints=(ENDPOINT,))
        door, _ = before(rig, plan(MAIN, SHARED, "vpc-0gone"), shared, beyond)
        pipe = await greeted(door)
        await rig.run(**ONE_ZONE)
        assert [await pushed(pipe), await pushed(pipe)] == [SHARED, MAIN]
        assert isinstance(await pipe.hear(), RunOrder), "nothing goes through a VPC to a third"

    in_cell(body, knobs=KNOBS)


def test_an_endpoint_that_is_made_later_is_told() -> None:
    async def body(rig: CellRig) -> None:
        door, plans = before(rig, plan(MAIN, SHARED), plan(SHARED, MAIN, BEYOND), plan(BEYOND, SHARED))
        rig.world.spawn(door.gateway.watch_plans(), "plans")
        pipe = await greeted(door)
        await rig.run(**ONE_ZONE)
        assert await pushed(pipe) == MAIN
        for vpc_id, peers in ((BEYOND, (SHARED,)), (SHARED, (MAIN, BEYOND)), (BEYOND, (SHARED,))):
            known = plans.known[vpc_id]
            plans.known[vpc_id] = plan(vpc_id, *peers, endpoints=(ENDPOINT,), generation=known.generation + 1)
            plans.changed.put_nowait(vpc_id)
        plans.known[MAIN] = replace(plans.known[MAIN], generation=9)
        plans.changed.put_nowait(MAIN)
        assert [await pushed(pipe), await pushed(pipe)] == [SHARED, MAIN]

    in_cell(body, knobs=KNOBS)


def test_what_a_host_holds_of_it_stays_when_it_comes_back() -> None:
    async def body(rig: CellRig) -> None:
        door, _ = before(rig, plan(MAIN, SHARED), plan(SHARED, MAIN, endpoints=(ENDPOINT,)), plan("vpc-0old"))
        await rig.run(**ONE_ZONE)
        pipe = await greeted(door, (MAIN, 1), (SHARED, 1), ("vpc-0old", 1))
        assert await pipe.hear() == VpcWithdraw(vpc_id="vpc-0old", generation=1)
        assert [await pushed(pipe), await pushed(pipe)] == [SHARED, MAIN]

    in_cell(body, knobs=KNOBS)


def test_a_host_that_comes_back_with_tasks_in_both_has_the_peers_of_each() -> None:
    async def body(rig: CellRig) -> None:
        shared = plan(SHARED, MAIN, BEYOND, endpoints=(ENDPOINT,))
        beyond = plan(BEYOND, SHARED, endpoints=(ENDPOINT,))
        door, plans = before(rig, plan(MAIN, SHARED), shared, beyond)
        rig.world.spawn(door.gateway.watch_plans(), "plans")
        other = replace(subnet(ZONES[0]), subnet_id="subnet-0shared", vpc_id=SHARED)
        for where in (subnet(ZONES[0]), other):
            [task] = await rig.run(subnets=(where,))
            await rig.report(task, "RUNNING", 1)
        pipe = await greeted(door, (MAIN, 1), (SHARED, 1), (BEYOND, 1))
        assert {await pushed(pipe) for _ in range(3)} == {MAIN, SHARED, BEYOND}
        plans.known[BEYOND] = replace(beyond, generation=2)
        plans.changed.put_nowait(BEYOND)
        assert await pushed(pipe) == BEYOND

    in_cell(body, knobs=KNOBS)


def test_a_new_agent_keeps_them() -> None:
    main, shared, beyond = plan(MAIN, SHARED), plan(SHARED, MAIN, endpoints=(ENDPOINT,)), plan(BEYOND, MAIN)
    assert kept_plans([main, shared, beyond], {MAIN}) == [main, shared]
    assert kept_plans([main, shared, beyond], {SHARED}) == [shared]
    assert kept_plans([shared], {MAIN}) == []
