"""What a call makes of the routes of a table: shelf in, change out. Pure.

Owns which destination and target a route may have. Invariants: destinations are canonical and a table's are unique;
what leads inside the VPC stays local unless AWS lets it be led astray; a route's target was fit when it was made, and
whether it still is, planning.py says.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct
from msgspec.structs import replace

from ....model.network import LOCAL
from ...regional.shelves import Change, Shelf
from ..endpoints.changes import required_endpoint
from ..errors.common import InvalidParameterValue, PrefixListNotFound
from ..errors.routing import (
    DifferentNetworks,
    EgressOnlyGatewayNotFound,
    GatewayNotFound,
    NatGatewayNotFound,
    PeeringNotFound,
    RouteAlreadyExists,
    RouteLimitExceeded,
    RouteNotFound,
    RouteNotSupported,
    Unsupported,
)
from ..records.aws_prefix_lists import find_aws_prefix_list
from ..records.objects import (
    EgressOnlyGateway,
    InternetGateway,
    NatGateway,
    Peering,
    PrefixList,
    RouteTable,
    StoredRoute,
    Subnet,
    Vpc,
    VpcEndpoint,
    VpnGateway,
    local_routes,
)
from .route_tables import required_table

IPV4, IPV6, LIST = "destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId"
_SHOWN = {IPV4: "destination-cidr-block", IPV6: "destination-ipv6-cidr-block", LIST: "destination-prefix-list-id"}
# Whose services answer there (metadata, the resolver, the region's endpoint): no table leads them elsewhere.
_RESERVED = (IPv4Network("169.254.168.0/22"), IPv6Network("fd00:ec2::/32"))
_LIVE_NAT, _LIVE_PEERING = ("pending", "available"), ("pending-acceptance", "active")
_CIDR = re.compile(r"[0-9a-fA-F:.]{2,64}/[0-9]{1,3}", re.ASCII)


class Destination(Struct, frozen=True, kw_only=True):
    """`parameter`: which of the request's three named it."""

    text: str
    parameter: str

    @property
    def is_list(self) -> bool:
        return self.parameter == LIST


