"""What a run may change of its definition, and the words when it may not."""

from typing import Any

import pytest

from neargate.definitions.overrides import checked_overrides
from neargate.definitions.tags import checked_tags
from neargate.model.errors import InvalidParameter

ACCOUNT = "123456789012"
DEFINITION: dict[str, Any] = {
    "cpu": "256",
    "memory": "512",
    "containerDefinitions": [{"name": "web", "image": "web:1", "memory": 100, "memoryReservation": 50}],
}


def web(**members: Any) -> dict[str, Any]:
    return {"containerOverrides": [{"name": "web"} | members]}


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            {"containerOverrides": [{"name": "db"}]},
            "Override for container named db is not a container in the TaskDefinition.",
        ),
        ({"containerOverrides": [{}]}, "Container name is required for a container override."),
        ({"containerOverrides": [{"name": "web"}] * 2}, "Container named web has more than one override."),
        (web(command=["x" * 8192]), "Overrides length should be less than or equal to 8192 characters."),
        (web(environmentFiles=[{}]), "Neargate does not support environmentFiles in container overrides yet."),
        (web(resourceRequirements=[{}]), "Neargate does not support resourceRequirements in container overrides yet."),
        ({"inferenceAcceleratorOverrides": [{}]}, "inferenceAcceleratorOverrides are not supported on Fargate."),
        (web(memory=4), "Invalid 'memory' setting for container 'web'."),
        (web(cpu=-1), "Invalid 'cpu' setting for container 'web'."),
        (
            web(memory=40),
            "Invalid setting for container 'web'. 'memoryReservation' must be less than or equal to 'memory'.",
        ),
        (
            web(environment=[{"name": "A=", "value": ""}]),
            "Environment variable names cannot be empty or contain '='.",
        ),
        (web(environment=[{"name": "A", "value": "\x00"}]), "The overrides contain a null character."),
        (web(command=["\x00"]), "The overrides contain a null character."),
        ({"cpu": "300"}, "No Fargate configuration exists for given values."),
        ({"memory": "8192"}, "No Fargate configuration exists for given values."),
        (web(memory=513), "The 'memory' setting for container 'web' is greater than for the task."),
        (web(cpu=257), "The sum of all container 'cpu' values cannot be greater than the task-level 'cpu' value."),
        ({"ephemeralStorage": {"sizeInGiB": 20}}, "EphemeralStorage size should be at least 21"),
        ({"taskRoleArn": "arn:aws:iam::1:user/x"}, "Role is not valid"),
    ],
)
def test_refused(overrides: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        checked_overrides(DEFINITION, overrides, account=ACCOUNT)
    assert refused.value.message == text


def test_a_variable_may_not_cover_a_secret() -> None:
    [web_container] = DEFINITION["containerDefinitions"]
    secret = {"name": "A", "valueFrom": "/a"}
    definition = DEFINITION | {"containerDefinitions": [web_container | {"secrets": [secret]}]}
    assert checked_overrides(definition, web(environment=[{"name": "B", "value": "1"}]), account=ACCOUNT)
    with pytest.raises(InvalidParameter) as refused:
        checked_overrides(definition, web(environment=[{"name": "A", "value": "1"}]), account=ACCOUNT)
    assert refused.value.message == (
        "The secret name must be unique and not shared with any new or existing environment variables set on the "
        "container, such as 'A'."
    )


def test_what_is_kept_with_the_task() -> None:
    given = web(command=["a"], environment=[{"name": "A", "value": "1"}], cpu=1, memory=60, memoryReservation=50) | {
        "cpu": "512",
        "memory": "1024",
        "taskRoleArn": "app",
        "ephemeralStorage": {"sizeInGiB": 21},
    }
    assert checked_overrides(DEFINITION, given, account=ACCOUNT) == given | {
        "taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/app"
    }


def test_no_overrides_are_shown_as_none() -> None:
    assert checked_overrides(DEFINITION, {}, account=ACCOUNT) == {"containerOverrides": []}


def test_an_empty_command_overrides_nothing() -> None:
    assert checked_overrides(DEFINITION, web(command=[]), account=ACCOUNT) == web()


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([{"value": "x"}], "Tag key should not be null or empty."),
        ([{"key": "aws:x"}], "Tag keys and values cannot start with 'aws:'. It is reserved for AWS use."),
        ([{"key": "AWS:x"}], "Tag keys and values cannot start with 'aws:'. It is reserved for AWS use."),
        ([{"key": "a", "value": "aws:"}], "Tag keys and values cannot start with 'aws:'. It is reserved for AWS use."),
        ([{"key": "a"}, {"key": "a"}], "Duplicate tag key 'a'."),
        ([{"key": "k" * 129}], "Tag keys have at most 128 and tag values at most 256 characters."),
        ([{"key": "k", "value": "v" * 257}], "Tag keys have at most 128 and tag values at most 256 characters."),
        ([{"key": f"k{n}"} for n in range(51)], "The number of tags exceeds the limit of 50."),
    ],
)
def test_tags_refused(tags: list[dict[str, str]], text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        checked_tags(tags)
    assert refused.value.message == text


def test_tags_accepted() -> None:
    assert checked_tags(None) == ()
    assert checked_tags([{"key": "a", "value": "b"}, {"key": "c"}]) == (("a", "b"), ("c", ""))
    assert len(checked_tags([{"key": f"k{n}"} for n in range(50)])) == 50
