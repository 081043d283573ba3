"""EC2's errors of route tables, gateways, peerings and endpoints: its codes and texts. No decisions."""

from ....model.errors import AwsError
from .common import InvalidParameterValue, Malformed, NotFound


class RouteTableNotFound(NotFound):
    code = "InvalidRouteTableID.NotFound"
    kind = "routeTable"


class RouteTableIdMalformed(Malformed):
    code = "InvalidRouteTableId.Malformed"
    prefix = "rtb"


class AssociationNotFound(NotFound):
    code = "InvalidAssociationID.NotFound"
    kind = "association"


class AssociationIdMalformed(Malformed):
    code = "InvalidAssociationId.Malformed"
    prefix = "rtbassoc"


class RouteTableLimitExceeded(AwsError):
    code = "RouteTableLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of route tables has been reached.")


class RouteLimitExceeded(AwsError):
    code = "RouteLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of routes has been reached.")


class RouteAlreadyExists(AwsError):
    code = "RouteAlreadyExists"

    def __init__(self, destination: str) -> None:
        super().__init__(f"The route identified by {destination} already exists.")


class EndpointRouteAlreadyExists(AwsError):
    code = "RouteAlreadyExists"

    def __init__(self, table_id: str, list_id: str) -> None:
        super().__init__(f"route table {table_id} already has a route with destination-prefix-list-id {list_id}")


class RouteNotFound(AwsError):
    code = "InvalidRoute.NotFound"

    def __init__(self, table_id: str, destination: str, parameter: str) -> None:
        super().__init__(f"no route with {parameter} {destination} in route table {table_id}")


class DifferentNetworks(InvalidParameterValue):
    def __init__(self, table_id: str, kind: str, other: str) -> None:
        super().__init__(f"route table {table_id} and {kind} {other} belong to different networks")


class HasDependencies(AwsError):
    """`kind` as EC2's sentence names it: routeTable, internetGateway."""

    code = "DependencyViolation"

    def __init__(self, kind: str, resource_id: str) -> None:
        super().__init__(f"The {kind} '{resource_id}' has dependencies and cannot be deleted.")


class MappedAddresses(AwsError):
    code = "DependencyViolation"

    def __init__(self, vpc_id: str) -> None:
        super().__init__(
            f"Network {vpc_id} has some mapped public address(es). "
            "Please unmap those public address(es) before detaching the gateway."
        )


class AlreadyAssociated(AwsError):
    code = "Resource.AlreadyAssociated"


class GatewayNotAttached(AwsError):
    code = "Gateway.NotAttached"

    def __init__(self, gateway_id: str, vpc_id: str) -> None:
        super().__init__(f"resource {gateway_id} is not attached to network {vpc_id}")


class InternetGatewayNotFound(NotFound):
    code = "InvalidInternetGatewayID.NotFound"
    kind = "internetGateway"


class InternetGatewayIdMalformed(Malformed):
    code = "InvalidInternetGatewayId.Malformed"
    prefix = "igw"


class InternetGatewayLimitExceeded(AwsError):
    code = "InternetGatewayLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of internet gateways has been reached.")


class EgressOnlyGatewayNotFound(NotFound):
    code = "InvalidGatewayID.NotFound"
    kind = "eigw"


class EgressOnlyGatewayIdMalformed(Malformed):
    code = "InvalidEgressOnlyInternetGatewayId.Malformed"
    prefix = "eigw"


class EgressOnlyGatewayLimitExceeded(AwsError):
    code = "EgressOnlyInternetGatewayLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of egress-only internet gateways has been reached.")


class GatewayNotFound(NotFound):
    """Of CreateRoute's GatewayId, which may name several kinds."""

    code = "InvalidGatewayID.NotFound"
    kind = "gateway"


class RouteNotSupported(AwsError):
    code = "RouteNotSupported"

    def __init__(self, target: str) -> None:
        super().__init__(
            f"Route table contains unsupported route target: {target}. "
            "VPC Endpoints of this type cannot be used as route targets."
        )


class NatGatewayNotFound(NotFound):
    code = "InvalidNatGatewayID.NotFound"
    kind = "natGateway"


class PrefixListIdMalformed(Malformed):
    code = "InvalidPrefixListId.Malformed"
    prefix = "pl"


class PeeringNotFound(NotFound):
    code = "InvalidVpcPeeringConnectionID.NotFound"
    kind = "vpcPeeringConnection"


class PeeringIdMalformed(Malformed):
    code = "InvalidVpcPeeringConnectionId.Malformed"
    prefix = "pcx"


class PeeringExists(AwsError):
    code = "VpcPeeringConnectionAlreadyExists"

    def __init__(self, peering_id: str) -> None:
        super().__init__(f"The VPC peering connection {peering_id} already exists between these VPCs.")


class PeeringState(AwsError):
    code = "InvalidStateTransition"

    def __init__(self, peering_id: str, wish: str, status: str) -> None:
        super().__init__(f"Invalid state transition for {peering_id}, attempted to transition from {status} to {wish}")


class PeeringsOutstanding(AwsError):
    code = "OutstandingVpcPeeringConnectionLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of outstanding VPC peering connections has been reached.")


class PeeringsActive(AwsError):
    code = "ActiveVpcPeeringConnectionPerVpcLimitExceeded"

    def __init__(self, vpc_id: str) -> None:
        super().__init__(f"The maximum number of active VPC peering connections of {vpc_id} has been reached.")


class NotPermitted(AwsError):
    code = "OperationNotPermitted"


class Unsupported(AwsError):
    """What AWS has and Neargate has not. Says so."""

    code = "UnsupportedOperation"


class EndpointNotFound(NotFound):
    code = "InvalidVpcEndpointId.NotFound"
    kind = "Vpc Endpoint"


class EndpointIdMalformed(Malformed):
    code = "InvalidVpcEndpointId.Malformed"
    prefix = "vpce"


class ServiceNameInvalid(AwsError):
    code = "InvalidServiceName"

    def __init__(self, name: str) -> None:
        super().__init__(f"The Vpc Endpoint Service '{name}' does not exist")


class EndpointLimitExceeded(AwsError):
    code = "VpcEndpointLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of VPC endpoints has been reached.")


class FilterInvalid(AwsError):
    """How endpoints' operations call a filter that they have not."""

    code = "InvalidFilter"


class PolicyInvalid(AwsError):
    code = "InvalidPolicyDocument"


class InvalidParameter(AwsError):
    code = "InvalidParameter"


class IdempotentMismatch(AwsError):
    code = "IdempotentParameterMismatch"

    def __init__(self, token: str) -> None:
        super().__init__(
            f"Idempotent parameter mismatch: the client token {token} was used with different parameters before."
        )
