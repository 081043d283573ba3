"""What EC2's Describe* calls return of a region, as far as it decides where packets go. Fields have AWS's names.

`described` takes the answers of all calls in one mapping ({"Vpcs": [...], "Subnets": [...], ...}); members that decide
nothing are ignored. Of prefix lists it wants the entries too (GetManagedPrefixListEntries, or Cidrs of
DescribePrefixLists). SecurityGroupRules are optional: they give rules their ids.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, convert


class Shape(Struct, frozen=True, kw_only=True, rename="pascal"):
    """Spelled as AWS spells it."""


class State(Shape, frozen=True, kw_only=True):
    state: str = "associated"


class CidrAssociation(Shape, frozen=True, kw_only=True):
    cidr_block: str
    cidr_block_state: State = State()


class Ipv6CidrAssociation(Shape, frozen=True, kw_only=True):
    ipv6_cidr_block: str
    ipv6_cidr_block_state: State = State()


class Vpc(Shape, frozen=True, kw_only=True):
    vpc_id: str
    cidr_block: str  # the primary one, whose base + 2 is the resolver
    cidr_block_association_set: tuple[CidrAssociation, ...] = ()
    ipv6_cidr_block_association_set: tuple[Ipv6CidrAssociation, ...] = ()
    enable_dns_support: bool = True  # of DescribeVpcAttribute


class Subnet(Shape, frozen=True, kw_only=True):
    subnet_id: str
    vpc_id: str
    cidr_block: str
    ipv6_cidr_block_association_set: tuple[Ipv6CidrAssociation, ...] = ()


class Route(Shape, frozen=True, kw_only=True):
    destination_cidr_block: str = ""
    destination_ipv6_cidr_block: str = ""
    destination_prefix_list_id: str = ""
    gateway_id: str = ""  # local, igw-, vgw-, vpce-
    nat_gateway_id: str = ""
    egress_only_internet_gateway_id: str = ""
    vpc_peering_connection_id: str = ""
    network_interface_id: str = ""
    transit_gateway_id: str = ""
    state: str = "active"


class TableAssociation(Shape, frozen=True, kw_only=True):
    main: bool = False
    subnet_id: str = ""
    gateway_id: str = ""


class RouteTable(Shape, frozen=True, kw_only=True):
    route_table_id: str
    vpc_id: str
    associations: tuple[TableAssociation, ...] = ()
    routes: tuple[Route, ...] = ()


class GatewayAttachment(Shape, frozen=True, kw_only=True):
    vpc_id: str
    state: str = "available"


class InternetGateway(Shape, frozen=True, kw_only=True):
    internet_gateway_id: str
    attachments: tuple[GatewayAttachment, ...] = ()


class EgressOnlyInternetGateway(Shape, frozen=True, kw_only=True):
    egress_only_internet_gateway_id: str
    attachments: tuple[GatewayAttachment, ...] = ()


class NatAddress(Shape, frozen=True, kw_only=True):
    private_ip: str
    public_ip: str = ""
    is_primary: bool = True


class NatGateway(Shape, frozen=True, kw_only=True):
    nat_gateway_id: str
    vpc_id: str
    subnet_id: str
    nat_gateway_addresses: tuple[NatAddress, ...]
    connectivity_type: str = "public"
    state: str = "available"


class Address(Shape, frozen=True, kw_only=True):
    public_ip: str
    network_interface_id: str = ""
    private_ip_address: str = ""


class GroupPair(Shape, frozen=True, kw_only=True):
    group_id: str
    vpc_id: str = ""  # of a peered VPC's group, with the two below
    vpc_peering_connection_id: str = ""
    peering_status: str = ""


class IpRange(Shape, frozen=True, kw_only=True):
    cidr_ip: str


class Ipv6Range(Shape, frozen=True, kw_only=True):
    cidr_ipv6: str


class PrefixListId(Shape, frozen=True, kw_only=True):
    prefix_list_id: str


class IpPermission(Shape, frozen=True, kw_only=True):
    ip_protocol: str
    from_port: int = -1
    to_port: int = -1
    ip_ranges: tuple[IpRange, ...] = ()
    ipv6_ranges: tuple[Ipv6Range, ...] = ()
    prefix_list_ids: tuple[PrefixListId, ...] = ()
    user_id_group_pairs: tuple[GroupPair, ...] = ()


class SecurityGroup(Shape, frozen=True, kw_only=True):
    group_id: str
    vpc_id: str
    ip_permissions: tuple[IpPermission, ...] = ()
    ip_permissions_egress: tuple[IpPermission, ...] = ()


class SecurityGroupRule(Shape, frozen=True, kw_only=True):
    security_group_rule_id: str
    group_id: str
    is_egress: bool
    ip_protocol: str
    from_port: int = -1
    to_port: int = -1
    cidr_ipv4: str = ""
    cidr_ipv6: str = ""
    prefix_list_id: str = ""
    referenced_group_info: GroupPair | None = None


class PortRange(Shape, frozen=True, kw_only=True):
    from_: int = 0
    to: int = 65535


class IcmpTypeCode(Shape, frozen=True, kw_only=True):
    type: int = -1
    code: int = -1


class NetworkAclEntry(Shape, frozen=True, kw_only=True):
    rule_number: int
    rule_action: str
    egress: bool
    protocol: str
    cidr_block: str = ""
    ipv6_cidr_block: str = ""
    port_range: PortRange | None = None
    icmp_type_code: IcmpTypeCode | None = None


class AclAssociation(Shape, frozen=True, kw_only=True):
    subnet_id: str


class NetworkAcl(Shape, frozen=True, kw_only=True):
    network_acl_id: str
    vpc_id: str
    is_default: bool = False
    associations: tuple[AclAssociation, ...] = ()
    entries: tuple[NetworkAclEntry, ...] = ()


class PublicAssociation(Shape, frozen=True, kw_only=True):
    public_ip: str


class PrivateAddress(Shape, frozen=True, kw_only=True):
    private_ip_address: str
    association: PublicAssociation | None = None


class Ipv6Address(Shape, frozen=True, kw_only=True):
    ipv6_address: str


class NetworkInterface(Shape, frozen=True, kw_only=True):
    network_interface_id: str
    vpc_id: str
    subnet_id: str
    private_ip_address: str
    private_ip_addresses: tuple[PrivateAddress, ...] = ()
    ipv6_addresses: tuple[Ipv6Address, ...] = ()
    association: PublicAssociation | None = None
    groups: tuple[GroupPair, ...] = ()
    source_dest_check: bool = True
    status: str = "in-use"
    interface_type: str = "interface"


class PeeringVpc(Shape, frozen=True, kw_only=True):
    vpc_id: str


class PeeringStatus(Shape, frozen=True, kw_only=True):
    code: str = "active"


class VpcPeeringConnection(Shape, frozen=True, kw_only=True):
    vpc_peering_connection_id: str
    requester_vpc_info: PeeringVpc
    accepter_vpc_info: PeeringVpc
    status: PeeringStatus = PeeringStatus()


class VpcEndpoint(Shape, frozen=True, kw_only=True):
    vpc_endpoint_id: str
    vpc_id: str
    vpc_endpoint_type: str
    service_name: str = ""
    state: str = "available"
    network_interface_ids: tuple[str, ...] = ()


class PrefixListEntry(Shape, frozen=True, kw_only=True):
    cidr: str


class ManagedPrefixList(Shape, frozen=True, kw_only=True):
    prefix_list_id: str
    entries: tuple[PrefixListEntry, ...] = ()
    cidrs: tuple[str, ...] = ()


class RegionEndpoint(Shape, frozen=True, kw_only=True):
    """Not AWS's: the one address at which a Neargate region has its API in every VPC."""

    address: str
    port: int


class Description(Shape, frozen=True, kw_only=True):
    vpcs: tuple[Vpc, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    internet_gateways: tuple[InternetGateway, ...] = ()
    egress_only_internet_gateways: tuple[EgressOnlyInternetGateway, ...] = ()
    nat_gateways: tuple[NatGateway, ...] = ()
    addresses: tuple[Address, ...] = ()
    security_groups: tuple[SecurityGroup, ...] = ()
    security_group_rules: tuple[SecurityGroupRule, ...] = ()
    network_acls: tuple[NetworkAcl, ...] = ()
    network_interfaces: tuple[NetworkInterface, ...] = ()
    vpc_peering_connections: tuple[VpcPeeringConnection, ...] = ()
    vpc_endpoints: tuple[VpcEndpoint, ...] = ()
    managed_prefix_lists: tuple[ManagedPrefixList, ...] = ()
    region_endpoint: RegionEndpoint | None = None
    private_beyond: tuple[str, ...] = ()  # networks that gateways carry to though they are private: the operator's word


def described(answers: Mapping[str, Any]) -> Description:
    return convert(answers, Description)
