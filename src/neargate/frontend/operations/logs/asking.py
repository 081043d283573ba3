"""What the Logs operations tell policies: the group or stream with the tags of the group, which its streams have, too.

Reads only, and reads tags only for callers whose policies ask for them.
"""

from collections.abc import Mapping

from ....model.errors import AccessDenied
from ...authorize import Resource, Values, authorize, reads_resource_tags, request_tags
from ...call import Call, Params
from ...services import Services
from .names import group_arn


async def ask_for(
    call: Call,
    services: Services,
    params: Params,
    group: str,
    stream: str = "",
    *,
    by_arn: bool = False,
    keys: Mapping[str, Values] | None = None,
) -> None:
    """Leave for the operation on a group, or on a stream of it. Nothing is masked here; unmask is asked for still.

    `by_arn`: of the operations whose policies name the bare ARN of the group, as AWS has it for those on tags.
    """
    tags = await services.logs.group_tags(call.account, group) if reads_resource_tags(call) else {}
    arn = call.arn("logs", f"log-group:{group}") if by_arn else group_arn(call, group, stream)
    resource = Resource(arn=arn, tags=tags)
    authorize(call, f"logs:{call.operation}", [resource], keys)
    if params.get("unmask"):
        authorize(call, "logs:Unmask", [resource])


def ask_for_new_group(call: Call, group: str, tags: dict[str, str]) -> None:
    """With tags AWS wants either of two actions that tag; a refusal names the newer one."""
    resource, keys = group_arn(call, group), request_tags(tags)
    authorize(call, "logs:CreateLogGroup", [resource], keys)
    if not tags:
        return
    try:
        authorize(call, "logs:TagResource", [resource], keys)
    except AccessDenied as refused:
        try:
            authorize(call, "logs:TagLogGroup", [resource], keys)
        except AccessDenied:
            raise refused from None
