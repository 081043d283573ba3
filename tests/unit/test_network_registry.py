"""The region's VPC objects over a store in memory: first start, changes, generations, what survives a restart."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from neargate.frontend.network.errors.common import (
    CannotDelete,
    DependencyViolation,
    GroupDuplicate,
    GroupNotFound,
    PermissionDuplicate,
    PermissionNotFound,
    RulesLimitExceeded,
    SecurityGroupRuleNotFound,
    VpcNotFound,
)
from neargate.frontend.network.records.security_groups import RuleSpec, revoked_by_meaning
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.model.errors import AwsError
from neargate.model.knobs import Knobs
from neargate.model.network import SecurityGroupRule
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

ACCOUNT = "123456789012"
ZONES = (("us-east-1a", "use1-az1"), ("us-east-1b", "use1-az2"), ("us-east-1c", "use1-az3"))
SSH = RuleSpec(is_egress=False, protocol="tcp", from_port=22, to_port=22, cidr_ipv4="203.0.113.0/24")


async def network_on(disk: MemoryDisk, zones: tuple[tuple[str, str], ...] = ZONES) -> NetworkRegistry:
    world = OsWorld()
    store = await MemoryStores(world, Knobs(), disk).open("region", MIGRATIONS)
    return await open_network(world, store, region="us-east-1", account=ACCOUNT, zones=zones)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 60)

    asyncio.run(bounded())


def only_vpc(network: NetworkRegistry) -> str:
    [vpc] = network.vpcs(ACCOUNT)
    return vpc.vpc_id


def test_the_first_start_makes_what_an_account_has_on_its_first_day() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        network = await network_on(disk)
        [vpc] = network.vpcs(ACCOUNT)
        assert vpc.cidr == "172.31.0.0/16" and vpc.is_default
        subnets = network.subnets(ACCOUNT)
        assert [(one.view.zone, one.view.zone_id, one.view.cidr) for one in subnets] == [
            ("us-east-1a", "use1-az1", "172.31.0.0/20"),
            ("us-east-1b", "use1-az2", "172.31.16.0/20"),
            ("us-east-1c", "use1-az3", "172.31.32.0/20"),
        ]
        assert all(one.map_public_ip and one.default_for_zone for one in subnets)
        group = network.security_group(ACCOUNT, network.default_security_group(ACCOUNT, vpc.vpc_id))
        assert group is not None and group.group_name == "default"
        assert network.subnet(ACCOUNT, subnets[0].view.subnet_id) == subnets[0].view
        assert network.subnet("999999999999", subnets[0].view.subnet_id) is None
        assert network.security_group("999999999999", group.group_id) is None
        plan = network.plan(vpc.vpc_id)
        assert plan.cidrs == ("172.31.0.0/16",)
        assert plan.groups[0].ingress == (SecurityGroupRule(protocol="-1", peer_group=group.group_id),)
        assert plan.groups[0].egress == (SecurityGroupRule(protocol="-1", cidr_ipv4="0.0.0.0/0"),)
        again = await network_on(disk)
        assert again.subnets(ACCOUNT) == subnets and again.security_groups(ACCOUNT) == [group]
        assert again.plan(vpc.vpc_id) == plan

    run(main)


def test_a_new_zone_gets_a_subnet_of_its_own() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        before = (await network_on(disk, ZONES[:1])).subnets(ACCOUNT)
        after = (await network_on(disk)).subnets(ACCOUNT)
        assert after[:1] == before
        assert [one.view.cidr for one in after] == ["172.31.0.0/20", "172.31.16.0/20", "172.31.32.0/20"]

    run(main)


def test_a_group_lives_and_dies_durably() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        network = await network_on(disk)
        vpc_id = only_vpc(network)
        group = await network.create_group(ACCOUNT, vpc_id, "web", "for the web", (("Name", "web"),))
        assert group.tags == (("Name", "web"),)
        assert [rule.spec.is_egress for rule in group.rules] == [True]
        assert (await network_on(disk)).security_group(ACCOUNT, group.group_id) == group
        with pytest.raises(GroupDuplicate, match=rf"'web' already exists for VPC '{vpc_id}'"):
            await network.create_group(ACCOUNT, vpc_id, "web", "again")
        with pytest.raises(DependencyViolation, match=f"resource {group.group_id} has a dependent object"):
            await network.delete_group(ACCOUNT, group.group_id, in_use=lambda _: True)
        await network.delete_group(ACCOUNT, group.group_id, in_use=lambda _: False)
        with pytest.raises(GroupNotFound):
            await network.delete_group(ACCOUNT, group.group_id, in_use=lambda _: False)
        assert (await network_on(disk)).security_group(ACCOUNT, group.group_id) is None

    run(main)


def test_what_cannot_be_made_or_deleted() -> None:
    async def main() -> None:
        network = await network_on(MemoryDisk())
        vpc_id = only_vpc(network)
        default = network.default_security_group(ACCOUNT, vpc_id)
        with pytest.raises(CannotDelete, match=f'the specified group: "{default}" name: "default"'):
            await network.delete_group(ACCOUNT, default, in_use=lambda _: False)
        with pytest.raises(VpcNotFound, match="The vpc ID 'vpc-0none' does not exist"):
            await network.create_group(ACCOUNT, "vpc-0none", "x", "x")
        with pytest.raises(VpcNotFound):
            await network.create_group("999999999999", vpc_id, "x", "x")
        one = await network.create_group(ACCOUNT, vpc_id, "one", "x")
        two = await network.create_group(ACCOUNT, vpc_id, "two", "x")
        peer = RuleSpec(is_egress=False, protocol="tcp", from_port=1, to_port=2, peer_group=one.group_id)
        await network.authorize(ACCOUNT, two.group_id, [peer])
        with pytest.raises(DependencyViolation):
            await network.delete_group(ACCOUNT, one.group_id, in_use=lambda _: False)
        await network.delete_group(ACCOUNT, two.group_id, in_use=lambda _: False)
        await network.delete_group(ACCOUNT, one.group_id, in_use=lambda _: False)

    run(main)


def test_rules_are_added_once_and_taken_away() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        network = await network_on(disk)
        group = await network.create_group(ACCOUNT, only_vpc(network), "web", "x")
        [added] = await network.authorize(ACCOUNT, group.group_id, [SSH])
        with pytest.raises(PermissionDuplicate) as refused:
            await network.authorize(ACCOUNT, group.group_id, [SSH])
        assert refused.value.message == (
            'the specified rule "peer: 203.0.113.0/24, TCP, from port: 22, to port: 22, ALLOW" already exists'
        )
        again = await network_on(disk)
        assert again.security_groups(ACCOUNT) == network.security_groups(ACCOUNT)
        web = next(one for one in network.plan(group.vpc_id).groups if one.group_id == group.group_id)
        assert web.ingress == (SecurityGroupRule(protocol="tcp", from_port=22, to_port=22, cidr_ipv4="203.0.113.0/24"),)
        with pytest.raises(SecurityGroupRuleNotFound):
            await network.revoke_by_id(ACCOUNT, group.group_id, [added.rule_id], is_egress=True)
        gone = await network.revoke_by_id(ACCOUNT, group.group_id, [added.rule_id], is_egress=False)
        assert gone.removed == (added,)
        nothing = await network.revoke(ACCOUNT, group.group_id, [SSH])
        assert nothing.removed == () and nothing.unknown == (SSH,)
        assert (await network_on(disk)).security_groups(ACCOUNT) == network.security_groups(ACCOUNT)

    run(main)


def test_outside_the_default_vpc_an_unknown_rule_is_an_error() -> None:
    async def main() -> None:
        network = await network_on(MemoryDisk())
        [group] = network.security_groups(ACCOUNT)
        with pytest.raises(PermissionNotFound):
            revoked_by_meaning(group, [SSH], in_default_vpc=False)

    run(main)


def test_sixty_rules_each_way_and_no_more() -> None:
    async def main() -> None:
        network = await network_on(MemoryDisk())
        group = await network.create_group(ACCOUNT, only_vpc(network), "web", "x")
        many = [
            RuleSpec(is_egress=False, protocol="tcp", from_port=port, to_port=port, cidr_ipv4="10.0.0.0/8")
            for port in range(60)
        ]
        await network.authorize(ACCOUNT, group.group_id, many)
        with pytest.raises(RulesLimitExceeded):
            await network.authorize(ACCOUNT, group.group_id, [SSH])
        # Counted apart: the other direction, the other family.
        await network.authorize(
            ACCOUNT, group.group_id, [RuleSpec(is_egress=True, protocol="udp", cidr_ipv4="10.0.0.0/8")]
        )
        await network.authorize(ACCOUNT, group.group_id, [RuleSpec(is_egress=False, protocol="-1", cidr_ipv6="::/0")])
        with pytest.raises(RulesLimitExceeded):
            await network.authorize(
                ACCOUNT, group.group_id, [RuleSpec(is_egress=False, protocol="-1", peer_group=group.group_id)]
            )

    run(main)


def test_a_generation_belongs_to_one_plan_only() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        network = await network_on(disk)
        vpc_id = only_vpc(network)
        changes = network.changes()
        plans = [network.plan(vpc_id)]

        async def change(number: int) -> None:
            group = await network.create_group(ACCOUNT, vpc_id, f"group-{number}", "x")
            plans.append(network.plan(vpc_id))
            await network.authorize(ACCOUNT, group.group_id, [SSH])
            plans.append(network.plan(vpc_id))

        await asyncio.gather(*(change(number) for number in range(10)))
        assert await asyncio.wait_for(anext(changes), 5) == vpc_id
        by_generation = {plan.generation: plan for plan in plans}
        assert all(by_generation[plan.generation] == plan for plan in plans)
        assert max(by_generation) == plans[0].generation + 20
        assert (await network_on(disk)).plan(vpc_id) == network.plan(vpc_id)

    run(main)


def test_a_refused_change_changes_nothing() -> None:
    async def main() -> None:
        network = await network_on(MemoryDisk())
        vpc_id = only_vpc(network)
        before = network.plan(vpc_id)
        default = network.default_security_group(ACCOUNT, vpc_id)
        stranger = RuleSpec(is_egress=False, protocol="-1", peer_group="sg-0123456789abcdef0")
        with pytest.raises(GroupNotFound, match="The security group 'sg-0123456789abcdef0' does not exist"):
            await network.authorize(ACCOUNT, default, [SSH, stranger])
        with pytest.raises(AwsError):
            await network.authorize(ACCOUNT, default, [SSH, SSH])
        assert network.plan(vpc_id) == before

    run(main)


def test_a_change_by_another_process_is_met_by_its_guard() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        network, other = await network_on(disk), await network_on(disk)
        group = await network.create_group(ACCOUNT, only_vpc(network), "web", "x")
        await other.catch_up()
        await other.authorize(ACCOUNT, group.group_id, [SSH])
        with pytest.raises(PermissionDuplicate):
            await network.authorize(ACCOUNT, group.group_id, [SSH])

    run(main)


def test_a_caller_who_goes_away_leaves_memory_as_the_database() -> None:
    async def main() -> None:
        disk = MemoryDisk()
        network = await network_on(disk)
        caller = asyncio.ensure_future(network.create_group(ACCOUNT, only_vpc(network), "web", "x"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        with pytest.raises(GroupDuplicate):
            await network.create_group(ACCOUNT, only_vpc(network), "web", "x")
        assert (await network_on(disk)).security_groups(ACCOUNT) == network.security_groups(ACCOUNT)

    run(main)


def test_a_closed_feed_is_told_nothing_more() -> None:
    async def main() -> None:
        network = await network_on(MemoryDisk())
        feed = network.changes()
        await network.create_group(ACCOUNT, only_vpc(network), "one", "x")
        assert await anext(feed) == only_vpc(network)
        await feed.aclose()  # type: ignore[attr-defined]
        open_feed = network.changes()
        await network.create_group(ACCOUNT, only_vpc(network), "two", "x")
        assert await anext(open_feed) == only_vpc(network)  # whoever listens has been told
        unread = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        assert not unread.done()
        unread.cancel()

    run(main)


def test_many_changes_of_one_group_take_turns() -> None:
    async def main() -> None:
        network = await network_on(MemoryDisk())
        group = await network.create_group(ACCOUNT, only_vpc(network), "web", "x")
        ports = range(1, 31)
        await asyncio.gather(
            *(
                network.authorize(ACCOUNT, group.group_id, [replace(SSH, from_port=port, to_port=port)])
                for port in ports
            )
        )
        changed = network.security_group(ACCOUNT, group.group_id)
        assert changed is not None
        assert {rule.spec.from_port for rule in changed.rules if not rule.spec.is_egress} == set(ports)

    run(main)
