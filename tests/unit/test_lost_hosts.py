"""A host that its operator has given up: its tasks are over, in AWS's words, and services start others elsewhere."""

from collections.abc import Mapping

from neargate.capacity.own_hosts import DRAINING, GIVEN_UP
from neargate.clusters.reports import ReportOutcome
from neargate.model.capacity import HostCapacity, HostFacts
from neargate.testing.cell_rig import ACCOUNT, ZONES, CellRig, host_of, id_of, in_cell, running, subnet
from neargate.testing.service_rig import QUICK, ServiceRig

ZONE = ZONES[0]
HOST = host_of(ZONE)
ONE_ZONE = {"subnets": (subnet(ZONE),)}
UP = {"containers": (running("web"), running("side"))}


async def say(rig: CellRig, words: Mapping[str, str]) -> None:
    for capacity in rig.capacities.values():
        await capacity._pools.become({}, words)


async def give_up(rig: CellRig) -> None:
    await rig.capacities[ZONE].host_seen(HOST, False)
    await say(rig, {HOST: GIVEN_UP})


async def sweep(rig: CellRig) -> str | None:
    return await rig.cell.sweepers._lost.sweep()


def test_its_tasks_are_stopped_in_the_words_of_aws_and_what_they_held_is_given_back() -> None:
    async def body(rig: CellRig) -> None:
        [ran] = await rig.run(**ONE_ZONE)
        [begun] = await rig.run(**ONE_ZONE)
        [other] = await rig.run(subnets=(subnet(ZONES[1]),))
        await rig.report(ran, "RUNNING", 5, **UP)
        await give_up(rig)
        assert await sweep(rig) == "ended 2 tasks of hosts that were given up"
        for task in (ran, begun):
            shown = await rig.described(id_of(task))
            assert (shown["lastStatus"], shown["desiredStatus"]) == ("STOPPED", "STOPPED")
            assert (shown["stopCode"], shown["stoppedReason"]) == (
                "TerminationNotice",
                f"Host EC2 (instance {HOST}) terminated.",
            )
            assert {container["lastStatus"] for container in shown["containers"]} == {"STOPPED"}
            assert [one["status"] for one in shown["attachments"]] == ["DELETED"]
        assert (await rig.described(id_of(other)))["desiredStatus"] == "RUNNING"

        async def is_released() -> bool:
            return await rig.reserved_tasks() == 1

        await rig.until(is_released)
        assert await sweep(rig) is None

    in_cell(body)


def test_a_task_that_was_stopping_keeps_why() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 5, **UP)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(task), "enough")
        await give_up(rig)
        await sweep(rig)
        shown = await rig.described(id_of(task))
        assert (shown["lastStatus"], shown["stopCode"], shown["stoppedReason"]) == (
            *("STOPPED", "UserInitiated"),
            "enough",
        )

    in_cell(body)


def test_neither_silence_nor_a_drain_ends_anything() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await say(rig, {HOST: GIVEN_UP})  # and it is connected: nobody believes that
        assert await sweep(rig) is None
        for words in ({}, {HOST: DRAINING}):
            await rig.capacities[ZONE].host_seen(HOST, False)
            await say(rig, words)
            assert await sweep(rig) is None
        assert (await rig.described(id_of(task)))["desiredStatus"] == "RUNNING"

    in_cell(body)


def test_a_host_that_comes_back_hears_that_its_tasks_are_over() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        await rig.report(task, "RUNNING", 5, **UP)
        await give_up(rig)
        await sweep(rig)
        facts = HostFacts(
            host_id=HOST, boot_id="1", capacity=HostCapacity(cpu_units=1, memory_mib=1, disk_gib=1), zone=ZONE
        )
        await rig.capacities[ZONE].register_host(facts)
        again = rig.task_report(task, "RUNNING", 6, **UP)
        assert await rig.judged(HOST, again) is ReportOutcome.VOID
        assert await rig.judged(HOST, rig.task_report(task, "STOPPED", 7)) is ReportOutcome.DURABLE
        assert (await rig.described(id_of(task)))["stopCode"] == "TerminationNotice"

    in_cell(body)


def test_a_service_starts_others_elsewhere() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        tasks = await services.until_count(3)
        for task in tasks:
            await services.run(task)
        await services.until_steady()
        await give_up(rig)
        assert await sweep(rig) == "ended 1 tasks of hosts that were given up"

        async def is_elsewhere() -> bool:
            zones = [task["availabilityZone"] for task in await services.live()]
            return len(zones) == 3 and ZONE not in zones

        await rig.until(is_elsewhere)

    in_cell(body, knobs=QUICK)
