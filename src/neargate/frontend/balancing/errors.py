"""Errors of ELBv2, by AWS's codes. What AWS says in one fixed sentence is said here; the others get theirs."""

from collections.abc import Sequence

from ...model.errors import AwsError


class ValidationError(AwsError):
    """A parameter that cannot be, alone or with the others."""

    code = "ValidationError"


class InvalidConfigurationRequest(AwsError):
    code = "InvalidConfigurationRequest"


class OperationNotPermitted(AwsError):
    code = "OperationNotPermitted"


class ResourceInUse(AwsError):
    code = "ResourceInUse"


class NotThere(AwsError):
    """`word`: how sentences name the kind. Of tags another sentence is said."""

    word = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or f"One or more {self.word}s not found")

    @classmethod
    def of_tags(cls) -> "NotThere":
        return cls(f"The specified {cls.word} does not exist.")

    @classmethod
    def of_one(cls, arn: str) -> "NotThere":
        return cls(f"{cls.word.capitalize()} '{arn}' not found")


class LoadBalancerNotFound(NotThere):
    code = "LoadBalancerNotFound"
    word = "load balancer"

    @classmethod
    def of_names(cls, names: Sequence[str]) -> "LoadBalancerNotFound":
        return cls(f"Load balancers '[{', '.join(names)}]' not found")


class TargetGroupNotFound(NotThere):
    code = "TargetGroupNotFound"
    word = "target group"

    @classmethod
    def of_tags(cls) -> "TargetGroupNotFound":
        return cls()

    @classmethod
    def of_one(cls, arn: str) -> "TargetGroupNotFound":
        return cls(f"Target groups '{arn}' not found")


class ListenerNotFound(NotThere):
    code = "ListenerNotFound"
    word = "listener"


class RuleNotFound(NotThere):
    code = "RuleNotFound"
    word = "rule"


class TrustStoreNotFound(NotThere):
    code = "TrustStoreNotFound"
    word = "trust store"


class DuplicateLoadBalancerName(AwsError):
    code = "DuplicateLoadBalancerName"

    def __init__(self, name: str) -> None:
        super().__init__(f"A load balancer with the same name '{name}' exists, but with different settings")


class DuplicateTargetGroupName(AwsError):
    code = "DuplicateTargetGroupName"

    def __init__(self, name: str) -> None:
        super().__init__(f"A target group with the same name '{name}' exists, but with different settings")


class SubnetNotFound(AwsError):
    code = "SubnetNotFound"

    def __init__(self, subnet_id: str) -> None:
        super().__init__(f"The subnet ID '{subnet_id[:255]}' does not exist")


class InvalidSubnet(AwsError):
    code = "InvalidSubnet"


class InvalidSecurityGroup(AwsError):
    code = "InvalidSecurityGroup"

    def __init__(self, group_id: str) -> None:
        super().__init__(f"The security group '{group_id[:255]}' does not exist")


class InvalidScheme(AwsError):
    code = "InvalidScheme"


class AllocationIdNotFound(AwsError):
    code = "AllocationIdNotFound"

    def __init__(self, allocation_id: str) -> None:
        super().__init__(f"The allocation ID '{allocation_id[:255]}' does not exist")


class TooManyLoadBalancers(AwsError):
    code = "TooManyLoadBalancers"

    def __init__(self) -> None:
        super().__init__("The maximum number of load balancers has been reached")


class TooManyTargetGroups(AwsError):
    code = "TooManyTargetGroups"

    def __init__(self) -> None:
        super().__init__("The maximum number of target groups has been reached")


class TooManyTargets(AwsError):
    code = "TooManyTargets"

    @classmethod
    def of_group(cls, arn: str) -> "TooManyTargets":
        return cls(f"The maximum number of targets of the target group '{arn}' has been reached")

    @classmethod
    def of_balancer(cls, arn: str, most: int) -> "TooManyTargets":
        return cls(
            f"The maximum number of targets per load balancer '{most}' has been reached on load balancer '{arn}'"
        )

    @classmethod
    def of_zone(cls, arn: str, most: int) -> "TooManyTargets":
        return cls(
            f"The maximum number of targets per Availability Zone '{most}' has been reached on load balancer '{arn}'"
        )

    @classmethod
    def across_zones(cls, most: int) -> "TooManyTargets":
        where = "per network load balancer with cross-zone load balancing enabled"
        return cls(f"You cannot have more than {most} targets {where}.")


class TooManyTags(AwsError):
    code = "TooManyTags"

    def __init__(self) -> None:
        super().__init__("The quota for the number of tags that can be assigned to the resource has been reached")


class DuplicateTagKeys(AwsError):
    code = "DuplicateTagKeys"

    def __init__(self) -> None:
        super().__init__("Tag keys must be unique")


class InvalidTarget(AwsError):
    code = "InvalidTarget"
