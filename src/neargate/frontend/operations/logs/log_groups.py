"""CreateLogGroup, DeleteLogGroup, DescribeLogGroups."""

from ....interfaces.roles import GroupFilter
from ....model.errors import InvalidParameter
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...services import Services
from .asking import ask_for, ask_for_new_group
from .names import group_arn, name_of_identifier
from .tags import refuse_reserved

PAGE_MAX = 50


async def create_log_group(call: Call, services: Services, params: Params) -> Answer:
    name, tags = params["logGroupName"], params.get("tags") or {}
    ask_for_new_group(call, name, tags)
    if name.lower().startswith("aws/"):
        raise InvalidParameter("Log groups starting with AWS/ are reserved for AWS.")
    _refuse_what_is_not_built(params)
    refuse_reserved(tags)
    await services.logs.create_group(call.account, name, tags)
    return {}


def _refuse_what_is_not_built(params: Params) -> None:
    """Accepting these without their effect would be a pretended success."""
    if params.get("kmsKeyId") is not None:
        raise InvalidParameter(
            "The specified KMS key does not exist or is not allowed to be used with LogGroup "
            f"'{params['logGroupName']}'"
        )
    group_class = params.get("logGroupClass", "STANDARD")
    if group_class != "STANDARD":
        raise InvalidParameter(f"The log group class {group_class} is not supported.")
    if params.get("deletionProtectionEnabled"):
        raise InvalidParameter("Deletion protection of log groups is not supported.")


async def delete_log_group(call: Call, services: Services, params: Params) -> Answer:
    name = params["logGroupName"]
    await ask_for(call, services, params, name)
    await services.logs.delete_group(call.account, name)
    return {}


async def describe_log_groups(call: Call, services: Services, params: Params) -> Answer:
    prefix, pattern = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
    identifiers = params.get("logGroupIdentifiers")
    authorize(call, "logs:DescribeLogGroups", [group_arn(call, prefix or "")])
    if prefix is not None and pattern is not None:
        raise InvalidParameter("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    if identifiers is not None and (prefix is not None or pattern is not None or "logGroupClass" in params):
        raise InvalidParameter("logGroupIdentifiers cannot be combined with other filters.")
    if _shows_nothing_of_this_account(call, params):
        return {"logGroups": []}
    names = None if identifiers is None else tuple(name_of_identifier(call, text) for text in identifiers)
    groups, token = await services.logs.describe_groups(
        call.account,
        GroupFilter(prefix=prefix, pattern=pattern, names=names),
        params.get("limit", PAGE_MAX),
        params.get("nextToken"),
    )
    return {"logGroups": groups} | ({"nextToken": token} if token else {})


def _shows_nothing_of_this_account(call: Call, params: Params) -> bool:
    """Other accounts are never shown; other classes have no members."""
    accounts = params.get("accountIdentifiers")
    elsewhere = bool(params.get("includeLinkedAccounts")) and bool(accounts) and call.account not in (accounts or [])
    return elsewhere or params.get("logGroupClass", "STANDARD") != "STANDARD"
