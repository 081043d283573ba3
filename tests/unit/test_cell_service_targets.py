"""A service behind a load balancer, in a cell: who is a target when, what is waited for, and what is said of it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from neargate.clusters.task_table import rows_by_id
from neargate.interfaces.services import RevisionTemplate
from neargate.interfaces.store import Overloaded, Row, Value
from neargate.model.balancing import HEALTHY, INITIAL, UNHEALTHY, UNUSED
from neargate.model.capacity import HostCapacity
from neargate.model.errors import ServiceUnavailable
from neargate.scheduling.strategy import StrategyItem
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell, subnet
from neargate.testing.fake_targets import FakeTargets
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, behind, configured, definition

OTHER_ZONE = "Target is in an Availability Zone that is not enabled for the load balancer"


def slow(rig: CellRig) -> FakeTargets:
    """Load balancers that take their time."""
    rig.targets.is_eager = False
    return rig.targets


async def until_status(services: ServiceRig, task: dict[str, Any], status: str) -> dict[str, Any]:
    async def holds() -> bool:
        return bool((await services.rig.described(id_of(task)))["lastStatus"] == status)

    await services.rig.until(holds)
    return await services.rig.described(id_of(task))


async def one_running(services: ServiceRig, template: RevisionTemplate, **wanted: Any) -> dict[str, Any]:
    """A new service's only task, once its containers run and it is a target."""
    await services.create(desired_count=1, template=template, **wanted)
    [task] = await services.until_count(1)
    await services.run(task)
    return await until_status(services, task, "RUNNING")


async def until_said(services: ServiceRig, end: str) -> str:
    """The event that ends so."""

    async def holds() -> bool:
        return any(message.endswith(end) for message in await services.messages())

    await services.rig.until(holds)
    return next(message for message in await services.messages() if message.endswith(end))


async def until_health(services: ServiceRig, state: str, count: int = 1) -> None:
    async def holds() -> bool:
        waits = (await services.rig.cell.services.explain_service("web"))["targets"]
        return [one["state"] for one in waits] == [state] * count

    await services.rig.until(holds)


def test_a_task_is_running_when_it_is_a_target_and_the_service_steady_when_that_is_healthy() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        await services.create(desired_count=1, template=behind(group))
        [task] = await services.until_count(1)
        await services.report(task, "PENDING")
        assert targets.registered == set()
        await services.run(task)
        task = await until_status(services, task, "RUNNING")
        assert targets.registered == {services.target(task, group)}
        assert task["startedAt"] >= task["createdAt"]
        await until_health(services, "INITIAL")
        assert not (await rig.cell.services.explain_service("web"))["is_steady"]
        targets.say(services.target(task, group), HEALTHY)
        await services.until_steady()
        [deployment] = (await services.shown())["deployments"]
        assert (await services.messages())[1:] == [
            f"(service web) registered 1 targets in (target-group {group})",
            f"(service web) (deployment {deployment['id']}) deployment completed.",
            "(service web) has reached a steady state.",
        ]

    in_cell(body, knobs=QUICK)


def test_no_host_makes_a_task_running_that_is_no_target_yet() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        targets.fails = ServiceUnavailable()
        await services.create(desired_count=1, template=behind(targets.make_group()))
        [task] = await services.until_count(1)
        for _ in range(3):
            await services.run(task)
            shown = await rig.described(id_of(task))
            assert (shown["lastStatus"], "startedAt" in shown) == ("ACTIVATING", False)
        targets.fails = None
        await until_status(services, task, "RUNNING")

    in_cell(body, knobs=QUICK)


def test_a_task_that_goes_is_no_target_before_its_host_is_told_to_stop_it() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        task = await one_running(services, behind(group))
        target = services.target(task, group)
        targets.say(target, HEALTHY)
        shown = await services.until_steady()
        await services.update(desired_count=0)
        task = await until_status(services, task, "DEACTIVATING")
        assert (targets.draining, task["desiredStatus"]) == ({target}, "STOPPED")
        await until_health(services, "DRAINING")
        for _ in range(3):
            await services.report(task, "RUNNING")  # what its host still says
            assert not await services.is_told_to_stop(task)
        targets.let_drain()

        async def is_told() -> bool:
            return await services.is_told_to_stop(task)

        await rig.until(is_told)
        await services.until_steady()
        assert await services.live() == []
        assert (await services.messages())[-4:] == [
            f"(service web) has stopped 1 running tasks: (task {id_of(task)}).",
            f"(service web) deregistered 1 targets in (target-group {group})",
            f"(service web, taskSet {shown['deployments'][0]['id']}) has begun draining connections on 1 tasks.",
            "(service web) has reached a steady state.",
        ]

    in_cell(body, knobs=QUICK)


