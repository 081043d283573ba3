"""The gateway and simulated hosts over channels without sockets: orders, reports, restarts, supersession, logs."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.simulated import HostMemory, SimulatedHost, SimulatedTimes, Timers
from neargate.capacity.manager import CAPACITY_UNAVAILABLE
from neargate.clusters.channel import ChannelClosed, Outgoing
from neargate.clusters.gateway import Gateway
from neargate.clusters.registrations import Refusal
from neargate.link.messages import (
    PROTOCOL,
    BulkHello,
    Hello,
    HostUpdate,
    LogAck,
    LogAppend,
    LogOpen,
    LogOpened,
    LogRefused,
    Ping,
    Report,
    RunOrder,
    StopOrder,
    VpcPush,
    VpcWithdraw,
    Welcome,
    encode,
)
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import ACCOUNT, DEFINITION, ZONES, CellRig, host_of, id_of, in_cell, run_request, subnet
from neargate.testing.fake_task_roles import FakeTaskRoles
from neargate.testing.gateway_rig import LOGGING, AgentEnd, LogGroups, VpcPlans, facts_of

FAST = SimulatedTimes(attach_s=0.001, start_s=0.001, run_s=0.001, stop_s=0.001)
KNOBS = Knobs(
    cpu_overcommit=1.0,
    disk_overcommit=1.0,
    link_ping_period_s=0.05,
    order_resend_s=0.05,
    report_resend_s=0.05,
    orders_in_flight_max=4,
)
ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}
HOST = host_of(ZONES[0])


class Door:
    """A gateway over a rig's cell, and simulated hosts connected to it."""

    def __init__(self, rig: CellRig, knobs: Knobs = KNOBS) -> None:
        self.rig = rig
        self.knobs = knobs
        self.plans = VpcPlans()
        self.sink = LogGroups(rig.world)
        self.roles = FakeTaskRoles()
        self.gateway = Gateway(rig.world, rig.cell, rig.capacities, self.plans, self.sink, self.roles, knobs)
        self.timers = Timers(rig.world)
        rig.world.spawn(self.timers.run(), "timers")

    def link(self) -> AgentEnd:
        pipe = AgentEnd()
        self.rig.world.spawn(self.gateway.accept_link(pipe), "link")
        return pipe

    def bulk(self) -> AgentEnd:
        pipe = AgentEnd()
        self.rig.world.spawn(self.gateway.accept_bulk(pipe), "bulk")
        return pipe

    def host(self, zone: str = ZONES[0], memory: HostMemory | None = None) -> SimulatedHost:
        return SimulatedHost(self.rig.world, facts_of(zone), self.timers, self.knobs, memory=memory, times=FAST)

    def connect(self, host: SimulatedHost) -> AgentEnd:
        pipe = self.link()

        async def carry() -> None:
            while (data := await pipe.to_agent.get()) is not None:
                host.received(data)
            host.disconnected()

        self.rig.world.spawn(carry(), "carry")
        host.connected(pipe.to_server.put_nowait, lambda _: pipe.to_server.put_nowait(None))
        return pipe

    async def wait_for(self, task: dict[str, Any], status: str) -> dict[str, Any]:
        async def reached() -> bool:
            return bool((await self.rig.described(id_of(task)))["lastStatus"] == status)

        await self.rig.until(reached)
        return await self.rig.described(id_of(task))

    async def connected(self, zone: str, expected: bool) -> None:
        async def seen() -> bool:
            return all(host["connected"] is expected for host in await self.rig.capacities[zone].hosts())

        await self.rig.until(seen)


def test_a_task_goes_up_and_down_over_the_link() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        host = door.host()
        door.connect(host)
        [task] = await rig.run(**ONE_ZONE)
        shown = await door.wait_for(task, "RUNNING")
        assert shown["connectivity"] == "CONNECTED" and shown["attachments"][0]["status"] == "ATTACHED"
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        stopped = await door.wait_for(task, "STOPPED")
        assert stopped["stopCode"] == "UserInitiated"
        assert [container["exitCode"] for container in stopped["containers"]] == [143, 143]
        assert host.memory.violations == []

    in_cell(body, knobs=KNOBS)