def destination(text: str, parameter: str) -> Destination:
    """In its canonical form. Raises InvalidParameterValue."""
    if parameter == LIST:
        return Destination(text=text, parameter=parameter)
    kind = IPv4Network if parameter == IPV4 else IPv6Network
    try:
        if _CIDR.fullmatch(text) is None:
            raise ValueError(text)
        return Destination(text=str(kind(text, strict=False)), parameter=parameter)
    except ValueError:
        raise InvalidParameterValue(
            f"Value ({text[:255]}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        ) from None


def create_route(
    shelf: Shelf, table_id: str, to: Destination, target: str, routes_max: float, region: str
) -> Change[None]:
    """`target`: an id. Raises RouteTableNotFound, RouteAlreadyExists, RouteLimitExceeded, what says that the target is
    not there or does not fit, InvalidParameterValue.
    """
    table = required_table(shelf, table_id)
    vpc = _vpc(shelf, table)
    if any(route.destination == to.text for route in (*local_routes(vpc), *table.routes)):
        raise RouteAlreadyExists(to.text)
    _check_family_and_target(shelf, table, to, target, region)
    _check_place(shelf, vpc, to, target)
    made = StoredRoute(destination=to.text, target=target)
    changed = replace(table, routes=(*table.routes, made))
    family = _family(shelf, to.text)
    if sum(_weight(shelf, route) for route in changed.routes if _family(shelf, route.destination) == family) > (
        routes_max
    ):
        raise RouteLimitExceeded
    return Change(result=None, put=(changed,))


def replace_route(shelf: Shelf, table_id: str, to: Destination, target: str, region: str) -> Change[None]:
    """`target`: an id, or LOCAL. Raises as create_route, and InvalidParameterValue where there is no such route."""
    table = required_table(shelf, table_id)
    vpc = _vpc(shelf, table)
    if any(route.destination == to.text for route in local_routes(vpc)):
        if target == LOCAL:
            return Change(result=None)
        _refuse_other_local(target)
    if endpoint_of_route(shelf, table_id, to.text, region) is not None:
        raise InvalidParameterValue(f"cannot replace VPC endpoint route {to.text} in route table {table_id}")
    if not any(route.destination == to.text for route in table.routes):
        raise InvalidParameterValue(
            f"There is no route defined for '{to.text}' in the route table. Use CreateRoute instead."
        )
    if target == LOCAL:
        raise InvalidParameterValue(f"The route {to.text} is not a local route and has no default target.")
    _check_family_and_target(shelf, table, to, target, region)
    _check_place(shelf, vpc, to, target)
    routes = tuple(replace(one, target=target) if one.destination == to.text else one for one in table.routes)
    return Change(result=None, put=(replace(table, routes=routes),) if routes != table.routes else ())


def delete_route(shelf: Shelf, table_id: str, to: Destination, region: str) -> Change[None]:
    """Raises RouteTableNotFound, RouteNotFound, InvalidParameterValue for what is not the account's to delete."""
    table = required_table(shelf, table_id)
    if any(route.destination == to.text for route in local_routes(_vpc(shelf, table))):
        raise InvalidParameterValue(f"cannot remove local route {to.text} in route table {table_id}")
    if endpoint_of_route(shelf, table_id, to.text, region) is not None:
        raise InvalidParameterValue(f"cannot remove VPC endpoint route {to.text} in route table {table_id}")
    kept = tuple(one for one in table.routes if one.destination != to.text)
    if kept == table.routes:
        raise RouteNotFound(table_id, to.text, _SHOWN[to.parameter])
    return Change(result=None, put=(replace(table, routes=kept),))


def endpoint_of_route(shelf: Shelf, table_id: str, list_id: str, region: str) -> VpcEndpoint | None:
    """The gateway endpoint whose list leads to it in this table. Such routes follow from the endpoint's record."""
    known = find_aws_prefix_list(region, list_id)
    if known is None:
        return None
    return next(
        (one for one in shelf.all(VpcEndpoint) if table_id in one.route_tables and one.service_name == known.list_name),
        None,
    )


def _vpc(shelf: Shelf, table: RouteTable) -> Vpc:
    vpc = shelf.find(Vpc, table.vpc_id)
    assert vpc is not None, "a VPC goes after its tables"
    return vpc


def _family(shelf: Shelf, text: str) -> str:
    if not text.startswith("pl-"):
        return "IPv6" if ":" in text else "IPv4"
    found = shelf.find(PrefixList, text)
    return found.family if found is not None else "IPv4"


def _weight(shelf: Shelf, route: StoredRoute) -> int:
    """A prefix list counts with all the entries it may have."""
    found = shelf.find(PrefixList, route.destination)
    return found.entries_max if found is not None else 1


def _check_family_and_target(shelf: Shelf, table: RouteTable, to: Destination, target: str, region: str) -> None:
    if to.is_list and find_aws_prefix_list(region, to.text) is not None:
        raise InvalidParameterValue(
            f"The prefix list {to.text} is managed by AWS. Use ModifyVpcEndpoint to add its route to a route table."
        )
    if to.is_list and shelf.find(PrefixList, to.text) is None:
        raise PrefixListNotFound(f"The prefix list ID '{to.text}' does not exist")
    kind, vpc_id = _target(shelf, table.vpc_id, target)
    if vpc_id != table.vpc_id:
        raise DifferentNetworks(table.name, kind, target)
    family = _family(shelf, to.text)
    if (target.startswith("eigw-") and family != "IPv6") or (target.startswith("nat-") and family != "IPv4"):
        raise InvalidParameterValue(f"Route target {target} is not supported for the {family} destination {to.text}.")


def _target(shelf: Shelf, vpc_id: str, target: str) -> tuple[str, str | None]:
    """How EC2 calls it, and its VPC. Raises what says that it is not there."""
    match target.split("-", 1)[0]:
        case "igw":
            igw = shelf.find(InternetGateway, target)
            if igw is not None:
                return "network gateway", igw.vpc_id
        case "vgw":
            vgw = shelf.find(VpnGateway, target)
            if vgw is not None and vgw.deleted_at is None:
                return "network gateway", vgw.vpc_id
        case "eigw":
            eigw = shelf.find(EgressOnlyGateway, target)
            if eigw is None:
                raise EgressOnlyGatewayNotFound([target])
            return "egress only internet gateway", eigw.vpc_id
        case "nat":
            nat = shelf.find(NatGateway, target)
            if nat is None or nat.state not in _LIVE_NAT:
                raise NatGatewayNotFound([target])
            return "nat gateway", nat.vpc_id
        case "pcx":
            peering = shelf.find(Peering, target)
            if peering is None or peering.status not in _LIVE_PEERING:
                raise PeeringNotFound([target])
            return "vpc peering connection", vpc_id if vpc_id in _ends(peering) else None
        case "vpce":
            required_endpoint(shelf, target)
            raise RouteNotSupported(target)
    raise GatewayNotFound([target])


def _ends(peering: Peering) -> tuple[str, str]:
    return peering.requester_vpc, peering.accepter_vpc


def _check_place(shelf: Shelf, vpc: Vpc, to: Destination, target: str) -> None:
    """Inside the VPC a route may lead a whole subnet to a NAT gateway (or to targets that are not here)."""
    if to.is_list:
        return
    network = ip_network(to.text)
    for reserved in _RESERVED:
        if _within(network, reserved):
            raise InvalidParameterValue(
                f"The destination CIDR block {to.text} is within {reserved}, which is reserved for use by AWS services."
            )
    if not any(_within(network, ip_network(route.destination)) for route in local_routes(vpc)):
        return
    whole = any(
        to.text in (one.cidr, *(block.cidr for block in one.ipv6))
        for one in shelf.all(Subnet)
        if one.vpc_id == vpc.vpc_id
    )
    if not whole or not target.startswith("nat-"):
        raise InvalidParameterValue(
            f"The destination CIDR block {to.text} is equal to or more specific than one of this VPC's CIDR blocks. "
            "This route can target only an interface or an instance."
        )


def _within(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network):
        return isinstance(other, IPv4Network) and network.subnet_of(other)
    return isinstance(other, IPv6Network) and network.subnet_of(other)


def _refuse_other_local(target: str) -> None:
    if target.startswith("nat-"):
        raise Unsupported("A local route's target cannot be changed to a NAT gateway in Neargate.")
    raise InvalidParameterValue(
        "Route target is not supported. This route only supports interface and instance targets."
    )
