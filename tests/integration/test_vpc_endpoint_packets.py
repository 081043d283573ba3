"""Real packets to interface endpoints: who reaches one by routes, ACLs and groups, and what is behind its address."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.vpc_listeners import VpcListeners
from neargate.interfaces.hostnet import HostError, TaskNetwork
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.network import AclRule, PlannedEndpoint, PlannedPeering, SecurityGroup
from neargate.testing.netlab import connect, listener_in, pings, reaches, rule
from neargate.wire.proxy_protocol import read

from .test_network_routes import CIDRS, EVERYWHERE, OPEN, OUT, A, B, Lab, Run, Vpc, run

__all__ = ["run"]
pytestmark = pytest.mark.root
PORT = 4566
ENDPOINT = "vpce-0123456789abcdef0"
CLIENTS = SecurityGroup(group_id="sg-0clients", egress=OUT)
GUARD = SecurityGroup(group_id="sg-0guard", ingress=(rule("tcp", PORT, PORT, peer="sg-0clients"),))
ADDRESS, OTHER_ADDRESS = "172.31.0.50", "172.31.16.50"
BEHIND = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def endpoint(vpc: Vpc, subnet: str = A, address: str = ADDRESS, *groups: str) -> PlannedEndpoint:
    return PlannedEndpoint(
        endpoint_id=ENDPOINT,
        service="ecs",
        eni_id=f"eni-0{vpc.vpc_id[4:]}{address.split('.')[2]}",
        mac=f"0a:00:00:00:01:{int(address.split('.')[2]):02x}",
        subnet_id=subnet,
        private_ipv4=address,
        security_groups=groups or (GUARD.group_id,),
    )


class Api:
    """What is behind the agent's socket: it notes what is said of each connection, and answers."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self.path = str(directory / "api.sock")
        self.said: list[tuple[str, str, str]] = []  # (source, to, endpoint)
        metadata: Any = None  # nobody asks for any here
        resolver: Any = None

        def resolver_of(_: str) -> Any:
            return resolver

        self.listeners = VpcListeners(DEFAULT_KNOBS, lab.net.network, metadata, self.path, PORT, resolver_of)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Api":
        server = await asyncio.start_unix_server(self._serve, self.path)
        self._stack.callback(server.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        for vpc_id in list(self.listeners._endpoints):
            await self.serve(vpc_id)
        await self._stack.aclose()

    async def serve(self, vpc_id: str, *endpoints: PlannedEndpoint) -> None:
        """Of what the agent opens in a VPC, what is at endpoints' addresses."""
        await self.listeners._serve_endpoints(vpc_id, endpoints)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while (found := read(data)) is None:
            data += await reader.read(1)
        said, _ = found
        self.said.append((said.source[0], said.to[0], said.endpoint_id))
        writer.write(BEHIND)
        writer.close()


async def answered(task: TaskNetwork, address: str = ADDRESS, port: int = PORT) -> bool:
    """Whether the API answers there."""
    made = await connect(task.netns_path, address, port, within_s=1.0)
    if made is None:
        return False
    with made:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(made, 1000), 10) == BEHIND