def test_a_task_that_ends_by_itself_says_with_which_exit_code() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        door.connect(door.host())
        override = {"containerOverrides": [{"name": "web", "command": ["exit", "3"]}]}
        [task] = await rig.run(overrides=override, **ONE_ZONE)
        stopped = await door.wait_for(task, "STOPPED")
        assert stopped["stopCode"] == "EssentialContainerExited"
        assert stopped["stoppedReason"] == "Essential container in task exited"
        assert stopped["containers"][0]["exitCode"] == 3 and stopped["desiredStatus"] == "STOPPED"

    in_cell(body, knobs=KNOBS)


def test_a_host_that_comes_back_hears_what_its_tasks_vpcs_became_meanwhile() -> None:
    """A rule that was revoked while it was away must not stay in force until the next task starts there."""

    async def body(rig: CellRig) -> None:
        door = Door(rig)
        rig.world.spawn(door.gateway.watch_plans(), "plans")
        host = door.host()
        pipe = door.connect(host)
        [task] = await rig.run(**ONE_ZONE)
        await door.wait_for(task, "RUNNING")
        host.kill()
        await pipe.close("the agent was killed")
        await door.connected(ZONES[0], False)
        door.plans.generation = 2
        again = door.link()
        again.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=()))
        assert isinstance(await again.hear(), Welcome)
        async with asyncio.timeout(30):
            push = await again.hear()
        assert isinstance(push, VpcPush) and push.plan.generation == 2
        door.plans.generation = 3
        door.plans.changed.put_nowait("vpc-0main")
        async with asyncio.timeout(30):
            push = await again.hear()
        assert isinstance(push, VpcPush) and push.plan.generation == 3

    in_cell(body, knobs=KNOBS)


def test_many_more_tasks_than_may_be_in_flight_all_arrive() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        tasks = [task for _ in range(3) for task in await rig.run(count=10, **ONE_ZONE)]
        door.connect(door.host())
        for task in tasks:
            await door.wait_for(task, "RUNNING")

    in_cell(body, knobs=KNOBS)


def test_orders_wait_for_a_host_that_is_away_and_stops_too() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        run, stopped_before = await rig.run(count=2, **ONE_ZONE)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(stopped_before), "changed my mind")
        host = door.host()
        door.connect(host)
        await door.wait_for(run, "RUNNING")
        shown = await door.wait_for(stopped_before, "STOPPED")
        assert shown["stoppedReason"] == "changed my mind" and "startedAt" not in shown

    in_cell(body, knobs=KNOBS)


def test_a_restarted_agent_says_what_it_has_and_what_ended_meanwhile() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        host = door.host()
        pipe = door.connect(host)
        [task] = await rig.run(**ONE_ZONE)
        await door.wait_for(task, "RUNNING")
        host.kill()
        await pipe.close("the agent was killed")
        await door.connected(ZONES[0], False)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        assert (await rig.described(id_of(task)))["lastStatus"] == "RUNNING", "silence stops nothing"
        door.connect(door.host(memory=host.memory))
        await door.wait_for(task, "STOPPED")

    in_cell(body, knobs=KNOBS)


def test_a_killed_control_plane_goes_on_where_its_database_is() -> None:
    async def body(rig: CellRig) -> None:
        host = Door(rig).host()
        door = Door(rig)
        door.connect(host)
        tasks = await rig.run(count=4, **ONE_ZONE)
        await rig.reopen()  # at whatever point the orders are
        door = Door(rig)
        door.connect(door.host(memory=host.memory))
        for task in tasks:
            await door.wait_for(task, "RUNNING")
        assert len(host.memory.tasks) == 4

    in_cell(body, knobs=KNOBS)


