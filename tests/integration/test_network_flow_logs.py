"""Flow logs of real packets: every connection is in a record of each interface, with what the kernel counted of it."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.agent.flow_logs.intervals import FlowLogs
from neargate.agent.task_record import TaskRecord
from neargate.flowlogs.messages import flow
from neargate.hostnet.namespaces import write_sysctl
from neargate.hostnet.nftables import Nftables
from neargate.interfaces.hostnet import TaskNetwork
from neargate.model.flow_logs import ALL, DEFAULT_FIELDS, FlowLogBatch, PlannedFlowLog
from neargate.model.knobs import Knobs
from neargate.model.network import AclRule, Eni, NetworkAcl, PlannedEndpoint, PlannedNat, SecurityGroup, VpcPlan
from neargate.testing.agent_host import launch
from neargate.testing.netlab import (
    NetLab,
    connect,
    eni,
    entered,
    is_cut_off,
    listener_in,
    plan,
    rule,
    socket_in,
)
from neargate.testing.plans import table
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
            "h-1",
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
        await self.flows.follow(self.plan)

    async def change(self, changed: VpcPlan) -> None:
        self.plan = replace(changed, generation=self.plan.generation + 1)
        await self.lab.network.apply_vpc(self.plan)
        await self.flows.follow(self.plan)

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
        try:
            async with asyncio.timeout(20):
                while not enough(self.lines):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = [" ".join(line.values()) for line in self.lines if line["log-status"] != "NODATA"]
            raise AssertionError("\n".join((*told, *self.notes))) from None
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


async def datagrams(netns_path: str, address: str, number: int, size: int = 100) -> None:
    with socket_in(netns_path, socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(number):
            await asyncio.get_running_loop().sock_sendto(sender, bytes(size), (address, 4000))


def test_what_groups_refuse_is_rejected_where_it_was_refused_and_was_accepted_where_it_was_sent(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        await lab.begin(WEB, SHUT)
        a, b = await lab.attach("a", eni(1, "sg-0web", ipv6=True)), await lab.attach("b", eni(2, "sg-0web", ipv6=True))
        shut = await lab.attach("c", eni(3, "sg-0shut"))
        await datagrams(a.netns_path, "172.31.1.2", 7)
        await datagrams(b.netns_path, "2001:db8::1", 5)
        await datagrams(shut.netns_path, "172.31.1.1", 3)
        wanted = [(2, "ingress", 7), (1, "ingress", 5), (3, "egress", 3)]
        lines = await lab.heard(
            lambda lines: all(total(of(lines, n, way, "REJECT"), "packets") == packets for n, way, packets in wanted)
        )
        (record,) = of(lines, 2, "ingress", "REJECT")
        sent = (record["srcaddr"], record["dstaddr"], record["dstport"], record["protocol"], record["bytes"])
        assert sent == ("172.31.1.1", "172.31.1.2", "4000", "17", str(7 * 128))
        assert [(x["packets"], x["bytes"]) for x in of(lines, 1, "egress")] == [("7", str(7 * 128))]
        (record,) = of(lines, 1, "ingress", "REJECT")
        assert (record["srcaddr"], record["bytes"]) == ("2001:db8::2", str(5 * 148))
        (record,) = of(lines, 3, "egress", "REJECT")
        assert (record["dstaddr"], record["traffic-path"]) == ("172.31.1.1", "1")
        # Nothing of it came to the other end, so that one has nothing of it.
        assert not [x for x in of(lines, 1, "ingress", "REJECT") if x["srcaddr"] == "172.31.1.3"]
        assert not of(lines, 3, "egress") and not of(lines, 2, "ingress")
        assert await is_cut_off(a.netns_path, "172.31.1.2", 81)
        lines = await lab.heard(lambda lines: any(x["dstport"] == "81" for x in of(lines, 2, "ingress", "REJECT")))
        assert {x["tcp-flags"] for x in lines if x["dstport"] == "81"} == {"2"}

    run(scenario)


def test_answers_that_an_acl_refuses_are_rejected_although_the_request_was_accepted(run: Run) -> None:
    def other_subnet(number: int) -> Eni:
        return replace(
            eni(number, "sg-0web"),
            subnet_id="subnet-0b",
            subnet_cidr="172.31.16.0/20",
            private_ipv4=f"172.31.17.{number}",
        )

    def acl(*, is_egress: bool) -> NetworkAcl:
        """The first subnet's: everything may pass but answers of port 80."""
        rules = [
            AclRule(number=100, is_egress=way, allow=True, protocol="6", cidr="0.0.0.0/0", from_port=80, to_port=80)
            for way in (True, False)
        ]
        rules.append(AclRule(number=101, is_egress=not is_egress, allow=True, protocol="-1", cidr="0.0.0.0/0"))
        return NetworkAcl(acl_id="acl-answers", rules=tuple(rules))

    async def scenario(lab: FlowLab) -> None:
        made = plan(1, WEB)
        second = replace(made.subnets[0], subnet_id="subnet-0b", cidr="172.31.16.0/20", ipv6_cidr=None)
        subnets = (replace(made.subnets[0], acl="acl-answers"), second)
        await lab.begin(WEB, subnets=subnets, acls=(*made.acls, acl(is_egress=True)))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", other_subnet(2))
        with listener_in(a.netns_path, "0.0.0.0", 80), listener_in(b.netns_path, "0.0.0.0", 80):
            # Its answers are refused as they leave the first subnet.
            assert await is_cut_off(b.netns_path, "172.31.1.1", 80)
            lines = await lab.heard(lambda lines: bool(of(lines, 1, "egress", "REJECT") and of(lines, 1, "ingress")))
            (*_, record) = of(lines, 1, "egress", "REJECT")
            assert (record["srcport"], record["dstaddr"], record["tcp-flags"]) == ("80", "172.31.17.2", "18")
            assert not of(lines, 1, "egress") and not of(lines, 2, "ingress")
            # And here those that come into it, which the kernel had counted by then.
            await lab.change(replace(lab.plan, acls=(*made.acls, acl(is_egress=False))))
            lab.lines.clear()
            assert await is_cut_off(a.netns_path, "172.31.17.2", 80)
            lines = await lab.heard(lambda lines: bool(of(lines, 1, "ingress", "REJECT") and of(lines, 2, "egress")))
            (*_, record) = of(lines, 1, "ingress", "REJECT")
            assert (record["srcaddr"], record["srcport"]) == ("172.31.17.2", "80")
            # The kernel counted them, but they were not accepted.
            assert "80" not in {x["srcport"] for x in of(lines, 1, "ingress")}
            assert "80" in {x["dstport"] for x in of(lines, 1, "egress")}

    run(scenario)


