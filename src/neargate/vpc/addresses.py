"""Which address comes next: of a subnet, of the public pool. Pure; randomness is handed in as bits.

Addresses are handed out behind a moving cursor, so that one is not used again at once after it was given back: clients,
DNS caches and connection tables elsewhere still know its last owner. Invariant: never one that is taken or that EC2
reserves (a subnet's first four and its last).
"""

from collections.abc import Callable, Container, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from msgspec import Struct

RESERVED_FIRST = 4
RESERVED_LAST = 1
ELASTIC_PART = 4  # the last of so many parts of a pool are elastic addresses


class AddressRange(Struct, frozen=True):
    """Whole numbers of the IPv4 addresses that may be given out, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        return max(0, self.last - self.first + 1)

    def has(self, address: int) -> bool:
        return self.first <= address <= self.last


def whole_range(cidr: str) -> AddressRange:
    network = IPv4Network(cidr)
    return AddressRange(int(network.network_address), int(network.broadcast_address))


def subnet_range(cidr: str) -> AddressRange:
    """What EC2 leaves of a subnet: not the first four (network, router, DNS, future use), not the last."""
    network = IPv4Network(cidr)
    return AddressRange(int(network.network_address) + RESERVED_FIRST, int(network.broadcast_address) - RESERVED_LAST)


def parts_without(within: AddressRange, kept: Iterable[str]) -> tuple[AddressRange, ...]:
    """What is left of a range without these networks, which do not overlap, in order."""
    parts, first = [], within.first
    for network in sorted(map(IPv4Network, kept)):
        parts.append(AddressRange(first, min(int(network.network_address) - 1, within.last)))
        first = max(first, int(network.broadcast_address) + 1)
    parts.append(AddressRange(first, within.last))
    return tuple(part for part in parts if part.size)


def pool_range(cidr: str) -> AddressRange:
    """The addresses of a public pool, or of a share of it, that tasks get: not its first, not its last quarter.

    A /32 or /31 is theirs wholly.
    """
    network = IPv4Network(cidr)
    edge = _edge(network)
    kept = max(edge, network.num_addresses // ELASTIC_PART)
    return AddressRange(int(network.network_address) + edge, int(network.broadcast_address) - kept)


def elastic_ranges(cidr: str, shares: int = 1) -> tuple[AddressRange, ...]:
    """The rest: the last quarter of each share but its last address. The pool's last address is the host's own."""
    found = []
    for index in range(shares):
        network = IPv4Network(pool_share(cidr, index, shares))
        last = int(network.broadcast_address)
        found.append(AddressRange(last - network.num_addresses // ELASTIC_PART + 1, last - _edge(network)))
    return tuple(one for one in found if one.size)


def operator_range(cidr: str) -> AddressRange:
    """What tasks get of a pool of the operator, or of a share of it: all but the last quarter. Nothing broadcasts in
    there, so its first and last addresses are addresses. Of two one is theirs, a single one is."""
    network = IPv4Network(cidr)
    return AddressRange(int(network.network_address), int(network.broadcast_address) - _elastic_count(network))


def operator_elastic(cidr: str, shares: int = 1) -> tuple[AddressRange, ...]:
    """The rest of each share."""
    networks = [IPv4Network(pool_share(cidr, index, shares)) for index in range(shares)]
    lasts = [(int(network.broadcast_address), _elastic_count(network)) for network in networks]
    return tuple(AddressRange(last - count + 1, last) for last, count in lasts if count)


def _elastic_count(network: IPv4Network) -> int:
    return max(network.num_addresses // ELASTIC_PART, min(network.num_addresses - 1, 1))


def _edge(network: IPv4Network) -> int:
    return 1 if network.prefixlen < 31 else 0


def pool_share(cidr: str, index: int, count: int) -> str:
    """The block of a pool that the index-th of `count` shards owns, so that no two give the same address."""
    network = IPv4Network(cidr)
    extra_bits = (count - 1).bit_length()
    if network.prefixlen + extra_bits > 32:
        raise ValueError(f"the public pool {cidr} is too small for {count} zones")
    return str(list(network.subnets(prefixlen_diff=extra_bits))[index])


def next_address(within: AddressRange, taken: Container[int], cursor: int) -> int | None:
    """The lowest free address after `cursor`, going round once; None when the range is exhausted."""
    start = cursor + 1 if within.first <= cursor < within.last else within.first
    for candidate in range(start, within.last + 1):
        if candidate not in taken:
            return candidate
    for candidate in range(within.first, start):
        if candidate not in taken:
            return candidate
    return None


def address_text(number: int) -> str:
    """Dotted quad of a whole number; four shifts, since this runs for each launch."""
    return f"{number >> 24 & 255}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ipv6_beside(cidr: str | None, private: int) -> str | None:
    """In a subnet's IPv6 network the address of who has the private one: as free, as taken and as durable as that is.

    Its last four bytes are the private address; the first four and the last of a network are never met so.
    """
    return None if cidr is None else str(IPv6Network(cidr).network_address + private)


def address_number(text: str) -> int:
    return int(IPv4Address(text))


def mac_address(bits: Callable[[int], int]) -> str:
    """A locally administered unicast address that starts with 0a, as EC2's interfaces show."""
    digits = f"{bits(40):010x}"
    return ":".join(("0a", digits[0:2], digits[2:4], digits[4:6], digits[6:8], digits[8:10]))


def private_domain(region: str) -> str:
    return "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"


def public_domain(region: str) -> str:
    return f"{'compute-1' if region == 'us-east-1' else f'{region}.compute'}.amazonaws.com"


def private_dns_name(address: str, region: str) -> str:
    """`ip-172-31-0-5.ec2.internal` in us-east-1, `ip-172-31-0-5.REGION.compute.internal` elsewhere."""
    return f"ip-{address.replace('.', '-')}.{private_domain(region)}"


def public_dns_name(address: str, region: str) -> str:
    """`ec2-198-18-0-5.compute-1.amazonaws.com` in us-east-1, `ec2-....REGION.compute.amazonaws.com` elsewhere."""
    return f"ec2-{address.replace('.', '-')}.{public_domain(region)}"
