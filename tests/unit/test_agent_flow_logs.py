"""Flow logs on a host: who is listened to and when, what is sent, and what is said where something is missing."""

from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from neargate.agent.flow_logs import intervals as flow_logs
from neargate.agent.flow_logs.interfaces import interface_of
from neargate.agent.flow_logs.intervals import FlowLogs
from neargate.agent.flow_logs.spool import FlowSpool
from neargate.agent.task_record import ContainerRecord, TaskRecord
from neargate.interfaces.hostnet import FlowNews, HostError
from neargate.model.flow_logs import ALL, DEFAULT_FIELDS, FlowLogBatch, PlannedFlowLog
from neargate.model.knobs import Knobs
from neargate.model.network import VpcPlan
from neargate.testing.agent_host import launch
from neargate.testing.fake_flows import FakeFlowCapture, flow_message, ip_packet, rejected_message
from neargate.testing.fake_hostnet import FakeHostNetwork
from neargate.testing.virtual_time import EPOCH, VirtualWorld, run_virtual

VPC, ADDRESS, ENI = launch().eni.vpc_id, launch().eni.private_ipv4, launch().eni.eni_id
LOG = PlannedFlowLog(
    flow_log_id="fl-1", account="123456789012", resource_id=VPC, traffic=ALL, fields=DEFAULT_FIELDS, interval_s=60
)
PLAN = VpcPlan(vpc_id=VPC, generation=1, cidrs=("10.0.0.0/16",), groups=(), flow_logs=(LOG,))
KNOBS = Knobs()


class Host:
    def __init__(self, knobs: Knobs = KNOBS) -> None:
        self.world = VirtualWorld()
        self.network = FakeHostNetwork()
        self.plan: VpcPlan | None = PLAN
        self.records = [TaskRecord(launch=launch(), accepted_at=EPOCH)]
        self.sent: list[FlowLogBatch] = []
        self.notes: list[str] = []
        self.flows = FlowLogs(
            self.world,
            knobs,
            "h-1",
            self.network,
            plan=lambda vpc_id: self.plan if self.plan is None or vpc_id == VPC else replace(self.plan, vpc_id=vpc_id),
            records=lambda: self.records,
            append=self._append,
            note=self.notes.append,
        )

    async def _append(self, batch: FlowLogBatch) -> None:
        self.sent.append(batch)

    async def begin(self) -> FakeFlowCapture:
        assert self.plan is not None
        await self.network.apply_vpc(self.plan)
        await self.flows.follow(self.plan)
        return self.network.flows[VPC]

    def lines(self) -> list[list[str]]:
        return [line.split(" ") for batch in self.sent for _, line in batch.events]


def played(scenario: Callable[[Host], Awaitable[None]], knobs: Knobs = KNOBS) -> Host:
    async def main() -> Host:
        host = Host(knobs)
        await scenario(host)
        host.plan = None
        await host.world.sleep(2)
        assert not host.flows.is_running and not host.world.failures
        assert all(capture.is_closed for capture in host.network.flows.values())
        return host

    return run_virtual(main())


