"""TagResource, UntagResource, ListResourceTags, and what tags a key may have."""

from msgspec.structs import replace

from ...authorize import Values, request_tags
from ...call import Answer, Call, Params
from ...keys.errors import InvalidState, KmsValidation, LimitExceeded, TagRefused
from ...keys.records import KeyState, KmsKey
from ...services import Services
from .asking import key_to_manage
from .paging import page

TAGS_MAX = 50


async def tag_resource(call: Call, services: Services, params: Params) -> Answer:
    tags = given_tags(params)
    key = key_to_manage(call, services, params["KeyId"], request_tags(dict(tags)))
    await services.keys.change_key(key, lambda key: _tagged(key, {**dict(key.tags), **dict(tags)}))
    return {}


async def untag_resource(call: Call, services: Services, params: Params) -> Answer:
    gone: list[str] = params["TagKeys"]
    keys: dict[str, Values] = {"aws:TagKeys": gone}
    key = key_to_manage(call, services, params["KeyId"], keys)
    await services.keys.change_key(
        key, lambda key: _tagged(key, {name: value for name, value in key.tags if name not in gone})
    )
    return {}


async def list_resource_tags(call: Call, services: Services, params: Params) -> Answer:
    key = key_to_manage(call, services, params["KeyId"])
    chosen, more = page(call, params, sorted(key.tags), lambda tag: tag[0], default=TAGS_MAX)
    return {"Tags": [{"TagKey": name, "TagValue": value} for name, value in chosen], **more}


def given_tags(params: Params) -> tuple[tuple[str, str], ...]:
    """The request's tags. Raises TagRefused, KmsValidation."""
    given: list[dict[str, str]] = params.get("Tags") or []
    tags = {tag["TagKey"]: tag["TagValue"] for tag in given}
    if len(tags) != len(given):
        raise TagRefused("Duplicate tag keys")
    for name in tags:
        if name.lower().startswith("aws:"):
            raise KmsValidation("aws: prefixed tag key names are not allowed for external use.")
    if len(tags) > TAGS_MAX:
        raise TagRefused("Too many tags")
    return tuple(tags.items())


def _tagged(key: KmsKey, tags: dict[str, str]) -> KmsKey:
    if key.state is KeyState.PENDING_DELETION:
        raise InvalidState(f"{key.arn} is pending deletion.")
    if len(tags) > TAGS_MAX:
        raise LimitExceeded("Too many tags")
    return replace(key, tags=tuple(tags.items()))