def test_plans_come_before_orders_and_again_when_they_change() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        rig.world.spawn(door.gateway.watch_plans(), "plans")
        pipe = door.link()
        pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=()))
        assert isinstance(await pipe.hear(), Welcome)
        [task] = await rig.run(**ONE_ZONE)
        push, order = await pipe.hear(), await pipe.hear()
        assert isinstance(push, VpcPush) and push.plan.generation == 1
        assert isinstance(order, RunOrder) and order.launch.task_id == id_of(task)
        door.plans.generation = 2
        door.plans.changed.put_nowait("vpc-other")
        door.plans.changed.put_nowait("vpc-0main")
        while not isinstance(message := await pipe.hear(), VpcPush):
            assert isinstance(message, RunOrder), "the order is repeated until it is reported"
        assert message.plan == door.plans.plan("vpc-0main")

    in_cell(body, knobs=KNOBS)


def test_a_newer_connection_of_a_host_takes_over() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        first, second = door.link(), door.link()
        first.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=()))
        assert isinstance(await first.hear(), Welcome)
        second.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=()))
        assert isinstance(await second.hear(), Welcome)
        assert await first.hear() is None
        await door.connected(ZONES[0], True)
        [task] = await rig.run(**ONE_ZONE)
        assert isinstance(await second.hear(), VpcPush)
        order = await second.hear()
        assert isinstance(order, RunOrder) and order.launch.task_id == id_of(task)
        await second.close("gone")
        await door.connected(ZONES[0], False)

    in_cell(body, knobs=KNOBS)


def test_a_host_that_is_short_of_disk_gets_no_tasks_until_it_says_otherwise() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        host = door.host()
        pipe = door.connect(host)
        [kept] = await rig.run(**ONE_ZONE)
        await door.wait_for(kept, "RUNNING")

        async def told(accepts: bool) -> None:
            reason = None if accepts else "only 5% of the disk is free"
            pipe.say(HostUpdate(host=replace(facts_of(ZONES[0]), accepts_tasks=accepts, reason=reason)))

            async def known() -> bool:
                [shown] = [item for item in await rig.capacities[ZONES[0]].hosts() if item["host_id"] == HOST]
                return (shown["accepts_tasks"], shown["reason"]) == (accepts, reason)

            await rig.until(known)

        await told(False)
        answer = await rig.cell.run_task(run_request(**ONE_ZONE))
        assert [failure.reason for failure in answer.failures] == [CAPACITY_UNAVAILABLE]
        assert (await rig.described(id_of(kept)))["lastStatus"] == "RUNNING", "what runs there is left alone"
        await told(True)
        [task] = await rig.run(**ONE_ZONE)
        await door.wait_for(task, "RUNNING")

    in_cell(body, knobs=KNOBS)


def test_a_silent_host_is_disconnected_and_its_tasks_are_left_alone() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig, replace(KNOBS, link_ping_period_s=0.05, link_silence_s=0.5))
        pipe = door.link()
        [task] = await rig.run(**ONE_ZONE)
        pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=()))
        assert isinstance(await pipe.hear(), Welcome)
        while await pipe.hear() is not None:
            pass
        assert pipe.closed is not None and "silent" in pipe.closed
        await door.connected(ZONES[0], False)
        assert await rig.described(id_of(task)) == task

    in_cell(body, knobs=KNOBS)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"\xff\xff\xff",
        encode(Ping(n=1)),
        encode(BulkHello(protocol=PROTOCOL, host_id=HOST)),
        encode(
            Hello(
                protocol=PROTOCOL + 1,
                host=HostFacts(host_id="h", boot_id="b", capacity=HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1)),
                reports=(),
            )
        ),
    ],
)
def test_what_is_no_hello_ends_the_connection_and_registers_nothing(first: bytes) -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        pipe = door.link()
        pipe.to_server.put_nowait(first)
        assert await pipe.hear() is None
        assert [len(await zone.hosts()) for zone in rig.capacities.values()] == [1, 1, 1]

    in_cell(body, knobs=KNOBS)


