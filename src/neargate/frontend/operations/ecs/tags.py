"""TagResource, UntagResource, ListTagsForResource: of clusters, services, running tasks and task definitions.

Owns how an ARN leads to what has the tags; the limits are `definitions.tags`', the tags the cell's and the registry's.
Invariant: leave is asked for what the ARN names before the caller learns whether it is there.
"""

import contextlib
from collections.abc import Callable, Iterator

from msgspec import Struct

from ....definitions.tags import Tags, checked_tags, merged_tags, wire_tags, without_tags
from ....model.arn import Arn
from ....model.errors import ClientError, InvalidParameter, ServiceNotActive, ServiceNotFound
from ...authorize import Resource, Values, authorize
from ...call import Answer, Call, Params
from ...regional.task_definitions import Revision
from ...services import Services
from .asking import cluster_resources, definition_resource, tag_keys, task_resources
from .asking_services import service_resources
from .names import check_own, cluster_name, definition_reference, service_identifier, task_id

TagChange = Callable[[Tags], Tags]

# Of these AWS has tags too; nothing makes one here.
ABSENT = {
    "container-instance": "container instance",
    "task-set": "task set",
    "daemon": "daemon",
    "daemon-task-definition": "daemon task definition",
    "gateway": "gateway",
}
_LONG = ("container-instance", "service", "task")  # their ARNs once had no cluster's name


class Named(Struct, frozen=True, kw_only=True):
    """What an ARN names: `cluster` and `identifier` (a task's id, a service's name), `cluster` alone, or a task
    definition's revision."""

    kind: str
    arn: str
    cluster: str = ""
    identifier: str = ""
    family: str = ""
    number: int = 0


async def tag_resource(call: Call, services: Services, params: Params) -> Answer:
    named = _named(call, params["resourceArn"])
    await _ask(call, services, named, "ecs:TagResource", tag_keys(params))
    given = checked_tags(params["tags"])
    await _change(call, services, named, lambda present: merged_tags(present, given))
    return {}


async def untag_resource(call: Call, services: Services, params: Params) -> Answer:
    named = _named(call, params["resourceArn"])
    keys = params["tagKeys"]
    await _ask(call, services, named, "ecs:UntagResource", {"aws:TagKeys": keys})
    await _change(call, services, named, lambda present: without_tags(present, keys))
    return {}


async def list_tags_for_resource(call: Call, services: Services, params: Params) -> Answer:
    named = _named(call, params["resourceArn"])
    await _ask(call, services, named, "ecs:ListTagsForResource", {})
    return {"tags": wire_tags(await _tags(call, services, named))}


def _named(call: Call, text: str) -> Named:
    """Raises InvalidParameter for what is no ARN of a resource of this account that could have tags."""
    arn = Arn.parse(text)
    if arn is None or arn.service != "ecs":
        raise InvalidParameter("Resource Identifier is invalid")
    check_own(call, arn)
    kind, _, rest = arn.resource.partition("/")
    if kind in _LONG and "/" not in rest:
        raise InvalidParameter("Long arn format must be used for tagging operations")
    if kind == "cluster":
        return Named(kind=kind, arn=text, cluster=cluster_name(call, text))
    if kind == "task":
        cluster = cluster_name(call, rest.partition("/")[0])
        return Named(kind=kind, arn=text, cluster=cluster, identifier=task_id(call, cluster, text))
    if kind == "service":
        cluster = cluster_name(call, rest.partition("/")[0])
        return Named(kind=kind, arn=text, cluster=cluster, identifier=service_identifier(call, cluster, text))
    if kind == "task-definition":
        family, number = definition_reference(call, text)
        if number is None:
            raise ClientError("Revision is missing.")
        return Named(kind=kind, arn=text, family=family, number=number)
    if kind not in ABSENT:
        raise InvalidParameter(f"Unsupported resource type: {kind[:64]}")
    return Named(kind=kind, arn=text)


async def _ask(call: Call, services: Services, named: Named, action: str, keys: dict[str, Values]) -> None:
    authorize(call, action, [await _resource(call, services, named)], keys)


async def _resource(call: Call, services: Services, named: Named) -> Resource:
    """With the tags that it has, where a policy asks for them."""
    if named.kind == "cluster":
        return (await cluster_resources(call, services, [named.cluster]))[0]
    if named.kind == "task":
        return (await task_resources(call, services, named.cluster, [named.identifier]))[0]
    if named.kind == "service":
        return (await service_resources(call, services, named.cluster, [named.identifier]))[0]
    if named.kind == "task-definition":
        return definition_resource(call, named.family, named.number, _revision(call, services, named))
    return Resource(arn=named.arn)


async def _tags(call: Call, services: Services, named: Named) -> Tags:
    cell = services.cell_of(call.account, named.cluster)
    if named.kind == "cluster":
        return await cell.cluster_tags(call.account, named.cluster)
    if named.kind == "task":
        return await cell.task_tags(call.account, named.cluster, named.identifier)
    if named.kind == "service":
        with _service_is_there():
            return await services.services_of(call.account, named.cluster).service_tags(
                call.account, named.cluster, named.identifier
            )
    if named.kind == "task-definition":
        return _there(_revision(call, services, named)).tags
    raise _absent(named)


async def _change(call: Call, services: Services, named: Named, change: TagChange) -> None:
    cell = services.cell_of(call.account, named.cluster)
    if named.kind == "cluster":
        await cell.change_cluster_tags(call.account, named.cluster, change)
    elif named.kind == "task":
        await cell.change_task_tags(call.account, named.cluster, named.identifier, change)
    elif named.kind == "service":
        with _service_is_there():
            await services.services_of(call.account, named.cluster).change_service_tags(
                call.account, named.cluster, named.identifier, change
            )
    elif named.kind == "task-definition":
        await services.task_definitions.change_tags(_there(_revision(call, services, named)), change)
    else:
        raise _absent(named)


def _revision(call: Call, services: Services, named: Named) -> Revision | None:
    return services.task_definitions.find(call.account, named.family, named.number)


def _there(revision: Revision | None) -> Revision:
    if revision is None:
        raise ClientError("Unable to describe task definition.")
    return revision


@contextlib.contextmanager
def _service_is_there() -> Iterator[None]:
    """These operations have no error of their own for a service that is not there."""
    try:
        yield
    except ServiceNotFound:
        raise _not_there("service") from None
    except ServiceNotActive:
        raise InvalidParameter("The specified service is inactive. Specify an active service and try again.") from None


def _absent(named: Named) -> InvalidParameter:
    return _not_there(ABSENT[named.kind])


def _not_there(what: str) -> InvalidParameter:
    return InvalidParameter(f"The specified {what} does not exist. Specify a valid {what} and try again.")
