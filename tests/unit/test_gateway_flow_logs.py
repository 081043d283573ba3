"""Records of flow logs at the agents' door: whose may come in, once each, and what hostile hosts get."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.channels.bulk import BulkClient
from neargate.agent.channels.link import Closed
from neargate.agent.flow_logs.sender import FlowSender
from neargate.clusters.flow_arrivals import NUMBER_MAX
from neargate.clusters.flow_logs import NOT_ASSUMED, NOT_HERE, FlowLogWriter
from neargate.clusters.gateway import Gateway
from neargate.frontend.network.flow_log_delivery import FlowLogDelivery
from neargate.frontend.network.flow_logs import with_error
from neargate.frontend.network.records.objects import FlowLog
from neargate.frontend.network.registry import MIGRATIONS, NetworkRegistry, open_network
from neargate.frontend.regional.shelves import Change
from neargate.interfaces.roles import EventRange, GroupFilter
from neargate.interfaces.store import Overloaded
from neargate.link.messages import (
    PROTOCOL,
    BulkHello,
    FlowsAck,
    FlowsAppend,
    LogOpen,
    LogOpened,
    LogRefused,
    encode,
)
from neargate.logs.store import Logs
from neargate.model.flow_logs import FlowLogBatch
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import ACCOUNT, REGION, ZONES, CellRig, host_of, id_of, in_cell
from neargate.testing.fake_task_roles import FakeTaskRoles
from neargate.testing.gateway_rig import LOGGING, AgentEnd, LogGroups, VpcPlans
from neargate.testing.host_proofs import key_of

KNOBS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, flow_batch_max_events=8, flow_batch_max_bytes=1000)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/flows"
HOST = host_of(ZONES[0])
_ALL = GroupFilter()


class Stage:
    """A gateway with real stores behind it, a task on a host, and a flow log of its subnet."""

    def __init__(self, rig: CellRig) -> None:
        self.rig = rig
        self.roles = FakeTaskRoles()
        self.network: NetworkRegistry
        self.logs: Logs
        self.eni = ""
        self.task: dict[str, Any] = {}

    async def open(self, knobs: Knobs = KNOBS) -> None:
        rig, world = self.rig, self.rig.world
        store = await rig.stores.open("region", MIGRATIONS)
        zones = tuple((zone, f"use1-az{n}") for n, zone in enumerate(ZONES, 1))
        self.network = await open_network(world, store, region=REGION, account=ACCOUNT, zones=zones)
        self.logs = await Logs.open(world, rig.stores, knobs, REGION)
        subnet = self.network.subnets(ACCOUNT)[0]
        [self.task] = await rig.run(definition=LOGGING, subnets=(subnet.view,))
        [eni] = [eni for zone in ZONES for eni in await rig.capacities[zone].describe_enis(ACCOUNT)]
        self.eni = eni["NetworkInterfaceId"]
        self.log = await self.flow_log("fl-00000001", subnet.name)
        delivery = FlowLogDelivery(world, self.network, knobs)
        self.writer = FlowLogWriter(world, rig.capacities, delivery, self.logs, self.roles, knobs)
        self.gateway = Gateway(
            world, rig.cell, rig.capacities, VpcPlans(), LogGroups(world), self.roles, knobs, self.writer
        )

    async def flow_log(self, name: str, resource_id: str, log_format: str = "${interface-id} ${packets}") -> FlowLog:
        log = FlowLog(
            account=ACCOUNT,
            name=name,
            resource_id=resource_id,
            traffic="ACCEPT",
            log_group="/flows",
            role_arn=ROLE,
            created_at=1.0,
            log_format=log_format,
        )
        await self.network.change(ACCOUNT, lambda _: Change(result=None, put=(log,)))
        return log

    def bulk(self, host_id: str = HOST) -> AgentEnd:
        pipe = AgentEnd()
        self.rig.world.spawn(self.gateway.accept_bulk(pipe), "bulk")
        pipe.say(BulkHello(protocol=PROTOCOL, host_id=host_id))
        return pipe

    def batch(self, number: int = 1, *lines: str, at_ms: int = 0, **changes: Any) -> FlowLogBatch:
        at = at_ms or int(self.rig.world.now() * 1000)
        events = tuple((at, line) for line in lines or (f"{self.eni} {number}",))
        made = FlowLogBatch(flow_log_id=self.log.name, eni_id=self.eni, number=number, events=events)
        return replace(made, **changes)

    async def stored(self) -> list[str]:
        answer = await self.logs.get_events(ACCOUNT, "/flows", f"{self.eni}-accept", EventRange(from_head=True))
        return [event["message"] for event in json.loads(answer)["events"]]

    def status(self) -> str:
        log = self.network.shelf(ACCOUNT).find(FlowLog, self.log.name)
        assert log is not None
        return log.error


def staged(body: Callable[[Stage], Awaitable[None]], knobs: Knobs = KNOBS) -> None:
    async def whole(rig: CellRig) -> None:
        stage = Stage(rig)
        await stage.open(knobs)
        await body(stage)

    in_cell(whole, knobs=knobs)


async def said(pipe: AgentEnd, batch: FlowLogBatch, counter: str = "c1", request: int = 1) -> FlowsAck | LogRefused:
    pipe.say(FlowsAppend(request=request, counter=counter, batch=batch))
    answer: FlowsAck | LogRefused = await pipe.hear()
    assert answer.request == request
    return answer


async def refusal(pipe: AgentEnd, batch: FlowLogBatch, counter: str = "c1") -> tuple[str, str]:
    answer = await said(pipe, batch, counter)
    assert isinstance(answer, LogRefused), "it was taken"
    return answer.code, answer.message


def test_a_batch_is_stored_once_however_often_and_by_whichever_connection_it_comes() -> None:
    async def body(stage: Stage) -> None:
        first, second = stage.bulk(), stage.bulk()
        batches = [stage.batch(number) for number in (1, 2, 5)]
        for pipe in (first, second, first):
            for batch in batches:
                assert isinstance(await said(pipe, batch), FlowsAck)
        both = await asyncio.gather(said(first, stage.batch(6)), said(second, stage.batch(6)))
        assert all(isinstance(answer, FlowsAck) for answer in both)
        assert await stage.stored() == [f"{stage.eni} {number}" for number in (1, 2, 5, 6)]

    staged(body)


class _Wire:
    """The agent's end of a connection to the real gateway; as `Transport` it makes one each time."""

    def __init__(self, stage: Stage, wires: list[AgentEnd]) -> None:
        self._stage = stage
        self._wires = wires

    async def connect(self, path: str) -> "_Wire":
        assert path == "/bulk"
        pipe = AgentEnd(proves=False)
        self._wires.append(pipe)
        self._stage.rig.world.spawn(self._stage.gateway.accept_bulk(pipe), "bulk")
        return _Wire(self._stage, [pipe])

    async def send(self, data: bytes) -> None:
        if self._wires[-1].closed is not None:
            raise Closed("cut")
        self._wires[-1].to_server.put_nowait(data)

    async def receive(self) -> bytes:
        data = await self._wires[-1].to_agent.get()
        if data is None:
            raise Closed("cut")
        return data

    async def close(self) -> None:
        await self._wires[-1].close("by the agent")


