"""RunTask's overrides: what a run may change of its definition.

Owns their rules. Invariant: a definition with overrides that pass is as launchable as the definition alone.
"""

import json
from typing import Any

from ..model.errors import ClientError, InvalidParameter
from .reading import Document, has_null_character, members, words
from .resources import check_container_resources, check_container_sums, check_fargate_size, check_task_size
from .rules import check_role, role_arn
from .secrets import check_unshared
from .volumes import check_ephemeral_storage

OVERRIDES_MAX_CHARS = 8192

_CONTAINER_NUMBERS = ("cpu", "memory", "memoryReservation")


def checked_overrides(definition: Document, overrides: Document, *, account: str) -> dict[str, Any]:
    """The overrides as stored with the task; raises InvalidParameterException.

    `definition` is a stored document that runs on Fargate.
    """
    if not overrides:
        return {"containerOverrides": []}
    length = len(json.dumps(overrides, ensure_ascii=False, separators=(",", ":")))
    if length > OVERRIDES_MAX_CHARS:
        raise InvalidParameter(f"Overrides length should be less than or equal to {OVERRIDES_MAX_CHARS} characters.")
    if has_null_character(overrides):
        raise InvalidParameter("The overrides contain a null character.")
    if overrides.get("inferenceAcceleratorOverrides"):
        raise InvalidParameter("inferenceAcceleratorOverrides are not supported on Fargate.")
    stored: dict[str, Any] = {"containerOverrides": _container_overrides(definition, overrides)}
    for name in ("cpu", "memory", "ephemeralStorage"):
        if overrides.get(name) is not None:
            stored[name] = overrides[name]
    _check_resources(definition, stored)
    for name in ("taskRoleArn", "executionRoleArn"):
        if overrides.get(name):
            stored[name] = _role(overrides[name], account)
    return stored


def _role(role: str, account: str) -> str:
    try:
        check_role(role, account)
    except ClientError as refused:
        raise _as_parameter(refused) from refused
    return role_arn(role, account)


def _check_resources(definition: Document, stored: Document) -> None:
    """The definition with the overrides on top obeys the same rules as a definition."""
    by_name = {item["name"]: item for item in stored["containerOverrides"]}
    task: dict[str, Any] = {
        "cpu": stored.get("cpu") or definition.get("cpu"),
        "memory": stored.get("memory") or definition.get("memory"),
        "containerDefinitions": [
            {"name": container["name"]}
            | {
                number: by_name.get(container["name"], {}).get(number, container.get(number))
                for number in _CONTAINER_NUMBERS
            }
            for container in definition["containerDefinitions"]
        ],
    }
    try:
        check_task_size(task)
        check_fargate_size(task)
        for container in task["containerDefinitions"]:
            check_container_resources(container, task)
        check_container_sums(task)
        check_ephemeral_storage(stored)
    except ClientError as refused:
        raise _as_parameter(refused) from refused


def _as_parameter(refused: ClientError) -> InvalidParameter:
    """The same rule and words as at registration, under RunTask's error class."""
    return InvalidParameter(refused.message)


def _container_overrides(definition: Document, overrides: Document) -> list[dict[str, Any]]:
    known = {container["name"] for container in definition["containerDefinitions"]}
    result: list[dict[str, Any]] = []
    seen: set[str] = set()
    for item in members(overrides, "containerOverrides"):
        name = item.get("name")
        if not name:
            raise InvalidParameter("Container name is required for a container override.")
        if name not in known:
            raise InvalidParameter(f"Override for container named {name} is not a container in the TaskDefinition.")
        if name in seen:
            raise InvalidParameter(f"Container named {name} has more than one override.")
        seen.add(name)
        result.append(_container_override(item))
        _check_shares_no_secret(definition, result[-1])
    return result


def _check_shares_no_secret(definition: Document, stored: Document) -> None:
    container = next(item for item in definition["containerDefinitions"] if item["name"] == stored["name"])
    secrets = {secret["name"] for secret in members(container, "secrets")}
    for variable in members(stored, "environment"):
        try:
            check_unshared(variable["name"], secrets)
        except ClientError as refused:
            raise _as_parameter(refused) from refused


def _container_override(item: Document) -> dict[str, Any]:
    for later in ("environmentFiles", "resourceRequirements"):
        if item.get(later):
            raise InvalidParameter(f"Neargate does not support {later} in container overrides yet.")
    stored: dict[str, Any] = {"name": item["name"]}
    if words(item, "command"):
        stored["command"] = list(item["command"])
    if members(item, "environment"):
        stored["environment"] = [_variable(variable) for variable in item["environment"]]
    for name in _CONTAINER_NUMBERS:
        if item.get(name) is not None:
            stored[name] = item[name]
    return stored


def _variable(variable: Document) -> dict[str, str]:
    name, value = variable.get("name") or "", variable.get("value") or ""
    if not name or "=" in name:
        raise InvalidParameter("Environment variable names cannot be empty or contain '='.")
    return {"name": name, "value": value}
