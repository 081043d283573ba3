"""Names of log groups and streams as requests give them, and their ARNs as authorisation sees them."""

import re

from ....model.arn import Arn
from ....model.errors import InvalidParameter, ResourceNotFound
from ...call import Call, Params

GROUP_NAME = re.compile(r"\A[.\-_/#A-Za-z0-9]{1,512}\Z")
GROUP_PATTERN = r"[\.\-_/#A-Za-z0-9]+"
NO_GROUP = "The specified log group does not exist."


def group_arn(call: Call, group: str, stream: str = "") -> str:
    """What AWS names in a refusal: a group's actions end in `:log-stream:`, a stream's in its name."""
    return call.arn("logs", f"log-group:{group}:log-stream:{stream}")


def group_of(call: Call, params: Params) -> str:
    """The group's name from logGroupName or logGroupIdentifier (name or ARN). Raises InvalidParameter."""
    name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise InvalidParameter("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    if name is not None:
        return str(name)
    if identifier is None:
        raise InvalidParameter("Either logGroupName or logGroupIdentifier must be specified.")
    return name_of_identifier(call, str(identifier))


def name_of_identifier(call: Call, identifier: str, member: str = "logGroupIdentifier") -> str:
    """Raises InvalidParameter for what is neither name nor ARN, ResourceNotFound for another account's or region's."""
    name = identifier
    arn = Arn.parse(identifier)
    if arn is not None:
        kind, _, rest = arn.resource.partition(":")
        name = rest.removesuffix(":*")
        if arn.service != "logs" or kind != "log-group":
            name = ""
    if not GROUP_NAME.match(name):
        raise InvalidParameter(
            f"1 validation error detected: Value '{identifier}' at '{member}' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {GROUP_PATTERN}"
        )
    if arn is not None and (arn.account, arn.region) != (call.account, call.region):
        raise ResourceNotFound(NO_GROUP)
    return name
