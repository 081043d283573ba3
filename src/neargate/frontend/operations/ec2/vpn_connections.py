"""VPN connections: there are none. One that is asked for is checked as AWS checks it, and then refused by name.

Invariant: nothing here pretends that a tunnel exists.
"""

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterValue
from ...network.errors.routing import Unsupported
from ...network.errors.vpn import (
    CustomerGatewayIdMalformed,
    TransitGatewayNotFound,
    VpnConnectionNotFound,
    VpnGatewayIdMalformed,
)
from ...network.routing.vpn_gateways import live_customer_gateway, live_gateway
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import check_id, resource_arn, stop_if_dry_run
from .routing import customer_gateway_resource, new, required, required_id, vpn_gateway_resource
from .shown import Shown, at, tags_of
from .tags import tags_from
from .vpn_gateways import check_type

_KIND = "vpn-connection"


async def create_vpn_connection(call: Call, services: Services, params: Params) -> Answer:
    """Always raises: what AWS says of wrong parameters and of gateways that are not there, else Unsupported."""
    resources = [
        new(call, _KIND, tag_keys(params)),
        customer_gateway_resource(call, services, params.get("CustomerGatewayId")),
    ]
    if params.get("VpnGatewayId"):
        resources.append(vpn_gateway_resource(call, services, params["VpnGatewayId"]))
    authorize(call, "ec2:CreateVpnConnection", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    check_type(params)
    tags_from(params, _KIND)
    gateway_id, transit_id = params.get("VpnGatewayId"), params.get("TransitGatewayId")
    if gateway_id and transit_id:
        raise InvalidParameterValue("The request must not contain both parameter vpnGatewayId and transitGatewayId")
    customer_gateway_id = required_id(params, "CustomerGatewayId", "cgw", CustomerGatewayIdMalformed)
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    live_customer_gateway(shelf, customer_gateway_id, call.now)
    if transit_id:
        raise TransitGatewayNotFound([str(transit_id)[:255]])
    if gateway_id:
        check_id(gateway_id, "vgw", VpnGatewayIdMalformed)
        live_gateway(shelf, gateway_id, call.now)
    raise Unsupported("Neargate has no VPN connections: a virtual private gateway here leads nowhere.")


async def delete_vpn_connection(call: Call, services: Services, params: Params) -> Answer:
    del services
    given = params.get("VpnConnectionId")
    authorize(call, "ec2:DeleteVpnConnection", [resource_arn(call, _KIND, str(given or "*"))], region_key(call))
    connection_id = required(params, "VpnConnectionId")
    stop_if_dry_run(params)
    raise VpnConnectionNotFound([connection_id[:255]])


_FIELDS: dict[str, Field[Shown]] = {
    "bgp-asn": at("BgpAsn"),
    "customer-gateway-configuration": at("CustomerGatewayConfiguration"),
    "customer-gateway-id": at("CustomerGatewayId"),
    "option.static-routes-only": at("Options", "StaticRoutesOnly"),
    "route.destination-cidr-block": at("Routes", "DestinationCidrBlock"),
    "state": at("State"),
    "transit-gateway-id": at("TransitGatewayId"),
    "type": at("Type"),
    "vpn-connection-id": at("VpnConnectionId"),
    "vpn-gateway-id": at("VpnGatewayId"),
}


async def describe_vpn_connections(call: Call, services: Services, params: Params) -> Answer:
    del services
    authorize_describing(call)
    stop_if_dry_run(params)
    wanted = [one[:255] for one in params.get("VpnConnectionIds") or ()]
    if wanted:
        raise VpnConnectionNotFound(wanted)
    return {"VpnConnections": select((), params.get("Filters"), _FIELDS, tags_of)}


OPERATIONS: dict[str, Operation] = {
    "CreateVpnConnection": create_vpn_connection,
    "DeleteVpnConnection": delete_vpn_connection,
    "DescribeVpnConnections": describe_vpn_connections,
}
