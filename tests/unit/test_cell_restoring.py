"""A zone whose last commits a crash of the machine has cost: the cell makes them good before the first launch."""

import sqlite3
from typing import Any

from neargate.model.capacity import HostCapacity, HostFacts, RecordedReservation
from neargate.model.knobs import Knobs
from neargate.model.network import Eni
from neargate.store.sqlite import MemoryDisk
from neargate.testing.cell_rig import ACCOUNT, ZONES, CellRig, in_cell, subnet

ZONE = ZONES[0]
KNOBS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0)
TINY = subnet(ZONE, 7, cidr="10.7.0.0/29")  # three addresses


class Snapshot:
    """A zone's database as it was; `put_back` is the crash that loses what was committed since."""

    def __init__(self, disk: MemoryDisk, zone: str) -> None:
        self._live = disk.databases[f"zone-{zone}"]
        self._copy = sqlite3.connect(":memory:", check_same_thread=False)
        self._live.backup(self._copy)

    def put_back(self) -> None:
        self._copy.backup(self._live)


async def crash(rig: CellRig, snapshot: Snapshot) -> None:
    await rig.kill()
    snapshot.put_back()
    await rig.open()


async def interfaces(rig: CellRig) -> dict[str, dict[str, Any]]:
    """By id. The moment of attaching is the task's after a restoring, some microseconds apart from the zone's own."""
    found = {}
    for eni in await rig.capacities[ZONE].describe_enis(ACCOUNT):
        attachment = {name: value for name, value in eni["Attachment"].items() if name != "AttachTime"}
        found[eni["NetworkInterfaceId"]] = {**eni, "Attachment": attachment}
    return found


async def is_released(rig: CellRig, count: int) -> bool:
    rows = await rig.stores.cell_store.read("SELECT count(*) FROM tasks WHERE released = 1")
    return bool(rows[0][0] == count)


async def reserved(rig: CellRig) -> Any:
    return {host["host_id"]: (host["tasks"], host["reserved"]) for host in await rig.capacities[ZONE].hosts()}


def test_a_lost_reservation_of_a_live_task_is_taken_again() -> None:
    async def body(rig: CellRig) -> None:
        before = Snapshot(rig.disk, ZONE)
        await rig.run(subnets=(TINY,), assign_public_ip=True)
        held, room = await interfaces(rig), await reserved(rig)
        assert len(held) == 1 and room["host-a"][0] == 1
        await crash(rig, before)
        assert await interfaces(rig) == held and await reserved(rig) == room
        await rig.run(subnets=(TINY,), count=2)
        addresses = {eni["PrivateIpAddress"] for eni in (await interfaces(rig)).values()}
        assert len(addresses) == 3, "nobody was given the address of the restored task"
        await rig.reopen()
        assert len(await interfaces(rig)) == 3, "what was restored is written"

    in_cell(body, knobs=KNOBS)


def test_a_restored_reservation_is_given_back_when_its_task_stops() -> None:
    async def body(rig: CellRig) -> None:
        before = Snapshot(rig.disk, ZONE)
        [task] = await rig.run(subnets=(TINY,))
        await crash(rig, before)
        await rig.report(task, "STOPPED", 1)
        await rig.until(lambda: is_released(rig, 1))
        assert await interfaces(rig) == {} and await rig.reserved_tasks() == 0

    in_cell(body, knobs=KNOBS)


def test_a_lost_release_frees_the_address_for_the_task_that_has_it_now() -> None:
    async def body(rig: CellRig) -> None:
        old = await rig.run(subnets=(TINY,), count=3)
        full = Snapshot(rig.disk, ZONE)
        await rig.report(old[0], "STOPPED", 1)
        await rig.until(lambda: is_released(rig, 1))
        await rig.run(subnets=(TINY,))
        held = await interfaces(rig)
        assert len(held) == 3
        await crash(rig, full)
        assert await interfaces(rig) == held
        tasks, room = (await reserved(rig))["host-a"]
        assert (tasks, room["memory_mib"]) == (3, 3 * 512)

    in_cell(body, knobs=KNOBS)


def test_a_host_whose_row_was_lost_too_counts_what_its_tasks_hold() -> None:
    async def body(rig: CellRig) -> None:
        zone = rig.capacities[ZONE]
        eni = Eni(
            eni_id="eni-0a",
            attachment_id="a",
            mac="0a:00:00:00:00:01",
            vpc_id=TINY.vpc_id,
            subnet_id=TINY.subnet_id,
            subnet_cidr=TINY.cidr,
            private_ipv4="10.7.0.4",
        )
        lost = RecordedReservation(
            capacity_id="c1",
            task_id="t1",
            zone=ZONE,
            account=ACCOUNT,
            host_id="host-lost",
            cpu_units=256,
            memory_mib=512,
            disk_gib=20,
            eni=eni,
            owner="arn",
            created_at=1.0,
        )
        await zone.restore([lost, lost])
        assert await zone.missing([("t1", ZONE), ("t2", ZONE)]) == [("t2", ZONE)]
        capacity = HostCapacity(cpu_units=1000, memory_mib=1000, disk_gib=1000)
        await zone.register_host(
            HostFacts(host_id="host-lost", boot_id="1", capacity=capacity, sandbox="simulated", zone=ZONE)
        )
        tasks, room = (await reserved(rig))["host-lost"]
        assert (tasks, room["memory_mib"]) == (1, 512)
        await zone.release("t1", ZONE)
        tasks, room = (await reserved(rig))["host-lost"]
        assert (tasks, room["memory_mib"]) == (0, 0)

    in_cell(body, knobs=KNOBS)
