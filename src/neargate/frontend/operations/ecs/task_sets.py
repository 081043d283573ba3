"""Task sets, which belong to services with an EXTERNAL deployment controller: there are none of these.

Owns the refusals. Invariant: leave is asked for and the service looked up as if it could have some.
"""

from ....model.errors import InvalidParameter, ServiceNotActive, ServiceNotFound
from ...authorize import Resource, Values, authorize
from ...call import Answer, Call, Params
from ...services import Services
from .asking import authorize_tagging, cluster_key, definition_resource, tag_keys
from .asking_services import creating_keys, service_arn, service_document, service_resources
from .names import cluster_name, definition_reference, service_identifier

ONLY_EXTERNAL = "Task sets are supported only for services with an EXTERNAL deployment controller."


async def create_task_set(call: Call, services: Services, params: Params) -> Answer:
    cluster, name = _service(call, params)
    family, number = definition_reference(call, params["taskDefinition"])
    revision = services.task_definitions.find(call.account, family, number)
    definition = definition_resource(call, family, number, revision).arn
    resource = call.arn("ecs", f"task-set/{cluster}/{name}/*")
    keys = {"ecs:service": service_arn(call, cluster, name), **creating_keys(call, cluster, params, definition)}
    authorize(call, "ecs:CreateTaskSet", [resource], keys | tag_keys(params))
    authorize_tagging(call, params, resource)
    return await _refuse(call, services, cluster, name)


async def change_task_set(call: Call, services: Services, params: Params) -> Answer:
    """DeleteTaskSet and UpdateTaskSet."""
    cluster, name = _service(call, params)
    _authorize(call, cluster, name, [params["taskSet"]])
    return await _refuse(call, services, cluster, name)


async def describe_task_sets(call: Call, services: Services, params: Params) -> Answer:
    cluster, name = _service(call, params)
    _authorize(call, cluster, name, params.get("taskSets") or ["*"])
    return await _refuse(call, services, cluster, name)


async def update_service_primary_task_set(call: Call, services: Services, params: Params) -> Answer:
    cluster, name = _service(call, params)
    resources = await service_resources(call, services, cluster, [name])
    authorize(call, "ecs:UpdateServicePrimaryTaskSet", resources, cluster_key(call, cluster))
    return await _refuse(call, services, cluster, name)


def _service(call: Call, params: Params) -> tuple[str, str]:
    cluster = cluster_name(call, params["cluster"])
    return cluster, service_identifier(call, cluster, params["service"])


def _authorize(call: Call, cluster: str, name: str, given: list[str]) -> None:
    """Of ids and ARNs: what an ARN says of cluster and service is not looked at, since there is no such thing."""
    prefix = f"task-set/{cluster}/{name}/"
    resources = [Resource(arn=call.arn("ecs", prefix + text.rpartition("/")[2])) for text in given]
    keys: dict[str, Values] = {**cluster_key(call, cluster), "ecs:service": service_arn(call, cluster, name)}
    authorize(call, f"ecs:{call.operation}", resources, keys)


async def _refuse(call: Call, services: Services, cluster: str, name: str) -> Answer:
    document = await service_document(call, services, cluster, name)
    if document is None:
        raise ServiceNotFound
    if document["status"] != "ACTIVE":
        raise ServiceNotActive
    raise InvalidParameter(ONLY_EXTERNAL)
