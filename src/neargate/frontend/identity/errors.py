"""IAM's errors. Codes and statuses are the service model's; the sentences are in the modules that raise them."""

from typing import ClassVar

from ...model.errors import AwsError


class NoSuchEntity(AwsError):
    code: ClassVar[str] = "NoSuchEntity"
    status: ClassVar[int] = 404


class EntityAlreadyExists(AwsError):
    code: ClassVar[str] = "EntityAlreadyExists"
    status: ClassVar[int] = 409


class DeleteConflict(AwsError):
    code: ClassVar[str] = "DeleteConflict"
    status: ClassVar[int] = 409


class LimitExceeded(AwsError):
    code: ClassVar[str] = "LimitExceeded"
    status: ClassVar[int] = 409

    @classmethod
    def of(cls, quota: str, limit: int) -> "LimitExceeded":
        return cls(f"Cannot exceed quota for {quota}: {limit}")


class InvalidInput(AwsError):
    code: ClassVar[str] = "InvalidInput"


class InvalidRequest(AwsError):
    """What IAM's own checks refuse beyond the shape of the request."""

    code: ClassVar[str] = "ValidationError"


class UnmodifiableEntity(AwsError):
    code: ClassVar[str] = "UnmodifiableEntity"


class PolicyNotAttachable(AwsError):
    code: ClassVar[str] = "PolicyNotAttachable"


class OutsideAccount(AwsError):
    """A managed policy of AWS or of another account was to be changed."""

    code: ClassVar[str] = "AccessDenied"
    status: ClassVar[int] = 403

    def __init__(self) -> None:
        super().__init__("Policy is outside your own account.")
