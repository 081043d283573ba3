"""What requests of VPC endpoints say, checked for shape before anything is looked up. No decisions.

Invariant: what one type of endpoint has, another is refused with; nothing that is asked for is left out silently.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from ...call import Params
from ...network.endpoints import changes as endpoints
from ...network.endpoints.changes import FULL_ACCESS, GATEWAY, WantedEndpoint
from ...network.endpoints.interface_endpoints import WantedChange, WantedInterface
from ...network.endpoints.plans import INTERFACE
from ...network.errors.common import (
    GroupIdMalformed,
    InvalidParameterCombination,
    InvalidParameterValue,
    MissingParameter,
    SubnetIdMalformed,
    VpcIdMalformed,
)
from ...network.errors.routing import InvalidParameter, RouteTableIdMalformed, Unsupported
from .request import check_id, client_token
from .routing import required, required_id
from .tags import tags_from

KIND = "vpc-endpoint"
_OF_INTERFACES = (
    "SubnetIds",
    "SecurityGroupIds",
    "PrivateDnsEnabled",
    "SubnetConfigurations",
    "AddSubnetIds",
    "RemoveSubnetIds",
    "AddSecurityGroupIds",
    "RemoveSecurityGroupIds",
)
_OF_GATEWAYS = ("RouteTableIds", "AddRouteTableIds", "RemoveRouteTableIds")
_RECORDS = (None, "ipv4", "service-defined")


def wanted_endpoint(region: str, params: Params) -> WantedEndpoint | WantedInterface:
    """Raises what says that this kind of endpoint is not made here."""
    vpc_id = required_id(params, "VpcId", "vpc", VpcIdMalformed)
    kind = str(params.get("VpcEndpointType") or GATEWAY)
    if params.get("ServiceNetworkArn") or params.get("ResourceConfigurationArn"):
        raise Unsupported("Neargate has no VPC endpoints of resources and service networks.")
    name = required(params, "ServiceName")
    if params.get("ServiceRegion") not in (None, "", region):
        raise Unsupported("Neargate has no VPC endpoints of another region's services.")
    if kind != GATEWAY and params.get("RouteTableIds"):
        raise InvalidParameter("Route table IDs are only supported for Gateway type VPC Endpoint.")
    endpoints.check_service(region, name, kind)
    policy = endpoints.check_policy(params["PolicyDocument"]) if params.get("PolicyDocument") else FULL_ACCESS
    if kind == INTERFACE:
        return _wanted_interface(params, vpc_id, name, policy)
    check_gateway_only(params)
    return WantedEndpoint(
        vpc_id=vpc_id,
        service_name=name,
        policy=policy,
        route_tables=tables(params, "RouteTableIds"),
        tags=tags_from(params, KIND),
        client_token=client_token(params),
    )


def _wanted_interface(params: Params, vpc_id: str, name: str, policy: str) -> WantedInterface:
    _check_ipv4_only(params)
    private_dns = params.get("PrivateDnsEnabled")
    return WantedInterface(
        vpc_id=vpc_id,
        service_name=name,
        policy=policy,
        subnets=_ids(params, "SubnetIds", "subnet", SubnetIdMalformed),
        addresses=_addresses(params),
        groups=_ids(params, "SecurityGroupIds", "sg", GroupIdMalformed),
        private_dns=True if private_dns is None else bool(private_dns),  # AWS's default
        tags=tags_from(params, KIND),
        client_token=client_token(params),
    )


def wanted_change(params: Params, policy: str | None) -> WantedChange:
    """Of an interface endpoint."""
    for name in _OF_GATEWAYS:
        if params.get(name):
            raise InvalidParameter("Route table IDs are only supported for Gateway type VPC Endpoint.")
    _check_ipv4_only(params)
    if params.get("SubnetConfigurations"):
        raise Unsupported("Neargate's VPC endpoints get chosen addresses when they are made, and no others.")
    private_dns = params.get("PrivateDnsEnabled")
    return WantedChange(
        add_subnets=_ids(params, "AddSubnetIds", "subnet", SubnetIdMalformed),
        remove_subnets=_ids(params, "RemoveSubnetIds", "subnet", SubnetIdMalformed),
        add_groups=_ids(params, "AddSecurityGroupIds", "sg", GroupIdMalformed),
        remove_groups=_ids(params, "RemoveSecurityGroupIds", "sg", GroupIdMalformed),
        private_dns=None if private_dns is None else bool(private_dns),
        policy=policy,
    )


def changed_policy(params: Params) -> str | None:
    """None: as it is."""
    document = params.get("PolicyDocument")
    if document and params.get("ResetPolicy"):
        raise InvalidParameterCombination("The parameter resetPolicy cannot be used with the parameter policyDocument")
    if document:
        return endpoints.check_policy(document)
    return FULL_ACCESS if params.get("ResetPolicy") else None


def check_gateway_only(params: Params) -> None:
    for name in _OF_INTERFACES:
        if params.get(name):
            raise InvalidParameter(f"{name[0].lower()}{name[1:]} is not supported for Gateway type VPC Endpoint.")
    if params.get("IpAddressType") not in (None, "", "ipv4"):
        raise Unsupported("Neargate's gateway endpoints are of IPv4 alone.")
    if _has_dns_options(params):
        raise Unsupported("Neargate's gateway endpoints have no options of DNS.")


def tables(params: Params, name: str) -> tuple[str, ...]:
    return _ids(params, name, "rtb", RouteTableIdMalformed)


def named_subnets(params: Params) -> list[str]:
    """For leave: as the request has them."""
    given = [str(one.get("SubnetId") or "") for one in params.get("SubnetConfigurations") or ()]
    for name in ("SubnetIds", "AddSubnetIds", "RemoveSubnetIds"):
        given += map(str, params.get(name) or ())
    return list(dict.fromkeys(one for one in given if one))


def named_groups(params: Params) -> list[str]:
    names = ("SecurityGroupIds", "AddSecurityGroupIds", "RemoveSecurityGroupIds")
    return list(dict.fromkeys(str(one) for name in names for one in params.get(name) or ()))


def _check_ipv4_only(params: Params) -> None:
    if params.get("IpAddressType") not in (None, "", "ipv4"):
        raise Unsupported("Neargate's interface endpoints are of IPv4 alone.")
    if _has_dns_options(params):
        raise Unsupported("Neargate's interface endpoints have records of IPv4 alone, for all of the VPC.")


def _has_dns_options(params: Params) -> bool:
    dns: Mapping[str, Any] = params.get("DnsOptions") or {}
    return dns.get("DnsRecordIpType") not in _RECORDS or any(dns[name] for name in dns if name != "DnsRecordIpType")


def _addresses(params: Params) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for one in params.get("SubnetConfigurations") or ():
        if one.get("Ipv6"):
            raise Unsupported("Neargate's interface endpoints are of IPv4 alone.")
        if not one.get("SubnetId"):
            raise MissingParameter("subnetId")
        subnet_id = str(one["SubnetId"])
        check_id(subnet_id, "subnet", SubnetIdMalformed)
        if subnet_id in found:
            raise InvalidParameter(f"There is more than one subnet configuration of {subnet_id}.")
        if one.get("Ipv4"):
            found[subnet_id] = _address(str(one["Ipv4"]))
        elif subnet_id not in (params.get("SubnetIds") or ()):
            raise InvalidParameter(f"The subnet configuration of {subnet_id} has no address.")
    return tuple(found.items())


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise InvalidParameterValue(
            f"Value ({text[:64]}) for parameter ipv4 is invalid. It must be an IPv4 address."
        ) from None


def _ids(params: Params, name: str, prefix: str, malformed: Any) -> tuple[str, ...]:
    given = tuple(str(one) for one in params.get(name) or ())
    for one in given:
        check_id(one, prefix, malformed)
    return given