def test_what_the_kernel_tells_is_sent_at_the_end_of_the_interval() -> None:
    async def scenario(host: Host) -> None:
        capture = await host.begin()
        assert capture is host.network.flows[VPC], "listened to before the plan counts as applied"
        capture.flows.append(flow_message(ADDRESS, "10.0.9.9", started=EPOCH + 1))
        ended = flow_message(ADDRESS, "10.0.9.8", number=2, started=EPOCH + 1, stopped=EPOCH + 2)
        refused = rejected_message("i", ip_packet("10.0.9.7", ADDRESS))
        capture.news.append(FlowNews(ended=(ended,), rejected=(refused,)))
        capture.over.append(flow_message(ADDRESS, "10.0.9.6", number=3, started=EPOCH + 1, counts=(1, 60, 0, 0)))
        to_the_minute_s = 60 - EPOCH % 60
        await host.world.sleep(to_the_minute_s - 1)
        assert not host.sent and capture.dumps == 0
        await host.world.sleep(2)
        assert {(line[3], line[4], line[12]) for line in host.lines()} == {
            (ADDRESS, "10.0.9.9", "ACCEPT"),
            ("10.0.9.9", ADDRESS, "ACCEPT"),
            (ADDRESS, "10.0.9.8", "ACCEPT"),
            (ADDRESS, "10.0.9.6", "ACCEPT"),
            ("10.0.9.8", ADDRESS, "ACCEPT"),
            ("10.0.9.7", ADDRESS, "REJECT"),
        }
        assert {(batch.flow_log_id, batch.eni_id) for batch in host.sent} == {("fl-1", ENI)}
        await host.world.sleep(60)
        assert host.lines()[-1][-1] == "NODATA", "the flow that goes on counted nothing more"

    numbers = [batch.number for batch in played(scenario).sent]
    assert numbers == sorted(set(numbers))


def test_a_host_without_flow_logs_listens_to_nobody() -> None:
    async def scenario(host: Host) -> None:
        host.plan = replace(PLAN, flow_logs=())
        await host.network.apply_vpc(host.plan)
        await host.flows.follow(host.plan)
        await host.world.sleep(120)
        assert not host.flows.is_running and host.network.faults.calls.get("capture_flows") is None

    assert played(scenario).sent == []


def test_a_host_that_cannot_listen_yet_is_asked_again() -> None:
    async def scenario(host: Host) -> None:
        host.network.faults.fail("capture_flows", HostError("somebody listens"), times=3)
        await host.network.apply_vpc(PLAN)
        await host.flows.follow(PLAN)
        await host.world.sleep(70)
        assert host.lines()

    assert "somebody listens" in played(scenario).notes[0]


def test_what_the_kernel_lost_and_what_could_not_be_read_is_said() -> None:
    async def scenario(host: Host) -> None:
        capture = await host.begin()
        await host.world.sleep(1)
        capture.news.append(FlowNews(lost=True))
        await host.world.sleep(70)
        assert [line[-1] for line in host.lines()] == ["SKIPDATA"]
        capture.trouble = OSError(5, "nothing")
        await host.world.sleep(60)
        assert [line[-1] for line in host.lines()] == ["SKIPDATA", "SKIPDATA"]
        assert host.flows.skips == 2
        await host.world.sleep(60)
        assert host.flows.skips == 2
        assert [line[-1] for line in host.lines()][-1] == "NODATA"

    assert "could not be read" in played(scenario).notes[0]


def test_after_another_agent_the_first_records_say_that_some_are_missing() -> None:
    async def scenario(host: Host) -> None:
        host.network.flows[VPC] = FakeFlowCapture(is_adopted=True)
        capture = await host.begin()
        capture.flows.append(flow_message(ADDRESS, "10.0.9.9", started=EPOCH - 100))
        await host.world.sleep(70)
        assert [line[-1] for line in host.lines()] == ["SKIPDATA"]

    played(scenario)


def test_a_task_that_left_is_told_of_to_the_end_of_its_interval() -> None:
    async def scenario(host: Host) -> None:
        capture = await host.begin()
        await host.world.sleep(5)
        host.records = []
        await host.world.sleep(1)
        capture.news.append(FlowNews(ended=(flow_message(ADDRESS, "10.0.9.9", started=EPOCH + 1),)))
        await host.world.sleep(200)
        assert [line[-1] for line in host.lines()] == ["OK", "OK"]
        assert not capture.is_closed

    played(scenario)


def test_a_router_that_goes_is_let_go_of_and_what_it_counted_is_told() -> None:
    async def scenario(host: Host) -> None:
        capture = await host.begin()
        await host.world.sleep(5)
        capture.flows.append(flow_message(ADDRESS, "10.0.9.9", started=EPOCH + 1))
        del host.network.flows[VPC]
        host.flows.leave(VPC)
        await host.world.sleep(1)
        assert capture.is_closed and [line[-1] for line in host.lines()] == ["OK", "OK"]
        assert not host.network.flows[VPC].is_closed, "it came again"

    played(scenario)


