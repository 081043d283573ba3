"""EC2's errors. Its codes have dots and its texts quote ids, as clients and Terraform match them."""

from collections.abc import Sequence

from ....model.errors import AwsError


class InvalidParameterValue(AwsError):
    code = "InvalidParameterValue"


class InvalidParameterCombination(AwsError):
    code = "InvalidParameterCombination"


class MissingParameter(AwsError):
    code = "MissingParameter"

    def __init__(self, parameter: str) -> None:
        super().__init__(f"The request must contain the parameter {parameter}")


class DryRunOperation(AwsError):
    code = "DryRunOperation"
    status = 412

    def __init__(self) -> None:
        super().__init__("Request would have succeeded, but DryRun flag is set.")


class InvalidNextToken(AwsError):
    code = "InvalidNextToken"

    def __init__(self) -> None:
        super().__init__("The specified NextToken is not valid.")


class FilterLimitExceeded(AwsError):
    code = "FilterLimitExceeded"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The maximum number of filter values specified on a single call is {limit}")


class NotFound(AwsError):
    """`kind` as EC2's sentence names it. The errors of a family of operations are beside its decisions."""

    kind = ""

    def __init__(self, missing: Sequence[str]) -> None:
        one = len(missing) == 1
        names = ", ".join(missing)
        super().__init__(f"The {self.kind} ID{'' if one else 's'} '{names}' do{'es' if one else ''} not exist")


class VpcNotFound(NotFound):
    code = "InvalidVpcID.NotFound"
    kind = "vpc"


class SubnetNotFound(NotFound):
    code = "InvalidSubnetID.NotFound"
    kind = "subnet"


class NetworkInterfaceNotFound(NotFound):
    code = "InvalidNetworkInterfaceID.NotFound"
    kind = "networkInterface"


class SecurityGroupRuleNotFound(NotFound):
    code = "InvalidSecurityGroupRuleId.NotFound"
    kind = "security group rule"


class GroupNotFound(AwsError):
    code = "InvalidGroup.NotFound"

    @classmethod
    def of_id(cls, group_id: str) -> "GroupNotFound":
        return cls(f"The security group '{group_id}' does not exist")

    @classmethod
    def of_name(cls, name: str, vpc_id: str) -> "GroupNotFound":
        return cls(f"The security group '{name}' does not exist in default VPC '{vpc_id}'")


class GroupDuplicate(AwsError):
    code = "InvalidGroup.Duplicate"


class GroupReserved(AwsError):
    code = "InvalidGroup.Reserved"


class GroupLimitExceeded(AwsError):
    code = "SecurityGroupLimitExceeded"


class PermissionDuplicate(AwsError):
    code = "InvalidPermission.Duplicate"


class PermissionNotFound(AwsError):
    code = "InvalidPermission.NotFound"

    def __init__(self) -> None:
        super().__init__("The specified rule does not exist in this security group.")


class PermissionMalformed(AwsError):
    code = "InvalidPermission.Malformed"


class PeerMissing(AwsError):
    code = "MissingParameter"

    def __init__(self) -> None:
        super().__init__(
            "The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId"
        )


class RulesLimitExceeded(AwsError):
    code = "RulesPerSecurityGroupLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of rules per security group has been reached.")


class PrefixListNotFound(AwsError):
    code = "InvalidPrefixListID.NotFound"


class CannotDelete(AwsError):
    code = "CannotDelete"


class DependencyViolation(AwsError):
    code = "DependencyViolation"

    def __init__(self, resource_id: str) -> None:
        super().__init__(f"resource {resource_id} has a dependent object")


class Malformed(AwsError):
    prefix = ""

    def __init__(self, given: str) -> None:
        super().__init__(f'Invalid id: "{given}" (expecting "{self.prefix}-...")')


class VpcIdMalformed(VpcNotFound):
    """EC2 looks for whatever is given: its list of codes has InvalidVpcID.Malformed, and its answers have not."""

    def __init__(self, given: str) -> None:
        super().__init__([given])


class SubnetIdMalformed(SubnetNotFound):
    """As VpcIdMalformed."""

    def __init__(self, given: str) -> None:
        super().__init__([given])


class GroupIdMalformed(Malformed):
    code = "InvalidGroupId.Malformed"
    prefix = "sg"


class FilteredIdMalformed(AwsError):
    """Of a group's id in a filter; the words are other than of a parameter."""

    code = "InvalidGroupId.Malformed"

    def __init__(self, given: str) -> None:
        super().__init__(f"The security group ID '{given[:255]}' is malformed")


class NetworkInterfaceIdMalformed(Malformed):
    code = "InvalidNetworkInterfaceId.Malformed"
    prefix = "eni"


class SecurityGroupRuleIdMalformed(Malformed):
    code = "InvalidSecurityGroupRuleId.Malformed"
    prefix = "sgr"


class AvailabilityZoneInvalid(InvalidParameterValue):
    def __init__(self, zone: str) -> None:
        super().__init__(f"Invalid availability zone: [{zone}]")
