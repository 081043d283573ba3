"""CreateVpcEndpoint, ModifyVpcEndpoint, DeleteVpcEndpoints, DescribeVpcEndpoints."""

from collections.abc import Mapping
from typing import Any

from ....model.quotas import GATEWAY_ENDPOINTS_PER_REGION
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network import endpoints
from ...network.endpoints import FULL_ACCESS, GATEWAY, WantedEndpoint
from ...network.errors import InvalidParameterCombination, MissingParameter, VpcIdMalformed
from ...network.objects import VpcEndpoint
from ...network.routing_errors import (
    EndpointIdMalformed,
    EndpointNotFound,
    FilterInvalid,
    InvalidParameter,
    RouteTableIdMalformed,
    Unsupported,
)
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import check_id, client_token, named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import endpoint_resource, named_vpc, new, required, required_id, table_resource
from .shown import Shown, at, tags_of
from .tags import tags_from

_KIND = "vpc-endpoint"
# Of interface endpoints, and of kinds that Neargate has not.
_OF_OTHERS = (
    "SubnetIds",
    "SecurityGroupIds",
    "PrivateDnsEnabled",
    "SubnetConfigurations",
    "AddSubnetIds",
    "RemoveSubnetIds",
    "AddSecurityGroupIds",
    "RemoveSecurityGroupIds",
)
_RECORDS = (None, "ipv4", "service-defined")


async def create_vpc_endpoint(call: Call, services: Services, params: Params) -> Answer:
    name = params.get("ServiceName")
    service: dict[str, Any] = {"ec2:VpceServiceName": str(name), "ec2:VpceServiceOwner": "amazon"} if name else {}
    resources = [
        named_vpc(call, services, params.get("VpcId")),
        new(call, _KIND, tag_keys(params) | service),
        *(table_resource(call, services, one) for one in params.get("RouteTableIds") or ()),
    ]
    authorize(call, "ec2:CreateVpcEndpoint", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, _KIND, "*"))
    wanted = _wanted(services.region, params)
    stop_if_dry_run(params)
    network = services.network
    endpoints_max = network.quota(call.account, GATEWAY_ENDPOINTS_PER_REGION)
    endpoint = await network.change(
        call.account,
        lambda shelf: endpoints.create_endpoint(shelf, wanted, services.region, call.now, endpoints_max, network.bits),
    )
    answer: Shown = {"VpcEndpoint": _shown(endpoint, services.region)}
    return answer | ({"ClientToken": wanted.client_token} if wanted.client_token else {})


def _wanted(region: str, params: Params) -> WantedEndpoint:
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
    _check_gateway_only(params)
    return WantedEndpoint(
        vpc_id=vpc_id,
        service_name=name,
        policy=endpoints.check_policy(params["PolicyDocument"]) if params.get("PolicyDocument") else FULL_ACCESS,
        route_tables=_tables(params, "RouteTableIds"),
        tags=tags_from(params, _KIND),
        client_token=client_token(params),
    )


def _check_gateway_only(params: Params) -> None:
    for name in _OF_OTHERS:
        if params.get(name):
            raise InvalidParameter(f"{name[0].lower()}{name[1:]} is not supported for Gateway type VPC Endpoint.")
    if params.get("IpAddressType") not in (None, "", "ipv4"):
        raise Unsupported("Neargate's gateway endpoints are of IPv4 alone.")
    dns: Mapping[str, Any] = params.get("DnsOptions") or {}
    if dns.get("DnsRecordIpType") not in _RECORDS or any(dns[name] for name in dns if name != "DnsRecordIpType"):
        raise Unsupported("Neargate's gateway endpoints have no options of DNS.")


def _tables(params: Params, name: str) -> tuple[str, ...]:
    given = tuple(str(one) for one in params.get(name) or ())
    for one in given:
        check_id(one, "rtb", RouteTableIdMalformed)
    return given


