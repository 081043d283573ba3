"""From an account's network objects to what hosts must know of one VPC. Pure.

Owns which route table and network ACL are in force for a subnet, what a route's target is worth (a gateway that is gone
is a black hole), and what prefix lists stand for. Invariant: the same shelf gives the same plan, so that a generation
names one plan only.
"""

from collections.abc import Iterator, Mapping

from ....model.network import (
    BLACKHOLE,
    LOCAL,
    AclRule,
    PlannedNat,
    PlannedPeering,
    PlannedSubnet,
    PublicPool,
    Route,
    SecurityGroup,
    SecurityGroupRule,
    VpcDns,
    VpcPlan,
)
from ....model.network import NetworkAcl as PlannedAcl
from ....model.network import RouteTable as PlannedTable
from ...regional.shelves import Shelf
from ..endpoints.plans import planned_endpoints, with_names
from ..flow_logs import planned_flow_logs
from ..peering.groups import is_stale
from ..records.objects import (
    EgressOnlyGateway,
    InternetGateway,
    NatGateway,
    NetworkAcl,
    Peering,
    PrefixList,
    RouteTable,
    Subnet,
    Vpc,
    VpcEndpoint,
    VpnGateway,
    local_routes,
)
from ..records.security_groups import RuleSpec, SecurityGroupView
from ..vpcs.dhcp import with_options
from .balancer_names import with_balancers
from .balancer_plans import open_groups, planned_nodes

AVAILABLE = "available"
ACTIVE = "active"


