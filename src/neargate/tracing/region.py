"""A description as one looks things up in it: whose address is this, which table, which ACL, which gateway is alive.

Decides nothing about a packet. Invariant: private addresses are looked up within one VPC, since two VPCs may have the
same ranges; public ones and IPv6 ones in all.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from msgspec import Struct

from .description import (
    Description,
    NatGateway,
    NetworkAcl,
    NetworkInterface,
    RouteTable,
    Vpc,
    VpcEndpoint,
    VpcPeeringConnection,
)
from .flows import IpAddress, NotModelled

Network = IPv4Network | IPv6Network


class Spot(Struct, frozen=True, kw_only=True):
    """Something with a private address in a subnet: a network interface, or a NAT gateway."""

    vpc_id: str
    subnet_id: str
    interface_id: str = ""
    nat_gateway_id: str = ""


class PublicAddress(Struct, frozen=True, kw_only=True):
    spot: Spot
    private: IpAddress


class Region:
    def __init__(self, description: Description) -> None:
        self.description = description
        self.vpcs = {vpc.vpc_id: vpc for vpc in description.vpcs}
        self.subnets = {subnet.subnet_id: subnet for subnet in description.subnets}
        self.interfaces = {each.network_interface_id: each for each in description.network_interfaces}
        self.groups = {group.group_id: group for group in description.security_groups}
        self.peerings = {each.vpc_peering_connection_id: each for each in description.vpc_peering_connections}
        self.endpoints = {each.vpc_endpoint_id: each for each in description.vpc_endpoints}
        self.nat_gateways = {nat.nat_gateway_id: nat for nat in description.nat_gateways}
        self.prefix_lists = {
            each.prefix_list_id: tuple(ip_network(cidr) for cidr in (*(e.cidr for e in each.entries), *each.cidrs))
            for each in description.managed_prefix_lists
        }
        self.private_beyond = tuple(map(ip_network, description.private_beyond))
        self._private = self._private_addresses()
        self._public = self._public_addresses()

    def spot(self, interface: NetworkInterface) -> Spot:
        return Spot(vpc_id=interface.vpc_id, subnet_id=interface.subnet_id, interface_id=interface.network_interface_id)

    def nat_spot(self, nat: NatGateway) -> Spot:
        return Spot(vpc_id=nat.vpc_id, subnet_id=nat.subnet_id, nat_gateway_id=nat.nat_gateway_id)

    def at(self, vpc_id: str, address: IpAddress) -> Spot | None:
        """Who has a private, or an IPv6, address in a VPC. Two VPCs may have the same IPv4 ranges."""
        return self._private.get((vpc_id, address))

    def at_public(self, address: IpAddress) -> PublicAddress | None:
        """Who has an address that the internet can send to. IPv6 addresses are public by nature.

        User guide, Connect to the internet using an internet gateway: "IPv6 addresses are globally unique, and
        therefore public by default".
        """
        if isinstance(address, IPv4Address):
            return self._public.get(address)
        spots = (self.at(vpc_id, address) for vpc_id in self.vpcs)
        return next((PublicAddress(spot=spot, private=address) for spot in spots if spot is not None), None)

    def public_of(self, spot: Spot, private: IpAddress) -> IpAddress | None:
        """The public address that is mapped one to one to a private one."""
        found = (public for public, owner in self._public.items() if (owner.spot, owner.private) == (spot, private))
        return next(found, None)

    def ranges(self, vpc_id: str) -> tuple[Network, ...]:
        """User guide, Route tables: a local route for each CIDR block of the VPC."""
        vpc = self.vpcs[vpc_id]
        four = [each.cidr_block for each in vpc.cidr_block_association_set if _associated(each.cidr_block_state.state)]
        six = [
            each.ipv6_cidr_block
            for each in vpc.ipv6_cidr_block_association_set
            if _associated(each.ipv6_cidr_block_state.state)
        ]
        return tuple(ip_network(cidr) for cidr in dict.fromkeys((vpc.cidr_block, *four, *six)))

    def is_inside(self, vpc_id: str, address: IpAddress) -> bool:
        return any(address in network for network in self.ranges(vpc_id))

    def table_of(self, subnet_id: str) -> RouteTable:
        """User guide, Route tables: a subnet without an explicit association is associated with the main one."""
        subnet = self.subnets[subnet_id]
        tables = [table for table in self.description.route_tables if table.vpc_id == subnet.vpc_id]
        if any(each.gateway_id for table in tables for each in table.associations):
            raise NotModelled("gateway route tables")
        explicit = [t for t in tables if any(each.subnet_id == subnet_id for each in t.associations)]
        main = [t for t in tables if any(each.main for each in t.associations)]
        return (explicit + main)[0]

    def acl_of(self, subnet_id: str) -> NetworkAcl:
        """User guide, Network ACLs: a subnet without an association is associated with the default one."""
        subnet = self.subnets[subnet_id]
        acls = [acl for acl in self.description.network_acls if acl.vpc_id == subnet.vpc_id]
        explicit = [acl for acl in acls if any(each.subnet_id == subnet_id for each in acl.associations)]
        return (explicit + [acl for acl in acls if acl.is_default])[0]

    def internet_gateway_of(self, vpc_id: str) -> str | None:
        return next(
            (
                gateway.internet_gateway_id
                for gateway in self.description.internet_gateways
                if any(_attached(each.state) and each.vpc_id == vpc_id for each in gateway.attachments)
            ),
            None,
        )

    def egress_only_gateways_of(self, vpc_id: str) -> tuple[str, ...]:
        return tuple(
            gateway.egress_only_internet_gateway_id
            for gateway in self.description.egress_only_internet_gateways
            if any(_attached(each.state) and each.vpc_id == vpc_id for each in gateway.attachments)
        )

    def other_side(self, peering_id: str, vpc_id: str) -> str | None:
        """The VPC behind an active peering connection; None when it is not active, or none of this VPC."""
        peering = self.peerings.get(peering_id)
        if peering is None or peering.status.code != "active" or vpc_id not in _sides(peering):
            return None
        one, other = _sides(peering)
        return other if vpc_id == one else one

    def resolver_of(self, vpc: Vpc) -> IPv4Address:
        """User guide, DNS attributes for your VPC: "the primary private IPV4 CIDR range … plus two"."""
        return IPv4Address(int(IPv4Network(vpc.cidr_block).network_address) + 2)

    def is_on_link(self, subnet_id: str, address: IpAddress) -> bool:
        """User guide, Gateway route tables: route tables apply to traffic that leaves a subnet; "traffic that is
        destined for the MAC address of another network interface in the subnet" is not routed.
        """
        subnet = self.subnets[subnet_id]
        six = (
            each.ipv6_cidr_block
            for each in subnet.ipv6_cidr_block_association_set
            if _associated(each.ipv6_cidr_block_state.state)
        )
        return any(address in ip_network(cidr) for cidr in (subnet.cidr_block, *six))

    def endpoint_at(self, spot: Spot) -> VpcEndpoint | None:
        """The interface endpoint whose interface this is."""
        own = (each for each in self.endpoints.values() if spot.interface_id in each.network_interface_ids)
        return next(own, None)

    def _private_addresses(self) -> dict[tuple[str, IpAddress], Spot]:
        owners: dict[tuple[str, IpAddress], Spot] = {}
        for each in self.interfaces.values():
            if each.status == "available":
                continue  # attached to nothing: nobody has its addresses
            for address in addresses_of(each):
                owners[each.vpc_id, address] = self.spot(each)
        for nat in self.nat_gateways.values():  # also where their interfaces are described: these are not asked
            if nat.state == "available":
                for own in nat.nat_gateway_addresses:
                    owners[nat.vpc_id, ip_address(own.private_ip)] = self.nat_spot(nat)
        return owners

    def _public_addresses(self) -> dict[IpAddress, PublicAddress]:
        """From interfaces, NAT gateways and elastic IPs alike: each of them may show it."""
        pairs: list[tuple[str, str, str]] = []
        for each in self.interfaces.values():
            if each.association:
                pairs.append((each.association.public_ip, each.vpc_id, each.private_ip_address))
            pairs += [
                (own.association.public_ip, each.vpc_id, own.private_ip_address)
                for own in each.private_ip_addresses
                if own.association
            ]
        for address in self.description.addresses:
            holder = self.interfaces.get(address.network_interface_id)
            if holder:
                private = address.private_ip_address or holder.private_ip_address
                pairs.append((address.public_ip, holder.vpc_id, private))
        for nat in self.nat_gateways.values():
            pairs += [(own.public_ip, nat.vpc_id, own.private_ip) for own in nat.nat_gateway_addresses if own.public_ip]
        found = ((ip_address(public), vpc_id, ip_address(private)) for public, vpc_id, private in pairs)
        return {
            public: PublicAddress(spot=self._private[vpc_id, private], private=private)
            for public, vpc_id, private in found
            if (vpc_id, private) in self._private
        }


def addresses_of(interface: NetworkInterface) -> tuple[IpAddress, ...]:
    """Its private IPv4 addresses, the primary one first, then its IPv6 addresses."""
    four = [interface.private_ip_address, *(each.private_ip_address for each in interface.private_ip_addresses)]
    return (
        *dict.fromkeys(IPv4Address(text) for text in four),
        *(IPv6Address(each.ipv6_address) for each in interface.ipv6_addresses),
    )


def _sides(peering: VpcPeeringConnection) -> tuple[str, str]:
    return peering.requester_vpc_info.vpc_id, peering.accepter_vpc_info.vpc_id


def _associated(state: str) -> bool:
    return state == "associated"


def _attached(state: str) -> bool:
    return state in ("available", "attached")  # DescribeInternetGateways says the first, its documentation the second
