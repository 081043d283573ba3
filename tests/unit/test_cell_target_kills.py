"""Whatever kills the process: each task that lives is a target, none that ended is, and nobody waits in vain."""

import asyncio
from collections.abc import Sequence

import pytest

from neargate.interfaces.services import ServiceFilter
from neargate.interfaces.store import Statement
from neargate.testing.cell_rig import ACCOUNT, CellRig, in_cell
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, behind, definition

WRITES = 22  # enough for every write of the lane and of the hosts' reports in the life below
ANY = ServiceFilter()
TOUCHED = ("task_targets", "UPDATE service_tasks", "UPDATE tasks")


class Nth:
    """The nth write that touches tasks or their targets."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, statements: Sequence[Statement]) -> bool:
        if any(touched in one.sql for one in statements for touched in TOUCHED):
            self.left -= 1
            return self.left == 0
        return False


async def live(services: ServiceRig, group: str) -> None:
    """A life behind a load balancer: made, rolled, made smaller. Each call may be made again."""
    if not (await services.rig.cell.services.list_services(ACCOUNT, CLUSTER, ANY, 10, None))[0]:
        await services.create(desired_count=2, template=behind(group))
    await services.until_steady()
    if not (await services.shown())["taskDefinition"].endswith(":2"):
        await services.update(definition=definition(2))
    await services.until_steady()
    await services.update(desired_count=1)
    await services.until_steady()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_write_leaves_no_target_of_nobody_and_no_task_without_one(when: str) -> None:
    struck = 0
    numbers = iter(range(1, WRITES + 1))

    async def body(rig: CellRig) -> None:
        nonlocal struck
        services, group = ServiceRig(rig), rig.targets.make_group()
        dead = rig.kill_at(when, Nth(next(numbers)))
        life = asyncio.ensure_future(live(services, group))
        death = asyncio.ensure_future(dead.wait())
        await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
        if dead.is_set():
            struck += 1
            await rig.reopen()
            await live(services, group)
        else:
            await life
        [task] = await services.live()
        target = services.target(task, group)

        async def is_clean() -> bool:
            await rig.cell.sweepers.sweep_reservations()
            rows = await rig.stores.cell_store.read("SELECT grp, ip, port FROM task_targets")
            return rows == [(target.group, target.ip, target.port)] and await rig.reserved_tasks() == 1

        await rig.until(is_clean)
        assert rig.targets.registered == {target}
        said = await services.messages()
        assert sum("registered 2 targets" in one or "registered 1 targets" in one for one in said) >= 2

    for _ in range(WRITES):
        in_cell(body, knobs=QUICK)
    assert struck >= 14