def test_a_task_that_a_user_stops_drains_too() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        task = await one_running(services, behind(group))
        await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(task), None)
        await until_status(services, task, "DEACTIVATING")
        assert targets.draining == {services.target(task, group)}
        assert not await services.is_told_to_stop(task)

    in_cell(body, knobs=QUICK)


def test_when_the_region_goes_down_no_task_waits_for_its_clients() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        await services.create(desired_count=2, template=behind(targets.make_group()))
        for task in await services.until_count(2):
            await services.run(task)
            await until_status(services, task, "RUNNING")

        async def none_left() -> bool:
            left = await rig.cell.operator.stop_all("The region is going down.")
            await services.obey()
            return left == 0

        await rig.until(none_left)

    in_cell(body, knobs=QUICK)


@pytest.mark.parametrize("code", ["SpotInterruption", "EssentialContainerExited"])
def test_who_must_go_at_once_is_no_target_and_waits_for_nobody(code: str) -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        task = await one_running(services, behind(group))
        if code == "SpotInterruption":
            await rig.cell.spot.reclaim([id_of(task)])

            async def is_told() -> bool:
                return await services.is_told_to_stop(task)

            await rig.until(is_told)
        else:
            await services.report(task, "STOPPING", stop_code=code, stopped_reason="it ended")

        async def is_no_target() -> bool:
            return services.target(task, group) not in targets.registered

        await rig.until(is_no_target)

    in_cell(body, knobs=QUICK)


def test_on_demand_that_takes_the_room_of_a_spot_task_does_not_wait_for_its_clients() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        providers = {"capacityProviders": ["FARGATE", "FARGATE_SPOT"], "defaultCapacityProviderStrategy": []}
        await rig.cell.put_cluster_providers(ACCOUNT, CLUSTER, providers)
        spot = (StrategyItem(provider="FARGATE_SPOT", base=0, weight=1),)
        made = replace(behind(targets.make_group()), launch_type=None, strategy=spot)
        await services.create(desired_count=1, template=made)
        [task] = await services.until_count(1)
        await services.run(task)
        await until_status(services, task, "RUNNING")
        await services.update(desired_count=0)
        await until_status(services, task, "DEACTIVATING")
        assert not await services.is_told_to_stop(task)
        [mine] = await rig.run(subnets=(subnet(task["availabilityZone"]),))
        assert (await rig.cell.explain_task(id_of(mine)))["waits_for"] == [id_of(task)]

        async def is_told() -> bool:
            return await services.is_told_to_stop(task)

        await rig.until(is_told)

    in_cell(body, knobs=QUICK, host=HostCapacity(cpu_units=256, memory_mib=512, disk_gib=100))


def test_a_target_that_fails_its_checks_is_replaced_and_the_reason_is_told() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        task = await one_running(services, behind(group))
        targets.say(services.target(task, group), HEALTHY)
        await services.until_steady()
        why = "Health checks failed with these codes: [500]"
        targets.say(services.target(task, group), UNHEALTHY, "Target.ResponseCodeMismatch", why)
        _, new = await services.until_count(2)
        assert (await rig.described(id_of(task)))["desiredStatus"] == "RUNNING"  # until the new one is healthy
        await services.run(new)
        new = await until_status(services, new, "RUNNING")
        targets.say(services.target(new, group), HEALTHY)
        task = await until_status(services, task, "DEACTIVATING")
        assert task["stoppedReason"] == f"Task failed ELB health checks in (target-group {group})"
        where = f"(service web) (task {id_of(task)}) (port 80) is unhealthy in (target-group {group})"
        said = f"{where} due to (reason {why})."
        assert said in await services.messages()

    in_cell(body, knobs=QUICK)


def test_a_target_in_a_zone_that_the_load_balancer_lacks_is_unhealthy_and_the_deployment_fails() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        broken = configured(deploymentCircuitBreaker={"enable": True, "rollback": False}, minimumHealthyPercent=0)
        await services.create(desired_count=1, template=behind(group), settings=broken)

        async def has_failed() -> bool:
            await services.obey()
            for target in targets.registered:
                targets.say(target, UNUSED, "Target.NotInUse", OTHER_ZONE)
            targets.let_drain()
            return bool((await services.shown())["deployments"][0]["rolloutState"] == "FAILED")

        await rig.until(has_failed)
        assert await until_said(services, f"due to (reason {OTHER_ZONE}).")

    in_cell(body, knobs=QUICK)


