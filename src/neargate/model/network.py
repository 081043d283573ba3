"""Network objects as the data plane needs them: a task's interface, security group rules, a VPC's plan."""

from collections.abc import Container, Iterable
from ipaddress import ip_network

from msgspec import Struct

from .flow_logs import PlannedFlowLog

ENI_MAC_GATEWAY = "0e:ee:ee:ee:ee:ee"
TASK_METADATA_ADDRESS = "169.254.170.2"
REGION_ENDPOINT_ADDRESS = "169.254.170.10"  # in every VPC router; only the region's API port is behind it
RESOLVER_ADDRESS = "169.254.170.11"  # where the router takes what tasks send to their VPC's resolver
AWS_RESOLVER_ADDRESS = "169.254.169.253"  # the resolver's other address, the same in every VPC

# First and last local port of what the agent says in the name of a task that has a machine of its own: a packet to one
# of them is the agent's, all else is the guest's. A power of two, so that the same number of bits tells them in a
# packet that an error quotes; above the ports that Linux gives connections by itself (32768-60999), so that no guest
# uses one unasked; enough to begin 1024 connections to one server within a second.
AGENT_PORTS = (64512, 65535)

MACHINE_NETWORK6 = "fd6e:6761:7465::/48"  # hops and ends between a machine and its edge: no task's


class Eni(Struct, frozen=True, kw_only=True):
    """A task's elastic network interface, as reserved in its zone."""

    eni_id: str
    attachment_id: str
    mac: str
    vpc_id: str
    subnet_id: str
    subnet_cidr: str
    private_ipv4: str
    ipv6: str | None = None
    public_ipv4: str | None = None
    security_groups: tuple[str, ...] = ()
    private_dns_name: str = ""


class SecurityGroupRule(Struct, frozen=True, kw_only=True):
    """One permission of one peer. `protocol` is tcp, udp, icmp, icmpv6, a number as text, or -1 for all.

    `from_port`/`to_port` are ports (ICMP: type and code); None means all. Exactly one of the peers is set.
    """

    protocol: str
    from_port: int | None = None
    to_port: int | None = None
    cidr_ipv4: str | None = None
    cidr_ipv6: str | None = None
    peer_group: str | None = None


class SecurityGroup(Struct, frozen=True, kw_only=True):
    group_id: str
    ingress: tuple[SecurityGroupRule, ...] = ()
    egress: tuple[SecurityGroupRule, ...] = ()
    # Addresses of members on other hosts; a host knows its own.
    remote_members: tuple[str, ...] = ()


LOCAL = "local"  # the target of a route inside the VPC
BLACKHOLE = "blackhole"  # ... whose gateway is gone or not attached: packets for it are dropped


class Route(Struct, frozen=True, kw_only=True):
    """`destination`: one network of either family; prefix lists are resolved before.

    `target`: LOCAL, BLACKHOLE, or the id of what takes the packet on: igw-, eigw-, nat-, pcx-. Of two routes to the
    same network the one that wins is the only one here.
    """

    destination: str
    target: str


class RouteTable(Struct, frozen=True, kw_only=True):
    table_id: str
    routes: tuple[Route, ...]


class AclRule(Struct, frozen=True, kw_only=True):
    """One numbered line of a network ACL. Protocol and ports are a security group rule's: None and -1 mean all."""

    number: int
    is_egress: bool
    allow: bool
    protocol: str
    cidr: str
    from_port: int | None = None
    to_port: int | None = None


class NetworkAcl(Struct, frozen=True, kw_only=True):
    """Stateless. In order of numbers, the first that matches decides; none: denied."""

    acl_id: str
    rules: tuple[AclRule, ...]


class PlannedSubnet(Struct, frozen=True, kw_only=True):
    """`route_table` and `acl`: which of the plan's are in force, the VPC's main ones included."""

    subnet_id: str
    cidr: str
    route_table: str
    acl: str
    ipv6_cidr: str | None = None


