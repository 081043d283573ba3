"""What agents report: applied once, forward only, only for their own host; and what follows a STOPPED task."""

import asyncio
import random

import pytest
from msgspec import to_builtins

from neargate.clusters.calls_first import CallsFirst
from neargate.clusters.reports import ReportOutcome
from neargate.clusters.told import what_was_told
from neargate.interfaces.store import Statement
from neargate.model.capacity import HostCapacity
from neargate.model.knobs import Knobs
from neargate.model.launch import ContainerReport, MemoryAtKill
from neargate.testing.cell_rig import ACCOUNT, DEFINITION, ZONES, CellRig, host_of, id_of, in_cell, running, subnet

ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}
HOST = host_of(ZONES[0])
OTHER_HOST = host_of(ZONES[1])


def test_skipped_statuses_are_walked_and_each_is_an_event_with_its_version() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 1, containers=(running("web"), running("side")))
        await rig.report(task, "STOPPED", 2, stop_code="EssentialContainerExited", stopped_reason="why")
        story = await rig.cell.explain_task(id_of(task))
        assert [(event["lastStatus"], event["version"]) for event in story["events"]] == [
            ("PROVISIONING", 1),
            ("PENDING", 2),
            ("ACTIVATING", 3),
            ("RUNNING", 4),
            ("DEACTIVATING", 5),
            ("STOPPING", 6),
            ("DEPROVISIONING", 7),
            ("STOPPED", 8),
        ]
        assert story["task"]["version"] == 8 and story["events"][-1]["stoppedReason"] == "why"
        seqs = [event["seq"] for event in story["events"]]
        assert seqs == sorted(set(seqs))

    in_cell(body)


def test_a_repeated_report_changes_nothing_and_is_acknowledged() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        report = rig.task_report(task, "RUNNING", 4)
        assert await rig.judged(HOST, report) is ReportOutcome.DURABLE
        shown = await rig.described(id_of(task))
        for _ in range(3):
            assert await rig.judged(HOST, report) is ReportOutcome.DURABLE
        assert await rig.described(id_of(task)) == shown

    in_cell(body)


@pytest.mark.parametrize("seed", range(5))
def test_reports_in_any_order_and_number_end_in_the_same_document(seed: int) -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        statuses = ["PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPED"]
        reports = [rig.task_report(task, status, seq) for seq, status in enumerate(statuses, 1)] * 3
        random.Random(seed).shuffle(reports)
        outcomes = await asyncio.gather(*(rig.judged(HOST, report) for report in reports))
        shown = await rig.described(id_of(task))
        assert shown["lastStatus"] == "STOPPED"
        # After STOPPED a live report of an older sequence meets a tombstone; nothing else may be answered.
        assert set(outcomes) <= {ReportOutcome.DURABLE, ReportOutcome.VOID}

    in_cell(body)


def test_an_older_sequence_does_not_overwrite_a_newer_one() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 5, containers=(running("web", runtime_id="new"),))
        await rig.report(task, "RUNNING", 4, containers=(running("web", runtime_id="old"),))
        assert (await rig.described(id_of(task)))["containers"][0]["runtimeId"] == "new"

    in_cell(body)


def test_a_status_never_goes_back() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "DEACTIVATING", 1)
        shown = await rig.described(id_of(task))
        await rig.report(task, "RUNNING", 2)
        assert await rig.described(id_of(task)) == shown

    in_cell(body)


def test_another_host_or_incarnation_changes_nothing() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        stopped = rig.task_report(task, "STOPPED", 9)
        for stranger in (OTHER_HOST, ""):
            assert await rig.judged(stranger, stopped) is ReportOutcome.DURABLE, "it may forget what it has not"
        foreign = rig.task_report(task, "STOPPED", 9, incarnation="0" * 32)
        assert await rig.judged(HOST, foreign) is ReportOutcome.REFUSED
        nonsense = rig.task_report(task, "NO SUCH STATUS", 9)
        assert await rig.judged(HOST, nonsense) is ReportOutcome.REFUSED
        assert await rig.described(id_of(task)) == task

    in_cell(body)


