"""What calls and the placing loop make of an account's NAT gateways: shelf in, change out. Pure.

pending -> available or failed; from each of these deleting -> deleted, which is shown for a while and then forgotten.
Invariants: an elastic address is with one gateway at a time; a gateway is available only with the interface that its
zone gave it, and deleted only after the zone has that back.
"""

from ipaddress import IPv4Address, IPv4Network

from msgspec import Struct
from msgspec.structs import replace

from ....model import ids
from ....model.capacity import PlacedRequest, Reservation
from ....vpc.addresses import address_number, subnet_range
from ...regional.shelves import Change, Shelf
from .. import places
from ..errors.addresses import (
    ElasticIpNotFound,
    NatGatewayGone,
    NatGatewayLimitExceeded,
    SubnetUnknown,
    TokenMismatch,
)
from ..errors.common import InvalidParameterValue
from ..places import answer_kept
from ..records.objects import ElasticAddress, InternetGateway, NatGateway, Subnet, Tags
from ..vpcs.defaults import Bits
from .addresses import HOLDING, user_of


class WantedGateway(Struct, frozen=True, kw_only=True):
    """CreateNatGateway's parameters, their shapes checked. `allocation_id` of a public one."""

    subnet_id: str
    allocation_id: str | None
    private_ip: str | None
    client_token: str | None
    tags: Tags


class Failure(Struct, frozen=True, kw_only=True):
    """DescribeNatGateways' FailureCode and FailureMessage."""

    code: str
    message: str


def required_gateway(shelf: Shelf, nat_id: str) -> NatGateway:
    """Raises NatGatewayGone."""
    found = shelf.find(NatGateway, nat_id)
    if found is None:
        raise NatGatewayGone([nat_id])
    return found


def create(shelf: Shelf, wanted: WantedGateway, gateways_max: float, now: float, bits: Bits) -> Change[NatGateway]:
    """Repeatable with a token. Raises TokenMismatch, SubnetUnknown, ElasticIpNotFound, NatGatewayLimitExceeded.

    What EC2 finds out later (no internet gateway, an address that is another's) is not looked at here.
    """
    known = _made_before(shelf, wanted)
    if known is not None:
        return Change(result=known)
    subnet = shelf.find(Subnet, wanted.subnet_id)
    if subnet is None:
        raise SubnetUnknown(wanted.subnet_id)
    address = _address(shelf, wanted.allocation_id)
    check_private_ip(subnet, wanted.private_ip)
    if sum(one.zone == subnet.zone and one.state in HOLDING for one in shelf.all(NatGateway)) >= gateways_max:
        raise NatGatewayLimitExceeded(gateways_max)
    is_free = address is not None and user_of(shelf, address.name) is None
    made = NatGateway(
        account=shelf.account,
        name=ids.ec2_id("nat", bits),
        tags=wanted.tags,
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.name,
        zone=subnet.zone,
        state="pending",
        created_at=now,
        is_public=address is not None,
        allocation_id=wanted.allocation_id,
        association_id=ids.ec2_id("eipassoc", bits) if is_free else None,
        public_ip=address.public_ip if address is not None else None,
        wanted_private_ip=wanted.private_ip,
        client_token=wanted.client_token,
    )
    return Change(result=made, put=(made,))


def _made_before(shelf: Shelf, wanted: WantedGateway) -> NatGateway | None:
    if wanted.client_token is None:
        return None
    found = next((one for one in shelf.all(NatGateway) if one.client_token == wanted.client_token), None)
    if found is None:
        return None
    asked = (wanted.subnet_id, wanted.allocation_id, wanted.private_ip)
    if (found.subnet_id, found.allocation_id, found.wanted_private_ip) != asked:
        raise TokenMismatch
    return found


def _address(shelf: Shelf, allocation_id: str | None) -> ElasticAddress | None:
    if allocation_id is None:
        return None
    found = shelf.find(ElasticAddress, allocation_id)
    if found is None:
        raise ElasticIpNotFound([allocation_id])
    return found


