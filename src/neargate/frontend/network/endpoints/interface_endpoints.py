"""What calls and the placing loop make of interface endpoints: shelf in, change out. Pure.

pending -> available, or failed where an interface cannot be made at once; from each of these deleting, and then it is
gone. Invariants: one subnet in a zone; an interface is available only with what its zone gave it, and is forgotten only
after the zone has that back; one endpoint of a service has its private names in a VPC.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from ....model import ids
from ....model.capacity import PlacedRequest, Reservation
from ....vpc.addresses import address_number, subnet_range
from ...regional.shelves import Change, Shelf
from .. import places
from ..errors.common import GroupNotFound, InvalidParameterValue
from ..errors.endpoints import (
    DuplicateSubnetsInSameZone,
    InterfaceEndpointLimitExceeded,
    PrivateDnsConflict,
    PrivateDnsNeedsVpc,
)
from ..errors.routing import IdempotentMismatch, InvalidParameter
from ..filters.groups import named_group
from ..places import answer_kept
from ..records.objects import EndpointInterface, Subnet, Tags, Vpc, VpcEndpoint
from ..records.security_groups import SecurityGroupView
from ..vpcs.changes import required_vpc
from ..vpcs.subnets import required_subnet
from .plans import INTERFACE
from .services import private_names

Bits = Callable[[int], int]
PENDING, AVAILABLE, DELETING, FAILED = "pending", "available", "deleting", "failed"
NO_ADDRESS, ADDRESS_TAKEN = "InsufficientFreeAddressesInSubnet", "InvalidIPAddress.InUse"
_GROUPS_MAX = 16  # AWS's most of one interface


class WantedInterface(Struct, frozen=True, kw_only=True):
    """CreateVpcEndpoint's parameters, their shapes checked. `addresses`: (subnet, the address that it must be)."""

    vpc_id: str
    service_name: str
    policy: str
    subnets: tuple[str, ...] = ()
    addresses: tuple[tuple[str, str], ...] = ()
    groups: tuple[str, ...] = ()
    private_dns: bool = True
    tags: Tags = ()
    client_token: str | None = None


class WantedChange(Struct, frozen=True, kw_only=True):
    """ModifyVpcEndpoint's of an interface endpoint. None: as it is."""

    add_subnets: tuple[str, ...] = ()
    remove_subnets: tuple[str, ...] = ()
    add_groups: tuple[str, ...] = ()
    remove_groups: tuple[str, ...] = ()
    private_dns: bool | None = None
    policy: str | None = None


def create(shelf: Shelf, wanted: WantedInterface, now: float, endpoints_max: float, bits: Bits) -> Change[VpcEndpoint]:
    """Asked again with the same token: the one that was made. Raises VpcNotFound, SubnetNotFound, GroupNotFound,
    InvalidParameter, DuplicateSubnetsInSameZone, PrivateDns*, InterfaceEndpointLimitExceeded, IdempotentMismatch.
    """
    token = wanted.client_token
    made = next((one for one in shelf.all(VpcEndpoint) if token and one.client_token == token), None)
    if made is not None:
        if (made.vpc_id, made.service_name) != (wanted.vpc_id, wanted.service_name):
            raise IdempotentMismatch(token or "")
        return Change(result=made)
    vpc = required_vpc(shelf, wanted.vpc_id)
    if (
        sum(one.vpc_id == vpc.name and one.endpoint_type == INTERFACE for one in shelf.all(VpcEndpoint))
        >= endpoints_max
    ):
        raise InterfaceEndpointLimitExceeded
    if wanted.private_dns:
        _check_private_dns(shelf, vpc, wanted.service_name)
    addresses = dict(wanted.addresses)
    subnets = tuple(dict.fromkeys((*wanted.subnets, *addresses)))
    interfaces = tuple(_interfaces(shelf, vpc.name, subnets, (), addresses, bits))
    endpoint = VpcEndpoint(
        account=shelf.account,
        name=ids.ec2_id("vpce", bits),
        vpc_id=vpc.name,
        endpoint_type=INTERFACE,
        service_name=wanted.service_name,
        state=PENDING if interfaces else AVAILABLE,
        created_at=now,
        policy=wanted.policy,
        subnets=subnets,
        groups=_groups(shelf, vpc.name, wanted.groups) or (_default_group(shelf, vpc.name),),
        private_dns=wanted.private_dns,
        tags=wanted.tags,
        client_token=token,
        interfaces=interfaces,
        dns_suffix=_suffix(bits),
    )
    return Change(result=endpoint, put=(endpoint,))


