"""Spot in the cell: interrupted when on-demand needs its room, never the other way; a kill in between loses nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from neargate.capacity.manager import CAPACITY_UNAVAILABLE
from neargate.clusters.launching import VCPU_LIMIT
from neargate.clusters.record_lane import Record
from neargate.clusters.spot import _READY as READY
from neargate.clusters.stopping import INTERRUPTED
from neargate.interfaces.store import Statement
from neargate.link.messages import RunOrder, decode_to_agent
from neargate.model.capacity import HostCapacity
from neargate.model.knobs import Knobs
from neargate.model.quotas import FARGATE_SPOT_VCPU, DefaultQuotas, Quota
from neargate.testing.cell_rig import ACCOUNT, REGION, ZONES, CellRig, host_of, id_of, in_cell, parsed, subnet
from neargate.testing.cell_rig import run_request as any_request

ONE = HostCapacity(cpu_units=256, memory_mib=512, disk_gib=100)  # room for one task
TWO = HostCapacity(cpu_units=512, memory_mib=1024, disk_gib=100)
ZONE = ZONES[0]
HOST = host_of(ZONE)
SPOT, ON_DEMAND = {"launch_type": None, "providers": ("FARGATE_SPOT",)}, {"launch_type": "FARGATE", "providers": ()}


def run_request(**changes: Any) -> Any:
    return any_request(**({"cluster": "both", "subnets": (subnet(ZONE),)} | changes))


async def both(rig: CellRig) -> None:
    await rig.cell.create_cluster(ACCOUNT, REGION, "both", {"capacityProviders": ["FARGATE", "FARGATE_SPOT"]})


async def run(rig: CellRig, **changes: Any) -> dict[str, Any]:
    answer = await rig.cell.run_task(run_request(**changes))
    assert not answer.failures, answer.failures
    [task] = parsed(answer)
    return task


async def described(rig: CellRig, task: dict[str, Any]) -> dict[str, Any]:
    [document] = parsed(await rig.cell.describe_tasks(ACCOUNT, "both", [id_of(task)], False))
    return document


async def ordered(rig: CellRig) -> list[str]:
    """Ids of the tasks that the host is to run."""
    launches = [decode_to_agent(order.message) for order in await rig.cell.orders.to_run(HOST, 0, 10)]
    return [message.launch.task_id for message in launches if isinstance(message, RunOrder)]


async def to_stop(rig: CellRig) -> list[tuple[str, str, str]]:
    return [
        (item.order.task_id, item.order.stop_code, item.order.reason)
        for item in await rig.cell.orders.to_stop(HOST, 0, 9)
    ]


async def is_interrupted(rig: CellRig, task: dict[str, Any]) -> bool:
    return (await described(rig, task)).get("stopCode") == "SpotInterruption"


def test_on_demand_takes_the_room_of_a_spot_task_and_waits_for_its_end() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        assert (spot["capacityProviderName"], spot["launchType"]) == ("FARGATE_SPOT", "FARGATE")
        await rig.report(spot, "RUNNING", 1)
        mine = await run(rig, **ON_DEMAND)
        assert mine["lastStatus"] == "PROVISIONING"
        await rig.until(lambda: is_interrupted(rig, spot))
        told = await described(rig, spot)
        assert (told["lastStatus"], told["desiredStatus"]) == ("RUNNING", "STOPPED")
        assert told["stoppedReason"] == "Your Spot Task was interrupted."
        assert await to_stop(rig) == [(id_of(spot), "SpotInterruption", INTERRUPTED)]
        assert await ordered(rig) == [], "its room is in use"
        assert (await rig.cell.explain_task(id_of(mine)))["waits_for"] == [id_of(spot)]
        await rig.report(spot, "STOPPED", 2)
        await rig.until(lambda: is_ordered(rig, mine))
        assert (await described(rig, spot))["stopCode"] == "SpotInterruption"
        assert await rig.cell.spot.newest(10) == []
        assert (await rig.cell.explain_task(id_of(mine)))["waits_for"] == []

    in_cell(body, host=ONE)


async def is_ordered(rig: CellRig, task: dict[str, Any]) -> bool:
    return await ordered(rig) == [id_of(task)]


def test_spot_takes_nobody_s_room() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        await run(rig, **SPOT)
        for kind in (SPOT, SPOT):
            answer = await rig.cell.run_task(run_request(**kind))
            assert [failure.reason for failure in answer.failures] == [CAPACITY_UNAVAILABLE]
        await run(rig, **ON_DEMAND)
        answer = await rig.cell.run_task(run_request(**ON_DEMAND))
        assert [failure.reason for failure in answer.failures] == [CAPACITY_UNAVAILABLE], "its room is promised"

    in_cell(body, host=ONE)


def test_another_zone_s_free_room_spares_the_spot_task() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        subnets = (subnet(ZONE), subnet(ZONES[1]))
        mine = await run(rig, **ON_DEMAND, subnets=subnets)
        assert mine["availabilityZone"] == ZONES[1]
        assert not await is_interrupted(rig, spot) and await rig.cell.spot.newest(10) == [id_of(spot)]

    in_cell(body, host=ONE)


def test_the_newest_is_interrupted() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        old, new = await run(rig, **SPOT), await run(rig, **SPOT)
        await run(rig, **ON_DEMAND)
        await rig.until(lambda: is_interrupted(rig, new))
        assert not await is_interrupted(rig, old)

    in_cell(body, host=TWO)


def test_two_callers_at_once_take_the_room_of_two() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spots = [await run(rig, **SPOT), await run(rig, **SPOT)]
        answer = await rig.cell.run_task(run_request(**ON_DEMAND, count=2))
        assert len(answer.documents) == 2 and not answer.failures
        for spot in spots:
            await rig.until(lambda spot=spot: is_interrupted(rig, spot))  # type: ignore[misc]
        assert await ordered(rig) == []

    in_cell(body, host=TWO)


def records_wait(statements: Sequence[Statement]) -> bool:
    return any("INSERT INTO waits" in statement.sql for statement in statements)


def interrupts(statements: Sequence[Statement]) -> bool:
    return any("SpotInterruption" in str(statement.params) for statement in statements)


def lets_go(statements: Sequence[Statement]) -> bool:
    return any("SET ordered = 1" in statement.sql for statement in statements)


async def until_ordered_alone(rig: CellRig, spot: dict[str, Any]) -> None:
    """The interrupted task ends; who waited for it goes to the host, and nothing else holds room."""
    await rig.until(lambda: is_interrupted(rig, spot))
    assert await ordered(rig) == []
    await rig.report(spot, "STOPPED", 2)
    await rig.until(lambda: has_one_order(rig))
    await rig.until(lambda: is_one_reserved(rig))


async def launched(rig: CellRig) -> None:
    await rig.cell.run_task(run_request(**ON_DEMAND))


@pytest.mark.parametrize("moment", [records_wait, interrupts])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_a_write_of_the_launch_loses_nothing(when: str, moment: Any) -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        await rig.report(spot, "RUNNING", 1)
        dead = rig.kill_at(when, moment)
        rig.world.spawn(launched(rig), "a caller")
        await dead.wait()
        await rig.reopen()
        if (when, moment) == ("before", records_wait):
            assert not await is_interrupted(rig, spot), "nobody was promised its room"
            return
        await until_ordered_alone(rig, spot)

    in_cell(body, host=ONE)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_while_the_order_is_let_go_loses_nothing(when: str) -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        await run(rig, **ON_DEMAND)
        await rig.until(lambda: is_interrupted(rig, spot))
        dead = rig.kill_at(when, lets_go)
        await rig.report(spot, "STOPPED", 1)
        await dead.wait()
        await rig.reopen()
        await rig.until(lambda: has_one_order(rig))

    in_cell(body, host=ONE)


def gate_records_of_spot(rig: CellRig) -> asyncio.Event:
    """Spot tasks have their room, and are recorded no sooner than the event is set."""
    gate, lane = asyncio.Event(), rig.cell._launching._recorder._lane
    write = lane.write

    async def late(record: Record) -> None:
        if record.spot:
            await gate.wait()
        await write(record)

    lane.write = late  # type: ignore[method-assign]
    return gate


QUICK = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, release_retry_s=0.01)


def test_a_spot_task_that_is_recorded_after_its_room_was_promised_is_interrupted_and_waited_for() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        gate = gate_records_of_spot(rig)
        calling = asyncio.ensure_future(run(rig, **SPOT))
        await rig.until(lambda: is_one_reserved(rig))
        mine = await run(rig, **ON_DEMAND)
        assert not await rig.cell.spot.settle(), "who has room and no record yet is looked at again"
        assert await ordered(rig) == []
        gate.set()
        spot = await calling
        await rig.until(lambda: is_interrupted(rig, spot))
        assert (await rig.cell.explain_task(id_of(mine)))["waits_for"] == [id_of(spot)]
        assert await ordered(rig) == [], "its room is in use"
        await rig.report(spot, "STOPPED", 1)
        await rig.until(lambda: is_ordered(rig, mine))

    in_cell(body, host=ONE, knobs=QUICK)


def test_nobody_waits_for_room_that_a_kill_left_without_a_task() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        gate_records_of_spot(rig)
        rig.world.spawn(run(rig, **SPOT), "a caller")
        await rig.until(lambda: is_one_reserved(rig))
        mine = await run(rig, **ON_DEMAND)
        await rig.reopen()
        assert not await rig.cell.spot.settle()
        assert await ordered(rig) == [] and await rig.reserved_tasks() == 2
        await rig.cell.sweepers.settle_reservations(rig.world.now() + 1)
        await rig.until(lambda: is_ordered(rig, mine))
        assert await rig.reserved_tasks() == 1

    in_cell(body, host=ONE, knobs=QUICK)


def test_a_task_that_stops_while_the_tables_are_read_is_not_missed() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        mine = await run(rig, **ON_DEMAND)
        await rig.until(lambda: is_interrupted(rig, spot))
        store, read = rig.stores.cell_store, rig.stores.cell_store.read

        async def meanwhile(sql: str, params: Sequence[Any] = ()) -> list[Any]:
            rows = await read(sql, params)
            if sql == READY:
                store.read = read  # type: ignore[method-assign]
                await rig.report(spot, "STOPPED", 1)
            return rows

        store.read = meanwhile  # type: ignore[method-assign]
        rig.cell.spot._holds = False  # as a pass leaves it that read the tables just before the record
        rig.cell.spot._due.set()
        await rig.until(lambda: is_ordered(rig, mine))

    in_cell(body, host=ONE)


async def is_one_reserved(rig: CellRig) -> bool:
    return await rig.reserved_tasks() == 1


async def has_one_order(rig: CellRig) -> bool:
    return len(await ordered(rig)) == 1


def test_who_waits_can_be_stopped_and_then_gives_its_room_back() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        mine = await run(rig, **ON_DEMAND)
        await rig.cell.stop_task(ACCOUNT, "both", id_of(mine), "enough")
        await rig.until(lambda: has_stopped(rig, mine))
        document = await described(rig, mine)
        assert (document["stopCode"], document["stoppedReason"]) == ("UserInitiated", "enough")
        await rig.report(spot, "STOPPED", 1)
        await rig.until(lambda: is_empty(rig))
        assert await ordered(rig) == []

    in_cell(body, host=ONE)


async def has_stopped(rig: CellRig, task: dict[str, Any]) -> bool:
    return bool((await described(rig, task))["lastStatus"] == "STOPPED")


async def is_empty(rig: CellRig) -> bool:
    return await rig.reserved_tasks() == 0


def test_the_operator_takes_the_newest_back() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        old, new = await run(rig, **SPOT), await run(rig, **SPOT)
        assert await rig.cell.spot.newest(1) == [id_of(new)]
        await rig.cell.spot.reclaim([id_of(new)])
        assert await is_interrupted(rig, new) and not await is_interrupted(rig, old)
        await rig.cell.spot.reclaim([id_of(new)])  # again: harmless
        assert await rig.cell.spot.newest(10) == [id_of(old)]
        assert await rig.cell.spot.is_on_spot(id_of(old)) and not await rig.cell.spot.is_on_spot("0" * 32)

    in_cell(body, host=TWO)


class Quotas(DefaultQuotas):
    """Half a vCPU on Spot, and none set for the others."""

    def value(self, account: str, quota: Quota) -> float | None:
        return 0.5 if quota is FARGATE_SPOT_VCPU else super().value(account, quota)


def test_spot_vcpus_have_a_quota_of_their_own() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        rig.cell._launching._quotas = Quotas()
        for _ in range(2):
            await run(rig, **SPOT)
        answer = await rig.cell.run_task(run_request(**SPOT))
        assert [failure.reason for failure in answer.failures] == [VCPU_LIMIT]
        await run(rig, **ON_DEMAND)

    in_cell(body)


def test_a_task_without_an_address_takes_nobody_s_room() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        tiny = subnet(ZONE, 7, "10.9.0.0/30")  # no address is left of it
        mine = await run(rig, **ON_DEMAND, subnets=(tiny,))
        await rig.until(lambda: has_stopped(rig, mine))
        assert (await described(rig, mine))["stopCode"] == "TaskFailedToStart"
        assert not await is_interrupted(rig, spot)

    in_cell(body, host=ONE)


def test_spot_of_a_restored_zone_is_spot_again() -> None:
    """A crash of the machine costs the zone its last commits; the cell has them made again."""

    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        await rig.capacities[ZONE]._store.write([Statement("DELETE FROM reservations"), Statement("DELETE FROM enis")])
        await rig.reopen()
        assert rig.capacities[ZONE].cpu_units_held(ACCOUNT, on_spot=True) == 256
        await run(rig, **ON_DEMAND)
        await rig.until(lambda: is_interrupted(rig, spot))

    in_cell(body, host=ONE)


def test_what_is_kept_beside_a_task_is_forgotten_with_it() -> None:
    async def body(rig: CellRig) -> None:
        await both(rig)
        spot = await run(rig, **SPOT)
        mine = await run(rig, **ON_DEMAND)
        await rig.cell.stop_task(ACCOUNT, "both", id_of(mine), None)
        await rig.report(spot, "STOPPED", 1)
        await rig.until(lambda: is_empty(rig))
        await rig.until(lambda: has_stopped(rig, mine))
        left = "SELECT task FROM spot UNION ALL SELECT task FROM waits ORDER BY task"
        assert await rig.stores.cell_store.read(left) == sorted([(id_of(spot),), (id_of(mine),)])
        rig.world.ahead_s = 2 * rig.knobs.stopped_task_keep_s
        await rig.until(lambda: swept(rig))
        assert await rig.stores.cell_store.read(left) == []

    in_cell(body, host=ONE)


async def swept(rig: CellRig) -> bool:
    return await rig.cell.sweepers.sweep_old_rows() == "forgot 2 stopped tasks"
