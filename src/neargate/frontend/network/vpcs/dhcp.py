"""What a call makes of an account's sets of DHCP options: shelf in, change out. Pure.

Invariant: a set never changes once it is made, and one that a VPC has stays.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from ....model import ids
from ....model.network import VpcDns
from ...regional.shelves import Change, Shelf
from ..errors.vpcs import DhcpLimitExceeded, DhcpOptionsNotFound, HasDependents, ValueInvalid
from ..records.objects import DhcpOptions, Tags, Vpc
from .changes import required_vpc

Bits = Callable[[int], int]
NONE = "default"  # in the place of an id: the VPC has no options
AMAZON = "AmazonProvidedDNS"
TEXT_MAX = 255
SETS_MAX = 100

_ADDRESS = re.compile(r"[0-9a-fA-F:.]{2,45}", re.ASCII)
_DOMAIN = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,9}\.?", re.ASCII)
_NODE_TYPES = ("1", "2", "4", "8")
# Key -> how many values it may have.
_KEYS: Mapping[str, int] = {
    "domain-name-servers": 8,
    "domain-name": 1,
    "ntp-servers": 8,
    "netbios-name-servers": 4,
    "netbios-node-type": 1,
    "ipv6-address-preferred-lease-time": 1,
}


def required_options(shelf: Shelf, options_id: str) -> DhcpOptions:
    """Raises DhcpOptionsNotFound."""
    options = shelf.find(DhcpOptions, options_id)
    if options is None:
        raise DhcpOptionsNotFound([options_id])
    return options


def check_configurations(configurations: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    """Raises ValueInvalid."""
    seen: set[str] = set()
    for key, values in configurations:
        if key not in _KEYS or key in seen:
            raise ValueInvalid(key, "dhcpConfiguration", "Unknown or repeated DHCP option")
        seen.add(key)
        if not 0 < len(values) <= _KEYS[key] or not all(_is_value(key, value) for value in values):
            raise ValueInvalid(", ".join(values), "value", "Invalid DHCP option value.")


def _is_value(key: str, value: str) -> bool:
    match key:
        case "netbios-node-type":
            return value in _NODE_TYPES
        case "ipv6-address-preferred-lease-time":
            return value.isascii() and value.isdigit() and 140 <= int(value[:11]) <= 2_147_483_647
        case "domain-name":
            return 0 < len(value) <= TEXT_MAX and value.isprintable()
        case "domain-name-servers":
            return value == AMAZON or _is_address(value)
        case _:
            return _is_address(value)


def _is_address(value: str) -> bool:
    try:
        return _ADDRESS.fullmatch(value) is not None and bool(ip_address(value))
    except ValueError:
        return False


def create(
    shelf: Shelf, configurations: Sequence[tuple[str, tuple[str, ...]]], tags: Tags, bits: Bits
) -> Change[DhcpOptions]:
    """Raises ValueInvalid, DhcpLimitExceeded."""
    check_configurations(configurations)
    if shelf.count(DhcpOptions) >= SETS_MAX:
        raise DhcpLimitExceeded
    options = DhcpOptions(
        account=shelf.account, name=ids.ec2_id("dopt", bits), tags=tags, configurations=tuple(configurations)
    )
    return Change(result=options, put=(options,))


def delete(shelf: Shelf, options_id: str) -> Change[None]:
    """Raises DhcpOptionsNotFound, HasDependents."""
    options = required_options(shelf, options_id)
    if any(vpc.dhcp_options_id == options_id for vpc in shelf.all(Vpc)):
        raise HasDependents("dhcpOptions", options_id)
    return Change(result=None, drop=(options,))


def associate(shelf: Shelf, options_id: str, vpc_id: str) -> Change[None]:
    """`default` takes the VPC's options away. Raises DhcpOptionsNotFound, VpcNotFound."""
    if options_id != NONE:
        required_options(shelf, options_id)
    vpc = required_vpc(shelf, vpc_id)
    return Change(result=None, put=(replace(vpc, dhcp_options_id=options_id),))


def with_options(dns: VpcDns, shelf: Shelf, vpc: Vpc) -> VpcDns:
    """What the VPC's tasks are told of names by its options. Without any they are told nothing; of a set that says
    nothing of search domains, none."""
    if vpc.dhcp_options_id == NONE:
        return replace(dns, servers=(), search=())
    options = shelf.find(DhcpOptions, vpc.dhcp_options_id)
    if options is None or options.is_default:
        return dns
    said = dict(options.configurations)
    own = resolver_of(vpc.cidr)
    return replace(
        dns,
        servers=tuple(own if server == AMAZON else server for server in said.get("domain-name-servers", ())),
        search=tuple(
            name.lower().removesuffix(".")
            for value in said.get("domain-name", ())
            for name in value.split()
            if _DOMAIN.fullmatch(name)
        ),
    )


def resolver_of(cidr: str) -> str:
    """The second address of the VPC's first network."""
    return str(ip_network(cidr).network_address + 2)
