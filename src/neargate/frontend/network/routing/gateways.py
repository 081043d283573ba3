"""What a call makes of internet gateways and egress-only ones: shelf in, change out. Pure.

Invariants: an internet gateway is attached to one VPC at most, and a VPC to one; one that is attached stays. Routes to
a gateway that is gone are black holes, as planning.py says.
"""

from collections.abc import Callable

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Shelf
from ..errors.common import InvalidParameterValue, VpcNotFound
from ..errors.routing import (
    AlreadyAssociated,
    EgressOnlyGatewayLimitExceeded,
    EgressOnlyGatewayNotFound,
    GatewayNotAttached,
    HasDependencies,
    IdempotentMismatch,
    InternetGatewayLimitExceeded,
    InternetGatewayNotFound,
    MappedAddresses,
)
from ..records.objects import EgressOnlyGateway, InternetGateway, NatGateway, Tags, Vpc

Bits = Callable[[int], int]


def required_gateway(shelf: Shelf, gateway_id: str) -> InternetGateway:
    """Raises InternetGatewayNotFound."""
    gateway = shelf.find(InternetGateway, gateway_id)
    if gateway is None:
        raise InternetGatewayNotFound([gateway_id])
    return gateway


def create_gateway(shelf: Shelf, tags: Tags, gateways_max: float, bits: Bits) -> Change[InternetGateway]:
    """Raises InternetGatewayLimitExceeded."""
    if shelf.count(InternetGateway) >= gateways_max:
        raise InternetGatewayLimitExceeded
    gateway = InternetGateway(account=shelf.account, name=ids.ec2_id("igw", bits), tags=tags)
    return Change(result=gateway, put=(gateway,))


def delete_gateway(shelf: Shelf, gateway_id: str) -> Change[None]:
    """Raises InternetGatewayNotFound, HasDependencies while it is attached."""
    gateway = required_gateway(shelf, gateway_id)
    if gateway.vpc_id is not None:
        raise HasDependencies("internetGateway", gateway_id)
    return Change(result=None, drop=(gateway,))


def attach(shelf: Shelf, gateway_id: str, vpc_id: str) -> Change[None]:
    """Raises InternetGatewayNotFound, VpcNotFound, AlreadyAssociated, InvalidParameterValue where the VPC has one."""
    gateway = required_gateway(shelf, gateway_id)
    if shelf.find(Vpc, vpc_id) is None:
        raise VpcNotFound([vpc_id])
    if gateway.vpc_id is not None:
        raise AlreadyAssociated(f"resource {gateway_id} is already attached to network {gateway.vpc_id}")
    if any(other.vpc_id == vpc_id for other in shelf.all(InternetGateway)):
        raise InvalidParameterValue(f"Network {vpc_id} already has an internet gateway attached")
    return Change(result=None, put=(replace(gateway, vpc_id=vpc_id),))


def detach(shelf: Shelf, gateway_id: str, vpc_id: str, *, has_public: bool) -> Change[None]:
    """`has_public`: an interface in the VPC has a public address. Raises InternetGatewayNotFound, GatewayNotAttached,
    MappedAddresses.
    """
    gateway = required_gateway(shelf, gateway_id)
    if gateway.vpc_id != vpc_id:
        raise GatewayNotAttached(gateway_id, vpc_id)
    translating = any(
        nat.vpc_id == vpc_id and nat.is_public and nat.state not in ("failed", "deleted")
        for nat in shelf.all(NatGateway)
    )
    if has_public or translating:
        raise MappedAddresses(vpc_id)
    return Change(result=None, put=(replace(gateway, vpc_id=None),))


def create_egress_only(
    shelf: Shelf, vpc_id: str, tags: Tags, client_token: str | None, gateways_max: float, bits: Bits
) -> Change[EgressOnlyGateway]:
    """Asked again with the same token: the one that was made. Raises VpcNotFound, EgressOnlyGatewayLimitExceeded,
    InvalidParameterValue where the VPC has one.
    """
    everything = list(shelf.all(EgressOnlyGateway))
    made = next((one for one in everything if client_token and one.client_token == client_token), None)
    if made is not None:
        if made.vpc_id != vpc_id:
            raise IdempotentMismatch(client_token or "")
        return Change(result=made)
    if shelf.find(Vpc, vpc_id) is None:
        raise VpcNotFound([vpc_id])
    if any(one.vpc_id == vpc_id for one in everything):
        raise InvalidParameterValue(f"Network {vpc_id} already has an egress-only internet gateway attached")
    if len(everything) >= gateways_max:
        raise EgressOnlyGatewayLimitExceeded
    gateway = EgressOnlyGateway(
        account=shelf.account, name=ids.ec2_id("eigw", bits), vpc_id=vpc_id, tags=tags, client_token=client_token
    )
    return Change(result=gateway, put=(gateway,))


def delete_egress_only(shelf: Shelf, gateway_id: str) -> Change[None]:
    """Raises EgressOnlyGatewayNotFound."""
    gateway = shelf.find(EgressOnlyGateway, gateway_id)
    if gateway is None:
        raise EgressOnlyGatewayNotFound([gateway_id])
    return Change(result=None, drop=(gateway,))