@pytest.mark.parametrize(
    "changes",
    [
        {"zone": None},
        {"zone": "eu-west-9z"},
        {"host_id": ""},
        {"host_id": "h" * 500},
        {"capacity": HostCapacity(cpu_units=-1, memory_mib=1, disk_gib=1)},
        {"capacity": HostCapacity(cpu_units=1, memory_mib=2**60, disk_gib=1)},
    ],
)
def test_a_host_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        pipe = door.link()
        facts = replace(facts_of(ZONES[0]), **({"host_id": "new-host"} | changes))
        pipe.say(Hello(protocol=PROTOCOL, host=facts, reports=()))
        assert await pipe.hear() is None
        assert pipe.closed is not None and "refused" in pipe.closed
        assert [len(await zone.hosts()) for zone in rig.capacities.values()] == [1, 1, 1]

    in_cell(body, knobs=KNOBS)


def test_an_agent_cannot_touch_another_host_s_task_over_its_own_session() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        [task] = await rig.run(**ONE_ZONE)
        pipe = door.link()
        pipe.say(
            Hello(protocol=PROTOCOL, host=facts_of(ZONES[1]), reports=(rig.task_report(task, "RUNNING", 1),)),
            Report(report=rig.task_report(task, "STOPPED", 99)),
            Ping(n=1),
        )
        heard = [type(await pipe.hear()).__name__ for _ in range(2)]
        assert heard == ["Welcome", "Pong"], "no acknowledgement, no order"
        await rig.report(task, "PENDING", 1)  # the queue of reports is behind us
        assert (await rig.described(id_of(task)))["lastStatus"] == "PENDING"

    in_cell(body, knobs=KNOBS)


def test_a_task_that_was_given_up_is_ordered_to_stop() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "STOPPED", 3)
        pipe = door.link()
        pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(rig.task_report(task, "RUNNING", 4),)))
        assert isinstance(await pipe.hear(), Welcome)
        order = await pipe.hear()
        assert isinstance(order, StopOrder)
        assert (order.task_id, order.incarnation) == (id_of(task), rig.cell.incarnation)

    in_cell(body, knobs=KNOBS)


def test_a_peer_that_does_not_read_loses_its_connection() -> None:
    outgoing = Outgoing(3)
    for _ in range(3):
        outgoing.put(b"x")
    with pytest.raises(ChannelClosed):
        outgoing.put(b"x")


def test_logs_go_where_the_cell_says_and_are_acknowledged_when_stored() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        [task] = await rig.run(definition=LOGGING, **ONE_ZONE)
        pipe = door.bulk()
        pipe.say(BulkHello(protocol=PROTOCOL, host_id=HOST), LogOpen(request=1, task_id=id_of(task), container="web"))
        assert await pipe.hear() == LogOpened(request=1, stream_key=7, offset=0)
        assert door.sink.targets[0].stream == f"p/web/{id_of(task)}"
        lines = [f"line {n}".encode() for n in range(20)]
        start = 0
        for n, line in enumerate(lines):
            pipe.say(append(task, n, start, line))
            start += len(line)
        acks = sorted([await pipe.hear() for _ in lines], key=lambda ack: ack.request)
        assert door.sink.stored == lines, "in the order in which they came"
        assert [type(ack) for ack in acks] == [LogAck] * 20 and acks[-1].offset == start

    in_cell(body, knobs=KNOBS)


def append(task: dict[str, Any], request: int, start: int, lines: bytes, stream_key: int = 7) -> LogAppend:
    return LogAppend(
        request=request,
        stream_key=stream_key,
        task_id=id_of(task),
        container="web",
        start=start,
        end=start + len(lines),
        runs=((0, 1),),
        lines=lines,
    )


