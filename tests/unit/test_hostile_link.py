"""A compromised agent against the control plane: it is root on one machine and speaks whatever it likes."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from neargate.clusters import reports
from neargate.clusters.arrivals import INTEGER_MAX, facts_problem, problem
from neargate.clusters.gateway import Gateway
from neargate.link.messages import (
    PROTOCOL,
    BulkHello,
    CredentialsAsk,
    Hello,
    HostUpdate,
    LogAppend,
    LogOpen,
    LogOpened,
    LogRefused,
    Ping,
    Pong,
    Report,
    ReportAck,
    RunOrder,
    StopOrder,
    TagsAsk,
    ToServer,
    Welcome,
    decode_to_agent,
    decode_to_server,
    encode,
    messages_to_agent,
    messages_to_server,
)
from neargate.model.capacity import (
    OLD_MACHINES_MAX,
    HostCapacity,
    HostFacts,
    HostPlatform,
    HostUse,
    TaskOverhead,
    WaitingMachines,
)
from neargate.model.knobs import Knobs
from neargate.model.launch import ContainerReport, MemoryAtKill, TaskReport
from neargate.testing.cell_rig import DEFINITION, ZONES, CellRig, host_of, id_of, in_cell, running, subnet
from neargate.testing.fake_task_roles import FakeTaskRoles
from neargate.testing.gateway_rig import LOGGING, AgentEnd, LogGroups, VpcPlans, facts_of

KNOBS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, hello_reports_max=8, log_sources_max=4, link_silence_s=0.5)
MINE, THEIRS = ZONES[0], ZONES[1]


class Region:
    """A gateway over a cell with three hosts; the test is the agent of some of them."""

    def __init__(self, rig: CellRig) -> None:
        self.rig = rig
        self.sink = LogGroups(rig.world)
        self.roles = FakeTaskRoles()
        self.gateway = Gateway(rig.world, rig.cell, rig.capacities, VpcPlans(), self.sink, self.roles, KNOBS)

    def wire(self, bulk: bool = False) -> AgentEnd:
        wire = AgentEnd()
        serve = self.gateway.accept_bulk(wire) if bulk else self.gateway.accept_link(wire)
        self.rig.world.spawn(serve, "serve")
        return wire

    async def agent(self, zone: str, *reports: TaskReport) -> AgentEnd:
        wire = self.wire()
        wire.say(Hello(protocol=PROTOCOL, host=facts_of(zone), reports=reports))
        assert isinstance(await wire.hear(), Welcome)
        return wire

    async def task(self, zone: str, definition: dict[str, Any] = DEFINITION) -> dict[str, Any]:
        [task] = await self.rig.run(subnets=(subnet(zone),), definition=definition)
        return task

    async def status(self, task: dict[str, Any]) -> str:
        return str((await self.rig.described(id_of(task)))["lastStatus"])


def play(body: Callable[[Region], Coroutine[Any, Any, None]]) -> None:
    async def inner(rig: CellRig) -> None:
        await body(Region(rig))

    in_cell(inner, knobs=KNOBS)


def test_a_report_of_another_hosts_task_changes_nothing() -> None:
    async def body(region: Region) -> None:
        victim = await region.task(THEIRS)
        mine = await region.agent(MINE)
        for status in ("RUNNING", "STOPPED"):
            mine.say(Report(report=region.rig.task_report(victim, status, 10)))
        await mine.still_open()
        assert await region.status(victim) == "PROVISIONING"

    play(body)


def test_who_says_that_it_runs_another_hosts_task_is_told_to_end_it() -> None:
    async def body(region: Region) -> None:
        victim = await region.task(THEIRS)
        right, stranger = await region.agent(THEIRS), await region.agent(MINE)
        right.say(Report(report=region.rig.task_report(victim, "RUNNING", 1)))
        assert (await right.hear(ReportAck)).task_id == id_of(victim)
        stranger.say(Report(report=region.rig.task_report(victim, "RUNNING", 10)))
        order = await stranger.hear(StopOrder)
        assert (order.task_id, order.incarnation) == (id_of(victim), region.rig.cell.incarnation)
        assert order.reason.startswith("The control plane refused this task's registration")
        stranger.say(Report(report=region.rig.task_report(victim, "STOPPED", 11)))
        assert (await stranger.hear(ReportAck)).task_id == id_of(victim), "it may forget it"
        assert await region.status(victim) == "RUNNING"
        await right.still_open()
        assert StopOrder not in {type(message) for message in right.unheard()}

    play(body)


@pytest.mark.parametrize("capacity_id", ["", "another"])
def test_a_sandbox_without_its_claim_is_ended_and_its_task_with_it(capacity_id: str) -> None:
    """The right host, that has the order of another reservation, or has lost it."""

    async def body(region: Region) -> None:
        task = await region.task(MINE)
        wire = await region.agent(MINE)
        assert isinstance(await wire.hear(RunOrder), RunOrder)
        wire.say(Report(report=region.rig.task_report(task, "PENDING", 1, capacity_id=capacity_id)))
        assert (await wire.hear(StopOrder)).stop_code == "TaskFailedToStart"
        assert await region.status(task) == "PROVISIONING"
        ended = region.rig.task_report(task, "STOPPED", 2, capacity_id=capacity_id)
        wire.say(Report(report=ended))
        assert (await wire.hear(ReportAck)).task_id == id_of(task)
        assert await region.status(task) == "STOPPED"

    play(body)


def test_logs_of_another_hosts_task_cannot_be_opened_or_written() -> None:
    async def body(region: Region) -> None:
        victim, own = await region.task(THEIRS, LOGGING), await region.task(MINE, LOGGING)
        bulk = region.wire(bulk=True)
        bulk.say(BulkHello(protocol=PROTOCOL, host_id=host_of(MINE)))
        bulk.say(LogOpen(request=1, task_id=id_of(victim), container="web"))
        assert (await bulk.hear()).code == "AccessDeniedException"
        bulk.say(LogOpen(request=2, task_id=id_of(own), container="web"))
        opened = await bulk.hear()
        assert isinstance(opened, LogOpened)
        # The key is right and the task is not, or the task is right and the key is not.
        for task, key in ((victim, opened.stream_key), (own, opened.stream_key + 1)):
            chunk = LogAppend(
                request=3,
                stream_key=key,
                task_id=id_of(task),
                container="web",
                start=0,
                end=2,
                runs=((1, 1),),
                lines=b"x",
            )
            bulk.say(chunk)
            answer = await bulk.hear()
            assert isinstance(answer, LogRefused) and answer.code == "AccessDeniedException"
        assert region.sink.stored == []

    play(body)


def counted(size_bytes: int) -> MemoryAtKill:
    return MemoryAtKill(kills=1, peak_bytes=size_bytes, limit_bytes=0, task_peak_bytes=0, task_limit_bytes=0)


HOSTILE_REPORTS: dict[str, dict[str, Any]] = {
    "a sequence too high for the database": {"report_seq": 2**63},
    "the highest sequence of the wire": {"report_seq": 2**64 - 1},
    "a sequence below zero": {"report_seq": -1},
    "an id of a mebibyte": {"task_id": "a" * (1 << 20)},
    "an id with SQL": {"task_id": "x' OR 1=1 --"},
    "no id": {"task_id": ""},
    "a status of a mebibyte": {"known_status": "R" * (1 << 20)},
    "a reason of a mebibyte": {"stop_code": "UserInitiated", "stopped_reason": "a" * (1 << 20)},
    "stages without end": {"stages_ms": {f"stage-{n}": 1.0 for n in range(10_000)}},
    "a stage's name of a mebibyte": {"stages_ms": {"a" * (1 << 20): 1.0}},
    "a stage of no length": {"stages_ms": {"a": float("nan")}},
    "a hundred containers": {"containers": tuple(running(f"c{n}") for n in range(100))},
    "a container's reason of a mebibyte": {"containers": (running("web", reason="a" * (1 << 20)),)},
    "a digest of a mebibyte": {"containers": (running("web", image_digest="a" * (1 << 20)),)},
    "memory below zero": {"containers": (running("web", memory_at_kill=counted(-1)),)},
    "memory too large for a number": {"containers": (running("web", memory_at_kill=counted(2**64 - 1)),)},
}


@pytest.mark.parametrize("what", HOSTILE_REPORTS)
def test_a_hostile_report_changes_nothing_and_ends_nothing(what: str) -> None:
    async def body(region: Region) -> None:
        task = await region.task(MINE)
        wire = await region.agent(MINE)
        wire.say(Report(report=region.rig.task_report(task, "RUNNING", 5)))
        hostile = replace(region.rig.task_report(task, "RUNNING", 6), **HOSTILE_REPORTS[what])
        assert problem(Report(report=hostile), 8) is not None
        wire.say(Report(report=hostile))
        await wire.still_open()
        # The cell goes on: an honest report is applied and acknowledged.
        wire.say(Report(report=region.rig.task_report(task, "STOPPED", 7)))
        acknowledged = await wire.hear(ReportAck)
        while acknowledged.report_seq != 7:
            acknowledged = await wire.hear(ReportAck)
        assert await region.status(task) == "STOPPED"

    play(body)


@pytest.mark.parametrize("task_id", ["", "a" * 65, "a" * (1 << 20), "../x", "x\n", "\u00e9"])
def test_an_ask_names_a_task(task_id: str) -> None:
    assert problem(TagsAsk(task_id="0" * 32), 8) is None and problem(CredentialsAsk(task_id="0" * 32), 8) is None
    assert problem(TagsAsk(task_id=task_id), 8) is not None
    assert problem(CredentialsAsk(task_id=task_id), 8) is not None


def test_a_hostile_report_hidden_in_a_hello_is_passed_over() -> None:
    async def body(region: Region) -> None:
        task = await region.task(MINE)
        good = region.rig.task_report(task, "RUNNING", 5)
        wire = await region.agent(MINE, replace(good, report_seq=2**64 - 1), good)
        assert (await wire.hear(ReportAck)).report_seq == 5
        assert await region.status(task) == "RUNNING"

    play(body)


def test_a_fault_in_judging_one_report_refuses_it_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = reports.apply_report

    def faulty(document: Any, hidden: Any, report: TaskReport, now: float) -> Any:
        if report.report_seq == 6:
            raise KeyError("a fault that some report brings out")
        return honest(document, hidden, report, now)

    monkeypatch.setattr(reports, "apply_report", faulty)

    async def body(region: Region) -> None:
        tasks = [await region.task(MINE) for _ in range(3)]
        wire = await region.agent(MINE)
        wire.say(*(Report(report=region.rig.task_report(task, "RUNNING", 5 + n)) for n, task in enumerate(tasks)))
        assert {(await wire.hear(ReportAck)).report_seq for _ in range(2)} == {5, 7}
        assert [await region.status(task) for task in tasks] == ["RUNNING", "PROVISIONING", "RUNNING"]

    play(body)


HOSTILE_FIRST: dict[str, ToServer | bytes] = {
    "no message": b"",
    "no msgpack": b"\xc1" * 100,
    "nesting without end": b"\x91" * 100_000,
    "half a message": encode(Ping(n=1))[:-1],
    "a list that is not there": b"\xdd\xff\xff\xff\xff",
    "an order": encode(Pong(n=1)),
    "a report before the hello": Report(
        report=TaskReport(task_id="t", incarnation="i", report_seq=1, known_status="X")
    ),
    "another protocol": Hello(protocol=99, host=facts_of(MINE), reports=()),
    "a host without a name": Hello(protocol=PROTOCOL, host=replace(facts_of(MINE), host_id=""), reports=()),
    "a host of two lines": Hello(protocol=PROTOCOL, host=replace(facts_of(MINE), host_id="a\nb"), reports=()),
    "a boot of a mebibyte": Hello(protocol=PROTOCOL, host=replace(facts_of(MINE), boot_id="b" * (1 << 20)), reports=()),
    "a reason of a mebibyte": Hello(
        protocol=PROTOCOL, host=replace(facts_of(MINE), reason="b" * (1 << 20)), reports=()
    ),
    "a kernel of a mebibyte": Hello(
        protocol=PROTOCOL, host=replace(facts_of(MINE), platform=HostPlatform(kernel="6" * (1 << 20))), reports=()
    ),
    "memory beside tasks that is negative": Hello(
        protocol=PROTOCOL, host=replace(facts_of(MINE), overhead=TaskOverhead(memory_mib=-1)), reports=()
    ),
    "a part of memory that is negative": Hello(
        protocol=PROTOCOL, host=replace(facts_of(MINE), overhead=TaskOverhead(memory_part=-1)), reports=()
    ),
    "a zone that is none": Hello(protocol=PROTOCOL, host=replace(facts_of(MINE), zone="elsewhere"), reports=()),
    "no zone": Hello(protocol=PROTOCOL, host=replace(facts_of(MINE), zone=None), reports=()),
    "a machine of everything": Hello(
        protocol=PROTOCOL,
        host=replace(facts_of(MINE), capacity=HostCapacity(cpu_units=2**63, memory_mib=1, disk_gib=1)),
        reports=(),
    ),
    "a machine of less than nothing": Hello(
        protocol=PROTOCOL,
        host=replace(facts_of(MINE), capacity=HostCapacity(cpu_units=1, memory_mib=-1, disk_gib=1)),
        reports=(),
    ),
    "too many reports": Hello(
        protocol=PROTOCOL,
        host=facts_of(MINE),
        reports=tuple(TaskReport(task_id=f"t{n}", incarnation="", report_seq=1, known_status="X") for n in range(9)),
    ),
}


@pytest.mark.parametrize("what", HOSTILE_FIRST)
def test_a_first_message_that_is_none_ends_that_connection_only(what: str) -> None:
    async def body(region: Region) -> None:
        honest = await region.agent(THEIRS)
        wire = region.wire()
        wire.say(HOSTILE_FIRST[what])
        assert await wire.hear() is None, "the server closes"
        await honest.still_open()

    play(body)


@pytest.mark.parametrize(
    "data",
    [
        encode(BulkHello(protocol=PROTOCOL, host_id="????")).replace(b"????", b"\xff" * 4),
        b"\x82\xa4type\xa4ping\xa1x" + b"\x91" * 100_000,
    ],
    ids=["text that is none", "nesting without end in what nobody reads"],
)
def test_what_cannot_be_read_is_one_error_on_either_side(data: bytes) -> None:
    for read in (messages_to_server, messages_to_agent, decode_to_server, decode_to_agent):
        with pytest.raises(msgspec.DecodeError):
            read(data)


SIZE = WaitingMachines(vcpus=1, memory_mib=512, count=1)
HOSTILE_NEXT: dict[str, ToServer] = {
    "another host's facts": HostUpdate(host=facts_of(THEIRS)),
    "a second hello": Hello(protocol=PROTOCOL, host=facts_of(MINE), reports=()),
    "a second hello of another host": Hello(protocol=PROTOCOL, host=facts_of(THEIRS), reports=()),
    "own facts of a mebibyte": HostUpdate(host=replace(facts_of(MINE), reason="a" * (1 << 20))),
    "a stray of a mebibyte": HostUpdate(host=replace(facts_of(MINE), last_stray="a" * (1 << 20))),
    "a pool refused with a terminal's command": HostUpdate(host=replace(facts_of(MINE), refused_pools="\x9b2J")),
    "strays without end": HostUpdate(host=replace(facts_of(MINE), strays=2**64 - 1)),
    "refused plans without end": HostUpdate(host=replace(facts_of(MINE), refused_plans=2**64 - 1)),
    "machines that wait without end": HostUpdate(host=replace(facts_of(MINE), use=HostUse(waiting=(SIZE,) * 65))),
    "a size that waits below zero": HostUpdate(
        host=replace(facts_of(MINE), use=HostUse(waiting=(replace(SIZE, count=-1),)))
    ),
    "processors in use without end": HostUpdate(host=replace(facts_of(MINE), use=HostUse(cpu_units=2**63))),
    "a disk in use below zero": HostUpdate(host=replace(facts_of(MINE), use=HostUse(disk_mib=-1))),
    "starts below zero": HostUpdate(host=replace(facts_of(MINE), use=HostUse(came_warm=-1))),
    "skips below zero": HostUpdate(host=replace(facts_of(MINE), flow_log_skips=-1)),
    "a bulk message": LogOpen(request=1, task_id="t", container="c"),
}


@pytest.mark.parametrize("what", HOSTILE_NEXT)
def test_a_session_speaks_for_its_own_host_and_only_that(what: str) -> None:
    async def body(region: Region) -> None:
        victim = await region.agent(THEIRS)
        wire = await region.agent(MINE)
        wire.say(HOSTILE_NEXT[what])
        assert await wire.hear() is None
        await victim.still_open()

    play(body)


def test_sequence_games_end_with_the_agents_own_task() -> None:
    """The highest number silences only the liar; STOPPED still is the last word."""

    async def body(region: Region) -> None:
        own, other = await region.task(MINE), await region.task(MINE)
        wire = await region.agent(MINE)
        wire.say(Report(report=region.rig.task_report(own, "RUNNING", INTEGER_MAX)))
        wire.say(Report(report=region.rig.task_report(own, "PENDING", 1)))
        wire.say(Report(report=region.rig.task_report(own, "STOPPED", 2)))
        wire.say(Report(report=region.rig.task_report(other, "RUNNING", 1)))
        heard = {(await wire.hear(ReportAck)).task_id for _ in range(2)}
        while heard != {id_of(own), id_of(other)}:
            heard.add((await wire.hear(ReportAck)).task_id)

        async def stopped() -> bool:
            return await region.status(own) == "STOPPED"

        await region.rig.until(stopped)
        assert await region.status(other) == "RUNNING"

    play(body)


def test_a_false_incarnation_is_refused() -> None:
    async def body(region: Region) -> None:
        task = await region.task(MINE)
        wire = await region.agent(MINE)
        assert isinstance(await wire.hear(RunOrder), RunOrder)
        wire.say(Report(report=replace(region.rig.task_report(task, "STOPPED", 5), incarnation="another")))
        await wire.still_open()
        assert await region.status(task) == "PROVISIONING"

    play(body)


@pytest.mark.parametrize("name", ["", "a" * (1 << 20), "a\nb"])
def test_names_of_log_sources_are_bounded_before_they_are_remembered(name: str) -> None:
    async def body(region: Region) -> None:
        for task_id, container in ((name, "web"), ("t", name)):
            bulk = region.wire(bulk=True)
            bulk.say(BulkHello(protocol=PROTOCOL, host_id=host_of(MINE)))
            bulk.say(LogOpen(request=1, task_id=task_id, container=container))
            assert await bulk.hear() is None

    play(body)


def test_a_host_has_so_many_bulk_connections_and_no_more() -> None:
    async def body(region: Region) -> None:
        task = id_of(await region.task(MINE, LOGGING))

        async def connected(zone: str) -> AgentEnd:
            bulk = region.wire(bulk=True)
            bulk.say(
                BulkHello(protocol=PROTOCOL, host_id=host_of(zone)), LogOpen(request=1, task_id=task, container="web")
            )
            return bulk

        bulks = [await connected(MINE) for _ in range(KNOBS.bulk_connections_per_host)]
        assert all([isinstance(await bulk.hear(), LogOpened) for bulk in bulks])
        newest = await connected(MINE)
        assert await newest.hear() is None
        assert newest.closed is not None and "4 bulk connections already" in newest.closed
        assert isinstance(await (await connected(THEIRS)).hear(), LogRefused), "another host has places of its own"
        for bulk in bulks:
            bulk.say(LogOpen(request=2, task_id=task, container="web"))
            assert isinstance(await bulk.hear(), LogOpened), "the older ones go on"
        bulks[0].to_server.put_nowait(None)
        assert await bulks[0].hear() is None
        assert isinstance(await (await connected(MINE)).hear(), LogOpened), "a place comes back"

    play(body)


def test_a_bulk_connection_that_says_nothing_is_ended() -> None:
    async def body(region: Region) -> None:
        silent = region.wire(bulk=True)
        assert await silent.hear() is None
        assert silent.closed == "no hello in time"

    play(body)


def test_one_bulk_connection_remembers_so_many_sources_and_no_more() -> None:
    async def body(region: Region) -> None:
        bulk = region.wire(bulk=True)
        bulk.say(BulkHello(protocol=PROTOCOL, host_id=host_of(MINE)))
        for number in range(KNOBS.log_sources_max):
            bulk.say(LogOpen(request=number, task_id=f"t{number}", container="c"))
            assert isinstance(await bulk.hear(), LogRefused)
        bulk.say(LogOpen(request=9, task_id="t9", container="c"))
        assert await bulk.hear() is None

    play(body)


def test_the_wire_carries_no_types_that_the_checks_do_not_know() -> None:
    """A new field of what an agent says must be looked at here before it is believed."""
    assert set(TaskReport.__struct_fields__) == {
        *("task_id", "incarnation", "capacity_id", "report_seq", "known_status", "eni_attached", "containers"),
        *("pull_started_at",),
        *("pull_stopped_at", "connectivity_at", "started_at", "stopping_at", "execution_stopped_at", "stopped_at"),
        *("stop_code", "stopped_reason", "stages_ms"),
    }
    assert set(ContainerReport.__struct_fields__) == {
        *("name", "known_status", "runtime_id", "image_digest", "exit_code", "reason", "health_status", "created_at"),
        *("started_at", "finished_at", "log_bytes_dropped", "memory_at_kill"),
    }
    assert set(HostFacts.__struct_fields__) == {
        *("host_id", "boot_id", "capacity", "architecture", "software", "sandbox", "zone", "accepts_tasks", "reason"),
        *("strays", "last_stray", "refused_pools", "refused_plans", "flow_log_skips", "platform", "overhead"),
        *("machines", "used_memory_mib", "use", "old_machines"),
    }
    assert set(HostUse.__struct_fields__) == {
        *("cpu_units", "disk_mib", "waiting", "came_warm", "came_saved", "came_cold"),
    }
    assert set(WaitingMachines.__struct_fields__) == {"vcpus", "memory_mib", "count"}
    assert set(TaskOverhead.__struct_fields__) == {"memory_mib", "memory_part"}
    assert set(HostPlatform.__struct_fields__) == {"kernel", "guest_image", "vmm"}
    assert msgspec.msgpack.decode(encode(Ping(n=2**64 - 1)), type=ToServer) == Ping(n=2**64 - 1)


@pytest.mark.parametrize("old", [("a" * 65,), ("../task",), ("",), tuple(f"t{n}" for n in range(OLD_MACHINES_MAX + 1))])
def test_old_machines_that_are_none_are_not_heard_of(old: tuple[str, ...]) -> None:
    assert facts_problem(facts_of(MINE)) is None
    most = tuple(f"t{n}" for n in range(OLD_MACHINES_MAX))
    assert facts_problem(replace(facts_of(MINE), old_machines=most)) is None
    assert "old machines" in str(facts_problem(replace(facts_of(MINE), old_machines=old)))


def test_a_host_that_names_other_hosts_tasks_as_old_retires_none() -> None:
    async def body(region: Region) -> None:
        victim = await region.task(THEIRS)
        region.rig.rules.software = frozenset({("6.1 b", "QEMU")})
        region.rig.rules.waits_s[victim["taskArn"].split(":")[4]] = 0.0
        platform = HostPlatform(guest_image="6.1 b", vmm="QEMU")
        facts = replace(facts_of(MINE), platform=platform, old_machines=(id_of(victim),))
        theirs = replace(facts_of(THEIRS), platform=platform)
        for said in (facts, theirs):
            wire = region.wire()
            wire.say(Hello(protocol=PROTOCOL, host=said, reports=()))
            assert isinstance(await wire.hear(), Welcome)
        assert region.rig.cell.retiring.old_machines() == {host_of(MINE): 1}, "it was heard"
        await region.rig.cell.retiring.settle()
        assert await region.rig.cell.retiring.explain(id_of(victim)) is None

    play(body)
