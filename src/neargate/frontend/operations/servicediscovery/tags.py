"""Tags of namespaces and services, which are named by their ARNs."""

from collections.abc import Callable

from msgspec.structs import replace

from ....model.arn import Arn
from ...authorize import Values, authorize, request_tags
from ...call import Answer, Call, Params
from ...cloudmap.errors import InvalidInput, TagsOfNothing, TooManyTags
from ...cloudmap.records import Namespace, Pairs, Service
from ...cloudmap.room import check_account
from ...regional.shelves import Change, Shelf
from ...services import Services
from .shapes import TAGS_MAX, given_tags, named_tags

_KINDS: dict[str, type[Namespace] | type[Service]] = {"namespace": Namespace, "service": Service}


async def list_tags_for_resource(call: Call, services: Services, params: Params) -> Answer:
    return {"Tags": named_tags(_meant(call, services, params["ResourceARN"]).tags)}


async def tag_resource(call: Call, services: Services, params: Params) -> Answer:
    given = given_tags(params)
    found = _meant(call, services, params["ResourceARN"], request_tags(dict(given)) if given else {})

    def tagged(tags: Pairs) -> Pairs:
        merged = {**dict(tags), **dict(given)}
        if len(merged) > TAGS_MAX:
            raise TooManyTags(found.arn, TAGS_MAX)
        return tuple(merged.items())

    return await _change(services, found, tagged)


async def untag_resource(call: Call, services: Services, params: Params) -> Answer:
    gone: list[str] = params["TagKeys"]
    found = _meant(call, services, params["ResourceARN"], {"aws:TagKeys": gone})
    return await _change(services, found, lambda tags: tuple(tag for tag in tags if tag[0] not in gone))


def _meant(call: Call, services: Services, named: str, context: dict[str, Values] | None = None) -> Namespace | Service:
    """After leave for it. Raises AccessDenied, TagsOfNothing, InvalidInput."""
    authorize(call, f"servicediscovery:{call.operation}", ["*"], context)
    arn = Arn.parse(named)
    kind, _, name = ("", "", "") if arn is None else arn.resource.partition("/")
    if arn is None or arn.service != "servicediscovery" or kind not in _KINDS or not name:
        raise InvalidInput(f"{named} is not the ARN of a namespace or a service.")
    is_here = arn.account == call.account and arn.region == services.region
    found = services.cloud_map.shelf(call.account).find(_KINDS[kind], name) if is_here else None
    if found is None:
        raise TagsOfNothing(named)
    return found


async def _change(services: Services, found: Namespace | Service, changed: Callable[[Pairs], Pairs]) -> Answer:
    def decide(shelf: Shelf) -> Change[None]:
        now = shelf.find(type(found), found.name)
        if now is None:
            raise TagsOfNothing(found.arn)
        after = replace(now, tags=changed(now.tags))
        if isinstance(now, Service) and isinstance(after, Service):
            check_account(shelf, after, now)
        return Change(result=None, put=(after,) if after != now else ())

    await services.cloud_map.change(found.account, decide)
    return {}
