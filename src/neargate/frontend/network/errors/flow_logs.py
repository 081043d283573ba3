"""What EC2 says of flow logs that cannot be had. Codes and texts are AWS's."""

from collections.abc import Sequence

from ....model.errors import AwsError
from .common import InvalidParameterValue
from .routing import InvalidParameter

_TEXT_MAX = 1000  # of what a request said, in the sentence that refuses it


class FlowLogAlreadyExists(AwsError):
    code = "FlowLogAlreadyExists"

    def __init__(self) -> None:
        super().__init__("Error. There is an existing Flow Log with the same configuration and log destination.")


class FlowLogsLimitExceeded(AwsError):
    code = "FlowLogsLimitExceeded"

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"The maximum number of flow logs for {resource_id} has been reached.")


class FlowLogsNotFound(AwsError):
    code = "InvalidFlowLogId.NotFound"

    def __init__(self, missing: Sequence[str]) -> None:
        ids = " ".join(missing)
        super().__init__(f"These flow log ids in the input list are not found: [TotalCount: {len(missing)}] {ids}")


class InvalidFormat(InvalidParameterValue):
    """`member` as AWS names it: logFormat, flowLogId."""

    def __init__(self, given: str, member: str) -> None:
        super().__init__(
            f"1 validation error detected: Value '{given[:_TEXT_MAX]}' at '{member}' has an invalid format"
        )


class UnknownFields(InvalidParameter):
    def __init__(self, fields: Sequence[str]) -> None:
        super().__init__(f"Unknown fields provided: [{', '.join(fields)[:_TEXT_MAX]}]")


class InvalidInterval(InvalidParameter):
    def __init__(self) -> None:
        super().__init__("Invalid Flow Log Max Aggregation Interval")


class NoDestination(InvalidParameter):
    def __init__(self) -> None:
        super().__init__("LogDestination can't be empty if LogGroupName is not provided.")


class GroupOfOtherType(InvalidParameter):
    def __init__(self) -> None:
        super().__init__("LogDestination type must be cloud-watch-logs if LogGroupName is provided.")


class TwoDestinations(InvalidParameter):
    def __init__(self) -> None:
        super().__init__("Please only provide LogGroupName or only provide LogDestination.")


class NoRole(InvalidParameter):
    def __init__(self) -> None:
        super().__init__("DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.")


class RoleNotAssumed(InvalidParameter):
    """There is no such role, or it does not trust vpc-flow-logs.amazonaws.com. Clients ask again on this text."""

    def __init__(self) -> None:
        super().__init__("Unable to assume given IAM role")


class DestinationInvalid(InvalidParameter):
    def __init__(self, given: str) -> None:
        super().__init__(f"LogDestination: {given[:_TEXT_MAX]} is not a log group of this account in this Region.")