def test_what_was_begun_while_a_router_went_is_let_go_of_when_the_vpc_is_back() -> None:
    async def scenario(host: Host) -> None:
        await host.network.apply_vpc(PLAN)
        host.network.faults.fail("capture_flows", HostError("not yet"))
        await host.flows.follow(PLAN)
        opened = host.network.capture_flows

        async def late(vpc_id: str) -> FakeFlowCapture:
            made = await opened(vpc_id)
            await host.world.sleep(1)
            return made

        host.network.capture_flows = late  # type: ignore[method-assign]
        await host.world.sleep(0.7)  # the loop asks again, of the router that goes now
        host.flows.leave(VPC)
        old = host.network.flows.pop(VPC)
        await host.flows.follow(PLAN)  # of the same VPC, pushed again
        new = host.network.flows[VPC]
        await host.world.sleep(2)
        assert new is not old and old.is_closed and not new.is_closed
        new.flows.append(flow_message(ADDRESS, "10.0.9.9", started=EPOCH + 3))
        await host.world.sleep(60)
        assert "OK" in {line[-1] for line in host.lines()}

    played(scenario)


def test_a_router_that_goes_is_let_go_of_though_its_flows_cannot_be_read() -> None:
    async def scenario(host: Host) -> None:
        capture = await host.begin()
        await host.world.sleep(5)

        def refused() -> Iterator[bytes]:
            raise OSError(5, "nothing")

        capture.dump = refused  # type: ignore[method-assign]
        host.plan = None
        await host.world.sleep(5)
        assert capture.is_closed and [line[-1] for line in host.lines()] == ["SKIPDATA"]

    played(scenario)


