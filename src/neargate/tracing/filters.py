"""Security groups, stateful and at the interface; network ACLs, stateless and at the subnet's edge.

Each is one function that returns the step by which a packet passes, or raises `Stopped`. They must not know which way
a packet takes: who asks says whether there is an edge to cross, and whose address the other end's is.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, ip_network

from msgspec import Struct

from .description import GroupPair, IpPermission, NetworkAclEntry, NetworkInterface
from .flows import ICMP, ICMPV6, TCP, UDP, IpAddress, Kind, Packet, Step, Stopped
from .region import Region

ALL = "-1"
PROTOCOLS = {"icmp": ICMP, "tcp": TCP, "udp": UDP, "icmpv6": ICMPV6}
BALANCER = "network_load_balancer"  # a type of interfaces
LAST_RULE = 32767  # as which Describe shows the rule "*"


class Peer(Struct, frozen=True, kw_only=True):
    """Who is at the other end, as the interface sees it."""

    address: IpAddress
    vpc_id: str = ""  # whose private address it is; empty for public ones and for what an appliance or gateway sends


def security_groups(region: Region, interface: NetworkInterface, packet: Packet, peer: Peer, *, egress: bool) -> Step:
    """Allowed by any rule of any group.

    User guide, Security groups: "the rules from each security group are aggregated to form a single set of rules"; "If
    your security group has no outbound rules, no outbound traffic is allowed"; there are no rules that deny.
    """
    ids = tuple(group.group_id for group in interface.groups)
    for group_id in ids:
        group = region.groups.get(group_id)
        for permission in (group.ip_permissions_egress if egress else group.ip_permissions) if group else ():
            if not _covers(permission, packet):
                continue
            for target in _peers(region, permission, peer):
                return Step(
                    kind=Kind.SECURITY_GROUP,
                    object_ids=(group_id,),
                    rule=_rule_id(region, group_id, permission, target, egress=egress),
                )
    if not ids and interface.interface_type == BALANCER:
        # NLB guide, Security groups: one without groups takes all traffic.
        return Step(kind=Kind.SECURITY_GROUP, object_ids=(interface.network_interface_id,), rule="none")
    way = "outbound" if egress else "inbound"
    raise Stopped(Kind.SECURITY_GROUP, ids or (interface.network_interface_id,), f"no {way} rule allows it")


def admitted(region: Region, group_ids: Iterable[str], port: int) -> tuple[str, ...]:
    """Whom security groups let in by TCP to a port: CIDRs, prefix lists, groups, as their rules say them."""
    address = IPv4Address(0)
    packet = Packet(source=address, to=address, protocol=TCP, ports=(port, port))
    groups = (region.groups[one] for one in group_ids if one in region.groups)
    found = (one for group in groups for one in group.ip_permissions if _covers(one, packet))
    return tuple(dict.fromkeys(name for one in found for name in _named(one)))


def _named(permission: IpPermission) -> Iterator[str]:
    yield from (each.cidr_ip for each in permission.ip_ranges)
    yield from (each.cidr_ipv6 for each in permission.ipv6_ranges)
    yield from (each.prefix_list_id for each in permission.prefix_list_ids)
    yield from (each.group_id for each in permission.user_id_group_pairs)


def _covers(permission: IpPermission, packet: Packet) -> bool:
    """AuthorizeSecurityGroupIngress in the API reference: -1 is all protocols; ports count for TCP and UDP, type and
    code for ICMP; of any other protocol all is allowed, "regardless of any ports that you specify".
    """
    if permission.ip_protocol == ALL:
        return True
    if PROTOCOLS.get(permission.ip_protocol, permission.ip_protocol) not in (packet.protocol, str(packet.protocol)):
        return False
    if packet.protocol in (ICMP, ICMPV6):
        kind, code = packet.icmp
        return permission.from_port in (-1, kind) and (permission.from_port == -1 or permission.to_port in (-1, code))
    if not packet.has_ports or permission.from_port == -1:
        return True
    return permission.from_port <= packet.ports[0] and packet.ports[1] <= permission.to_port


def _peers(region: Region, permission: IpPermission, peer: Peer) -> Iterator[str]:
    """Those of a permission's CIDRs, lists and groups that the peer is in."""
    cidrs = (*(each.cidr_ip for each in permission.ip_ranges), *(each.cidr_ipv6 for each in permission.ipv6_ranges))
    yield from (cidr for cidr in cidrs if peer.address in ip_network(cidr))
    lists = (each.prefix_list_id for each in permission.prefix_list_ids)
    yield from (each for each in lists if any(peer.address in n for n in region.prefix_lists.get(each, ())))
    pairs = (each for each in permission.user_id_group_pairs if _is_in_force(region, each))
    yield from (each.group_id for each in pairs if _is_member(region, each.group_id, peer))


