"""EC2's errors of network interfaces that callers make: its codes and texts. No decisions."""

from ....model.errors import AwsError
from .common import InvalidParameterValue, Malformed, NotFound


class InterfaceAddressInUse(AwsError):
    code = "InvalidIPAddress.InUse"

    def __init__(self, address: str) -> None:
        super().__init__(f"Address {address} is in use.")


class NoFreeAddresses(AwsError):
    code = "InsufficientFreeAddressesInSubnet"

    def __init__(self) -> None:
        super().__init__("The specified subnet does not have enough free addresses to satisfy the request.")


class InterfaceLimitExceeded(AwsError):
    code = "NetworkInterfaceLimitExceeded"

    def __init__(self, limit: float) -> None:
        super().__init__(f"The maximum number of network interfaces has been reached: {limit:.0f}.")


class GroupsPerInterface(AwsError):
    code = "SecurityGroupsPerInterfaceLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of security groups per interface has been reached.")


class AddressesPerInterface(AwsError):
    code = "PrivateIpAddressLimitExceeded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The limit of {limit} private IPv4 addresses of a network interface would be exceeded.")


class GroupElsewhere(AwsError):
    code = "InvalidParameter"

    def __init__(self, group_id: str, subnet_id: str) -> None:
        super().__init__(f"Security group {group_id} and subnet {subnet_id} belong to different networks.")


class NotAnAddressOf(InvalidParameterValue):
    def __init__(self, address: str) -> None:
        super().__init__(f"Some of the specified addresses are not assigned to the interface: {address}")


class PrimaryStays(InvalidParameterValue):
    def __init__(self, address: str) -> None:
        super().__init__(f"The primary private IP address {address} of an interface cannot be unassigned.")


class InstanceIdMalformed(Malformed):
    code = "InvalidInstanceID.Malformed"
    prefix = "i"


class InstanceIdMissing(NotFound):
    """Neargate has tasks, and no instances: there is none of any id."""

    code = "InvalidInstanceID.NotFound"
    kind = "instance"
