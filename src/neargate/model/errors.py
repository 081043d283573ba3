"""Errors that reach a caller. Each class is one AWS error code; the message is AWS's sentence.

A domain function raises one of these with the text the user will read; the front end maps it to the caller's
protocol. Anything else that escapes an operation is a bug and is reported as the service's internal error.
"""

from typing import ClassVar


class AwsError(Exception):
    """An answer other than success. `code` is the modelled shape name, `status` the HTTP status."""

    code: ClassVar[str] = "ClientException"
    status: ClassVar[int] = 400

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        # Extra members of the modelled error shape (for example `resourceIds` of ResourceInUseException).
        self.fields = fields


class ClientError(AwsError):
    code = "ClientException"


class InvalidParameter(AwsError):
    code = "InvalidParameterException"


class ClusterNotFound(AwsError):
    code = "ClusterNotFoundException"

    def __init__(self, message: str = "Cluster not found.") -> None:
        super().__init__(message)


class ServiceNotFound(AwsError):
    code = "ServiceNotFoundException"

    def __init__(self, message: str = "Service not found.") -> None:
        super().__init__(message)


class ServiceNotActive(AwsError):
    code = "ServiceNotActiveException"

    def __init__(self, message: str = "Service was not ACTIVE.") -> None:
        super().__init__(message)


class ServiceDeploymentNotFound(AwsError):
    code = "ServiceDeploymentNotFoundException"

    def __init__(self, message: str = "Service deployment not found.") -> None:
        super().__init__(message)


class NamespaceNotFound(AwsError):
    """ECS's word for a namespace of Cloud Map."""

    code = "NamespaceNotFoundException"

    def __init__(self, message: str = "The specified namespace wasn't found.") -> None:
        super().__init__(message)


class ClusterContainsTasks(AwsError):
    code = "ClusterContainsTasksException"

    def __init__(self, message: str = "The Cluster cannot be deleted while Tasks are active.") -> None:
        super().__init__(message)


class ClusterContainsServices(AwsError):
    code = "ClusterContainsServicesException"

    def __init__(self, message: str = "The Cluster cannot be deleted while Services are active.") -> None:
        super().__init__(message)


class TargetNotFound(AwsError):
    """Of attributes."""

    code = "TargetNotFoundException"

    def __init__(self) -> None:
        super().__init__(
            "The specified target wasn't found. You can view your available container instances with "
            "ListContainerInstances. Amazon ECS container instances are cluster-specific and Region-specific."
        )


class Conflict(AwsError):
    """A clientToken was used again with other parameters."""

    code = "ConflictException"


class PlatformUnknown(AwsError):
    code = "PlatformUnknownException"

    def __init__(self, message: str = "The specified platform does not exist.") -> None:
        super().__init__(message)


class AccessDenied(AwsError):
    code = "AccessDeniedException"


class UnsupportedFeature(AwsError):
    code = "UnsupportedFeatureException"


class RoleNotAssumable(ClientError):
    """Of a task: there is no such role, or it does not trust ecs-tasks.amazonaws.com."""

    def __init__(self, role_arn: str) -> None:
        super().__init__(
            f"ECS was unable to assume the role '{role_arn}' that was provided for this task. Please verify that the "
            "role being passed has the proper trust relationship and permissions and that your IAM user has "
            "permissions to pass this role."
        )


class ResourceNotFound(AwsError):
    code = "ResourceNotFoundException"


class ResourceInUse(AwsError):
    code = "ResourceInUseException"


class ResourceAlreadyExists(AwsError):
    code = "ResourceAlreadyExistsException"


class InvalidSequenceToken(AwsError):
    code = "InvalidSequenceTokenException"


class Throttling(AwsError):
    code = "ThrottlingException"

    def __init__(self, message: str = "Rate exceeded") -> None:
        super().__init__(message)


class TooManyRequests(AwsError):
    """Service Quotas' own word for throttling."""

    code = "TooManyRequestsException"

    def __init__(self, message: str = "Rate exceeded") -> None:
        super().__init__(message)


class RequestLimitExceeded(AwsError):
    """Cloud Map's own word for throttling."""

    code = "RequestLimitExceeded"
    status = 429

    def __init__(self, message: str = "Rate exceeded") -> None:
        super().__init__(message)


class IllegalArgument(AwsError):
    code = "IllegalArgumentException"


class NoSuchResource(AwsError):
    code = "NoSuchResourceException"


class InvalidPaginationToken(AwsError):
    code = "InvalidPaginationTokenException"

    def __init__(self, message: str = "Invalid token was provided.") -> None:
        super().__init__(message)


class TargetNotConnected(AwsError):
    """The host of a task is not there, or does not bring the terminal that was asked for."""

    code = "TargetNotConnectedException"

    def __init__(self, message: str = "The execute command failed due to an internal error. Try again later.") -> None:
        super().__init__(message)


class ServiceUnavailable(AwsError):
    """A queue is full or a shard is down: the caller should retry. SDKs retry 503 by themselves."""

    code = "ServiceUnavailableException"
    status = 503

    def __init__(self, message: str = "The service is temporarily unavailable. Please try again.") -> None:
        super().__init__(message)


class InvalidOperation(AwsError):
    """CloudWatch Logs: the operation is not valid for what it was asked on."""

    code = "InvalidOperationException"


class TooManyTags(AwsError):
    code = "TooManyTagsException"


class LimitExceeded(AwsError):
    code = "LimitExceededException"
