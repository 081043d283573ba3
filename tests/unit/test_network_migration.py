"""A region whose network was in tables of its own: its objects are records afterwards, none lost, none invented."""

import asyncio
import json

from neargate.frontend.network.records.objects import DhcpOptions, InternetGateway, NetworkAcl, RouteTable
from neargate.frontend.network.registry import MIGRATIONS, open_network
from neargate.interfaces.store import Statement
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT = "123456789012"
VPC, GROUP, SUBNET = "vpc-0123456789abcdef0", "sg-0123456789abcdef0", "subnet-0123456789abcdef0"
BEFORE = (
    ("INSERT INTO vpcs VALUES (1, ?, ?, '172.31.0.0/16', 1, 'dopt-0123456789abcdef0', 41)", (VPC, ACCOUNT)),
    (
        "INSERT INTO subnets VALUES (1, ?, ?, ?, 'us-east-1a', 'use1-az1', '172.31.0.0/20', 1, 0)",
        (SUBNET, ACCOUNT, VPC),
    ),
    (
        "INSERT INTO security_groups VALUES (1, ?, ?, ?, 'default', 'the first', ?, 7)",
        (GROUP, ACCOUNT, VPC, json.dumps([["Name", 'a "b" é']])),
    ),
    (
        "INSERT INTO security_group_rules VALUES (1, 'sgr-1', ?, 0, 'tcp', 80, 443, NULL, '::/0', NULL, 'web', '[]')",
        (GROUP,),
    ),
    (
        "INSERT INTO security_group_rules VALUES (2, 'sgr-2', ?, 1, '-1', -1, -1, NULL, NULL, ?, NULL, '[]')",
        (GROUP, GROUP),
    ),
)


def test_what_an_earlier_schema_kept_is_there_and_what_it_lacked_is_made() -> None:
    async def main() -> None:
        world, knobs, disk = OsWorld(), Knobs(), MemoryDisk()
        old = await MemoryStores(world, knobs, disk).open("region", MIGRATIONS[:1])
        await old.write([Statement(sql, params) for sql, params in BEFORE])
        await old.close()
        store = await MemoryStores(world, knobs, disk).open("region", MIGRATIONS)
        zones = (("us-east-1a", "use1-az1"),)
        network = await open_network(world, store, region="us-east-1", account=ACCOUNT, zones=zones)
        [vpc] = network.vpcs(ACCOUNT)
        assert (vpc.name, vpc.cidr, vpc.is_default, vpc.dns_hostnames) == (VPC, "172.31.0.0/16", True, True)
        [subnet] = network.subnets(ACCOUNT)
        assert (subnet.name, subnet.vpc_id, subnet.cidr, subnet.default_for_zone, subnet.map_public_ip) == (
            *(SUBNET, VPC, "172.31.0.0/20"),
            *(True, False),
        )
        [group] = network.security_groups(ACCOUNT)
        assert (group.group_id, group.tags, group.description) == (GROUP, (("Name", 'a "b" é'),), "the first")
        [first, second] = group.rules
        assert (first.rule_id, first.spec.from_port, first.spec.to_port, first.spec.cidr_ipv6) == (
            *("sgr-1", 80, 443),
            "::/0",
        )
        assert (second.spec.is_egress, second.spec.peer_group, second.spec.description) == (True, GROUP, None)
        plan = network.plan(VPC)
        assert plan.generation > 41, "hosts refuse what is older than what they hold"
        shelf = network.shelf(ACCOUNT)
        [gateway], [table], [acl] = shelf.all(InternetGateway), shelf.all(RouteTable), shelf.all(NetworkAcl)
        assert gateway.vpc_id == VPC and table.is_main
        assert [one.subnet_id for one in acl.associations] == [SUBNET]
        assert [options.name for options in shelf.all(DhcpOptions)] == ["dopt-0123456789abcdef0"]
        [planned] = plan.subnets
        assert (planned.route_table, planned.acl) == (table.name, acl.name)
        assert [(route.destination, route.target) for route in plan.tables[0].routes] == [
            ("172.31.0.0/16", "local"),
            ("0.0.0.0/0", gateway.name),
        ]

    asyncio.run(main())
