"""What operations on services tell policies: the members of the request, and services with the tags they have.

Reads only, and reads tags only for callers whose policies ask for them. Decides nothing (`authorize.py`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ....interfaces.roles import Documents
from ....model.errors import ClusterNotFound
from ...authorize import Resource, Values, reads_resource_tags
from ...call import Call, Params
from ...services import Services
from .asking import boolean, cluster_key, given_tags, provider_keys


def service_arn(call: Call, cluster: str, name: str) -> str:
    return call.arn("ecs", f"service/{cluster}/{name}")


async def service_resources(call: Call, services: Services, cluster: str, names: Sequence[str]) -> list[Resource]:
    """A service that is not there has no tags; whether it may be told that there is none, policies say."""
    arns = [service_arn(call, cluster, name) for name in names]
    if not names or not reads_resource_tags(call):
        return [Resource(arn=arn) for arn in arns]
    try:
        manager = services.services_of(call.account, cluster)
        found = await manager.describe_services(call.account, cluster, names, include_tags=True)
    except ClusterNotFound:
        found = Documents()
    documents = [msgspec.json.decode(document, type=dict[str, Any]) for document in found.documents]
    tags = {document["serviceArn"]: given_tags(document) for document in documents}
    return [Resource(arn=arn, tags=tags.get(arn, {})) for arn in arns]


async def service_document(call: Call, services: Services, cluster: str, name: str) -> dict[str, Any] | None:
    """None for one that is not there. Raises ClusterNotFound."""
    manager = services.services_of(call.account, cluster)
    found = await manager.describe_services(call.account, cluster, [name], include_tags=False)
    if not found.documents:
        return None
    document: dict[str, Any] = msgspec.json.decode(found.documents[0])
    return document


def creating_keys(call: Call, cluster: str, params: Params, definition: str) -> dict[str, Values]:
    """`definition`: the ARN of the revision that every task will be of."""
    return {
        "ecs:task-definition": definition,
        "ecs:auto-assign-public-ip": boolean(_network(params).get("assignPublicIp") == "ENABLED"),
        "ecs:enable-ebs-volumes": boolean(params.get("volumeConfigurations")),
        "ecs:enable-ecs-managed-tags": boolean(params.get("enableECSManagedTags")),
        "ecs:enable-execute-command": boolean(params.get("enableExecuteCommand")),
        "ecs:enable-service-connect": boolean(_connects(params)),
        "ecs:enable-vpc-lattice": boolean(params.get("vpcLatticeConfigurations")),
        "ecs:propagate-tags": params.get("propagateTags") or "NONE",
        **_common(call, cluster, params),
    }


def updating_keys(call: Call, cluster: str, params: Params, definition: str | None) -> dict[str, Values]:
    """Of what the request changes; what it leaves as it is, it does not say."""
    keys = _common(call, cluster, params)
    if definition is not None:
        keys["ecs:task-definition"] = definition
    if _network(params).get("assignPublicIp"):
        keys["ecs:auto-assign-public-ip"] = boolean(_network(params)["assignPublicIp"] == "ENABLED")
    for key, member in (
        ("ecs:enable-ebs-volumes", "volumeConfigurations"),
        ("ecs:enable-ecs-managed-tags", "enableECSManagedTags"),
        ("ecs:enable-execute-command", "enableExecuteCommand"),
        ("ecs:enable-vpc-lattice", "vpcLatticeConfigurations"),
    ):
        if params.get(member) is not None:
            keys[key] = boolean(params[member])
    if params.get("serviceConnectConfiguration") is not None:
        keys["ecs:enable-service-connect"] = boolean(_connects(params))
    if params.get("propagateTags"):
        keys["ecs:propagate-tags"] = params["propagateTags"]
    return keys


def _common(call: Call, cluster: str, params: Params) -> dict[str, Values]:
    connect = params.get("serviceConnectConfiguration") or {}
    return {
        "ecs:subnet": _network(params).get("subnets") or [],
        "ecs:namespace": connect.get("namespace") or [],
        **provider_keys(call, params.get("capacityProviderStrategy") or ()),
        **cluster_key(call, cluster),
    }


def _network(params: Params) -> dict[str, Any]:
    return (params.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}


def _connects(params: Params) -> bool:
    return bool((params.get("serviceConnectConfiguration") or {}).get("enabled"))
