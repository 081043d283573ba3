"""ListServices, DescribeServices, UpdateService, DeleteService: there are no services, and each says so as ECS does."""

from typing import Any

import pytest

from .test_ecs_operations import ARN, Region, story

SERVICE = f"{ARN}:service/default/web"
NOT_FOUND = ("ServiceNotFoundException", "Service not found.")


def test_nothing_is_there() -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region("ListServices", launchType="FARGATE") == {"serviceArns": []}
        missing = {"services": [], "failures": [{"arn": SERVICE, "reason": "MISSING"}]}
        assert await region("DescribeServices", services=["web", SERVICE, f"{ARN}:service/web"]) == missing

    story(body)


@pytest.mark.parametrize(
    ("operation", "params", "refusal"),
    [
        ("UpdateService", {"service": "web", "desiredCount": 0}, NOT_FOUND),
        ("DeleteService", {"service": SERVICE, "force": True}, NOT_FOUND),
        ("DescribeServices", {"services": []}, ("InvalidParameterException", "Services cannot be empty.")),
        (
            "DescribeServices",
            {"services": ["web"] * 11},
            ("InvalidParameterException", "services can have at most 10 items."),
        ),
    ],
)
def test_what_names_one_is_refused(operation: str, params: dict[str, Any], refusal: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region.refused(operation, **params) == refusal
        ghost = ("ClusterNotFoundException", "Cluster not found.")
        assert await region.refused(operation, cluster="ghost", **params) == ghost

    story(body)
