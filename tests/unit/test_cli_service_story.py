"""`neargate why SERVICE`: what a service waits for, as its reader sees it, from what a cell explains."""

from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from neargate.cli.stories.service import service_story
from neargate.model.balancing import HEALTHY, UNHEALTHY
from neargate.model.capacity import HostCapacity
from neargate.testing.cell_rig import ACCOUNT, CellRig, id_of, in_cell, running
from neargate.testing.service_rig import CLUSTER, QUICK, SETTINGS, ServiceRig, behind

ROOM_FOR_ONE = HostCapacity(cpu_units=256, memory_mib=512, disk_gib=100)


async def told(rig: CellRig) -> str:
    facts: dict[str, Any] = await rig.cell.services.explain_service("web")
    return "\n".join(service_story(facts, rig.world.now()))


def test_a_service_says_in_each_of_its_states_what_it_waits_for() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        await services.until_count(2)
        text = await told(rig)
        assert text.startswith(
            "service web of cluster default: ACTIVE, wants 2, runs 0, 2 on their way.\n  PRIMARY ecs-svc/"
        )
        assert "web:1: IN_PROGRESS, 0 of 2 run" in text
        assert "2 tasks are on their way to run." in text
        await services.until_steady()
        assert "It is steady: it waits for nothing." in await told(rig)
        await services.roll()
        await services.until_count(3)
        assert "2 tasks of earlier deployments run until the newest one has what it needs." in await told(rig)
        facts: dict[str, Any] = await rig.cell.services.explain_service("web")
        facts["service"]["deployments"][1]["runningCount"] = 0
        text = "\n".join(service_story(facts, rig.world.now()))
        assert "No task of earlier deployments runs any more; they go when the last of theirs have stopped." in text
        await services.delete()
        assert "It was deleted, and waits for the end of its last 2 tasks." in await told(rig)
        await services.until_status("INACTIVE")
        assert "It was deleted and is over." in await told(rig)

    in_cell(body, knobs=QUICK, host=ROOM_FOR_ONE)


def test_a_service_without_room_says_so() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=4)

        async def failed() -> bool:
            return "No place was found for a task, " in await told(rig)

        await rig.until(failed)
        assert "last event: (service web) was unable to place a task." in await told(rig)

    in_cell(body, knobs=QUICK, host=ROOM_FOR_ONE)


def test_a_deployment_that_failed_for_good_is_not_waited_for() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        facts: dict[str, Any] = await rig.cell.services.explain_service("web")
        reason = "ECS deployment circuit breaker: tasks failed to start."
        facts["service"]["deployments"][0] |= {"rolloutState": "FAILED", "rolloutStateReason": reason}
        text = "\n".join(service_story(facts, rig.world.now()))
        assert f"Its newest deployment is over: {reason} It starts no more tasks" in text
        assert "next attempt" not in text and "on their way to run" not in text

    in_cell(body, knobs=QUICK)


def test_a_service_behind_load_balancers_says_which_targets_it_waits_for_and_why() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        targets.is_eager = False
        group = targets.make_group("shop")
        await services.create(desired_count=2, template=behind(group))
        tasks = await services.until_count(2)

        async def says(sentence: str) -> None:
            async def holds() -> bool:
                return sentence in await told(rig)

            await rig.until(holds)

        for task in tasks:
            await services.run(task)
        await says("2 tasks wait for target group shop, where they are initial: Initial health checks in progress.")
        for target in targets.registered:
            targets.say(target, HEALTHY)
        await says("It is steady: it waits for nothing.")
        await services.delete()
        await says("2 tasks are no targets of shop any more, and wait until nothing of their clients is under way.")

    in_cell(body, knobs=QUICK)


def test_protected_tasks_in_the_way_are_said_with_the_time_of_their_protections_end() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        await services.until_steady()
        tasks = [id_of(task) for task in await services.live()]
        await rig.cell.services.protect_tasks(ACCOUNT, CLUSTER, tasks, enabled=True, expires_in_minutes=10)
        at = rig.world.now() + 600.0
        await services.update(desired_count=0)

        async def says() -> bool:
            return "2 tasks would stop, but are protected from scale-in and deployments" in await told(rig)

        await rig.until(says)
        text = await told(rig)
        moments = [datetime.fromtimestamp(at - early, UTC).strftime("until %H:%M:%S UTC") for early in range(60)]
        assert any(moment in text for moment in moments)
        assert "count as healthy" not in text

    in_cell(body, knobs=QUICK)


