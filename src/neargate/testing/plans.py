"""Plans of VPCs for tests that are about something else: one public subnet, everything may pass the subnet's border."""

from msgspec.structs import replace

from ..model.network import LOCAL, AclRule, NetworkAcl, PlannedSubnet, Route, RouteTable, VpcPlan

EVERYWHERE, EVERYWHERE6 = "0.0.0.0/0", "::/0"
INTERNET_GATEWAY = "igw-00000001"
OPEN_ACL = NetworkAcl(
    acl_id="acl-0open",
    rules=tuple(
        AclRule(number=100 + (":" in cidr), is_egress=is_egress, allow=True, protocol="-1", cidr=cidr)
        for is_egress in (False, True)
        for cidr in (EVERYWHERE, EVERYWHERE6)
    ),
)


def table(table_id: str, *routes: tuple[str, str], local: tuple[str, ...] = ()) -> RouteTable:
    """`routes`: (destination, target); `local`: the VPC's own networks."""
    own = ((cidr, LOCAL) for cidr in local)
    return RouteTable(table_id=table_id, routes=tuple(Route(destination=d, target=t) for d, t in (*own, *routes)))


def with_public_subnet(plan: VpcPlan, subnet_id: str, cidr: str, ipv6_cidr: str | None = None) -> VpcPlan:
    """The plan with this subnet, whose route table leads everywhere else through an internet gateway."""
    main = table("rtb-0main", (EVERYWHERE, INTERNET_GATEWAY), (EVERYWHERE6, INTERNET_GATEWAY), local=plan.cidrs)
    subnet = PlannedSubnet(
        subnet_id=subnet_id, cidr=cidr, ipv6_cidr=ipv6_cidr, route_table=main.table_id, acl=OPEN_ACL.acl_id
    )
    return replace(plan, subnets=(subnet,), tables=(main,), acls=(OPEN_ACL,))
