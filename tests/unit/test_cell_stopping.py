"""StopTask: durable before it is told, the same twice, whatever the host is doing."""

from collections.abc import Sequence

import pytest

from neargate.clusters.reports import ReportOutcome
from neargate.interfaces.store import Overloaded, Row, Statement, StoreFull, Value
from neargate.model.errors import ClusterNotFound, InvalidParameter, ServiceUnavailable
from neargate.model.knobs import Knobs
from neargate.testing.cell_rig import ACCOUNT, ZONES, CellRig, host_of, id_of, in_cell, subnet

ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}
HOST = host_of(ZONES[0])
# How reads begin that look for tasks of which no host is told, and for those with something to give back.
_UNLAUNCHED, _UNRELEASED = "SELECT n, id, stop_reason FROM tasks", "SELECT n, id, zone FROM tasks WHERE released = 0"


def test_a_stop_is_durable_and_ordered_while_everybody_is_away() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 1)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        await rig.reopen()
        shown = await rig.described(id_of(task))
        assert (shown["desiredStatus"], shown["lastStatus"]) == ("STOPPED", "RUNNING")
        assert (shown["stopCode"], shown["stoppedReason"]) == ("UserInitiated", "Task stopped by user")
        [stop] = await rig.cell.orders.to_stop(HOST, 0, 10)
        assert (stop.order.task_id, stop.order.incarnation) == (id_of(task), rig.cell.incarnation)
        assert (stop.order.stop_code, stop.order.reason) == ("UserInitiated", "Task stopped by user")
        assert await rig.cell.orders.to_stop(host_of(ZONES[1]), 0, 10) == []

    in_cell(body)


def test_stopping_again_answers_the_same_and_keeps_the_first_reason() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        first = await rig.cell.stop_task(ACCOUNT, "default", id_of(task), "enough")
        assert await rig.cell.stop_task(ACCOUNT, "default", id_of(task), "another reason") == first
        await rig.report(task, "STOPPED", 1, stop_code="EssentialContainerExited", stopped_reason="exit")
        stopped = await rig.described(id_of(task))
        assert stopped["stoppedReason"] == "enough"
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), "late")
        assert await rig.described(id_of(task)) == stopped

    in_cell(body)


def test_a_task_whose_host_never_got_the_order_is_only_ordered_to_stop_and_becomes_stopped() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        assert await rig.cell.orders.to_run(HOST, 0, 10) == []
        assert len(await rig.cell.orders.to_stop(HOST, 0, 10)) == 1
        await rig.report(task, "STOPPED", 1)  # what an agent says of a task it never saw
        assert (await rig.described(id_of(task)))["lastStatus"] == "STOPPED"
        assert await rig.cell.orders.to_stop(HOST, 0, 10) == []

    in_cell(body)


def test_a_stop_that_has_begun_is_not_ordered_again() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        await rig.report(task, "STOPPING", 1)
        assert await rig.cell.orders.to_stop(HOST, 0, 10) == []

    in_cell(body)


def test_a_task_of_another_cluster_or_account_is_not_found() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.cell.create_cluster(ACCOUNT, "us-east-1", "other", {})
        with pytest.raises(InvalidParameter, match="The referenced task was not found"):
            await rig.cell.stop_task(ACCOUNT, "other", id_of(task), None)
        with pytest.raises(InvalidParameter, match="The referenced task was not found"):
            await rig.cell.stop_task(ACCOUNT, "default", "0" * 32, None)
        with pytest.raises(ClusterNotFound):
            await rig.cell.stop_task("999999999999", "default", id_of(task), None)
        assert await rig.described(id_of(task)) == task

    in_cell(body)


@pytest.mark.parametrize("conflicts", [1, 3])
def test_who_decided_on_an_old_row_decides_again(conflicts: int) -> None:
    async def body(rig: CellRig) -> None:
        stopped, reported = await rig.run(count=2, **ONE_ZONE)
        await rig.report(stopped, "RUNNING", 1)
        meddle(rig, conflicts)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(stopped), None)
        assert (await rig.described(id_of(stopped)))["desiredStatus"] == "STOPPED"
        meddle(rig, conflicts)
        await rig.report(reported, "RUNNING", 1)
        assert (await rig.described(id_of(reported)))["lastStatus"] == "RUNNING"

    in_cell(body)


