"""PutParameter."""

from typing import Any

from ...authorize import authorize, request_tags
from ...call import Answer, Call, Params
from ...parameters import changes, rules
from ...parameters.book import ParameterBook
from ...parameters.changes import Wanted
from ...parameters.errors import InvalidRequest, TooManyTags, TooManyUpdates
from ...parameters.names import Reference
from ...parameters.records import SECURE_STRING, Version
from ...parameters.registry import Change
from ...services import Services
from .finding import ask, resource_of
from .values import sealed

_NO_TAGS_WITH_OVERWRITE = (
    "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove "
    "overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource."
)


async def put_parameter(call: Call, services: Services, params: Params) -> Answer:
    _ask(call, services, params)
    wanted = _wanted(call, params)
    planned = changes.next_version(services.parameters.book(call.account), wanted, call.now)
    kept = await sealed(call, services, wanted, planned)

    def decide(book: ParameterBook) -> Change[Version]:
        version = changes.next_version(book, wanted, call.now)
        if _seal(version) != _seal(planned):
            raise TooManyUpdates  # somebody made it a SecureString meanwhile, or of another key
        return changes.put(book, wanted, version, kept)

    version = await services.parameters.change(call.account, decide)
    return {"Version": version.number, "Tier": version.tier}


def _ask(call: Call, services: Services, params: Params) -> None:
    name, tags = params["Name"], {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}
    keys: dict[str, Any] = {"ssm:Overwrite": "true" if params.get("Overwrite") else "false"}
    ask(call, services, [name], keys | request_tags(tags))
    if tags:
        found = resource_of(call, services, Reference(given=name, name=name))
        authorize(call, "ssm:AddTagsToResource", [found], request_tags(tags))


def _wanted(call: Call, params: Params) -> Wanted:
    overwrite = bool(params.get("Overwrite"))
    if overwrite and params.get("Tags"):
        raise InvalidRequest(_NO_TAGS_WITH_OVERWRITE)
    rules.check_policies(params.get("Policies"))
    try:
        tags = rules.tags_of(params.get("Tags"))
    except TooManyTags as refused:
        raise InvalidRequest(refused.message) from None  # the operation's model has no error of its own for it
    return Wanted(
        name=params["Name"],
        value=params["Value"],
        overwrite=overwrite,
        user=call.principal.arn,
        type=params.get("Type"),
        tier=params.get("Tier"),
        data_type=params.get("DataType") or None,
        key_id=params.get("KeyId"),
        description=params.get("Description"),
        allowed_pattern=params.get("AllowedPattern"),
        tags=tags,
    )


def _seal(version: Version) -> tuple[bool, str | None, str]:
    """What a value's sealing, and the leave for it, depend on."""
    is_secure = version.type == SECURE_STRING
    return is_secure, version.key_id, version.tier if is_secure else ""
