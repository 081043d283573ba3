"""`serviceRegistries` of a service: the service of Cloud Map that its tasks are instances of.

Owns the checks and AWS's words, as far as these are known; reads from memory. Invariant: a port is asked for exactly
where the registry has records of type SRV, which need one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ....model.errors import InvalidParameter
from ...call import Call
from ...cloudmap.for_services import registry_named
from ...cloudmap.records import Service
from ...services import Services

REGISTRIES_MAX = 1  # AWS's, of a service
_PORTS = ("port", "containerPort")
_PORT_MAX = 65_535
_EITHER = (
    "Specify a value for either 'port' or the 'containerName' and 'containerPort' combination, but not both. Remove "
    "one and retry."
)
_NEEDS_PORT = (
    "The values specified for serviceRegistries require a value for either 'port' or the 'containerName' and "
    "'containerPort' combination. Specify one and retry."
)
_NEEDS_CONTAINER = (
    "When specifying 'host' or 'bridge' for networkMode, values for 'containerName' and 'containerPort' must be "
    "specified from the task definition."
)
_NO_PORT = "The values specified for serviceRegistries do not require a value for '{}'. Remove the value and retry."

Document = Mapping[str, Any]


def checked_registries(
    call: Call, services: Services, given: Sequence[Document], definition: Document
) -> list[dict[str, Any]]:
    """As they are shown. `definition`: of the tasks. Raises InvalidParameter."""
    if len(given) > REGISTRIES_MAX:
        raise InvalidParameter(f"serviceRegistries can have at most {REGISTRIES_MAX} items.")
    return [_checked(call, services, entry, definition) for entry in given]


def _checked(call: Call, services: Services, entry: Document, definition: Document) -> dict[str, Any]:
    arn = entry.get("registryArn")
    if not arn:
        raise InvalidParameter("ServiceRegistries: registryArn cannot be blank.")
    registry = registry_named(services.cloud_map, call.account, arn)
    if registry is None:
        raise InvalidParameter(f"ServiceRegistries: the service registry {arn} was not found.")
    _check_records(registry)
    _check_ports(entry, registry, definition)
    _check_container(entry, definition)
    members = ("registryArn", "port", "containerName", "containerPort")
    return {name: entry[name] for name in members if entry.get(name) not in (None, "")}


def _check_records(registry: Service) -> None:
    types = frozenset[str]() if registry.dns is None else registry.dns.types
    if "CNAME" in types:
        raise InvalidParameter(
            f"ServiceRegistries: the service registry {registry.arn} has records of type CNAME: tasks have none."
        )


def _check_ports(entry: Document, registry: Service, definition: Document) -> None:
    has_port, has_container = entry.get("port") is not None, entry.get("containerPort") is not None
    if has_port and (has_container or entry.get("containerName")):
        raise InvalidParameter(_EITHER)
    is_srv = registry.dns is not None and "SRV" in registry.dns.types
    for name in _PORTS:
        port = entry.get(name)
        if port is None:
            continue
        if not is_srv:
            raise InvalidParameter(_NO_PORT.format(name))
        if not 0 < port <= _PORT_MAX:
            raise InvalidParameter(f"ServiceRegistries: {name} must be between 1 and {_PORT_MAX}.")
    is_whole = has_container and bool(entry.get("containerName"))
    if is_srv and definition.get("networkMode") != "awsvpc" and not is_whole:
        raise InvalidParameter(_NEEDS_CONTAINER)
    if is_srv and not has_port and not is_whole:
        raise InvalidParameter(_NEEDS_PORT)


def _check_container(entry: Document, definition: Document) -> None:
    name, port = entry.get("containerName"), entry.get("containerPort")
    if not name:
        return
    container = next((one for one in definition["containerDefinitions"] if one["name"] == name), None)
    if container is None:
        raise InvalidParameter(f"The container {name} does not exist in the task definition.")
    mapped = [mapping.get("containerPort") for mapping in container.get("portMappings") or ()]
    if port is not None and port not in mapped:
        raise InvalidParameter(f"The container {name} did not have a container port {port} defined.")
