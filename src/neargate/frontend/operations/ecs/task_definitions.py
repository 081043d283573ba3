"""RegisterTaskDefinition, DescribeTaskDefinition, the lists, DeregisterTaskDefinition, DeleteTaskDefinitions.

Owns nothing: rules are in `definitions`, state in the registry. Invariant: each operation asks leave before it acts.
"""

import msgspec

from ....definitions.files import check_files
from ....definitions.rules import check_definition, check_size
from ....definitions.tags import checked_tags, wire_tags
from ....interfaces.roles import Failure
from ....model.arn import task_definition_arn
from ....model.errors import AwsError, ClientError, InvalidParameter
from ....model.extensions import FILES
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...regional.task_definitions import ACTIVE, Revision
from ...services import Services
from .answers import joined, single
from .asking import authorize_tagging, definition_resource, registering_keys
from .names import definition_reference
from .paging import page_limit, page_start, take
from .passing import authorize_roles, roles_of

DELETE_MAX = 10

# Members of the request that are not of the stored document.
_NOT_STORED = frozenset({"tags"})


async def register_task_definition(call: Call, services: Services, params: Params) -> Answer:
    resource = call.arn("ecs", f"task-definition/{params['family']}:*")
    authorize(call, "ecs:RegisterTaskDefinition", [resource], registering_keys(params))
    authorize_tagging(call, params, resource)
    if params.get("tags") == []:
        raise ClientError("Tags can not be empty.")
    tags = checked_tags(params.get("tags"))
    own_kernel = services.kernel_grants.has(call.account)
    check_definition(params, account=call.account, own_kernel=own_kernel)
    stored = {name: value for name, value in params.items() if name not in _NOT_STORED}
    if FILES in services.extensions:
        check_size(msgspec.json.encode(stored))  # what cannot be kept is not compared with itself
        check_files(params)
    authorize_roles(call, services, roles_of(call, params))
    revision = await services.task_definitions.register(
        stored,
        account=call.account,
        region=call.region,
        registered_by=call.principal.arn,
        tags=tags,
        own_kernel=own_kernel,
    )
    return _shown(revision, with_tags=bool(tags))


async def describe_task_definition(call: Call, services: Services, params: Params) -> Answer:
    family, number = definition_reference(call, params["taskDefinition"])
    authorize(call, "ecs:DescribeTaskDefinition", ["*"])
    revision = services.task_definitions.find(call.account, family, number)
    if revision is None:
        raise ClientError("Unable to describe task definition.")
    return _shown(revision, with_tags="TAGS" in (params.get("include") or ()))


async def list_task_definitions(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecs:ListTaskDefinitions", ["*"])
    start = page_start(call, params, str, int)
    found = services.task_definitions.revisions(
        call.account,
        family=params.get("familyPrefix"),
        status=params.get("status") or ACTIVE,
        descending=params.get("sort") == "DESC",
        after=None if start is None else (str(start[0]), int(start[1])),
    )
    page, token = take(found, page_limit(params), call, lambda item: item)
    arns = [task_definition_arn(call.region, call.account, family, number) for family, number in page]
    return {"taskDefinitionArns": arns} | ({"nextToken": token} if token else {})


async def list_task_definition_families(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ecs:ListTaskDefinitionFamilies", ["*"])
    start = page_start(call, params, str)
    found = services.task_definitions.families(
        call.account,
        prefix=params.get("familyPrefix") or "",
        status=params.get("status") or "ALL",
        after=None if start is None else str(start[0]),
    )
    page, token = take(found, page_limit(params), call, lambda name: (name,))
    return {"families": page} | ({"nextToken": token} if token else {})


async def deregister_task_definition(call: Call, services: Services, params: Params) -> Answer:
    family, number = definition_reference(call, params["taskDefinition"])
    authorize(call, "ecs:DeregisterTaskDefinition", ["*"])
    if number is None:
        raise ClientError("Revision is missing.")
    revision = services.task_definitions.find(call.account, family, number)
    if revision is None:
        raise ClientError("The specified task definition does not exist.")
    return _shown(await services.task_definitions.deregister(revision), with_tags=False)


async def delete_task_definitions(call: Call, services: Services, params: Params) -> Answer:
    names = params["taskDefinitions"]
    if not names:
        raise InvalidParameter("taskDefinitions can not be empty.")
    if len(names) > DELETE_MAX:
        raise InvalidParameter(f"taskDefinitions can have at most {DELETE_MAX} items.")
    # Leave is asked for all of them before the first is touched.
    found = [_deletable(call, services, name) for name in dict.fromkeys(names)]
    deleted = [
        (await services.task_definitions.delete(item)).document for item in found if not isinstance(item, Failure)
    ]
    return joined("taskDefinitions", deleted, [item for item in found if isinstance(item, Failure)])


def _deletable(call: Call, services: Services, name: str) -> Revision | Failure:
    """One of the revisions to delete, or why it cannot be; the others are deleted all the same."""
    authorize(call, "ecs:DeleteTaskDefinitions", [_deleted(call, services, name)])
    missing = Failure(
        arn=name,
        reason="The specified task definition does not exist. Specify a valid account, family, revision and try again.",
    )
    try:
        family, number = definition_reference(call, name)
    except AwsError:
        return missing
    if number is None:
        return Failure(
            arn=name,
            reason="The specified task definition identifier is invalid. Specify a valid name or ARN and try again.",
        )
    revision = services.task_definitions.find(call.account, family, number)
    if revision is None:
        return missing
    if revision.status == ACTIVE:
        return Failure(
            arn=_arn(call, f"{family}:{number}"),
            reason="The specified task definition is still in ACTIVE status. "
            "Please deregister the target and try again.",
        )
    return revision


def _deleted(call: Call, services: Services, name: str) -> Resource:
    """What cannot be a revision of this account is asked for as everything, and then reported as missing."""
    try:
        family, number = definition_reference(call, name)
    except AwsError:
        return Resource(arn="*")
    revision = None if number is None else services.task_definitions.find(call.account, family, number)
    return definition_resource(call, family, number, revision)


def _arn(call: Call, name: str) -> str:
    return call.arn("ecs", f"task-definition/{name}")


def _shown(revision: Revision, *, with_tags: bool) -> Answer:
    return single("taskDefinition", revision.document, {"tags": wire_tags(revision.tags)} if with_tags else None)
