"""A packet as the hooks see it, and what the kernel keeps beside one on its way. No decisions here.

Addresses are whole numbers. Invariant: a packet never changes; translation makes another.
"""

from ipaddress import ip_address

from msgspec import Struct

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
ECHO_REPLY = {(ICMP, 8): 0, (ICMPV6, 128): 129}


class NftError(Exception):
    """Text that the interpreter does not know or the kernel would refuse, or a packet that it cannot judge."""


class Packet(Struct, frozen=True, kw_only=True):
    """Of TCP a SYN, or (`is_answer`) a SYN-ACK."""

    version: int
    source: int
    to: int
    protocol: int
    source_port: int = 0
    port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 1
    is_answer: bool = False
    about: "Packet | None" = None  # of an ICMP error: the packet that caused it, as its sender got it

    @property
    def has_ports(self) -> bool:
        return self.protocol in (TCP, UDP)

    @property
    def is_icmp(self) -> bool:
        return self.protocol in (ICMP, ICMPV6)

    def answered(self) -> "Packet":
        """What the receiver sends back."""
        return Packet(
            version=self.version,
            source=self.to,
            to=self.source,
            protocol=self.protocol,
            source_port=self.port,
            port=self.source_port,
            icmp_type=ECHO_REPLY.get((self.protocol, self.icmp_type), self.icmp_type),
            icmp_code=self.icmp_code,
            icmp_id=self.icmp_id,
            is_answer=self.protocol == TCP,
        )


def packet(source: str, to: str, protocol: int, port: int = 0, source_port: int = 40000, icmp_type: int = 8) -> Packet:
    """From texts; `port`s are those of TCP and UDP, `icmp_type` that of ICMP."""
    one, other = ip_address(source), ip_address(to)
    ports = protocol in (TCP, UDP)
    return Packet(
        version=one.version,
        source=int(one),
        to=int(other),
        protocol=protocol,
        source_port=source_port if ports else 0,
        port=port if ports else 0,
        icmp_type=icmp_type if protocol in (ICMP, ICMPV6) else 0,
    )