def test_an_agents_batches_are_stored_once_over_connections_that_break() -> None:
    async def body(stage: Stage) -> None:
        world, wires, notes = stage.rig.world, list[AgentEnd](), list[str]()
        knobs = Knobs(link_reconnect_min_s=0.001, link_reconnect_max_s=0.001, flow_retry_s=0.001)
        bulk = BulkClient(world, knobs, _Wire(stage, wires), HOST, key_of(HOST))
        running = world.spawn(bulk.run(), "bulk")
        sender = FlowSender(world, knobs, bulk, notes.append)
        append = stage.logs.append

        async def cut(*given: Any) -> int:
            stored = await append(*given)
            await wires[-1].close("cut before the answer")
            return stored

        for number in range(1, 5):
            stage.logs.append = cut if number % 2 else append  # type: ignore[method-assign,assignment]
            batch = stage.batch(number)
            async with asyncio.timeout(30):
                await sender.append_flows(batch)
        running.cancel()
        assert await stage.stored() == [f"{stage.eni} {number}" for number in range(1, 5)]
        assert len(wires) == 3 and notes == []

    staged(body)


def test_the_wire_carries_no_fields_that_the_checks_do_not_know() -> None:
    """A new field of what an agent says must be looked at in clusters/flow_arrivals.py before it is believed."""
    assert set(FlowLogBatch.__struct_fields__) == {"flow_log_id", "eni_id", "number", "events"}
    assert set(FlowsAppend.__struct_fields__) == {"request", "counter", "batch"}


def test_a_process_that_starts_counts_anew() -> None:
    async def body(stage: Stage) -> None:
        pipe = stage.bulk()
        await said(pipe, stage.batch(7), "c1")
        assert isinstance(await said(pipe, stage.batch(1), "c2"), FlowsAck)
        assert await stage.stored() == [f"{stage.eni} 7", f"{stage.eni} 1"]

    staged(body)


