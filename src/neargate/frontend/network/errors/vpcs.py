"""What EC2 says of VPCs, subnets, their networks and DHCP options that cannot be had. Codes and texts are AWS's."""

from collections.abc import Sequence

from ....model.errors import AwsError
from .common import InvalidParameterValue, Malformed, NotFound

_TEXT_MAX = 100  # of what a request said, in the sentence that refuses it
_RESTRICTIONS = "https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html"


class CidrInvalid(InvalidParameterValue):
    def __init__(self, given: str, parameter: str = "cidrBlock") -> None:
        super().__init__(
            f"Value ({given[:_TEXT_MAX]}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        )


class ValueInvalid(InvalidParameterValue):
    def __init__(self, given: str, parameter: str, why: str) -> None:
        super().__init__(f"Value ({given[:_TEXT_MAX]}) for parameter {parameter} is invalid. {why}")


class VpcRange(AwsError):
    code = "InvalidVpc.Range"

    @classmethod
    def of_size(cls, cidr: str) -> "VpcRange":
        return cls(f"The CIDR '{cidr}' is invalid.")

    @classmethod
    def restricted(cls, cidr: str) -> "VpcRange":
        return cls(
            f"The CIDR '{cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, "
            f"or use a publicly-routable CIDR. For additional restrictions, see {_RESTRICTIONS}"
        )

    @classmethod
    def conflict(cls, cidr: str, other: str) -> "VpcRange":
        return cls(f"The CIDR '{cidr}' conflicts with {other}")


class VpcLimitExceeded(AwsError):
    code = "VpcLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of VPCs has been reached.")


class SubnetLimitExceeded(AwsError):
    code = "SubnetLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of subnets has been reached.")


class CidrLimitExceeded(AwsError):
    code = "CidrLimitExceeded"

    def __init__(self, network_id: str, limit: float) -> None:
        super().__init__(f"This network {network_id} has met its maximum number of allowed CIDRs: {limit:.0f}")


class DhcpLimitExceeded(AwsError):
    code = "DhcpOptionsLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of DHCP options sets has been reached.")


class CidrInUse(AwsError):
    code = "InvalidCidrBlock.InUse"

    def __init__(self, vpc_id: str, cidr: str) -> None:
        super().__init__(f"The vpc {vpc_id} currently has a subnet within CIDR block {cidr}")


class CidrIsPrimary(AwsError):
    code = "OperationNotPermitted"

    def __init__(self, association_id: str) -> None:
        super().__init__(
            f"The vpc CIDR block with association ID {association_id} may not be disassociated. It is the primary IPv4 "
            "CIDR block of the VPC"
        )


class VpcAssociationNotFound(NotFound):
    code = "InvalidVpcCidrBlockAssociationID.NotFound"
    kind = "vpc CIDR block association"


class SubnetAssociationNotFound(AwsError):
    code = "InvalidSubnetCidrBlockAssociationID.NotFound"

    def __init__(self, association_id: str) -> None:
        super().__init__(f"The subnet CIDR block with association ID '{association_id}' does not exist")


class HasDependents(AwsError):
    """`kind` as the sentence names it: vpc, subnet, dhcpOptions."""

    code = "DependencyViolation"

    def __init__(self, kind: str, resource_id: str) -> None:
        super().__init__(f"The {kind} '{resource_id}' has dependencies and cannot be deleted.")


class SubnetRange(AwsError):
    code = "InvalidSubnet.Range"

    def __init__(self, cidr: str) -> None:
        super().__init__(f"The CIDR '{cidr}' is invalid.")


class SubnetConflict(AwsError):
    code = "InvalidSubnet.Conflict"

    def __init__(self, cidr: str) -> None:
        super().__init__(f"The CIDR '{cidr}' conflicts with another subnet")


class ZoneInvalid(ValueInvalid):
    """`given` is a name or an id, as `parameter` says; `known`: those that would do."""

    def __init__(self, given: str, parameter: str, known: Sequence[str]) -> None:
        why = f"Subnets can currently only be created in the following availability zones: {', '.join(known)}."
        super().__init__(given, parameter, why)


class DefaultVpcExists(AwsError):
    code = "DefaultVpcAlreadyExists"

    def __init__(self) -> None:
        super().__init__("A Default VPC already exists for this account in this region.")


class NoDefaultVpc(AwsError):
    code = "DefaultVpcDoesNotExist"

    def __init__(self) -> None:
        super().__init__("No default VPC exists for this account in this region.")


class DefaultSubnetExists(AwsError):
    code = "DefaultSubnetAlreadyExistsInAvailabilityZone"

    def __init__(self, subnet_id: str, zone: str) -> None:
        super().__init__(f"'{subnet_id}' is already the default subnet in {zone}.")


class NoFreeBlock(AwsError):
    code = "InvalidVpc.Range"

    def __init__(self, vpc_id: str, prefix: int) -> None:
        super().__init__(f"The vpc '{vpc_id}' has no free /{prefix} CIDR block for a default subnet.")


class UnsupportedTenancy(AwsError):
    code = "UnsupportedTenancy"

    def __init__(self, tenancy: str) -> None:
        super().__init__(f"The tenancy value {tenancy[:_TEXT_MAX]} is not supported.")


class NotOffered(AwsError):
    """Of what EC2 has and this region has not; AWS's answer where a region lacks something."""

    code = "UnsupportedOperation"

    def __init__(self, what: str = "") -> None:
        sentence = "The functionality you requested is not available in this region."
        super().__init__(f"{sentence} {what}" if what else sentence)


class IpamPoolNotFound(AwsError):
    code = "InvalidIpamPoolId.NotFound"

    def __init__(self, pool_id: str) -> None:
        super().__init__(f"The allocation pool ID '{pool_id[:_TEXT_MAX]}' does not exist.")


class DhcpOptionsNotFound(NotFound):
    code = "InvalidDhcpOptionID.NotFound"
    kind = "dhcpOption"


class DhcpOptionsIdMalformed(Malformed):
    code = "InvalidDhcpOptionsId.Malformed"
    prefix = "dopt"


class CidrReservationNotFound(AwsError):
    """Of any id: EC2 has no other word for one that cannot be."""

    code = "InvalidSubnetCidrReservationID.NotFound"

    def __init__(self, reservation_id: str) -> None:
        super().__init__(f"The subnet-cidr-reservation ID '{reservation_id[:_TEXT_MAX]}' does not exist")


class TooManyReservations(AwsError):
    code = "ResourceCountExceeded"

    def __init__(self, subnet_id: str, limit: int) -> None:
        super().__init__(f"The subnet '{subnet_id}' has {limit} CIDR reservations, as many as it can have.")


class MissingBlock(AwsError):
    """A subnet without IPv4 has a network of IPv6."""

    code = "MissingParameter"

    def __init__(self) -> None:
        super().__init__("Either 'ipv6CidrBlock' or 'ipv6IpamPoolId' should be provided.")
