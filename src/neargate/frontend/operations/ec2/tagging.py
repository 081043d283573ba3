"""CreateTags, DeleteTags, DescribeTags, of every kind of network object."""

from collections.abc import Mapping, Sequence

from ...authorize import Resource, authorize, request_tags
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterValue, NetworkInterfaceNotFound
from ...network.errors.routing import NotPermitted, Unsupported
from ...network.records.aws_prefix_lists import find_aws_prefix_list
from ...network.records.objects import NetworkInterface, Tags
from ...network.records.security_groups import StoredRule
from ...network.tagging import (
    RESOURCES_MAX,
    Tag,
    Unwanted,
    all_tags,
    check_not_reserved,
    check_tag,
    create_tags,
    delete_tags,
    find_tagged,
    type_of,
)
from ...services import Operation, Services
from .asking import authorize_describing, region_key
from .filters import Field, select
from .groups import all_enis
from .request import page, resource_arn, stop_if_dry_run, with_token

TAGS_NAMED_MAX = 1000


async def create(call: Call, services: Services, params: Params) -> Answer:
    given = [(one.get("Key") or "", one.get("Value") or "") for one in params["Tags"]]
    _authorize(call, services, params, "ec2:CreateTags", given)
    resource_ids = _resource_ids(params)
    if not given:
        raise InvalidParameterValue("At least one tag must be specified.")
    tags: Tags = tuple(dict(given).items())
    for key, value in given:
        check_tag(key, value)
        check_not_reserved(key)
    await _check_others(call, services, resource_ids)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: create_tags(shelf, resource_ids, tags))
    return {}


async def delete(call: Call, services: Services, params: Params) -> Answer:
    named: list[Mapping[str, str]] = params.get("Tags") or []
    given = [(one.get("Key") or "", one.get("Value") or "") for one in named]
    _authorize(call, services, params, "ec2:DeleteTags", given)
    resource_ids = _resource_ids(params)
    if len(named) > TAGS_NAMED_MAX:
        raise InvalidParameterValue(f"A request may name at most {TAGS_NAMED_MAX} tags")
    for key, _ in given:
        check_tag(key, "")
        check_not_reserved(key)
    unwanted = [Unwanted(key=one["Key"], value=one.get("Value")) for one in named] or None
    await _check_others(call, services, resource_ids)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: delete_tags(shelf, resource_ids, unwanted))
    return {}


def _authorize(call: Call, services: Services, params: Params, action: str, tags: Sequence[tuple[str, str]]) -> None:
    """Each resource by its own ARN with the tags that it has; what names none of ours is asked for as anything."""
    shelf = services.network.shelf(call.account)
    asked = []
    for one in dict.fromkeys(params["Resources"]):
        kind = type_of(one)
        found = find_tagged(shelf, one)
        if kind is None:
            asked.append(Resource(arn="*"))
        elif isinstance(found, StoredRule) or found is None:
            asked.append(Resource(arn=resource_arn(call, kind, one), tags=dict(found.tags if found else ())))
        else:
            vpc_id = getattr(found, "vpc_id", None)
            keys = {"ec2:Vpc": resource_arn(call, "vpc", vpc_id)} if vpc_id else {}
            asked.append(Resource(arn=resource_arn(call, kind, one), tags=dict(found.tags), keys=keys))
    requested = request_tags(dict(tags)) if tags else {}
    authorize(call, action, asked or ["*"], region_key(call) | requested)


def _resource_ids(params: Params) -> list[str]:
    resource_ids = list(dict.fromkeys(params["Resources"]))
    if len(resource_ids) > RESOURCES_MAX:
        raise InvalidParameterValue(f"A request may name at most {RESOURCES_MAX} resources")
    return resource_ids


async def _check_others(call: Call, services: Services, resource_ids: Sequence[str]) -> None:
    """What exists and has no tags here: AWS's prefix lists, and interfaces that are services' own."""
    for one in resource_ids:
        if find_aws_prefix_list(services.region, one) is not None:
            raise NotPermitted(f"The prefix list {one} is managed by AWS and cannot be tagged.")
    shelf = services.network.shelf(call.account)
    enis = [one for one in resource_ids if one.startswith("eni-") and shelf.find(NetworkInterface, one) is None]
    if enis:
        known = {eni["NetworkInterfaceId"] for eni in await all_enis(services, call.account, enis)}
        missing = [one for one in enis if one not in known]
        if missing:
            raise NetworkInterfaceNotFound(missing)
        raise Unsupported("Tags of network interfaces that a service manages cannot be changed.")


_FIELDS: dict[str, Field[Tag]] = {
    "key": lambda tag: (tag.key,),
    "resource-id": lambda tag: (tag.resource_id,),
    "resource-type": lambda tag: (tag.resource_type,),
    "value": lambda tag: (tag.value,),
}


def _place(tag: Tag) -> str:
    return f"{tag.resource_id} {tag.key}"


async def describe(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    tags = all_tags(services.network.shelf(call.account))
    found = select(tags, params.get("Filters"), _FIELDS, lambda tag: ((tag.key, tag.value),))
    shown, token = page(found, params, _place, "Tags")
    rows = [
        {"Key": tag.key, "ResourceId": tag.resource_id, "ResourceType": tag.resource_type, "Value": tag.value}
        for tag in shown
    ]
    return with_token({"Tags": rows}, token)


OPERATIONS: dict[str, Operation] = {"CreateTags": create, "DeleteTags": delete, "DescribeTags": describe}