def _is_in_force(region: Region, pair: GroupPair) -> bool:
    """Peering guide, Work with stale security group rules: a rule is stale when the peering connection, or the group in
    the peer VPC, was deleted. It names a connection; another one between the two VPCs is not that.
    """
    if pair.peering_status not in ("", "active"):
        return False
    found = region.peerings.get(pair.vpc_peering_connection_id)
    return not pair.vpc_peering_connection_id or (found is not None and found.status.code == "active")


def _is_member(region: Region, group_id: str, peer: Peer) -> bool:
    """User guide, Security group rules: a reference lets through "the private IP addresses" of the group's members;
    both groups "must belong to the same VPC or to peered VPCs", which a peer whose VPC is known always does; not
    through an appliance.
    """
    spot = region.at(peer.vpc_id, peer.address)
    member = region.interfaces.get(spot.interface_id) if spot else None
    return member is not None and any(group.group_id == group_id for group in member.groups)


def _rule_id(region: Region, group_id: str, permission: IpPermission, target: str, *, egress: bool) -> str:
    wanted = (group_id, egress, permission.ip_protocol, permission.from_port, permission.to_port, target)
    for rule in region.description.security_group_rules:
        referenced = rule.referenced_group_info.group_id if rule.referenced_group_info else ""
        peer = rule.cidr_ipv4 or rule.cidr_ipv6 or rule.prefix_list_id or referenced
        if wanted == (rule.group_id, rule.is_egress, rule.ip_protocol, rule.from_port, rule.to_port, peer):
            return rule.security_group_rule_id
    if permission.ip_protocol == ALL:
        return f"all {target}"
    return f"{permission.ip_protocol} {permission.from_port}-{permission.to_port} {target}"


def network_acl(region: Region, subnet_id: str, packet: Packet, *, egress: bool) -> Step:
    """The first rule that matches decides; none denies.

    User guide, Network ACLs: "Rules are evaluated starting with the lowest numbered rule. As soon as a rule matches
    traffic, it's applied"; "*" denies the rest. A packet with an unknown port passes where all its ports do.
    """
    acl = region.acl_of(subnet_id)
    entries = sorted((e for e in acl.entries if e.egress == egress), key=lambda entry: entry.rule_number)
    decisions = [_decision(entries, packet, port) for port in _ports_to_try(entries, packet)]
    denied = [number for number, allowed in decisions if not allowed]
    way = "outbound" if egress else "inbound"
    if denied:
        raise Stopped(Kind.NETWORK_ACL, (acl.network_acl_id,), f"{way} {denied[0]}")
    return Step(kind=Kind.NETWORK_ACL, object_ids=(acl.network_acl_id,), rule=f"{way} {decisions[0][0]}")


def _decision(entries: list[NetworkAclEntry], packet: Packet, port: int) -> tuple[int, bool]:
    for entry in entries:
        if _matches(entry, packet, port):
            return entry.rule_number, entry.rule_action == "allow"
    return LAST_RULE, False


def _ports_to_try(entries: list[NetworkAclEntry], packet: Packet) -> list[int]:
    """One port of each stretch in which every entry says the same."""
    first, last = packet.ports
    edges = {edge for e in entries if e.port_range for edge in (e.port_range.from_, e.port_range.to + 1)}
    return [first, *sorted(edge for edge in edges if first < edge <= last)]


def _matches(entry: NetworkAclEntry, packet: Packet, port: int) -> bool:
    """By the other end's address: an inbound rule's CIDR is the source, an outbound one's the destination. IPv4 and
    IPv6 have entries of their own (Network ACLs: "IPv4 and IPv6 traffic are separate").
    """
    other = packet.to if entry.egress else packet.source
    if other not in ip_network(entry.cidr_block or entry.ipv6_cidr_block):
        return False
    if entry.protocol == ALL:
        return True
    if entry.protocol != str(packet.protocol):
        return False
    if packet.protocol in (ICMP, ICMPV6):
        wanted = entry.icmp_type_code
        kind, code = packet.icmp
        return wanted is None or (wanted.type in (-1, kind) and wanted.code in (-1, code))
    if not packet.has_ports or entry.port_range is None:
        return True
    return entry.port_range.from_ <= port <= entry.port_range.to
