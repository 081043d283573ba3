"""The document of a registered revision, as DescribeTaskDefinition returns it.

Owns the defaults that AWS writes into the stored document. Invariant: the result holds nothing but members of AWS's
TaskDefinition, and does not share structure with the request.
"""

from collections.abc import Mapping
from typing import Any

from ..model.arn import task_definition_arn
from .reading import Document, members, words
from .requires import required_attributes
from .rules import compatibilities, role_arn
from .sizes import parse_cpu, parse_memory

# Lists that AWS shows even when they are empty.
_CONTAINER_LISTS = ("portMappings", "environment", "mountPoints", "volumesFrom", "systemControls")
_TASK_MEMBERS = (
    "family",
    "networkMode",
    "pidMode",
    "ipcMode",
    "proxyConfiguration",
    "ephemeralStorage",
    "runtimePlatform",
    "enableFaultInjection",
    "trustedExecutionConfiguration",
)


def stored_definition(
    request: Document,
    *,
    account: str,
    region: str,
    revision: int,
    registered_at: float,
    registered_by: str,
    own_kernel: bool = False,
) -> dict[str, Any]:
    """The wire document of one revision. `request` passed `rules.check_definition`; `registered_by` is an ARN."""
    document: dict[str, Any] = {
        "taskDefinitionArn": task_definition_arn(region, account, request["family"], revision),
        "containerDefinitions": [
            _container(container, request.get("networkMode")) for container in request["containerDefinitions"]
        ],
        "revision": revision,
        "volumes": [_volume(volume) for volume in members(request, "volumes")],
        "status": "ACTIVE",
        "placementConstraints": [_plain(item) for item in members(request, "placementConstraints")],
        "compatibilities": compatibilities(request, own_kernel=own_kernel),
        "registeredAt": registered_at,
        "registeredBy": registered_by,
    }
    document |= {name: _plain(request[name]) for name in _TASK_MEMBERS if request.get(name) is not None}
    for name in ("taskRoleArn", "executionRoleArn"):
        if request.get(name):
            document[name] = role_arn(request[name], account)
    if words(request, "requiresCompatibilities"):
        document["requiresCompatibilities"] = list(dict.fromkeys(request["requiresCompatibilities"]))
    if request.get("cpu") is not None:
        document["cpu"] = str(parse_cpu(request["cpu"]))
    if request.get("memory") is not None:
        document["memory"] = str(parse_memory(request["memory"]))
    document["requiresAttributes"] = [{"name": name} for name in required_attributes(document)]
    return document


def _container(container: Document, network_mode: str | None) -> dict[str, Any]:
    stored: dict[str, Any] = {
        "name": container["name"],
        "image": container["image"],
        "cpu": container.get("cpu") or 0,
        "essential": container.get("essential") is not False,
    }
    for name, value in container.items():
        # AWS keeps what says something: `false` does, an empty list or map does not.
        if name not in stored and value is not None and value not in ([], {}, ""):
            stored[name] = _plain(value)
    for name in _CONTAINER_LISTS:
        stored.setdefault(name, [])
    stored["portMappings"] = [_port(mapping, network_mode) for mapping in stored["portMappings"]]
    stored["environment"] = _environment(stored["environment"])
    if "healthCheck" in stored:
        stored["healthCheck"] = {"interval": 30, "timeout": 5, "retries": 3} | stored["healthCheck"]
    return stored


def _environment(variables: list[dict[str, Any]]) -> list[dict[str, str]]:
    """A name that is given twice has the last value: a process can see only one."""
    values = {item["name"]: item.get("value") or "" for item in variables}
    return [{"name": name, "value": value} for name, value in values.items()]


def _port(mapping: dict[str, Any], network_mode: str | None) -> dict[str, Any]:
    """Where the container has the interface to itself the host's port is its own; a bridge gives any (0)."""
    defaults: dict[str, Any] = {"protocol": "tcp"}
    if "containerPort" in mapping:
        defaults["hostPort"] = mapping["containerPort"] if network_mode in ("awsvpc", "host") else 0
    return defaults | mapping


def _volume(volume: Document) -> dict[str, Any]:
    stored: dict[str, Any] = _plain(volume)
    if stored.keys() <= {"name", "host", "configuredAtLaunch"}:
        stored.setdefault("host", {})
    if "efsVolumeConfiguration" in stored:
        stored["efsVolumeConfiguration"].setdefault("rootDirectory", "/")
    return stored


def _plain(value: Any) -> Any:
    """A deep copy without nulls, so that no request shares memory with the read model."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
