"""Services as `neargate status` lists them: those that need a look first, and how many there are."""

from neargate.testing.cell_rig import CellRig, in_cell
from neargate.testing.service_rig import QUICK, ServiceRig


def test_those_that_are_not_steady_come_first_and_the_rest_is_counted() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create("goes", desired_count=1)
        [_] = await services.until_count(1, "goes")
        for name in ("one", "two"):
            await services.create(name, desired_count=1)
            await services.until_steady(name)
        view = rig.cell.operator
        shown, steady, count = await view.services(20)
        assert [one.name for one in shown] == ["goes", "two", "one"] and (steady, count) == (2, 3)
        assert [(one.running, one.desired, one.rollout) for one in shown] == [
            (0, 1, "IN_PROGRESS"),
            (1, 1, "COMPLETED"),
            (1, 1, "COMPLETED"),
        ]
        await services.roll("one")
        [first, second], _, _ = await view.services(2)
        assert {first.name, second.name} == {"goes", "one"}
        assert next(one for one in (first, second) if one.name == "one").deployments == 2
        await services.delete("two")
        await services.until_status("INACTIVE", "two")
        shown, steady, count = await view.services(20)
        assert {one.name for one in shown} == {"goes", "one"} and (steady, count) == (0, 2)

    in_cell(body, knobs=QUICK)
