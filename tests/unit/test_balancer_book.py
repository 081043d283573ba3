"""Which host runs what of load balancers, what its reports make of the records, and what cells hear of targets."""

import asyncio
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from neargate.frontend.balancing import registration
from neargate.frontend.balancing.book import BalancerBook
from neargate.frontend.balancing.health import Verdicts
from neargate.frontend.balancing.objects import Action, GroupWeight, Listener, LoadBalancer, TargetGroup
from neargate.frontend.balancing.plans import balancer_plan
from neargate.frontend.balancing.registration import WantedTarget
from neargate.frontend.balancing.targets import GroupTargets
from neargate.frontend.balancing.watching import BalancerWatch, drained
from neargate.frontend.network.nodes import balancer_nodes as nodes
from neargate.frontend.network.plans.balancer_names import names
from neargate.frontend.network.records.objects import Subnet
from neargate.frontend.regional.shelves import Change, Kept
from neargate.interfaces.balancing import TargetRef
from neargate.interfaces.store import Overloaded
from neargate.model.balancing import (
    DRAINING,
    HEALTHY,
    UNHEALTHY,
    BalancerPlan,
    GroupVerdicts,
    NodeReport,
    NodeTraffic,
    TargetVerdict,
)
from neargate.model.knobs import Knobs
from neargate.store.sqlite import MemoryDisk
from neargate.world import OsWorld

from .test_placing import ACCOUNT, HOST, Process, run, start
from .test_placing_balancers import ARN, create, found

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/tg/0123456789abcdef"
LISTENER = ARN.replace(":loadbalancer/", ":listener/") + "/0123456789abcdef"


class Stage(Struct, frozen=True, kw_only=True):
    """A load balancer of two nodes that leads to one group, and all that looks at it. `now`: the clock."""

    process: Process
    verdicts: Verdicts
    book: BalancerBook
    watch: BalancerWatch
    targets: GroupTargets
    ip: str
    now: list[float]

    @property
    def places(self) -> list[str]:
        return [one.place for one in found(self.process).nodes]

    @property
    def group(self) -> TargetGroup:
        [one] = self.process.network.shelf(ACCOUNT).all(TargetGroup)
        return one

    @property
    def ref(self) -> TargetRef:
        return TargetRef(group=GROUP, ip=self.ip, port=80)

    def plan(self) -> BalancerPlan:
        [one] = self.book.of_host("host-1")
        return one

    def say(self, state: str, *places: str, in_flight: int = 0, serves: bool = True, generation: int = 0) -> None:
        """By nodes of the host; by both, where none is named. `state` empty: the target is not there."""
        told = (TargetVerdict(key=f"{self.ip}:80", state=state, in_flight=in_flight),) if state else ()
        reports = [
            NodeReport(
                arn=ARN,
                place=place,
                generation=generation or self.plan().generation,
                is_serving=serves,
                groups=(GroupVerdicts(group=GROUP, targets=told),),
            )
            for place in places or self.places
        ]
        self.book.heard("host-1", reports)

    async def put(self, *records: Kept) -> None:
        await self.process.network.change(ACCOUNT, lambda _: Change(result=None, put=records))

    async def drop(self, *records: Kept) -> None:
        await self.process.network.change(ACCOUNT, lambda _: Change(result=None, drop=records))


class Clock(OsWorld):
    def __init__(self, now: list[float]) -> None:
        super().__init__()
        self._now = now

    def now(self) -> float:
        return self._now[0]

    def monotonic(self) -> float:
        return self._now[0]


