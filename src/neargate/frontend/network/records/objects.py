"""The objects of a VPC as the registry keeps them: one record a thing, its id is the record's name.

Owns their shapes only; what may be done with them is decided in the files named after them. Pure. Invariant: what one
object says of another (a table's subnet, a gateway's VPC) is said once, on one side; the other side is looked up.
"""

from msgspec import Struct

from ....model.capacity import SubnetView
from ....model.network import LOCAL
from ...regional.shelves import Kept

Tags = tuple[tuple[str, str], ...]
ANYWHERE = "0.0.0.0/0"
ANYWHERE_IPV6 = "::/0"
BY_CREATE_TABLE, BY_CREATE_ROUTE = "CreateRouteTable", "CreateRoute"


class Owned(Kept, frozen=True, kw_only=True):
    """An object that has an id, and tags that CreateTags changes."""

    tags: Tags = ()

    @property
    def id(self) -> str:
        return self.name


class CidrBlock(Struct, frozen=True, kw_only=True):
    """A network that belongs to a VPC or a subnet, with the id of its association. `pool`: of an IPv6 pool of the
    operator's, its id."""

    association_id: str
    cidr: str
    pool: str = ""


class Vpc(Owned, frozen=True, kw_only=True):
    """`cidr` is the primary network, `others` the further IPv4 ones, `ipv6` those of the region's IPv6 pool.

    `served`: zones that got a default subnet once, whatever became of it.
    """

    kind = "vpc"
    cidr: str
    association_id: str = ""
    is_default: bool = False
    dhcp_options_id: str = "default"
    others: tuple[CidrBlock, ...] = ()
    ipv6: tuple[CidrBlock, ...] = ()
    dns_support: bool = True
    dns_hostnames: bool = False
    usage_metrics: bool = False
    served: tuple[str, ...] = ()

    @property
    def vpc_id(self) -> str:
        return self.name

    @property
    def blocks(self) -> tuple[CidrBlock, ...]:
        """The IPv4 networks, the primary one first."""
        first = self.association_id or self.name.replace("vpc-", "vpc-cidr-assoc-", 1)
        return (CidrBlock(association_id=first, cidr=self.cidr), *self.others)


class Subnet(Owned, frozen=True, kw_only=True):
    kind = "subnet"
    vpc_id: str
    zone: str
    zone_id: str
    cidr: str
    default_for_zone: bool = False
    map_public_ip: bool = False
    ipv6: tuple[CidrBlock, ...] = ()
    assign_ipv6: bool = False
    dns64: bool = False
    hostname_type: str = "ip-name"
    resource_name_a: bool = False
    resource_name_aaaa: bool = False

    @property
    def view(self) -> SubnetView:
        """As a launch needs it."""
        return SubnetView(
            subnet_id=self.name,
            vpc_id=self.vpc_id,
            zone=self.zone,
            zone_id=self.zone_id,
            cidr=self.cidr,
            ipv6_cidr=self.ipv6[0].cidr if self.ipv6 and self.assign_ipv6 else None,
        )


class CidrReservation(Owned, frozen=True, kw_only=True):
    """A part of a subnet's networks of which addresses are given only to who names them. `type`: prefix, explicit."""

    kind = "subnet-cidr-reservation"
    subnet_id: str
    cidr: str
    type: str
    description: str | None = None


class StoredRoute(Struct, frozen=True, kw_only=True):
    """`destination`: a canonical network of either family, or a prefix list's id. `target`: the id of what takes it."""

    destination: str
    target: str
    origin: str = BY_CREATE_ROUTE


class TableAssociation(Struct, frozen=True, kw_only=True):
    """`subnet_id` None: the VPC's main table, in force where a subnet has no other."""

    association_id: str
    subnet_id: str | None = None


class RouteTable(Owned, frozen=True, kw_only=True):
    """The routes that were made; those inside the VPC (`local_routes`) follow from the VPC's networks."""

    kind = "route-table"
    vpc_id: str
    routes: tuple[StoredRoute, ...] = ()
    associations: tuple[TableAssociation, ...] = ()
    client_token: str | None = None
    propagating: tuple[str, ...] = ()  # virtual private gateways whose routes it takes over

    @property
    def is_main(self) -> bool:
        return any(one.subnet_id is None for one in self.associations)