class PlannedNat(Struct, frozen=True, kw_only=True):
    """A NAT gateway that is available. `public_ipv4` None: a private one. `host_id`: where it is placed."""

    nat_id: str
    subnet_id: str
    private_ipv4: str
    public_ipv4: str | None = None
    host_id: str = ""
    eni_id: str = ""


class PlannedPeering(Struct, frozen=True, kw_only=True):
    """An active peering, as seen from this VPC."""

    peering_id: str
    peer_vpc: str


class PlannedEndpoint(Struct, frozen=True, kw_only=True):
    """An interface of a VPC endpoint for one of the region's own services. Every host of the VPC serves it itself.

    `service`: the end of its name (`ecs`, `ecr.api`). Names that lead to it are in `VpcDns.endpoints`. `host_id`: which
    host tells of its traffic.
    """

    endpoint_id: str
    service: str
    eni_id: str
    mac: str
    subnet_id: str
    private_ipv4: str
    security_groups: tuple[str, ...] = ()
    host_id: str = ""


def endpoint_eni(endpoint: PlannedEndpoint, vpc_id: str, subnet_cidr: str) -> Eni:
    """Its interface, in the form of a task's."""
    return Eni(
        eni_id=endpoint.eni_id,
        attachment_id=endpoint.endpoint_id,
        mac=endpoint.mac,
        vpc_id=vpc_id,
        subnet_id=endpoint.subnet_id,
        subnet_cidr=subnet_cidr,
        private_ipv4=endpoint.private_ipv4,
        security_groups=endpoint.security_groups,
    )


class PlannedBalancerNode(Struct, frozen=True, kw_only=True):
    """A load balancer's interface in one zone. Only its own host has it; to others it is like a remote task's.

    `place`: as in the load balancer's own plan. `balancer`: of that, its ARN.
    """

    place: str
    balancer: str
    eni_id: str
    mac: str
    subnet_id: str
    private_ipv4: str
    public_ipv4: str | None = None
    security_groups: tuple[str, ...] = ()
    host_id: str = ""


def node_eni(node: PlannedBalancerNode, vpc_id: str, subnet_cidr: str) -> Eni:
    """Its interface, in the form of a task's."""
    return Eni(
        eni_id=node.eni_id,
        attachment_id=node.place,
        mac=node.mac,
        vpc_id=vpc_id,
        subnet_id=node.subnet_id,
        subnet_cidr=subnet_cidr,
        private_ipv4=node.private_ipv4,
        public_ipv4=node.public_ipv4,
        security_groups=node.security_groups,
    )


class DnsRecords(Struct, frozen=True, kw_only=True):
    """All records of one name and type. An answer has `most` of them, each time others.

    `values`: as zone files have them: an address, a name, for SRV `PRIORITY WEIGHT PORT NAME`.
    """

    name: str
    type: str  # A, AAAA, CNAME, SRV
    ttl_s: int
    values: tuple[str, ...]
    most: int


class DnsZone(Struct, frozen=True, kw_only=True):
    """A private zone of the VPC: `name`, and all below it. `ttl_s`: how long "there is none" holds."""

    name: str
    records: tuple[DnsRecords, ...]
    ttl_s: int


class VpcDns(Struct, frozen=True, kw_only=True):
    """What the VPC's resolver knows. `support`, `hostnames`: enableDnsSupport and enableDnsHostnames."""

    domain: str  # of private names: ec2.internal, REGION.compute.internal
    support: bool = True
    hostnames: bool = False
    public_domain: str = ""  # of names of public addresses, in a VPC with host names
    pools: tuple[str, ...] = ()  # the region's public addresses
    # (name, address): the name, and all below it, is the VPC's own. `*.NAME`: whatever is below the name.
    endpoints: tuple[tuple[str, str], ...] = ()
    zones: tuple[DnsZone, ...] = ()  # looked at in a VPC with host names only, as on AWS
    # What the VPC's DHCP options tell its tasks: whom to ask, where to look. None: the VPC's resolver, `domain`.
    servers: tuple[str, ...] | None = None
    search: tuple[str, ...] | None = None


