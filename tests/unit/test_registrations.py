"""Who may bring a task up: the host of its claim, by its key and the claim's capacity id, while the claim stands."""

import asyncio

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from neargate.clusters.arrivals import problem
from neargate.clusters.registrations import Refusal, Refusals, claims, refusal
from neargate.clusters.reports import ReportOutcome
from neargate.clusters.task_table import TaskRow
from neargate.interfaces.store import Statement
from neargate.link.messages import Report, decode_to_server, encode
from neargate.model.launch import TaskReport
from neargate.model.lifecycle import LastStatus
from neargate.testing.cell_rig import ZONES, CellRig, host_of, id_of, in_cell, subnet
from neargate.testing.gateway_rig import LOGGING

ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}
HOST, OTHER_HOST = host_of(ZONES[0]), host_of(ZONES[1])
CLAIMED = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")
ENDING = ("DEACTIVATING", "STOPPING", "DEPROVISIONING")


def counted(rig: CellRig) -> dict[str, int]:
    return {why.value: count for why, count in rig.cell.refusals.counts.items() if count}


@pytest.mark.parametrize("status", CLAIMED)
@pytest.mark.parametrize("capacity_id", ["", "cap-0123456789abcdef0", "another"])
def test_a_first_report_that_does_not_name_its_claim_is_refused_and_its_sandbox_ended(
    status: str, capacity_id: str
) -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        report = rig.task_report(task, status, 5, capacity_id=capacity_id)
        assert await rig.judged(HOST, report) is ReportOutcome.STRANGER
        assert await rig.described(id_of(task)) == task, "it counts for nothing"
        assert counted(rig) == {"capacity-id": 1}

    in_cell(body)


def test_the_claim_of_another_task_is_none_of_this_one() -> None:
    async def body(rig: CellRig) -> None:
        one, other = await rig.run(count=2, **ONE_ZONE)
        swapped = rig.task_report(one, "RUNNING", 1, capacity_id=rig.capacity_id(id_of(other)))
        assert await rig.judged(HOST, swapped) is ReportOutcome.STRANGER

    in_cell(body)


def test_a_registered_task_is_its_hosts_whose_records_may_be_lost() -> None:
    """What has lost the capacity id says none; who names another one has never had this one."""

    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        assert await rig.judged(HOST, rig.task_report(task, "PROVISIONING", 1)) is ReportOutcome.DURABLE
        lost = rig.task_report(task, "RUNNING", 2, capacity_id="")
        assert await rig.judged(HOST, lost) is ReportOutcome.DURABLE
        assert (await rig.described(id_of(task)))["lastStatus"] == "RUNNING"
        false = rig.task_report(task, "RUNNING", 3, capacity_id="another")
        assert await rig.judged(HOST, false) is ReportOutcome.STRANGER

    in_cell(body)


@pytest.mark.parametrize("is_registered", [False, True])
@pytest.mark.parametrize("status", CLAIMED)
def test_another_host_registers_nothing_before_or_after_the_right_one(status: str, is_registered: bool) -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        if is_registered:
            await rig.report(task, "RUNNING", 5)
        before = await rig.described(id_of(task))
        stolen = rig.task_report(task, status, 10)
        assert await rig.judged(OTHER_HOST, stolen) is ReportOutcome.STRANGER, "with the right capacity id"
        assert await rig.judged(OTHER_HOST, replace(stolen, known_status="STOPPED")) is ReportOutcome.DURABLE
        assert await rig.described(id_of(task)) == before
        assert await rig.judged(HOST, rig.task_report(task, "RUNNING", 6)) is ReportOutcome.DURABLE
        assert counted(rig) == {"host": 1}

    in_cell(body)


@pytest.mark.parametrize("status", ENDING)
def test_a_strangers_sandbox_that_ends_already_is_not_told_to_end_again(status: str) -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        assert await rig.judged(OTHER_HOST, rig.task_report(task, status, 1)) is ReportOutcome.REFUSED
        unnamed = rig.task_report(task, status, 1, capacity_id="")
        assert await rig.judged(HOST, unnamed) is ReportOutcome.REFUSED
        assert await rig.described(id_of(task)) == task

    in_cell(body)


@pytest.mark.parametrize("capacity_id", ["", "another"])
def test_the_hosts_word_that_nothing_is_left_needs_no_claim(capacity_id: str) -> None:
    """Else a sandbox that was refused and ended would leave its task waiting for ever."""

    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        ended = rig.task_report(task, "STOPPED", 1, capacity_id=capacity_id, stop_code="TaskFailedToStart")
        assert await rig.judged(HOST, ended) is ReportOutcome.DURABLE
        assert (await rig.described(id_of(task)))["lastStatus"] == "STOPPED"
        assert counted(rig) == {}

    in_cell(body)


def test_after_the_end_a_claim_is_late_with_the_right_words_too() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "STOPPED", 1)
        assert await rig.judged(HOST, rig.task_report(task, "RUNNING", 2)) is ReportOutcome.VOID
        given_up = rig.task_report(task, "RUNNING", 1, task_id="f" * 32)
        await rig.stores.cell_store.write(
            [Statement("INSERT INTO tombstones (task, zone, created_at) VALUES (?, ?, 0)", ("f" * 32, ZONES[0]))]
        )
        assert await rig.judged(HOST, given_up) is ReportOutcome.VOID
        assert counted(rig) == {"late": 2}

    in_cell(body)


