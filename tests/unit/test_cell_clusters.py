"""Clusters, and the reading of tasks: counts, filters, pages, what is missing."""

import asyncio
from typing import Any

import msgspec
import pytest

from neargate.interfaces.roles import TaskFilter
from neargate.model.errors import (
    ClientError,
    ClusterContainsTasks,
    ClusterNotFound,
    InvalidParameter,
    ServiceNotFound,
)
from neargate.testing.cell_rig import ACCOUNT, REGION, ZONES, CellRig, id_of, in_cell, parsed, run_request, subnet

ONE_ZONE = {"subnets": (subnet(ZONES[0]),)}
EVERYTHING = frozenset({"SETTINGS", "STATISTICS", "TAGS", "ATTACHMENTS", "CONFIGURATIONS"})


async def create(rig: CellRig, name: str, **settings: Any) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(await rig.cell.create_cluster(ACCOUNT, REGION, name, settings))
    return document


async def described(rig: CellRig, name: str, include: frozenset[str] = EVERYTHING) -> dict[str, Any]:
    [document] = parsed(await rig.cell.describe_clusters(ACCOUNT, [name], include))
    return document


def test_a_cluster_is_created_once_and_survives() -> None:
    async def body(rig: CellRig) -> None:
        made = await create(rig, "prod", tags=[{"key": "k", "value": "v"}])
        assert made["clusterArn"] == f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/prod"
        assert made["status"] == "ACTIVE" and made["tags"] == [{"key": "k", "value": "v"}]
        assert made["settings"] == [{"name": "containerInsights", "value": "disabled"}]
        assert await create(rig, "prod") == made
        await rig.reopen()
        assert await create(rig, "prod") == made

    in_cell(body)


def test_the_same_cluster_created_side_by_side_is_one() -> None:
    async def body(rig: CellRig) -> None:
        made = await asyncio.gather(*(create(rig, "prod") for _ in range(6)))
        assert all(document == made[0] for document in made)
        arns, _ = await rig.cell.list_clusters(ACCOUNT, 100, None)
        assert [arn.rpartition("/")[2] for arn in arns] == ["default", "prod"]

    in_cell(body)


def test_describing_shows_counts_and_what_was_asked_for() -> None:
    async def body(rig: CellRig) -> None:
        tasks = await rig.run(count=4, **ONE_ZONE)
        await rig.report(tasks[0], "RUNNING", 1)
        await rig.report(tasks[1], "PENDING", 1)
        await rig.report(tasks[2], "STOPPED", 1)
        whole = await described(rig, "default")
        assert (whole["runningTasksCount"], whole["pendingTasksCount"]) == (1, 2)
        assert {"name": "runningFargateTasksCount", "value": "1"} in whole["statistics"]
        bare = await described(rig, "default", frozenset())
        assert bare["settings"] == bare["tags"] == bare["statistics"] == []
        answer = await rig.cell.describe_clusters(ACCOUNT, ["default", "none"], frozenset())
        assert [(failure.arn, failure.reason) for failure in answer.failures] == [
            (f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/none", "MISSING")
        ]

    in_cell(body)


def test_settings_that_mean_nothing_are_refused() -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(InvalidParameter):
            await create(rig, "bad", capacityProviders=["NO_SUCH"])
        with pytest.raises(InvalidParameter):
            await create(rig, "bad", settings=[{"name": "containerInsights", "value": "perhaps"}])
        with pytest.raises(InvalidParameter):
            await create(rig, "bad", serviceConnectDefaults={"namespace": "x"})
        assert (await rig.cell.describe_clusters(ACCOUNT, ["bad"], frozenset())).documents == ()
        good = await create(rig, "good", settings=[{"name": "containerInsights", "value": "enhanced"}])
        assert good["settings"] == [{"name": "containerInsights", "value": "enhanced"}]

    in_cell(body)


def test_a_cluster_with_live_tasks_is_not_deleted() -> None:
    async def body(rig: CellRig) -> None:
        [task] = await rig.run(**ONE_ZONE)
        with pytest.raises(ClusterContainsTasks):
            await rig.cell.delete_cluster(ACCOUNT, "default")
        await rig.report(task, "STOPPED", 1)
        deleted = msgspec.json.decode(await rig.cell.delete_cluster(ACCOUNT, "default"))
        assert deleted["status"] == "INACTIVE"
        assert (await described(rig, "default"))["status"] == "INACTIVE"
        assert await rig.cell.list_clusters(ACCOUNT, 100, None) == ([], None)
        assert (await rig.described(id_of(task)))["lastStatus"] == "STOPPED"
        with pytest.raises(ClientError, match="The referenced cluster was inactive"):
            await rig.cell.run_task(run_request())
        again = await create(rig, "default")
        assert again["status"] == "ACTIVE"
        await rig.run(**ONE_ZONE)

    in_cell(body)


def test_a_cluster_that_does_not_exist_is_not_found() -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(ClusterNotFound):
            await rig.cell.delete_cluster(ACCOUNT, "none")
        with pytest.raises(ClusterNotFound):
            await rig.cell.describe_tasks(ACCOUNT, "none", ["x"], False)
        with pytest.raises(ClusterNotFound):
            await rig.cell.list_tasks(ACCOUNT, "none", TaskFilter(), 10, None)
        with pytest.raises(ClusterNotFound):
            await rig.cell.list_tasks("999999999999", "default", TaskFilter(), 10, None)

    in_cell(body)


def test_clusters_are_listed_in_pages() -> None:
    async def body(rig: CellRig) -> None:
        for n in range(5):
            await create(rig, f"c{n}")
        seen: list[str] = []
        token: str | None = None
        while True:
            arns, token = await rig.cell.list_clusters(ACCOUNT, 2, token)
            assert len(arns) <= 2
            seen += arns
            if token is None:
                break
        assert [arn.rpartition("/")[2] for arn in seen] == ["c0", "c1", "c2", "c3", "c4", "default"]

    in_cell(body)


def test_tasks_are_listed_in_pages_by_every_filter() -> None:
    async def body(rig: CellRig) -> None:
        mine = await rig.run(count=3, started_by="me", **ONE_ZONE)
        others = await rig.run(count=2, **ONE_ZONE)
        await rig.cell.stop_task(ACCOUNT, "default", id_of(mine[0]), None)

        async def arns(**wanted: Any) -> list[str]:
            return (await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(**wanted), 100, None))[0]

        running = [task["taskArn"] for task in (*mine[1:], *others)]
        assert await arns() == running == await arns(family="web") == await arns(launch_type="FARGATE")
        assert await arns(started_by="me") == [task["taskArn"] for task in mine[1:]]
        assert await arns(desired_status="STOPPED") == [mine[0]["taskArn"]]
        assert await arns(desired_status="STOPPED", started_by="me") == [mine[0]["taskArn"]]
        for nothing in ({"desired_status": "PENDING"}, {"family": "we"}, {"launch_type": "EC2"}):
            assert await arns(**nothing) == []
        assert await arns(container_instance="i") == []
        page, token = await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(), 3, None)
        rest, end = await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(), 3, token)
        assert page + rest == running and end is None

    in_cell(body)


