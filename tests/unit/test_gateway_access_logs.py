"""Lines of access logs at the agents' door: stored for a node's own load balancer while it names a group."""

import json
from collections.abc import Sequence
from typing import Any

from neargate.clusters.flow_logs import FlowLogWriter
from neargate.clusters.gateway import Gateway
from neargate.frontend.balancing.access_logs import AccessLogDelivery
from neargate.frontend.balancing.objects import LoadBalancer, Node
from neargate.frontend.network.flow_log_delivery import FlowLogDelivery
from neargate.frontend.regional.shelves import Change
from neargate.interfaces.roles import EventRange
from neargate.link.messages import FlowsAck, LogRefused
from neargate.model.flow_logs import FlowLogBatch
from neargate.testing.cell_rig import ACCOUNT, REGION
from neargate.testing.gateway_rig import LogGroups, VpcPlans

from .test_gateway_flow_logs import KNOBS, Stage, said, staged

ELB, NAME, GROUP = "app/web/0123456789abcdef", "access-0123456789abcdef", "/elb"
ARN = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:loadbalancer/{ELB}"


async def with_balancer(stage: Stage, group: str = GROUP) -> None:
    """Its node has the stage's interface."""
    node = Node(place="elbnode-1", subnet_id="subnet-1", zone="a", eni_id=stage.eni)
    made = LoadBalancer(
        account=ACCOUNT,
        name=ARN,
        label="web",
        number="0123456789abcdef",
        lb_type="application",
        scheme="internal",
        vpc_id="v",
        created_at=1.0,
        dns_name="",
        nodes=(node,),
        attributes=(("access_logs.cloudwatch.log_group", group),) if group else (),
    )
    await stage.network.change(ACCOUNT, lambda _: Change(result=None, put=(made,)))


async def opened(stage: Stage) -> Any:
    rig = stage.rig
    stage.roles.denied = {"logs:CreateLogStream", "logs:PutLogEvents"}
    delivery = AccessLogDelivery(stage.network, FlowLogDelivery(rig.world, stage.network, KNOBS))
    writer = FlowLogWriter(rig.world, rig.capacities, delivery, stage.logs, stage.roles, KNOBS)
    stage.gateway = Gateway(
        rig.world, rig.cell, rig.capacities, VpcPlans(), LogGroups(rig.world), stage.roles, KNOBS, writer
    )
    await with_balancer(stage)
    return stage.bulk()


def lines(stage: Stage, *texts: str, number: int = 1, **changes: Any) -> FlowLogBatch:
    return stage.batch(number, *(texts or (f"http now {ELB} -",)), **{"flow_log_id": NAME, **changes})


async def stored(stage: Stage) -> Sequence[str]:
    stream = f"{ELB.replace('/', '.')}_{stage.eni}"
    answer = await stage.logs.get_events(ACCOUNT, GROUP, stream, EventRange(from_head=True))
    return [event["message"] for event in json.loads(answer)["events"]]


def code(answer: FlowsAck | LogRefused) -> str:
    return answer.code if isinstance(answer, LogRefused) else ""


def test_lines_of_a_node_are_stored_once_in_its_stream() -> None:
    async def body(stage: Stage) -> None:
        pipe = await opened(stage)
        await stage.logs.create_group(ACCOUNT, GROUP, {})
        batch = lines(stage, f'http now {ELB} "a  b"', f"http then {ELB} -")
        for _ in range(2):
            assert isinstance(await said(pipe, batch), FlowsAck)
        assert await stored(stage) == [f'http now {ELB} "a  b"', f"http then {ELB} -"]

    staged(body)


def test_a_group_that_is_not_there_is_not_made_and_the_lines_are_lost() -> None:
    async def body(stage: Stage) -> None:
        pipe = await opened(stage)
        assert code(await said(pipe, lines(stage))) == "ResourceNotFoundException"
        await stage.logs.create_group(ACCOUNT, GROUP, {})
        assert code(await said(pipe, lines(stage, number=2))) == ""
        assert await stored(stage) == [f"http now {ELB} -"]

    staged(body)


def test_nothing_is_taken_for_what_is_not_the_nodes_or_is_switched_off() -> None:
    async def body(stage: Stage) -> None:
        pipe = await opened(stage)
        await stage.logs.create_group(ACCOUNT, GROUP, {})
        for batch in (
            lines(stage, flow_log_id="access-fedcba9876543210"),
            lines(stage, eni_id="eni-0123456789abcdef0"),
        ):
            assert code(await said(pipe, batch)) == "AccessDeniedException"
        await with_balancer(stage, group="")
        assert code(await said(pipe, lines(stage))) == "AccessDeniedException"

    staged(body)


def test_a_line_is_one_line_of_its_own_load_balancer() -> None:
    async def body(stage: Stage) -> None:
        pipe = await opened(stage)
        await stage.logs.create_group(ACCOUNT, GROUP, {})
        for text in (
            f"http now {ELB.replace('web', 'other')} -",
            f"http {ELB} now -",
            f"http now {ELB} a\nb",
            f"http now {ELB} é",
            f"http now {ELB} \x7f",
        ):
            answer = await said(pipe, lines(stage, text))
            assert code(answer) == "InvalidParameterException", text

    staged(body)
