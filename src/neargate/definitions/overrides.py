"""RunTask's overrides: what a run may change of its definition.

Owns their rules. Invariant: a definition with overrides that pass is as launchable as the definition alone.
"""

import json
from typing import Any

from ..model.errors import ClientError, InvalidParameter
from .reading import Document, members, words
from .resources import CONTAINER_MEMORY_MIN_MIB, check_fargate_size, check_task_size
from .rules import check_role, role_arn
from .volumes import check_ephemeral_storage

OVERRIDES_MAX_CHARS = 8192

_CONTAINER_NUMBERS = ("cpu", "memory", "memoryReservation")


def checked_overrides(definition: Document, overrides: Document, *, account: str) -> dict[str, Any]:
    """The overrides as stored with the task; raises InvalidParameterException.

    `definition` is a stored document that runs on Fargate.
    """
    length = len(json.dumps(overrides, ensure_ascii=False, separators=(",", ":")))
    if length > OVERRIDES_MAX_CHARS:
        raise InvalidParameter(f"Overrides length should be less than or equal to {OVERRIDES_MAX_CHARS} characters.")
    if overrides.get("inferenceAcceleratorOverrides"):
        raise InvalidParameter("inferenceAcceleratorOverrides are not supported on Fargate.")
    stored: dict[str, Any] = {"containerOverrides": _container_overrides(definition, overrides)}
    for name in ("cpu", "memory", "ephemeralStorage"):
        if overrides.get(name) is not None:
            stored[name] = overrides[name]
    _check_task(definition, overrides)
    for name in ("taskRoleArn", "executionRoleArn"):
        if overrides.get(name):
            _as_parameter(lambda name=name: check_role(overrides[name], account))
            stored[name] = role_arn(overrides[name], account)
    return stored


def _check_task(definition: Document, overrides: Document) -> None:
    task = {name: overrides.get(name) or definition.get(name) for name in ("cpu", "memory")}
    _as_parameter(lambda: check_task_size(task))
    _as_parameter(lambda: check_fargate_size(task))
    _as_parameter(lambda: check_ephemeral_storage(overrides))


def _as_parameter(check: Any) -> None:
    """The same rule and words as at registration, under RunTask's error class."""
    try:
        check()
    except ClientError as refused:
        raise InvalidParameter(refused.message) from refused


def _container_overrides(definition: Document, overrides: Document) -> list[dict[str, Any]]:
    known = {container["name"]: container for container in definition["containerDefinitions"]}
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
        result.append(_container_override(item, known[name]))
    return result


def _container_override(item: Document, container: Document) -> dict[str, Any]:
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
            stored[name] = _number(item, name)
    hard = stored.get("memory", container.get("memory"))
    soft = stored.get("memoryReservation", container.get("memoryReservation"))
    if hard is not None and soft is not None and soft > hard:
        raise InvalidParameter(
            f"Invalid setting for container '{item['name']}'. "
            "'memoryReservation' must be less than or equal to 'memory'."
        )
    return stored


def _variable(variable: Document) -> dict[str, str]:
    name, value = variable.get("name") or "", variable.get("value") or ""
    if not name or "=" in name or "\x00" in name or "\x00" in value:
        raise InvalidParameter("Environment variable names cannot be empty or contain '=' or a null character.")
    return {"name": name, "value": value}


def _number(item: Document, name: str) -> int:
    value = int(item[name])
    if value < (0 if name == "cpu" else CONTAINER_MEMORY_MIN_MIB):
        raise InvalidParameter(f"Invalid '{name}' setting for container '{item['name']}'.")
    return value
