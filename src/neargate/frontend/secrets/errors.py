"""Secrets Manager's errors, each with AWS's sentence where it has one. None quotes a value."""

from ...model.errors import AwsError


class SecretNotFound(AwsError):
    code = "ResourceNotFoundException"

    def __init__(self, message: str = "Secrets Manager can't find the specified secret.") -> None:
        super().__init__(message)


class SecretExists(AwsError):
    code = "ResourceExistsException"


class InvalidRequest(AwsError):
    code = "InvalidRequestException"


class MarkedDeleted(InvalidRequest):
    def __init__(self) -> None:
        super().__init__("You can't perform this operation on the secret because it was marked for deletion.")


class SecretInvalid(AwsError):
    code = "InvalidParameterException"


class SecretLimit(AwsError):
    code = "LimitExceededException"


class EncryptionFailed(AwsError):
    code = "EncryptionFailure"

    def __init__(self) -> None:
        super().__init__(
            "Secrets Manager can't encrypt the protected secret text using the provided KMS key. Check that the KMS "
            "key is available, enabled, and not in an invalid state."
        )


class DecryptionFailed(AwsError):
    code = "DecryptionFailure"

    def __init__(self) -> None:
        super().__init__("Secrets Manager can't decrypt the protected secret text using the provided KMS key.")


class InvalidNextToken(AwsError):
    code = "InvalidNextTokenException"

    def __init__(self) -> None:
        super().__init__("The NextToken value is invalid.")


class MalformedSecretPolicy(AwsError):
    code = "MalformedPolicyDocumentException"


class PublicPolicy(AwsError):
    code = "PublicPolicyException"

    def __init__(self) -> None:
        super().__init__("The resource policy grants broad access to the secret: BlockPublicPolicy does not allow it.")


class InvalidSecretName(AwsError):
    code = "ValidationException"

    def __init__(self) -> None:
        super().__init__(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
        )