# How a pool's addresses are found from beyond the machine: not at all, by routers that know the way to it, or by the
# neighbours on its uplink, whom it answers.
POOL_LOCAL, POOL_ROUTED, POOL_ANNOUNCED = "local", "routed", "announced"
POOL_WAYS = (POOL_LOCAL, POOL_ROUTED, POOL_ANNOUNCED)


class PublicPool(Struct, frozen=True, kw_only=True):
    """A block of public IPv4 addresses that the operator has given the region. `way` is one of POOL_WAYS."""

    cidr: str
    way: str = POOL_LOCAL


class VpcPlan(Struct, frozen=True, kw_only=True):
    """All that a host must know of a VPC it has tasks in. A host refuses a lower generation."""

    vpc_id: str
    generation: int
    cidrs: tuple[str, ...]
    groups: tuple[SecurityGroup, ...]
    dns: VpcDns | None = None  # None: of a server that says nothing of names; no resolver answers then
    subnets: tuple[PlannedSubnet, ...] = ()  # an interface of a subnet that is not here gets no packet through
    tables: tuple[RouteTable, ...] = ()
    acls: tuple[NetworkAcl, ...] = ()
    nats: tuple[PlannedNat, ...] = ()
    peerings: tuple[PlannedPeering, ...] = ()
    flow_logs: tuple[PlannedFlowLog, ...] = ()
    pools: tuple[PublicPool, ...] = ()  # the region's, beside the block that its machine chose
    private_beyond: tuple[str, ...] = ()  # networks that gateways carry to all the same: each host's own word
    endpoints: tuple[PlannedEndpoint, ...] = ()
    nodes: tuple[PlannedBalancerNode, ...] = ()  # a host's network is given its own ones alone

    @property
    def endpoint_enis(self) -> tuple[Eni, ...]:
        """The interfaces of its endpoints. Where their subnet is not of the plan there are none."""
        networks = {subnet.subnet_id: subnet.cidr for subnet in self.subnets} if self.endpoints else {}
        known = (each for each in self.endpoints if each.subnet_id in networks)
        return tuple(endpoint_eni(each, self.vpc_id, networks[each.subnet_id]) for each in known)

    @property
    def node_enis(self) -> tuple[Eni, ...]:
        """The interfaces of load balancers' nodes. Where their subnet is not of the plan there are none."""
        networks = {subnet.subnet_id: subnet.cidr for subnet in self.subnets} if self.nodes else {}
        known = (each for each in self.nodes if each.subnet_id in networks)
        return tuple(node_eni(each, self.vpc_id, networks[each.subnet_id]) for each in known)

    def has_node_on(self, host_id: str) -> bool:
        return any(node.host_id == host_id for node in self.nodes)

    @property
    def resolver(self) -> str | None:
        """Of names: the second address of the first network, as on AWS."""
        network = ip_network(self.cidrs[0]) if self.cidrs else None
        return str(network.network_address + 2) if network is not None and network.version == 4 else None

    @property
    def name_servers(self) -> tuple[str, ...]:
        """That tasks ask."""
        if self.dns is not None and self.dns.servers is not None:
            return self.dns.servers
        return () if self.resolver is None else (self.resolver,)


def kept_plans(plans: Iterable[VpcPlan], inhabited: Container[str], host_id: str | None = None) -> list[VpcPlan]:
    """Those of VPCs where a host has tasks or nodes of load balancers, and of these VPCs' peers that have endpoints:
    who is in them may reach those. `host_id` None: all nodes of the plans are the host's own."""
    known = list(plans)
    used = {plan.vpc_id for plan in known if plan.vpc_id in inhabited or _has_node(plan, host_id)}
    peers = {one.peer_vpc for plan in known if plan.vpc_id in used for one in plan.peerings}
    return [plan for plan in known if plan.vpc_id in used or (plan.endpoints and plan.vpc_id in peers)]


def _has_node(plan: VpcPlan, host_id: str | None) -> bool:
    return bool(plan.nodes) if host_id is None else plan.has_node_on(host_id)