def test_within_the_grace_period_an_unhealthy_target_is_no_reason() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        settings = {**configured(), "healthCheckGracePeriodSeconds": 600}
        task = await one_running(services, behind(group), settings=settings)
        targets.say(services.target(task, group), UNHEALTHY, "Target.Timeout", "Request timed out")
        await until_health(services, "UNHEALTHY")

        async def waits() -> bool:
            return bool(((await rig.cell.services.explain_service("web"))["looked_at_in_s"] or 0.0) > 500.0)

        await rig.until(waits)
        assert len(await services.live()) == 1
        rig.world.ahead_s = 601.0
        await services.update(desired_count=1)
        await services.until_count(2)

    in_cell(body, knobs=QUICK)


def test_with_several_groups_all_of_a_task_s_targets_must_be_healthy() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        one, two = targets.make_group("one"), targets.make_group("two")
        task = await one_running(services, behind(one, two))
        assert targets.registered == {services.target(task, one), services.target(task, two)}
        targets.say(services.target(task, one), HEALTHY)
        [waits] = (await rig.cell.services.explain_service("web"))["targets"]
        assert waits["state"] == "INITIAL"
        targets.say(services.target(task, two), HEALTHY)
        await services.until_steady()

    in_cell(body, knobs=QUICK)


def test_a_deployment_behind_other_groups_takes_the_place_of_one_behind_none() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        await services.create(desired_count=2)
        await services.until_steady()
        group = targets.make_group()
        await services.update(shown=behind(group).shown)
        steady = await services.until_steady()
        assert [one["targetGroupArn"] for one in steady["loadBalancers"]] == [group]
        assert {target.group for target in targets.registered} == {group}
        other = targets.make_group("other")
        await services.update(shown=behind(other).shown)
        await services.until_steady()
        assert {target.group for target in targets.registered} == {other}
        assert len(targets.registered) == 2

    in_cell(body, knobs=QUICK)


def test_a_group_that_is_gone_fails_the_tasks_that_it_was_for_and_is_told() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        group = targets.make_group()
        broken = configured(deploymentCircuitBreaker={"enable": True, "rollback": True})
        await services.create(desired_count=1, template=behind(group), settings=broken)
        await services.until_steady()
        [good] = await services.live()
        lost = targets.make_group("lost")
        targets.delete_group(lost)
        await services.update(definition=definition(2), shown=behind(lost).shown)
        error = "(error One or more target groups not found)"
        said = f"(service web) failed to register targets in (target-group {lost}) with {error}"

        async def is_back() -> bool:
            await services.obey()
            shown = await services.shown()
            return bool(shown["taskDefinition"].endswith(":1") and said in await services.messages())

        await rig.until(is_back)
        await services.until_steady()
        assert [id_of(task) for task in await services.live()] == [id_of(good)]
        assert {target.group for target in targets.registered} == {group}

    in_cell(body, knobs=QUICK)


def test_tasks_that_cannot_be_registered_are_started_anew_after_waits_that_grow() -> None:
    """A group that goes while the service stands: more tasks, or a deployment, find it gone."""

    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        group = targets.make_group()
        await services.create(desired_count=1, template=behind(group))
        await services.until_steady()
        targets.delete_group(group)
        await services.update(desired_count=2)
        deadline = rig.world.monotonic() + 1.0
        while rig.world.monotonic() < deadline:
            await services.obey()
            await rig.world.sleep(0.002)
        assert len(await services.all_tasks()) <= 4  # what there was, and a first, a second, perhaps a third attempt

    in_cell(body, knobs=replace(QUICK, service_back_off_first_s=0.3, service_back_off_max_s=60.0))


def test_targets_that_nothing_uses_are_waited_for_and_the_service_says_so_once() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        group = targets.make_group()
        await services.create(desired_count=2, template=behind(group))
        await services.until_steady()
        targets.use_group(group, is_used=False)
        await until_health(services, "UNUSED", 2)
        end = "due to (reason Target group is not configured to receive traffic from the load balancer)."
        await until_said(services, end)
        assert sum(message.endswith(end) for message in await services.messages()) == 1
        assert len(await services.all_tasks()) == 2  # none of them is replaced for it
        targets.use_group(group, is_used=True)
        await services.until_steady()

    in_cell(body, knobs=QUICK)


