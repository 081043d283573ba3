"""Route tables and their associations: create, delete, describe, associate, disassociate, replace."""

from ....model.network import LOCAL
from ....model.quotas import ROUTE_TABLES_PER_VPC
from ...authorize import Resource, authorize
from ...call import Answer, Call, Params
from ...network.errors.common import SubnetIdMalformed, VpcIdMalformed
from ...network.errors.routing import AssociationIdMalformed, RouteTableIdMalformed, RouteTableNotFound, Unsupported
from ...network.plans.planning import is_reachable
from ...network.records.aws_prefix_lists import list_of_service
from ...network.records.objects import RouteTable, StoredRoute, Vpc, VpcEndpoint, local_routes
from ...network.routing import route_tables
from ...regional.shelves import Shelf
from ...services import Operation, Services
from .asking import authorize_describing, authorize_tagging, region_key, tag_keys
from .filters import Field, select
from .request import client_token, named, page, resource_arn, stop_if_dry_run, tag_list, with_token
from .routing import named_vpc, new, required_id, subnet_resource, table_resource, unnamed
from .shown import Shown, at, tags_of
from .tags import tags_from


async def create_route_table(call: Call, services: Services, params: Params) -> Answer:
    made = resource_arn(call, "route-table", "*")
    resources = [named_vpc(call, services, params.get("VpcId")), new(call, "route-table", tag_keys(params))]
    authorize(call, "ec2:CreateRouteTable", resources, region_key(call))
    authorize_tagging(call, params, made)
    vpc_id = required_id(params, "VpcId", "vpc", VpcIdMalformed)
    tags = tags_from(params, "route-table")
    token = client_token(params)
    stop_if_dry_run(params)
    network = services.network
    tables_max = network.quota(call.account, ROUTE_TABLES_PER_VPC)
    table = await network.change(
        call.account,
        lambda shelf: route_tables.create_table(shelf, vpc_id, tags, token, tables_max, network.bits),
    )
    answer = {"RouteTable": table_shown(network.shelf(call.account), table, services.region)}
    return answer | ({"ClientToken": token} if token else {})


async def delete_route_table(call: Call, services: Services, params: Params) -> Answer:
    resources = [table_resource(call, services, params.get("RouteTableId"))]
    authorize(call, "ec2:DeleteRouteTable", resources, region_key(call))
    table_id = required_id(params, "RouteTableId", "rtb", RouteTableIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: route_tables.delete_table(shelf, table_id))
    return {}


async def associate_route_table(call: Call, services: Services, params: Params) -> Answer:
    resources = [table_resource(call, services, params.get("RouteTableId"))]
    if params.get("SubnetId"):
        resources.append(subnet_resource(call, services, params["SubnetId"]))
    authorize(call, "ec2:AssociateRouteTable", resources, region_key(call))
    table_id = required_id(params, "RouteTableId", "rtb", RouteTableIdMalformed)
    if params.get("GatewayId") or params.get("PublicIpv4Pool"):
        raise Unsupported("Neargate associates route tables with subnets, not with gateways or pools of addresses.")
    subnet_id = required_id(params, "SubnetId", "subnet", SubnetIdMalformed)
    stop_if_dry_run(params)
    network = services.network
    association_id = await network.change(
        call.account, lambda shelf: route_tables.associate(shelf, table_id, subnet_id, network.bits)
    )
    return {"AssociationId": association_id, "AssociationState": {"State": "associated"}}


def _associated(call: Call, services: Services, association_id: object) -> list[Resource]:
    """The table of the association, and the subnet it is for."""
    found = route_tables.table_of_association(services.network.shelf(call.account), str(association_id or ""))
    if found is None:
        return [table_resource(call, services, None)]
    table, association = found
    resources = [table_resource(call, services, table.name)]
    if association.subnet_id is not None:
        resources.append(subnet_resource(call, services, association.subnet_id))
    return [unnamed(call, one) for one in resources]


async def disassociate_route_table(call: Call, services: Services, params: Params) -> Answer:
    given = params.get("AssociationId")
    authorize(call, "ec2:DisassociateRouteTable", _associated(call, services, given), region_key(call))
    association_id = required_id(params, "AssociationId", "rtbassoc", AssociationIdMalformed)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: route_tables.disassociate(shelf, association_id))
    return {}


async def replace_route_table_association(call: Call, services: Services, params: Params) -> Answer:
    resources = _associated(call, services, params.get("AssociationId"))
    if params.get("RouteTableId"):
        resources.append(table_resource(call, services, params["RouteTableId"]))
    authorize(call, "ec2:ReplaceRouteTableAssociation", resources, region_key(call))
    association_id = required_id(params, "AssociationId", "rtbassoc", AssociationIdMalformed)
    table_id = required_id(params, "RouteTableId", "rtb", RouteTableIdMalformed)
    stop_if_dry_run(params)
    network = services.network
    made = await network.change(
        call.account, lambda shelf: route_tables.replace_association(shelf, association_id, table_id, network.bits)
    )
    return {"NewAssociationId": made, "AssociationState": {"State": "associated"}}