async def staged() -> Stage:
    process = await start(MemoryDisk(), MemoryDisk())
    await process.capacity.register_host(HOST)
    subnet = next(process.network.shelf(ACCOUNT).all(Subnet))
    bits = process.network.bits
    await create(process, nodes=(nodes.new_node(subnet, bits), nodes.new_node(subnet, bits)))
    now, verdicts = [1000.0], Verdicts()
    book = BalancerBook(
        process.network, verdicts, lambda shelf, one, generation: balancer_plan(shelf, one, lambda _: None, generation)
    )
    stage = Stage(
        process=process,
        verdicts=verdicts,
        book=book,
        watch=BalancerWatch(Clock(now), process.network, book, verdicts, Knobs()),
        targets=GroupTargets(process.network, verdicts, lambda: now[0]),
        ip=subnet.cidr.replace(".0/20", ".200"),
        now=now,
    )
    group = TargetGroup(
        account=ACCOUNT, name=GROUP, label="tg", protocol="HTTP", port=80, vpc_id=subnet.vpc_id, created_at=1.0
    )
    await stage.put(group, listener())
    await process.placing.look()
    await process.network.change(
        ACCOUNT, lambda shelf: registration.register(shelf, GROUP, [WantedTarget(ip=stage.ip)], now[0])
    )
    return stage


def listener() -> Listener:
    forward = Action(kind="forward", groups=(GroupWeight(arn=GROUP),))
    return Listener(
        account=ACCOUNT, name=LISTENER, load_balancer=ARN, port=80, protocol="HTTP", created_at=1.0, default=(forward,)
    )


def on_stage(story: Callable[[Stage], object]) -> None:
    async def main() -> None:
        stage = await staged()
        outcome = story(stage)
        if asyncio.iscoroutine(outcome):
            await outcome

    run(main)


def test_a_host_has_the_plans_of_its_nodes_and_no_others() -> None:
    def story(stage: Stage) -> None:
        assert [node.host_id for node in stage.plan().nodes] == ["host-1", "host-1"]
        assert [group.arn for group in stage.plan().groups] == [GROUP]
        assert stage.book.of_host("host-2") == ()

    on_stage(story)


def test_a_plan_that_says_the_same_keeps_its_generation_and_another_has_a_later_one() -> None:
    async def story(stage: Stage) -> None:
        before = stage.plan().generation
        await stage.put(replace(found(stage.process), tags=(("a", "b"),)))
        assert stage.plan().generation == before
        await stage.put(replace(found(stage.process), attributes=(("idle_timeout.timeout_seconds", "10"),)))
        assert stage.plan().generation > before

    on_stage(story)


def test_who_waits_for_changes_is_told_of_changed_plans_alone() -> None:
    async def story(stage: Stage) -> None:
        changes = stage.book.changes()
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        await stage.put(replace(found(stage.process), tags=(("a", "b"),)))
        await asyncio.sleep(0)
        assert not waiting.done()
        await stage.put(replace(found(stage.process), attributes=(("idle_timeout.timeout_seconds", "10"),)))
        await asyncio.wait_for(waiting, 10)

    on_stage(story)


def test_one_that_cannot_be_planned_stays_as_it_was_says_so_and_keeps_no_other() -> None:
    async def story(stage: Stage) -> None:
        fails: list[str] = []
        there = stage.plan().nodes

        def planner(shelf: object, one: LoadBalancer, generation: int) -> BalancerPlan:
            if one.arn in fails:
                raise ValueError("a key cannot be opened")
            return BalancerPlan(
                arn=one.arn,
                vpc_id=one.vpc_id,
                name=one.label,
                kind=one.lb_type,
                generation=generation,
                nodes=there,
            )

        verdicts, first = Verdicts(), found(stage.process)
        book = BalancerBook(stage.process.network, verdicts, planner)
        [before] = book.of_host("host-1")
        assert verdicts.unplanned == {}
        fails.append(ARN)
        await stage.put(replace(found(stage.process), name=ARN + "2"))
        assert [plan.arn for plan in book.of_host("host-1")] == [ARN, ARN + "2"]
        assert book.of_host("host-1")[0] is before
        assert list(verdicts.unplanned) == [ARN]
        fails.clear()
        await stage.put(replace(first, name=ARN + "3"))
        assert len(book.of_host("host-1")) == 3 and verdicts.unplanned == {}

    on_stage(story)


