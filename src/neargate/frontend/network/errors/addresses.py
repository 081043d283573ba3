"""What EC2 says of elastic addresses, NAT gateways and interfaces. Codes and texts are AWS's."""

from collections.abc import Sequence

from ....model.errors import AwsError
from .common import InvalidParameterValue, Malformed, NotFound


class AddressLimitExceeded(AwsError):
    code = "AddressLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of addresses has been reached.")


class PoolExhausted(AwsError):
    code = "InsufficientAddressCapacity"

    def __init__(self) -> None:
        super().__init__("This Region's pool of public addresses has no free address for an Elastic IP.")


class AllocationTooLate(AwsError):
    """It was given up for lost meanwhile. SDKs repeat the call, which then gets another address."""

    code = "Unavailable"
    status = 503

    def __init__(self) -> None:
        super().__init__("The server is overloaded and can't handle the request.")


class PublicPoolNotFound(NotFound):
    code = "InvalidPublicIpv4PoolID.NotFound"
    kind = "publicIpv4Pool"


class AddressUnknown(AwsError):
    code = "InvalidAddress.NotFound"

    def __init__(self, public_ip: str) -> None:
        super().__init__(f"Address '{public_ip[:255]}' not found.")


class AddressMalformed(AwsError):
    code = "InvalidAddress.Malformed"

    def __init__(self, given: str) -> None:
        super().__init__(f"Invalid IPv4 address: {given[:255]}")


class AddressInUse(AwsError):
    code = "InvalidIPAddress.InUse"

    def __init__(self, public_ip: str) -> None:
        super().__init__(f"Address {public_ip} is in use.")


class AssociationNotFound(NotFound):
    code = "InvalidAssociationID.NotFound"
    kind = "association"


class AlreadyAssociated(AwsError):
    code = "Resource.AlreadyAssociated"

    def __init__(self, allocation_id: str, association_id: str) -> None:
        super().__init__(f"resource {allocation_id} is already associated with associate-id {association_id}")


class ManagedByAService(AwsError):
    """An interface of a task or of a gateway is its service's, and so is the address that it has."""

    code = "AuthFailure"

    def __init__(self) -> None:
        super().__init__("You do not have permission to access the specified resource.")


class AttachmentNotManaged(AwsError):
    code = "OperationNotPermitted"

    def __init__(self) -> None:
        super().__init__("You are not allowed to manage 'ela-attach' attachments.")


class AttachmentNotFound(NotFound):
    code = "InvalidAttachmentID.NotFound"
    kind = "attachment"


class InterfaceInUse(InvalidParameterValue):
    def __init__(self, interface_id: str) -> None:
        super().__init__(f"Network interface '{interface_id}' is currently in use.")


class InstanceNotFound(NotFound):
    """Neargate has tasks, and no instances."""

    code = "InvalidInstanceID.NotFound"
    kind = "instance"


class NatGatewayMalformed(Malformed):
    code = "NatGatewayMalformed"
    prefix = "nat"


class NatGatewayGone(AwsError):
    """As operations on gateways say it; those on routes and tags say InvalidNatGatewayID.NotFound."""

    code = "NatGatewayNotFound"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"NatGateway {', '.join(missing)} was not found")


class NatGatewayLimitExceeded(AwsError):
    code = "NatGatewayLimitExceeded"

    def __init__(self, limit: float) -> None:
        super().__init__(f"Performing this operation would exceed the limit of {limit:.0f} NAT gateways")


class ElasticIpNotFound(NotFound):
    """As CreateNatGateway says it; operations on addresses say InvalidAllocationID.NotFound."""

    code = "InvalidElasticIpID.NotFound"
    kind = "elasticIp"


class ElasticIpMalformed(AwsError):
    code = "InvalidElasticIpID.Malformed"

    def __init__(self, given: str) -> None:
        super().__init__(f"The elastic-ip ID '{given[:255]}' is malformed")


class SubnetMalformed(Malformed):
    """As CreateNatGateway says it; other operations say InvalidSubnetID.NotFound."""

    code = "InvalidSubnetID.Malformed"
    prefix = "subnet"


class SubnetUnknown(AwsError):
    """As CreateNatGateway says it."""

    code = "InvalidSubnet"

    def __init__(self, subnet_id: str) -> None:
        super().__init__(f"Subnet {subnet_id[:255]} was not found")


class TokenMismatch(AwsError):
    code = "IdempotentParameterMismatch"

    def __init__(self) -> None:
        super().__init__(
            "The client token you have provided is associated with a resource that has different parameters."
        )


class NotBuilt(AwsError):
    """What EC2 can and Neargate cannot."""

    code = "UnsupportedOperation"
