"""Tasks that retire in a cell: those of services are replaced first, others stopped when their notice is over."""

from typing import Any

from neargate.capacity.own_hosts import DRAINING, GIVEN_UP
from neargate.clusters.launching import Superseded
from neargate.clusters.retiring import due
from neargate.interfaces.store import Refused
from neargate.model.capacity import HostCapacity, HostFacts, HostPlatform
from neargate.model.knobs import Knobs
from neargate.scheduling.services.messages import MAINTENANCE
from neargate.testing.cell_rig import ACCOUNT, ZONES, CellRig, host_of, id_of, in_cell
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, configured

DAY_S = 86_400.0
HOST = host_of(ZONES[0])
LOOKS = Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, retirement_look_s=0.005)
ROOM = HostCapacity(cpu_units=4096, memory_mib=8192, disk_gib=400)


async def notice(rig: CellRig, task: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = (await rig.cell.explain_task(id_of(task)))["retirement"]
    return found


async def until_noticed(rig: CellRig, task: dict[str, Any], *, is_noticed: bool = True) -> None:
    async def holds() -> bool:
        return (await notice(rig, task) is not None) is is_noticed

    await rig.until(holds)


async def is_asked_to_stop(rig: CellRig, task: dict[str, Any]) -> bool:
    return bool((await rig.described(id_of(task)))["desiredStatus"] == "STOPPED")


async def on_host(rig: CellRig) -> dict[str, Any]:
    """A task of no service that runs on HOST."""
    tasks = await rig.run(count=3)
    [task] = [task for task in tasks if host_of(task["availabilityZone"]) == HOST]
    await rig.report(task, "RUNNING", 1)
    return task


def test_a_task_of_no_service_is_stopped_when_its_notice_is_over_and_not_before() -> None:
    async def body(rig: CellRig) -> None:
        task = await on_host(rig)
        before = rig.world.now()
        await rig.say(HOST, DRAINING)
        await until_noticed(rig, task)
        told = await notice(rig, task)
        assert told is not None and told["cause"] == "host"
        assert before <= told["noticed_at"] and told["due_at"] == told["noticed_at"] + 7 * DAY_S
        rig.world.ahead_s += 7 * DAY_S - 60
        assert await rig.cell.retiring.settle() and not await is_asked_to_stop(rig, task)
        rig.world.ahead_s += 60
        await rig.until(lambda: is_asked_to_stop(rig, task))
        document = await rig.described(id_of(task))
        assert (document["stopCode"], document["stoppedReason"]) == ("ServiceSchedulerInitiated", MAINTENANCE)
        assert document["lastStatus"] == "RUNNING", "its host has yet to hear of it"
        stops = await rig.cell.orders.to_stop(HOST, 0, 9)
        assert [stop.order.task_id for stop in stops] == [id_of(task)]

    in_cell(body, knobs=LOOKS)


def test_an_account_s_wait_is_its_own_and_none_is_none() -> None:
    async def body(rig: CellRig) -> None:
        rig.rules.waits_s[ACCOUNT] = 0.0
        task = await on_host(rig)
        await rig.say(HOST, DRAINING)
        await rig.until(lambda: is_asked_to_stop(rig, task))

    in_cell(body, knobs=Knobs(cpu_overcommit=1.0, disk_overcommit=1.0, retirement_look_s=600.0))  # not by a later look


def test_a_host_that_takes_tasks_again_stops_none() -> None:
    async def body(rig: CellRig) -> None:
        task = await on_host(rig)
        await rig.say(HOST, DRAINING)
        await until_noticed(rig, task)
        await rig.say(HOST, GIVEN_UP)
        await rig.cell.retiring.settle()
        assert await notice(rig, task) is not None, "its host is off: that takes no notice back"
        await rig.say(HOST)
        await until_noticed(rig, task, is_noticed=False)
        rig.world.ahead_s += 30 * DAY_S
        await rig.cell.retiring.settle()
        assert not await is_asked_to_stop(rig, task)

    in_cell(body, knobs=LOOKS)


def test_a_notice_outlives_the_process_and_is_not_given_anew() -> None:
    async def body(rig: CellRig) -> None:
        task = await on_host(rig)
        await rig.say(HOST, DRAINING)
        await until_noticed(rig, task)
        told = await notice(rig, task)
        rig.world.ahead_s += 3 * DAY_S
        await rig.reopen()
        await rig.cell.retiring.settle()
        assert await notice(rig, task) == told
        dead = rig.kill_at("before", lambda statements: any(one.name == "retirement" for one in statements))
        rig.world.ahead_s += 4 * DAY_S
        await dead.wait()
        assert not await is_asked_to_stop(rig, task), "the process died as it was about to"
        await rig.reopen()
        await rig.until(lambda: is_asked_to_stop(rig, task))

    in_cell(body, knobs=LOOKS)


def test_a_notice_that_is_taken_back_as_its_time_comes_stops_nothing() -> None:
    async def body(rig: CellRig) -> None:
        task = await on_host(rig)
        await rig.say(HOST, DRAINING)
        await until_noticed(rig, task)
        decided = due(id_of(task), rig.world.now() + 8 * DAY_S)  # by a process that was paused then
        await rig.say(HOST)
        await until_noticed(rig, task, is_noticed=False)
        await rig.cell._stopping.retire(id_of(task), decided)
        assert not await is_asked_to_stop(rig, task)

    in_cell(body, knobs=LOOKS)


def facts(*old: str, guest_image: str = "6.1 b", host: str = HOST) -> HostFacts:
    platform = HostPlatform(kernel="6.1", guest_image=guest_image, vmm="QEMU 7.2")
    return HostFacts(host_id=host, boot_id="1", capacity=ROOM, platform=platform, old_machines=old)


def test_old_machines_retire_only_once_their_host_s_software_is_rolled_out() -> None:
    async def body(rig: CellRig) -> None:
        task = await on_host(rig)
        rig.cell.retiring.heard(facts(id_of(task)))
        await rig.cell.retiring.settle()
        assert await notice(rig, task) is None and rig.cell.retiring.old_machines() == {HOST: 1}
        rig.rules.software = frozenset({("6.1 a", "QEMU 7.2")})
        await rig.cell.retiring.settle()
        assert await notice(rig, task) is None, "that is another image than its host has"
        rig.rules.software = frozenset({("6.1 b", "QEMU 7.2")})
        await rig.cell.retiring.settle()
        told = await notice(rig, task)
        assert told is not None and told["cause"] == "machine"
        await rig.reopen()  # what its host says is not known yet
        await rig.cell.retiring.settle()
        assert await notice(rig, task) == told
        rig.rules.software = frozenset()
        await rig.cell.retiring.settle()
        assert await notice(rig, task) is None

    in_cell(body, knobs=LOOKS)


def test_a_host_says_nothing_of_other_hosts_tasks() -> None:
    async def body(rig: CellRig) -> None:
        task = await on_host(rig)
        rig.rules.software = frozenset({("6.1 b", "QEMU 7.2")})
        rig.cell.retiring.heard(facts(id_of(task), "no-task", host=host_of(ZONES[1])))
        await rig.cell.retiring.settle()
        assert await notice(rig, task) is None

    in_cell(body, knobs=LOOKS)


def test_a_service_gets_its_replacement_before_its_task_on_an_emptied_host_stops() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        [leaving] = [task for task in await services.live() if host_of(task["availabilityZone"]) == HOST]
        await rig.say(HOST, DRAINING)
        four = await services.until_count(4)
        assert not any(task["desiredStatus"] == "STOPPED" for task in four), "the new one does not run yet"
        [fresh] = [task for task in four if task["lastStatus"] == "PROVISIONING"]
        assert host_of(fresh["availabilityZone"]) != HOST
        await services.until_steady()
        stopped = await rig.described(id_of(leaving))
        assert stopped["stopCode"] == "ServiceSchedulerInitiated"
        assert stopped["stoppedReason"] == f"Service web: {MAINTENANCE}"
        assert HOST not in {host_of(task["availabilityZone"]) for task in await services.live()}
        await rig.cell.retiring.settle()
        assert await rig.cell.retiring.by_host() == {}
        await rig.cell.retiring.settle()
        assert not (await rig.stores.cell_store.read("SELECT task FROM retirements"))

    in_cell(body, knobs=QUICK)


def test_a_replacement_takes_the_place_of_its_task_in_its_zone() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        zone = ZONES[2]
        [old] = [task for task in await services.live() if task["availabilityZone"] == zone]
        rig.rules.software = frozenset({("6.1 b", "QEMU 7.2")})
        rig.cell.retiring.heard(facts(id_of(old), host=host_of(zone)))
        await services.until_count(4)
        await services.until_steady()
        assert sorted(task["availabilityZone"] for task in await services.live()) == list(ZONES)
        assert (await rig.described(id_of(old)))["stoppedReason"] == f"Service web: {MAINTENANCE}"

    in_cell(body, knobs=QUICK)


async def looked_at(rig: CellRig) -> None:
    """The service, at the time that it is now."""
    while True:
        try:
            await rig.cell.services.turn(ACCOUNT, CLUSTER, "web")
        except (Refused, Superseded):  # its own loop was faster
            continue
        return


def test_a_protected_task_goes_when_the_wait_of_its_account_is_over_and_not_before() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        [held] = [task for task in await services.live() if host_of(task["availabilityZone"]) == HOST]
        ids = [id_of(held)]
        await rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, ids, enabled=True, expires_in_minutes=2880 * 7)
        await rig.say(HOST, DRAINING)
        await services.until_count(4)
        await services.obey()
        told = await notice(rig, held)
        assert told is not None
        rig.world.ahead_s += 7 * DAY_S - 60
        await looked_at(rig)
        assert not await is_asked_to_stop(rig, held)
        rig.world.ahead_s += 60
        rig.cell.services.task_changed((ACCOUNT, CLUSTER, "web"))  # its own timer is the real world's
        await rig.until(lambda: is_asked_to_stop(rig, held))

    in_cell(body, knobs=QUICK)