def test_of_one_that_is_deleted_or_has_failed_nothing_is_said_to_be_unplanned() -> None:
    async def story(stage: Stage) -> None:
        def planner(shelf: object, one: LoadBalancer, generation: int) -> BalancerPlan:
            raise ValueError("a key cannot be opened")

        verdicts = Verdicts()
        book = BalancerBook(stage.process.network, verdicts, planner)
        whole = found(stage.process)
        for name in ("2", "3"):
            await stage.put(replace(whole, name=ARN + name))
        book.of_host("host-1")
        assert list(verdicts.unplanned) == [ARN, ARN + "2", ARN + "3"]
        deleted = nodes.deleting(replace(whole, name=ARN + "2"))
        assert deleted is not None
        leaving = tuple(replace(one, state="deleting") for one in whole.nodes)
        await stage.put(deleted, replace(whole, name=ARN + "3", state="failed", nodes=leaving))
        book.of_host("host-1")
        assert list(verdicts.unplanned) == [ARN]
        await stage.drop(deleted)
        book.of_host("host-1")
        assert list(verdicts.unplanned) == [ARN]

    on_stage(story)


def test_one_that_is_more_than_a_message_stays_as_it_was_and_no_host_is_cut_off_by_it() -> None:
    async def story(stage: Stage) -> None:
        before = stage.plan()
        address = stage.ip.rpartition(".")[0]
        first = stage.group.targets[0]
        many = tuple(replace(first, ip=f"{address}.{one % 250 + 1}", port=one) for one in range(1, 60_000))
        for told in (many, many[:10_001]):
            await stage.put(replace(stage.group, targets=told))
            assert stage.plan() == before
        await stage.put(replace(stage.group, targets=many[:1000]))
        assert len(stage.plan().groups[0].targets) == 1000

    on_stage(story)


def test_a_host_is_not_believed_about_nodes_that_are_elsewhere() -> None:
    def story(stage: Stage) -> None:
        report = NodeReport(arn=ARN, place=stage.places[0], generation=1, is_serving=True)
        stage.book.heard("host-2", [report])
        stage.book.heard("host-1", [replace(report, arn=ARN + "x"), replace(report, place="elbnode-x")])
        assert stage.verdicts.report(stage.places[0]) is None
        stage.book.heard("host-1", [report])
        assert stage.verdicts.report(stage.places[0]) == report

    on_stage(story)


def test_traffic_is_counted_by_the_word_of_a_nodes_own_host_and_of_the_groups_that_it_leads_to() -> None:
    def story(stage: Stage) -> None:
        def count(host_id: str, requests: int) -> None:
            answers = tuple((arn, (requests, 0, 0, 0, 0)) for arn in (GROUP, GROUP + "x"))
            traffic = NodeTraffic(requests=requests)
            report = NodeReport(
                arn=ARN, place=stage.places[0], generation=1, is_serving=True, requests=answers, traffic=traffic
            )
            stage.book.heard(host_id, [report])

        count("host-1", 0)
        count("host-2", 1000)
        count("host-1", 7)
        sums = stage.book.traffic.of(ARN)
        assert (sums.traffic.requests, sums.groups) == (7, {GROUP: (7, 0, 0, 0, 0)})

    on_stage(story)


def test_a_host_is_not_believed_about_groups_that_its_node_does_not_lead_to() -> None:
    async def story(stage: Stage) -> None:
        [place, _], generation = stage.places, stage.plan().generation
        told = (TargetVerdict(key=f"{stage.ip}:80", state=HEALTHY),)
        groups = tuple(GroupVerdicts(group=name, targets=told) for name in ("", GROUP.replace("tg", "other"), GROUP))
        report = NodeReport(arn=ARN, place=place, generation=generation, is_serving=True, groups=groups)
        stage.book.heard("host-1", [report])
        heard = stage.verdicts.report(place)
        assert heard is not None and [one.group for one in heard.groups] == [GROUP]
        stage.verdicts.lapse(place)  # what was said of no group at all would end the loop that looks

    on_stage(story)