def test_what_was_acknowledged_outlives_the_process() -> None:
    async def body(stage: Stage) -> None:
        assert isinstance(await said(stage.bulk(), stage.batch()), FlowsAck)
        await stage.rig.kill()
        again = type(stage.rig.stores)(stage.rig.world, stage.rig.knobs, stage.rig.disk)
        stage.logs = await Logs.open(stage.rig.world, again, KNOBS, REGION)
        assert await stage.stored() == [f"{stage.eni} 1"]

    staged(body)


def test_another_host_and_another_account_get_nothing_in() -> None:
    async def body(stage: Stage) -> None:
        own, other = stage.bulk(), stage.bulk(host_of(ZONES[1]))
        here = ("AccessDeniedException", NOT_HERE)
        assert await refusal(other, stage.batch()) == here
        assert await refusal(own, stage.batch(eni_id="eni-0badbadbad")) == here
        assert await refusal(own, stage.batch(flow_log_id="fl-0badbadbad")) == here
        theirs = replace(stage.log, account="999999999999", name="fl-00000002")
        await stage.network.change(theirs.account, lambda _: Change(result=None, put=(theirs,)))
        assert await refusal(own, stage.batch(flow_log_id=theirs.name)) == here
        elsewhere = await stage.flow_log("fl-00000003", stage.network.subnets(ACCOUNT)[1].name)
        assert await refusal(own, stage.batch(flow_log_id=elsewhere.name)) == here
        assert stage.status() == "", "what strangers say changes no status"

    staged(body)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (("eni-0other 1",), "A record is of another interface."),
        (("ENI 1\nENI 2",), "A record is not one line of 2 fields."),
        (("ENI",), "A record is not one line of 2 fields."),
        (("ENI  1",), "A record is not one line of 2 fields."),
        (("ENI 1 2",), "A record is not one line of 2 fields."),
        (("ENI \x1b[2J",), "A record is not one line of 2 fields."),
        (("ENI é",), "A record is not one line of 2 fields."),
        (("",), "A record is not one line of 2 fields."),
        (("ENI 1",) * 17, "A batch of 17 records is not acceptable."),
        (("ENI " + "1" * 2000,), "A batch has too many bytes."),
    ],
)
def test_lines_that_no_agent_writes_are_refused(lines: tuple[str, ...], why: str) -> None:
    async def body(stage: Stage) -> None:
        pipe = stage.bulk()
        batch = stage.batch(1, *(line.replace("ENI", stage.eni) for line in lines))
        assert await refusal(pipe, batch) == ("InvalidParameterException", why)
        assert isinstance(await said(pipe, stage.batch()), FlowsAck), "the connection lasts"
        assert await stage.stored() == [f"{stage.eni} 1"]

    staged(body)


def test_numbers_and_times_out_of_range_are_refused() -> None:
    async def body(stage: Stage) -> None:
        pipe, now = stage.bulk(), int(stage.rig.world.now() * 1000)
        hour = 3600 * 1000
        line = f"{stage.eni} 1"
        for batch in (
            stage.batch(-1),
            stage.batch(NUMBER_MAX),
            stage.batch(2**63 - 1),
            stage.batch(events=()),
            stage.batch(at_ms=now - 15 * 24 * hour),
            stage.batch(at_ms=now + 3 * hour),
            stage.batch(at_ms=-(2**62)),
            stage.batch(events=((now, line), (now - 1, line))),
        ):
            code, _ = await refusal(pipe, batch)
            assert code == "InvalidParameterException"
        assert isinstance(await said(pipe, stage.batch(NUMBER_MAX - 1)), FlowsAck)
        assert isinstance(await said(pipe, stage.batch(1)), FlowsAck), "older than what is stored: taken for stored"
        assert await stage.stored() == [f"{stage.eni} {NUMBER_MAX - 1}"]

    staged(body)


def test_names_that_are_none_cost_the_containers_lines_nothing() -> None:
    async def body(stage: Stage) -> None:
        pipe = stage.bulk()
        for changes in ({"eni_id": "../x"}, {"flow_log_id": "f" * 100_000}, {"eni_id": ""}):
            code, _ = await refusal(pipe, stage.batch(**changes))
            assert code == "InvalidParameterException"
        assert (await refusal(pipe, stage.batch(), counter="a/b"))[0] == "InvalidParameterException"
        pipe.say(LogOpen(request=9, task_id=id_of(stage.task), container="web"))
        assert isinstance(await pipe.hear(), LogOpened)

    staged(body)