def modify(shelf: Shelf, endpoint: VpcEndpoint, wanted: WantedChange, bits: Bits) -> Change[None]:
    """Raises what `create` raises."""
    if endpoint.state in (DELETING, FAILED):
        raise InvalidParameter(f"The VPC endpoint {endpoint.name} is {endpoint.state} and cannot be modified.")
    for subnet_id in wanted.remove_subnets:
        if subnet_id not in endpoint.subnets:
            raise InvalidParameter(f"The subnet {subnet_id} is not associated with the VPC endpoint {endpoint.name}")
    for group_id in wanted.remove_groups:
        if group_id not in endpoint.groups:
            raise InvalidParameter(
                f"The security group {group_id} is not associated with the VPC endpoint {endpoint.name}"
            )
    vpc = required_vpc(shelf, endpoint.vpc_id)
    if wanted.private_dns and not endpoint.private_dns:
        _check_private_dns(shelf, vpc, endpoint.service_name)
    kept = tuple(one for one in endpoint.subnets if one not in wanted.remove_subnets)
    added = tuple(one for one in dict.fromkeys(wanted.add_subnets) if one not in kept)
    interfaces = tuple(
        replace(one, state=DELETING) if one.subnet_id in wanted.remove_subnets else one for one in endpoint.interfaces
    )
    new = tuple(_interfaces(shelf, vpc.name, added, kept, {}, bits))
    groups = tuple(one for one in endpoint.groups if one not in wanted.remove_groups)
    groups = tuple(dict.fromkeys((*groups, *_groups(shelf, vpc.name, wanted.add_groups))))
    if not groups:
        raise InvalidParameter(f"The VPC endpoint {endpoint.name} must have at least one security group.")
    if len(groups) > _GROUPS_MAX:
        raise InvalidParameter(f"A VPC endpoint has at most {_GROUPS_MAX} security groups.")
    changed = _settled(
        replace(
            endpoint,
            subnets=(*kept, *added),
            interfaces=(*interfaces, *new),
            state=PENDING if new else endpoint.state,
            groups=groups,
            private_dns=endpoint.private_dns if wanted.private_dns is None else wanted.private_dns,
            policy=endpoint.policy if wanted.policy is None else wanted.policy,
        )
    )
    return Change(result=None, put=(changed,) if changed != endpoint else ())


def deleting(endpoint: VpcEndpoint) -> VpcEndpoint | None:
    """As it is while its addresses are given back; None: it has none, and goes at once."""
    if not endpoint.interfaces:
        return None
    return replace(
        endpoint, state=DELETING, interfaces=tuple(replace(one, state=DELETING) for one in endpoint.interfaces)
    )


def _check_private_dns(shelf: Shelf, vpc: Vpc, service_name: str) -> None:
    if not (vpc.dns_support and vpc.dns_hostnames):
        raise PrivateDnsNeedsVpc(vpc.name)
    for other in shelf.all(VpcEndpoint):
        same = (other.vpc_id, other.service_name) == (vpc.name, service_name)
        if same and other.private_dns and other.state not in (DELETING, FAILED):
            raise PrivateDnsConflict(private_names(service_name)[0], vpc.name)


def _interfaces(
    shelf: Shelf, vpc_id: str, added: Iterable[str], kept: Sequence[str], addresses: dict[str, str], bits: Bits
) -> Iterator[EndpointInterface]:
    zones = {subnet.zone for one in kept if (subnet := shelf.find(Subnet, one)) is not None}
    for subnet_id in added:
        subnet = required_subnet(shelf, subnet_id)
        if subnet.vpc_id != vpc_id:
            raise InvalidParameter(f"The subnet {subnet_id} does not belong to VPC {vpc_id}")
        if subnet.zone in zones:
            raise DuplicateSubnetsInSameZone(subnet_id)
        zones.add(subnet.zone)
        _check_address(subnet, addresses.get(subnet_id))
        yield EndpointInterface(
            place=ids.ec2_id("vpce-eni", bits),
            subnet_id=subnet_id,
            zone=subnet.zone,
            wanted_private_ip=addresses.get(subnet_id),
        )


def _check_address(subnet: Subnet, address: str | None) -> None:
    if address is None:
        return
    if IPv4Address(address) not in IPv4Network(subnet.cidr):
        raise InvalidParameterValue("Address does not fall within the subnet's address range")
    within = subnet_range(subnet.cidr)
    if not within.first <= address_number(address) <= within.last:
        raise InvalidParameterValue("Address is in subnet's reserved address range")


