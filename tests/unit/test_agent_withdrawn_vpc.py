"""A VPC that the host needs no longer: what is left of it there, and that no task of it loses anything."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.agent.agent import Agent
from neargate.agent.local_state import LocalState
from neargate.interfaces.hostnet import HostError
from neargate.model.network import RESOLVER_ADDRESS, VpcPlan
from neargate.testing.agent_host import INCARNATION, TASK_ID, VPC, AgentHost, container, launch
from neargate.testing.virtual_time import run_virtual


def plan(generation: int) -> VpcPlan:
    return VpcPlan(vpc_id=VPC, generation=generation, cidrs=("10.0.0.0/16",), groups=())


def with_the_vpc(root: Path, scenario: Callable[[AgentHost, Agent], Awaitable[None]]) -> None:
    """Generation 1 is in force, its listeners are open."""

    async def whole() -> None:
        async with AgentHost(root) as host:
            agent = await host.started()
            await agent._plans.ready(VPC)
            await scenario(host, agent)

    run_virtual(whole())


async def stored(host: AgentHost) -> list[str]:
    """VPCs of which a restarted agent would know."""
    state = LocalState(host.clock, host.root / "agent" / "agent.db")
    found = [one.vpc_id for one in (await state.load()).plans]
    await state.close()
    return found


async def withdrawn(host: AgentHost) -> None:
    async with asyncio.timeout(60):
        while VPC in host.host.network.plans or await stored(host):
            await host.clock.sleep(0.1)


def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        name = host.host.network.listeners[VPC, RESOLVER_ADDRESS, 53].getsockname()
        reader, writer = await asyncio.open_unix_connection(name)
        await host.clock.sleep(1)
        host.server.withdraw(VPC, 1)
        await withdrawn(host)
        assert await reader.read() == b"", "what a task left open is ended"
        writer.close()
        with pytest.raises(OSError, match="refused"):
            await asyncio.open_unix_connection(name)
        assert agent._plans.plan(VPC) is None and dict(agent._plans.held()) == {}
        listeners = agent._listeners
        assert not listeners._servers and not listeners._datagrams and not listeners._resolvers
        assert not listeners._connections
        for _ in range(2):
            host.server.withdraw(VPC, 1)
            host.server.withdraw("vpc-0000000000000000b", 1)
        await host.clock.sleep(5)
        assert host.host.network.faults.calls["remove_vpc"] == 1

    with_the_vpc(tmp_path, scenario)


def test_a_task_keeps_its_vpc_until_it_is_over(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        host.server.run(launch(container()))
        await host.server.status(TASK_ID, "RUNNING")
        host.server.withdraw(VPC, 1)
        await host.clock.sleep(30)
        assert VPC in host.host.network.plans and await stored(host) == [VPC]
        assert (VPC, RESOLVER_ADDRESS, 53) in host.host.network.listeners
        host.server.stop(TASK_ID, INCARNATION)
        await host.server.status(TASK_ID, "STOPPED")
        await withdrawn(host)

    with_the_vpc(tmp_path, scenario)


def test_a_plan_that_comes_after_it_stays(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        await agent._plans.push(plan(2))
        host.server.withdraw(VPC, 1)
        await host.clock.sleep(5)
        assert host.host.network.plans[VPC].generation == 2, "a withdrawal of what was before it"
        host.server.withdraw(VPC, 2)
        host.server.push(plan(2))
        host.server.run(launch(container()))
        await host.server.status(TASK_ID, "RUNNING")
        assert await stored(host) == [VPC]

    with_the_vpc(tmp_path, scenario)


@pytest.mark.parametrize("moments", range(12))
def test_whenever_it_is_pushed_again_tasks_find_it_in_force(tmp_path: Path, moments: int) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        agent._plans.withdraw(VPC, 1)
        for _ in range(moments):
            await asyncio.sleep(0)
        await agent._plans.push(plan(1))
        await agent._plans.ready(VPC)
        assert VPC in host.host.network.plans and await stored(host) == [VPC]
        assert (VPC, RESOLVER_ADDRESS, 53) in host.host.network.listeners
        await host.clock.sleep(5)
        assert VPC in host.host.network.plans and await stored(host) == [VPC]

    with_the_vpc(tmp_path, scenario)


def test_a_host_that_cannot_remove_it_is_asked_again(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        host.host.network.faults.fail("remove_vpc", HostError("not now"), times=2)
        host.host.network.faults.fail("remove_vpc", HostError("lost its answer"), after=True)
        host.server.withdraw(VPC, 1)
        await withdrawn(host)
        assert host.host.network.faults.calls["remove_vpc"] == 4

    with_the_vpc(tmp_path, scenario)


@pytest.mark.parametrize("moments", range(0, 24, 3))
def test_an_agent_that_is_killed_on_the_way_leaves_nothing(tmp_path: Path, moments: int) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        host.server.withdraw(VPC, 1)
        for _ in range(moments):
            await asyncio.sleep(0)
        host.kill()
        host.start()
        await host.server.connected()
        await withdrawn(host)
        assert host.server.plans == {}

    with_the_vpc(tmp_path, scenario)


def test_a_hello_names_what_the_host_holds(tmp_path: Path) -> None:
    async def scenario(host: AgentHost, agent: Agent) -> None:
        other = replace(plan(9), vpc_id="vpc-0000000000000000b")
        await agent._plans.push(other)
        host.server.drop()
        await host.clock.sleep(5)
        await host.server.connected()
        assert host.server.plans == {VPC: 1, other.vpc_id: 9}

    with_the_vpc(tmp_path, scenario)
