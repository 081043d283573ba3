"""Faults that last, in the lane of targets: who fails holds up nobody else, is tried again, and is not forgotten."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.cli.stories.service import service_story
from neargate.clusters.services.target_faults import TargetFaults
from neargate.clusters.services.target_rows import UNKNOWN, TargetTask
from neargate.interfaces.balancing import TargetRef
from neargate.interfaces.store import Refused, Row, Statement, Value
from neargate.model.balancing import HEALTHY
from neargate.model.errors import InvalidParameter
from neargate.model.knobs import Knobs
from neargate.scheduling.services.targets import Step
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, behind
from neargate.testing.virtual_time import VirtualWorld

KEY = (ACCOUNT, CLUSTER, "web")
FAULTS = [ValueError("a fault of ours"), InvalidParameter("The target is not to be had.")]


async def of_three_one_is_poisoned(services: ServiceRig, fault: Exception) -> tuple[str, dict[str, Any], TargetRef]:
    """A steady service of three tasks; its group, the task whose target no call can name, and that target."""
    targets = services.rig.targets
    group = targets.make_group()
    await services.create(desired_count=3, template=behind(group))
    await services.until_steady()
    bad, _, _ = await services.live()
    target = services.target(bad, group)
    targets.poisoned[target] = fault
    return group, bad, target


async def is_released(rig: CellRig, task: dict[str, Any]) -> bool:
    [(released,)] = await rig.stores.cell_store.read("SELECT released FROM tasks WHERE id = ?", (id_of(task),))
    return bool(released)


@pytest.mark.parametrize("fault", FAULTS, ids=["a fault of ours", "a refusal"])
def test_a_target_that_cannot_be_deregistered_holds_up_no_other_task_of_its_service(fault: Exception) -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        _, bad, _ = await of_three_one_is_poisoned(services, fault)
        await services.update(desired_count=0)

        async def others_ended() -> bool:
            await services.obey()
            return [id_of(task) for task in await services.live()] == [id_of(bad)]

        await rig.until(others_ended)
        assert not await services.is_told_to_stop(bad)  # it is a target still

    in_cell(body, knobs=replace(QUICK, service_deregister_wait_s=600.0))


@pytest.mark.parametrize("fault", FAULTS, ids=["a fault of ours", "a refusal"])
def test_its_stop_waits_its_time_and_its_deregistration_is_done_when_it_can_be(fault: Exception) -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        _, bad, target = await of_three_one_is_poisoned(services, fault)
        await services.update(desired_count=0)
        await services.until_steady()  # all of them have stopped
        assert rig.targets.registered == {target}

        async def others_are_released() -> bool:
            left = [task for task in await services.all_tasks() if not await is_released(rig, task)]
            return [id_of(task) for task in left] == [id_of(bad)]

        await rig.until(others_are_released)  # its address may yet be a target: nobody else gets it
        rig.targets.poisoned.clear()
        await rig.until(lambda: is_released(rig, bad))
        assert rig.targets.registered == set()

    in_cell(body, knobs=QUICK)


@pytest.mark.parametrize(
    ("fault", "error", "shown"),
    [
        (FAULTS[0], "Internal error", "ValueError: a fault of ours"),
        (FAULTS[1], "The target is not to be had", "InvalidParameter: The target is not to be had."),
    ],
)
def test_what_fails_again_and_again_is_told_once_and_explained(fault: Exception, error: str, shown: str) -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        group, bad, _ = await of_three_one_is_poisoned(services, fault)
        await services.update(desired_count=2)
        await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(bad), None)

        async def was_tried(times: int) -> bool:
            facts = await rig.cell.services.explain_service("web")
            return any(one["times"] >= times for one in facts["target_faults"])

        await rig.until(lambda: was_tried(6))
        said = f"(service web) failed to deregister targets in (target-group {group}) with (error {error})"
        assert (await services.messages()).count(said) == 1
        facts = await rig.cell.services.explain_service("web")
        story = "\n".join(service_story(facts, rig.world.now()))
        assert f"1 tasks cannot be deregistered from target group web ({shown}), tried " in story
        rig.targets.poisoned.clear()

        async def is_over() -> bool:
            await services.obey()
            return not (await rig.cell.services.explain_service("web"))["target_faults"]

        await rig.until(is_over)

    in_cell(body, knobs=QUICK)


def test_a_target_that_cannot_be_registered_keeps_no_other_task_from_running() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        group = targets.make_group()
        await services.create(desired_count=3, template=behind(group))
        bad, *others = await services.until_count(3)
        await services.report(bad, "PENDING")
        bad = await rig.described(id_of(bad))
        targets.poisoned[services.target(bad, group)] = ValueError("a fault of ours")

        async def run(tasks: Sequence[dict[str, Any]]) -> list[str]:
            for task in tasks:
                await services.run(task)
            return [(await rig.described(id_of(task)))["lastStatus"] for task in (bad, *others)]

        async def others_run() -> bool:
            return await run([bad, *others]) == ["ACTIVATING", "RUNNING", "RUNNING"]

        await rig.until(others_run)
        said = f"(service web) failed to register targets in (target-group {group}) with (error Internal error)"

        async def is_said() -> bool:
            return said in await services.messages()

        await rig.until(is_said)
        targets.poisoned.clear()
        await services.until_steady()

    in_cell(body, knobs=QUICK)


def test_a_target_of_which_nothing_can_be_found_out_keeps_no_other_from_being_healthy_or_from_its_end() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        targets.is_eager = False
        group = targets.make_group()
        await services.create(desired_count=2, template=behind(group))
        for task in await services.until_count(2):
            await services.run(task)

        async def are_targets() -> bool:
            return len(targets.registered) == 2

        await rig.until(are_targets)
        bad, good = await services.live()
        targets.unreadable[services.target(bad, group)] = ValueError("a fault of ours")
        targets.say(services.target(good, group), HEALTHY)

        async def only_bad_waits() -> bool:
            waits = (await rig.cell.services.explain_service("web"))["targets"]
            return [one["task"] for one in waits] == [id_of(bad)]

        await rig.until(only_bad_waits)
        await services.update(desired_count=0)

        async def both_drain() -> bool:
            return len(targets.draining) == 2

        await rig.until(both_drain)
        targets.let_drain()

        async def good_ended() -> bool:
            await services.obey()
            return id_of(good) not in [id_of(task) for task in await services.live()]

        await rig.until(good_ended)
        await services.until_steady()  # the other, too, in the end

    in_cell(body, knobs=QUICK)


def test_a_target_that_stands_as_before_a_fault_is_at_fault_no_more_and_is_not_looked_at_without_an_end() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        group = targets.make_group()
        await services.create(desired_count=1, template=behind(group))
        await services.until_steady()
        [task] = await services.live()
        targets.is_eager = False  # it will drain
        lane, asked = rig.cell.services._lane, list[str]()
        turn = lane.turn

        async def counted(key: tuple[str, str, str]) -> float | None:
            asked.append(key[2])
            return await turn(key)

        lane.turn = counted  # type: ignore[method-assign]

        async def faults() -> int:
            return len((await rig.cell.services.explain_service("web"))["target_faults"])

        async def fails() -> bool:
            return await faults() == 1

        async def is_well() -> bool:
            assert len(asked) < 100
            return await faults() == 0

        for _ in range(2):  # while it runs, and while it drains
            targets.unreadable[services.target(task, group)] = ValueError("a fault of ours")
            targets.use_group(group, is_used=True)
            await rig.until(fails)
            targets.unreadable.clear()
            await rig.until(is_well)
            await services.update(desired_count=0)

            async def drains() -> bool:
                return bool(targets.draining)

            await rig.until(drains)
        assert targets.draining and not await services.is_told_to_stop(task)

    in_cell(body, knobs=QUICK)


def test_stops_of_a_service_whose_rows_cannot_be_read_go_on_in_the_end_and_others_at_once() -> None:
    async def body(rig: CellRig) -> None:
        services, store = ServiceRig(rig), rig.stores.cell_store
        group = rig.targets.make_group()
        for name in ("web", "other"):
            await services.create(name, desired_count=1, template=behind(group))
            await services.until_steady(name)
        [task], [of_other] = await services.live(), await services.live("other")
        await store.write([Statement("UPDATE service_tasks SET target = ? WHERE task = ?", (b"{", id_of(task)))])
        for one in (task, of_other):
            await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(one), None)

        async def is_told(one: dict[str, Any]) -> bool:
            return await services.is_told_to_stop(one)

        await rig.until(lambda: is_told(of_other))
        await rig.until(lambda: is_told(task))
        await services.report(task, "STOPPED")
        assert services.target(task, group) in rig.targets.registered
        await store.write([Statement("UPDATE service_tasks SET target = NULL WHERE task = ?", (id_of(task),))])
        await rig.until(lambda: is_released(rig, task))
        assert services.target(task, group) not in rig.targets.registered

    in_cell(body, knobs=QUICK)


def test_a_fault_in_finding_whose_targets_have_changed_ends_nothing() -> None:
    """What escapes from that loop would end the process."""

    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        targets.is_eager = False
        group = targets.make_group()
        await services.create(desired_count=1, template=behind(group))
        [task] = await services.until_count(1)
        died: list[str] = []
        rig.world.die = lambda reason: died.append(reason)  # type: ignore[method-assign]
        store, asked = rig.stores.cell_store, []
        read = store.read

        async def fail(sql: str, params: Sequence[Value] = ()) -> list[Row]:
            if "x.grp IN" not in sql:
                return await read(sql, params)
            asked.append(sql)
            raise ValueError("a fault of ours")

        async def in_vain() -> bool:
            return bool(died) or len(asked) > 2

        store.read = fail  # type: ignore[method-assign]
        targets.use_group(group, is_used=True)
        await rig.until(in_vain)
        store.read = read  # type: ignore[method-assign]
        assert died == []
        targets.is_eager = True
        await services.until_steady()
        assert (await rig.described(id_of(task)))["lastStatus"] == "RUNNING"

    in_cell(body, knobs=QUICK)


TASK = TargetTask(
    task_id="1" * 32,
    last_status="RUNNING",
    desired_status="STOPPED",
    stop_code="UserInitiated",
    started_at=1.0,
    host="host-1",
    service=1,
    name="web",
    deployment_id="ecs-svc/1",
    verdict=UNKNOWN,
    targets=(TargetRef(group="arn:aws:x:targetgroup/web/1", ip="10.0.0.4", port=80),),
)


class StillWorld(VirtualWorld):
    """Where no time passes."""

    def monotonic(self) -> float:
        return 0.0


def pauses(error: Exception, count: int) -> list[float]:
    """Seconds to the next attempt, after each of so many failures in a row."""
    faults, found = TargetFaults(StillWorld(), Knobs()), []
    for _ in range(count):
        faults.failed(KEY, TASK, Step.DRAIN, error)
        found.append(faults.wake_in_s(KEY) or 0.0)
    return found


def test_what_fails_is_tried_more_and_more_seldom_up_to_a_bound() -> None:
    assert pauses(ValueError(), 7) == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    assert pauses(ValueError(), 5000)[-1] == 15.0


def test_who_was_overtaken_is_tried_at_once_but_not_for_ever() -> None:
    found = pauses(Refused("rev", 0), 20)
    assert found[:8] == [0.0] * 8
    assert found[-1] == 15.0


def test_a_task_that_is_asked_to_stop_does_not_wait_for_its_next_registration_and_begins_to_count_anew() -> None:
    world = StillWorld()
    faults = TargetFaults(world, replace(Knobs(), service_deregister_wait_s=0.0))
    wanted = replace(TASK, desired_status="RUNNING", last_status="ACTIVATING")
    for _ in range(9):
        faults.failed(KEY, wanted, Step.REGISTER, ValueError())
    assert faults.ready(KEY, [wanted]) == []
    assert faults.ready(KEY, [TASK]) == [TASK]
    assert faults.overdue(KEY, [TASK]) == []
    assert faults.failed(KEY, TASK, Step.DRAIN, ValueError()).count == 1
    assert faults.overdue(KEY, [TASK]) == [TASK]


def test_what_is_a_target_no_more_is_forgotten() -> None:
    faults = TargetFaults(StillWorld(), Knobs())
    faults.failed(KEY, TASK, Step.LEAVE, ValueError())
    assert [one["times"] for one in faults.shown(KEY)] == [1]
    assert faults.ready(KEY, []) == []
    assert (faults.shown(KEY), faults.wake_in_s(KEY)) == ([], None)