def test_limits_that_leave_no_way_are_said() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        limits = {"minimumHealthyPercent": 100, "maximumPercent": 125}
        configuration = {**SETTINGS["deploymentConfiguration"], **limits}
        await services.create(desired_count=3, settings={**SETTINGS, "deploymentConfiguration": configuration})
        await services.until_steady()
        await services.roll()

        async def says() -> bool:
            return "minimumHealthyPercent and maximumPercent leave no way" in await told(rig)

        await rig.until(says)

    in_cell(body, knobs=QUICK)


def test_a_task_that_ran_and_ended_says_when_the_next_attempt_is() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        [task] = await services.until_count(1)
        await services.run(task)
        await services.end(task)

        async def says() -> bool:
            text = await told(rig)
            return "ran and ended before it was healthy; the next attempt is in " in text and "count as" not in text

        await rig.until(says)

    in_cell(body, knobs=replace(QUICK, service_healthy_after_s=40.0, service_back_off_first_s=300.0))


def test_tasks_that_run_and_do_not_count_yet_are_said_with_the_rule() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        [task] = await services.until_count(1)
        await services.run(task)
        assert "1 tasks run and do not count as healthy yet" in await told(rig)
        assert "40 s after it is RUNNING" in await told(rig)

    in_cell(body, knobs=replace(QUICK, service_healthy_after_s=40.0))


def test_the_last_task_that_ended_by_itself_is_quoted_with_its_containers_end() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        tasks = await services.until_count(2)
        assert "last stopped task" not in await told(rig)
        for task in tasks:
            await services.run(task)
        ended = replace(running("web"), known_status="STOPPED", exit_code=3, reason="it fell over")
        await services.end(tasks[0], containers=(ended,))
        text = await told(rig)
        assert f"last stopped task: {id_of(tasks[0])} 0 s ago, EssentialContainerExited: it ended\n" in text
        assert "\n  web: exit code 3, it fell over\n" in text
        assert f"\n  all of it: neargate why {id_of(tasks[0])[:8]}\n" in text
        await services.until_steady()
        await services.update(desired_count=1)
        await services.until_steady()
        assert f"last stopped task: {id_of(tasks[0])}" in await told(rig), "what scaling stopped says nothing"

    in_cell(body, knobs=QUICK)


def test_tasks_that_cannot_start_say_when_the_next_attempt_is() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        [task] = await services.until_count(1)
        await services.end(task, "TaskFailedToStart")

        async def waits() -> bool:
            facts: dict[str, Any] = await rig.cell.services.explain_service("web")
            return bool(facts["start_failures"])

        await rig.until(waits)
        facts: dict[str, Any] = await rig.cell.services.explain_service("web")
        [failures] = facts["start_failures"].values()
        at = failures["retry_at"]
        text = "\n".join(service_story(facts, at - 65.0))
        moment = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
        assert f"could not start, 1 times in a row; the next attempt is in 65 s, at {moment}." in text
        assert f"last stopped task: {id_of(task)}" in text and "TaskFailedToStart: it ended" in text

    in_cell(body, knobs=replace(QUICK, service_back_off_first_s=300.0, service_back_off_max_s=300.0))


def test_targets_that_are_not_healthy_are_named_by_their_addresses() -> None:
    async def body(rig: CellRig) -> None:
        services, targets = ServiceRig(rig), rig.targets
        targets.is_eager = False
        group = targets.make_group("shop")
        await services.create(desired_count=1, template=behind(group))
        [task] = await services.until_count(1)
        await services.run(task)
        address = services.target(await rig.described(id_of(task)), group).ip
        reason = "Health checks failed with [404]"

        async def holds() -> bool:
            for target in targets.registered:
                targets.say(target, UNHEALTHY, "Target.ResponseCodeMismatch", reason)
            named = f"{address}:80 of task {id_of(task)[:8]}"
            return f"where they are unhealthy ({named}): {reason}." in await told(rig)

        await rig.until(holds)

    in_cell(body, knobs=QUICK)
