"""EC2's errors of virtual private gateways, customer gateways and VPN connections: its codes and texts. No decisions.

AWS's list of error codes has a Malformed one for ids of customer gateways, and for the others none.
"""

from ....model.errors import AwsError
from .common import Malformed, NotFound


class VpnGatewayNotFound(NotFound):
    code = "InvalidVpnGatewayID.NotFound"
    kind = "vpnGateway"


class VpnGatewayIdMalformed(VpnGatewayNotFound):
    """EC2 looks for whatever is given."""

    def __init__(self, given: str) -> None:
        super().__init__([given])


class VpnGatewayState(AwsError):
    code = "InvalidVpnGatewayState"

    def __init__(self, gateway_id: str, state: str) -> None:
        super().__init__(f"The vpnGateway '{gateway_id}' is {state}.")


class VpnGatewayAttached(AwsError):
    code = "IncorrectState"

    def __init__(self, gateway_id: str, vpc_id: str) -> None:
        super().__init__(f"The vpnGateway '{gateway_id}' is attached to network {vpc_id}. Detach it first.")


class VpnGatewayLimitExceeded(AwsError):
    code = "VpnGatewayLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of virtual private gateways has been reached.")


class VpnGatewayAttachmentLimitExceeded(AwsError):
    code = "VpnGatewayAttachmentLimitExceeded"

    def __init__(self, gateway_id: str, vpc_id: str) -> None:
        super().__init__(f"The vpnGateway '{gateway_id}' is already attached to network {vpc_id}.")


class VpnAttachmentNotFound(AwsError):
    code = "InvalidVpnGatewayAttachment.NotFound"

    def __init__(self, gateway_id: str, vpc_id: str) -> None:
        super().__init__(f"The attachment with vpn gateway ID '{gateway_id}' and vpc ID '{vpc_id}' does not exist")


class CustomerGatewayNotFound(NotFound):
    code = "InvalidCustomerGatewayID.NotFound"
    kind = "customerGateway"


class CustomerGatewayIdMalformed(Malformed):
    code = "InvalidCustomerGatewayId.Malformed"
    prefix = "cgw"


class CustomerGatewayState(AwsError):
    code = "InvalidCustomerGatewayState"

    def __init__(self, gateway_id: str, state: str) -> None:
        super().__init__(f"The customerGateway '{gateway_id}' is {state}.")


class CustomerGatewayLimitExceeded(AwsError):
    code = "CustomerGatewayLimitExceeded"

    def __init__(self) -> None:
        super().__init__("The maximum number of customer gateways has been reached.")


class VpnConnectionNotFound(NotFound):
    code = "InvalidVpnConnectionID.NotFound"
    kind = "vpnConnection"


class TransitGatewayNotFound(NotFound):
    code = "InvalidTransitGatewayID.NotFound"
    kind = "transitGateway"
