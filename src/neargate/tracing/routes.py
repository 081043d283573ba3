"""Which route a packet takes out of a subnet, and whether the route's target is alive.

All from the user guide, "Configure route tables" and the sections that it names; each function says which.
"""

from ipaddress import ip_network

from msgspec import Struct

from .description import Route, RouteTable
from .flows import IpAddress, Kind, NotModelled, Stopped
from .region import Network, Region

LOCAL = "local"
_VPN = "vgw-"


class Choice(Struct, frozen=True, kw_only=True):
    table_id: str
    destination: str
    target: str  # "local", or an id
    is_blackhole: bool

    @property
    def rule(self) -> str:
        return f"{self.destination} -> {self.target}"


def choose(region: Region, subnet_id: str, to: IpAddress) -> Choice:
    """Route priority: the longest prefix, whatever its target and state; then a CIDR before a
    prefix list. The local route too is only one of them: a longer one inside the VPC wins over it ("You can add a route
    to your route tables that is more specific than the local route").
    """
    table = region.table_of(subnet_id)
    matching = [
        (-network.prefixlen, _priority(route), index, route)
        for index, route in enumerate((*table.routes, *_implied(region, table)))
        for network in _networks(region, route)
        if to in network
    ]
    if not matching:
        raise Stopped(Kind.ROUTE_TABLE, (table.route_table_id,), "no route")
    route = min(matching, key=lambda each: each[:3])[3]
    target = _target(route)
    return Choice(
        table_id=table.route_table_id,
        destination=_destination(route),
        target=target,
        is_blackhole=route.state == "blackhole" or not _is_alive(region, table.vpc_id, target),
    )


def passable(choice: Choice) -> Choice:
    """NAT gateways: "If you delete a NAT gateway, the NAT gateway routes remain in a `blackhole` status". Route in the
    EC2 API reference: the state "indicates that the route's target isn't available". What it matches is dropped.
    """
    if choice.is_blackhole:
        raise Stopped(Kind.ROUTE_TABLE, (choice.table_id,), f"{choice.rule} is a blackhole")
    if choice.target.startswith(_VPN):
        raise Stopped(Kind.ROUTE_TABLE, (choice.table_id,), f"{choice.rule} has no VPN connection")
    return choice


def _implied(region: Region, table: RouteTable) -> list[Route]:
    """Every table has the local routes; one that was given another target is listed with that."""
    listed = {network for route in table.routes for network in _networks(region, route)}
    return [
        Route(destination_cidr_block=str(network), gateway_id=LOCAL)
        for network in region.ranges(table.vpc_id)
        if network not in listed
    ]


def _networks(region: Region, route: Route) -> tuple[Network, ...]:
    """Prefix lists stand for each of their entries (Managed prefix lists)."""
    if route.destination_prefix_list_id:
        return region.prefix_lists.get(route.destination_prefix_list_id, ())
    return (ip_network(_destination(route)),)


def _destination(route: Route) -> str:
    return route.destination_cidr_block or route.destination_ipv6_cidr_block or route.destination_prefix_list_id


def _priority(route: Route) -> int:
    """Route priority and prefix lists: a static route by CIDR wins over one by prefix list."""
    return 1 if route.destination_prefix_list_id else 0


def _target(route: Route) -> str:
    if route.transit_gateway_id:
        raise NotModelled("transit gateways")
    return (
        route.gateway_id
        or route.nat_gateway_id
        or route.egress_only_internet_gateway_id
        or route.vpc_peering_connection_id
        or route.network_interface_id
    )


def _is_alive(region: Region, vpc_id: str, target: str) -> bool:
    """A target that is gone, detached, or another VPC's, takes nothing."""
    if target == LOCAL or target.startswith(_VPN):  # of a detached one, the route's state tells
        return True
    if target in region.peerings:
        return region.other_side(target, vpc_id) is not None
    if nat := region.nat_gateways.get(target):
        return nat.state == "available" and nat.vpc_id == vpc_id
    if endpoint := region.endpoints.get(target):
        return endpoint.state == "available" and endpoint.vpc_id == vpc_id
    if interface := region.interfaces.get(target):
        return interface.vpc_id == vpc_id
    return target in (region.internet_gateway_of(vpc_id), *region.egress_only_gateways_of(vpc_id))
