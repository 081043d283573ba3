"""Cloud Map's errors, each with AWS's sentence where AWS has one that is known."""

from ...model.errors import AwsError


class InvalidInput(AwsError):
    code = "InvalidInput"


class NamespaceNotFound(AwsError):
    code = "NamespaceNotFound"
    status = 404

    def __init__(self, message: str = "Namespace not found") -> None:
        super().__init__(message)


class ServiceNotFound(AwsError):
    code = "ServiceNotFound"
    status = 404

    def __init__(self, message: str = "Service not found") -> None:
        super().__init__(message)


class InstanceNotFound(AwsError):
    code = "InstanceNotFound"
    status = 404

    def __init__(self, message: str = "Instance not found") -> None:
        super().__init__(message)


class InstanceTaken(AwsError):
    """A task's id is that of an instance which is not its own."""

    code = "ResourceInUse"
    status = 409

    def __init__(self, instance: str) -> None:
        super().__init__(f"The instance {instance} is there, and not of this service of ECS.")


class OperationNotFound(AwsError):
    code = "OperationNotFound"
    status = 404

    def __init__(self) -> None:
        super().__init__("Operation not found")


class TagsOfNothing(AwsError):
    code = "ResourceNotFoundException"
    status = 404

    def __init__(self, arn: str) -> None:
        super().__init__(f"Resource not found: {arn}")


class NamespaceExists(AwsError):
    code = "NamespaceAlreadyExists"

    def __init__(self, name: str, *, namespace: str, request: str) -> None:
        super().__init__(f"Namespace with name {name} already exists.", NamespaceId=namespace, CreatorRequestId=request)


class ServiceExists(AwsError):
    code = "ServiceAlreadyExists"

    def __init__(self, name: str, *, service: str, arn: str, request: str) -> None:
        super().__init__(
            f"Service with name {name} already exists in the namespace.",
            ServiceId=service,
            ServiceArn=arn,
            CreatorRequestId=request,
        )


class NamespaceInUse(AwsError):
    code = "ResourceInUse"
    status = 409

    def __init__(self) -> None:
        super().__init__("Namespace has associated services; delete the services before deleting the namespace")


class ServiceInUse(AwsError):
    code = "ResourceInUse"
    status = 409

    def __init__(self) -> None:
        super().__init__("Service contains registered instances; delete the instances before deleting the service")


class DuplicateRequest(AwsError):
    """A CreatorRequestId was used before, for something else."""

    code = "DuplicateRequest"
    status = 409

    def __init__(self, operation: str) -> None:
        super().__init__("Another operation has the same CreatorRequestId.", DuplicateOperationId=operation)


class ResourceLimit(AwsError):
    code = "ResourceLimitExceeded"


class NoCustomHealth(AwsError):
    code = "CustomHealthNotFound"
    status = 404

    def __init__(self, service: str) -> None:
        super().__init__(f"The service {service} has no custom health check.")


class TooManyAttributes(AwsError):
    code = "ServiceAttributesLimitExceededException"


class TooManyTags(AwsError):
    code = "TooManyTagsException"

    def __init__(self, arn: str, most: int) -> None:
        super().__init__(f"A resource has at most {most} tags.", ResourceName=arn)
