"""The way there: from an interface or from outside, leg by leg, until somebody has the packet or something drops it.

A leg is one crossing of the VPC's router; the legs are what the reply walks back. Invariant: `Stopped` is raised at the
first object on the way that does not pass the packet.
"""

from ipaddress import IPv4Address, IPv6Address, ip_network

from msgspec import Struct
from msgspec.structs import replace

from . import services
from .description import NetworkInterface
from .filters import Peer, network_acl, security_groups
from .flows import ICMP, NAT_PORTS, TCP, UDP, IpAddress, Kind, NotModelled, Packet, Step, Stopped
from .region import Region, Spot, addresses_of
from .routes import LOCAL, Choice, choose, passable

NAT64 = ip_network("64:ff9b::/96")
# What an internet gateway carries to nobody: RFC 1918, shared, link-local, multicast, unique local addresses.
PRIVATE = tuple(
    ip_network(cidr)
    for cidr in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "0.0.0.0/8",
        "224.0.0.0/3",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)


def is_private(address: IpAddress) -> bool:
    return any(address in network for network in PRIVATE)


# An interface endpoint that gets further subnets is pending, and serves in those that it had.
_SERVING = ("available", "pending")


class Leg(Struct, frozen=True, kw_only=True):
    """`packet` as it is inside the VPC. An end that is None is behind a gateway."""

    packet: Packet
    sender: Spot | None
    receiver: Spot | None
    back: str = ""  # the target that the receiver's route for the reply must have


class Arrival(Struct, frozen=True, kw_only=True):
    receiver: Step
    packet: Packet  # as the receiver sees it


