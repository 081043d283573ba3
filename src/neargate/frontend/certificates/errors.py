"""ACM's errors, with AWS's sentences where they are known."""

from collections.abc import Sequence

from ...model.errors import AwsError


class CertificateNotFound(AwsError):
    code = "ResourceNotFoundException"

    def __init__(self, arn: str, account: str) -> None:
        super().__init__(f"Could not find certificate {arn} in account {account}.")


class CertificateInUse(AwsError):
    code = "ResourceInUseException"

    def __init__(self, arn: str, account: str) -> None:
        super().__init__(f"Certificate {arn} in account {account} is in use.")


class InvalidArn(AwsError):
    code = "InvalidArnException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"{arn} is not a valid ARN of a certificate.")


class Invalid(AwsError):
    code = "ValidationException"


class InvalidParameter(AwsError):
    code = "InvalidParameterException"


class InvalidTag(AwsError):
    code = "InvalidTagException"


class TooManyTags(AwsError):
    code = "TooManyTagsException"

    def __init__(self, keys: Sequence[str], most: int) -> None:
        super().__init__(
            f"the TagSet: '{{{', '.join(keys)}}}' contains too many Tags: a certificate may have {most} of them."
        )


class CertificateLimit(AwsError):
    code = "LimitExceededException"

    def __init__(self, most: int) -> None:
        super().__init__(f"Error: you have reached your limit of {most} certificates.")


class InvalidDomainValidation(AwsError):
    code = "InvalidDomainValidationOptionsException"


class InvalidArguments(AwsError):
    code = "InvalidArgsException"