def test_a_long_flow_has_a_record_in_each_interval_and_is_told_whole_when_its_task_goes(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        await lab.begin(WEB)
        a, b = await lab.attach("a", eni(1, "sg-0web", ipv6=True)), await lab.attach("b", eni(2, "sg-0web", ipv6=True))
        loop = asyncio.get_running_loop()
        with listener_in(b.netns_path, "::", 80) as listener:
            client = await connect(a.netns_path, "2001:db8::2", 80)
            assert client is not None
            accepted, _ = await loop.sock_accept(listener)
            with client, accepted:
                for count in range(1, 4):
                    await loop.sock_sendall(client, bytes(500))
                    await loop.sock_recv(accepted, 4096)
                    await lab.heard(lambda lines, count=count: len(of(lines, 2, "ingress")) >= count)  # type: ignore[misc]
                await loop.sock_sendall(client, bytes(500))
                await loop.sock_recv(accepted, 4096)
                # The address goes, and with it the kernel's memory of its flows: at once, not after their time.
                await lab.detach("a")
        whole = 80 + 72 + 4 * 572  # SYN, ACK, and four packets with data
        lines = await lab.heard(lambda lines: total(of(lines, 1, "egress"), "bytes") >= whole)
        mine, theirs = of(lines, 1, "egress"), of(lines, 2, "ingress")
        assert len({x["srcport"] for x in mine}) == 1 and len(mine) >= 4
        for records in (mine, theirs):
            assert (total(records, "bytes"), total(records, "packets")) == (whole, 6)
        assert {x["srcaddr"] for x in mine} == {"2001:db8::1"}
        assert [int(x["start"]) for x in mine] == sorted(int(x["start"]) for x in mine)

    run(scenario)


def test_names_and_metadata_are_left_out_and_an_interface_without_traffic_says_so(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        await lab.begin(WEB)
        a = await lab.attach("a", eni(1, "sg-0web"))
        metadata = await lab.lab.network.listen("vpc-0a", "169.254.170.2", 80)
        names = await lab.lab.network.listen("vpc-0a", "169.254.170.11", 53, datagrams=True)
        region = await lab.lab.network.listen("vpc-0a", "169.254.170.10", 4566)
        with metadata, names, region, socket_in(a.netns_path, kind=socket.SOCK_DGRAM) as asking:
            for address in ("172.31.0.2", "169.254.169.253"):
                await asyncio.get_running_loop().sock_sendto(asking, b"?", (address, 53))
            client = await connect(a.netns_path, "169.254.170.2", 80)
            assert client is not None
            client.close()
            await lab.heard(lambda lines: len(lines) >= 3)
            assert {(x["log-status"], x["action"], x["srcaddr"], x["packets"]) for x in lab.lines} == {
                ("NODATA", "-", "-", "-")
            }
            # The region is what AWS's services are elsewhere: traffic to them is logged. And what the platform does in
            # the task's name, like a pull, is the task's traffic.
            with await lab.lab.network.task_socket("a") as pulling:
                pulling.setblocking(False)
                await asyncio.get_running_loop().sock_connect(pulling, ("169.254.170.10", 4566))
            lines = await lab.heard(lambda lines: bool(of(lines, 1, "egress")))
            assert {x["dstaddr"] for x in of(lines, 1, "egress")} == {"169.254.170.10"}

    run(scenario)


def test_an_agent_that_comes_after_another_says_that_records_are_missing_and_counts_on(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        await lab.begin(WEB)
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        loop = asyncio.get_running_loop()
        with listener_in(b.netns_path, "0.0.0.0", 80) as listener:
            client = await connect(a.netns_path, "172.31.1.2", 80)
            assert client is not None
            accepted, _ = await loop.sock_accept(listener)
            with client, accepted:
                await lab.heard(lambda lines: bool(of(lines, 1, "egress")))
                logged, lab.plan = lab.plan, replace(lab.plan, flow_logs=())
                await lab.close()
                await loop.sock_sendall(client, bytes(5000))
                lab.lines.clear()
                await lab.lab.restart()
                lab.plan, lab.flows = logged, lab.another_agent()
                await lab.lab.network.apply_vpc(lab.plan)
                await lab.flows.follow(lab.plan)
                await lab.heard(lambda lines: {"SKIPDATA"} <= {x["log-status"] for x in lines})
                await loop.sock_sendall(client, bytes(100))
                lines = await lab.heard(lambda lines: bool(of(lines, 1, "egress")))
        # Not what was counted before: nobody knows how much of that was sent.
        assert total(of(lines, 1, "egress"), "bytes") < 1000
        assert {x["interface-id"][-1] for x in lines if x["log-status"] == "SKIPDATA"} == {"1", "2"}

    run(scenario)


def test_a_flood_of_refused_packets_is_told_in_part_and_said_to_be_more(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        await lab.begin(WEB)
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        c = await lab.attach("c", eni(3, "sg-0web"))
        await datagrams(a.netns_path, "172.31.1.2", 3000, 10)
        await datagrams(a.netns_path, "172.31.1.3", 2)
        lines = await lab.heard(
            lambda lines: (
                bool(of(lines, 3, "ingress", "REJECT"))
                and {"eni-0a000000000000001", "eni-0a000000000000002"}
                <= {x["interface-id"] for x in lines if x["log-status"] == "SKIPDATA"}
            )
        )
        assert total(of(lines, 2, "ingress", "REJECT"), "packets") < 1500
        # Another's are told all the same.
        assert total(of(lines, 3, "ingress", "REJECT"), "packets") == 2
        assert "SKIPDATA" not in {x["log-status"] for x in lines if x["interface-id"] == eni(3).eni_id}
        assert b.eni_id != c.eni_id

    run(scenario)


def test_without_a_flow_log_nothing_is_counted_and_no_rule_tells(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        def counts() -> str:
            with entered(lab.lab.router()):
                return Path("/proc/sys/net/netfilter/nf_conntrack_acct").read_text().strip()

        await lab.begin(WEB)
        await lab.attach("a", eni(1, "sg-0web"))
        assert counts() == "1"
        await lab.change(replace(lab.plan, flow_logs=()))
        assert counts() == "0"
        ruleset = await lab.lab.world.offload("network", rules_of, lab.lab.router())
        assert "r_out" not in ruleset and " log " not in ruleset

    run(scenario)


def rules_of(netns_path: str) -> str:
    with entered(netns_path):
        rules = Nftables()
    listed = rules.run("list ruleset\n")
    rules.close()
    return listed


def test_flows_that_the_kernel_has_not_forgotten_yet_are_forgotten_by_a_dump_and_their_ends_told(run: Run) -> None:
    """Why records of ends alone are late: the kernel looks for flows that are over now and then only."""

    async def scenario(lab: FlowLab) -> None:
        # As with a flow log, but nobody else listens.
        await lab.lab.network.apply_vpc(replace(plan(1, WEB), flow_logs=(flow_log(),)))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        with entered(lab.lab.router()):
            write_sysctl("netfilter/nf_conntrack_tcp_timeout_time_wait", "1")
        capture = await lab.lab.network.capture_flows("vpc-0a")
        with listener_in(b.netns_path, "0.0.0.0", 80) as listener:
            ports = {await exchange(a.netns_path, listener, "172.31.1.2", b"q", b"a") for _ in range(200)}
        told: set[int] = set()
        async with asyncio.timeout(15):
            while told != ports:
                list(capture.dump())
                ends = [flow(payload) for payload in capture.read(10_000).ended]
                told |= {end.sent.source_port for end in ends if end is not None}
                await lab.lab.world.sleep(0.05)
        capture.close()

    run(scenario)


def test_a_gateways_own_interface_shows_what_it_translates(run: Run) -> None:
    async def scenario(lab: FlowLab) -> None:
        made, public = plan(1, WEB), lab.lab.public(9)
        private = replace(
            made.subnets[0], subnet_id="subnet-0b", cidr="172.31.16.0/20", route_table="rtb-b", ipv6_cidr=None
        )
        nat = PlannedNat(
            nat_id="nat-1",
            subnet_id="subnet-0a",
            private_ipv4="172.31.0.9",
            public_ipv4=public,
            host_id="h-1",
            eni_id=eni(9).eni_id,
        )
        by_nat = table("rtb-b", ("0.0.0.0/0", "nat-1"))
        await lab.begin(WEB, subnets=(*made.subnets, private), tables=(*made.tables, by_nat), nats=(nat,))
        await lab.attach("server", eni(1, "sg-0web", public=lab.lab.public(1)))
        server = await lab.lab.network.list_tasks()
        inside = replace(
            eni(2, "sg-0web"), subnet_id="subnet-0b", subnet_cidr="172.31.16.0/20", private_ipv4="172.31.17.2"
        )
        a = await lab.attach("a", inside)
        with listener_in(server[0].netns_path, "0.0.0.0", 80):
            client = await connect(a.netns_path, lab.lab.public(1), 80)
            assert client is not None
            client.close()
            lines = await lab.heard(lambda lines: len(of(lines, 9, "egress")) >= 2 and bool(of(lines, 1, "ingress")))
        outside = lab.lab.public(1)
        shown = {
            (x["srcaddr"], x["dstaddr"], x["pkt-srcaddr"], x["pkt-dstaddr"])
            for x in lines
            if "9" in x["interface-id"][-1]
        }
        assert shown - {("-",) * 4} == {
            ("172.31.17.2", "172.31.0.9", "172.31.17.2", outside),
            ("172.31.0.9", outside, "172.31.0.9", outside),
            (outside, "172.31.0.9", outside, "172.31.0.9"),
            ("172.31.0.9", "172.31.17.2", outside, "172.31.17.2"),
        }
        # Who is reached sees the gateway, by its own private address; who asks sees whom it asked.
        assert {(x["srcaddr"], x["dstaddr"]) for x in of(lines, 1, "ingress")} == {(public, "172.31.1.1")}
        assert {(x["srcaddr"], x["dstaddr"]) for x in of(lines, 2, "egress")} == {("172.31.17.2", outside)}

    run(scenario)


def test_an_endpoints_interface_shows_who_came_and_who_was_refused(run: Run) -> None:
    """On the host that it is placed on."""

    async def scenario(lab: FlowLab) -> None:
        address = "172.31.1.9"
        endpoint = PlannedEndpoint(
            endpoint_id="vpce-1",
            service="ecs",
            eni_id=eni(9).eni_id,
            mac=eni(9).mac,
            subnet_id="subnet-0a",
            private_ipv4=address,
            security_groups=("sg-0api",),
            host_id="h-1",
        )
        elsewhere = replace(endpoint, eni_id=eni(8).eni_id, private_ipv4="172.31.1.8", host_id="h-2")
        api = SecurityGroup(group_id="sg-0api", ingress=(rule("tcp", 4566, 4566, peer="172.31.1.1/32"),))
        await lab.begin(WEB, api, endpoints=(endpoint, elsewhere))
        a, b = await lab.attach("a", eni(1, "sg-0web")), await lab.attach("b", eni(2, "sg-0web"))
        with (
            await lab.lab.network.listen("vpc-0a", address, 4566),
            await lab.lab.network.listen("vpc-0a", "172.31.1.8", 4566),
        ):
            for to in (address, "172.31.1.8"):
                client = await connect(a.netns_path, to, 4566)
                assert client is not None
                client.close()
            assert await is_cut_off(b.netns_path, address, 4566)
            lines = await lab.heard(
                lambda lines: (
                    bool(of(lines, 9, "ingress") and of(lines, 9, "ingress", "REJECT"))
                    and len({x["dstaddr"] for x in of(lines, 1, "egress")}) == 2
                )
            )
        assert {x["srcaddr"] for x in of(lines, 9, "ingress")} == {"172.31.1.1"}
        assert {(x["srcaddr"], x["dstport"]) for x in of(lines, 9, "ingress", "REJECT")} == {("172.31.1.2", "4566")}
        assert not of(lines, 8, "ingress")

    run(scenario)