def test_what_was_healthy_before_the_region_began_again_is_healthy_until_it_is_said_otherwise() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        task = await one_running(services, behind(group))
        targets.say(services.target(task, group), HEALTHY)
        await services.until_steady()
        before = await services.messages()
        await rig.reopen()
        assert targets.state(ACCOUNT, services.target(task, group)).state == INITIAL
        await services.update(desired_count=1)
        await services.until_steady()
        assert await services.messages() == [*before, "(service web) has reached a steady state."]
        targets.say(services.target(task, group), UNHEALTHY, "Target.Timeout", "Request timed out")
        await services.until_count(2)

    in_cell(body, knobs=QUICK)


def test_a_stop_does_not_wait_for_ever_for_a_region_that_takes_no_target_back() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        group = targets.make_group()
        await services.create(desired_count=1, template=behind(group))
        await services.until_steady()
        [task] = await services.live()
        targets.fails = ServiceUnavailable()
        await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(task), None)

        async def is_told() -> bool:
            return await services.is_told_to_stop(task)

        await rig.until(is_told)
        await services.report(task, "STOPPED")
        [other] = await rig.run(subnets=(subnet(task["availabilityZone"]),))
        await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(other), None)
        await rig.report(other, "STOPPED", 1)

        async def is_released(of: dict[str, Any]) -> bool:
            sql = "SELECT released FROM tasks WHERE id = ?"
            return bool((await rig.stores.cell_store.read(sql, (id_of(of),)))[0][0])

        await rig.until(lambda: is_released(other))
        assert not await is_released(task)  # its address may yet be a target: nobody else gets it
        targets.fails = None
        await rig.until(lambda: is_released(task))
        await services.until_steady()
        assert services.target(task, group) not in targets.registered

    in_cell(body, knobs=QUICK)


def test_a_cell_that_has_too_much_to_do_looks_at_targets_later() -> None:
    """What escapes from these loops would end the process."""

    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        group = targets.make_group()
        task = await one_running(services, behind(group))
        died: list[str] = []
        rig.world.die = died.append  # type: ignore[method-assign]
        store, asked = rig.stores.cell_store, Counter[str]()
        read = store.read

        async def refuse(sql: str, params: Sequence[Value] = ()) -> list[Row]:
            if "task_targets x" not in sql:
                return await read(sql, params)
            asked["of a group" if "x.grp IN" in sql else "of a service"] += 1
            raise Overloaded

        async def in_vain() -> bool:
            return bool(died) or (asked["of a group"] > 1 and asked["of a service"] > 20)

        store.read = refuse  # type: ignore[method-assign]
        targets.say(services.target(task, group), HEALTHY)
        await services.report(task, "RUNNING")
        rig.cell.services.tasks_changed([*(await rows_by_id(store, [id_of(task)])).values()])
        await rig.until(in_vain)
        store.read = read  # type: ignore[method-assign]
        await services.until_steady()
        assert died == []

    in_cell(body, knobs=QUICK)


def test_what_drains_for_longer_than_any_delay_is_signalled_all_the_same() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        await services.create(desired_count=1, template=behind(targets.make_group()))
        [task] = await services.until_count(1)
        await services.run(task)
        await until_status(services, task, "RUNNING")
        await services.update(desired_count=0)

        async def is_told() -> bool:
            return await services.is_told_to_stop(task)

        await rig.until(is_told)

    in_cell(body, knobs=replace(QUICK, service_drain_max_s=0.05))


def test_a_task_that_is_stopped_before_it_was_a_target_never_was_running() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), slow(rig)
        targets.fails = ServiceUnavailable()
        await services.create(desired_count=1, template=behind(targets.make_group()))
        [task] = await services.until_count(1)
        ahead = rig.world.now() + 9.0  # by the clock of its host
        await services.report(task, "RUNNING", started_at=ahead, pull_started_at=ahead, pull_stopped_at=ahead)
        await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(task), None)
        targets.fails = None
        await until_status(services, task, "DEACTIVATING")
        await services.report(task, "STOPPED", started_at=ahead)
        over = await rig.described(id_of(task))
        assert (over["lastStatus"], "startedAt" in over) == ("STOPPED", False)

    in_cell(body, knobs=QUICK)
