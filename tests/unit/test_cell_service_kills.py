"""Whatever kills the process, and whoever decides at the same time: a service loses no task and gets none twice."""

import asyncio
from collections.abc import Sequence

import pytest

from neargate.clusters.launching import Superseded
from neargate.clusters.services.applying import apply_plan
from neargate.clusters.services.snapshot import Snapshots, Templates
from neargate.interfaces.services import ServiceFilter
from neargate.interfaces.store import Refused, Statement
from neargate.scheduling.services.reconcile import reconcile
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell
from neargate.testing.service_rig import CLUSTER, QUICK, WEB, ServiceRig

# Enough for every write of the loop and of the calls of the life that is lived below.
WRITES = 16
ANY = ServiceFilter()


class Nth:
    """The nth write that touches services."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, statements: Sequence[Statement]) -> bool:
        if any("UPDATE services" in one.sql or "INSERT INTO services" in one.sql for one in statements):
            self.left -= 1
            return self.left == 0
        return False


async def live(services: ServiceRig) -> None:
    """A life: made, rolled, made smaller. Each call may be made again."""
    if not (await services.rig.cell.services.list_services(ACCOUNT, CLUSTER, ANY, 10, None))[0]:
        await services.create(desired_count=3)
    await services.until_steady()
    if not (await services.shown())["taskDefinition"].endswith(":2"):
        await services.roll()
    await services.until_steady()
    await services.update(desired_count=2)
    await services.until_steady()


async def check(services: ServiceRig) -> None:
    tasks = await services.live()
    assert [task["taskDefinitionArn"][-1] for task in tasks] == ["2", "2"]
    assert {task["lastStatus"] for task in tasks} == {"RUNNING"}
    owned = await services.rig.stores.cell_store.read("SELECT task FROM service_tasks ORDER BY task")
    assert [task for (task,) in owned] == sorted(id_of(task) for task in tasks)

    async def no_more_room() -> bool:
        await services.rig.cell.sweepers.sweep_reservations()
        return await services.rig.reserved_tasks() == 2

    await services.rig.until(no_more_room)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_write_loses_nothing_and_doubles_nothing(when: str) -> None:
    struck = 0
    numbers = iter(range(1, WRITES + 1))

    async def body(rig: CellRig) -> None:
        nonlocal struck
        services = ServiceRig(rig)
        dead = rig.kill_at(when, Nth(next(numbers)))
        life = asyncio.ensure_future(live(services))
        death = asyncio.ensure_future(dead.wait())
        await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set():
            struck += 1
            await rig.reopen()
            await live(services)
        else:
            await life
        await check(services)

    for _ in range(WRITES):
        in_cell(body, knobs=QUICK)
    assert struck >= 10


def test_a_decision_on_an_older_state_changes_nothing() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        await services.until_steady()
        store = rig.stores.cell_store
        snapshots = Snapshots(rig.world, store, QUICK, rig.networks, Templates(store))
        old = await snapshots.of((ACCOUNT, CLUSTER, WEB))
        assert old is not None
        await services.update(desired_count=4)
        await services.until_steady()
        plan = reconcile(old.service, QUICK)
        with pytest.raises(Refused):
            await apply_plan(rig.world, store, old, plan)
        assert len(await services.live()) == 4

    in_cell(body, knobs=QUICK)


def test_two_who_decide_at_the_same_time_start_nothing_twice() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=7)
        for _ in range(6):
            turns = [rig.cell.services.turn(ACCOUNT, CLUSTER, WEB) for _ in range(4)]
            for outcome in await asyncio.gather(*turns, return_exceptions=True):
                assert outcome is None or isinstance(outcome, float | Refused | Superseded), outcome
        await services.until_steady()
        assert len(await services.all_tasks()) == 7
        assert await rig.reserved_tasks() == 7

    in_cell(body, knobs=QUICK)
