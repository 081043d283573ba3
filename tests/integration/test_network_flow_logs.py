"""Flow logs of real packets: every connection is in a record of each interface, with what the kernel counted of it."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.flow_logs import FlowLogs
from neargate.agent.task_record import TaskRecord
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.flow_logs import ALL, DEFAULT_FIELDS, FlowLogBatch, PlannedFlowLog
from neargate.model.knobs import Knobs
from neargate.model.network import Eni, SecurityGroup, VpcPlan
from neargate.testing.agent_host import launch
from neargate.testing.netlab import (
    NetLab,
    connect,
    eni,
    listener_in,
    plan,
    rule,
)
from neargate.world import OsWorld

pytestmark = pytest.mark.root
OUT = (rule("-1", peer="0.0.0.0/0"), rule("-1", peer="::/0"))
WEB = SecurityGroup(
    group_id="sg-0web", ingress=(rule("tcp", 80, 80, peer="0.0.0.0/0"), rule("tcp", 80, 80, peer="::/0")), egress=OUT
)
SHUT = SecurityGroup(group_id="sg-0shut")
INTERVAL_S = 1.0
KNOBS = Knobs(flow_interval_max_s=INTERVAL_S, flow_look_s=0.05)
FIELDS = (*DEFAULT_FIELDS, "flow-direction", "tcp-flags", "traffic-path", "pkt-srcaddr", "pkt-dstaddr", "ecs-task-id")
Line = dict[str, str]
Run = Callable[[Callable[["FlowLab"], Coroutine[Any, Any, None]]], None]


def flow_log(**changes: Any) -> PlannedFlowLog:
    made = PlannedFlowLog(
        flow_log_id="fl-1",
        account="123456789012",
        resource_id="vpc-0a",
        traffic=ALL,
        fields=FIELDS,
        interval_s=60,
    )
    return replace(made, **changes)


class FlowLab:
    """A network of tasks whose flow logs come here."""

    def __init__(self, lab: NetLab) -> None:
        self.lab = lab
        self.lines: list[Line] = []
        self.records: list[TaskRecord] = []
        self.plan = plan(1)
        self.notes: list[str] = []
        self._world = OsWorld()
        self._news = asyncio.Event()
        self.flows = self.another_agent()

    def another_agent(self) -> FlowLogs:
        return FlowLogs(
            self._world,
            KNOBS,
            self.lab.network,
            plan=lambda vpc_id: self.plan if vpc_id == self.plan.vpc_id else None,
            records=lambda: self.records,
            append=self._append,
            note=self.notes.append,
        )

    async def _append(self, batch: FlowLogBatch) -> None:
        for _, line in batch.events:
            words = line.split(" ")
            assert len(words) == len(FIELDS) and words[2] == batch.eni_id
            self.lines.append(dict(zip(FIELDS, words, strict=True)))
        self._news.set()

    async def begin(self, *groups: SecurityGroup, **changes: Any) -> None:
        self.plan = replace(plan(1, *groups), flow_logs=(flow_log(),), **changes)
        await self.lab.network.apply_vpc(self.plan)
        self.flows.follow(self.plan)

    async def change(self, changed: VpcPlan) -> None:
        self.plan = replace(changed, generation=self.plan.generation + 1)
        await self.lab.network.apply_vpc(self.plan)
        self.flows.follow(self.plan)

    async def attach(self, name: str, interface: Eni) -> TaskNetwork:
        made = await self.lab.attach(name, interface)
        order = replace(launch(), task_id=name, eni=interface)
        self.records.append(TaskRecord(launch=order, accepted_at=self._world.now()))
        return made

    async def detach(self, name: str) -> None:
        await self.lab.network.detach_eni(name)
        self.records = [record for record in self.records if record.task_id != name]

    async def close(self) -> None:
        """Nothing listens to the kernel any more."""
        self.plan = replace(self.plan, flow_logs=())
        async with asyncio.timeout(20):
            while self.flows.is_running:
                await self._world.sleep(0.01)

    async def heard(self, enough: Callable[[list[Line]], bool]) -> list[Line]:
        async with asyncio.timeout(20):
            while not enough(self.lines):
                self._news.clear()
                await self._news.wait()
        return self.lines


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def runner(scenario: Callable[[FlowLab], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            lab = await NetLab.open(tmp_path / "run")
            flows = FlowLab(lab)
            try:
                await scenario(flows)
            finally:
                await flows.close()
                await lab.close()

        asyncio.run(whole())

    return runner


def of(lines: list[Line], number: int, direction: str, action: str = "ACCEPT") -> list[Line]:
    """Records of the interface 172.31.1.NUMBER."""
    wanted = (eni(number).eni_id, direction, action)
    return [line for line in lines if (line["interface-id"], line["flow-direction"], line["action"]) == wanted]


def total(lines: list[Line], field: str) -> int:
    return sum(int(line[field]) for line in lines)


async def exchange(here: str, listener: socket.socket, address: str, sent: bytes, answered: bytes) -> int:
    """One connection to port 80 with both; the client's port."""
    loop = asyncio.get_running_loop()
    client = await connect(here, address, 80)
    assert client is not None, "nobody answers"
    accepted, _ = await loop.sock_accept(listener)
    with client, accepted:
        port = int(client.getsockname()[1])
        for source, target, data in ((client, accepted, sent), (accepted, client, answered)):
            await loop.sock_sendall(source, data)
            got = b""
            while len(got) < len(data):
                got += await loop.sock_recv(target, 65536)
    return port


def test_every_connection_is_in_a_record_of_both_interfaces_with_its_bytes(run: Run) -> None:
    connections = 120

    async def scenario(lab: FlowLab) -> None:
        await lab.begin(WEB)
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        with listener_in(b.netns_path, "0.0.0.0", 80) as listener:
            # The first window may have begun before the interfaces came.
            ports = [
                await exchange(a.netns_path, listener, "172.31.1.2", b"q" * 700, b"a" * 1200)
                for _ in range(connections)
            ]
        before = await lab.lab.network.interface_stats("a")
        lines = await lab.heard(
            lambda lines: len({x["srcport"] for x in of(lines, 1, "egress")} & set(map(str, ports))) == len(ports)
        )
        await lab.heard(lambda lines: total(of(lines, 2, "egress"), "packets") >= before.rx_packets)
        for number, direction, way in ((1, "egress", 0), (2, "ingress", 0), (2, "egress", 1), (1, "ingress", 1)):
            records = of(lines, number, direction)
            packets, size = (before.tx_packets, before.tx_bytes) if way == 0 else (before.rx_packets, before.rx_bytes)
            assert total(records, "packets") == packets, (number, direction)
            # What the interface counts has an Ethernet header of 14 bytes in each packet.
            assert total(records, "bytes") == size - 14 * packets
            assert {x["srcport" if way == 0 else "dstport"] for x in records} == set(map(str, ports))
            assert {x["srcaddr"] for x in records} == {f"172.31.1.{2 if way else 1}"}
            assert {(x["protocol"], x["log-status"], x["account-id"]) for x in records} == {("6", "OK", "123456789012")}
            assert {x["traffic-path"] for x in records} == ({"1"} if direction == "egress" else {"-"})
            assert {x["ecs-task-id"] for x in records} == {"ab"[number - 1]}
            assert all(int(x["start"]) <= int(x["end"]) for x in records)
        assert not lab.notes

    run(scenario)