@pytest.mark.parametrize("token", ["", "x", "////", "AAAA", "k8ABAg==", "é", "a" * 5000])
def test_a_token_that_was_not_given_is_refused(token: str) -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(InvalidParameter):
            await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(), 3, token)
        with pytest.raises(InvalidParameter):
            await rig.cell.list_clusters(ACCOUNT, 3, token)

    in_cell(body)


def test_a_token_of_another_question_is_refused() -> None:
    async def body(rig: CellRig) -> None:
        await rig.run(count=3, **ONE_ZONE)
        _, token = await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(), 1, None)
        assert token is not None
        with pytest.raises(InvalidParameter):
            await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(family="web"), 1, token)
        with pytest.raises(InvalidParameter):
            await rig.cell.list_clusters(ACCOUNT, 1, token)

    in_cell(body)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (TaskFilter(started_by="me", family="web"), "cannot specify startedBy with other arguments"),
        (TaskFilter(started_by="me", launch_type="FARGATE"), "cannot specify startedBy with other arguments"),
        (TaskFilter(service_name="s", family="web"), "cannot specify serviceName with other arguments"),
    ],
)
def test_filters_that_stand_alone(wanted: TaskFilter, text: str) -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(InvalidParameter, match=text):
            await rig.cell.list_tasks(ACCOUNT, "default", wanted, 10, None)

    in_cell(body)


def test_a_service_s_tasks_are_asked_of_a_service_that_is_not_there() -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(ServiceNotFound):
            await rig.cell.list_tasks(ACCOUNT, "default", TaskFilter(service_name="s"), 10, None)

    in_cell(body)


def test_describing_keeps_the_order_asked_for_and_names_the_missing() -> None:
    async def body(rig: CellRig) -> None:
        first, second = await rig.run(count=2, tags=(("k", "v"),), **ONE_ZONE)
        wanted = [id_of(second), "0" * 32, id_of(first)]
        answer = await rig.cell.describe_tasks(ACCOUNT, "default", wanted, False)
        assert [task["taskArn"] for task in parsed(answer)] == [second["taskArn"], first["taskArn"]]
        assert all(task["tags"] == [] for task in parsed(answer))
        assert [(failure.arn, failure.reason) for failure in answer.failures] == [
            (f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/default/{'0' * 32}", "MISSING")
        ]
        [tagged] = parsed(await rig.cell.describe_tasks(ACCOUNT, "default", [id_of(first)], True))
        assert tagged["tags"] == [{"key": "k", "value": "v"}]

    in_cell(body)


def test_explaining_a_task_that_is_not_there() -> None:
    async def body(rig: CellRig) -> None:
        with pytest.raises(InvalidParameter):
            await rig.cell.explain_task("0" * 32)

    in_cell(body)