def test_tasks_reach_it_as_its_groups_and_acls_say(run: Run, tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        groups = {"groups": (OPEN, CLIENTS, GUARD)}
        await vpc.apply(endpoints=(endpoint(vpc),), **groups)
        near, far = await vpc.task(A, 5, group="sg-0clients"), await vpc.task(B, 5, group="sg-0clients")
        stranger = await vpc.task(A, 6)
        async with Api(lab, tmp_path) as api:
            await api.serve(vpc.vpc_id, *vpc.plan.endpoints)
            assert await answered(near) and await answered(far)
            assert api.said == [("172.31.0.5", ADDRESS, ENDPOINT), ("172.31.16.5", ADDRESS, ENDPOINT)]
            assert not await answered(stranger)
            assert not await pings(near.netns_path, ADDRESS) and not await answered(near, port=443)
            # Groups that change are in force for the endpoint as for tasks.
            await vpc.apply(groups=(OPEN, CLIENTS, replace(GUARD, ingress=(rule("tcp", PORT, PORT, peer=EVERYWHERE),))))
            assert await answered(stranger)
            # Not by pinging, whatever the groups say.
            await vpc.apply(groups=(OPEN, CLIENTS, replace(GUARD, ingress=OUT)))
            assert not await pings(near.netns_path, ADDRESS) and await pings(near.netns_path, "172.31.0.6")
            assert not await reaches(near.netns_path, ADDRESS, 22)
            # A subnet's ACL is asked of what comes from another one.
            deny = AclRule(number=1, is_egress=False, allow=False, protocol="6", cidr=CIDRS[B])
            allow = AclRule(number=9, is_egress=False, allow=True, protocol="-1", cidr=EVERYWHERE)
            await vpc.apply(**vpc.with_acl(A, deny, allow, replace(allow, is_egress=True)))
            assert await answered(near) and not await answered(far)

    run(scenario)


def test_it_is_reached_over_a_peering(run: Run, tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        here, there = lab.new_vpc(), lab.new_vpc()
        there.move("10.5.0.0/16", "2001:db8:5::/56")
        pcx = f"pcx-{here.vpc_id[4:]}"
        open_guard = replace(GUARD, ingress=(rule("tcp", PORT, PORT, peer="10.5.0.0/16"),))
        peers = {here: there, there: here}
        for vpc, other in peers.items():
            await vpc.apply(
                {A: (("10.5.0.0/16" if vpc is here else "172.31.0.0/16", pcx),)},
                peerings=(PlannedPeering(peering_id=pcx, peer_vpc=other.vpc_id),),
                groups=(OPEN, open_guard),
                endpoints=(endpoint(here), endpoint(here, B, OTHER_ADDRESS)) if vpc is here else (),
            )
        task, own = await there.task(A, 5), await here.task(A, 5)
        async with Api(lab, tmp_path) as api:
            await api.serve(here.vpc_id, *here.plan.endpoints)
            assert await answered(task)
            assert [said[1:] for said in api.said] == [(ADDRESS, ENDPOINT)]
            assert not await answered(own), "its group lets in the other VPC alone"
            # Subnet B has no route back.
            assert not await answered(task, OTHER_ADDRESS)
            await there.apply({A: ()})
            assert not await answered(task)

    run(scenario)


def test_it_goes_and_its_address_may_be_a_tasks(run: Run, tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        open_guard = replace(GUARD, ingress=OUT)
        await vpc.apply(endpoints=(endpoint(vpc), endpoint(vpc, B, OTHER_ADDRESS)), groups=(OPEN, open_guard))
        task = await vpc.task(A, 5)
        async with Api(lab, tmp_path) as api:
            await api.serve(vpc.vpc_id, *vpc.plan.endpoints)
            assert await answered(task) and await answered(task, OTHER_ADDRESS)
            with pytest.raises(HostError, match=f"{ADDRESS} still belongs to {ENDPOINT}"):
                await vpc.task(A, 50)
            with pytest.raises(HostError, match="is not open to tasks"):
                await lab.net.network.listen(vpc.vpc_id, ADDRESS, 22)
            await vpc.apply(endpoints=vpc.plan.endpoints[1:])
            await api.serve(vpc.vpc_id, *vpc.plan.endpoints)
            assert not await answered(task) and await answered(task, OTHER_ADDRESS)
            successor = await vpc.task(A, 50)
            with listener_in(successor.netns_path, "0.0.0.0", 80):
                assert await reaches(task.netns_path, ADDRESS, 80)
            with pytest.raises(HostError, match="is not open to tasks"):
                await lab.net.network.listen(vpc.vpc_id, ADDRESS, PORT)

    run(scenario)


def test_a_new_agent_keeps_a_peer_without_tasks(run: Run, tmp_path: Path) -> None:
    async def scenario(lab: Lab) -> None:
        here, there = lab.new_vpc(), lab.new_vpc()
        there.move("10.5.0.0/16", "2001:db8:5::/56")
        pcx = f"pcx-{here.vpc_id[4:]}"
        groups = (OPEN, replace(GUARD, ingress=OUT))
        to_here, to_there = (PlannedPeering(peering_id=pcx, peer_vpc=one.vpc_id) for one in (here, there))
        served = {"peerings": (to_there,), "endpoints": (endpoint(here),), "groups": groups}
        await here.apply({A: (("10.5.0.0/16", pcx),)}, **served)
        await there.apply({A: (("172.31.0.0/16", pcx),)}, peerings=(to_here,))
        task = await there.task(A, 5)
        await lab.net.restart()
        async with Api(lab, tmp_path) as api:
            await api.serve(here.vpc_id, *here.plan.endpoints)
            assert await answered(task)

    run(scenario)


def test_a_new_agent_finds_it(run: Run, tmp_path: Path) -> None:
    """And what an agent that was killed had not taken away goes."""

    async def scenario(lab: Lab) -> None:
        vpc = lab.new_vpc()
        await vpc.apply(endpoints=(endpoint(vpc),), groups=(OPEN, replace(GUARD, ingress=OUT)))
        task = await vpc.task(A, 5)
        await lab.net.restart()
        async with Api(lab, tmp_path) as api:
            await api.serve(vpc.vpc_id, *vpc.plan.endpoints)
            assert await answered(task)
        [name] = [path.name for path in (lab.net.directory / "netns").iterdir() if path.name.startswith("endpoint-")]
        assert vpc.vpc_id[4:] in name
        await vpc.apply(endpoints=())
        assert not [path for path in (lab.net.directory / "netns").iterdir() if path.name.startswith("endpoint-")]
        await lab.net.restart()
        assert not await reaches(task.netns_path, ADDRESS, PORT)

    run(scenario)
