"""TagResource, UntagResource, ListTagsForResource and the older operations that name a log group instead of its ARN."""

from ....model.arn import Arn
from ....model.errors import InvalidParameter
from ...authorize import request_tags
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for
from .names import name_of_identifier


async def tag_log_group(call: Call, services: Services, params: Params) -> Answer:
    return await _tag(call, services, params, params["logGroupName"])


async def tag_resource(call: Call, services: Services, params: Params) -> Answer:
    return await _tag(call, services, params, _group_of_arn(call, params), by_arn=True)


async def untag_log_group(call: Call, services: Services, params: Params) -> Answer:
    return await _untag(call, services, params, params["logGroupName"], params["tags"])


async def untag_resource(call: Call, services: Services, params: Params) -> Answer:
    return await _untag(call, services, params, _group_of_arn(call, params), params["tagKeys"], by_arn=True)


async def list_tags_log_group(call: Call, services: Services, params: Params) -> Answer:
    return await _list(call, services, params, params["logGroupName"])


async def list_tags_for_resource(call: Call, services: Services, params: Params) -> Answer:
    return await _list(call, services, params, _group_of_arn(call, params), by_arn=True)


async def _tag(call: Call, services: Services, params: Params, group: str, *, by_arn: bool = False) -> Answer:
    tags = params["tags"]
    await ask_for(call, services, params, group, by_arn=by_arn, keys=request_tags(tags))
    refuse_reserved(tags)
    await services.logs.tag_group(call.account, group, tags)
    return {}


async def _untag(
    call: Call, services: Services, params: Params, group: str, keys: list[str], *, by_arn: bool = False
) -> Answer:
    await ask_for(call, services, params, group, by_arn=by_arn, keys={"aws:TagKeys": keys})
    refuse_reserved(keys)
    await services.logs.untag_group(call.account, group, keys)
    return {}


async def _list(call: Call, services: Services, params: Params, group: str, *, by_arn: bool = False) -> Answer:
    await ask_for(call, services, params, group, by_arn=by_arn)
    return {"tags": dict(await services.logs.list_tags(call.account, group))}


def refuse_reserved(keys: dict[str, str] | list[str]) -> None:
    if any(key.lower().startswith("aws:") for key in keys):
        raise InvalidParameter("aws: prefixed tag key names are not allowed for external use.")


def _group_of_arn(call: Call, params: Params) -> str:
    """Log groups are all that has tags here. Raises InvalidParameter, ResourceNotFound."""
    arn = params["resourceArn"]
    if Arn.parse(arn) is None:
        raise InvalidParameter(f"The specified resource ARN is invalid: {arn}")
    return name_of_identifier(call, arn, "resourceArn")