def test_a_report_that_always_meets_another_writer_is_left_to_its_repetition() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        meddle(rig, 1000)
        outcome = await rig.judged(HOST, rig.task_report(task, "RUNNING", 1))
        assert outcome is ReportOutcome.LATER
        with pytest.raises(ServiceUnavailable):
            await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)

    in_cell(body)


def meddle(rig: CellRig, times: int) -> None:
    """Another writer is faster, the next `times` times that a task's row is updated."""
    store = rig.stores.cell_store
    plain_write = type(store).write.__get__(store)
    left = [times]

    async def write(statements: Sequence[Statement]) -> list[list[Row]]:
        if left[0] and any(statement.sql.startswith("UPDATE tasks SET last_status") for statement in statements):
            left[0] -= 1
            await plain_write([Statement("UPDATE tasks SET rev = rev + 1")])
        return await plain_write(statements)  # type: ignore[no-any-return]

    store.write = write  # type: ignore[method-assign]


def test_a_task_is_ordered_until_its_host_has_reported_it() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=5, **ONE_ZONE)
        page = await rig.cell.orders.to_run(HOST, 0, 3)
        rest = await rig.cell.orders.to_run(HOST, page[-1].n, 3)
        assert [order.task_id for order in (*page, *rest)] == [id_of(task) for task in tasks]
        await rig.report(tasks[0], "PENDING", 1)
        assert [order.task_id for order in await rig.cell.orders.to_run(HOST, 0, 9)] == [id_of(t) for t in tasks[1:]]

    in_cell(body)


@pytest.mark.parametrize("refusal", [Overloaded, StoreFull])
@pytest.mark.parametrize("what", ["read", "write"])
def test_a_store_with_too_much_to_do_is_asked_again_for_the_end_of_what_has_no_interface(
    what: str, refusal: type[Overloaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that ends ends the process, and with it what all others wait for."""

    async def body(rig: CellRig) -> None:
        died: list[str] = []
        monkeypatch.setattr(rig.world, "die", died.append)
        left = overload(rig, what, refusal, 3, sql={"read": _UNLAUNCHED, "write": "UPDATE tasks SET last_status"}[what])
        [task] = await rig.run(subnets=(subnet(ZONES[0], 7, cidr="10.99.0.0/30"),))  # no address is left of it

        async def over() -> bool:
            return bool(died) or (await rig.described(id_of(task)))["lastStatus"] == "STOPPED"

        await rig.until(over)
        assert (died, left) == ([], [0])
        assert (await rig.described(id_of(task)))["stopCode"] == "TaskFailedToStart"

    in_cell(body, knobs=Knobs(release_retry_s=0.01))


@pytest.mark.parametrize("what", ["read", "write"])
def test_a_store_with_too_much_to_do_is_asked_again_for_what_stopped_tasks_hold(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(rig: CellRig) -> None:
        died: list[str] = []
        monkeypatch.setattr(rig.world, "die", died.append)
        [task] = await rig.run(**ONE_ZONE)
        left = overload(rig, what, Overloaded, 3, sql={"read": _UNRELEASED, "write": "UPDATE tasks SET released"}[what])
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        await rig.report(task, "STOPPED", 1)

        async def over() -> bool:
            return bool(died) or (left == [0] and not await rig.reserved_tasks())

        await rig.until(over)
        assert died == []

    in_cell(body, knobs=Knobs(release_retry_s=0.01))


def overload(rig: CellRig, what: str, refusal: type[Overloaded], times: int, *, sql: str) -> list[int]:
    """The store refuses what begins so, the next `times` times. How many are left."""
    store = rig.stores.cell_store
    left = [times]

    def refuse(asked: str) -> None:
        if left[0] and asked.startswith(sql):
            left[0] -= 1
            raise refusal

    async def read(asked: str, params: Sequence[Value] = ()) -> list[Row]:
        refuse(asked)
        return await type(store).read(store, asked, params)

    async def write(statements: Sequence[Statement]) -> list[list[Row]]:
        refuse(statements[0].sql)
        return await type(store).write(store, statements)

    setattr(store, what, {"read": read, "write": write}[what])
    return left