def test_it_is_active_when_all_its_nodes_serve_and_names_lead_where_targets_are_healthy() -> None:
    async def story(stage: Stage) -> None:
        first, second = stage.places
        stage.say(HEALTHY, first)
        await stage.watch.look()
        assert found(stage.process).state == "provisioning"
        stage.say(UNHEALTHY, second)
        await stage.watch.look()
        one = found(stage.process)
        assert one.state == "active" and [node.is_listed for node in one.nodes] == [True, False]
        assert list(names(one)) == [(one.dns_name, one.nodes[0].public_ip)]
        stage.say(UNHEALTHY)
        await stage.watch.look()
        one = found(stage.process)
        assert list(names(one)) == [(one.dns_name, node.public_ip) for node in one.nodes]

    on_stage(story)


def test_names_of_networks_have_one_for_each_zone_beside() -> None:
    def story(stage: Stage) -> None:
        one = replace(found(stage.process), lb_type="network", scheme="internal", dns_name="Web-1.elb.example")
        one = replace(one, nodes=one.nodes[:1])
        private = one.nodes[0].private_ip
        assert list(names(one)) == [("web-1.elb.example", private), ("us-east-1a.web-1.elb.example", private)]
        [first] = one.nodes
        successor = replace(first, place="elbnode-2", followed=first.place, private_ip="172.31.0.99", serves=True)
        both = replace(one, nodes=(replace(first, serves=True, is_listed=True), successor))
        assert {address for _, address in names(both)} == {private}  # the other has found no healthy target yet

    on_stage(story)


async def deregister(stage: Stage) -> None:
    await stage.targets.deregister(ACCOUNT, [stage.ref])


def test_a_target_drains_until_each_node_has_said_that_it_has_no_connection_left() -> None:
    async def story(stage: Stage) -> None:
        first, second = stage.places
        old = stage.plan().generation
        stage.say(HEALTHY)
        await deregister(stage)
        assert stage.plan().groups[0].targets[0].is_draining
        stage.say(DRAINING, generation=old)  # of a plan in which it did not drain yet
        await stage.watch.look()
        assert len(stage.group.targets) == 1
        stage.say(DRAINING, first)
        stage.say(DRAINING, second, in_flight=1)
        await stage.watch.look()
        assert len(stage.group.targets) == 1
        assert stage.targets.state(ACCOUNT, stage.ref).state == DRAINING
        stage.say("", second)  # it has removed it already
        await stage.watch.look()
        assert stage.group.targets == () and stage.plan().groups[0].targets == ()
        assert stage.targets.state(ACCOUNT, stage.ref).is_gone

    on_stage(story)


def test_a_target_is_forgotten_when_its_delay_is_over_whatever_nodes_say() -> None:
    async def story(stage: Stage) -> None:
        stage.say(HEALTHY)
        await deregister(stage)
        stage.say(DRAINING, in_flight=3)
        stage.now[0] += 299
        await stage.watch.look()
        assert len(stage.group.targets) == 1
        stage.now[0] += 1
        await stage.watch.look()
        assert stage.group.targets == ()

    on_stage(story)


def test_a_target_is_forgotten_when_nothing_leads_to_it_any_more() -> None:
    async def story(stage: Stage) -> None:
        await deregister(stage)
        await stage.watch.look()
        assert len(stage.group.targets) == 1, "no node has said anything"
        await stage.drop(listener())
        await stage.watch.look()
        assert stage.group.targets == ()

    on_stage(story)


def test_a_clock_that_was_set_back_keeps_nobody_draining() -> None:
    def story(stage: Stage) -> None:
        draining = replace(stage.group.targets[0], draining_since=5000.0)
        group = replace(stage.group, targets=(draining,))
        shelf = stage.process.network.shelf(ACCOUNT)
        keys = list(drained(shelf, group, (ARN,), stage.verdicts, {ARN: 1}, 1000.0))
        assert keys == [draining.key]

    on_stage(story)


