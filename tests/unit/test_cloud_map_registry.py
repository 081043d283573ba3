"""Cloud Map's records are durable, their names follow health in time, and who listens hears which VPCs changed."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from neargate.frontend.cloudmap import instances, namespaces, services
from neargate.frontend.cloudmap.feeds import Feed
from neargate.frontend.cloudmap.plans import NamedPlans
from neargate.frontend.cloudmap.records import (
    HTTP,
    MULTIVALUE,
    PRIVATE,
    Dns,
    Instance,
    Namespace,
    Outcome,
    Service,
    instance_name,
    outcome_name,
)
from neargate.frontend.cloudmap.registry import MIGRATIONS, CloudMapRegistry, open_cloud_map
from neargate.frontend.cloudmap.room import Most
from neargate.frontend.regional.shelves import Change, Shelf
from neargate.interfaces.store import Overloaded, Store
from neargate.model.knobs import DEFAULT_KNOBS
from neargate.model.network import VpcDns, VpcPlan
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.testing.virtual_time import VirtualWorld, run_virtual

ACCOUNT, OTHER, REGION, VPC = "123456789012", "210987654321", "us-east-1", "vpc-0a"
MOST = Most(of_service=100, of_namespace=100, attributes=30)
SETTLE_S = DEFAULT_KNOBS.cloud_map_health_settle_s


class Rig:
    """One server's registry over databases in memory that outlive it."""

    def __init__(self, world: VirtualWorld, disk: MemoryDisk | None = None) -> None:
        self.world = world
        self.disk = disk or MemoryDisk()
        self.store: Store
        self.map: CloudMapRegistry
        self.heard: list[tuple[str, str]] = []

    async def open(self) -> "Rig":
        self.store = await MemoryStores(self.world, DEFAULT_KNOBS, self.disk).open("region", MIGRATIONS)
        self.map = await open_cloud_map(self.world, self.store, region=REGION)
        self.map.listen(lambda account, vpc_id: self.heard.append((account, vpc_id)))
        return self

    def outcome(self, kind: str, account: str = ACCOUNT) -> Outcome:
        now = self.world.now()
        return Outcome(
            account=account, name=outcome_name(now, self.world.random.getrandbits), type=kind, at=now, targets=()
        )

    async def namespace(self, name: str, vpc: str | None = VPC, account: str = ACCOUNT) -> None:
        new = Namespace(
            account=account,
            name=name,
            called=f"{name}.internal",
            type=HTTP if vpc is None else PRIVATE,
            region=REGION,
            http_name=f"{name}.internal",
            created=1.0,
            vpc=vpc,
        )
        outcome = self.outcome("CREATE_NAMESPACE", account)
        decide = partial(namespaces.created, new=new, outcome=outcome, has_vpc=lambda _: True, most=50)
        await self.map.change(account, decide)

    async def service(self, name: str, namespace: str, account: str = ACCOUNT) -> None:
        new = Service(
            account=account,
            name=name,
            called="web",
            namespace=namespace,
            region=REGION,
            created=1.0,
            dns=Dns(policy=MULTIVALUE, records=(("A", 60),)) if "http" not in namespace else None,
            has_custom_health=True,
        )
        await self.map.change(account, partial(services.created, new=new))

    async def instance(self, instance_id: str, service: str, address: str, account: str = ACCOUNT) -> None:
        new = Instance(
            account=account,
            name=instance_name(service, instance_id),
            service=service,
            id=instance_id,
            attributes=(("AWS_INSTANCE_IPV4", address),),
        )
        outcome = self.outcome("REGISTER_INSTANCE", account)
        await self.map.change(account, partial(instances.registered, new=new, outcome=outcome, most=MOST))

    async def health(self, instance_id: str, service: str, is_healthy: bool) -> None:
        decide = partial(
            instances.told_health,
            service_id=service,
            instance_id=instance_id,
            is_healthy=is_healthy,
            at=self.world.now() + SETTLE_S,
        )
        await self.map.change(ACCOUNT, decide)

    async def whole(self) -> "Rig":
        await self.namespace("ns-1")
        await self.service("srv-1", "ns-1")
        for number in (1, 2):
            await self.instance(f"i-{number}", "srv-1", f"10.0.0.{number}")
        return self

    def addresses(self, vpc: str = VPC) -> list[tuple[str, ...]]:
        return [records.values for zone in self.map.zones_of(vpc) for records in zone.records]


