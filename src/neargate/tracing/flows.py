"""The question and the answer: a flow, and the way it took through the objects of a description.

Ports are intervals inside the model, since a NAT gateway's is not known. Invariant: every id in an answer is one of the
description, or the text of a rule.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct
from msgspec.structs import replace

IpAddress = IPv4Address | IPv6Address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
NAT_PORTS = (1024, 65535)  # User guide, NAT gateways: the ports that they use
ECHO_REPLIES = {(ICMP, 8): 0, (ICMPV6, 128): 129}


class NotModelled(Exception):
    """The description has something that this model would only guess about."""


class Flow(Struct, frozen=True, kw_only=True):
    """A new connection, datagram or ICMP message. `sender`: an interface's id, or an address outside of the region."""

    sender: str
    to: str
    protocol: int = TCP
    port: int = 0
    source_port: int = 40000
    icmp_type: int = 8
    icmp_code: int = 0
    sender_address: str = ""  # which of the interface's own; empty: the primary one, or its first IPv6 address


class Packet(Struct, frozen=True, kw_only=True):
    source: IpAddress
    to: IpAddress
    protocol: int
    source_ports: tuple[int, int] = (0, 0)
    ports: tuple[int, int] = (0, 0)
    icmp: tuple[int, int] = (-1, -1)

    @property
    def has_ports(self) -> bool:
        return self.protocol in (TCP, UDP)

    def answered(self) -> "Packet | None":
        """What the target would send back; None where nothing answers such a packet."""
        icmp = self.icmp
        if self.protocol in (ICMP, ICMPV6):
            kind = ECHO_REPLIES.get((self.protocol, icmp[0]))
            if kind is None:
                return None
            icmp = (kind, 0)
        return replace(
            self, source=self.to, to=self.source, source_ports=self.ports, ports=self.source_ports, icmp=icmp
        )


class Kind(StrEnum):
    INTERFACE = "network-interface"
    SECURITY_GROUP = "security-group"
    NETWORK_ACL = "network-acl"
    ROUTE_TABLE = "route-table"
    INTERNET_GATEWAY = "internet-gateway"
    EGRESS_ONLY = "egress-only-internet-gateway"
    NAT_GATEWAY = "nat-gateway"
    PEERING = "vpc-peering-connection"
    ENDPOINT = "vpc-endpoint"
    SERVICE = "service"  # resolver, metadata, time, the region's endpoint: in every VPC, without an object
    OUTSIDE = "outside"
    NOWHERE = "nowhere"  # an address of nobody


class Step(Struct, frozen=True, kw_only=True):
    """One object on the way, and what it did by which rule: a security group rule's id (its text, where the description
    has no ids), an ACL's rule number, a route as "destination -> target", or the reason in words.
    """

    kind: Kind
    object_ids: tuple[str, ...] = ()
    rule: str = ""
    passed: bool = True


class Stopped(Exception):
    """The packet ends at this step."""

    def __init__(self, kind: Kind, object_ids: tuple[str, ...], rule: str) -> None:
        super().__init__(f"{kind} {', '.join(object_ids)}: {rule}")
        self.step = Step(kind=kind, object_ids=object_ids, rule=rule, passed=False)


class Answer(Struct, frozen=True, kw_only=True):
    delivered: bool
    path: tuple[Step, ...]
    source: str = ""  # the address that the target sees
    receiver: Step | None = None  # an interface, a gateway endpoint, a service, or outside
    reply: bool | None = None  # None: nothing was delivered, or nothing answers it
    reply_path: tuple[Step, ...] = ()

    @property
    def stop(self) -> Step | None:
        """Where the flow ended before its target."""
        return None if self.delivered else self.path[-1]

    @property
    def reply_stop(self) -> Step | None:
        return self.reply_path[-1] if self.reply is False else None


def packet_of(flow: Flow, source: IpAddress) -> Packet:
    ports = flow.protocol in (TCP, UDP)
    return Packet(
        source=source,
        to=ip_address(flow.to),
        protocol=flow.protocol,
        source_ports=(flow.source_port, flow.source_port) if ports else (0, 0),
        ports=(flow.port, flow.port) if ports else (0, 0),
        icmp=(flow.icmp_type, flow.icmp_code) if flow.protocol in (ICMP, ICMPV6) else (-1, -1),
    )
