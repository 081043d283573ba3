"""Real packets: a rule that refers to a group of a peered VPC, as calls make them of records and hosts hear them.

The region's own registry makes the plans; nothing of them is written by hand.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from neargate.frontend.network.filters import groups as group_changes
from neargate.frontend.network.peering import peerings
from neargate.frontend.network.records.objects import RouteTable, Vpc
from neargate.frontend.network.records.security_groups import RuleSpec
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.frontend.network.routing import routes
from neargate.frontend.network.vpcs import changes as vpc_changes
from neargate.frontend.network.vpcs import subnets as subnet_changes
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.knobs import Knobs
from neargate.model.network import Eni
from neargate.store.sqlite import MemoryStores
from neargate.testing.netlab import NetLab, connect, listener_in, reaches
from neargate.world import OsWorld

pytestmark = pytest.mark.root
ACCOUNT, REGION = "123456789012", "us-east-1"
ZONES = (("us-east-1a", "use1-az1"),)
SILENT_AFTER_S = 0.15  # what passes does so within a millisecond


class Account:
    """Two VPCs of one subnet each, 10.1.0.0/16 and 10.2.0.0/16, on one host."""

    def __init__(self, lab: NetLab, network: NetworkRegistry) -> None:
        self.lab = lab
        self.network = network
        self.vpcs: list[str] = []
        self.subnets: list[str] = []
        self._tasks = 0

    async def change(self, decide: Any, *args: Any, **more: Any) -> Any:
        return await self.network.change(ACCOUNT, lambda shelf: decide(shelf, *args, **more))

    async def make_vpc(self, cidr: str) -> None:
        bits = self.network.bits
        create_vpc = partial(vpc_changes.create_vpc, with_ipv6=False, region=REGION, vpcs_max=9, bits=bits)
        vpc = await self.change(create_vpc, f"{cidr}.0.0/16", ())
        create_subnet = partial(subnet_changes.create_subnet, zones=ZONES, subnets_max=9, bits=bits)
        subnet = await self.change(create_subnet, vpc.name, f"{cidr}.0.0/24", ())
        self.vpcs.append(vpc.name)
        self.subnets.append(subnet.name)

    async def peer(self) -> str:
        """A new connection, with the routes to it."""
        ends = self.vpcs
        made = await self.change(peerings.request_peering, *ends, (), 0.0, 9, self.network.bits)
        await self.change(peerings.accept, made.name, 0.0, 9)
        for here, there in ((0, 1), (1, 0)):
            shelf = self.network.shelf(ACCOUNT)
            [table] = [one for one in shelf.all(RouteTable) if one.vpc_id == ends[here]]
            other = shelf.find(Vpc, ends[there])
            assert other is not None
            to = routes.destination(other.cidr, "destinationCidrBlock")
            put = routes.replace_route if table.routes else partial(routes.create_route, routes_max=50)
            await self.change(put, table.name, to, made.name, region=REGION)
        return str(made.name)

    async def group(self, n: int, name: str) -> str:
        made = await self.network.create_group(ACCOUNT, self.vpcs[n], name, name)
        return made.group_id

    async def allow(self, group: str, peer: str) -> None:
        spec = RuleSpec(is_egress=False, protocol="tcp", from_port=80, to_port=80, peer_group=peer)
        await self.network.authorize(ACCOUNT, group, [spec])

    async def delete_group(self, group: str) -> None:
        await self.change(group_changes.delete_group, group, in_use=False)

    async def tell(self) -> None:
        """As the plans' loop: hosts hear each plan that is another than before."""
        for vpc_id in self.vpcs:
            await self.lab.network.apply_vpc(self.network.plan(vpc_id))

    async def task(self, n: int, last: int, group: str) -> TaskNetwork:
        self._tasks += 1
        made = Eni(
            eni_id=f"eni-{n}{last:016x}",
            attachment_id=f"attachment-{self._tasks}",
            mac=f"0a:00:00:00:{n:02x}:{last:02x}",
            vpc_id=self.vpcs[n],
            subnet_id=self.subnets[n],
            subnet_cidr=f"10.{n + 1}.0.0/24",
            private_ipv4=f"10.{n + 1}.0.{last}",
            security_groups=(group,),
        )
        return await self.lab.attach(f"task{self._tasks}", made)


async def is_cut_off(netns_path: str, address: str) -> bool:
    client = await connect(netns_path, address, 80, SILENT_AFTER_S)
    if client is not None:
        client.close()
    return client is None


async def _account(lab: NetLab) -> Account:
    world = OsWorld()
    store = await MemoryStores(world, Knobs()).open("region", MIGRATIONS)
    network = await open_network(world, store, region=REGION, account=ACCOUNT, zones=ZONES)
    account = Account(lab, network)
    for cidr in ("10.1", "10.2"):
        await account.make_vpc(cidr)
    return account


def test_members_in_a_peer_come_in_until_the_rule_is_stale(tmp_path: Path) -> None:
    async def scenario(lab: NetLab) -> None:
        account = await _account(lab)
        first = await account.peer()
        web, clients, strangers = (
            await account.group(0, "web"),
            await account.group(1, "clients"),
            await account.group(1, "strangers"),
        )
        await account.tell()
        server = await account.task(0, 11, web)
        client, stranger = await account.task(1, 11, clients), await account.task(1, 12, strangers)
        with listener_in(server.netns_path, "0.0.0.0", 80):
            assert await is_cut_off(client.netns_path, "10.1.0.11")
            await account.allow(web, clients)
            await account.tell()
            # In force on tasks that run, and for members that come later.
            assert await reaches(client.netns_path, "10.1.0.11", 80)
            assert await is_cut_off(stranger.netns_path, "10.1.0.11")
            later = await account.task(1, 13, clients)
            assert await reaches(later.netns_path, "10.1.0.11", 80)
            # Another connection in the first one's place leads there again; the rule is stale all the same.
            await account.change(peerings.delete, first, 1.0)
            await account.peer()
            await account.tell()
            assert await is_cut_off(client.netns_path, "10.1.0.11")
            await account.allow(web, strangers)
            await account.tell()
            assert await reaches(stranger.netns_path, "10.1.0.11", 80)
            assert await is_cut_off(client.netns_path, "10.1.0.11")
            # The group is deleted (no interface of the account's carries it here): its address lets nobody in.
            await account.delete_group(strangers)
            await account.tell()
            assert await is_cut_off(stranger.netns_path, "10.1.0.11")

    async def whole() -> None:
        lab = await NetLab.open(tmp_path / "run")
        try:
            await scenario(lab)
        finally:
            await lab.close()

    asyncio.run(whole())