def test_a_host_writes_only_for_its_own_tasks_and_only_streams_it_has_opened() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        [task] = await rig.run(definition=LOGGING, **ONE_ZONE)
        own, other = door.bulk(), door.bulk()
        own.say(BulkHello(protocol=PROTOCOL, host_id=HOST), append(task, 1, 0, b"x"))
        refused = await own.hear()
        assert isinstance(refused, LogRefused) and refused.code == "AccessDeniedException"
        own.say(LogOpen(request=2, task_id=id_of(task), container="web"), append(task, 3, 0, b"x", stream_key=8))
        assert isinstance(await own.hear(), LogOpened)
        assert isinstance(await own.hear(), LogRefused)
        other.say(
            BulkHello(protocol=PROTOCOL, host_id=host_of(ZONES[1])),
            LogOpen(request=1, task_id=id_of(task), container="web"),
            append(task, 2, 0, b"x"),
        )
        assert [type(await other.hear()) for _ in range(2)] == [LogRefused, LogRefused]
        assert door.sink.stored == []

    in_cell(body, knobs=KNOBS)


def test_a_missing_log_group_is_answered_with_the_store_s_code() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        elsewhere: dict[str, Any] = {**LOGGING, "taskDefinitionArn": DEFINITION["taskDefinitionArn"] + "9"}
        container = dict(LOGGING["containerDefinitions"][0])
        options = {**container["logConfiguration"]["options"], "awslogs-group": "/missing"}
        container["logConfiguration"] = {"logDriver": "awslogs", "options": options}
        elsewhere["containerDefinitions"] = [container]
        [task] = await rig.run(definition=elsewhere, **ONE_ZONE)
        pipe = door.bulk()
        pipe.say(BulkHello(protocol=PROTOCOL, host_id=HOST), LogOpen(request=5, task_id=id_of(task), container="web"))
        assert await pipe.hear() == LogRefused(
            request=5, code="ResourceNotFoundException", message="The specified log group does not exist."
        )

    in_cell(body, knobs=KNOBS)


@pytest.mark.parametrize("first", [b"", encode(Ping(n=1)), encode(BulkHello(protocol=99, host_id=HOST))])
def test_the_bulk_channel_begins_with_its_hello(first: bytes) -> None:
    async def body(rig: CellRig) -> None:
        pipe = Door(rig).bulk()
        pipe.to_server.put_nowait(first)
        assert await pipe.hear() is None

    in_cell(body, knobs=KNOBS)


def test_a_second_agent_of_a_connected_host_is_refused() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        first, second = door.link(), door.link()
        first.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), process="one"))
        assert isinstance(await first.hear(), Welcome)
        second.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), process="two"))
        assert await second.hear() is None
        assert rig.cell.refusals.counts[Refusal.COPY] == 1
        [task] = await rig.run(**ONE_ZONE)
        assert isinstance(await first.hear(), VpcPush)
        order = await first.hear()
        assert isinstance(order, RunOrder) and order.launch.task_id == id_of(task), "the first one is still in charge"
        await first.close("gone")
        await door.connected(ZONES[0], False)
        third = door.link()
        third.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), process="two"))
        assert isinstance(await third.hear(), Welcome)

    in_cell(body, knobs=KNOBS)


