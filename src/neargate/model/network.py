"""Network objects as the data plane needs them: a task's interface, security group rules, a VPC's plan."""

from ipaddress import ip_network

from msgspec import Struct

ENI_MAC_GATEWAY = "0e:ee:ee:ee:ee:ee"
TASK_METADATA_ADDRESS = "169.254.170.2"
REGION_ENDPOINT_ADDRESS = "169.254.170.10"  # in every VPC router; only the region's API port is behind it
RESOLVER_ADDRESS = "169.254.170.11"  # where the router takes what tasks send to their VPC's resolver
AWS_RESOLVER_ADDRESS = "169.254.169.253"  # the resolver's other address, the same in every VPC


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


class VpcDns(Struct, frozen=True, kw_only=True):
    """What the VPC's resolver knows. `support`, `hostnames`: enableDnsSupport and enableDnsHostnames."""

    domain: str  # of private names: ec2.internal, REGION.compute.internal
    support: bool = True
    hostnames: bool = False
    public_domain: str = ""  # of names of public addresses, in a VPC with host names
    pools: tuple[str, ...] = ()  # the region's public addresses
    endpoints: tuple[tuple[str, str], ...] = ()  # (name, address): the name, and all below it, is the VPC's own


class VpcPlan(Struct, frozen=True, kw_only=True):
    """All that a host must know of a VPC it has tasks in. A host refuses a lower generation."""

    vpc_id: str
    generation: int
    cidrs: tuple[str, ...]
    groups: tuple[SecurityGroup, ...]
    dns: VpcDns | None = None  # None: of a server that says nothing of names; no resolver answers then

    @property
    def resolver(self) -> str | None:
        """Of names: the second address of the first network, as on AWS."""
        network = ip_network(self.cidrs[0]) if self.cidrs else None
        return str(network.network_address + 2) if network is not None and network.version == 4 else None