def test_one_hostile_report_does_not_spoil_its_neighbours() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=4, **ONE_ZONE)
        good = [rig.judged(HOST, rig.task_report(task, "PENDING", 1)) for task in tasks]
        bad = rig.judged(HOST, rig.task_report(tasks[0], "NONSENSE", 2))
        outcomes = await asyncio.gather(*good, bad, return_exceptions=True)
        assert not [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert [(await rig.described(id_of(task)))["lastStatus"] for task in tasks[1:]] == ["PENDING"] * 3

    in_cell(body)


def test_a_task_the_cell_does_not_know_is_kept_unless_it_was_given_up() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        unknown = rig.task_report(task, "RUNNING", 1, task_id="f" * 32)
        assert await rig.judged(HOST, unknown) is ReportOutcome.UNKNOWN
        ended = rig.task_report(task, "STOPPED", 2, task_id="f" * 32)
        assert await rig.judged(HOST, ended) is ReportOutcome.DURABLE
        await rig.stores.cell_store.write(
            [Statement("INSERT INTO tombstones (task, zone, created_at) VALUES (?, ?, 0)", ("f" * 32, ZONES[0]))]
        )
        assert await rig.judged(HOST, unknown) is ReportOutcome.VOID

    in_cell(body)


def test_a_host_that_still_runs_a_stopped_task_is_told_to_stop_it() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "STOPPED", 3)
        outcome = await rig.judged(HOST, rig.task_report(task, "RUNNING", 4))
        assert outcome is ReportOutcome.VOID

    in_cell(body)


def test_an_agent_that_lost_its_memory_can_still_say_that_a_task_is_over() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 50)
        assert await rig.judged(HOST, rig.task_report(task, "RUNNING", 1)) is ReportOutcome.DURABLE
        await rig.report(task, "STOPPED", 1)
        assert (await rig.described(id_of(task)))["lastStatus"] == "STOPPED"

    in_cell(body)


def test_exit_codes_reasons_and_digests_are_shown() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        containers = (
            ContainerReport(
                name="web",
                known_status="STOPPED",
                exit_code=137,
                reason="OutOfMemoryError: Container killed due to memory usage",
                image_digest="sha256:" + "a" * 64,
                runtime_id="rt-1",
            ),
        )
        await rig.report(task, "STOPPED", 1, containers=containers, stages_ms={"image": 12.5})
        web = (await rig.described(id_of(task)))["containers"][0]
        assert web["exitCode"] == 137 and web["reason"].startswith("OutOfMemoryError")
        assert web["imageDigest"] == "sha256:" + "a" * 64 and web["runtimeId"] == "rt-1"
        assert (await rig.cell.explain_task(id_of(task)))["stages_ms"] == {"image": 12.5}

    in_cell(body)


def test_what_only_the_operator_is_shown_stays_with_the_stopped_task() -> None:
    counted = MemoryAtKill(kills=1, peak_bytes=64, limit_bytes=64, task_peak_bytes=70, task_limit_bytes=512)

    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 1, containers=(running("web"),), stages_ms={"image": 1.5})
        killed = running("web", known_status="STOPPED", exit_code=137, memory_at_kill=counted)
        await rig.report(task, "STOPPING", 2, containers=(killed,), stages_ms={"image": 1.5})
        await rig.report(task, "STOPPED", 3, stop_code="EssentialContainerExited")
        story = await rig.cell.explain_task(id_of(task))
        assert story["stages_ms"] == {"image": 1.5}
        assert story["memory"] == {"web": to_builtins(counted)}
        shown = await rig.described(id_of(task))
        assert "kills" not in str(shown) and "image" not in shown, "AWS's clients are not shown it"

    in_cell(body)


def test_times_that_a_former_release_kept_are_read() -> None:
    assert what_was_told(b'{"image":1.5,"stages_ms":2.0,"memory":3.0}') == {
        "stages_ms": {"image": 1.5, "stages_ms": 2.0, "memory": 3.0},
        "memory": {},
    }
    assert what_was_told(None) == {"stages_ms": {}, "memory": {}}


def test_a_stopped_task_gives_back_what_it_held() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=5)
        for task in tasks:
            await rig.report(task, "STOPPED", 1)

        async def all_given_back() -> bool:
            return await rig.reserved_tasks() == 0

        await rig.until(all_given_back)

    in_cell(body)


def test_a_crash_before_the_release_is_made_good_by_the_next_process() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=3)
        rig.world.die = lambda reason: None  # type: ignore[method-assign]
        for zone in rig.capacities.values():
            zone.release = _never  # type: ignore[method-assign]
        for task in tasks:
            await rig.report(task, "STOPPED", 1)
        assert await rig.reserved_tasks() == 3
        await rig.reopen()

        async def all_given_back() -> bool:
            return await rig.reserved_tasks() == 0

        await rig.until(all_given_back)

    in_cell(body)