@pytest.mark.parametrize("door", ["accept_link", "accept_bulk"])
def test_a_fault_is_logged_without_what_the_host_said(door: str, caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(AgentEnd):
        async def receive(self) -> bytes:
            raise KeyError("s3cret" * 100_000)

    async def body(rig: CellRig) -> None:
        await getattr(Door(rig).gateway, door)(Faulty())

    in_cell(body)
    lines = [record.getMessage() for record in caplog.records if "failed by a fault" in record.getMessage()]
    assert len(lines) == 1 and "KeyError at" in lines[0] and "receive" in lines[0]
    assert "s3cret" not in lines[0] and len(lines[0]) < 2000


def test_a_vpc_that_is_deleted_while_its_change_is_told_stops_no_other() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        rig.world.spawn(door.gateway.watch_plans(), "plans")
        pipe = door.link()
        pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=()))
        assert isinstance(await pipe.hear(), Welcome)
        await rig.run(**ONE_ZONE)
        assert isinstance(await pipe.hear(), VpcPush)
        door.plans.deleted.add("vpc-0main")
        door.plans.changed.put_nowait("vpc-0main")
        while not door.plans.changed.empty():
            await pipe.hear()
        door.plans.deleted.clear()
        door.plans.generation = 2
        door.plans.changed.put_nowait("vpc-0main")
        while not isinstance(message := await pipe.hear(), VpcPush):
            assert isinstance(message, RunOrder), "the order is repeated until it is reported"
        assert message.plan.generation == 2

    in_cell(body, knobs=KNOBS)


def test_a_vpc_that_is_deleted_is_withdrawn_from_hosts_that_have_it() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        rig.world.spawn(door.gateway.watch_plans(), "plans")
        pipe = door.link()
        pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), plans=()))
        assert isinstance(await pipe.hear(), Welcome)
        await rig.run(**ONE_ZONE)
        assert isinstance(await pipe.hear(), VpcPush)
        for gone in ("vpc-other", "vpc-0main"):
            door.plans.deleted.add(gone)
            door.plans.changed.put_nowait(gone)
        while not isinstance(message := await pipe.hear(), VpcWithdraw):
            assert isinstance(message, RunOrder), "the order is repeated until it is reported"
        assert message == VpcWithdraw(vpc_id="vpc-0main", generation=1)

    in_cell(body, knobs=KNOBS)


def test_what_a_host_holds_without_a_task_is_withdrawn_as_it_comes() -> None:
    async def body(rig: CellRig) -> None:
        door = Door(rig)
        await rig.run(**ONE_ZONE)
        pipe = door.link()
        held = (("vpc-0main", 1), ("vpc-0old", 4))
        pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), plans=held))
        assert isinstance(await pipe.hear(), Welcome)
        assert await pipe.hear() == VpcWithdraw(vpc_id="vpc-0old", generation=4)
        assert isinstance(message := await pipe.hear(), VpcPush) and message.plan.vpc_id == "vpc-0main"

    in_cell(body, knobs=KNOBS)


def test_a_vpc_without_tasks_is_withdrawn_after_a_while_and_comes_back_with_the_next() -> None:
    knobs = replace(KNOBS, orders_lookaround_s=0.05, vpc_unused_s=0.2)

    async def body(rig: CellRig) -> None:
        door = Door(rig, knobs)
        host = door.host()
        door.connect(host)
        for _ in range(2):
            [task] = await rig.run(**ONE_ZONE)
            await door.wait_for(task, "RUNNING")
            await rig.world.sleep(1)
            assert "vpc-0main" in host.memory.plans, "its task goes on"
            await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
            await door.wait_for(task, "STOPPED")

            async def gone() -> bool:
                return not host.memory.plans

            await rig.until(gone)
        assert host.memory.violations == []

    in_cell(body, knobs=knobs)


def test_a_hello_names_no_more_vpcs_than_a_host_can_have() -> None:
    async def body(rig: CellRig) -> None:
        many = tuple((f"vpc-{n}", 1) for n in range(1025))
        for held in (many, (("vpc 1", 1),), (("vpc-1", -1),), (("vpc-1", 2**63),)):
            pipe = Door(rig).link()
            pipe.say(Hello(protocol=PROTOCOL, host=facts_of(ZONES[0]), reports=(), plans=held))
            assert await pipe.hear(Welcome) is None and "VPC" in (pipe.closed or "")

    in_cell(body, knobs=KNOBS)
