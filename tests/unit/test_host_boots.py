"""A host that comes with another boot: what it had begun is ordered to stop, what it never heard of goes on."""

from neargate.clusters.host_boots import RESTARTED
from neargate.testing.cell_rig import ACCOUNT, ZONES, CellRig, host_of, id_of, in_cell, subnet

HOST = host_of(ZONES[0])
ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}


async def stopping(rig: CellRig) -> list[str]:
    return [stop.order.task_id for stop in await rig.cell.orders.to_stop(HOST, 0, 10)]


def test_a_restarted_machine_ends_what_it_reported() -> None:
    async def body(rig: CellRig) -> None:
        await rig.cell.boots.meet(HOST, "boot-1")
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 5)
        await rig.cell.boots.meet(HOST, "boot-1")
        assert await stopping(rig) == [], "a session that comes again is no restart"
        await rig.cell.boots.meet(HOST, "boot-2")
        assert await stopping(rig) == [id_of(task)]
        shown = await rig.described(id_of(task))
        assert (shown["desiredStatus"], shown["stopCode"], shown["stoppedReason"]) == (
            "STOPPED",
            "InfrastructureHealth",
            RESTARTED,
        )

    in_cell(body)


def test_the_boot_is_remembered_over_the_servers_own_restart() -> None:
    async def body(rig: CellRig) -> None:
        await rig.cell.boots.meet(HOST, "boot-1")
        [task] = await rig.run(**ONE_ZONE)
        await rig.reopen()
        await rig.cell.boots.meet(HOST, "boot-1")
        assert await stopping(rig) == []
        await rig.reopen()
        await rig.cell.boots.meet(HOST, "boot-2")
        assert await stopping(rig) == [id_of(task)], "an earlier process may have sent it"

    in_cell(body)


def test_what_no_session_can_have_sent_goes_on() -> None:
    async def body(rig: CellRig) -> None:
        await rig.cell.boots.meet(HOST, "boot-1")
        await rig.reopen()
        [task] = await rig.run(**ONE_ZONE)
        await rig.cell.boots.meet(HOST, "boot-2")
        assert await stopping(rig) == []
        [order] = await rig.cell.orders.to_run(HOST, 0, 10)
        assert order.task_id == id_of(task)

    in_cell(body)


def test_a_new_session_hears_of_stops_that_were_begun() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), None)
        await rig.report(task, "STOPPING", 5)
        assert await stopping(rig) == []
        begun = await rig.cell.orders.to_stop(HOST, 0, 10, begun=True)
        assert [stop.order.task_id for stop in begun] == [id_of(task)]

    in_cell(body)
