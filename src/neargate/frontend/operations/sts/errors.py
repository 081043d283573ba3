"""STS's errors. Codes and statuses are the service model's; the sentences are in the modules that raise them."""

from typing import ClassVar

from ....model.errors import AwsError


class InvalidRequest(AwsError):
    """What STS refuses beyond the shape of the request."""

    code: ClassVar[str] = "ValidationError"


class InvalidParameterValue(AwsError):
    code: ClassVar[str] = "InvalidParameterValue"


class PackedPolicyTooLarge(AwsError):
    code: ClassVar[str] = "PackedPolicyTooLarge"


class InvalidAuthorizationMessage(AwsError):
    code: ClassVar[str] = "InvalidAuthorizationMessageException"
