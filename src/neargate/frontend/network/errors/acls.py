"""EC2's errors of network ACLs: its codes and texts. No decisions."""

from ....model.errors import AwsError
from .common import InvalidParameterValue, Malformed, NotFound


class NetworkAclNotFound(NotFound):
    code = "InvalidNetworkAclID.NotFound"
    kind = "networkAcl"


class NetworkAclIdMalformed(Malformed):
    code = "InvalidNetworkAclId.Malformed"
    prefix = "acl"


class AclAssociationNotFound(AwsError):
    code = "InvalidAssociationID.NotFound"

    def __init__(self, association_id: str) -> None:
        super().__init__(f"The association ID '{association_id}' does not exist")


class AclAssociationIdMalformed(Malformed):
    code = "InvalidAssociationId.Malformed"
    prefix = "aclassoc"


class AclEntryExists(AwsError):
    code = "NetworkAclEntryAlreadyExists"

    def __init__(self, number: int) -> None:
        super().__init__(f"The network acl entry identified by {number} already exists.")


class AclEntryNotFound(AwsError):
    code = "InvalidNetworkAclEntry.NotFound"

    def __init__(self, acl_id: str, number: int, *, is_egress: bool) -> None:
        way = "egress" if is_egress else "ingress"
        super().__init__(f"no {way} entry with number {number} in network ACL {acl_id}")


class AclEntryLimitExceeded(AwsError):
    code = "NetworkAclEntryLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of network acl entries has been reached.")


class AclLimitExceeded(AwsError):
    code = "NetworkAclLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of network acls has been reached.")


class DefaultAclStays(InvalidParameterValue):
    def __init__(self, acl_id: str) -> None:
        super().__init__(f"cannot delete default network ACL {acl_id}")


class AclInUse(AwsError):
    code = "DependencyViolation"

    def __init__(self, acl_id: str) -> None:
        super().__init__(f"The network ACL '{acl_id}' has dependencies and cannot be deleted.")


class DifferentNetworks(InvalidParameterValue):
    def __init__(self, acl_id: str, subnet_id: str) -> None:
        super().__init__(f"network ACL {acl_id} and subnet {subnet_id} belong to different networks")


class NetworkMissing(AwsError):
    code = "MissingParameter"

    def __init__(self) -> None:
        super().__init__("Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.")
