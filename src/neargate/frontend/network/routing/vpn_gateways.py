"""What a call makes of virtual private gateways and customer gateways: shelf in, change out. Pure.

Owns their lifecycle. There are no VPN connections, so that nothing lies behind a virtual private gateway: what routes
lead to it is dropped, as AWS drops it while a gateway has no connection (planning.py). Invariants: a gateway is
attached to one VPC at most, and a VPC to one; one that is deleted stays to be seen for a while, attached to none;
an account keeps a bounded number of either.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from msgspec.structs import replace

from ....model import ids
from ...regional.shelves import Change, Kept, Shelf
from ..errors.common import InvalidParameterValue, VpcNotFound
from ..errors.routing import GatewayNotAttached
from ..errors.vpn import (
    CustomerGatewayLimitExceeded,
    CustomerGatewayNotFound,
    CustomerGatewayState,
    VpnAttachmentNotFound,
    VpnGatewayAttached,
    VpnGatewayAttachmentLimitExceeded,
    VpnGatewayLimitExceeded,
    VpnGatewayNotFound,
    VpnGatewayState,
)
from ..records.objects import CustomerGateway, RouteTable, Tags, Vpc, VpnGateway
from .route_tables import required_table

Bits = Callable[[int], int]
Gateway = TypeVar("Gateway", VpnGateway, CustomerGateway)
# AWS's quotas of a region.
VPN_GATEWAYS_MAX, CUSTOMER_GATEWAYS_MAX = 5, 50
SHOWN_S = 3600.0  # how long one that is deleted is still seen
SHOWN_MAX = 100  # of a kind, deleted: who makes and deletes again and again is shown the latest
AVAILABLE, DELETED = "available", "deleted"


def state_of(gateway: VpnGateway | CustomerGateway) -> str:
    return AVAILABLE if gateway.deleted_at is None else DELETED


def visible(shelf: Shelf, kind: type[Gateway], now: float) -> Iterator[Gateway]:
    return (one for one in shelf.all(kind) if not _forgotten(one, now))


def _forgotten(gateway: VpnGateway | CustomerGateway, now: float) -> bool:
    return gateway.deleted_at is not None and now >= gateway.deleted_at + SHOWN_S


def _unseen(shelf: Shelf, kind: type[Gateway], now: float) -> tuple[Kept, ...]:
    """Dropped with the next of the kind that is made."""
    gone = sorted((one for one in shelf.all(kind) if one.deleted_at is not None), key=_deleted_at, reverse=True)
    return tuple(one for place, one in enumerate(gone) if place >= SHOWN_MAX or _forgotten(one, now))


def _deleted_at(gateway: VpnGateway | CustomerGateway) -> float:
    return gateway.deleted_at or 0.0


# -- virtual private gateways


def live_gateway(shelf: Shelf, gateway_id: str, now: float) -> VpnGateway:
    """Raises VpnGatewayNotFound, VpnGatewayState for one that is deleted."""
    gateway = shelf.find(VpnGateway, gateway_id)
    if gateway is None or _forgotten(gateway, now):
        raise VpnGatewayNotFound([gateway_id])
    if gateway.deleted_at is not None:
        raise VpnGatewayState(gateway_id, DELETED)
    return gateway


def create_gateway(shelf: Shelf, asn: int, zone: str | None, tags: Tags, now: float, bits: Bits) -> Change[VpnGateway]:
    """Raises VpnGatewayLimitExceeded."""
    if sum(one.deleted_at is None for one in shelf.all(VpnGateway)) >= VPN_GATEWAYS_MAX:
        raise VpnGatewayLimitExceeded
    gateway = VpnGateway(account=shelf.account, name=ids.ec2_id("vgw", bits), asn=asn, zone=zone, tags=tags)
    return Change(result=gateway, put=(gateway,), drop=_unseen(shelf, VpnGateway, now))


def attach(shelf: Shelf, gateway_id: str, vpc_id: str, now: float) -> Change[None]:
    """Repeatable. Raises VpnGatewayNotFound, VpnGatewayState, VpcNotFound, VpnGatewayAttachmentLimitExceeded,
    InvalidParameterValue where the VPC has another one.
    """
    gateway = live_gateway(shelf, gateway_id, now)
    if shelf.find(Vpc, vpc_id) is None:
        raise VpcNotFound([vpc_id])
    if gateway.vpc_id == vpc_id:
        return Change(result=None)
    if gateway.vpc_id is not None:
        raise VpnGatewayAttachmentLimitExceeded(gateway_id, gateway.vpc_id)
    if any(other.vpc_id == vpc_id for other in shelf.all(VpnGateway)):
        raise InvalidParameterValue(f"Network {vpc_id} already has a virtual private gateway attached")
    return Change(result=None, put=(replace(gateway, vpc_id=vpc_id),))


def detach(shelf: Shelf, gateway_id: str, vpc_id: str, now: float) -> Change[None]:
    """Routes to it become black holes, and no table takes over its routes any more. Raises VpnGatewayNotFound,
    VpnGatewayState, VpnAttachmentNotFound.
    """
    gateway = live_gateway(shelf, gateway_id, now)
    if gateway.vpc_id != vpc_id:
        raise VpnAttachmentNotFound(gateway_id, vpc_id)
    tables = tuple(_without(table, gateway_id) for table in shelf.all(RouteTable) if gateway_id in table.propagating)
    return Change(result=None, put=(replace(gateway, vpc_id=None), *tables))


def delete_gateway(shelf: Shelf, gateway_id: str, now: float) -> Change[None]:
    """Raises VpnGatewayNotFound, VpnGatewayState, VpnGatewayAttached."""
    gateway = live_gateway(shelf, gateway_id, now)
    if gateway.vpc_id is not None:
        raise VpnGatewayAttached(gateway_id, gateway.vpc_id)
    return Change(result=None, put=(replace(gateway, deleted_at=now),))


def propagate(shelf: Shelf, gateway_id: str, table_id: str, now: float) -> Change[None]:
    """Repeatable. Raises RouteTableNotFound, VpnGatewayNotFound, VpnGatewayState, GatewayNotAttached."""
    table = required_table(shelf, table_id)
    gateway = live_gateway(shelf, gateway_id, now)
    if gateway.vpc_id != table.vpc_id:
        raise GatewayNotAttached(gateway_id, table.vpc_id)
    if gateway_id in table.propagating:
        return Change(result=None)
    return Change(result=None, put=(replace(table, propagating=(*table.propagating, gateway_id)),))


def stop_propagating(shelf: Shelf, gateway_id: str, table_id: str, now: float) -> Change[None]:
    """Repeatable. Raises RouteTableNotFound, VpnGatewayNotFound, VpnGatewayState."""
    table = required_table(shelf, table_id)
    live_gateway(shelf, gateway_id, now)
    if gateway_id not in table.propagating:
        return Change(result=None)
    return Change(result=None, put=(_without(table, gateway_id),))


def _without(table: RouteTable, gateway_id: str) -> RouteTable:
    return replace(table, propagating=tuple(one for one in table.propagating if one != gateway_id))


# -- customer gateways


def live_customer_gateway(shelf: Shelf, gateway_id: str, now: float) -> CustomerGateway:
    """Raises CustomerGatewayNotFound, CustomerGatewayState for one that is deleted."""
    gateway = shelf.find(CustomerGateway, gateway_id)
    if gateway is None or _forgotten(gateway, now):
        raise CustomerGatewayNotFound([gateway_id])
    if gateway.deleted_at is not None:
        raise CustomerGatewayState(gateway_id, DELETED)
    return gateway


def create_customer_gateway(
    shelf: Shelf, address: str, asn: int, device_name: str | None, tags: Tags, now: float, bits: Bits
) -> Change[CustomerGateway]:
    """Of the same address and ASN there is one: asked again, it is the answer. Raises CustomerGatewayLimitExceeded."""
    live = [one for one in shelf.all(CustomerGateway) if one.deleted_at is None]
    made = next((one for one in live if (one.address, one.asn) == (address, asn)), None)
    if made is not None:
        return Change(result=made)
    if len(live) >= CUSTOMER_GATEWAYS_MAX:
        raise CustomerGatewayLimitExceeded
    gateway = CustomerGateway(
        account=shelf.account,
        name=ids.ec2_id("cgw", bits),
        address=address,
        asn=asn,
        device_name=device_name,
        tags=tags,
    )
    return Change(result=gateway, put=(gateway,), drop=_unseen(shelf, CustomerGateway, now))


def delete_customer_gateway(shelf: Shelf, gateway_id: str, now: float) -> Change[None]:
    """Raises CustomerGatewayNotFound, CustomerGatewayState."""
    gateway = live_customer_gateway(shelf, gateway_id, now)
    return Change(result=None, put=(replace(gateway, deleted_at=now),))
