"""What ECS's operations tell policies of a request: its tags, its size, and the resources with the tags they have.

Reads only, and reads tags only for callers whose policies ask for them. Decides nothing (`authorize.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ....definitions.sizes import parse_cpu, parse_memory
from ....interfaces.roles import Documents
from ....model.arn import cluster_arn, task_arn, task_definition_arn
from ....model.errors import ClusterNotFound
from ...authorize import Resource, Values, authorize, reads_resource_tags, request_tags
from ...call import Call, Params
from ...regional.task_definitions import Revision
from ...services import Services


def given_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """Of a request before they are checked, or of a document."""
    return {tag.get("key") or "": tag.get("value") or "" for tag in params.get("tags") or ()}


def tag_keys(params: Params) -> dict[str, Values]:
    return request_tags(given_tags(params))


def authorize_tagging(call: Call, params: Params, resource: str) -> None:
    """Whoever makes something with tags must be allowed to tag it, too."""
    if params.get("tags"):
        keys = tag_keys(params) | {"ecs:CreateAction": call.operation}
        authorize(call, "ecs:TagResource", [resource], keys)


def cluster_key(call: Call, cluster: str) -> dict[str, Values]:
    return {"ecs:cluster": cluster_arn(call.region, call.account, cluster)}


def provider_keys(call: Call, strategy: Sequence[Mapping[str, Any]]) -> dict[str, Values]:
    """No key where the request names no capacity provider."""
    names = [item["capacityProvider"] for item in strategy]
    arns = [name if name.startswith("arn:") else call.arn("ecs", f"capacity-provider/{name}") for name in names]
    return {"ecs:capacity-provider": arns}


def definition_resource(call: Call, family: str, number: int | None, revision: Revision | None) -> Resource:
    """Of a revision that is not there, as it is named: who may not run it does not learn that."""
    if revision is None:
        return Resource(arn=call.arn("ecs", f"task-definition/{family}:{number or '*'}"))
    arn = task_definition_arn(call.region, call.account, revision.family, revision.number)
    return Resource(arn=arn, tags=dict(revision.tags))


def registering_keys(params: Params) -> dict[str, Values]:
    """Sizes in CPU units and MiB, whatever the request calls them; what cannot be read is refused later."""
    keys: dict[str, Values] = {
        "ecs:compute-compatibility": params.get("requiresCompatibilities") or [],
        "ecs:privileged": boolean(any(one.get("privileged") for one in params["containerDefinitions"])),
    }
    for name, given, parse in (("ecs:task-cpu", "cpu", parse_cpu), ("ecs:task-memory", "memory", parse_memory)):
        text = params.get(given)
        if text:
            parsed = parse(text)
            keys[name] = text if parsed is None else str(parsed)
    return keys | tag_keys(params)


def running_keys(call: Call, cluster: str, params: Params) -> dict[str, Values]:
    network = (params.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    keys: dict[str, Values] = {
        "ecs:subnet": network.get("subnets") or [],
        "ecs:auto-assign-public-ip": boolean(network.get("assignPublicIp") == "ENABLED"),
        "ecs:enable-ebs-volumes": boolean(params.get("volumeConfigurations")),
        "ecs:enable-ecs-managed-tags": boolean(params.get("enableECSManagedTags")),
        "ecs:enable-execute-command": boolean(params.get("enableExecuteCommand")),
        "ecs:propagate-tags": params.get("propagateTags") or "NONE",
    }
    providers = provider_keys(call, params.get("capacityProviderStrategy") or ())
    return keys | providers | cluster_key(call, cluster) | tag_keys(params)


async def cluster_resources(call: Call, services: Services, names: Sequence[str]) -> list[Resource]:
    arns = [cluster_arn(call.region, call.account, name) for name in names]
    if not names or not reads_resource_tags(call):
        return [Resource(arn=arn) for arn in arns]
    cell = services.cell_of(call.account, names[0])
    found = await cell.describe_clusters(call.account, names, frozenset({"TAGS"}))
    return _tagged(arns, found, "clusterArn")


async def task_resources(call: Call, services: Services, cluster: str, task_ids: Sequence[str]) -> list[Resource]:
    arns = [task_arn(call.region, call.account, cluster, task_id) for task_id in task_ids]
    if not reads_resource_tags(call):
        return [Resource(arn=arn) for arn in arns]
    try:
        found = await services.cell_of(call.account, cluster).describe_tasks(call.account, cluster, task_ids, True)
    except ClusterNotFound:
        found = Documents()  # nothing of it has tags; whether it may be told that there is none, policies say
    return _tagged(arns, found, "taskArn")


def _tagged(arns: Sequence[str], found: Documents, member: str) -> list[Resource]:
    documents = [msgspec.json.decode(document, type=dict[str, Any]) for document in found.documents]
    tags = {document[member]: given_tags(document) for document in documents}
    return [Resource(arn=arn, tags=tags.get(arn, {})) for arn in arns]


def boolean(value: object) -> str:
    return "true" if value else "false"
