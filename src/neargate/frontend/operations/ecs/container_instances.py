"""Container instances, their attributes, StartTask: what ECS answers an account that has none.

Owns the answers; nothing here makes or changes anything, since every task runs on Fargate. Invariant: leave is asked
for and the cluster looked up as if there could be some.
"""

import re

from ....model.errors import ClientError, ClusterNotFound, InvalidParameter, TargetNotFound
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .asking import cluster_key, cluster_resources, definition_resource, running_keys
from .names import cluster_name, definition_reference, own_resource
from .paging import page_limit, page_start

DESCRIBE_MAX = 100
CHANGE_MAX = 10
_ID = re.compile(r"\A[A-Za-z0-9_-]{1,255}\Z")
_STATES = ("ACTIVE", "DRAINING")


async def list_container_instances(call: Call, services: Services, params: Params) -> Answer:
    cluster = await _listed_cluster(call, services, params)
    await _look_up(call, services, cluster)
    return {"containerInstanceArns": []}


async def list_attributes(call: Call, services: Services, params: Params) -> Answer:
    cluster = await _listed_cluster(call, services, params)
    await _look_up(call, services, cluster)
    return {"attributes": []}


async def describe_container_instances(call: Call, services: Services, params: Params) -> Answer:
    return await _missing(call, services, params, DESCRIBE_MAX)


async def update_container_instances_state(call: Call, services: Services, params: Params) -> Answer:
    answer = await _missing(call, services, params, CHANGE_MAX)
    if params["status"] not in _STATES:
        raise InvalidParameter(f"Container instance status should be one of [{', '.join(_STATES)}]")
    return answer


async def _missing(call: Call, services: Services, params: Params, most: int) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    arns = _arns(call, cluster, params["containerInstances"])
    authorize(call, f"ecs:{call.operation}", arns or [_arn(call, cluster, "*")], cluster_key(call, cluster))
    await _look_up(call, services, cluster)
    _check_count(arns, most)
    return {"containerInstances": [], "failures": _failures(arns)}


async def start_task(call: Call, services: Services, params: Params) -> Answer:
    """Whatever is asked to run somewhere finds none of the instances."""
    cluster = cluster_name(call, params.get("cluster"))
    arns = _arns(call, cluster, params["containerInstances"])
    family, number = definition_reference(call, params["taskDefinition"])
    revision = services.task_definitions.find(call.account, family, number)
    keys = running_keys(call, cluster, params) | {"ecs:container-instances": arns}
    authorize(call, "ecs:StartTask", [definition_resource(call, family, number, revision)], keys)
    await _look_up(call, services, cluster)
    _check_count(arns, CHANGE_MAX)
    if revision is None:
        raise ClientError("TaskDefinition not found.")
    return {"tasks": [], "failures": _failures(arns)}


async def deregister_container_instance(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    [arn] = _arns(call, cluster, [params["containerInstance"]])
    authorize(call, "ecs:DeregisterContainerInstance", await cluster_resources(call, services, [cluster]))
    await _look_up(call, services, cluster)
    raise _not_found(arn)


async def update_container_agent(call: Call, services: Services, params: Params) -> Answer:
    cluster = cluster_name(call, params.get("cluster"))
    [arn] = _arns(call, cluster, [params["containerInstance"]])
    authorize(call, "ecs:UpdateContainerAgent", [arn], cluster_key(call, cluster))
    await _look_up(call, services, cluster)
    raise _not_found(arn)


async def change_attributes(call: Call, services: Services, params: Params) -> Answer:
    """PutAttributes and DeleteAttributes."""
    cluster = cluster_name(call, params.get("cluster"))
    authorize(call, f"ecs:{call.operation}", await cluster_resources(call, services, [cluster]))
    await _look_up(call, services, cluster)
    if not params["attributes"]:
        raise InvalidParameter("attributes can not be empty")
    raise TargetNotFound


async def _listed_cluster(call: Call, services: Services, params: Params) -> str:
    cluster = cluster_name(call, params.get("cluster"))
    authorize(call, f"ecs:{call.operation}", await cluster_resources(call, services, [cluster]))
    page_limit(params)
    page_start(call, params, str)
    return cluster


async def _look_up(call: Call, services: Services, cluster: str) -> None:
    found = await services.cell_of(call.account, cluster).describe_clusters(call.account, [cluster], frozenset())
    if not found.documents:
        raise ClusterNotFound


def _arns(call: Call, cluster: str, given: list[str]) -> list[str]:
    """Of ids and ARNs, short and long, each once."""
    identifiers: dict[str, None] = {}
    for text in given:
        name = own_resource(call, text, kind="container-instance") if text.startswith("arn:") else text
        identifier = name.rpartition("/")[2]
        if not _ID.match(identifier):
            raise InvalidParameter("Container Instance Identifier is invalid")
        identifiers[identifier] = None
    return [_arn(call, cluster, identifier) for identifier in identifiers]


def _arn(call: Call, cluster: str, identifier: str) -> str:
    return call.arn("ecs", f"container-instance/{cluster}/{identifier}")


def _check_count(arns: list[str], most: int) -> None:
    if not arns:
        raise ClientError("Container Instances cannot be empty.")
    if len(arns) > most:
        raise InvalidParameter(f"containerInstances can have at most {most} items.")


def _not_found(arn: str) -> ClientError:
    return ClientError(f"Referenced container instance {arn.rpartition('/')[2]} not found.")


def _failures(arns: list[str]) -> list[dict[str, str]]:
    return [{"arn": arn, "reason": "MISSING"} for arn in arns]