class PlannedGroups:
    """Remembers what a group's record became: an account has thousands of rules, and a change touches one group."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[SecurityGroupView, SecurityGroup]] = {}

    def plan(self, shelf: Shelf, group: SecurityGroupView, lists: Mapping[str, tuple[str, ...]]) -> SecurityGroup:
        known = self._known.get(group.name)
        if known is not None and known[0] is group:
            return known[1]
        planned = plan_group(shelf, group, lists)
        if any(rule.spec.prefix_list is not None or rule.spec.peering is not None for rule in group.rules):
            self._known.pop(group.name, None)  # the list or the peering may change and the group not
        else:
            self._known[group.name] = (group, planned)
        return planned

    def forget(self, group_id: str) -> None:
        self._known.pop(group_id, None)


def vpc_plan(
    shelf: Shelf,
    vpc: Vpc,
    *,
    generation: int,
    dns: VpcDns | None = None,
    groups: PlannedGroups | None = None,
    pools: tuple[PublicPool, ...] = (),
) -> VpcPlan:
    groups = groups or PlannedGroups()
    cidrs = tuple(block.cidr for block in (*vpc.blocks, *vpc.ipv6))
    lists = {one.name: tuple(entry.cidr for entry in one.entries) for one in shelf.all(PrefixList)}
    tables = [table for table in shelf.all(RouteTable) if table.vpc_id == vpc.vpc_id]
    acls = [acl for acl in shelf.all(NetworkAcl) if acl.vpc_id == vpc.vpc_id]
    return VpcPlan(
        vpc_id=vpc.vpc_id,
        generation=generation,
        cidrs=cidrs,
        groups=(
            *(groups.plan(shelf, one, lists) for one in shelf.all(SecurityGroupView) if one.vpc_id == vpc.vpc_id),
            *open_groups(shelf, vpc.vpc_id),
        ),
        dns=dns and with_balancers(with_names(with_options(dns, shelf, vpc), shelf, vpc), shelf),
        subnets=tuple(_subnets(shelf, vpc, tables, acls)),
        tables=tuple(_table(shelf, vpc, table, lists) for table in tables),
        acls=tuple(_acl(acl) for acl in acls),
        nats=tuple(_nats(shelf, vpc)),
        peerings=tuple(_peerings(shelf, vpc)),
        pools=pools,
        endpoints=tuple(planned_endpoints(shelf, vpc.vpc_id)),
        nodes=tuple(planned_nodes(shelf, vpc.vpc_id)),
        flow_logs=tuple(planned_flow_logs(shelf, vpc.vpc_id)),
    )


def table_in_force(tables: list[RouteTable], subnet_id: str) -> RouteTable | None:
    """The one that the subnet is associated with, else the main one."""
    for table in tables:
        if any(one.subnet_id == subnet_id for one in table.associations):
            return table
    return next((table for table in tables if table.is_main), None)


def _subnets(shelf: Shelf, vpc: Vpc, tables: list[RouteTable], acls: list[NetworkAcl]) -> Iterator[PlannedSubnet]:
    acl_of = {one.subnet_id: acl.name for acl in acls for one in acl.associations}
    own = {one.subnet_id: table.name for table in tables for one in table.associations if one.subnet_id is not None}
    main = next((table.name for table in tables if table.is_main), "")
    for subnet in shelf.all(Subnet):
        if subnet.vpc_id == vpc.vpc_id:
            yield PlannedSubnet(
                subnet_id=subnet.name,
                cidr=subnet.cidr,
                ipv6_cidr=subnet.ipv6[0].cidr if subnet.ipv6 else None,
                route_table=own.get(subnet.name, main),
                acl=acl_of.get(subnet.name, ""),
            )


def _table(shelf: Shelf, vpc: Vpc, table: RouteTable, lists: Mapping[str, tuple[str, ...]]) -> PlannedTable:
    """Local routes first, then those to networks, then those to prefix lists: of two to one network the first wins.

    Routes to gateway endpoints are not here: the lists that AWS manages stand for no network (aws_prefix_lists.py).
    A virtual private gateway drops what comes to it, as one without VPN connections does on AWS: there are none here.
    """
    targets: dict[str, str] = {route.destination: LOCAL for route in local_routes(vpc)}
    for route in sorted(table.routes, key=lambda route: route.destination.startswith("pl-")):
        leads_on = is_reachable(shelf, vpc.vpc_id, route.target) and not route.target.startswith("vgw-")
        target = route.target if leads_on else BLACKHOLE
        for cidr in lists.get(route.destination, ()) if route.destination.startswith("pl-") else (route.destination,):
            targets.setdefault(cidr, target)
    routes = tuple(Route(destination=cidr, target=target) for cidr, target in targets.items())
    return PlannedTable(table_id=table.name, routes=routes)


def is_reachable(shelf: Shelf, vpc_id: str, target: str) -> bool:
    """Whether a route of this VPC to `target` is active, as DescribeRouteTables says it. Unknown targets are not."""
    match target.split("-", 1)[0]:
        case "local":
            return True
        case "igw":
            igw = shelf.find(InternetGateway, target)
            return igw is not None and igw.vpc_id == vpc_id
        case "eigw":
            eigw = shelf.find(EgressOnlyGateway, target)
            return eigw is not None and eigw.vpc_id == vpc_id
        case "vgw":
            vgw = shelf.find(VpnGateway, target)
            return vgw is not None and vgw.vpc_id == vpc_id
        case "nat":
            nat = shelf.find(NatGateway, target)
            return nat is not None and nat.vpc_id == vpc_id and nat.state == AVAILABLE
        case "pcx":
            peering = shelf.find(Peering, target)
            ends = () if peering is None else (peering.requester_vpc, peering.accepter_vpc)
            return peering is not None and peering.status == ACTIVE and vpc_id in ends
        case "vpce":
            endpoint = shelf.find(VpcEndpoint, target)
            return endpoint is not None and endpoint.vpc_id == vpc_id and endpoint.state == AVAILABLE
        case _:
            return False


def _acl(acl: NetworkAcl) -> PlannedAcl:
    rules = [
        AclRule(
            number=entry.number,
            is_egress=entry.is_egress,
            allow=entry.allow,
            protocol=entry.protocol,
            cidr=entry.cidr_ipv4 or entry.cidr_ipv6 or "",
            from_port=entry.from_port if entry.icmp_type is None else entry.icmp_type,
            to_port=entry.to_port if entry.icmp_type is None else entry.icmp_code,
        )
        for entry in sorted(acl.entries, key=lambda entry: (entry.is_egress, entry.number))
    ]
    return PlannedAcl(acl_id=acl.name, rules=tuple(rules))


def _nats(shelf: Shelf, vpc: Vpc) -> Iterator[PlannedNat]:
    for nat in shelf.all(NatGateway):
        if nat.vpc_id == vpc.vpc_id and nat.state == AVAILABLE and nat.private_ip is not None:
            yield PlannedNat(
                nat_id=nat.name,
                subnet_id=nat.subnet_id,
                private_ipv4=nat.private_ip,
                public_ipv4=nat.public_ip,
                host_id=nat.host_id or "",
                eni_id=nat.eni_id or "",
            )


def _peerings(shelf: Shelf, vpc: Vpc) -> Iterator[PlannedPeering]:
    for peering in shelf.all(Peering):
        if peering.status == ACTIVE and vpc.vpc_id in (peering.requester_vpc, peering.accepter_vpc):
            other = peering.accepter_vpc if peering.requester_vpc == vpc.vpc_id else peering.requester_vpc
            yield PlannedPeering(peering_id=peering.name, peer_vpc=other)


def plan_group(shelf: Shelf, group: SecurityGroupView, lists: Mapping[str, tuple[str, ...]]) -> SecurityGroup:
    """As hosts need it: all ports are None, not -1; a prefix list is its networks; stale rules are left out."""
    rules = [
        (rule.spec.is_egress, planned)
        for rule in group.rules
        if not is_stale(shelf, rule.spec)
        for planned in plan_rules(rule.spec, lists)
    ]
    return SecurityGroup(
        group_id=group.group_id,
        ingress=tuple(rule for is_egress, rule in rules if not is_egress),
        egress=tuple(rule for is_egress, rule in rules if is_egress),
    )


def plan_rules(spec: RuleSpec, lists: Mapping[str, tuple[str, ...]]) -> Iterator[SecurityGroupRule]:
    if spec.prefix_list is None:
        yield _rule(spec, spec.cidr_ipv4, spec.cidr_ipv6)
        return
    for cidr in lists.get(spec.prefix_list, ()):
        yield _rule(spec, None, cidr) if ":" in cidr else _rule(spec, cidr, None)


def _rule(spec: RuleSpec, cidr_ipv4: str | None, cidr_ipv6: str | None) -> SecurityGroupRule:
    return SecurityGroupRule(
        protocol=spec.protocol,
        from_port=None if spec.from_port == -1 else spec.from_port,
        to_port=None if spec.to_port == -1 else spec.to_port,
        cidr_ipv4=cidr_ipv4,
        cidr_ipv6=cidr_ipv6,
        peer_group=spec.peer_group,
    )