def test_ways_of_a_plan_are_found_on_the_lanes_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a large one take seconds, in which the agent would hear nobody."""
    found_on: list[bool] = []
    is_in_lane = [False]

    def found(plan: VpcPlan) -> dict[int, int]:
        found_on.append(is_in_lane[0])
        return {}

    monkeypatch.setattr(flow_logs, "traffic_paths", found)

    async def scenario(host: Host) -> None:
        offload = host.world.offload

        async def counted(lane: str, work: Callable[..., object], *args: object) -> object:
            def marked() -> object:
                is_in_lane[0] = True
                try:
                    return work(*args)
                finally:
                    is_in_lane[0] = False

            return await offload(lane, marked)

        host.world.offload = counted  # type: ignore[method-assign, assignment]
        await host.begin()
        await host.world.sleep(5)
        assert found_on == [True]

    played(scenario)


def test_a_vpc_that_comes_while_others_are_begun_is_listened_to_from_then_on() -> None:
    async def scenario(host: Host) -> None:
        other, third = (replace(PLAN, vpc_id=vpc_id) for vpc_id in ("vpc-2", "vpc-3"))
        for plan in (PLAN, other, third):
            await host.network.apply_vpc(plan)
        host.network.faults.fail("capture_flows", HostError("not yet"), times=2)
        opened = host.network.capture_flows

        async def late(vpc_id: str) -> FakeFlowCapture:
            await host.world.sleep(1)
            return await opened(vpc_id)

        host.network.capture_flows = late  # type: ignore[method-assign]
        for plan in (PLAN, third):
            host.world.spawn(host.flows.follow(plan), "follow")
        await host.world.sleep(2.7)  # both were refused, and the loop asks again for one after the other
        await host.flows.follow(other)
        assert not host.network.flows["vpc-2"].is_closed
        await host.world.sleep(5)
        assert not host.network.flows["vpc-2"].is_closed
        assert host.network.faults.calls["capture_flows"] == 5

    played(scenario)


def test_what_finds_no_room_while_the_server_is_away_is_said_later() -> None:
    async def scenario(host: Host) -> None:
        away, kept = [True], host.flows._spool._append

        async def append(batch: FlowLogBatch) -> None:
            while away[0]:
                await host.world.sleep(1)
            await kept(batch)

        host.flows._spool._append = append
        capture = await host.begin()
        for number in range(20):
            message = flow_message(ADDRESS, "10.0.9.9", ports=(1000 + number, 80), number=number, started=EPOCH + 1)
            capture.news.append(FlowNews(ended=(message,)))
        await host.world.sleep(65)
        away[0] = False
        await host.world.sleep(60)
        assert [line[-1] for line in host.lines()] == ["SKIPDATA"]

    played(scenario, Knobs(flow_spool_max_bytes=2000))


def test_batches_are_bounded_and_one_log_does_not_hold_up_another() -> None:
    async def main() -> None:
        world, said = VirtualWorld(), []

        async def append(batch: FlowLogBatch) -> None:
            if batch.flow_log_id == "fl-stuck":
                await world.sleep(1000)
            said.append(batch)

        spool = FlowSpool(
            world, Knobs(flow_batch_max_events=2, flow_batch_max_bytes=10, flow_spool_max_bytes=400), append
        )
        assert spool.put("fl-stuck", "eni-1", [(1, "x")])
        assert spool.put("fl-2", "eni-1", [(1, "aaaa"), (2, "bbbb"), (3, "cccc"), (4, "d" * 20)])
        assert not spool.put("fl-2", "eni-1", [(5, "e" * 400)])
        await world.sleep(1)
        assert [[line for _, line in batch.events] for batch in said] == [["aaaa", "bbbb"], ["cccc"], ["d" * 20]]
        await world.sleep(1000)
        assert spool.put("fl-2", "eni-1", [(5, "e" * 300)]), "the room of what was sent is there again"
        await world.sleep(1)
        assert [batch.number for batch in said if batch.flow_log_id == "fl-2"] == sorted(
            batch.number for batch in said if batch.flow_log_id == "fl-2"
        )

    run_virtual(main())


def test_one_log_that_brings_more_than_is_taken_leaves_room_for_another() -> None:
    async def main() -> None:
        world = VirtualWorld()

        async def append(batch: FlowLogBatch) -> None:
            await world.sleep(1000 if batch.flow_log_id == "fl-much" else 1)

        spool = FlowSpool(world, Knobs(flow_spool_max_bytes=1000), append)
        taken = [spool.put("fl-much", "eni-1", [(number, "x" * 36)]) for number in range(20)]
        assert taken == [True] * 7 + [False] * 13
        assert spool.put("fl-2", "eni-2", [(1, "y" * 36)])
        await world.sleep(1001)
        assert spool.put("fl-much", "eni-1", [(30, "x" * 36)]), "the room of what was sent is there again"

    run_virtual(main())


def test_an_interface_has_what_aws_says_of_a_task() -> None:
    containers = (ContainerRecord(name="a", runtime_id="one"), ContainerRecord(name="b", runtime_id="two"))
    order = replace(
        launch(), service_name="two words", eni=replace(launch().eni, ipv6="2001:db8::7", public_ipv4="198.18.0.7")
    )
    made = interface_of(TaskRecord(launch=order, containers=containers, accepted_at=5.0))
    assert made.addresses == (ip_address(ADDRESS).packed, ip_address("2001:db8::7").packed)
    assert (made.public, made.router, made.since) == (ip_address("198.18.0.7").packed, bytes((10, 0, 1, 1)), 5.0)
    assert made.facts == {
        "region": "us-east-1",
        "az-id": "use1-az1",
        "ecs-cluster-arn": "arn:aws:ecs:us-east-1:123456789012:cluster/default",
        "ecs-cluster-name": "default",
        "ecs-task-arn": order.task_arn,
        "ecs-task-id": order.task_id,
        "ecs-task-definition-arn": "arn:aws:ecs:us-east-1:123456789012:task-definition/web:1",
        "ecs-service-name": "-",
        "ecs-container-id": "one",
        "ecs-second-container-id": "two",
    }
