"""Customer gateways: what a VPN connection would lead to. Made, deleted, described; nothing is sent to them."""

from ipaddress import AddressValueError, IPv4Address

from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import InvalidParameterCombination, InvalidParameterValue, MissingParameter
from ...network.errors.routing import Unsupported
from ...network.errors.vpn import CustomerGatewayIdMalformed, CustomerGatewayNotFound
from ...network.records.objects import CustomerGateway
from ...network.routing import vpn_gateways
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import named, resource_arn, stop_if_dry_run, tag_list
from .routing import customer_gateway_resource, new, required_id
from .shown import Shown, at, tags_of
from .tags import tags_from
from .vpn_gateways import IPSEC, check_type

_KIND = "customer-gateway"
_ASN_DEFAULT = 65000
_ASN_MAX, _ASN_EXTENDED_MAX = 2**31 - 1, 2**32 - 1
_NAME_MAX = 255


def _address(params: Params) -> str:
    """Of IpAddress, or of PublicIp, its older name."""
    given = [str(params[name]) for name in ("IpAddress", "PublicIp") if params.get(name)]
    if not given:
        raise MissingParameter("ipAddress")
    if len(set(given)) > 1:
        raise InvalidParameterCombination("The parameter ipAddress cannot be used with the parameter publicIp")
    try:
        return str(IPv4Address(given[0]))
    except AddressValueError:
        raise InvalidParameterValue(
            f"Value ({given[0][:255]}) for parameter ipAddress is invalid. Invalid IPv4 address."
        ) from None


def _asn(params: Params) -> int:
    short, extended = params.get("BgpAsn"), params.get("BgpAsnExtended")
    if short is not None and extended is not None:
        raise InvalidParameterCombination("The parameter bgpAsn cannot be used with the parameter bgpAsnExtended")
    if extended is not None:
        if not _ASN_MAX < extended <= _ASN_EXTENDED_MAX:
            raise InvalidParameterValue(f"Value ({extended}) for parameter bgpAsnExtended is invalid.")
        return int(extended)
    if short is not None and not 1 <= short <= _ASN_MAX:
        raise InvalidParameterValue(f"Value ({short}) for parameter bgpAsn is invalid.")
    return _ASN_DEFAULT if short is None else int(short)


async def create_customer_gateway(call: Call, services: Services, params: Params) -> Answer:
    authorize(call, "ec2:CreateCustomerGateway", [new(call, _KIND, tag_keys(params))], region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    check_type(params)
    if params.get("CertificateArn"):
        raise Unsupported("Neargate has no certificates of AWS Certificate Manager.")
    address, asn = _address(params), _asn(params)
    device_name = params.get("DeviceName") or None
    if device_name is not None and len(device_name) > _NAME_MAX:
        raise InvalidParameterValue(f"Up to {_NAME_MAX} characters are allowed for deviceName.")
    tags = tags_from(params, _KIND)
    stop_if_dry_run(params)
    network = services.network
    gateway = await network.change(
        call.account,
        lambda shelf: vpn_gateways.create_customer_gateway(
            shelf, address, asn, device_name, tags, call.now, network.bits
        ),
    )
    return {"CustomerGateway": _shown(gateway)}


async def delete_customer_gateway(call: Call, services: Services, params: Params) -> Answer:
    resources = [customer_gateway_resource(call, services, params.get("CustomerGatewayId"))]
    authorize(call, "ec2:DeleteCustomerGateway", resources, region_key(call))
    gateway_id = required_id(params, "CustomerGatewayId", "cgw", CustomerGatewayIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(
        call.account, lambda shelf: vpn_gateways.delete_customer_gateway(shelf, gateway_id, call.now)
    )
    return {}


_FIELDS: dict[str, Field[Shown]] = {
    "bgp-asn": lambda one: (one.get("BgpAsn") or one["BgpAsnExtended"],),
    "customer-gateway-id": at("CustomerGatewayId"),
    "ip-address": at("IpAddress"),
    "state": at("State"),
    "type": at("Type"),
}


async def describe_customer_gateways(call: Call, services: Services, params: Params) -> Answer:
    """It has no pages."""
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        vpn_gateways.visible(services.network.shelf(call.account), CustomerGateway, call.now),
        params.get("CustomerGatewayIds"),
        lambda gateway: gateway.name,
        prefix="cgw",
        malformed=CustomerGatewayIdMalformed,
        missing=CustomerGatewayNotFound,
    )
    shown = select(map(_shown, found), params.get("Filters"), _FIELDS, tags_of)
    return {"CustomerGateways": sorted(shown, key=lambda one: str(one["CustomerGatewayId"]))}


def _shown(gateway: CustomerGateway) -> Shown:
    return {
        **({"DeviceName": gateway.device_name} if gateway.device_name is not None else {}),
        **({"Tags": tag_list(gateway.tags)} if gateway.tags else {}),
        "CustomerGatewayId": gateway.name,
        "State": vpn_gateways.state_of(gateway),
        "Type": IPSEC,
        "IpAddress": gateway.address,
        "BgpAsn" if gateway.asn <= _ASN_MAX else "BgpAsnExtended": str(gateway.asn),
    }


OPERATIONS: dict[str, Operation] = {
    "CreateCustomerGateway": create_customer_gateway,
    "DeleteCustomerGateway": delete_customer_gateway,
    "DescribeCustomerGateways": describe_customer_gateways,
}
