"""EC2's errors of interface endpoints: its codes and texts. No decisions."""

from ....model.errors import AwsError
from .routing import InvalidParameter


class DuplicateSubnetsInSameZone(AwsError):
    code = "DuplicateSubnetsInSameZone"

    def __init__(self, subnet_id: str) -> None:
        super().__init__(
            f"Found another VPC endpoint subnet in the availability zone of {subnet_id}. "
            "VPC endpoint subnets should be in different availability zones supported by the VPC endpoint service."
        )


class PrivateDnsNeedsVpc(InvalidParameter):
    def __init__(self, vpc_id: str) -> None:
        super().__init__(
            "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to true for "
            f"{vpc_id}"
        )


class PrivateDnsConflict(InvalidParameter):
    def __init__(self, name: str, vpc_id: str) -> None:
        super().__init__(
            "private-dns-enabled cannot be set because there is already a conflicting DNS domain for "
            f"{name} in the VPC {vpc_id}"
        )


class InterfaceEndpointLimitExceeded(AwsError):
    code = "VpcEndpointLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of interface VPC endpoints of this VPC has been reached.")
