"""Virtual private gateways: made, attached, detached, deleted, described, and which tables take over their routes.

They are objects as AWS has them; VPN connections are not there (vpn_connections.py), so that they lead nowhere.
"""

from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import AvailabilityZoneInvalid, InvalidParameterValue, VpcIdMalformed
from ...network.errors.routing import RouteTableIdMalformed
from ...network.errors.vpn import VpnGatewayIdMalformed, VpnGatewayNotFound
from ...network.records.objects import VpnGateway
from ...network.routing import vpn_gateways
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import named, resource_arn, stop_if_dry_run, tag_list
from .routing import named_vpc, new, required, required_id, table_resource, vpn_gateway_resource
from .shown import Shown, at, tags_of
from .tags import tags_from

IPSEC = "ipsec.1"
_KIND = "vpn-gateway"
_ASN_DEFAULT = 64512
_PRIVATE_ASNS = (range(64512, 65535), range(4_200_000_000, 4_294_967_295))


def check_type(params: Params) -> None:
    """Raises MissingParameter, InvalidParameterValue."""
    given = required(params, "Type")
    if given != IPSEC:
        raise InvalidParameterValue(f"Value ({given[:255]}) for parameter type is invalid. The type is {IPSEC}.")


def _asn(params: Params) -> int:
    given = params.get("AmazonSideAsn")
    if given is None:
        return _ASN_DEFAULT
    if not any(given in private for private in _PRIVATE_ASNS):
        raise InvalidParameterValue(
            f"Value ({given}) for parameter amazonSideAsn is invalid. It must be a private ASN in the range "
            "64512-65534 or 4200000000-4294967294."
        )
    return int(given)


def _zone(services: Services, params: Params) -> str | None:
    zone = params.get("AvailabilityZone") or None
    if zone is not None and zone not in [name for name, _ in services.zones]:
        raise AvailabilityZoneInvalid(zone[:255])
    return zone


async def create_vpn_gateway(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:CreateVpnGateway", [new(call, _KIND, tag_keys(params))], region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    check_type(params)
    asn, zone = _asn(params), _zone(services, params)
    tags = tags_from(params, _KIND)
    stop_if_dry_run(params)
    network = services.network
    gateway = await network.change(
        call.account, lambda shelf: vpn_gateways.create_gateway(shelf, asn, zone, tags, call.now, network.bits)
    )
    return {"VpnGateway": _shown(gateway)}


def _asked(call: Call, services: Services, params: Params, name: str, *others: Resource) -> str:
    """Asks leave for the gateway that parameter `name` names, and checks its id."""
    resources = [vpn_gateway_resource(call, services, params.get(name)), *others]
    authorize(call, f"ec2:{call.operation}", resources, region_key(call))
    return required_id(params, name, "vgw", VpnGatewayIdMalformed)


async def attach_vpn_gateway(call: Call, services: Services, params: Params) -> Answer:
    gateway_id = _asked(call, services, params, "VpnGatewayId", named_vpc(call, services, params.get("VpcId")))
    vpc_id = required_id(params, "VpcId", "vpc", VpcIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: vpn_gateways.attach(shelf, gateway_id, vpc_id, call.now))
    return {"VpcAttachment": {"State": "attaching", "VpcId": vpc_id}}


async def detach_vpn_gateway(call: Call, services: Services, params: Params) -> Answer:
    gateway_id = _asked(call, services, params, "VpnGatewayId", named_vpc(call, services, params.get("VpcId")))
    vpc_id = required_id(params, "VpcId", "vpc", VpcIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: vpn_gateways.detach(shelf, gateway_id, vpc_id, call.now))
    return {}


async def delete_vpn_gateway(call: Call, services: Services, params: Params) -> Answer:
    gateway_id = _asked(call, services, params, "VpnGatewayId")
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: vpn_gateways.delete_gateway(shelf, gateway_id, call.now))
    return {}


async def enable_vgw_route_propagation(call: Call, services: Services, params: Params) -> Answer:
    gateway_id = _asked(call, services, params, "GatewayId", table_resource(call, services, params.get("RouteTableId")))
    table_id = required_id(params, "RouteTableId", "rtb", RouteTableIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(
        call.account, lambda shelf: vpn_gateways.propagate(shelf, gateway_id, table_id, call.now)
    )
    return {}


async def disable_vgw_route_propagation(call: Call, services: Services, params: Params) -> Answer:
    gateway_id = _asked(call, services, params, "GatewayId", table_resource(call, services, params.get("RouteTableId")))
    table_id = required_id(params, "RouteTableId", "rtb", RouteTableIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(
        call.account, lambda shelf: vpn_gateways.stop_propagating(shelf, gateway_id, table_id, call.now)
    )
    return {}


_FIELDS: dict[str, Field[Shown]] = {
    "amazon-side-asn": at("AmazonSideAsn"),
    "attachment.state": at("VpcAttachments", "State"),
    "attachment.vpc-id": at("VpcAttachments", "VpcId"),
    "availability-zone": at("AvailabilityZone"),
    "state": at("State"),
    "type": at("Type"),
    "vpn-gateway-id": at("VpnGatewayId"),
}


async def describe_vpn_gateways(call: Call, services: Services, params: Params) -> Answer:
    """It has no pages."""
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        vpn_gateways.visible(services.network.shelf(call.account), VpnGateway, call.now),
        params.get("VpnGatewayIds"),
        lambda gateway: gateway.name,
        prefix="vgw",
        malformed=VpnGatewayIdMalformed,
        missing=VpnGatewayNotFound,
    )
    shown = select(map(_shown, found), params.get("Filters"), _FIELDS, tags_of)
    return {"VpnGateways": sorted(shown, key=lambda one: str(one["VpnGatewayId"]))}


def _shown(gateway: VpnGateway) -> Shown:
    return {
        "AmazonSideAsn": gateway.asn,
        **({"Tags": tag_list(gateway.tags)} if gateway.tags else {}),
        "VpnGatewayId": gateway.name,
        "State": vpn_gateways.state_of(gateway),
        "Type": IPSEC,
        **({"AvailabilityZone": gateway.zone} if gateway.zone is not None else {}),
        "VpcAttachments": [] if gateway.vpc_id is None else [{"State": "attached", "VpcId": gateway.vpc_id}],
    }


OPERATIONS: dict[str, Operation] = {
    "AttachVpnGateway": attach_vpn_gateway,
    "CreateVpnGateway": create_vpn_gateway,
    "DeleteVpnGateway": delete_vpn_gateway,
    "DescribeVpnGateways": describe_vpn_gateways,
    "DetachVpnGateway": detach_vpn_gateway,
    "DisableVgwRoutePropagation": disable_vgw_route_propagation,
    "EnableVgwRoutePropagation": enable_vgw_route_propagation,
}
