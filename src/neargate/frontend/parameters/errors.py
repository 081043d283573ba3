"""Parameter Store's errors. Codes are the service model's; the sentences are in the modules that raise them."""

from typing import ClassVar

from ...model.errors import AwsError


class InvalidRequest(AwsError):
    """What Systems Manager's own checks refuse beyond the shape of the request."""

    code: ClassVar[str] = "ValidationException"


class ParameterNotFound(AwsError):
    code: ClassVar[str] = "ParameterNotFound"

    @classmethod
    def of(cls, name: str) -> "ParameterNotFound":
        return cls(f"Parameter {name} not found.")


class ParameterVersionNotFound(AwsError):
    code: ClassVar[str] = "ParameterVersionNotFound"

    @classmethod
    def of(cls, name: str, number: int | str) -> "ParameterVersionNotFound":
        return cls(f"Systems Manager could not find version {number} of {name}. Verify the version and try again.")


class ParameterAlreadyExists(AwsError):
    code: ClassVar[str] = "ParameterAlreadyExists"


class ParameterLimitExceeded(AwsError):
    code: ClassVar[str] = "ParameterLimitExceeded"


class ParameterMaxVersionLimitExceeded(AwsError):
    code: ClassVar[str] = "ParameterMaxVersionLimitExceeded"


class ParameterVersionLabelLimitExceeded(AwsError):
    code: ClassVar[str] = "ParameterVersionLabelLimitExceeded"


class ParameterPatternMismatch(AwsError):
    code: ClassVar[str] = "ParameterPatternMismatchException"


class InvalidAllowedPattern(AwsError):
    code: ClassVar[str] = "InvalidAllowedPatternException"


class HierarchyLevelLimitExceeded(AwsError):
    code: ClassVar[str] = "HierarchyLevelLimitExceededException"


class InvalidPolicyType(AwsError):
    code: ClassVar[str] = "InvalidPolicyTypeException"


class TooManyUpdates(AwsError):
    code: ClassVar[str] = "TooManyUpdates"

    def __init__(self) -> None:
        super().__init__("There are concurrent updates for a resource that supports one update at a time.")


class InvalidKeyId(AwsError):
    code: ClassVar[str] = "InvalidKeyId"


class InvalidFilterKey(AwsError):
    code: ClassVar[str] = "InvalidFilterKey"


class InvalidFilterOption(AwsError):
    code: ClassVar[str] = "InvalidFilterOption"


class InvalidFilterValue(AwsError):
    code: ClassVar[str] = "InvalidFilterValue"


class InvalidNextToken(AwsError):
    code: ClassVar[str] = "InvalidNextToken"

    def __init__(self) -> None:
        super().__init__("The specified token isn't valid.")


class InvalidResourceType(AwsError):
    code: ClassVar[str] = "InvalidResourceType"

    def __init__(self) -> None:
        super().__init__("Invalid Resource Type")


class InvalidResourceId(AwsError):
    code: ClassVar[str] = "InvalidResourceId"

    def __init__(self) -> None:
        super().__init__("Invalid Resource Id")


class TooManyTags(AwsError):
    code: ClassVar[str] = "TooManyTagsError"

    def __init__(self) -> None:
        super().__init__(
            "The Targets parameter includes too many tags. Remove one or more tags and try the command again."
        )