async def _never(task_id: str, zone: str) -> None:
    del task_id, zone
    await asyncio.get_running_loop().create_future()


def test_two_writers_of_one_task_both_get_their_way() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=8, **ONE_ZONE)
        stops = [rig.cell.stop_task(ACCOUNT, "default", id_of(task), None) for task in tasks]
        reports = [
            rig.judged(HOST, rig.task_report(task, status, seq))
            for task in tasks
            for seq, status in enumerate(("PENDING", "RUNNING"), 1)
        ]
        outcomes = await asyncio.gather(*reports, *stops)
        assert set(outcomes[: len(reports)]) == {ReportOutcome.DURABLE}
        for task in tasks:
            shown = await rig.described(id_of(task))
            assert (shown["lastStatus"], shown["desiredStatus"]) == ("RUNNING", "STOPPED")
            assert shown["stopCode"] == "UserInitiated"

    in_cell(body)


def test_a_stopped_task_is_forgotten_after_its_time_and_not_before() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "STOPPED", 1)

        async def released() -> bool:
            return await rig.reserved_tasks() == 0

        await rig.until(released)
        rig.world.ahead_s = 3500.0
        assert await rig.cell.sweepers.sweep_old_rows() is None
        rig.world.ahead_s = 3700.0  # past the hour, but the day is not over and rows are few
        assert await rig.cell.sweepers.sweep_old_rows() is None
        rig.world.ahead_s = 25 * 3600.0

        async def forgotten() -> bool:
            return await rig.cell.sweepers.sweep_old_rows() is not None

        await rig.until(forgotten)
        answer = await rig.cell.describe_tasks(ACCOUNT, "default", [id_of(task)], False)
        assert [failure.reason for failure in answer.failures] == ["MISSING"]

    in_cell(body)


def test_too_many_stopped_tasks_are_forgotten_after_the_hour() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=4, **ONE_ZONE)
        for task in tasks:
            await rig.report(task, "STOPPED", 1)

        async def released() -> bool:
            rows = await rig.stores.cell_store.read("SELECT count(*) FROM tasks WHERE released = 1")
            return rows[0][0] == 4

        await rig.until(released)
        assert await rig.cell.sweepers.sweep_old_rows() is None
        rig.world.ahead_s = 3700.0
        assert await rig.cell.sweepers.sweep_old_rows() == "forgot 2 stopped tasks"

    in_cell(body, knobs=Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, stopped_task_rows_max=2))


def test_the_log_target_of_a_container_is_known_to_its_host_only() -> None:
    async def body(rig: CellRig) -> None:
        logs = {"awslogs-group": "/app", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
        definition = {
            **rig_definition(),
            "containerDefinitions": [
                {"name": "web", "image": "w", "logConfiguration": {"logDriver": "awslogs", "options": logs}},
                {"name": "quiet", "image": "q"},
            ],
        }
        [task] = await rig.run(definition=definition, **ONE_ZONE)
        target = await rig.cell.log_target(HOST, id_of(task), "web")
        assert target is not None
        assert (target.account, target.group, target.stream) == (ACCOUNT, "/app", f"p/web/{id_of(task)}")
        assert await rig.cell.log_target(OTHER_HOST, id_of(task), "web") is None
        assert await rig.cell.log_target(HOST, id_of(task), "quiet") is None
        assert await rig.cell.log_target(HOST, id_of(task), "nobody") is None
        assert await rig.cell.log_target(HOST, "0" * 32, "web") is None

    in_cell(body, host=HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=1000))


def rig_definition() -> dict[str, object]:
    return {**DEFINITION, "taskDefinitionArn": DEFINITION["taskDefinitionArn"].replace(":1", ":2"), "revision": 2}


def test_batches_rest_for_callers_and_never_longer_than_the_bound() -> None:
    knobs = Knobs(rest_per_call_s=0.02, rest_max_s=0.05)
    calls = CallsFirst(knobs)
    assert calls.rest_s() == 0.0
    with calls.waiting():
        assert calls.rest_s() == 0.0, "one caller's own task is what is carried on"
        with calls.waiting():
            assert calls.rest_s() == 0.02
            with calls.waiting(), calls.waiting():
                assert calls.rest_s() == 0.05
    with pytest.raises(ValueError, match="broken"), calls.waiting(), calls.waiting():
        raise ValueError("broken")
    assert calls.rest_s() == 0.0
