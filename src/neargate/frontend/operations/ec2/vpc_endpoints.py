"""CreateVpcEndpoint, ModifyVpcEndpoint, DeleteVpcEndpoints, DescribeVpcEndpoints."""

from collections.abc import Mapping
from typing import Any

from ....model.quotas import GATEWAY_ENDPOINTS_PER_REGION, INTERFACE_ENDPOINTS_PER_VPC
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.endpoints import changes as endpoints
from ...network.endpoints import interface_endpoints
from ...network.endpoints.interface_endpoints import WantedInterface
from ...network.endpoints.plans import INTERFACE
from ...network.errors.common import MissingParameter
from ...network.errors.routing import EndpointIdMalformed, EndpointNotFound, FilterInvalid
from ...network.records.objects import VpcEndpoint
from ...regional.shelves import Change, Shelf
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, group_resource, region_key, tag_keys
from .filters import Field, select
from .request import check_id, named, page, resource_arn, stop_if_dry_run, with_token
from .routing import endpoint_resource, named_vpc, new, required_id, subnet_resource, table_resource
from .shown import Shown, at, tags_of
from .vpc_endpoint_parameters import (
    KIND,
    changed_policy,
    check_gateway_only,
    named_groups,
    named_subnets,
    tables,
    wanted_change,
    wanted_endpoint,
)
from .vpc_endpoint_view import endpoint_shown


async def create_vpc_endpoint(call: Call, services: Services, params: Params) -> Answer:
    name = params.get("ServiceName")
    service: dict[str, Any] = {"ec2:VpceServiceName": str(name), "ec2:VpceServiceOwner": "amazon"} if name else {}
    resources = [
        named_vpc(call, services, params.get("VpcId")),
        new(call, KIND, tag_keys(params) | service),
        *(table_resource(call, services, one) for one in params.get("RouteTableIds") or ()),
        *_named_by_interfaces(call, services, params),
    ]
    authorize(call, "ec2:CreateVpcEndpoint", resources, region_key(call))
    authorize_tagging(call, params, resource_arn(call, KIND, "*"))
    wanted = wanted_endpoint(services.region, params)
    stop_if_dry_run(params)
    network = services.network

    def decide(shelf: Shelf) -> Change[VpcEndpoint]:
        if isinstance(wanted, WantedInterface):
            most = network.quota(call.account, INTERFACE_ENDPOINTS_PER_VPC)
            return interface_endpoints.create(shelf, wanted, call.now, most, network.bits)
        most = network.quota(call.account, GATEWAY_ENDPOINTS_PER_REGION)
        return endpoints.create_endpoint(shelf, wanted, services.region, call.now, most, network.bits)

    endpoint = await network.change(call.account, decide)
    answer: Shown = {"VpcEndpoint": endpoint_shown(network.shelf(call.account), endpoint, services.region)}
    return answer | ({"ClientToken": wanted.client_token} if wanted.client_token else {})


def _named_by_interfaces(call: Call, services: Services, params: Params) -> list[Resource]:
    return [
        *(subnet_resource(call, services, one) for one in named_subnets(params)),
        *(group_resource(call, services, {"GroupId": one}) for one in named_groups(params)),
    ]


async def modify_vpc_endpoint(call: Call, services: Services, params: Params) -> Answer:
    named_tables = [*(params.get("AddRouteTableIds") or ()), *(params.get("RemoveRouteTableIds") or ())]
    resources = [
        endpoint_resource(call, services, params.get("VpcEndpointId")),
        *(table_resource(call, services, one) for one in named_tables),
        *_named_by_interfaces(call, services, params),
    ]
    authorize(call, "ec2:ModifyVpcEndpoint", resources, region_key(call))
    endpoint_id = required_id(params, "VpcEndpointId", "vpce", EndpointIdMalformed)
    policy = changed_policy(params)
    known = services.network.shelf(call.account).find(VpcEndpoint, endpoint_id)
    if known is not None and known.endpoint_type == INTERFACE:
        wanted = wanted_change(params, policy)
        stop_if_dry_run(params)

        def change(shelf: Shelf) -> Change[None]:
            endpoint = endpoints.required_endpoint(shelf, endpoint_id)
            return interface_endpoints.modify(shelf, endpoint, wanted, services.network.bits)

        await services.network.change(call.account, change)
        return {"Return": True}
    check_gateway_only(params)
    add, remove = tables(params, "AddRouteTableIds"), tables(params, "RemoveRouteTableIds")
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
    shelf = services.network.shelf(call.account)
    shown = [endpoint_shown(shelf, endpoint, services.region) for endpoint in found]
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


OPERATIONS: dict[str, Operation] = {
    "CreateVpcEndpoint": create_vpc_endpoint,
    "DeleteVpcEndpoints": delete_vpc_endpoints,
    "DescribeVpcEndpoints": describe_vpc_endpoints,
    "ModifyVpcEndpoint": modify_vpc_endpoint,
}
