"""An agent serves the endpoints of its newest plan: at their addresses, for the API behind its own socket."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace

from neargate.agent.agent import Agent
from neargate.model.network import PlannedEndpoint, PlannedSubnet, VpcPlan
from neargate.testing.agent_host import VPC, AgentHost
from neargate.testing.virtual_time import run_virtual

SUBNET = PlannedSubnet(subnet_id="subnet-1", cidr="10.0.1.0/24", route_table="", acl="")
ENDPOINT = PlannedEndpoint(
    endpoint_id="vpce-0123456789abcdef0",
    service="ecs",
    eni_id="eni-1",
    mac="0a:00:00:00:00:01",
    subnet_id="subnet-1",
    private_ipv4="10.0.1.9",
    security_groups=("sg-1",),
)
OTHER = replace(ENDPOINT, eni_id="eni-2", private_ipv4="10.0.1.10")


def plan(generation: int, *endpoints: PlannedEndpoint) -> VpcPlan:
    return VpcPlan(
        vpc_id=VPC, generation=generation, cidrs=("10.0.0.0/16",), groups=(), subnets=(SUBNET,), endpoints=endpoints
    )


def play(root: Path, scenario: Callable[[AgentHost, Agent], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with AgentHost(root) as host:
            agent = await host.started()
            await agent._plans.ready(VPC)
            await scenario(host, agent)

    run_virtual(whole())


async def is_served(host: AgentHost, address: str) -> bool:
    """Whether somebody who connects there is taken. The API's own socket is not there: it ends at once."""
    found = [listener for (_, at, _), listener in host.host.network.listeners.items() if at == address]
    if not found:
        return False
    try:
        reader, writer = await asyncio.open_unix_connection(found[-1].getsockname())
    except OSError:
        return False
    assert await reader.read() == b""
    writer.close()
    return True


def test_endpoints_come_and_go_with_plans(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        assert not await is_served(host, ENDPOINT.private_ipv4)
        host.server.push(plan(2, ENDPOINT, OTHER))
        await host.clock.sleep(1)
        assert await is_served(host, ENDPOINT.private_ipv4) and await is_served(host, OTHER.private_ipv4)
        served = dict(agent._listeners._endpoints[VPC])
        host.server.push(plan(3, replace(ENDPOINT, security_groups=("sg-2",))))
        await host.clock.sleep(1)
        assert agent._listeners._endpoints[VPC].items() <= served.items(), "other groups are no other endpoint"
        assert await is_served(host, ENDPOINT.private_ipv4)
        assert len(agent._listeners._endpoints[VPC]) == 1

    play(tmp_path, scenario)


def test_a_plan_whose_endpoint_could_hurt_is_not_taken(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        host.server.push(plan(2, replace(ENDPOINT, private_ipv4="10.0.1.1")))
        await host.clock.sleep(1)
        known = agent._plans.plan(VPC)
        assert known is not None and known.generation == 1

    play(tmp_path, scenario)