def _groups(shelf: Shelf, vpc_id: str, given: Iterable[str]) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(given))
    if len(found) > _GROUPS_MAX:
        raise InvalidParameter(f"A VPC endpoint has at most {_GROUPS_MAX} security groups.")
    for group_id in found:
        group = shelf.find(SecurityGroupView, group_id)
        if group is None:
            raise GroupNotFound.of_id(group_id)
        if group.vpc_id != vpc_id:
            raise InvalidParameter(f"The security group {group_id} does not belong to VPC {vpc_id}")
    return found


def _default_group(shelf: Shelf, vpc_id: str) -> str:
    group = named_group(shelf, vpc_id, "default")
    assert group is not None, "it goes with its VPC alone"
    return group.name


def _suffix(bits: Bits) -> str:
    """Eight letters and digits, as names of AWS's endpoints have."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    number = bits(40)
    return "".join(alphabet[number >> 5 * place & 31] for place in range(8))


# -- the placing loop's


def placed_request(shelf: Shelf, endpoint: VpcEndpoint, one: EndpointInterface) -> PlacedRequest | None:
    """None: its subnet is gone."""
    return places.placed_request(
        shelf, one.subnet_id, place=one.place, description=description(endpoint), private_ip=one.wanted_private_ip
    )


def description(endpoint: VpcEndpoint) -> str:
    """Of its interfaces."""
    return f"VPC Endpoint Interface {endpoint.name}"


def placed(shelf: Shelf, endpoint_id: str, place: str, given: Reservation) -> Change[None]:
    """What is no longer pending stays as it is: somebody deleted it meanwhile."""
    endpoint, one = _found(shelf, endpoint_id, place)
    if endpoint is None or one is None or one.state != PENDING or given.eni is None:
        return Change(result=None)
    made = replace(one, state=AVAILABLE, **answer_kept(given, given.eni))
    return Change(result=None, put=(_settled(_with(endpoint, made)),))


def carried(shelf: Shelf, endpoint_id: str, place: str, given: Reservation) -> Change[None]:
    """It is on another host."""
    endpoint, one = _found(shelf, endpoint_id, place)
    if endpoint is None or one is None or one.state != AVAILABLE:
        return Change(result=None)
    return Change(result=None, put=(_with(endpoint, replace(one, host_id=given.host_id)),))


def failed(shelf: Shelf, endpoint_id: str, place: str, *, is_taken: bool) -> Change[None]:
    """One that never was available fails as a whole; another goes on without the subnet. Both say why."""
    endpoint, one = _found(shelf, endpoint_id, place)
    if endpoint is None or one is None or one.state != PENDING:
        return Change(result=None)
    told = replace(
        _with(endpoint, replace(one, state=DELETING)),
        error_code=ADDRESS_TAKEN if is_taken else NO_ADDRESS,
        error_message=f"Address {one.wanted_private_ip} is in use."
        if is_taken
        else f"The subnet {one.subnet_id} has insufficient free addresses to create this VPC endpoint.",
    )
    if endpoint.state == PENDING and not any(other.state == AVAILABLE for other in endpoint.interfaces):
        leaving = tuple(replace(other, state=DELETING) for other in told.interfaces)
        return Change(result=None, put=(replace(told, state=FAILED, interfaces=leaving),))
    subnets = tuple(each for each in told.subnets if each != one.subnet_id)
    return Change(result=None, put=(_settled(replace(told, subnets=subnets)),))


def released(shelf: Shelf, endpoint_id: str, place: str) -> Change[None]:
    """The zone has it back. The last of an endpoint that is deleted takes that along."""
    endpoint, one = _found(shelf, endpoint_id, place)
    if endpoint is None or one is None or one.state != DELETING:
        return Change(result=None)
    left = replace(endpoint, interfaces=tuple(each for each in endpoint.interfaces if each.place != place))
    if left.state == DELETING and not left.interfaces:
        return Change(result=None, drop=(endpoint,))
    return Change(result=None, put=(left,))


def _found(shelf: Shelf, endpoint_id: str, place: str) -> tuple[VpcEndpoint | None, EndpointInterface | None]:
    endpoint = shelf.find(VpcEndpoint, endpoint_id)
    if endpoint is None:
        return None, None
    return endpoint, next((one for one in endpoint.interfaces if one.place == place), None)


def _with(endpoint: VpcEndpoint, changed: EndpointInterface) -> VpcEndpoint:
    return replace(
        endpoint,
        interfaces=tuple(changed if one.place == changed.place else one for one in endpoint.interfaces),
    )


def _settled(endpoint: VpcEndpoint) -> VpcEndpoint:
    waits = any(one.state == PENDING for one in endpoint.interfaces)
    return endpoint if waits or endpoint.state != PENDING else replace(endpoint, state=AVAILABLE)