def local_routes(vpc: Vpc) -> tuple[StoredRoute, ...]:
    return tuple(
        StoredRoute(destination=block.cidr, target=LOCAL, origin=BY_CREATE_TABLE) for block in (*vpc.blocks, *vpc.ipv6)
    )


class InternetGateway(Owned, frozen=True, kw_only=True):
    """`vpc_id` None: attached to none."""

    kind = "internet-gateway"
    vpc_id: str | None = None


class EgressOnlyGateway(Owned, frozen=True, kw_only=True):
    kind = "egress-only-internet-gateway"
    vpc_id: str
    client_token: str | None = None


class VpnGateway(Owned, frozen=True, kw_only=True):
    """A virtual private gateway. `vpc_id` None: attached to none. `deleted_at`: since when it is only shown."""

    kind = "vpn-gateway"
    asn: int
    vpc_id: str | None = None
    zone: str | None = None
    deleted_at: float | None = None


class CustomerGateway(Owned, frozen=True, kw_only=True):
    """What stands at the other end of VPN connections. `deleted_at`: as a virtual private gateway's."""

    kind = "customer-gateway"
    address: str
    asn: int
    device_name: str | None = None
    deleted_at: float | None = None


class NatGateway(Owned, frozen=True, kw_only=True):
    """A placed object. `state`: pending, available, failed, deleting, deleted; times in epoch seconds.

    `allocation_id` of a public one: the elastic address whose association is `association_id`. Interface and address
    are known when it is placed, on `host_id`.
    """

    kind = "natgateway"
    vpc_id: str
    subnet_id: str
    zone: str
    state: str
    created_at: float
    is_public: bool = True
    allocation_id: str | None = None
    association_id: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    wanted_private_ip: str | None = None
    eni_id: str | None = None
    mac: str | None = None
    attachment_id: str | None = None
    private_dns_name: str | None = None
    capacity_id: str | None = None
    host_id: str | None = None
    deleted_at: float | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    client_token: str | None = None


class InterfaceAddress(Struct, frozen=True, kw_only=True):
    """A private address of an interface that a caller made. `state`: pending, held, leaving.

    `place`: what the zone knows it by. `wanted`: the address that it must be. The rest is the zone's answer.
    """

    place: str
    state: str
    asked_at: float
    wanted: str | None = None
    private_ip: str = ""
    capacity_id: str = ""
    hold_id: str = ""
    mac: str = ""


class NetworkInterface(Owned, frozen=True, kw_only=True):
    """One that a caller made: it holds addresses of its subnet, and nothing is behind it.

    The first address is the primary one: while that is pending there is no interface yet, and none any more when it
    leaves.
    """

    kind = "network-interface"
    vpc_id: str
    subnet_id: str
    zone: str
    created_at: float
    addresses: tuple[InterfaceAddress, ...]
    groups: tuple[str, ...]
    description: str = ""
    source_dest_check: bool = True
    requester: str = ""
    client_token: str | None = None

    @property
    def is_there(self) -> bool:
        return self.addresses[0].state == "held"

    @property
    def held(self) -> tuple[InterfaceAddress, ...]:
        return tuple(one for one in self.addresses if one.state == "held")


class ElasticAddress(Owned, frozen=True, kw_only=True):
    """Who uses it is said by the NAT gateway that names it, or by the zone of a service's task that has it."""

    kind = "elastic-ip"
    public_ip: str
    border_group: str = ""
    domain_name: str | None = None  # what its PTR record says


class AclEntry(Struct, frozen=True, kw_only=True):
    """`protocol`: a number as text, -1 for all. Ports (TCP, UDP), type and code (ICMP): None where they say nothing."""

    number: int
    is_egress: bool
    allow: bool
    protocol: str
    cidr_ipv4: str | None = None
    cidr_ipv6: str | None = None
    from_port: int | None = None
    to_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


