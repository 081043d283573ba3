"""A service in a cell: it reaches its desired count, keeps it, rolls, scales and ends; and what is shown of it."""

import pytest
from msgspec.structs import replace

from neargate.interfaces.services import ServiceFilter
from neargate.model.errors import InvalidParameter, ServiceNotFound
from neargate.testing.cell_rig import ACCOUNT, REGION, CellRig, id_of, in_cell, parsed
from neargate.testing.service_rig import CLUSTER, QUICK, ServiceRig, new_service


def test_a_service_comes_to_its_desired_count_and_says_that_it_is_steady() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        made = await services.create(desired_count=3)
        assert (made["status"], made["desiredCount"], made["runningCount"]) == ("ACTIVE", 3, 0)
        tasks = await services.until_count(3)
        assert sorted(task["availabilityZone"][-1] for task in tasks) == ["a", "b", "c"]
        assert {task["group"] for task in tasks} == {"service:web"}
        assert {task["startedBy"] for task in tasks} == {made["deployments"][0]["id"]}
        steady = await services.until_steady()
        [deployment] = steady["deployments"]
        assert (deployment["rolloutState"], deployment["runningCount"], deployment["status"]) == (
            "COMPLETED",
            3,
            "PRIMARY",
        )
        first, *rest = await services.messages()
        assert first.startswith("(service web) has started 3 tasks: (task ")
        assert rest == [
            f"(service web) (deployment {deployment['id']}) deployment completed.",
            "(service web) has reached a steady state.",
        ]

    in_cell(body, knobs=QUICK)


def test_a_task_that_ends_is_replaced_and_nothing_else_is_touched() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        await services.until_steady()
        first, second = await services.live()
        await services.end(first)
        await services.until_steady()
        now = [id_of(task) for task in await services.live()]
        assert id_of(second) in now
        assert id_of(first) not in now
        assert len(now) == 2

    in_cell(body, knobs=QUICK)


def test_a_stopped_task_of_a_service_is_replaced() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        await services.until_steady()
        [task] = await services.live()
        await rig.cell.stop_task(ACCOUNT, CLUSTER, id_of(task), "mine")
        await services.until_count(2)
        await services.until_steady()
        assert (await rig.described(id_of(task)))["stoppedReason"] == "mine"

    in_cell(body, knobs=QUICK)


def test_a_new_revision_replaces_the_old_one_and_nothing_runs_beyond_the_maximum() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        await services.until_steady()
        rolled = await services.roll()
        assert [deployment["status"] for deployment in rolled["deployments"]] == ["PRIMARY", "ACTIVE"]
        await services.until_count(4)
        steady = await services.until_steady()
        assert steady["taskDefinition"].endswith("web:2")
        assert {task["taskDefinitionArn"][-2:] for task in await services.live()} == {":2"}
        old = [task for task in await services.all_tasks() if task["taskDefinitionArn"].endswith(":1")]
        assert {task["stopCode"] for task in old} == {"ServiceSchedulerInitiated"}
        assert len(await services.all_tasks()) == 4

    in_cell(body, knobs=QUICK)


def test_a_service_scales_in_and_out() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=6)
        await services.until_steady()
        await services.update(desired_count=3)
        await services.until_steady()
        assert sorted(task["availabilityZone"][-1] for task in await services.live()) == ["a", "b", "c"]
        await services.update(desired_count=4)
        shown = await services.until_steady()
        assert (shown["runningCount"], len(shown["deployments"])) == (4, 1)

    in_cell(body, knobs=QUICK)


def test_a_deleted_service_drains_and_stays_describable() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=2)
        await services.until_steady()
        deleted = await services.delete()
        assert (deleted["status"], deleted["desiredCount"]) == ("DRAINING", 0)
        assert await rig.cell.services.list_services(ACCOUNT, CLUSTER, ServiceFilter(), 9, None) == ([], None)
        over = await services.until_status("INACTIVE")
        assert (over["runningCount"], over["deployments"]) == (0, [])
        assert await services.live() == []
        assert await rig.cell.delete_cluster(ACCOUNT, CLUSTER)

    in_cell(body, knobs=QUICK)


def test_who_stops_every_task_of_the_region_gets_none_in_their_place() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=3)
        await services.until_steady()

        async def none_left() -> bool:
            left = await rig.cell.operator.stop_all("The region is going down.")
            await services.obey()
            return left == 0

        await rig.until(none_left)
        assert len(await services.all_tasks()) == 3
        await rig.reopen()  # the region comes up again, and its services with it
        await services.until_steady()
        assert len(await services.all_tasks()) == 6

    in_cell(body, knobs=QUICK)


def test_a_host_whose_clock_is_ahead_keeps_no_service_from_its_steady_state() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        [task] = await services.until_count(1)
        ahead = rig.world.now() + 3000.0
        await services.report(task, "RUNNING", started_at=ahead)
        assert (await rig.described(id_of(task)))["startedAt"] == ahead
        await services.until_steady()

    in_cell(body, knobs=QUICK)


def test_only_the_last_events_and_deployments_are_kept_and_what_is_left_is_whole() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=1)
        for revision in range(2, 7):
            await services.until_steady()
            await services.roll(revision=revision)
        await services.until_steady()
        store = rig.stores.cell_store
        for table, most in (("service_deployments", 3), ("service_revisions", 4), ("deployments", 4)):
            [(count,)] = await store.read(f"SELECT count(*) FROM {table}")
            assert 1 <= count <= most, table
        lost = "SELECT 1 FROM deployments WHERE live = 1 AND revision NOT IN (SELECT arn FROM service_revisions)"
        assert await store.read(lost) == []
        for count in range(1, 40):
            await services.update(desired_count=1 + count % 2)
            await services.until_steady()
        shown = await services.shown()
        assert len(shown["events"]) == 100
        assert shown["events"][0]["createdAt"] >= shown["events"][-1]["createdAt"]

    in_cell(body, knobs=replace(QUICK, service_deployments_keep=2))


def test_a_service_launches_no_faster_than_it_may() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await services.create(desired_count=5)

        async def waits() -> bool:
            return len(await services.live()) == 2 and bool(
                (await rig.cell.services.explain_service("web"))["looked_at_in_s"]
            )

        await rig.until(waits)
        assert (await rig.cell.services.explain_service("web"))["looked_at_in_s"] > 10

    in_cell(body, knobs=replace(QUICK, service_launches_per_minute=2))


def test_a_service_is_explained_by_its_name_alone_only_where_it_is_one() -> None:
    async def body(rig: CellRig) -> None:
        services = ServiceRig(rig)
        await rig.cell.create_cluster(ACCOUNT, REGION, "other", {})
        for cluster in (CLUSTER, "other"):
            await rig.cell.services.create_service(replace(new_service("web", 0), cluster=cluster))
        explain = rig.cell.services.explain_service
        with pytest.raises(InvalidParameter, match=r"service/default/web, .*service/other/web|service/other/web, "):
            await explain("web")
        with pytest.raises(ServiceNotFound):
            await explain("web", cluster="third")
        found = await explain("web", cluster="other")
        assert found["service"]["clusterArn"].endswith(":cluster/other")
        await rig.cell.services.delete_service(ACCOUNT, "other", "web", force=True)
        await services.until_steady()

        async def is_over() -> bool:
            said = await rig.cell.services.describe_services(ACCOUNT, "other", ["web"], include_tags=False)
            return bool(parsed(said)[0]["status"] == "INACTIVE")

        await rig.until(is_over)
        assert (await explain("web"))["service"]["clusterArn"].endswith(f":cluster/{CLUSTER}")

    in_cell(body, knobs=QUICK)
