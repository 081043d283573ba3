"""PutClusterCapacityProviders, DescribeCapacityProviders and RunTask with a strategy, in a region in memory."""

from typing import Any

import pytest
from msgspec import structs

from neargate.model.quotas import DefaultQuotas

from .test_ecs_operations import ARN, Region, story

BOTH = ["FARGATE", "FARGATE_SPOT"]


def shown(name: str) -> dict[str, Any]:
    arn = f"{ARN}:capacity-provider/{name}"
    return {"capacityProviderArn": arn, "name": name, "status": "ACTIVE", "tags": [], "type": name}


def item(name: str = "FARGATE_SPOT", weight: int = 1, base: int = 0) -> dict[str, Any]:
    return {"capacityProvider": name, "weight": weight, "base": base}


async def put(region: Region, providers: list[str], *strategy: dict[str, Any]) -> dict[str, Any]:
    answer = await region(
        "PutClusterCapacityProviders",
        cluster="default",
        capacityProviders=providers,
        defaultCapacityProviderStrategy=list(strategy),
    )
    cluster: dict[str, Any] = answer["cluster"]
    return cluster


def test_the_two_providers_are_there_for_everybody() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region("DescribeCapacityProviders") == {
            "capacityProviders": [shown("FARGATE"), shown("FARGATE_SPOT")],
            "failures": [],
        }
        other = f"{ARN}:capacity-provider/mine"
        answer = await region("DescribeCapacityProviders", capacityProviders=["FARGATE_SPOT", "mine", other])
        assert answer == {
            "capacityProviders": [shown("FARGATE_SPOT")],
            "failures": [{"arn": other, "reason": "MISSING"}],
        }
        by_arn = await region("DescribeCapacityProviders", capacityProviders=[f"{ARN}:capacity-provider/FARGATE"])
        assert by_arn["capacityProviders"] == [shown("FARGATE")]

    story(body)


def test_providers_come_in_pages_and_by_cluster() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        first = await region("DescribeCapacityProviders", maxResults=1, include=["TAGS"])
        assert first["capacityProviders"] == [shown("FARGATE")]
        rest = await region("DescribeCapacityProviders", maxResults=1, nextToken=first["nextToken"])
        assert rest["capacityProviders"] == [shown("FARGATE_SPOT")] and "nextToken" not in rest
        assert (await region("DescribeCapacityProviders", cluster="default"))["capacityProviders"] == []
        await put(region, ["FARGATE_SPOT"])
        there = await region("DescribeCapacityProviders", cluster="default")
        assert there["capacityProviders"] == [shown("FARGATE_SPOT")]

    story(body)


@pytest.mark.parametrize(
    ("params", "refusal"),
    [
        ({"maxResults": 0}, ("InvalidParameterException", "maxResults should be between 1 and 10")),
        ({"maxResults": 11}, ("InvalidParameterException", "maxResults should be between 1 and 10")),
        ({"nextToken": "x"}, ("InvalidParameterException", "Invalid token.")),
        ({"cluster": "green"}, ("ClusterNotFoundException", "Cluster not found.")),
        (
            {"capacityProviders": ["a"] * 101},
            ("InvalidParameterException", "capacityProviders can have at most 100 items."),
        ),
    ],
)
def test_a_question_about_providers_refused(params: dict[str, Any], refusal: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region.refused("DescribeCapacityProviders", **params) == refusal

    story(body)


def test_a_cluster_gets_providers_and_runs_by_its_default_strategy() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        cluster = await put(region, BOTH, item("FARGATE", 0, 1), item())
        assert cluster["capacityProviders"] == BOTH
        assert cluster["defaultCapacityProviderStrategy"] == [item("FARGATE", 0, 1), item()]
        [described] = (await region("DescribeClusters"))["clusters"]
        assert described["defaultCapacityProviderStrategy"] == cluster["defaultCapacityProviderStrategy"]
        tasks = (await region("RunTask", **region.run(launchType=None, count=3)))["tasks"]
        assert [task["capacityProviderName"] for task in tasks] == ["FARGATE", "FARGATE_SPOT", "FARGATE_SPOT"]
        assert {task["launchType"] for task in tasks} == {"FARGATE"}
        assert (await region("ListTasks", launchType="FARGATE"))["taskArns"] == [task["taskArn"] for task in tasks]

    story(body)


def test_a_provider_of_a_living_task_stays_with_its_cluster() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        await put(region, BOTH)
        await region("RunTask", **region.run(launchType=None, capacityProviderStrategy=[item()]))
        wanted = {"cluster": "default", "capacityProviders": ["FARGATE"], "defaultCapacityProviderStrategy": []}
        assert await region.refused("PutClusterCapacityProviders", **wanted) == (
            "ResourceInUseException",
            "The specified capacity provider is in use and cannot be removed.",
        )
        assert (await put(region, ["FARGATE_SPOT"], item()))["capacityProviders"] == ["FARGATE_SPOT"]

    story(body)


@pytest.mark.parametrize(
    ("params", "refusal"),
    [
        ({"cluster": "green"}, ("ClusterNotFoundException", "Cluster not found.")),
        ({"cluster": "gone"}, ("ClientException", "The referenced cluster was inactive.")),
        (
            {"capacityProviders": ["mine"]},
            (
                "InvalidParameterException",
                "The specified capacity provider 'mine' was not found. Specify a valid name or ARN and try again.",
            ),
        ),
    ],
)
def test_a_change_of_providers_refused(params: dict[str, Any], refusal: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        await region("CreateCluster", clusterName="gone")
        await region("DeleteCluster", cluster="gone")
        given = {"cluster": "default", "capacityProviders": [], "defaultCapacityProviderStrategy": []} | params
        assert await region.refused("PutClusterCapacityProviders", **given) == refusal

    story(body)


class Launches:
    """Stands where the limits are, and writes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[bool, int]] = []
        self.quotas = DefaultQuotas()

    def launch(self, account: str, *, is_spot: bool, count: int) -> None:
        assert account
        self.asked.append((is_spot, count))


def test_launches_on_spot_draw_from_a_bucket_of_their_own() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        await put(region, BOTH)
        limits = Launches()
        region.services = structs.replace(region.services, limits=limits)
        strategy = [item("FARGATE", 1), item("FARGATE_SPOT", 3)]
        await region("RunTask", **region.run(launchType=None, count=4, capacityProviderStrategy=strategy))
        assert limits.asked == [(False, 1), (True, 3)]
        await region("RunTask", **region.run(launchType=None, capacityProviderStrategy=[item()]))
        await region("RunTask", **region.run(count=2))
        assert limits.asked[2:] == [(True, 1), (False, 2)]

    story(body)