class Forward:
    def __init__(self, region: Region) -> None:
        self.region = region
        self.steps: list[Step] = []
        self.legs: list[Leg] = []

    def from_interface(self, interface: NetworkInterface, packet: Packet) -> Arrival:
        own = addresses_of(interface)
        spot = self.region.spot(interface)
        if packet.source.version != packet.to.version:
            raise Stopped(Kind.INTERFACE, (interface.network_interface_id,), f"no IPv{packet.to.version} address")
        if packet.to in own:  # never leaves the interface: there is nothing of AWS on its way
            return self._arrive(spot, packet)
        if interface.source_dest_check and packet.source not in own:
            # User guide, NAT instances: an instance must be the source or destination of any traffic it sends
            raise Stopped(Kind.INTERFACE, (interface.network_interface_id,), "source/destination check")
        self._pass(Kind.INTERFACE, interface.network_interface_id)
        if service := services.answer(self.region, interface.vpc_id, packet):
            self.steps.append(service)  # without a leg: nothing filters its reply either
            return Arrival(receiver=service, packet=packet)
        peer = Peer(address=packet.to, vpc_id=self._owner(spot, packet.to))
        self.steps.append(security_groups(self.region, interface, packet, peer, egress=True))
        return self._route(spot, packet, ())

    def from_outside(self, packet: Packet) -> Arrival:
        arrival = self._internet(packet)
        if arrival.receiver.kind is Kind.OUTSIDE:
            self.steps.pop()
            raise Stopped(Kind.NOWHERE, (), f"nobody here has {packet.to}")
        return arrival

    def _owner(self, spot: Spot, to: IpAddress) -> str:
        """Whose private address the routes make of a destination, for references to groups: the VPC's own by `local`,
        the other one's by peering. By any other way it is nobody's (through an appliance, references do not hold).
        What has no way out is stopped here, before the groups are asked.
        """
        if self.region.is_on_link(spot.subnet_id, to):
            return spot.vpc_id
        choice = passable(choose(self.region, spot.subnet_id, to))
        if choice.target == LOCAL:
            return spot.vpc_id
        return self.region.other_side(choice.target, spot.vpc_id) or ""

    def _route(self, spot: Spot, packet: Packet, passed: tuple[str, ...]) -> Arrival:
        if self.region.is_on_link(spot.subnet_id, packet.to):
            return self._deliver(spot, packet, spot.vpc_id, back=LOCAL)
        choice = passable(choose(self.region, spot.subnet_id, packet.to))
        self.steps.append(Step(kind=Kind.ROUTE_TABLE, object_ids=(choice.table_id,), rule=choice.rule))
        target = choice.target
        if target == LOCAL:
            return self._deliver(spot, packet, spot.vpc_id, back=LOCAL)
        if target in self.region.peerings:
            return self._peering(spot, packet, target)
        if target in self.region.nat_gateways:
            return self._nat(spot, packet, choice, passed)
        self._acl(spot, packet, egress=True)
        if target in self.region.endpoints:
            return self._endpoint(spot, packet, target)
        if target in self.region.interfaces:
            raise Stopped(Kind.INTERFACE, (target,), "an appliance: what it does with the packet is not modelled")
        if target in self.region.egress_only_gateways_of(spot.vpc_id):
            return self._egress_only(spot, packet, target)
        return self._internet_gateway(spot, packet, target)

    def _deliver(self, sender: Spot, packet: Packet, vpc_id: str, *, back: str) -> Arrival:
        """To a private address of the same VPC, or of the one behind a peering connection."""
        spot = self.region.at(vpc_id, packet.to)
        if spot is None:
            raise Stopped(Kind.NOWHERE, (), f"nobody has {packet.to} in {vpc_id}")
        # User guide, Network ACLs: evaluated "when traffic enters and leaves the subnet, not as it is routed within".
        if spot.subnet_id != sender.subnet_id:
            self._acl(sender, packet, egress=True)
            self._acl(spot, packet, egress=False)
        if spot.nat_gateway_id:
            raise Stopped(Kind.NAT_GATEWAY, (spot.nat_gateway_id,), "nothing is sent to a NAT gateway itself")
        endpoint = self.region.endpoint_at(spot)
        if endpoint is not None and endpoint.state not in _SERVING:
            raise Stopped(Kind.ENDPOINT, (endpoint.vpc_endpoint_id,), "not available")
        self.legs.append(Leg(packet=packet, sender=sender, receiver=spot, back=back))
        # What a NAT gateway sends is nobody's in the sense of group references: it has no group.
        self._group_in(spot, packet, Peer(address=packet.source, vpc_id=sender.vpc_id))
        if endpoint is not None:
            name = endpoint.service_name
            self.steps.append(Step(kind=Kind.ENDPOINT, object_ids=(endpoint.vpc_endpoint_id,), rule=name))
        return self._arrive(spot, packet)

    def _peering(self, spot: Spot, packet: Packet, peering_id: str) -> Arrival:
        """VPC Peering Guide, VPC peering limitations: no transitive peering, no edge to edge routing through a gateway
        of the other VPC: what comes over it is for the other VPC's own addresses.
        """
        other = self.region.other_side(peering_id, spot.vpc_id)
        assert other is not None, "a route whose peering connection is not active is a blackhole"
        if not self.region.is_inside(other, packet.to):
            raise Stopped(Kind.PEERING, (peering_id,), f"{packet.to} is not an address of {other}")
        self._pass(Kind.PEERING, peering_id)
        return self._deliver(spot, packet, other, back=peering_id)

    def _nat(self, spot: Spot, packet: Packet, choice: Choice, passed: tuple[str, ...]) -> Arrival:
        """User guide, NAT gateways: TCP, UDP and ICMP; "You cannot associate a security group with a NAT gateway"; "You
        can use a network ACL to control the traffic to and from the subnet for your NAT gateway".
        """
        nat = self.region.nat_gateways[choice.target]
        there = self.region.nat_spot(nat)
        if spot.subnet_id != there.subnet_id:
            self._acl(spot, packet, egress=True)
            self._acl(there, packet, egress=False)
        if choice.target in passed:
            raise Stopped(Kind.NAT_GATEWAY, (choice.target,), "a loop of routes")
        if packet.to in NAT64:
            raise NotModelled("NAT64")
        if isinstance(packet.to, IPv6Address) or packet.protocol not in (TCP, UDP, ICMP):
            raise Stopped(Kind.NAT_GATEWAY, (choice.target,), "carries TCP, UDP and ICMP over IPv4 only")
        self._pass(Kind.NAT_GATEWAY, choice.target)
        self.legs.append(Leg(packet=packet, sender=spot, receiver=there, back=LOCAL))
        primary = next((own for own in nat.nat_gateway_addresses if own.is_primary), nat.nat_gateway_addresses[0])
        ports = NAT_PORTS if packet.has_ports else packet.source_ports
        sent = replace(packet, source=IPv4Address(primary.private_ip), source_ports=ports)
        return self._route(there, sent, (*passed, choice.target))

    def _endpoint(self, spot: Spot, packet: Packet, endpoint_id: str) -> Arrival:
        """AWS PrivateLink guide, Gateway endpoints: by a route with the service's prefix list; source addresses "change
        from public IPv4 addresses to private IPv4 addresses".
        """
        if self.region.endpoints[endpoint_id].vpc_endpoint_type != "Gateway":
            raise Stopped(Kind.ENDPOINT, (endpoint_id,), "an appliance: what it does with the packet is not modelled")
        step = self._pass(Kind.ENDPOINT, endpoint_id)
        self.legs.append(Leg(packet=packet, sender=spot, receiver=None))
        return Arrival(receiver=step, packet=packet)

    def _egress_only(self, spot: Spot, packet: Packet, gateway_id: str) -> Arrival:
        """User guide, Egress-only internet gateways: "for use with IPv6 traffic only", stateful."""
        if isinstance(packet.to, IPv4Address):
            raise Stopped(Kind.EGRESS_ONLY, (gateway_id,), "IPv6 only")
        self._pass(Kind.EGRESS_ONLY, gateway_id)
        self.legs.append(Leg(packet=packet, sender=spot, receiver=None))
        return self._internet(packet)

    def _internet_gateway(self, spot: Spot, packet: Packet, gateway_id: str) -> Arrival:
        """User guide, Internet gateways: it "logically provides the one-to-one NAT on behalf of your instance"; NAT
        gateways: what a private one sends to it, it drops. IPv6 needs no translation.
        """
        source: IpAddress | None = packet.source
        if isinstance(packet.source, IPv4Address):
            source = self.region.public_of(spot, packet.source)
        if source is None:
            raise Stopped(Kind.INTERNET_GATEWAY, (gateway_id,), f"{packet.source} has no public address")
        self._pass(Kind.INTERNET_GATEWAY, gateway_id)
        self.legs.append(Leg(packet=packet, sender=spot, receiver=None))
        return self._internet(replace(packet, source=source))

    def _internet(self, packet: Packet) -> Arrival:
        """Outside of all VPCs. A packet to a public address of the region comes back in, also to who sent it."""
        owner = self.region.at_public(packet.to)  # also of a private network, where that is the operator's pool
        is_beyond = any(packet.to in network for network in self.region.private_beyond)
        if owner is None and is_private(packet.to) and not is_beyond:
            raise Stopped(Kind.OUTSIDE, (), f"{packet.to} is not routed on the internet")
        if owner is None:
            outside = Step(kind=Kind.OUTSIDE)
            self.steps.append(outside)
            return Arrival(receiver=outside, packet=packet)
        gateway = self.region.internet_gateway_of(owner.spot.vpc_id)
        if gateway is None:
            raise Stopped(Kind.OUTSIDE, (owner.spot.vpc_id,), "no internet gateway is attached")
        if owner.spot.nat_gateway_id:
            # User guide, NAT gateways: "cannot receive unsolicited inbound connections from the internet"
            raise Stopped(Kind.NAT_GATEWAY, (owner.spot.nat_gateway_id,), "unsolicited")
        return self._inbound(gateway, owner.spot, replace(packet, to=owner.private))

    def _inbound(self, gateway_id: str, spot: Spot, packet: Packet) -> Arrival:
        """Only into a public subnet, which is one with a route to the internet gateway (User guide, Internet gateways;
        of egress-only ones: that "prevents the internet from initiating an IPv6 connection").
        """
        self._pass(Kind.INTERNET_GATEWAY, gateway_id)
        choice = passable(choose(self.region, spot.subnet_id, packet.source))
        if choice.target != gateway_id:
            raise Stopped(Kind.ROUTE_TABLE, (choice.table_id,), f"{choice.rule}: the answer would not go back")
        self._acl(spot, packet, egress=False)
        self.legs.append(Leg(packet=packet, sender=None, receiver=spot, back=gateway_id))
        # A source on the internet is nobody's private address, so that no reference to a group holds.
        self._group_in(spot, packet, Peer(address=packet.source))
        return self._arrive(spot, packet)

    def _group_in(self, spot: Spot, packet: Packet, peer: Peer) -> None:
        interface = self.region.interfaces[spot.interface_id]
        self.steps.append(security_groups(self.region, interface, packet, peer, egress=False))

    def _acl(self, spot: Spot, packet: Packet, *, egress: bool) -> None:
        self.steps.append(network_acl(self.region, spot.subnet_id, packet, egress=egress))

    def _arrive(self, spot: Spot, packet: Packet) -> Arrival:
        return Arrival(receiver=self._pass(Kind.INTERFACE, spot.interface_id), packet=packet)

    def _pass(self, kind: Kind, object_id: str) -> Step:
        self.steps.append(Step(kind=kind, object_ids=(object_id,)))
        return self.steps[-1]
