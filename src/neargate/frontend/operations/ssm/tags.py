"""AddTagsToResource, RemoveTagsFromResource, ListTagsForResource: of parameters, of which alone there are any."""

from collections.abc import Mapping
from functools import partial

from ...authorize import Resource, Values, authorize, request_tags
from ...call import Answer, Call, Params
from ...parameters import changes
from ...parameters.errors import InvalidResourceType
from ...parameters.names import Reference
from ...services import Services
from .finding import resource_of

_PARAMETER = "Parameter"
_KINDS = {  # how ARNs name the types of resources that requests may name
    "Document": "document",
    "ManagedInstance": "managed-instance",
    "MaintenanceWindow": "maintenancewindow",
    "PatchBaseline": "patchbaseline",
    "OpsItem": "opsitem",
    "OpsMetadata": "opsmetadata",
    "Automation": "automation-execution",
    "Association": "association",
    "CloudConnector": "cloudconnector",
}


async def add_tags_to_resource(call: Call, services: Services, params: Params) -> Answer:
    tags = params["Tags"]
    name = _asked(call, services, params, request_tags({tag["Key"]: tag["Value"] for tag in tags}))
    await services.parameters.change(call.account, partial(changes.tag, name=name, given=tags))
    return {}


async def remove_tags_from_resource(call: Call, services: Services, params: Params) -> Answer:
    keys = params["TagKeys"]
    name = _asked(call, services, params, {"aws:TagKeys": keys})
    await services.parameters.change(call.account, partial(changes.untag, name=name, keys=keys))
    return {}


async def list_tags_for_resource(call: Call, services: Services, params: Params) -> Answer:
    name = _asked(call, services, params, {})
    found = changes.tagged(services.parameters.book(call.account), name)
    return {"TagList": [{"Key": key, "Value": value} for key, value in found.tags]}


def _asked(call: Call, services: Services, params: Params, keys: Mapping[str, Values]) -> str:
    """The parameter's name. Raises AccessDenied, InvalidResourceType."""
    kind, name = params["ResourceType"], params["ResourceId"]
    if kind == _PARAMETER:
        resource = resource_of(call, services, Reference(given=name, name=name))
    else:
        resource = Resource(arn=call.arn("ssm", f"{_KINDS[kind]}/{name}"))
    authorize(call, f"ssm:{call.operation}", [resource], keys)
    if kind != _PARAMETER:
        raise InvalidResourceType
    return str(name)
