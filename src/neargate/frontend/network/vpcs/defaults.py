"""What AWS gives an account on its first day, and every VPC when it is made. Pure: shelf in, the missing records out.

Invariant: whatever a crash, an older release or the account itself left out of this, `missing_parts` completes it
once more and touches nothing else; what a user deleted of the default VPC stays deleted.
"""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network

from msgspec.structs import replace

from ....model import ids
from ....vpc.addresses import private_domain
from ...regional.shelves import Kept, Shelf
from ..records.objects import (
    ANYWHERE,
    ANYWHERE_IPV6,
    AclAssociation,
    AclEntry,
    DhcpOptions,
    InternetGateway,
    NetworkAcl,
    RouteTable,
    StoredRoute,
    Subnet,
    TableAssociation,
    Vpc,
)
from ..records.security_groups import RuleSpec, SecurityGroupView, StoredRule

DEFAULT_CIDR = "172.31.0.0/16"
DEFAULT_SUBNET_PREFIX = 20
DEFAULT_GROUP_DESCRIPTION = "default VPC security group"
LAST_RULE = 32767  # of an ACL: denies what no other line speaks of, and cannot be changed
LAST_RULE_IPV6 = 32768

Bits = Callable[[int], int]


def default_vpc(account: str, dhcp_options_id: str, bits: Bits) -> Vpc:
    return Vpc(
        account=account,
        name=ids.ec2_id("vpc", bits),
        cidr=DEFAULT_CIDR,
        association_id=ids.ec2_id("vpc-cidr-assoc", bits),
        is_default=True,
        dhcp_options_id=dhcp_options_id,
        dns_hostnames=True,
    )


def default_dhcp_options(account: str, region: str, dhcp_options_id: str) -> DhcpOptions:
    """The name servers are the VPC's own."""
    return DhcpOptions(
        account=account,
        name=dhcp_options_id,
        configurations=(("domain-name", (private_domain(region),)), ("domain-name-servers", ("AmazonProvidedDNS",))),
        is_default=True,
    )


def default_options(shelf: Shelf, region: str, bits: Bits) -> DhcpOptions:
    """Those that a new VPC gets: the account's, made when it has none (any more)."""
    found = next((options for options in shelf.all(DhcpOptions) if options.is_default), None)
    return found or default_dhcp_options(shelf.account, region, ids.ec2_id("dopt", bits))


def parts_of_vpc(vpc: Vpc, bits: Bits) -> tuple[Kept, ...]:
    """What CreateVpc makes beside the VPC: the main route table, the default network ACL and the default group."""
    return (main_table(vpc, bits), default_acl(vpc, (), bits), default_group(vpc, bits))


def main_table(vpc: Vpc, bits: Bits, routes: tuple[StoredRoute, ...] = ()) -> RouteTable:
    return RouteTable(
        account=vpc.account,
        name=ids.ec2_id("rtb", bits),
        vpc_id=vpc.vpc_id,
        routes=routes,
        associations=(TableAssociation(association_id=ids.ec2_id("rtbassoc", bits)),),
    )


def default_acl(vpc: Vpc, subnets: Sequence[Subnet], bits: Bits) -> NetworkAcl:
    """Allows everything, both ways."""
    return NetworkAcl(
        account=vpc.account,
        name=ids.ec2_id("acl", bits),
        vpc_id=vpc.vpc_id,
        is_default=True,
        entries=allow_all_entries(with_ipv6=bool(vpc.ipv6)),
        associations=tuple(acl_association(subnet, bits) for subnet in subnets),
    )


def allow_all_entries(*, with_ipv6: bool) -> tuple[AclEntry, ...]:
    """What a default ACL begins with. The denying last lines are not stored: nobody can change them."""
    entries = []
    for is_egress in (True, False):
        entries.append(AclEntry(number=100, is_egress=is_egress, allow=True, protocol="-1", cidr_ipv4=ANYWHERE))
        if with_ipv6:
            entries.append(
                AclEntry(number=101, is_egress=is_egress, allow=True, protocol="-1", cidr_ipv6=ANYWHERE_IPV6)
            )
    return tuple(entries)


def acl_association(subnet: Subnet, bits: Bits) -> AclAssociation:
    return AclAssociation(association_id=ids.ec2_id("aclassoc", bits), subnet_id=subnet.name)


def default_group(vpc: Vpc, bits: Bits) -> SecurityGroupView:
    """Everything in from its own members, everything out."""
    group_id = ids.ec2_id("sg", bits)
    rules = (
        StoredRule(rule_id=ids.ec2_id("sgr", bits), spec=RuleSpec(is_egress=False, protocol="-1", peer_group=group_id)),
        allow_all_egress(bits),
        *((allow_all_egress_ipv6(bits),) if vpc.ipv6 else ()),
    )
    return SecurityGroupView(
        account=vpc.account,
        name=group_id,
        vpc_id=vpc.vpc_id,
        group_name="default",
        description=DEFAULT_GROUP_DESCRIPTION,
        rules=rules,
    )


