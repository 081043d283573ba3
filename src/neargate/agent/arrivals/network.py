"""What a server says of interfaces and of VPCs, judged before it is a rule, a route or a name. A part of `messages.py`.

Invariant: what passes are ids, networks and numbers; rules that cannot be expressed allow nothing and are named by the
rule set, so that here only what could hurt is refused.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from ...model.network import (
    BLACKHOLE,
    ENI_MAC_GATEWAY,
    LOCAL,
    MACHINE_NETWORK6,
    POOL_WAYS,
    AclRule,
    Eni,
    PlannedBalancerNode,
    PlannedEndpoint,
    PlannedNat,
    PlannedSubnet,
    PublicPool,
    RouteTable,
    SecurityGroup,
    SecurityGroupRule,
    VpcDns,
    VpcPlan,
    endpoint_eni,
    node_eni,
)
from .flows import check_flow_logs
from .judging import (
    INTEGER_MAX,
    LIST_MAX,
    check_between,
    check_count,
    check_id,
    check_plain,
    is_special,
    need,
    read_address,
    read_ipv4,
    read_network,
)
from .zones import check_zones

_MAC = re.compile(r"[0-9a-f][02468ace](?::[0-9a-f]{2}){5}")
_HOST_NAME = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,9}")
_TARGET = re.compile(r"(?:igw|eigw|nat|pcx|vpce)-[0-9a-f]{8,17}")
_PROTOCOL = re.compile(r"-1|[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]")
_SERVICE = re.compile(r"[a-z0-9.-]{1,63}")
_CIDRS_MAX = 64
_ROUTES_MAX = 65_536  # prefix lists are resolved to their networks
_ACL_RULES_MAX = 1000
_SERVERS_MAX = 16
_POOLS_MAX = 64  # each is held to the host's routes, and may become one
_MACHINES6 = IPv6Network(MACHINE_NETWORK6)
_POOL_PREFIX_MIN, _POOL6_PREFIX_MIN = 16, 32


def check_eni(eni: Eni) -> None:
    for name in ("eni_id", "attachment_id", "vpc_id", "subnet_id"):
        check_id(name, getattr(eni, name))
    need(_MAC.fullmatch(eni.mac) is not None and eni.mac != ENI_MAC_GATEWAY, "mac is none of an interface")
    subnet = read_network("subnet_cidr", eni.subnet_cidr)
    private = read_ipv4("private_ipv4", eni.private_ipv4)
    # The first address is the gateway; a /30 is the smallest block with another one.
    inside = isinstance(subnet, IPv4Network) and subnet.prefixlen <= 30 and private in subnet and private != subnet[1]
    need(inside, "private_ipv4 is no address for a task in subnet_cidr")
    if eni.public_ipv4 is not None:
        read_ipv4("public_ipv4", eni.public_ipv4)
    if eni.ipv6 is not None:
        address = read_address("ipv6", eni.ipv6)
        is_own = isinstance(address, IPv6Address) and address.ipv4_mapped is None and not is_special(address)
        is_own = is_own and address not in _MACHINES6
        need(is_own, "ipv6 is no address for a task")
    check_count("security_groups", eni.security_groups, 64)
    for group_id in eni.security_groups:
        check_id("security_groups", group_id)
    named = eni.private_dns_name == "" or _HOST_NAME.fullmatch(eni.private_dns_name) is not None
    need(named, "private_dns_name is no host name")


def check_plan(plan: VpcPlan) -> None:
    check_id("vpc_id", plan.vpc_id)
    check_between("generation", plan.generation, 0, INTEGER_MAX)
    check_count("cidrs", plan.cidrs, _CIDRS_MAX)
    _check_cidrs(plan)
    check_count("groups", plan.groups, LIST_MAX)
    for group in plan.groups:
        _check_group(group)
    if plan.dns is not None:
        _check_dns(plan.dns)
    check_count("subnets", plan.subnets, LIST_MAX)
    for subnet in plan.subnets:
        _check_subnet(subnet)
    check_count("tables", plan.tables, LIST_MAX)
    need(sum(len(table.routes) for table in plan.tables) <= _ROUTES_MAX, "there are too many routes")
    for table in plan.tables:
        _check_table(table)
    check_count("acls", plan.acls, LIST_MAX)
    for acl in plan.acls:
        check_id("acl_id", acl.acl_id)
        check_count("acl rules", acl.rules, _ACL_RULES_MAX)
        for rule in acl.rules:
            _check_acl_rule(rule)
    check_count("nats", plan.nats, LIST_MAX)
    for nat in plan.nats:
        _check_nat(nat)
    check_count("peerings", plan.peerings, LIST_MAX)
    for peering in plan.peerings:
        check_id("peering_id", peering.peering_id)
        check_id("peer_vpc", peering.peer_vpc)
    check_flow_logs(plan.flow_logs)
    need(not plan.private_beyond, "private_beyond is this machine's own word")
    check_count("pools", plan.pools, _POOLS_MAX)
    for pool in plan.pools:
        _check_pool(pool)
    check_count("endpoints", plan.endpoints, LIST_MAX)
    networks = {subnet.subnet_id: subnet.cidr for subnet in plan.subnets}
    for endpoint in plan.endpoints:
        _check_endpoint(endpoint, plan.vpc_id, networks)
    check_count("nodes", plan.nodes, LIST_MAX)
    for node in plan.nodes:
        _check_node(node, plan.vpc_id, networks)


def _check_dns(dns: VpcDns) -> None:
    for domain in (dns.domain, dns.public_domain, *(name.removeprefix("*.") for name, _ in dns.endpoints)):
        need(domain == "" or _HOST_NAME.fullmatch(domain) is not None, "dns has a name that is none")
    check_count("endpoints", dns.endpoints, LIST_MAX)
    for _, address in dns.endpoints:
        read_address("endpoints", address)
    check_count("pools", dns.pools, LIST_MAX)
    for pool in dns.pools:
        read_network("pools", pool)
    check_zones(dns.zones)
    check_count("servers", dns.servers or (), _SERVERS_MAX)
    for server in dns.servers or ():
        read_address("servers", server)
    check_count("search", dns.search or (), _SERVERS_MAX)
    for domain in dns.search or ():
        need(_HOST_NAME.fullmatch(domain) is not None, "search has a name that is none")


def _check_pool(pool: PublicPool) -> None:
    """The host gets a route to it, and answers for its addresses."""
    network = read_network("pools", pool.cidr)
    fits = network.prefixlen >= (_POOL_PREFIX_MIN if network.version == 4 else _POOL6_PREFIX_MIN)
    need(fits and not is_special(network.network_address), "pools holds no block of public addresses")
    need(pool.way in POOL_WAYS, "pools has one that is found in no known way")


def _check_subnet(subnet: PlannedSubnet) -> None:
    check_id("subnet_id", subnet.subnet_id)
    need(isinstance(read_network("a subnet", subnet.cidr), IPv4Network), "a subnet has no IPv4 network")
    if subnet.ipv6_cidr is not None:
        need(read_network("a subnet", subnet.ipv6_cidr).version == 6, "a subnet has no IPv6 network")
    if subnet.route_table:  # none in force: nothing is routed
        check_id("route_table", subnet.route_table)
    if subnet.acl:
        check_id("acl", subnet.acl)


def _check_table(table: RouteTable) -> None:
    check_id("table_id", table.table_id)
    for route in table.routes:
        read_network("a route", route.destination)
        known = route.target in (LOCAL, BLACKHOLE) or _TARGET.fullmatch(route.target) is not None
        need(known, "a route leads to nothing that is known")


def _check_acl_rule(rule: AclRule) -> None:
    check_between("a rule's number", rule.number, 1, 32768)
    read_network("an acl", rule.cidr)
    # A line that denies must be expressible: left out, it would allow.
    need(_PROTOCOL.fullmatch(rule.protocol) is not None, "an acl's rule has no protocol's number")
    for port in (rule.from_port, rule.to_port):
        check_between("a rule's port", port or 0, -1, 65535)


def _check_nat(nat: PlannedNat) -> None:
    check_id("nat_id", nat.nat_id)
    check_id("subnet_id", nat.subnet_id)
    read_ipv4("private_ipv4", nat.private_ipv4)
    if nat.public_ipv4 is not None:
        read_ipv4("public_ipv4", nat.public_ipv4)
    for name, text in (("host_id", nat.host_id), ("eni_id", nat.eni_id)):
        if text:
            check_id(name, text)


def _check_endpoint(endpoint: PlannedEndpoint, vpc_id: str, networks: Mapping[str, str]) -> None:
    """Its interface is one as tasks have them."""
    check_id("endpoint_id", endpoint.endpoint_id)
    need(_SERVICE.fullmatch(endpoint.service) is not None, "an endpoint has no service")
    need(endpoint.subnet_id in networks, "an endpoint is in no subnet of the plan")
    if endpoint.host_id:
        check_id("host_id", endpoint.host_id)
    check_eni(endpoint_eni(endpoint, vpc_id, networks[endpoint.subnet_id]))


def _check_node(node: PlannedBalancerNode, vpc_id: str, networks: Mapping[str, str]) -> None:
    """Its interface is one as tasks have them."""
    check_id("place", node.place)
    check_plain("balancer", node.balancer, 512)
    need(node.subnet_id in networks, "a load balancer's node is in no subnet of the plan")
    if node.host_id:
        check_id("host_id", node.host_id)
    check_eni(node_eni(node, vpc_id, networks[node.subnet_id]))


def _check_cidrs(plan: VpcPlan) -> None:
    for text in plan.cidrs:
        network = read_network("cidrs", text)
        need(network.prefixlen >= 8 and not is_special(network.network_address), "cidrs holds no block of a VPC")


def _check_group(group: SecurityGroup) -> None:
    """Rules that cannot be expressed allow nothing and are named by the rule set; here only what could hurt."""
    check_id("group_id", group.group_id)
    check_count("remote_members", group.remote_members, LIST_MAX)
    for text in group.remote_members:
        read_address("remote_members", text)
    for rules in (group.ingress, group.egress):
        check_count("rules", rules, LIST_MAX)
        for rule in rules:
            _check_rule(rule)


def _check_rule(rule: SecurityGroupRule) -> None:
    for text in (rule.protocol, rule.cidr_ipv4 or "", rule.cidr_ipv6 or ""):
        check_plain("a rule", text, 64)
    need(rule.protocol.isascii(), "a rule has no protocol's name")
    if rule.peer_group is not None:
        check_id("peer_group", rule.peer_group)
    for port in (rule.from_port, rule.to_port):
        check_between("a rule's port", port or 0, -1, 65535)