def test_a_service_whose_replacement_has_no_room_keeps_its_task_and_says_so() -> None:
    one_each = HostCapacity(cpu_units=256, memory_mib=512, disk_gib=100)

    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()
        rig.rules.waits_s[ACCOUNT] = 0.0
        await rig.say(HOST, DRAINING)

        async def is_told() -> bool:
            return any("unable to place a task" in message for message in await services.messages())

        await rig.until(is_told)
        assert [task["desiredStatus"] for task in await services.live()] == ["RUNNING"] * 3
        assert (await rig.cell.retiring.by_host())[HOST] == {"served": 1, "alone": 0, "next_at": None}
        await rig.say(HOST)
        await services.until_steady()
        assert len(await services.all_tasks()) == 3, "all of them stayed"

    in_cell(body, knobs=QUICK, host=one_each)


def test_a_service_that_may_have_no_more_tasks_goes_down_to_its_minimum() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3, settings=configured(minimumHealthyPercent=50, maximumPercent=100))
        await services.until_steady()
        await rig.say(HOST, DRAINING)
        await services.until_count(3)

        async def is_moved() -> bool:
            await services.obey()
            tasks = await services.live()
            assert sum(task["lastStatus"] == "RUNNING" == task["desiredStatus"] for task in tasks) >= 2
            return HOST not in {host_of(task["availabilityZone"]) for task in tasks}

        await rig.until(is_moved)
        await services.until_steady()

    in_cell(body, knobs=QUICK)
