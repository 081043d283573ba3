"""In which subnets a load balancer stands, one in each zone, and what addresses are asked for there. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from msgspec import Struct

from ...vpc.addresses import subnet_range
from ..network.addressing.addresses import user_of
from ..network.nodes import balancer_nodes as nodes
from ..network.records.objects import ElasticAddress, InternetGateway, Subnet
from ..regional.shelves import Shelf
from .errors import (
    AllocationIdNotFound,
    InvalidConfigurationRequest,
    InvalidSubnet,
    ResourceInUse,
    SubnetNotFound,
    ValidationError,
)
from .objects import Node

FREE_MIN, PREFIX_MAX = 8, 27
Free = Mapping[str, int]
NOT_ASKED: Free = {}


class Mapped(Struct, frozen=True, kw_only=True):
    """A subnet as a request names it. The addresses: of network load balancers."""

    subnet_id: str
    allocation_id: str | None = None
    private_ip: str | None = None


class Standing(Struct, frozen=True, kw_only=True):
    """Of what kind the load balancer is that stands there."""

    lb_type: str
    scheme: str
    address_type: str

    @property
    def is_public(self) -> bool:
        return self.scheme == "internet-facing"


def subnets_of(shelf: Shelf, standing: Standing, given: Sequence[Mapped], vpc_id: str = "") -> tuple[Subnet, ...]:
    """In the order in which they were named; of this VPC, if one is given. Raises ValidationError, SubnetNotFound,
    InvalidSubnet, InvalidConfigurationRequest.
    """
    if not given:
        raise ValidationError(_too_few(standing.lb_type))
    found = tuple(_subnet(shelf, one.subnet_id) for one in {one.subnet_id: one for one in given}.values())
    vpcs = sorted({one.vpc_id for one in found} | ({vpc_id} if vpc_id else set()))
    if len(vpcs) > 1:
        raise InvalidConfigurationRequest(f"All subnets must belong to the same VPC: '{', '.join(vpcs)}'")
    zones = [one.zone for one in found]
    if len(set(zones)) < len(zones):
        raise InvalidConfigurationRequest(
            "A load balancer cannot be attached to multiple subnets in the same Availability Zone"
        )
    if standing.lb_type == "application" and len(zones) < 2:
        raise ValidationError(_too_few(standing.lb_type))
    if standing.is_public and not any(one.vpc_id == vpcs[0] for one in shelf.all(InternetGateway)):
        raise InvalidSubnet(f"VPC {vpcs[0]} has no internet gateway")
    check_address_type(standing, found)
    return found


def check_address_type(standing: Standing, subnets: Iterable[Subnet]) -> None:
    """Raises InvalidSubnet, InvalidConfigurationRequest."""
    wanted = standing.address_type
    if wanted == "ipv4":
        return
    if wanted == "dualstack-without-public-ipv4" and (standing.lb_type, standing.is_public) != ("application", True):
        raise InvalidConfigurationRequest(
            "The IP address type 'dualstack-without-public-ipv4' is only for internet-facing Application Load Balancers"
        )
    for subnet in subnets:
        if not subnet.ipv6:
            raise InvalidSubnet(f"The subnet '{subnet.name}' does not have an associated IPv6 CIDR block")
    raise InvalidConfigurationRequest(f"Neargate does not support load balancers with the IP address type '{wanted}'")


def kept_and_new(
    shelf: Shelf,
    standing: Standing,
    have: Sequence[Node],
    given: Sequence[Mapped],
    bits: nodes.Bits,
    vpc_id: str = "",
    free: Free = NOT_ASKED,
) -> tuple[frozenset[str], tuple[Node, ...]]:
    """The places of those nodes that stay, and new ones. `have`: without those that leave. `free`: addresses that
    subnets have left, as far as it is known. Raises as `subnets_of`, and AllocationIdNotFound, ResourceInUse.
    """
    asked = {one.subnet_id: one for one in given}
    subnets = subnets_of(shelf, standing, given, vpc_id)
    kept: set[str] = set()
    new: list[Node] = []
    for subnet in subnets:
        wanted = asked[subnet.name]
        held = [one for one in have if one.subnet_id == subnet.name]
        if held and _is_as(held[0], wanted):
            kept.update(one.place for one in held)
            continue
        _check_room(standing, subnet, wanted, free)
        address = _elastic(shelf, standing, wanted)
        new.append(nodes.new_node(subnet, bits, private_ip=_private(standing, subnet, wanted), address=address))
    chosen = [one.allocation_id for one in new if one.allocation_id]
    if len(set(chosen)) < len(chosen):
        raise InvalidConfigurationRequest("An allocation ID cannot be specified more than once")
    return frozenset(kept), tuple(new)


def _check_room(standing: Standing, subnet: Subnet, wanted: Mapped, free: Free) -> None:
    """As AWS has it for what its load balancers become; here a node takes one address. Raises InvalidSubnet."""
    is_application = standing.lb_type == "application"
    if is_application and IPv4Network(subnet.cidr).prefixlen > PREFIX_MAX:
        raise InvalidSubnet(
            f"The subnet '{subnet.name}' is too small for an Application Load Balancer: it needs a CIDR block of "
            f"/{PREFIX_MAX} or more with at least {FREE_MIN} free IP addresses"
        )
    if not is_application and not standing.is_public and wanted.private_ip is not None:
        return
    if free.get(subnet.name, FREE_MIN) < FREE_MIN:
        raise InvalidSubnet(
            f"Not enough IP space available in {subnet.name}. "
            f"ELB requires at least {FREE_MIN} free IP addresses in each subnet."
        )


def _is_as(node: Node, wanted: Mapped) -> bool:
    """What the request does not say stays."""
    is_same = wanted.allocation_id in (None, node.allocation_id)
    return is_same and wanted.private_ip in (None, node.wanted_private_ip, node.private_ip)


def _subnet(shelf: Shelf, subnet_id: str) -> Subnet:
    found = shelf.find(Subnet, subnet_id)
    if found is None:
        raise SubnetNotFound(subnet_id)
    return found


def _elastic(shelf: Shelf, standing: Standing, wanted: Mapped) -> ElasticAddress | None:
    if wanted.allocation_id is None:
        return None
    if standing.lb_type != "network" or not standing.is_public:
        raise InvalidConfigurationRequest(
            "Elastic IP addresses can only be specified for internet-facing Network Load Balancers"
        )
    found = shelf.find(ElasticAddress, wanted.allocation_id)
    if found is None:
        raise AllocationIdNotFound(wanted.allocation_id)
    if user_of(shelf, found.name) is not None or next(nodes.users_of(shelf, found.name), None) is not None:
        raise ResourceInUse(f"The allocation ID '{found.name}' is already in use")
    return found


def _private(standing: Standing, subnet: Subnet, wanted: Mapped) -> str | None:
    if wanted.private_ip is None:
        return None
    if standing.lb_type != "network" or standing.is_public:
        raise InvalidConfigurationRequest(
            "Private IPv4 addresses can only be specified for internal Network Load Balancers"
        )
    try:
        number = int(IPv4Address(wanted.private_ip))
    except AddressValueError:
        raise ValidationError(f"'{wanted.private_ip[:255]}' is not a valid IPv4 address") from None
    within = subnet_range(subnet.cidr)
    if not within.first <= number <= within.last:
        raise InvalidConfigurationRequest(
            f"The private IPv4 address '{wanted.private_ip}' is not one that can be used in the subnet '{subnet.name}'"
        )
    return wanted.private_ip


def _too_few(lb_type: str) -> str:
    if lb_type == "network":
        return "At least one subnet must be specified"
    return "At least two subnets in two different Availability Zones must be specified"