def test_a_cell_registers_and_hears_of_what_becomes_of_targets() -> None:
    async def story(stage: Stage) -> None:
        heard: list[tuple[str, tuple[str, ...]]] = []

        def listen(account: str, groups: Sequence[str]) -> None:
            heard.append((account, tuple(groups)))

        stage.targets.on_change(listen)
        view = stage.targets.group(ACCOUNT, GROUP)
        assert view is not None and view.load_balancers == (ARN,) and view.target_type == "ip"
        gone, beyond = replace(stage.ref, group=GROUP + "x"), replace(stage.ref, ip="8.8.8.8")
        other = replace(stage.ref, port=81)
        assert await stage.targets.register(ACCOUNT, [gone, other, beyond]) == (gone, beyond)
        assert {one.port for one in stage.group.targets} == {80, 81}
        assert heard == [(ACCOUNT, (GROUP,))]
        stage.say(HEALTHY)
        assert heard[1:] == [(ACCOUNT, (GROUP,))] * 2, "each node said something new"
        assert stage.targets.state(ACCOUNT, stage.ref).state == HEALTHY
        stage.say(HEALTHY)
        assert len(heard) == 3, "nothing new"
        await stage.targets.deregister(ACCOUNT, [gone, other])
        assert heard[3:] == [(ACCOUNT, (GROUP,))]
        await stage.put(replace(found(stage.process), tags=(("a", "b"),)))
        await stage.drop(stage.group)
        assert heard[-1] == (ACCOUNT, (GROUP,))
        assert stage.targets.group(ACCOUNT, GROUP) is None
        assert stage.targets.state(ACCOUNT, stage.ref).is_gone
        await stage.targets.deregister(ACCOUNT, [stage.ref])

    on_stage(story)


def test_what_nodes_of_the_past_said_is_forgotten() -> None:
    async def story(stage: Stage) -> None:
        stage.say(HEALTHY)
        place = stage.places[0]
        one = found(stage.process)
        await stage.put(nodes.with_nodes(one, {one.nodes[1].place}, ()))
        await stage.watch.look()
        assert stage.verdicts.report(place) is None
        assert [said for said, _ in stage.verdicts.of_target(GROUP, f"{stage.ip}:80")] == [one.nodes[1].place]

    on_stage(story)


def test_what_cannot_be_recorded_is_left_to_the_next_period() -> None:
    async def story(stage: Stage) -> None:
        asked: list[str] = []

        async def busy(account: str, decide: object) -> None:
            asked.append(account)
            raise Overloaded("busy")

        stage.say(HEALTHY)
        stage.watch._due.clear()
        change, stage.process.network.change = stage.process.network.change, busy  # type: ignore[method-assign]
        await stage.watch.look()
        assert asked == [ACCOUNT] and not stage.watch._due.is_set()
        stage.process.network.change = change  # type: ignore[method-assign]
        await stage.watch.look()
        assert all(one.serves for one in found(stage.process).nodes)

    on_stage(story)


def test_a_node_whose_host_is_silent_is_not_asked_and_names_lead_to_it_no_longer() -> None:
    async def story(stage: Stage) -> None:
        first, second = stage.places
        stage.say(HEALTHY)
        await stage.watch.look()
        await stage.targets.register(ACCOUNT, [replace(stage.ref, port=81)])
        new = replace(stage.ref, port=81)
        for _ in range(5):
            stage.now[0] += 10
            stage.say(HEALTHY, first)
            await stage.watch.look()
        one = found(stage.process)
        assert one.state == "active_impaired" and [node.is_listed for node in one.nodes] == [True, False]
        assert stage.targets.state(ACCOUNT, new).state == "initial"
        told = (TargetVerdict(key=f"{stage.ip}:81", state=HEALTHY), TargetVerdict(key=f"{stage.ip}:80", state=HEALTHY))
        groups = (GroupVerdicts(group=GROUP, targets=told),)
        report = NodeReport(arn=ARN, place=first, generation=stage.plan().generation, is_serving=True, groups=groups)
        stage.book.heard("host-1", [report])
        assert stage.targets.state(ACCOUNT, new).state == HEALTHY, "by the word of who is there"
        stage.say(HEALTHY, second)
        await stage.watch.look()
        assert found(stage.process).state == "active"

    on_stage(story)


def test_a_server_that_stood_still_takes_no_node_for_silent() -> None:
    async def story(stage: Stage) -> None:
        stage.say(HEALTHY)
        await stage.watch.look()
        stage.now[0] += 3600
        await stage.watch.look()
        stage.now[0] += 1
        await stage.watch.look()
        assert found(stage.process).state == "active"

    on_stage(story)
