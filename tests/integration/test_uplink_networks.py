"""`--uplink-networks`: of private networks behind the machine tasks reach those that its operator names."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from neargate.hostnet.uplink.pasta import program
from neargate.model.network import PlannedNat
from neargate.testing.netlab import connect, eni, listener_in, plan, reaches
from neargate.testing.plans import EVERYWHERE, table

from .uplink_lab import OPEN, SERVER, WITHIN_S, UplinkLab, address_in, run

USER = pytest.param("user", marks=pytest.mark.skipif(program() is None, reason="passt is not installed"))
pytestmark = [pytest.mark.root, pytest.mark.parametrize("mode", ["nat", USER])]
MACHINE, NEIGHBOUR, ANOTHER = "10.1.0.1", "10.1.0.7", "10.2.0.7"
PORT = 8080


def test_none_at_first(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", MACHINE, NEIGHBOUR)
        await lab.start()
        with listener_in(lab.second, "0.0.0.0", PORT):
            assert await reaches(lab.host, NEIGHBOUR, PORT)
            assert await connect(lab.task, NEIGHBOUR, PORT, 0.5) is None

    run(tmp_path, mode, scenario)


def test_a_named_one_is_reached_and_nothing_beside_it(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", MACHINE, NEIGHBOUR)
        address_in(lab.internet, "net0", ANOTHER)
        lab.private_beyond = ("10.1.0.0/16", "10.1.0.0/24")
        lab.network = lab.another_agent()
        await lab.start()
        loop = asyncio.get_running_loop()
        with (
            listener_in(lab.second, "0.0.0.0", PORT) as listener,
            listener_in(lab.host, "0.0.0.0", PORT),
            listener_in(lab.internet, "0.0.0.0", PORT),
        ):
            client = await connect(lab.task, NEIGHBOUR, PORT)
            assert client is not None
            accepted, peer = await asyncio.wait_for(loop.sock_accept(listener), WITHIN_S)
            with client, accepted:
                assert peer[0] == MACHINE
                await loop.sock_sendall(accepted, b"hello")
                assert await asyncio.wait_for(loop.sock_recv(client, 16), WITHIN_S) == b"hello"
            assert await connect(lab.task, MACHINE, PORT, 0.5) is None, "the machine itself is never reached"
            assert await reaches(lab.host, ANOTHER, PORT)
            assert await connect(lab.task, ANOTHER, PORT, 0.5) is None
            assert await reaches(lab.task, SERVER, PORT)
            # The next agent is told otherwise, and tasks go on.
            lab.private_beyond = ()
            await lab.restart()
            assert await connect(lab.task, NEIGHBOUR, PORT, 0.5) is None
            assert await reaches(lab.task, SERVER, PORT)

    run(tmp_path, mode, scenario)


def test_tasks_behind_a_nat_gateway_reach_it_too(tmp_path: Path, mode: str) -> None:
    async def scenario(lab: UplinkLab) -> None:
        lab.second_network("lan0", MACHINE, NEIGHBOUR)
        lab.private_beyond = ("10.1.0.0/16",)
        lab.network = lab.another_agent()
        await lab.start()
        known = plan(2, OPEN)
        [public] = known.subnets
        nat = PlannedNat(
            nat_id="nat-0a", subnet_id=public.subnet_id, private_ipv4="172.31.1.200", public_ipv4=lab.public(200)
        )
        inner = replace(public, subnet_id="subnet-0b", cidr="172.31.16.0/20", ipv6_cidr=None, route_table="rtb-0b")
        routes = table("rtb-0b", (EVERYWHERE, nat.nat_id), local=known.cidrs)
        changed = replace(known, subnets=(public, inner), tables=(*known.tables, routes), nats=(nat,))
        await lab.network.apply_vpc(changed)
        private = replace(eni(2, "sg-0open"), subnet_id="subnet-0b", subnet_cidr=inner.cidr, private_ipv4="172.31.16.9")
        task = (await lab.attach("b", private)).netns_path
        with listener_in(lab.second, "0.0.0.0", PORT):
            assert await reaches(task, NEIGHBOUR, PORT)

    run(tmp_path, mode, scenario)