def test_what_no_host_was_told_to_run_runs_nowhere() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.stores.cell_store.write([Statement("UPDATE tasks SET ordered = 2", ())])
        assert await rig.judged(HOST, rig.task_report(task, "RUNNING", 1)) is ReportOutcome.REFUSED
        assert counted(rig) == {"unsent": 1}

    in_cell(body)


def test_a_task_whose_order_was_not_sent_gives_its_host_nothing_yet() -> None:
    """One that waits for the room of Spot tasks: the host may know its id, and is not to run it now."""

    async def body(rig: CellRig) -> None:
        [task] = await rig.run(definition=LOGGING, **ONE_ZONE)
        known = (HOST, id_of(task))

        async def given() -> list[bool]:
            asked = (rig.cell.task_identity(*known), rig.cell.log_target(*known, "web"), rig.cell.tags_on_host(*known))
            return [(await one) is not None for one in asked]

        assert await given() == [True] * 3
        await rig.stores.cell_store.write([Statement("UPDATE tasks SET ordered = 2", ())])
        assert await given() == [False] * 3

    in_cell(body)


def test_what_another_database_ordered_is_not_ended() -> None:
    """Its own cell may well want it: a stop of this one would not be obeyed, and is not said."""

    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        foreign = rig.task_report(task, "RUNNING", 1, incarnation="0" * 32)
        for host in (HOST, OTHER_HOST):
            assert await rig.judged(host, foreign) is ReportOutcome.REFUSED
        assert counted(rig) == {"incarnation": 2}

    in_cell(body)


def test_a_burst_of_strangers_and_the_right_host_in_one_batch_leave_only_the_right_one() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=10, **ONE_ZONE)
        claimed = [rig.task_report(task, "RUNNING", 9) for task in tasks]
        strangers = [rig.judged(OTHER_HOST, report) for report in claimed]
        unnamed = [rig.judged("", replace(report, capacity_id="x")) for report in claimed]
        right = [rig.judged(HOST, replace(report, report_seq=1)) for report in claimed]
        outcomes = await asyncio.gather(*strangers, *unnamed, *right)
        assert outcomes == [ReportOutcome.STRANGER] * 20 + [ReportOutcome.DURABLE] * 10
        assert {(await rig.described(id_of(task)))["lastStatus"] for task in tasks} == {"RUNNING"}

    in_cell(body)


def test_what_is_repeated_is_told_once_and_the_memory_of_it_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    report = TaskReport(task_id="t1", incarnation="i", capacity_id="c1", report_seq=1, known_status="RUNNING")
    for _ in range(3):
        refusals.note("host-x", report, Refusal.HOST, "host-a")
    [line] = [record.getMessage() for record in caplog.records]
    assert line == ("a sandbox was refused why=host host=host-x task=t1 capacity=c1 status=RUNNING placed=host-a"), (
        "all that an operator must know to find it"
    )
    for n in range(5000):
        refusals.note("host-x", replace(report, task_id=f"t{n}"), Refusal.LATE)
    assert len(refusals._told) == 4096 and refusals.counts[Refusal.LATE] == 5000
    assert refusals.counts[Refusal.HOST] == 1


# -- fuzz

words = st.sampled_from(["", "right", "wrong"]) | st.text(max_size=80)
ROW = TaskRow(
    *(1, "right", "1", "default", "web", "PROVISIONING", "RUNNING", "right", "z", "right", 1, 0, 1),
    *(None, b"{}", b"{}", b"[]", None, None, None, "right"),
)


@given(
    words,
    st.builds(
        TaskReport,
        task_id=st.just("right"),
        incarnation=words,
        capacity_id=words,
        report_seq=st.integers(),
        known_status=st.sampled_from([*LastStatus]) | st.text(max_size=20),
    ),
    st.sampled_from([*LastStatus]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from([0, 7]),
)
def test_only_the_one_expected_pair_ever_registers(
    host_id: str, report: TaskReport, status: LastStatus, ordered: int, seq: int
) -> None:
    row = ROW._replace(last_status=status, ordered=ordered, report_seq=seq)
    why = refusal(row, host_id, report)
    if why is None and claims(report):
        assert (host_id, report.incarnation, ordered) == ("right", "right", 1) and status != "STOPPED"
        assert report.capacity_id == "right" or (report.capacity_id == "" and seq == 7)
    if why is None:
        assert host_id == "right" == report.incarnation, "nobody else says anything of it, not even its end"


GOOD = encode(
    Report(
        report=TaskReport(
            task_id="a" * 32, incarnation="b" * 32, capacity_id="c" * 32, report_seq=1, known_status="PROVISIONING"
        )
    )
)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0))
def test_a_registration_with_any_bytes_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for place, byte in changes:
        data[place] = byte
    try:
        message = decode_to_server(bytes(data[: len(data) - cut % 8]))
    except msgspec.DecodeError:
        return
    if isinstance(message, Report) and problem(message, 8) is None:
        named = message.report.capacity_id
        assert named == "" or (len(named) <= 64 and named.isascii() and named.isprintable() and " " not in named)
        Refusals().note("h", message.report, Refusal.HOST)


@pytest.mark.parametrize("capacity_id", ["c" * 65, "a b", "a\nb", "../x", "c" * (1 << 20), "\x9b2J", "é"])
def test_a_capacity_id_that_is_none_is_not_looked_at(capacity_id: str) -> None:
    report = TaskReport(task_id="t", incarnation="i", capacity_id=capacity_id, report_seq=1, known_status="PENDING")
    assert problem(Report(report=report), 8) == "its capacity id is none"