async def modify_vpc_endpoint(call: Call, services: Services, params: Params) -> Answer:
    named_tables = [*(params.get("AddRouteTableIds") or ()), *(params.get("RemoveRouteTableIds") or ())]
    resources = [
        endpoint_resource(call, services, params.get("VpcEndpointId")),
        *(table_resource(call, services, one) for one in named_tables),
    ]
    authorize(call, "ec2:ModifyVpcEndpoint", resources, region_key(call))
    endpoint_id = required_id(params, "VpcEndpointId", "vpce", EndpointIdMalformed)
    _check_gateway_only(params)
    document = params.get("PolicyDocument")
    if document and params.get("ResetPolicy"):
        raise InvalidParameterCombination("The parameter resetPolicy cannot be used with the parameter policyDocument")
    policy = FULL_ACCESS if params.get("ResetPolicy") else None
    if document:
        policy = endpoints.check_policy(document)
    add, remove = _tables(params, "AddRouteTableIds"), _tables(params, "RemoveRouteTableIds")
    stop_if_dry_run(params)
    await services.network.change(
        call.account,
        lambda shelf: endpoints.modify_endpoint(shelf, endpoint_id, policy, add, remove, services.region),
    )
    return {"Return": True}


async def delete_vpc_endpoints(call: Call, services: Services, params: Params) -> Answer:
    given = [str(one) for one in params.get("VpcEndpointIds") or ()]
    resources = [endpoint_resource(call, services, one) for one in given or [""]]
    authorize(call, "ec2:DeleteVpcEndpoints", resources, region_key(call))
    if not given:
        raise MissingParameter("vpcEndpointIds")
    for one in given:
        check_id(one, "vpce", EndpointIdMalformed)
    stop_if_dry_run(params)
    missing = await services.network.change(call.account, lambda shelf: endpoints.delete_endpoints(shelf, given))
    return {"Unsuccessful": [_unsuccessful(one) for one in missing]}


def _unsuccessful(endpoint_id: str) -> Shown:
    error = EndpointNotFound([endpoint_id])
    return {"Error": {"Code": error.code, "Message": error.message}, "ResourceId": endpoint_id}


_FIELDS: dict[str, Field[Shown]] = {
    "ip-address-type": at("IpAddressType"),
    "service-name": at("ServiceName"),
    "service-region": at("ServiceRegion"),
    "vpc-endpoint-id": at("VpcEndpointId"),
    "vpc-endpoint-state": at("State"),
    "vpc-endpoint-type": at("VpcEndpointType"),
    "vpc-id": at("VpcId"),
}


async def describe_vpc_endpoints(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    found = named(
        services.network.shelf(call.account).all(VpcEndpoint),
        params.get("VpcEndpointIds"),
        lambda endpoint: endpoint.name,
        prefix="vpce",
        malformed=EndpointIdMalformed,
        missing=EndpointNotFound,
    )
    shown = [_shown(endpoint, services.region) for endpoint in found]
    shown = chosen(shown, params, _FIELDS)
    shown, token = page(shown, params, lambda one: str(one["VpcEndpointId"]), "VpcEndpointIds")
    return with_token({"VpcEndpoints": shown}, token)


def chosen(shown: list[Shown], params: Params, fields: Mapping[str, Field[Shown]]) -> list[Shown]:
    """What passes the filters. Raises FilterInvalid, as this family calls it."""
    for one in params.get("Filters") or ():
        name = str(one.get("Name"))
        if name not in fields and name != "tag-key" and not name.startswith("tag:"):
            raise FilterInvalid(f"The filter '{name[:255]}' is invalid")
    return select(shown, params.get("Filters"), fields, tags_of)


def _shown(endpoint: VpcEndpoint, region: str) -> Shown:
    return {
        "VpcEndpointId": endpoint.name,
        "VpcEndpointType": endpoint.endpoint_type,
        "VpcId": endpoint.vpc_id,
        "ServiceName": endpoint.service_name,
        "State": endpoint.state,
        "PolicyDocument": endpoint.policy,
        "RouteTableIds": list(endpoint.route_tables),
        "SubnetIds": [],
        "Groups": [],
        "IpAddressType": endpoint.ip_address_type,
        "PrivateDnsEnabled": False,
        "RequesterManaged": False,
        "NetworkInterfaceIds": [],
        "DnsEntries": [],
        "CreationTimestamp": endpoint.created_at,
        "Tags": tag_list(endpoint.tags),
        "OwnerId": endpoint.account,
        "ServiceRegion": region,
    }


OPERATIONS: dict[str, Operation] = {
    "CreateVpcEndpoint": create_vpc_endpoint,
    "DeleteVpcEndpoints": delete_vpc_endpoints,
    "DescribeVpcEndpoints": describe_vpc_endpoints,
    "ModifyVpcEndpoint": modify_vpc_endpoint,
}