_FIELDS: dict[str, Field[Shown]] = {
    "association.gateway-id": at("Associations", "GatewayId"),
    "association.main": at("Associations", "Main"),
    "association.route-table-association-id": at("Associations", "RouteTableAssociationId"),
    "association.route-table-id": at("Associations", "RouteTableId"),
    "association.subnet-id": at("Associations", "SubnetId"),
    "owner-id": at("OwnerId"),
    "route-table-id": at("RouteTableId"),
    "route.destination-cidr-block": at("Routes", "DestinationCidrBlock"),
    "route.destination-ipv6-cidr-block": at("Routes", "DestinationIpv6CidrBlock"),
    "route.destination-prefix-list-id": at("Routes", "DestinationPrefixListId"),
    "route.egress-only-internet-gateway-id": at("Routes", "EgressOnlyInternetGatewayId"),
    "route.gateway-id": at("Routes", "GatewayId"),
    "route.instance-id": at("Routes", "InstanceId"),
    "route.nat-gateway-id": at("Routes", "NatGatewayId"),
    "route.origin": at("Routes", "Origin"),
    "route.state": at("Routes", "State"),
    "route.transit-gateway-id": at("Routes", "TransitGatewayId"),
    "route.vpc-peering-connection-id": at("Routes", "VpcPeeringConnectionId"),
    "vpc-id": at("VpcId"),
}


async def describe_route_tables(call: Call, services: Services, params: Params) -> Answer:
    authorize_describing(call)
    stop_if_dry_run(params)
    shelf = services.network.shelf(call.account)
    found = named(
        shelf.all(RouteTable),
        params.get("RouteTableIds"),
        lambda table: table.name,
        prefix="rtb",
        malformed=RouteTableIdMalformed,
        missing=RouteTableNotFound,
    )
    shown = [table_shown(shelf, table, services.region) for table in found]
    shown = select(shown, params.get("Filters"), _FIELDS, tags_of)
    shown, token = page(shown, params, lambda one: str(one["RouteTableId"]), "RouteTableIds")
    return with_token({"RouteTables": shown}, token)


def table_shown(shelf: Shelf, table: RouteTable, region: str) -> Shown:
    """With the local routes first, and those of gateway endpoints last."""
    vpc = shelf.find(Vpc, table.vpc_id)
    routes = [*(local_routes(vpc) if vpc is not None else ()), *table.routes, *_of_endpoints(shelf, table, region)]
    associations = [
        {"Main": one.subnet_id is None, "RouteTableAssociationId": one.association_id, "RouteTableId": table.name}
        | ({"SubnetId": one.subnet_id} if one.subnet_id is not None else {})
        | {"AssociationState": {"State": "associated"}}
        for one in table.associations
    ]
    return {
        "Associations": associations,
        "PropagatingVgws": [{"GatewayId": one} for one in table.propagating],
        "RouteTableId": table.name,
        "Routes": [_route_shown(shelf, table.vpc_id, route) for route in routes],
        "Tags": tag_list(table.tags),
        "VpcId": table.vpc_id,
        "OwnerId": table.account,
    }


def _of_endpoints(shelf: Shelf, table: RouteTable, region: str) -> list[StoredRoute]:
    return [
        StoredRoute(destination=known.list_id, target=endpoint.name)
        for endpoint in shelf.all(VpcEndpoint)
        if table.name in endpoint.route_tables
        for known in [list_of_service(region, endpoint.service_name)]
        if known is not None
    ]


_TARGETS = {
    "eigw": "EgressOnlyInternetGatewayId",
    "nat": "NatGatewayId",
    "pcx": "VpcPeeringConnectionId",
}


def _route_shown(shelf: Shelf, vpc_id: str, route: StoredRoute) -> Shown:
    to = "DestinationCidrBlock"
    if route.destination.startswith("pl-"):
        to = "DestinationPrefixListId"
    elif ":" in route.destination:
        to = "DestinationIpv6CidrBlock"
    by = _TARGETS.get(route.target.split("-", 1)[0], "GatewayId")
    active = route.target == LOCAL or is_reachable(shelf, vpc_id, route.target)
    return {
        to: route.destination,
        by: route.target,
        "Origin": route.origin,
        "State": "active" if active else "blackhole",
    }


OPERATIONS: dict[str, Operation] = {
    "AssociateRouteTable": associate_route_table,
    "CreateRouteTable": create_route_table,
    "DeleteRouteTable": delete_route_table,
    "DescribeRouteTables": describe_route_tables,
    "DisassociateRouteTable": disassociate_route_table,
    "ReplaceRouteTableAssociation": replace_route_table_association,
}
