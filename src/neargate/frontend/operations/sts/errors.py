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


class InvalidIdentityToken(AwsError):
    code: ClassVar[str] = "InvalidIdentityToken"


class ExpiredIdentityToken(AwsError):
    code: ClassVar[str] = "ExpiredTokenException"


class IdpCommunicationError(AwsError):
    """SDKs try again by themselves."""

    code: ClassVar[str] = "IDPCommunicationError"


class IdpRejectedClaim(AwsError):
    code: ClassVar[str] = "IDPRejectedClaim"
    status: ClassVar[int] = 403