def allow_all_egress(bits: Bits) -> StoredRule:
    """The rule every new group begins with."""
    return StoredRule(rule_id=ids.ec2_id("sgr", bits), spec=RuleSpec(is_egress=True, protocol="-1", cidr_ipv4=ANYWHERE))


def allow_all_egress_ipv6(bits: Bits) -> StoredRule:
    """... and in a VPC with an IPv6 network this one too."""
    spec = RuleSpec(is_egress=True, protocol="-1", cidr_ipv6=ANYWHERE_IPV6)
    return StoredRule(rule_id=ids.ec2_id("sgr", bits), spec=spec)


def new_default_vpc(shelf: Shelf, region: str, zones: Sequence[tuple[str, str]], bits: Bits) -> tuple[Kept, ...]:
    """A default VPC with all that AWS makes with it: subnets, gateway, a route to it."""
    options = default_options(shelf, region, bits)
    vpc = replace(default_vpc(shelf.account, options.name, bits), served=tuple(zone for zone, _ in zones))
    subnets = missing_default_subnets(replace(vpc, served=()), (), zones, bits)
    gateway = InternetGateway(account=vpc.account, name=ids.ec2_id("igw", bits), vpc_id=vpc.vpc_id)
    table = main_table(vpc, bits, (StoredRoute(destination=ANYWHERE, target=gateway.name),))
    return (vpc, options, *subnets, gateway, table, default_acl(vpc, subnets, bits), default_group(vpc, bits))


def missing_parts(shelf: Shelf, region: str, zones: Sequence[tuple[str, str]], bits: Bits) -> tuple[Kept, ...]:
    """Of an account at a start: its first default VPC, a default subnet for a zone that is new, and what VPCs lack that
    were made before there were route tables. A shelf that was changed before has no default VPC because it was deleted.
    """
    default = next((vpc for vpc in shelf.all(Vpc) if vpc.is_default), None)
    if default is None:
        return new_default_vpc(shelf, region, zones, bits) if shelf.generation == 0 else ()
    found: list[Kept] = []
    have = [subnet for subnet in shelf.all(Subnet) if subnet.vpc_id == default.vpc_id]
    added = missing_default_subnets(default, have, zones, bits)
    if added or not default.served:
        found += [replace(default, served=tuple(zone for zone, _ in zones)), *added]
    if shelf.find(DhcpOptions, default.dhcp_options_id) is None and default.dhcp_options_id != "default":
        found.append(default_dhcp_options(shelf.account, region, default.dhcp_options_id))
    acl = next((acl for acl in shelf.all(NetworkAcl) if acl.vpc_id == default.vpc_id and acl.is_default), None)
    if acl is None:
        found.append(default_acl(default, (*have, *added), bits))
    elif added:
        found.append(_with_subnets(acl, added, bits))
    if not any(table.vpc_id == default.vpc_id and table.is_main for table in shelf.all(RouteTable)):
        gateway = InternetGateway(account=default.account, name=ids.ec2_id("igw", bits), vpc_id=default.vpc_id)
        found += [gateway, main_table(default, bits, (StoredRoute(destination=ANYWHERE, target=gateway.name),))]
    return tuple(found)


def _with_subnets(acl: NetworkAcl, subnets: Sequence[Subnet], bits: Bits) -> NetworkAcl:
    return replace(acl, associations=(*acl.associations, *(acl_association(subnet, bits) for subnet in subnets)))


def missing_default_subnets(
    vpc: Vpc, have: Sequence[Subnet], zones: Sequence[tuple[str, str]], bits: Bits
) -> tuple[Subnet, ...]:
    """One /20 for each zone that has none yet, in the order of the zones, from the blocks still free."""
    served = {*vpc.served, *(subnet.zone for subnet in have if subnet.default_for_zone)}
    return tuple(
        new_default_subnet(vpc, zone, zone_id, block, bits)
        for (zone, zone_id), block in zip(
            (zone for zone in zones if zone[0] not in served), free_default_blocks(vpc, have), strict=False
        )
    )


def free_default_blocks(vpc: Vpc, have: Sequence[Subnet]) -> list[str]:
    """The /20 blocks of the VPC's network that no subnet meets, in order."""
    used = [IPv4Network(subnet.cidr) for subnet in have]
    return [
        str(block)
        for block in IPv4Network(vpc.cidr).subnets(new_prefix=DEFAULT_SUBNET_PREFIX)
        if not any(block.overlaps(other) for other in used)
    ]


def new_default_subnet(vpc: Vpc, zone: str, zone_id: str, cidr: str, bits: Bits) -> Subnet:
    return Subnet(
        account=vpc.account,
        name=ids.ec2_id("subnet", bits),
        vpc_id=vpc.vpc_id,
        zone=zone,
        zone_id=zone_id,
        cidr=cidr,
        default_for_zone=True,
        map_public_ip=True,
    )
