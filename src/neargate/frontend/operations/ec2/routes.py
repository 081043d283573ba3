"""CreateRoute, ReplaceRoute, DeleteRoute."""

from ....model.network import LOCAL
from ....model.quotas import ROUTES_PER_TABLE
from ...authorize import authorize
from ...call import Answer, Call, Params
from ...network.errors.common import (
    InvalidParameterCombination,
    MissingParameter,
    NetworkInterfaceIdMalformed,
    NetworkInterfaceNotFound,
    NotFound,
)
from ...network.errors.routing import (
    EgressOnlyGatewayNotFound,
    EndpointNotFound,
    GatewayNotFound,
    NatGatewayNotFound,
    PeeringNotFound,
    PrefixListIdMalformed,
    RouteTableIdMalformed,
    Unsupported,
)
from ...network.routing import routes
from ...network.routing.routes import IPV4, IPV6, LIST, Destination
from ...services import Operation, Services
from .asking import region_key
from .groups import all_enis
from .request import check_id, stop_if_dry_run
from .routing import required_id, table_resource

_DESTINATIONS = {"DestinationCidrBlock": IPV4, "DestinationIpv6CidrBlock": IPV6, "DestinationPrefixListId": LIST}
# Whose ids each takes, and what is said of another. AWS takes NAT gateways for gateways.
_TARGETS: dict[str, tuple[tuple[str, ...], type[NotFound]]] = {
    "GatewayId": (("igw", "vgw", "nat", "vpce"), GatewayNotFound),
    "NatGatewayId": (("nat",), NatGatewayNotFound),
    "EgressOnlyInternetGatewayId": (("eigw",), EgressOnlyGatewayNotFound),
    "VpcPeeringConnectionId": (("pcx",), PeeringNotFound),
    "VpcEndpointId": (("vpce",), EndpointNotFound),
}
# What EC2 has and Neargate has not, as its refusal calls it.
_ABSENT = {
    "CarrierGatewayId": "carrier gateways",
    "CoreNetworkArn": "core networks",
    "InstanceId": "instances",
    "LocalGatewayId": "local gateways",
    "NetworkInterfaceId": "network interfaces",
    "OdbNetworkArn": "ODB networks",
    "TransitGatewayId": "transit gateways",
}


def _one_of(params: Params, names: tuple[str, ...]) -> str:
    """The name of the only one that is given. Raises MissingParameter, InvalidParameterCombination."""
    given = [name for name in names if params.get(name)]
    shown = ", ".join(name[0].lower() + name[1:] for name in names)
    if not given:
        raise MissingParameter(f"one of: {shown}")
    if len(given) > 1:
        raise InvalidParameterCombination(f"The request must contain exactly one of: {shown}")
    return given[0]


def _destination(params: Params) -> Destination:
    name = _one_of(params, tuple(_DESTINATIONS))
    if name == "DestinationPrefixListId":
        check_id(params[name], "pl", PrefixListIdMalformed)
    return routes.destination(params[name], _DESTINATIONS[name])


async def _target(call: Call, services: Services, params: Params, *, replacing: bool) -> str:
    """An id, or LOCAL. Raises Unsupported, and what says that the target is not there."""
    if replacing and params.get("LocalTarget"):
        if any(params.get(name) for name in (*_TARGETS, *_ABSENT)):
            raise InvalidParameterCombination("The parameter localTarget cannot be used with another target")
        return LOCAL
    name = _one_of(params, (*_TARGETS, *_ABSENT))
    if name == "NetworkInterfaceId":
        check_id(params[name], "eni", NetworkInterfaceIdMalformed)
        if not await all_enis(services, call.account, [params[name]]):
            raise NetworkInterfaceNotFound([params[name]])
    if name in _ABSENT:
        raise Unsupported(f"Neargate has no routes to {_ABSENT[name]}.")
    given, (prefixes, missing) = str(params[name])[:255], _TARGETS[name]
    if given == LOCAL and replacing and name == "GatewayId":
        return LOCAL
    if given.split("-", 1)[0] not in prefixes:
        raise missing([given])
    return given


def _table(call: Call, services: Services, params: Params) -> str:
    """Asks leave for the table, then checks its id."""
    resources = [table_resource(call, services, params.get("RouteTableId"))]
    authorize(call, f"ec2:{call.operation}", resources, region_key(call))
    return required_id(params, "RouteTableId", "rtb", RouteTableIdMalformed)


async def create_route(call: Call, services: Services, params: Params) -> Answer:
    table_id = _table(call, services, params)
    to = _destination(params)
    target = await _target(call, services, params, replacing=False)
    stop_if_dry_run(params)
    network = services.network
    routes_max = network.quota(call.account, ROUTES_PER_TABLE)
    await network.change(
        call.account,
        lambda shelf: routes.create_route(shelf, table_id, to, target, routes_max, services.region),
    )
    return {"Return": True}


async def replace_route(call: Call, services: Services, params: Params) -> Answer:
    table_id = _table(call, services, params)
    to = _destination(params)
    target = await _target(call, services, params, replacing=True)
    stop_if_dry_run(params)
    await services.network.change(
        call.account, lambda shelf: routes.replace_route(shelf, table_id, to, target, services.region)
    )
    return {}


async def delete_route(call: Call, services: Services, params: Params) -> Answer:
    table_id = _table(call, services, params)
    to = _destination(params)
    stop_if_dry_run(params)
    await services.network.change(call.account, lambda shelf: routes.delete_route(shelf, table_id, to, services.region))
    return {}


OPERATIONS: dict[str, Operation] = {
    "CreateRoute": create_route,
    "DeleteRoute": delete_route,
    "ReplaceRoute": replace_route,
}