def test_what_is_no_batch_at_all_ends_the_connection() -> None:
    async def body(stage: Stage) -> None:
        pipe = stage.bulk()
        message = FlowsAppend(request=1, counter="c1", batch=stage.batch())
        pipe.say(encode(message).replace(b"\xa6events", b"\xa6eventz"))
        assert await pipe.hear() is None and "unreadable" in (pipe.closed or "")

    staged(body)


def test_a_server_without_flow_logs_takes_none() -> None:
    async def body(stage: Stage) -> None:
        rig = stage.rig
        stage.gateway = Gateway(
            rig.world, rig.cell, rig.capacities, VpcPlans(), LogGroups(rig.world), stage.roles, KNOBS
        )
        assert await refusal(stage.bulk(), stage.batch()) == ("AccessDeniedException", NOT_HERE)

    staged(body)


def test_the_role_is_asked_at_each_step_and_only_for_what_is_missing() -> None:
    async def body(stage: Stage) -> None:
        pipe = stage.bulk()
        for action in ("logs:PutLogEvents", "logs:CreateLogStream", "logs:CreateLogGroup"):
            stage.roles.denied = {action}
            code, message = await refusal(pipe, stage.batch())
            assert code == "AccessDeniedException" and f"perform: {action} on resource" in message
            assert f"assumed-role/flows/{stage.log.name}" in message
            assert stage.status() == "Access error"
        groups, _ = await stage.logs.describe_groups(ACCOUNT, _ALL, 10, None)
        assert groups == []
        await stage.logs.create_group(ACCOUNT, "/flows", {})
        assert isinstance(await said(pipe, stage.batch()), FlowsAck), "no group is to be made"
        assert stage.status() == ""
        stage.roles.denied = {"logs:CreateLogStream", "logs:CreateLogGroup"}
        assert isinstance(await said(pipe, stage.batch(2)), FlowsAck), "nothing is to be made"
        stage.roles.missing = {ROLE}
        assert await refusal(pipe, stage.batch(3)) == ("AccessDeniedException", NOT_ASSUMED)
        stage.roles.missing, stage.roles.denied = set(), set()
        await stage.logs.delete_group(ACCOUNT, "/flows")
        assert isinstance(await said(pipe, stage.batch(4)), FlowsAck), "deleted groups come again, as on AWS"
        assert await stage.stored() == [f"{stage.eni} 4"]

    staged(body)


def test_a_stream_that_is_deleted_while_it_is_written_is_made_again() -> None:
    async def body(stage: Stage) -> None:
        append, stream = stage.logs.append, f"{stage.eni}-accept"
        times = 0

        async def deleting(*given: Any) -> int:
            nonlocal times
            times += 1
            if times == 1:
                await stage.logs.delete_stream(ACCOUNT, "/flows", stream)
            return await append(*given)

        stage.logs.append = deleting  # type: ignore[method-assign,assignment]
        assert isinstance(await said(stage.bulk(), stage.batch()), FlowsAck)
        assert times == 2 and await stage.stored() == [f"{stage.eni} 1"]

    staged(body)


def test_a_store_that_is_busy_asks_for_a_later_try() -> None:
    async def body(stage: Stage) -> None:
        append = stage.logs.append

        async def busy(*_: Any) -> int:
            raise Overloaded

        stage.logs.append = busy  # type: ignore[method-assign,assignment]
        pipe = stage.bulk()
        assert (await refusal(pipe, stage.batch()))[0] == "ServiceUnavailableException"
        assert stage.status() == "", "nothing was lost"
        stage.logs.append = append  # type: ignore[method-assign]
        assert isinstance(await said(pipe, stage.batch()), FlowsAck)

    staged(body)


def test_a_flow_log_changes_its_word_only_so_often() -> None:
    async def body(stage: Stage) -> None:
        pipe, generation = stage.bulk(), stage.network.shelf(ACCOUNT).generation
        for number in range(20):
            stage.roles.denied = {"logs:PutLogEvents"} if number % 2 == 0 else set()
            await said(pipe, stage.batch(number))
        assert stage.network.shelf(ACCOUNT).generation == generation + KNOBS.flow_status_changes

    staged(body)


def test_a_status_that_cannot_be_kept_stops_no_delivery() -> None:
    async def body(stage: Stage) -> None:
        await stage.network.change(ACCOUNT, lambda shelf: with_error(shelf, stage.log.name, "Access error"))

        async def refused(*_: Any) -> None:
            raise Overloaded

        stage.network.change = refused  # type: ignore[method-assign,assignment]
        assert isinstance(await said(stage.bulk(), stage.batch()), FlowsAck)
        assert stage.status() == "Access error"

    staged(body)
