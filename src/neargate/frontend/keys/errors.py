"""KMS's errors, each with AWS's sentence where it has one."""

from ...model.errors import AwsError


class NotFound(AwsError):
    code = "NotFoundException"


class InvalidArn(AwsError):
    code = "InvalidArnException"


class KeyDisabled(AwsError):
    code = "DisabledException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"{arn} is disabled.")


class InvalidState(AwsError):
    code = "KMSInvalidStateException"


class InvalidCiphertext(AwsError):
    """KMS has no sentence for it. Ours says no more: not whose it is, nor what is wrong with it."""

    code = "InvalidCiphertextException"

    def __init__(self) -> None:
        super().__init__("The ciphertext is invalid.")


class IncorrectKey(AwsError):
    code = "IncorrectKeyException"

    def __init__(self) -> None:
        super().__init__("The key ID in the request does not identify a CMK that can perform this operation.")


class AlreadyExists(AwsError):
    code = "AlreadyExistsException"


class LimitExceeded(AwsError):
    code = "LimitExceededException"


class Unsupported(AwsError):
    code = "UnsupportedOperationException"


class MalformedKeyPolicy(AwsError):
    code = "MalformedPolicyDocumentException"


class InvalidMarker(AwsError):
    code = "InvalidMarkerException"


class TagRefused(AwsError):
    code = "TagException"


class KmsValidation(AwsError):
    code = "ValidationException"


class InvalidGrantToken(AwsError):
    code = "InvalidGrantTokenException"


class InvalidKeyUsage(AwsError):
    code = "InvalidKeyUsageException"


class NotAuthorized(AwsError):
    """KMS's answer to who wants an alias of AWS's own."""

    code = "NotAuthorizedException"


class DryRun(AwsError):
    code = "DryRunOperationException"
    status = 412
