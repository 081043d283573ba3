"""Container instances: there are none, and each operation says so as ECS does.

DescribeContainerInstances, UpdateContainerInstancesState, StartTask, ListContainerInstances, ListAttributes,
PutAttributes, DeleteAttributes, DeregisterContainerInstance, UpdateContainerAgent.
"""

from typing import Any

import pytest

from .test_ecs_operations import ARN, TASK_ID, Region, story

INSTANCE = f"{ARN}:container-instance/default/{TASK_ID}"
MISSING = {"failures": [{"arn": INSTANCE, "reason": "MISSING"}]}
NOT_FOUND = (
    "TargetNotFoundException",
    "The specified target wasn't found. You can view your available container instances with ListContainerInstances. "
    "Amazon ECS container instances are cluster-specific and Region-specific.",
)
ANSWERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("ListContainerInstances", {"status": "DRAINING", "filter": "x"}, {"containerInstanceArns": []}),
    ("ListAttributes", {"targetType": "container-instance"}, {"attributes": []}),
    ("DescribeContainerInstances", {"containerInstances": [TASK_ID]}, {"containerInstances": [], **MISSING}),
    (
        "DescribeContainerInstances",
        {"containerInstances": [INSTANCE, f"{ARN}:container-instance/{TASK_ID}", TASK_ID]},
        {"containerInstances": [], **MISSING},
    ),
    (
        "UpdateContainerInstancesState",
        {"containerInstances": [TASK_ID], "status": "DRAINING"},
        {"containerInstances": [], **MISSING},
    ),
    ("StartTask", {"containerInstances": [TASK_ID], "taskDefinition": "web"}, {"tasks": [], **MISSING}),
]
REFUSALS: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    (
        "DeregisterContainerInstance",
        {"containerInstance": INSTANCE, "force": True},
        ("ClientException", f"Referenced container instance {TASK_ID} not found."),
    ),
    (
        "UpdateContainerAgent",
        {"containerInstance": TASK_ID},
        ("ClientException", f"Referenced container instance {TASK_ID} not found."),
    ),
    ("PutAttributes", {"attributes": [{"name": "a", "targetId": TASK_ID}]}, NOT_FOUND),
    ("DeleteAttributes", {"attributes": [{"name": "a"}]}, NOT_FOUND),
    ("PutAttributes", {"attributes": []}, ("InvalidParameterException", "attributes can not be empty")),
    (
        "DescribeContainerInstances",
        {"containerInstances": []},
        ("ClientException", "Container Instances cannot be empty."),
    ),
    (
        "DescribeContainerInstances",
        {"containerInstances": [f"i{n}" for n in range(101)]},
        ("InvalidParameterException", "containerInstances can have at most 100 items."),
    ),
    (
        "DescribeContainerInstances",
        {"containerInstances": ["a b"]},
        ("InvalidParameterException", "Container Instance Identifier is invalid"),
    ),
    (
        "DescribeContainerInstances",
        {"containerInstances": [f"{ARN}:task/default/{TASK_ID}"]},
        ("InvalidParameterException", "Container Instance Identifier is invalid"),
    ),
    (
        "UpdateContainerInstancesState",
        {"containerInstances": [TASK_ID], "status": "REGISTERING"},
        ("InvalidParameterException", "Container instance status should be one of [ACTIVE, DRAINING]"),
    ),
    (
        "StartTask",
        {"containerInstances": [TASK_ID] * 2 + [f"i{n}" for n in range(10)], "taskDefinition": "web"},
        ("InvalidParameterException", "containerInstances can have at most 10 items."),
    ),
    (
        "StartTask",
        {"containerInstances": [TASK_ID], "taskDefinition": "ghost"},
        ("ClientException", "TaskDefinition not found."),
    ),
]


@pytest.mark.parametrize(("operation", "params", "answer"), ANSWERS)
def test_nothing_is_there(operation: str, params: dict[str, Any], answer: dict[str, Any]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region(operation, **params) == answer
        refusal = await region.refused(operation, cluster="ghost", **params)
        assert refusal == ("ClusterNotFoundException", "Cluster not found.")
        assert (await region("ListTasks"))["taskArns"] == []

    story(body)


@pytest.mark.parametrize(("operation", "params", "refusal"), REFUSALS)
def test_what_names_one_is_refused(operation: str, params: dict[str, Any], refusal: tuple[str, str]) -> None:
    async def body(region: Region) -> None:
        await region.ready()
        assert await region.refused(operation, **params) == refusal

    story(body)