def told(story: Callable[[VirtualWorld], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = VirtualWorld()
        await story(world)
        assert not world.failures

    run_virtual(whole())


def test_what_was_answered_is_there_after_a_restart() -> None:
    async def story(world: VirtualWorld) -> None:
        first = await (await Rig(world).open()).whole()
        await first.health("i-2", "srv-1", is_healthy=False)
        again = await Rig(world, first.disk).open()
        service = again.map.service(ACCOUNT, "srv-1")
        assert service is not None and service == first.map.service(ACCOUNT, "srv-1")
        assert [one.id for one in again.map.instances(service)] == ["i-1", "i-2"]
        assert again.map.named(ACCOUNT, "ns-1.internal", "web") == (again.map.namespace(ACCOUNT, "ns-1"), service)
        assert again.addresses() == [("10.0.0.1", "10.0.0.2")]
        assert again.map.generation == first.map.generation
        world.spawn(again.map.run(), "health")
        await world.sleep(SETTLE_S + 1)
        assert again.addresses() == [("10.0.0.1",)]

    told(story)


def test_health_holds_after_its_time_and_not_before() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await (await Rig(world).open()).whole()
        world.spawn(rig.map.run(), "health")
        await rig.health("i-1", "srv-1", is_healthy=False)
        await world.sleep(SETTLE_S - 5)
        await rig.health("i-2", "srv-1", is_healthy=False)
        assert rig.addresses() == [("10.0.0.1", "10.0.0.2")]
        rig.heard.clear()
        await world.sleep(6)
        assert rig.addresses() == [("10.0.0.2",)] and rig.heard == [(ACCOUNT, VPC)]
        await rig.health("i-2", "srv-1", is_healthy=True)
        await world.sleep(SETTLE_S)
        assert rig.addresses() == [("10.0.0.2",)]

    told(story)


def test_a_database_that_has_too_much_to_do_is_asked_again() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await (await Rig(world).open()).whole()
        write, refused = rig.store.write, 0

        async def busy(statements: Any) -> Any:
            nonlocal refused
            refused += 1
            if refused < 3:
                raise Overloaded
            return await write(statements)

        await rig.health("i-1", "srv-1", is_healthy=False)
        rig.store.write = busy  # type: ignore[method-assign]
        world.spawn(rig.map.run(), "health")
        await world.sleep(SETTLE_S + 3 * DEFAULT_KNOBS.cloud_map_retry_s)
        assert refused == 3 and rig.addresses() == [("10.0.0.2",)]

    told(story)


def test_only_vpcs_whose_names_may_be_others_are_told() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await Rig(world).open()
        await rig.namespace("ns-1")
        await rig.namespace("ns-2", "vpc-0b")
        await rig.namespace("http-3", None)
        await rig.service("srv-3", "http-3")
        await rig.instance("i-3", "srv-3", "10.0.0.3")
        assert rig.heard == [(ACCOUNT, VPC), (ACCOUNT, "vpc-0b")]
        rig.heard.clear()
        await rig.service("srv-2", "ns-2")
        await rig.instance("i-2", "srv-2", "10.0.0.2")
        outcome = rig.outcome("DEREGISTER_INSTANCE")
        leave = partial(instances.deregistered, service_id="srv-2", instance_id="i-2", outcome=outcome)
        await rig.map.change(ACCOUNT, leave)
        await rig.map.change(ACCOUNT, partial(services.deleted, name="srv-2"))
        gone = partial(namespaces.deleted, name="ns-2", outcome=rig.outcome("DELETE_NAMESPACE"))
        await rig.map.change(ACCOUNT, gone)
        assert rig.heard == [(ACCOUNT, "vpc-0b")] * 5
        assert rig.map.zones_of("vpc-0b") == () and len(rig.map.zones_of(VPC)) == 1

    told(story)


def test_the_generation_grows_with_every_change() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await Rig(world).open()
        seen = [rig.map.generation]
        await rig.whole()
        seen.append(rig.map.generation)
        await rig.health("i-1", "srv-1", is_healthy=False)
        seen.append(rig.map.generation)
        await rig.map.change(ACCOUNT, partial(instances.settled, now=world.now() + SETTLE_S))
        seen.append(rig.map.generation)
        assert seen == sorted(set(seen))

    told(story)


def test_a_feed_tells_each_vpc_once_and_waits() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await Rig(world).open()
        feed = rig.map.changes()
        await rig.whole()
        await rig.namespace("ns-2", "vpc-0b")
        assert [await anext(feed), await anext(feed)] == [VPC, "vpc-0b"]
        waiting = asyncio.ensure_future(anext(feed))
        await world.sleep(1)
        assert not waiting.done()
        await rig.instance("i-9", "srv-1", "10.0.0.9")
        assert await waiting == VPC
        await feed.aclose()

    told(story)


def test_what_another_server_changed_is_seen_and_told() -> None:
    async def story(world: VirtualWorld) -> None:
        first = await (await Rig(world).open()).whole()
        second = await Rig(world, first.disk).open()
        await first.instance("i-3", "srv-1", "10.0.0.3")
        outcome = first.outcome("DEREGISTER_INSTANCE")
        leave = partial(instances.deregistered, service_id="srv-1", instance_id="i-1", outcome=outcome)
        await first.map.change(ACCOUNT, leave)
        await second.map.catch_up()
        assert second.addresses() == first.addresses() == [("10.0.0.2", "10.0.0.3")]
        assert (ACCOUNT, VPC) in second.heard
        await second.instance("i-4", "srv-1", "10.0.0.4")  # each decides on what the database holds
        await first.instance("i-5", "srv-1", "10.0.0.5")
        await second.map.catch_up()
        assert second.addresses() == [("10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5")]

    told(story)


def test_accounts_know_nothing_of_each_other() -> None:
    async def story(world: VirtualWorld) -> None:
        rig = await (await Rig(world).open()).whole()
        await rig.namespace("ns-9", "vpc-0z", account=OTHER)
        assert rig.map.named(OTHER, "ns-1.internal", "web") == (None, None)
        assert [one.name for one in rig.map.namespaces(OTHER)] == ["ns-9"]
        found = await rig.map.change(ACCOUNT, lambda shelf: Change(result=shelf.find(Namespace, "ns-9")))
        assert found is None and isinstance(rig.map.shelf(OTHER), Shelf)

    told(story)


# -- plans with names


class Network:
    """Plans as a network's registry has them."""

    def __init__(self) -> None:
        self.generation = 7
        self.feeds: list[Feed] = []

    def plan(self, vpc_id: str) -> VpcPlan:
        if not vpc_id.startswith("vpc-0"):
            raise KeyError(vpc_id)
        dns = None if vpc_id == "vpc-0silent" else VpcDns(domain="ec2.internal")
        return VpcPlan(vpc_id=vpc_id, generation=self.generation, cidrs=("10.0.0.0/16",), groups=(), dns=dns)

    def changes(self) -> Feed:
        return Feed(self.feeds)


def zone_names(plan: VpcPlan) -> list[str]:
    assert plan.dns is not None
    return [zone.name for zone in plan.dns.zones]


def test_plans_have_the_zones_of_their_vpc_and_a_generation_of_both() -> None:
    async def story(world: VirtualWorld) -> None:
        rig, network = await Rig(world).open(), Network()
        plans = NamedPlans(world, network, rig.map)
        seen = [plans.plan(VPC)]
        await rig.whole()
        seen.append(plans.plan(VPC))
        await rig.namespace("http-3", None)
        assert plans.plan(VPC) == seen[-1]  # nothing that its hosts would see
        rig.heard.clear()
        await rig.health("i-1", "srv-1", is_healthy=False)
        assert rig.heard == [(ACCOUNT, VPC)] and plans.plan(VPC) == seen[-1]
        network.generation += 1
        seen.append(plans.plan(VPC))
        await rig.instance("i-3", "srv-1", "10.0.0.3")
        seen.append(plans.plan(VPC))
        assert [zone_names(plan) for plan in seen] == [[], *[["ns-1.internal"]] * 3]
        assert [plan.generation for plan in seen] == sorted({plan.generation for plan in seen})
        assert plans.plan("vpc-0silent").dns is None
        with pytest.raises(KeyError):
            plans.plan("vpc-gone")

    told(story)


def test_generations_do_not_fall_when_names_go_or_the_server_starts_again() -> None:
    async def story(world: VirtualWorld) -> None:
        first, network = await Rig(world).open(), Network()
        plans = NamedPlans(world, network, first.map)
        await first.namespace("ns-1")
        told_last = [plans.plan(VPC).generation, plans.plan("vpc-0b").generation]
        gone = partial(namespaces.deleted, name="ns-1", outcome=first.outcome("DELETE_NAMESPACE"))
        await first.map.change(ACCOUNT, gone)
        after = plans.plan(VPC)
        assert zone_names(after) == [] and after.generation > told_last[0]
        again = NamedPlans(world, network, (await Rig(world, first.disk).open()).map)
        assert again.plan(VPC).generation >= after.generation
        assert again.plan("vpc-0b").generation >= told_last[1]

    told(story)


def test_changes_of_the_network_and_of_names_are_told_as_one() -> None:
    async def story(world: VirtualWorld) -> None:
        rig, network = await Rig(world).open(), Network()
        plans = NamedPlans(world, network, rig.map)
        feed = plans.changes()
        await rig.namespace("ns-1")
        assert await anext(feed) == VPC and zone_names(plans.plan(VPC)) == ["ns-1.internal"]
        for one in network.feeds:
            one.tell("vpc-0b")
        assert await anext(feed) == "vpc-0b"

    told(story)