def check_private_ip(subnet: Subnet, private_ip: str | None) -> None:
    """That it can be had in the subnet. Raises InvalidParameterValue."""
    if private_ip is None:
        return
    if IPv4Address(private_ip) not in IPv4Network(subnet.cidr):
        raise InvalidParameterValue("Address does not fall within the subnet's address range")
    within = subnet_range(subnet.cidr)
    if not within.first <= address_number(private_ip) <= within.last:
        raise InvalidParameterValue("Address is in subnet's reserved address range")


def delete(shelf: Shelf, nat_id: str) -> Change[NatGateway]:
    """Repeatable. Raises NatGatewayGone."""
    found = required_gateway(shelf, nat_id)
    if found.state in ("deleting", "deleted"):
        return Change(result=found)
    changed = replace(found, state="deleting")
    return Change(result=changed, put=(changed,))


# -- the placing loop's


def failure_now(shelf: Shelf, nat: NatGateway) -> Failure | None:
    """Why a pending gateway cannot become available, as far as its account's objects say."""
    if shelf.find(Subnet, nat.subnet_id) is None:
        sentence = f"The specified subnet {nat.subnet_id} does not exist or could not be found."
        return Failure(code="InvalidSubnetID.NotFound", message=sentence)
    if not nat.is_public:
        return None
    if nat.association_id is None:
        return already_associated(nat)
    if not any(gateway.vpc_id == nat.vpc_id for gateway in shelf.all(InternetGateway)):
        return Failure(code="Gateway.NotAttached", message=f"Network {nat.vpc_id} has no Internet gateway attached")
    return None


def no_address(nat: NatGateway, *, is_taken: bool) -> Failure:
    if is_taken:
        return Failure(code="InvalidIPAddress.InUse", message=f"Address {nat.wanted_private_ip} is in use.")
    return Failure(
        code="InsufficientFreeAddressesInSubnet",
        message="Subnet has insufficient free addresses to create this NAT gateway",
    )


def already_associated(nat: NatGateway) -> Failure:
    """With another gateway, or a task of a service has it."""
    sentence = f"Elastic IP address {nat.allocation_id} is already associated"
    return Failure(code="Resource.AlreadyAssociated", message=sentence)


def placed_request(shelf: Shelf, nat: NatGateway) -> PlacedRequest | None:
    """None: its subnet is gone."""
    return places.placed_request(
        shelf, nat.subnet_id, place=nat.name, description=description(nat), private_ip=nat.wanted_private_ip
    )


def description(nat: NatGateway) -> str:
    """Of its interface."""
    return f"Interface for NAT Gateway {nat.name}"


def placed(shelf: Shelf, nat_id: str, given: Reservation) -> Change[None]:
    """What is no longer pending stays as it is: somebody deleted it meanwhile."""
    nat = shelf.find(NatGateway, nat_id)
    if nat is None or nat.state != "pending" or given.eni is None:
        return Change(result=None)
    return Change(result=None, put=(replace(nat, state="available", **answer_kept(given, given.eni)),))


def carried(shelf: Shelf, nat_id: str, given: Reservation) -> Change[None]:
    """It is on another host."""
    nat = shelf.find(NatGateway, nat_id)
    if nat is None or nat.state != "available":
        return Change(result=None)
    return Change(result=None, put=(replace(nat, host_id=given.host_id),))


def failed(shelf: Shelf, nat_id: str, why: Failure, now: float) -> Change[None]:
    nat = shelf.find(NatGateway, nat_id)
    if nat is None or nat.state != "pending":
        return Change(result=None)
    changed = replace(
        nat,
        state="failed",
        failure_code=why.code,
        failure_message=why.message,
        association_id=None,
        deleted_at=now,
    )
    return Change(result=None, put=(changed,))


def deleted(shelf: Shelf, nat_id: str, now: float) -> Change[None]:
    nat = shelf.find(NatGateway, nat_id)
    if nat is None or nat.state != "deleting":
        return Change(result=None)
    return Change(result=None, put=(replace(nat, state="deleted", deleted_at=now),))


def forgotten(shelf: Shelf, nat_id: str) -> Change[None]:
    nat = shelf.find(NatGateway, nat_id)
    if nat is None or nat.state not in ("deleted", "failed"):
        return Change(result=None)
    return Change(result=None, drop=(nat,))