class AclAssociation(Struct, frozen=True, kw_only=True):
    association_id: str
    subnet_id: str


class NetworkAcl(Owned, frozen=True, kw_only=True):
    """Each subnet is associated with exactly one of its VPC's."""

    kind = "network-acl"
    vpc_id: str
    is_default: bool = False
    entries: tuple[AclEntry, ...] = ()
    associations: tuple[AclAssociation, ...] = ()
    client_token: str | None = None


class PrefixListEntry(Struct, frozen=True, kw_only=True):
    cidr: str
    description: str | None = None


class PrefixList(Owned, frozen=True, kw_only=True):
    """A customer's. `versions`: the entries of each version that is kept, the last is in force.

    `first_version`: the number of the oldest one kept. `state`: create-complete, modify-complete, restore-complete, or
    what failed, with a message.
    """

    kind = "prefix-list"
    list_name: str
    family: str  # IPv4, IPv6
    entries_max: int
    versions: tuple[tuple[PrefixListEntry, ...], ...] = ((),)
    first_version: int = 1
    state: str = "create-complete"
    state_message: str | None = None
    client_token: str | None = None

    @property
    def entries(self) -> tuple[PrefixListEntry, ...]:
        return self.versions[-1]

    @property
    def version(self) -> int:
        return self.first_version + len(self.versions) - 1


class DhcpOptions(Owned, frozen=True, kw_only=True):
    """`configurations`: (key, values) as they were given. `is_default`: the region's own, which new VPCs get."""

    kind = "dhcp-options"
    configurations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    is_default: bool = False


class Peering(Owned, frozen=True, kw_only=True):
    """Between two VPCs of the account. `status`: pending-acceptance, active, failed, deleted, rejected.

    That a request expired follows from its age. A failed one may name a VPC that does not exist.
    """

    kind = "vpc-peering-connection"
    requester_vpc: str
    accepter_vpc: str
    status: str
    created_at: float
    ended_at: float | None = None
    options: tuple[tuple[str, bool], ...] = ()


class EndpointInterface(Struct, frozen=True, kw_only=True):
    """Of an interface endpoint in one of its subnets: a placed object, which its zone knows by the name `place`.

    `state`: pending, available, deleting. What the zone gives is known when it is available.
    """

    place: str
    subnet_id: str
    zone: str
    state: str = "pending"
    wanted_private_ip: str | None = None
    private_ip: str | None = None
    eni_id: str | None = None
    mac: str | None = None
    attachment_id: str | None = None
    private_dns_name: str | None = None
    capacity_id: str | None = None
    host_id: str | None = None


class VpcEndpoint(Owned, frozen=True, kw_only=True):
    """`endpoint_type`: Gateway, with `route_tables`; Interface, with `subnets` and `groups`. `policy`: JSON text.

    `state`: pending, available, deleting, failed. `interfaces`: of its subnets, and of those that it is leaving.
    """

    kind = "vpc-endpoint"
    vpc_id: str
    endpoint_type: str
    service_name: str
    state: str
    created_at: float
    policy: str
    route_tables: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    private_dns: bool = False
    ip_address_type: str = "ipv4"
    client_token: str | None = None
    interfaces: tuple[EndpointInterface, ...] = ()
    dns_suffix: str = ""  # what its own names have beside its id
    error_code: str | None = None  # of the last interface that could not be made
    error_message: str | None = None


class FlowLog(Owned, frozen=True, kw_only=True):
    """`resource_id`: a VPC, a subnet or an interface (of `vpc_id`). `traffic`: ACCEPT, REJECT, ALL.

    `log_destination`: the group's ARN where it was named by that. `error`: AWS's word for why what came last was not
    delivered.
    """

    kind = "vpc-flow-log"
    resource_id: str
    traffic: str
    log_group: str
    role_arn: str
    created_at: float
    log_format: str
    aggregation_s: int = 600
    client_token: str | None = None
    log_destination: str = ""
    vpc_id: str = ""
    error: str = ""
