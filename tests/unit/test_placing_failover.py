"""Nodes of load balancers over several hosts of a zone: hosts that are lost, come back, are drained and given up."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from neargate.capacity.manager import open_capacity
from neargate.capacity.own_hosts import DRAINING, GIVEN_UP, HostPools
from neargate.frontend.balancing import objects as balancing_objects
from neargate.frontend.balancing.book import BalancerBook
from neargate.frontend.balancing.health import Verdicts
from neargate.frontend.balancing.objects import LoadBalancer, TargetGroup
from neargate.frontend.balancing.plans import balancer_plan
from neargate.frontend.balancing.watching import BalancerWatch
from neargate.frontend.network.nodes import balancer_nodes as nodes
from neargate.frontend.network.placing.loop import open_placing
from neargate.frontend.network.plans import balancer_names
from neargate.frontend.network.records.balancers import Node
from neargate.frontend.network.registry import MIGRATIONS, open_network
from neargate.frontend.regional.shelves import Change
from neargate.model.balancing import HEALTHY, INITIAL, GroupVerdicts, NodeReport, TargetVerdict
from neargate.model.capacity import NoAddress
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk, MemoryStores
from neargate.world import OsWorld

from .test_balancer_book import GROUP, listener
from .test_placing import ACCOUNT, HOST, REGION, ZONE, Process, nothing_to_settle, run
from .test_placing_balancers import ARN, create, found, put

KNOBS = Knobs(placing_period_s=5.0, node_lost_s=60.0, node_told_s=5.0, node_handover_s=120.0)


class Clock(OsWorld):
    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Stage(Struct, kw_only=True):
    """One server process, and what its hosts say to it."""

    process: Process
    clock: Clock
    pools: HostPools
    book: BalancerBook
    watch: BalancerWatch
    mute: set[str]  # hosts whose nodes do not serve, though they are connected
    healthy: set[str]  # hosts whose nodes have a healthy target

    async def look(self, after_s: float = 5.0) -> None:
        """A period of the server: connected hosts say that the nodes serve that they were told of."""
        self.clock.at += after_s
        await self.say()
        for _ in range(2):  # the second for what the first has changed
            await self.process.placing.look()
        await self.say()

    async def say(self) -> None:
        for host in self.process.capacity.host_places():
            if host.is_connected:
                for plan in self.book.of_host(host.host_id):
                    self.hear(host.host_id, [one.place for one in plan.nodes if one.host_id == host.host_id])
        await self.watch.look()

    def hear(self, host_id: str, places: Sequence[str]) -> None:
        generation = self.book.generation(ARN) or 0
        serves = host_id not in self.mute
        told = (TargetVerdict(key="10.0.0.7:80", state=HEALTHY if host_id in self.healthy else INITIAL),)
        groups = (GroupVerdicts(group=GROUP, targets=told),)
        reports = [
            NodeReport(arn=ARN, place=one, generation=generation, is_serving=serves, groups=groups) for one in places
        ]
        self.book.heard(host_id, reports)

    async def pass_by(self, seconds: float) -> None:
        for _ in range(int(seconds // 5)):
            await self.look()

    async def join(self, *names: str) -> None:
        for name in names:
            await self.process.capacity.register_host(replace(HOST, host_id=name, zone=ZONE))

    async def lose(self, name: str) -> None:
        await self.process.capacity.host_seen(name, False)

    def nodes(self) -> list[tuple[str | None, str, bool]]:
        return [(one.host_id, one.state, one.serves) for one in found(self.process).nodes]

    def node(self, host_id: str) -> Node:
        [one] = [one for one in found(self.process).nodes if one.host_id == host_id]
        return one

    def names(self) -> list[str]:
        return [address for _, address in balancer_names.names(found(self.process))]

    def state(self) -> tuple[str, str]:
        one = found(self.process)
        return one.state, one.reason

    def told(self, host_id: str) -> set[str]:
        """Places of the nodes that the host is to run."""
        plans = self.book.of_host(host_id)
        return {node.place for plan in plans for node in plan.nodes if node.host_id == host_id}


async def staged(region: MemoryDisk, zone: MemoryDisk, *, at: float = 1000.0, pools: HostPools | None = None) -> Stage:
    clock = Clock()
    clock.at = at
    pools = pools or HostPools()
    capacity = await open_capacity(
        clock,
        MemoryStores(clock, KNOBS, zone),
        shard="zone-a",
        region=REGION,
        zones=(ZONE,),
        public_pool="198.18.0.0/28",
        knobs=KNOBS,
        pools=pools,
    )
    network = await open_network(
        clock,
        await MemoryStores(clock, KNOBS, region).open("region", MIGRATIONS),
        region=REGION,
        account=ACCOUNT,
        zones=((ZONE, "use1-az1"),),
        public_pool="198.18.0.0/28",
        kinds=balancing_objects.KINDS,
    )
    placing = await open_placing(clock, network, {ZONE: capacity}, KNOBS)
    await placing.restore(nothing_to_settle)
    verdicts = Verdicts()
    book = BalancerBook(
        network, verdicts, lambda shelf, one, generation: balancer_plan(shelf, one, lambda _: None, generation)
    )
    return Stage(
        process=Process(capacity=capacity, network=network, placing=placing),
        clock=clock,
        pools=pools,
        book=book,
        watch=BalancerWatch(clock, network, book, verdicts, KNOBS),
        mute=set(),
        healthy=set(),
    )


async def begun(*, of_hosts: int = 2, region: MemoryDisk | None = None, zone: MemoryDisk | None = None) -> Stage:
    """An active load balancer whose only node is on host-1."""
    stage = await staged(region or MemoryDisk(), zone or MemoryDisk())
    await stage.join("host-1")
    await create(stage.process)
    await stage.look()
    await stage.join(*(f"host-{n}" for n in range(2, of_hosts + 1)))
    await stage.look()
    assert stage.nodes() == [("host-1", "available", True)] and stage.state() == ("active", "")
    return stage


def test_a_lost_hosts_node_gets_another_beside_it_and_names_lead_there_alone() -> None:
    async def main() -> None:
        stage = await begun()
        first = stage.node("host-1")
        await stage.lose("host-1")
        await stage.pass_by(40)
        assert stage.state() == ("active_impaired", f"The load balancer does not serve in {ZONE}.")
        assert stage.nodes() == [("host-1", "available", False)]
        await stage.pass_by(30)
        second = stage.node("host-2")
        assert stage.nodes() == [("host-1", "retiring", False), ("host-2", "available", True)]
        assert stage.state() == ("active", "") and stage.names() == [second.public_ip]
        assert second.private_ip != first.private_ip and second.public_ip != first.public_ip

    run(main)


def test_what_a_lost_host_may_answer_at_is_held_until_it_is_back_and_was_told() -> None:
    async def main() -> None:
        stage = await begun()
        first = stage.node("host-1")
        await stage.lose("host-1")
        await stage.pass_by(1000)
        assert ("host-1", "retiring", False) in stage.nodes()
        assert await stage.process.capacity.missing([(first.place, ZONE)]) == []
        await stage.join("host-1")
        await stage.look()
        assert stage.told("host-1") == set() and stage.nodes() == [("host-2", "available", True)]
        assert await stage.process.capacity.missing([(first.place, ZONE)]) == [(first.place, ZONE)]
        assert stage.state() == ("active", "")

    run(main)


def test_a_host_that_is_away_for_a_moment_keeps_its_node() -> None:
    async def main() -> None:
        stage = await begun()
        before = found(stage.process).nodes
        await stage.lose("host-1")
        await stage.pass_by(50)
        await stage.join("host-1")
        await stage.pass_by(500)
        assert found(stage.process).nodes == before and stage.state() == ("active", "")

    run(main)


def test_a_server_that_begins_and_one_that_stood_still_count_anew_how_long_a_host_is_away() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        stage = await begun(region=region, zone=zone)
        await stage.lose("host-1")
        await stage.pass_by(50)
        again = await staged(region, zone, at=stage.clock.at)
        await again.join("host-2")
        await again.pass_by(50)
        assert [host for host, _, _ in again.nodes()] == ["host-1"]
        await again.look(after_s=500.0)
        await again.pass_by(50)
        assert [host for host, _, _ in again.nodes()] == ["host-1"]
        await again.pass_by(20)
        assert [host for host, _, _ in again.nodes()] == ["host-1", "host-2"]

    run(main)


def test_with_most_hosts_of_a_zone_away_nothing_moves() -> None:
    async def main() -> None:
        stage = await begun(of_hosts=3)
        await stage.lose("host-1")
        await stage.lose("host-2")
        await stage.pass_by(300)
        assert [host for host, _, _ in stage.nodes()] == ["host-1"]
        await stage.join("host-2")
        await stage.pass_by(10)
        assert [host for host, _, _ in stage.nodes()] == ["host-1", "host-2"]

    run(main)


def test_a_drained_hosts_node_serves_and_is_listed_until_another_does_and_then_has_its_time() -> None:
    async def main() -> None:
        stage = await begun()
        first = stage.node("host-1")
        stage.mute.add("host-2")
        await stage.pools.become({}, {"host-1": DRAINING})
        await stage.pass_by(200)
        assert stage.nodes() == [("host-1", "available", True), ("host-2", "available", False)]
        assert stage.names() == [first.public_ip] and stage.state() == ("active", "")
        stage.mute.clear()
        await stage.look()
        await stage.look()
        assert stage.nodes() == [("host-1", "retiring", False), ("host-2", "available", True)]
        assert stage.names() == [stage.node("host-2").public_ip]
        assert stage.told("host-1") == {first.place}  # what it has begun it may end
        await stage.pass_by(110)
        assert stage.told("host-1") == {first.place}
        await stage.pass_by(10)
        assert stage.told("host-1") == set() and stage.nodes() == [("host-2", "available", True)]
        assert stage.state() == ("active", "")

    run(main)


def test_a_drained_hosts_node_is_listed_until_the_other_has_found_a_healthy_target() -> None:
    async def main() -> None:
        stage = await begun()
        vpc_id = found(stage.process).vpc_id
        group = TargetGroup(
            account=ACCOUNT, name=GROUP, label="tg", protocol="HTTP", port=80, vpc_id=vpc_id, created_at=1.0
        )
        parts = Change(result=None, put=(group, listener()))
        await stage.process.network.change(ACCOUNT, lambda _: parts)
        stage.healthy.add("host-1")
        await stage.look()
        first = stage.node("host-1")
        await stage.pools.become({}, {"host-1": DRAINING})
        await stage.pass_by(60)
        assert stage.nodes() == [("host-1", "available", True), ("host-2", "available", True)]
        assert stage.names() == [first.public_ip]
        stage.healthy.add("host-2")
        await stage.look()
        assert stage.nodes() == [("host-1", "retiring", False), ("host-2", "available", True)]
        assert stage.names() == [stage.node("host-2").public_ip]

    run(main)


def test_one_that_is_still_being_made_does_not_fail_because_its_next_node_finds_no_address() -> None:
    async def main() -> None:
        stage = await staged(MemoryDisk(), MemoryDisk())
        await stage.join("host-1")
        stage.mute.add("host-1")
        await create(stage.process)
        await stage.look()
        await stage.pools.become({}, {"host-1": DRAINING})
        one = found(stage.process)
        [first] = one.nodes
        waiting = replace(first, place="elbnode-2", state="pending", host_id=None, followed=first.place)
        await put(stage.process, replace(one, nodes=(first, waiting)))
        shelf = stage.process.network.shelf(ACCOUNT)
        assert found(stage.process).state == "provisioning"
        assert nodes.refused(shelf, ARN, waiting.place, NoAddress(is_public=True)).put == ()
        await put(stage.process, replace(one, nodes=(waiting,)))
        [failed] = nodes.refused(shelf, ARN, waiting.place, NoAddress(is_public=True)).put
        assert isinstance(failed, LoadBalancer) and failed.state == "failed"

    run(main)


def test_a_given_up_hosts_node_goes_on_elsewhere_with_all_its_addresses() -> None:
    async def main() -> None:
        stage = await begun()
        first = stage.node("host-1")
        await stage.lose("host-1")
        await stage.look()
        await stage.pools.become({}, {"host-1": GIVEN_UP})
        await stage.process.placing.look()
        carried = replace(first, host_id="host-2", serves=False)
        assert found(stage.process).nodes == (carried,)
        await stage.look()
        assert found(stage.process).nodes == (replace(first, host_id="host-2"),)
        assert stage.told("host-2") == {first.place} and stage.told("host-1") == set()
        [eni] = await stage.process.capacity.describe_enis(ACCOUNT)
        assert eni["PrivateIpAddress"] == first.private_ip

    run(main)


def test_what_the_last_host_said_of_a_carried_node_does_not_count() -> None:
    async def main() -> None:
        stage = await begun()
        stage.mute.add("host-2")
        await stage.lose("host-1")
        await stage.pools.become({}, {"host-1": GIVEN_UP})
        await stage.look()
        assert stage.nodes() == [("host-2", "available", False)]
        stage.hear("host-1", [stage.node("host-2").place])
        await stage.watch.look()
        assert stage.nodes() == [("host-2", "available", False)]

    run(main)


def test_a_node_with_an_elastic_address_waits_for_its_lost_host_and_is_carried_from_a_drained_one() -> None:
    async def main() -> None:
        stage = await begun()
        one = found(stage.process)
        bound = replace(stage.node("host-1"), allocation_id="eipalloc-1", public_ip="203.0.113.9")
        await put(stage.process, replace(one, nodes=(bound,)))
        await stage.lose("host-1")
        await stage.pass_by(300)
        assert stage.nodes() == [("host-1", "available", False)]
        assert stage.state() == ("active_impaired", f"The load balancer does not serve in {ZONE}.")
        await stage.join("host-1")
        await stage.look()
        await stage.pools.become({}, {"host-1": DRAINING})
        await stage.process.placing.look()
        assert stage.nodes() == [("host-1", "moving", False)] and stage.told("host-1") == set()
        await stage.process.placing.look()
        assert stage.nodes() == [("host-1", "moving", False)]  # its host may not have ended it yet
        await stage.look()
        await stage.look()
        assert stage.nodes() == [("host-2", "available", True)] and stage.names() == ["203.0.113.9"]
        assert stage.node("host-2").private_ip == bound.private_ip

    run(main)


def test_a_server_that_stood_still_carries_nothing_before_hosts_had_the_time_to_end_it() -> None:
    async def main() -> None:
        stage = await begun()
        one = found(stage.process)
        bound = replace(stage.node("host-1"), allocation_id="eipalloc-1", public_ip="203.0.113.9")
        await put(stage.process, replace(one, nodes=(bound,)))
        await stage.pools.become({}, {"host-1": DRAINING})
        await stage.process.placing.look()
        assert stage.nodes() == [("host-1", "moving", False)]
        stage.clock.at += 60.0  # what it would have told the host lies still in its own queues
        await stage.process.placing.look()
        assert stage.nodes() == [("host-1", "moving", False)]
        await stage.look()
        assert [host for host, _, _ in stage.nodes()] == ["host-2"]

    run(main)


def test_a_server_that_begins_carries_nothing_before_hosts_had_the_time_to_end_it() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        stage = await begun(region=region, zone=zone)
        one = found(stage.process)
        bound = replace(stage.node("host-1"), allocation_id="eipalloc-1", public_ip="203.0.113.9")
        await put(stage.process, replace(one, nodes=(bound,)))
        await stage.pools.become({}, {"host-1": DRAINING})
        await stage.process.placing.look()
        again = await staged(region, zone, at=stage.clock.at + 60.0, pools=stage.pools)
        await again.join("host-1", "host-2")
        await again.process.placing.look()
        assert again.nodes() == [("host-1", "moving", False)]
        await again.look()
        assert [host for host, _, _ in again.nodes()] == ["host-2"]

    run(main)


def test_a_server_that_is_killed_anywhere_goes_on_with_the_same_move() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        stage = await begun(region=region, zone=zone)
        first = stage.node("host-1")
        for word in (DRAINING, DRAINING, DRAINING):
            await stage.pools.become({}, {"host-1": word})
            await stage.process.placing.look()
            stage = await staged(region, zone, at=stage.clock.at + 1.0, pools=HostPools())
            await stage.pools.become({}, {"host-1": word})
            await stage.join("host-1", "host-2")
        await stage.pass_by(150)
        assert stage.nodes() == [("host-2", "available", True)] and stage.state() == ("active", "")
        assert await stage.process.capacity.missing([(first.place, ZONE)]) == [(first.place, ZONE)]
        assert len(await stage.process.capacity.placed()) == 1

    run(main)


def test_a_server_that_is_killed_between_the_zones_word_and_the_record_carries_the_node_once() -> None:
    async def main() -> None:
        region, zone = MemoryDisk(), MemoryDisk()
        stage = await begun(region=region, zone=zone, of_hosts=3)
        first = stage.node("host-1")
        await stage.lose("host-1")
        shelf = stage.process.network.shelf(ACCOUNT)
        request = nodes.placed_request(shelf, found(stage.process), first)
        assert request is not None
        await stage.process.capacity.carry(request, "host-1")
        again = await staged(region, zone, at=stage.clock.at)
        await again.join("host-2", "host-3")
        await again.pools.become({}, {"host-1": GIVEN_UP})
        await again.look()
        assert again.nodes() == [("host-2", "available", True)] and again.node("host-2").private_ip == first.private_ip

    run(main)


def test_deleting_one_that_is_on_its_way_leaves_nothing() -> None:
    async def main() -> None:
        stage = await begun()
        await stage.lose("host-1")
        await stage.pass_by(70)
        assert len(stage.nodes()) == 2
        left = nodes.deleting(found(stage.process))
        assert left is not None
        await put(stage.process, left)
        await stage.process.placing.look()
        await stage.process.placing.look()
        assert stage.process.network.shelf(ACCOUNT).count(LoadBalancer) == 0
        assert await stage.process.capacity.placed() == []

    run(main)


def test_in_a_zone_without_a_host_it_fails_in_time_and_says_why() -> None:
    async def main() -> None:
        stage = await staged(MemoryDisk(), MemoryDisk())
        await create(stage.process, created_at=1000.0)
        await stage.pass_by(55)
        assert stage.state() == ("provisioning", "")
        await stage.pass_by(10)
        why = f"No host of the Availability Zone {ZONE} can run a node of the load balancer."
        assert stage.state() == ("failed", why)

    run(main)


def test_in_a_zone_whose_hosts_are_away_it_waits_for_them() -> None:
    async def main() -> None:
        stage = await staged(MemoryDisk(), MemoryDisk())
        await stage.join("host-1")
        await stage.lose("host-1")
        await create(stage.process, created_at=1000.0)
        await stage.pass_by(300)
        assert stage.state() == ("provisioning", "")
        await stage.join("host-1")
        await stage.look()
        assert stage.state() == ("active", "")

    run(main)
